"""The switches in `params.yaml` and the numbers in `params/<scale>.yaml`: reading, checking and turning them.

`python -m whereabouts.pipeline.params` checks both, says what precision `auto` is on this machine (see
`whereabouts.pipeline.precision`), and prints in one line what was chosen and where the results are.
`python -m whereabouts.pipeline.params scale=smoke acdc=real` turns switches first; one that is given no word (`acdc=`)
goes back to the demo's scale or to synthetic data; the comments in the file stay.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from whereabouts import files, paths
from whereabouts.errors import InputError, raise_all
from whereabouts.pipeline import precision, system
from whereabouts.pipeline.choices import SCALES, SOURCES
from whereabouts.pipeline.plain_yaml import load

REFERENCE = "paper"  # the file whose keys and types the others must have
DEFAULTS = ("demo", "synthetic")
SWITCHES = {"scale": (("scale",), SCALES)} | {  # name -> (path in params.yaml, words)
    switch: (("data", switch), ("synthetic", *words)) for switch, words in SOURCES.items()
}
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"


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
    known = {"scales", "sources", "choices", "scale", "data"}
    problems = [
        f"params.yaml: {word} key {key}; known here: {', '.join(sorted(known))}"
        for word, keys in (("unknown", switches.keys() - known), ("missing", known - switches.keys()))
        for key in sorted(keys, key=str)
    ]
    if not problems:
        problems = _switch_problems(switches) or _spliced_problems(switches)
    reference = load(root / "params" / f"{REFERENCE}.yaml")
    for scale in SCALES:
        numbers, name = load(root / "params" / f"{scale}.yaml"), f"params/{scale}.yaml"
        problems += differences(numbers, reference, name)
        if "precision" in numbers:
            problems += precision.problem(numbers["precision"], name)
    raise_all(problems)


def _switch_problems(switches: dict) -> list[str]:
    """What is wrong with the switches of `params.yaml` and with the grid of each scale."""
    problems = []
    for where, words in SWITCHES.values():
        chosen, offered = switches, switches["scales" if where[0] == "scale" else "sources"]
        for key in where:
            chosen = chosen.get(key) if isinstance(chosen, dict) else None
        name = chosen.get("name") if isinstance(chosen, dict) else None
        if name not in words or not isinstance(offered, dict) or chosen != offered.get(name):
            problems.append(f"params.yaml: {'.'.join(where)}: write one of {', '.join('*' + w for w in words)}")
    known = {where[1] for where, _ in SWITCHES.values() if len(where) == 2}
    if isinstance(switches["data"], dict):
        unknown = sorted(switches["data"].keys() - known, key=str)
        problems += [f"params.yaml: unknown key data.{key}; known here: {', '.join(sorted(known))}" for key in unknown]
    if isinstance(grids := switches["scales"], dict) and isinstance(grids.get(REFERENCE), dict):
        for scale in SCALES:
            grid = grids.get(scale)
            where = f"params.yaml, scales.{scale}"
            if isinstance(grid, dict):
                problems += differences(grid, grids[REFERENCE], where)
            else:
                problems.append(f"{where}: no `key: value` lines; restore it from git")
    else:
        problems.append(f"params.yaml: scales.{REFERENCE}: no `key: value` lines; restore it from git")
    return problems


def _spliced_problems(switches: dict) -> list[str]:
    """Whatever dvc.yaml puts into a path or a command of a shell, and is no plain word or number.

    Suffixes are words too, so that no folder lies elsewhere than below build/ and paper_figures/, and no two sources
    have the same one, so that their results do not mix.
    """
    problems, suffixes = [], {}
    for key, source in switches["sources"].items():
        where = f"params.yaml: sources.{key}"
        if not isinstance(source, dict) or source.keys() != {"name", "suffix"} or not _is_word(source["name"]):
            problems.append(f"{where}: write {{name: word, suffix: -word}}, words of letters, digits, . _ and -")
        elif source["suffix"] != "" and not re.fullmatch(f"-{_WORD}", str(source["suffix"])):
            suffix = repr(source["suffix"])[:80]
            problems.append(f"{where}: suffix {suffix} is no - and a word; write such as -real")
        elif (other := suffixes.setdefault(source["suffix"], key)) != key:
            problems.append(f"{where}: has the suffix of {other}, and their results would mix; write another")
    for where, value in _leaves(switches["scales"], "scales"):
        if type(value) not in (int, float) and not _is_word(value):
            problems.append(f"params.yaml: {where}: {repr(value)[:80]} is no plain word or number; write one")
    return problems


def _leaves(value: object, name: str) -> Iterator[tuple[str, object]]:
    """Every value that is no list and no dictionary, and where it is."""
    if isinstance(value, (dict, list)):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(one, f"{name}.{key}")
    else:
        yield name, value


def _is_word(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(_WORD, value) is not None


def chosen() -> str:
    """One line: the scale, the data and the seeds that `params.yaml` says, and the folders of the results."""
    switches = load(paths.at("params.yaml"))
    scale, words = switches["scale"], {key: source["name"] for key, source in switches["data"].items()}
    others = ", ".join(f"{key} {word}" for key, word in words.items() if word != "synthetic")
    data = f"{others}, all else synthetic" if others else "synthetic"
    seeds = {key.removesuffix("repeats").rstrip("_"): value["seed"] for key, value in scale.items() if "repeats" in key}
    said = [f"{chapter} {', '.join(map(str, its))}".strip() for chapter, its in seeds.items()]
    folders = set(re.findall(r"paper_figures/([^/\s]+)/", paths.at("dvc.yaml").read_text(encoding="utf-8")))

    def word(match: re.Match) -> str:
        value = switches
        for key in match[1].split("."):
            value = value[key]
        return str(value)

    results = ", ".join(sorted({"paper_figures/" + re.sub(r"\$\{([\w.]+)\}", word, folder) for folder in folders}))
    return f"scale {scale['name']}; data {data}; seeds {'; '.join(said)}; results in {results}"


def _line(where: tuple[str, ...]) -> str:
    return rf"(?m)^({'  ' * (len(where) - 1)}{where[-1]}: \*)(\w+)"


def word(text: str, switch: str) -> str | None:
    """What `text` of params.yaml says of a switch; None where no single line does."""
    found = re.findall(_line(SWITCHES[switch][0]), text)
    return found[0][1] if len(found) == 1 else None


def turn(text: str, switch: str, word: str) -> str:
    """`text` of params.yaml with one switch turned, or back to its default where `word` is empty.

    Raises:
        InputError: no such switch or word, or its line is not in the file.
    """
    if switch not in SWITCHES:
        raise InputError(f"{switch}: no such switch; known: {', '.join(SWITCHES)}")
    where, words = SWITCHES[switch]
    word = word or next(one for one in words if one in DEFAULTS)
    if word not in words:
        raise InputError(f"{switch}={word}: unknown; choose one of {', '.join(words)}")
    turned, count = re.subn(_line(where), rf"\g<1>{word}", text)
    if count != 1:
        raise InputError(f"params.yaml: {count} lines say `{where[-1]}: *...`; restore it from git")
    return turned


def main(arguments: list[str]) -> None:
    path = paths.at("params.yaml")
    if arguments:
        load(path)  # or one line
        before = text = path.read_bytes().decode()
        for argument in arguments:
            text = turn(text, *(argument.split("=", 1) if "=" in argument else (argument, " ")))
        if text != before:
            files.write_text(path, text)
    check()
    precision.write()
    print(chosen())


if __name__ == "__main__":
    system.command(main, sys.argv[1:])
