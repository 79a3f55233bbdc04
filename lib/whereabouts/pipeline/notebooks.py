"""Notebooks in a normal form, so that only their content counts, and their parameters.

`python -m whereabouts.pipeline.notebooks` writes the normal form of every notebook below `notebooks/` to
`build/notebooks/`, which is what the pipeline runs: opening a notebook and running it by hand makes no result stale.
Beside it goes its code as digests, of each cell and of every module that it uses, and that is what a stage depends on:
it is stale where, and only where, code of its own was changed, not a comment, nor the prose of the notebook.
"""

import ast
import os
import sys
from functools import cache
from pathlib import Path

for name in ("NBFORMAT_VALIDATOR", "TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR"):  # nobody's settings count
    os.environ.pop(name, None)
# nbformat's schema checker would build a grammar of internationalised addresses, for a second, and load what reads
# durations; notebooks have neither
sys.modules |= dict.fromkeys({"rfc3987_syntax", "isoduration"} - sys.modules.keys())
import nbformat  # noqa: E402

from whereabouts import files, paths  # noqa: E402
from whereabouts.errors import InputError, raise_all  # noqa: E402
from whereabouts.pipeline import code, system  # noqa: E402

RUNNER = (  # what makes an executed notebook, whatever is in it
    "lib/whereabouts/pipeline/execution.py",
    "lib/whereabouts/pipeline/kernel.py",
    "lib/whereabouts/pipeline/kernel_process.py",
    "lib/whereabouts/pipeline/notebooks.py",
    "lib/whereabouts/pipeline/surroundings.py",
)
CODE = ".code.json"  # beside a notebook below build/notebooks, in place of .ipynb
EXAMPLES = {"int": 1, "float": 0.5, "str": "a word", "bool": True, "list": [1, 2], "dict": {"key": 1}}
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def normalise(notebook: nbformat.NotebookNode, outputs: bool = False, ids: bool = False) -> nbformat.NotebookNode:
    """A copy without times, machine, empty cells and, unless asked for, outputs; cells are numbered or keep their ids.

    In git a cell keeps its id, so that a cell put before it changes nothing of it; what runs and what ran is numbered.
    """
    cells = []
    for cell in notebook.cells:
        if not cell.source.strip():
            continue
        clean = {
            "cell_type": cell.cell_type,
            "id": cell.id if ids else f"cell-{len(cells):02d}",
            "source": cell.source,
            "metadata": {},
        }
        if tags := cell.metadata.get("tags"):
            clean["metadata"]["tags"] = list(tags)
        if pictures := cell.get("attachments"):  # that were pasted into its text
            clean["attachments"] = pictures
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


def listed(folder: Path) -> list[Path]:
    """Every notebook below `folder`, sorted, without what editors keep in hidden folders, as in .ipynb_checkpoints."""
    found = sorted(folder.rglob("*.ipynb"))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def content(path: Path) -> bytes:
    """What the file of a notebook holds; InputError if there is none or it cannot be read."""
    name = paths.shown(path)
    if not path.exists():
        raise InputError(f"{name}: no such notebook; see notebooks/")
    if not path.is_file():
        raise InputError(f"{name}: {'a folder' if path.is_dir() else 'no file'}, not a notebook; see notebooks/")
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(name, error) from None


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook at `path`; InputError if there is none or it cannot be read."""
    return parse(content(path), paths.shown(path))


def parse(content: bytes, name: str) -> nbformat.NotebookNode:
    """The notebook that a file's content is; InputError, which calls it `name`, if it is none."""
    found = {}
    try:
        notebook = nbformat.reads(content.decode("utf-8-sig"), 4, capture_validation_error=found)
        if found:
            raise found["ValidationError"]
    except Exception as error:  # of nbformat: of many kinds, some of which say it in many lines
        raise _unreadable(name, error) from None
    return notebook


def _unreadable(name: str, error: Exception) -> InputError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(f"{name}: not a readable notebook ({why}); mend it or restore it from git")


def text(notebook: nbformat.NotebookNode) -> str:
    """What the file of a notebook holds."""
    return nbformat.writes(notebook) + "\n"


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    files.write_text(path, text(notebook))


def parameters_cell(notebook: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    """The cell tagged "parameters"; InputError if there is not exactly one."""
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise InputError(f"{name}: {len(cells)} cells are tagged 'parameters'; tag exactly one")
    return cells[0]


def parameters(notebook: nbformat.NotebookNode, name: str) -> dict[str, object]:
    """The names and default values in the cell tagged "parameters", as `papermill --help-notebook` reads it too.

    For one whose default is None, the scale's, an example of its type stands.

    Raises:
        InputError: there is not one such cell; it holds anything but `name: type = literal  # what it is` lines,
            of which type and words may be missing; a default is not of its type.
    """
    cell, defaults = parameters_cell(notebook, name), {}
    try:
        lines = ast.parse(cell.source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # of a null byte; where it is nested too deep
        raise InputError(f"{name}: parameters cell is not Python; write `name = literal` in each line") from None
    for line in lines:
        where = f"{name}: parameters cell, line {line.lineno}"
        try:
            target = line.target if isinstance(line, ast.AnnAssign) else line.targets[0]
            value = defaults[target.id] = ast.literal_eval(line.value)
            if value is None and isinstance(line, ast.AnnAssign):
                value = defaults[target.id] = EXAMPLES[ast.unparse(line.annotation)]
        except (AttributeError, ValueError, TypeError, KeyError, RecursionError, MemoryError):  # TypeError: {[]: 1}
            raise InputError(f"{where}: write `name = literal`") from None
        if isinstance(line, ast.AnnAssign) and (kind := ast.unparse(line.annotation)) != type(value).__name__:
            raise InputError(f"{where}: {target.id} is a {type(value).__name__}, not a {kind}; correct one of them")
    return defaults


def strip_all(root: Path = paths.ROOT) -> None:
    """Write every notebook below `build/notebooks/`: normalised, without outputs; and beside it its code.

    Raises:
        InputError: for each that cannot be read or is not Python; the others are written all the same.
    """
    source, problems = root / "notebooks", []
    for path in listed(source):
        place = root / "build/notebooks" / path.relative_to(source)
        try:
            notebook = normalise(read(path))
            files.write_json(place.with_suffix(CODE), digests(notebook, path))
            write(notebook, place)
        except InputError as error:
            problems += error.problems
    raise_all(problems)


def digests(notebook: nbformat.NotebookNode, path: Path) -> dict[str, object]:
    """Of each cell of code in order, with its tags, and of every module that they use; `path` is the notebook's.

    Raises:
        InputError: it is not Python.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    try:
        used = sorted({*code.modules("\n".join(cell.source for cell in cells)), *RUNNER})
        sources = [[*cell.metadata.get("tags", []), code.digest(cell.source)] for cell in cells]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = f"{paths.shown(path)}: its code is not Python ({error})"
        raise InputError(f"{said}; the pipeline reads all of notebooks/: mend it or move it elsewhere") from None
    return {"cells": sources, "modules": {file: _digest(file) for file in used}}


def code_text(path: Path) -> str:
    """What stands for the code of the notebook at `path`: the digests that lie beside it, else its own text."""
    beside = path.with_suffix(CODE)
    return (beside if beside.exists() else path).read_text(encoding="utf-8-sig")


@cache
def _digest(file: str) -> str:
    return code.digest(paths.at(file).read_text(encoding="utf-8"))


if __name__ == "__main__":
    system.command(strip_all)
