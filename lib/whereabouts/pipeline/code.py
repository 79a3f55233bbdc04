"""Which code some source uses, and a digest of it that only what can change a result changes."""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from whereabouts import paths

PACKAGE = "whereabouts"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def modules(source: str, root: Path = paths.ROOT) -> list[str]:
    """Every file of the package that running `source` uses, directly or through others, as paths from the root, sorted.

    Of a package only what is asked for counts: `from whereabouts.layers import FiLM` uses layers/film.py and what that
    uses, not all that layers/__init__.py passes on.
    """
    seen, todo = set(), _used(source, root)
    while todo:
        if (file := todo.pop()) not in seen:
            seen.add(file)
            todo += _used_by(file, root)
    return sorted(file.relative_to(root).as_posix() for file in seen)


def digest(source: str) -> str:
    """sha256 of Python without its comments, docstrings, blank lines and trailing spaces; the same in every Python.

    A comment between two strings that are one, or in an f-string, counts as code.

    Raises:
        SyntaxError: it is no Python.
    """
    lines, tree = source.encode().split(b"\n"), ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            text = node.body.pop(0)
            if not lines[text.lineno - 1][: text.col_offset].strip():  # not behind `def f():` in one line
                rest = lines[text.end_lineno - 1][text.end_col_offset :]  # as in `"""What it is."""; x = 5`
                lines[text.lineno - 1 : text.end_lineno] = [b""] * (text.end_lineno - text.lineno) + [rest]
    spans: dict[int, list] = {}  # line, from 0 -> where strings are in it
    within = set()  # lines that begin inside a string
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))):
            for line in range(node.lineno - 1, node.end_lineno):
                first = node.col_offset if line == node.lineno - 1 else 0
                last = node.end_col_offset if line == node.end_lineno - 1 else len(lines[line])
                spans.setdefault(line, []).append((first, last))
                within |= {line} if line >= node.lineno else set()
    kept = []
    for number, line in enumerate(lines):
        marks = (i for i, byte in enumerate(line) if byte == ord("#"))
        outside = (i for i in marks if not any(first <= i < last for first, last in spans.get(number, [])))
        line = line[: next(outside, len(line))]
        if number in within:
            kept.append(line)
        elif line.strip():
            kept.append(line.rstrip())
    return hashlib.sha256(b"\n".join(kept)).hexdigest()


def _used(source: str, root: Path) -> list[Path]:
    """The files of the package that a source uses itself."""
    found = [_file(name.split("."), root) for name in _imported(source) if name.split(".")[0] == PACKAGE]
    return [file for file in found if file]


@cache
def _used_by(file: Path, root: Path) -> list[Path]:
    return _used(file.read_text(encoding="utf-8"), root)


def _imported(source: str) -> Iterator[str]:
    """What a source may import, anywhere in it; of `from a import b` it is open whether b is a module or a name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module if alias.name == "*" else f"{node.module}.{alias.name}" for alias in node.names)


def _file(parts: list[str], root: Path) -> Path | None:
    """The file that holds what a dotted name stands for."""
    place = root / "lib"
    for depth, part in enumerate(parts):
        if (module := place / f"{part}.py").exists():
            return module
        if not (place / part).is_dir():
            return _passed_on(place / "__init__.py", part, root)
        place /= part
        if depth == len(parts) - 1:  # the package as a whole
            return place / "__init__.py"
    return None


def _passed_on(package: Path, name: str, root: Path) -> Path | None:
    """The file from which a package has a name: itself, unless it imports it from another module of ours."""
    if not package.exists():
        return None
    for node in ast.parse(package.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _file([*node.module.split("."), alias.name], root)
    return package
