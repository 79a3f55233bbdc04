"""Chest radiographs in a plain layout, below any prefix:

    images/<id>.png                                    or .jpg, .jpeg: grey, 8 or 16 bits, bone bright
    masks/{heart,left lung,right lung}/<id>.png        or .gif: 0 outside, one other value inside
    sources.csv                                        columns id, licence, patient; others are left alone

A patient may have several radiographs, which only `sources.csv` knows, so it is required.
"""

import csv
import io
import re
from pathlib import Path

import numpy as np

from lib import paths
from lib.data import chest
from lib.data.chest import STRUCTURES, Radiograph
from lib.data.manifest import Manifest
from lib.errors import InputError

COLUMNS = ("id", "licence", "patient")

_LISTED = f"{', '.join(COLUMNS[:-1])} and {COLUMNS[-1]}"
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
        raise InputError(f"no images below {manifest.root}; expected images/<id>.png and others, see data/README.md")
    owners = _owners(manifest, tables.get("sources.csv"), images, problems)
    return chest.check(manifest, images, masks, image, problems, owners)


def image(path: Path) -> np.ndarray:
    """The radiograph: stored value / largest value of its type, (H, W) float32 in [0, 1].

    Raises:
        InputError: unreadable, too large or coloured.
    """
    try:
        stored = chest.read_grey(path)
    except ValueError as fault:
        raise InputError(f"{paths.shown(path)}: {fault}") from None
    return stored.astype(np.float32) / np.float32(np.iinfo(stored.dtype).max)


def _owners(
    manifest: Manifest, file: str | None, images: dict[str, str], problems: list[str]
) -> dict[str, tuple[str, str]]:
    """`sources.csv` as name -> patient and licence; adds to `problems`, also where it does not fit the images."""
    if file is None:
        problems.append(f"{manifest.root}: no sources.csv; add it, with a row an image and columns {_LISTED}")
        return {}
    shown = paths.shown(manifest.path(file))
    try:
        text = manifest.path(file).read_text(encoding="utf-8-sig")
        table = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
        missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
        rows = [(table.line_num, *((row.get(column) or "").strip() for column in COLUMNS)) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        problems.append(f"{shown}: cannot be read ({type(fault).__name__}); save it as CSV in UTF-8")
        return {}
    if missing:
        problems.append(f"{shown}: has no column {', '.join(missing)}; its columns are {_LISTED}, between commas")
        return {}
    owners = {}
    for line, name, licence, patient in rows:
        if not (name and licence and patient):
            problems.append(f"{shown}: line {line} has an empty cell; fill in {_LISTED}")
        if name in owners:
            problems.append(f"{shown}: line {line} has the id {name} again; keep one row an image")
        elif name:
            owners[name] = (patient, licence)
    for name in sorted(images.keys() - owners.keys()):
        problems.append(f"{paths.shown(manifest.path(images[name]))}: has no row in {shown}; add it")
    for name in sorted(owners.keys() - images.keys()):
        problems.append(f"{shown}: {name} has no image; add it to images/ or remove the row")
    return owners
