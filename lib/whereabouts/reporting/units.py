"""What a chapter's verdicts are made from: its results by seed and test unit, kept beside its tables.

`paper_figures/<run>/<chapter>/units/<table>.csv` has the columns seed, unit and one a quantity; `origin.json` says what
they came from. Verdicts are made from these files alone, in the pipeline as in a fresh clone without any data.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.formats.csv_tables import read_table
from whereabouts.reporting import tables
from whereabouts.reporting.tables import Origin

FOLDER = "units"
DIGITS = 5  # of what is no whole number


@dataclass(frozen=True)
class Units:
    """Made by `read`.

    Args:
        folder: of the chapter's tables.
        claims: the claims file, from the root of the repository.
        title: of the table of verdicts.
        origin: of all tables together.
        labels: table -> the label of its data.
        tables: name -> results indexed by (seed, unit).
    """

    folder: Path
    claims: str
    title: str
    origin: Origin
    labels: dict[str, str]
    tables: dict[str, pd.DataFrame]


def keep(
    folder: Path, claims: str, title: str, origin: Origin, labels: dict[str, str], measured: dict[str, pd.DataFrame]
) -> Units:
    """Write the units of a chapter below `folder`, to five digits, and return what was written, read again.

    Args:
        measured: name -> results indexed by (seed, unit).
        folder, claims, title, origin, labels: as for `Units`.
    """
    for name, table in measured.items():
        rows = table.rename_axis(index=["seed", "unit"]).sort_index(axis=1)
        text = tables.csv(rows.apply(lambda column: column.map(_digits)).reset_index())
        files.write_text(folder / FOLDER / f"{name}.csv", text)
    facts = {"claims": claims, "title": title, "labels": labels, "origin": asdict(origin)}
    files.write_json(folder / FOLDER / "origin.json", facts)
    return read(folder)


def _digits(value: float) -> str:
    if not np.isfinite(value):
        return ""
    return f"{value:.0f}" if value == round(value) else f"{value:.{DIGITS}g}"


def read(folder: Path) -> Units:
    """The units that a chapter keeps below `folder`.

    Raises:
        InputError: there are none, or not all.
    """
    place = folder / FOLDER / "origin.json"
    try:
        facts = json.loads(place.read_text(encoding="utf-8"))
        origin, labels = Origin(**facts["origin"]), facts["labels"]
        claims, title = facts["claims"], facts["title"]
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(f"{paths.shown(place)}: not there, or no such record; run the chapter again") from None
    found = {name: read_table(folder / FOLDER / f"{name}.csv") for name in labels}
    return Units(folder, claims, title, origin, labels, {n: t.set_index(["seed", "unit"]) for n, t in found.items()})


def patients(volumes: pd.Series) -> pd.Series:
    """ "patient001" of "patient001-ED" and "patient001-ES": both phases of a heart are one unit, their mean its value.

    Their scores scatter together, so that as two units they would make the interval too narrow.
    """
    return volumes.astype(str).str.replace(r"-E[DS]$", "", regex=True)


def folders(root: Path) -> list[Path]:
    """The folders of chapters that keep units, anywhere below `root`: paper_figures/demo/inside and so on."""
    return sorted(path.parents[1] for path in root.rglob(f"{FOLDER}/origin.json"))
