"""Notebooks in a normal form, so that only their content counts, and their parameters.

`python -m lib.notebooks` writes the normal form of every notebook below `notebooks/` to `build/notebooks/`, which is
what the pipeline runs: opening a notebook and running it by hand makes no result stale. With it goes the sha256 of
every module of `lib` that the notebook uses: a stage is stale where, and only where, code of its own was changed.
"""

import ast
import sys
from pathlib import Path

# nbformat's schema checker would build a grammar of internationalised addresses, for a second; notebooks have none
sys.modules.setdefault("rfc3987_syntax", None)
import nbformat  # noqa: E402

from lib import files, imports, paths  # noqa: E402
from lib.errors import InputError  # noqa: E402

RUNNER = ("lib/execution.py", "lib/kernel.py", "lib/notebooks.py")  # what makes an executed notebook, whatever is in it
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def normalise(notebook: nbformat.NotebookNode, outputs: bool = False) -> nbformat.NotebookNode:
    """A copy without times, machine, random ids, empty cells and, unless asked for, outputs."""
    cells = []
    for cell in notebook.cells:
        if not cell.source.strip():
            continue
        clean = {"cell_type": cell.cell_type, "id": f"cell-{len(cells):02d}", "source": cell.source, "metadata": {}}
        if tags := cell.metadata.get("tags"):
            clean["metadata"]["tags"] = list(tags)
        if cell.cell_type == "code":
            clean["execution_count"] = cell.execution_count if outputs else None
            clean["outputs"] = _joined(cell.outputs) if outputs else []
        cells.append(clean)
    return nbformat.from_dict({"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})


def _joined(outputs: list[dict]) -> list[dict]:
    """Outputs without metadata; what a cell prints is one output, in however many pieces the kernel sent it."""
    joined: list[dict] = []
    printed: dict[str, dict] = {}  # "stdout", "stderr"
    for output in outputs:
        output = {key: {} if key == "metadata" else value for key, value in output.items()}
        if output["output_type"] == "stream" and output["name"] in printed:
            printed[output["name"]]["text"] += output["text"]
            continue
        if output["output_type"] == "stream":
            printed[output["name"]] = output
        joined.append(output)
    return joined


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path`; InputError if there is none or it cannot be read."""
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise InputError(f"{paths.shown(path)}: no such notebook; see notebooks/") from None
    except Exception as error:
        raise InputError(f"{paths.shown(path)}: not a readable notebook ({error}); restore it from git") from None


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    files.write_text(path, nbformat.writes(notebook) + "\n")


def parameters(notebook: nbformat.NotebookNode, name: str) -> dict[str, object]:
    """The names and default values in the cell tagged "parameters".

    Raises:
        InputError: there is not exactly one such cell, or it holds anything but `name = literal` lines.
    """
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise InputError(f"{name}: {len(cells)} cells are tagged 'parameters'; tag exactly one")
    try:
        lines, defaults = ast.parse(cells[0].source).body, {}
    except (SyntaxError, RecursionError, MemoryError):  # the last two where it is nested too deep
        raise InputError(f"{name}: parameters cell is not Python; write `name = literal` in each line") from None
    for line in lines:
        try:
            defaults[line.targets[0].id] = ast.literal_eval(line.value)
        except (AttributeError, ValueError):
            raise InputError(f"{name}: parameters cell, line {line.lineno}: write `name = literal`") from None
    return defaults


def strip_all() -> None:
    """Write every notebook below `build/notebooks/`: normalised, without outputs, with the sha256 of its code."""
    source = paths.at("notebooks")
    for path in sorted(source.rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            notebook = normalise(read(path))
            code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
            used = sorted({*imports.modules(code), *RUNNER})
            notebook.metadata["code"] = {file: files.sha256(paths.at(file)) for file in used}
            write(notebook, paths.at("build/notebooks") / path.relative_to(source))


if __name__ == "__main__":
    strip_all()
