"""Chest radiographs in a plain layout, below any prefix:

    images/<id>.png                                    or .jpg, .jpeg: grey, 8 or 16 bits, bone bright
    masks/{heart,left lung,right lung}/<id>.png        or .gif: 0 outside, one other value inside
    sources.csv                                        columns id, licence, patient; others are left alone

A patient may have several radiographs, which only `sources.csv` knows, so it is required. It is UTF-8, between commas,
or between semicolons or tabs, as spreadsheets write it.
"""

import csv
import io
import re
from pathlib import Path

import numpy as np

from whereabouts import paths
from whereabouts.data import chest, names
from whereabouts.data.chest import STRUCTURES, Radiograph
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.formats import limits

COLUMNS = ("id", "licence", "patient")

_LISTED = f"{', '.join(COLUMNS[:-1])} and {COLUMNS[-1]}"
_MASKS = "masks/<structure>/<id>.png or .gif"
_DARK = 14  # bits; who stores fewer in 16 has not scaled them, and what is displayed is nearly black
_IMAGE = re.compile(r"(?:.*/)?images/([^/]+)\.(?i:png|jpe?g)")
_MASK = re.compile(rf"(?:.*/)?masks/({'|'.join(STRUCTURES)})/([^/]+)\.(?i:png|gif)")
_SOURCES = re.compile(r"(?:.*/)?(sources\.csv)")


def read(manifest: Manifest) -> list[Radiograph]:
    """All radiographs, sorted by name, after reading and checking every file that they consist of once.

    Raises:
        InputError: one line for each problem of any image, mask or row of `sources.csv`.
    """
    problems = []
    images, masks, tables = (chest.collect(manifest, layout, problems) for layout in (_IMAGE, _MASK, _SOURCES))
    if not images:
        others = list(chest.astray(manifest, "images", ()).values())
        seen = f"no images but {others[0]}" if others else "no images"
        raise InputError(f"{seen} below {manifest.root}; expected images/<id>.png or .jpg, see data/README.md")
    owners = _owners(manifest, tables.get("sources.csv"), images, problems)
    return chest.check(manifest, images, masks, image, _MASKS, problems, owners)


def image(path: Path) -> np.ndarray:
    """The radiograph: stored value / largest value of its type, (H, W) float32 in [0, 1].

    Raises:
        InputError: as `chest.read_grey`, or 14 bits or fewer in the place of 16.
    """
    stored = chest.read_grey(path)
    bits = int(stored.max()).bit_length()
    if stored.dtype == np.uint16 and stored.min() < stored.max() and bits <= _DARK:
        problem = f"uses {bits} of its 16 bits, so that it is displayed nearly black"
        raise InputError(f"{paths.shown(path)}: {problem}; multiply its values by {2 ** (16 - bits)}")
    return stored.astype(np.float32) / np.float32(np.iinfo(stored.dtype).max)


def _owners(
    manifest: Manifest, file: str | None, images: dict[str, str], problems: list[str]
) -> dict[str, tuple[str, str]]:
    """`sources.csv` as name -> patient and licence; adds to `problems`, also where it does not fit the images."""
    if file is None:
        others = [manifest.path(other) for other in manifest.files if Path(other).stem.casefold() == "sources"]
        where = paths.shown(others[0]) if others else manifest.root
        add = "save it as CSV under that name" if others else "add it"
        problems.append(f"{where}: no sources.csv; {add}, with a row an image and columns {_LISTED}")
        return {}
    shown = paths.shown(manifest.path(file))
    try:
        columns, rows = _table(manifest.path(file))
    except (UnicodeDecodeError, csv.Error) as fault:
        problems.append(f"{shown}: cannot be read ({type(fault).__name__}); save it as CSV in UTF-8")
        return {}
    except InputError as fault:
        problems += fault.problems
        return {}
    missing = [column for column in COLUMNS if column not in columns]
    several = [column for column in COLUMNS if columns.count(column) > 1]
    if missing or several:
        seen = ascii(", ".join(filter(None, columns))[:99])[1:-1] or "none"
        what = f"no column {', '.join(missing)} but {seen}" if missing else f"several columns {', '.join(several)}"
        problems.append(f"{shown}: has {what}; name them so, one each")
        return {}
    owners = {}
    for line, row in rows:
        if any(row[len(columns) :]):
            many = f"{len(row)} cells where there are {len(columns)} columns"
            problems.append(f"{shown}: line {line} has {many}; put quotes around a cell with a comma")
            continue
        name, licence, patient = (dict(zip(columns, row, strict=False)).get(column, "") for column in COLUMNS)
        if not f"{name}{licence}{patient}".isprintable():
            problems.append(f"{shown}: line {line} holds what cannot be printed; correct it")
            continue
        if not (name and licence and patient):
            problems.append(f"{shown}: line {line} has an empty cell; fill in {_LISTED}")
        if name in owners:
            problems.append(f"{shown}: line {line} has the id {name} again; keep one row an image")
        elif name:
            owners[name] = (patient, licence)
    lacking = images.keys() - owners.keys()
    for name in sorted(lacking):
        problems.append(f"{paths.shown(manifest.path(images[name]))}: has no row in {shown}; add it")
    likely = chest.meant(owners.keys() - images.keys(), lacking)
    for name in sorted(owners.keys() - images.keys()):
        other = likely.get(name)
        advice = f"{other} may be meant, correct it" if other else "add it to images/ or remove the row"
        problems.append(f"{shown}: {name} has no image; {advice}")
    return owners


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Names of the columns in lower case, and the rows that are not empty, each with the number of its last line.

    Cells are text in one Unicode form, all spaces alike and none around. What parts them is what makes the most of the
    first line.

    Raises:
        InputError, UnicodeDecodeError, csv.Error: unreadable.
    """
    text = names.composed(limits.read(path, limits.LIST).decode("utf-8-sig"))
    separated = re.match(r"sep=(.)\r?\n", text)  # a line for spreadsheets
    text = text[separated.end() :] if separated else text
    first = text.partition("\n")[0]
    delimiter = separated[1] if separated else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    lines = [(reader.line_num + bool(separated), [cell.replace("\xa0", " ").strip() for cell in row]) for row in reader]
    (_, header), *rows = [(line, row) for line, row in lines if any(row)] or [(0, [])]
    return [column.casefold() for column in header], rows
