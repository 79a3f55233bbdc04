"""The switches in `params.yaml` and the numbers in `params/<scale>.yaml`: reading, checking and turning them.

`python -m lib.params` checks both and says nothing if all is well. `python -m lib.params scale=smoke acdc=real` turns
switches; the comments in the file stay.
"""

import re
import sys
from pathlib import Path

import yaml

from lib import files, paths
from lib.errors import InputError, raise_all

SCALES = ("smoke", "demo", "paper")
REFERENCE = "paper"  # the file whose keys and types the others must have
_MOST = 100_000  # values of a file
SWITCHES = {  # name -> (path in params.yaml, words)
    "scale": (("scale",), SCALES),
    "acdc": (("data", "acdc"), ("synthetic", "real")),
    "clevr_seg": (("data", "clevr_seg"), ("synthetic", "released")),
    "chest": (("data", "chest"), ("synthetic", "jsrt", "radiographs")),
    "mmwhs": (("data", "mmwhs"), ("synthetic", "mmwhs")),
    "volumes": (("data", "volumes"), ("synthetic", "decathlon")),
    "pancreas": (("data", "pancreas"), ("synthetic", "tcia")),
    "ultrasound": (("data", "ultrasound"), ("synthetic", "hdf5")),
}


def load(path: Path) -> dict:
    """A YAML file as a dictionary; InputError in one line if it is missing or no such thing."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if _is_endless(content):
            raise InputError(f"{paths.shown(path)}: aliases within aliases, without end; restore it from git")
    except FileNotFoundError:
        raise InputError(f"{paths.shown(path)}: no such file; restore it from git") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or a date that is none
        where = " ".join(str(error).split())
        raise InputError(f"{paths.shown(path)}: not valid YAML ({where}); mend the line named") from None
    if not isinstance(content, dict):
        raise InputError(f"{paths.shown(path)}: expected `key: value` lines; restore it from git")
    return content


def _is_endless(content: object) -> bool:
    """Whether aliases make more of a file than anyone writes: a few lines can stand for any number of values."""
    seen, open_ = 0, [content]
    while open_ and seen + len(open_) <= _MOST:
        value, seen = open_.pop(), seen + 1
        open_ += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(open_)


def same_kind(value: object, reference: object) -> bool:
    """Whether `value` may stand where `reference` does: same type, an integer for a float; None stands for anything."""
    if value is None or reference is None:
        return True
    if isinstance(reference, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is type(reference)


def differences(value: dict, reference: dict, name: str, prefix: str = "") -> list[str]:
    """One line for each key that is unknown, missing or of the wrong type, compared with `reference`."""
    problems = []
    for key in value.keys() - reference.keys():
        problems.append(f"{name}: unknown key {prefix}{key}; known here: {', '.join(sorted(map(str, reference)))}")
    for key in reference.keys() - value.keys():
        problems.append(f"{name}: missing key {prefix}{key}; add it, as in params/{REFERENCE}.yaml")
    for key in value.keys() & reference.keys():
        if not same_kind(value[key], reference[key]):
            problems.append(
                f"{name}: {prefix}{key} is {value[key]!r}, a {type(value[key]).__name__}; "
                f"write a {type(reference[key]).__name__}, such as {reference[key]!r}"
            )
        elif isinstance(value[key], dict):
            problems += differences(value[key], reference[key], name, f"{prefix}{key}.")
    return sorted(problems)


def check(root: Path = paths.ROOT) -> None:
    """Raise InputError with every unknown, missing or mistyped key of `params.yaml` and `params/*.yaml`."""
    switches = load(root / "params.yaml")
    known = {"scales", "sources", "scale", "data"}
    problems = [
        f"params.yaml: {word} key {key}; known here: {', '.join(sorted(known))}"
        for word, keys in (("unknown", switches.keys() - known), ("missing", known - switches.keys()))
        for key in sorted(keys)
    ]
    if not problems:
        for where, words in SWITCHES.values():
            value = switches
            for key in where:
                value = value.get(key) if isinstance(value, dict) else None
            if not isinstance(value, dict) or value.get("name") not in words:
                problems.append(f"params.yaml: {'.'.join(where)}: write one of {', '.join('*' + w for w in words)}")
        grids = switches["scales"]
        for scale in SCALES:
            problems += differences(grids.get(scale, {}), grids[REFERENCE], f"params.yaml, scales.{scale}")
    reference = load(root / "params" / f"{REFERENCE}.yaml")
    for scale in SCALES:
        problems += differences(load(root / "params" / f"{scale}.yaml"), reference, f"params/{scale}.yaml")
    raise_all(problems)


def turn(text: str, switch: str, word: str) -> str:
    """`text` of params.yaml with one switch turned.

    Raises:
        InputError: no such switch or word, or its line is not in the file.
    """
    if switch not in SWITCHES:
        raise InputError(f"{switch}: no such switch; known: {', '.join(SWITCHES)}")
    where, words = SWITCHES[switch]
    if word not in words:
        raise InputError(f"{switch}={word}: unknown; choose one of {', '.join(words)}")
    indent = "" if len(where) == 1 else "  "
    turned, count = re.subn(rf"(?m)^{indent}{where[-1]}: \*\w+", f"{indent}{where[-1]}: *{word}", text)
    if count != 1:
        raise InputError(f"params.yaml: {count} lines say `{where[-1]}: *...`; restore it from git")
    return turned


def main(arguments: list[str]) -> None:
    path = paths.at("params.yaml")
    if arguments:
        text = path.read_text(encoding="utf-8")
        for argument in arguments:
            text = turn(text, *(argument.split("=", 1) if "=" in argument else (argument, "")))
        if text != path.read_text(encoding="utf-8"):
            files.write_text(path, text)
    check()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit("\n".join(f"error: {problem}" for problem in error.problems))
