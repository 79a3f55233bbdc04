"""Which modules of `whereabouts` some source uses: what its results depend on beside its own text."""

import ast
from pathlib import Path

from whereabouts import paths


def modules(source: str, root: Path = paths.ROOT) -> list[str]:
    """Every file of `lib` that running `source` imports, directly or through others, as paths from the root, sorted."""
    seen, todo = set(), [source]
    while todo:
        for name in _imported(todo.pop()):
            parts = name.split(".") if name.split(".")[0] == "whereabouts" else []
            for depth in range(1, len(parts) + 1):
                file = _file(root.joinpath("lib", *parts[:depth]))
                if file and file not in seen:
                    seen.add(file)
                    todo.append(file.read_text(encoding="utf-8"))
    return sorted(file.relative_to(root).as_posix() for file in seen)


def _imported(source: str) -> list[str]:
    """What a source may import; of `from a import b`, that b is a module or only a name in one is left open."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _file(path: Path) -> Path | None:
    found = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()]
    return found[0] if found else None
