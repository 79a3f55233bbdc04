"""YAML as its author sees it: what is written is what arrives, or it is refused with its line and the reason.

The parser is DVC's own, so that both read the same: YAML 1.2, to which `12:00:00` and `on` are text and `1e-3` is a
number, and which takes no key twice. Refused beyond that are values that would arrive changed (`0123`, `2024_05`, a
date), tags, keys that are neither text nor numbers, and whatever stands for more than anyone writes. All but the keys
is seen before anything is built: aliases and merge keys multiply while that happens, and the parser does not survive
deep nesting.
"""

import math
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, ScalarEvent

from whereabouts import paths
from whereabouts.errors import InputError, raise_all
from whereabouts.formats import limits

FILE = limits.Limit("a file of parameters or claims", 2**20)  # ours have 30 kB
_MOST = 100_000  # values of a file, each alias counting as many as it stands for
_DEEPEST = 50
_CHANGED = {  # what a plain value must not look like
    r"[-+]?0[\d_]+(\.[\d_]*)?([eE][-+]?\d+)?": "would lose the 0 that it begins with; put it between quotes",
    r"[-+]?\d[\d.]*_[\d._]*([eE][-+]?\d+)?": "would lose its _; put it between quotes, or leave out the _",
    r"\d{4}-\d\d?-\d\d?([Tt ].*)?": "would be read as a date; put it between quotes",
}


def load(path: Path, mend: str = "restore it from git") -> dict:
    """A YAML file as a dictionary.

    Args:
        mend: what to do where it is missing or holds something else.

    Raises:
        InputError: missing, no regular file, too large, not UTF-8, no dictionary, or as `parse`.
    """
    name = paths.shown(path)
    if not os.path.exists(path):
        raise InputError(f"{name}: no such file; {mend}")
    try:
        text = limits.read(path, FILE).decode("utf-8-sig")  # some editors begin with a mark
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not valid YAML (not UTF-8 at byte {error.start}); save it as UTF-8") from None
    content = parse(text, name)
    if not isinstance(content, dict):
        raise InputError(f"{name}: expected `key: value` lines; {mend}")
    return content


def parse(text: str, name: str) -> object:
    """The value that `text` stands for.

    Args:
        name: what errors call it.

    Raises:
        InputError: not valid YAML, or refused, every reason at once.
    """
    try:
        raise_all([f"{name}: {problem}" for problem in _refused(YAML(typ="safe").parse(text))])
        content = YAML(typ="safe").load(text)
        _check_keys(content, name)
    except MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: {error.problem}" if error.problem_mark else error.problem
        raise InputError(f"{name}: not valid YAML ({where}); mend or quote it") from None
    except (YAMLError, ValueError) as error:  # ValueError: a number of too many digits
        raise InputError(f"{name}: not valid YAML ({' '.join(str(error).split())}); mend or quote it") from None
    return content


def _refused(events: Iterable[Event]) -> list[str]:
    """What is wrong with values as they are written, a line each."""
    problems, sizes = [], {}  # anchor -> the number of values that it stands for
    open_ = [("", 0)]  # of each collection around: its anchor, and the number of values so far
    for event in events:
        line = f"line {event.start_mark.line + 1}"
        if isinstance(event, CollectionEndEvent):
            anchor, size = open_.pop()
        elif isinstance(event, CollectionStartEvent):
            sizes[event.anchor] = _MOST  # within itself it has no end
            open_.append((event.anchor, 0))
            anchor, size = None, 1
        elif isinstance(event, AliasEvent):
            anchor, size = None, sizes.get(event.anchor, 1)
        elif isinstance(event, ScalarEvent):
            anchor, size = event.anchor, 1
            problems += [f"{line}: {event.value[:40]} {why}" for why in _changed(event)]
        else:
            continue
        if getattr(event, "tag", None):
            problems.append(f"{line}: {event.tag}: no tags are read here; write the value itself")
        sizes[anchor] = size
        open_[-1] = (open_[-1][0], open_[-1][1] + size)
        if open_[-1][1] >= _MOST:
            return [f"{line}: aliases within aliases, without end; write the values themselves"]
        if len(open_) > _DEEPEST:
            return [f"{line}: lists within lists, more than {_DEEPEST} deep; make it flatter"]
    return problems


def _changed(event: ScalarEvent) -> list[str]:
    """Why a value that stands there without quotes would not arrive as it is written."""
    if not event.implicit[0]:
        return []
    why = [reason for pattern, reason in _CHANGED.items() if re.fullmatch(pattern, event.value)]
    if re.fullmatch(r"[-+.\d_]+[eE]\+?\d+", event.value) and math.isinf(float(event.value)):
        why.append("is larger than any number here; write a smaller one")
    return why


def _check_keys(content: object, name: str) -> None:
    """Raise InputError if a key, at any depth, is neither text nor a number."""
    problems, open_ = [], [content]
    while open_:
        value = open_.pop()
        if isinstance(value, dict):
            keys = [key for key in value if type(key) not in (str, int, float)]
            problems += [f"{name}: the key {key} is neither text nor a number; put it between quotes" for key in keys]
        open_ += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    raise_all(problems)
