"""Notebooks as git keeps them: no outputs, counts, times or empty cells, and an id for each cell that stays its own.

`python -m whereabouts.pipeline.tidy [FILES]` writes this form to the notebooks themselves, to all below notebooks/
where none is named, and says which it changed. `make ready` sets the same up as a filter of git, so that a notebook
that was opened, run and saved shows no `git diff`; its file keeps what it shows.
"""

import argparse
import hashlib
import json
import re
import sys
from itertools import count
from pathlib import Path

from whereabouts import files, paths
from whereabouts.errors import InputError, raise_all
from whereabouts.pipeline import notebooks, system


def tidied(content: bytes, name: str) -> bytes:
    """The normal form of a notebook's file.

    Raises:
        InputError: it is none that can be read, or of a format before version 4.
    """
    try:
        raw = json.loads(content.decode("utf-8-sig"))
        if isinstance(raw, dict) and raw.get("nbformat") == 4 and isinstance(raw.get("cells"), list):
            _give_ids([cell for cell in raw["cells"] if isinstance(cell, dict)])
            raw["nbformat_minor"] = 5  # the first whose cells have ids
        elif isinstance(raw, dict) and "worksheets" in raw:
            raise InputError(f"{name}: a notebook of an old format; open it in JupyterLab and save it")
        notebook = notebooks.parse(json.dumps(raw).encode(), name)
        return notebooks.text(notebooks.normalise(notebook, ids=True)).encode()
    except (ValueError, RecursionError) as error:  # ValueError: no UTF-8, no JSON, half a character
        problem = f"not a readable notebook ({' '.join(str(error).split())})"
        raise InputError(f"{name}: {problem}; mend it or restore it from git") from None


def _give_ids(cells: list[dict]) -> None:
    """Cells keep the ids that they have, the first of them an id that several have; others get one of their content."""
    taken, without = set(), []
    for cell in cells:
        given = cell.get("id")
        if isinstance(given, str) and re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", given) and given not in taken:
            taken.add(given)
        else:
            without.append(cell)
    for cell in without:
        content = json.dumps([cell.get("cell_type"), cell.get("source")])
        made = (hashlib.sha256(f"{content} {number}".encode()).hexdigest()[:8] for number in count())
        cell["id"] = next(one for one in made if one not in taken)
        taken.add(cell["id"])


def in_place(found: list[Path]) -> None:
    """Give each of these files its normal form; say which were changed.

    Raises:
        InputError: for each that cannot be read or written, which is left as it was; the others are done all the same.
    """
    changed, problems = 0, []
    for path in found:
        try:
            before = notebooks.content(path)
            after = tidied(before, paths.shown(path))
            if after != before:
                files.write_bytes(path, after)
                changed += 1
                print(f"changed {paths.shown(path)}")
        except InputError as error:
            problems += error.problems
    print(f"{changed} of {len(found)} notebooks changed")
    raise_all(problems)


def filtered(content: bytes, name: str) -> bytes:
    """What git is to keep of a file: whatever is no notebook is kept as it is, which standard error is told."""
    try:
        return tidied(content, name)
    except InputError as error:
        for problem in error.problems:
            print(f"{problem}; kept as it is", file=sys.stderr)
        return content


def main(arguments: list[str]) -> None:
    words = {"prog": "python -m whereabouts.pipeline.tidy", "description": "Give notebooks the form that git keeps."}
    parser = argparse.ArgumentParser(**words)
    parser.add_argument("files", nargs="*", type=Path, help="notebooks; by default all below notebooks/")
    clean = "instead, standard input to standard output, as git's filter of a file of this name"
    parser.add_argument("--filter", metavar="NAME", help=clean)
    options = parser.parse_args(arguments)
    if options.filter is None:
        in_place([paths.at(path) for path in options.files] or notebooks.listed(paths.at("notebooks")))
    else:
        sys.stdout.buffer.write(filtered(sys.stdin.buffer.read(), options.filter))


if __name__ == "__main__":
    system.command(main, sys.argv[1:])
