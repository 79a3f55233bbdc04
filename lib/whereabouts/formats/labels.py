"""Labels of voxels: whole numbers, whatever type they are stored in."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from whereabouts import paths

ROUNDING = 0.05  # from a whole number: tools save labels under a scaled header of 8 bits, where 7 comes back as 6.99

_MANY = 5  # values in one line


def rounded(values: np.ndarray) -> np.ndarray:
    """Labels in which `faults` found nothing, as whole numbers of an integer type."""
    return values if values.dtype.kind in "iu" else np.rint(values).astype(np.int32)


def faults(values: np.ndarray | None, path: Path | None, known: Collection[int], names: str) -> list[str]:
    """What is wrong with the labels of the file at `path`, if there are any: a line, or none.

    They have to be within `ROUNDING` of whole numbers, and these have to be `known`.

    Args:
        values: of any shape.
        known: labels that there can be.
        names: these, as they are printed.
    """
    if values is None:
        return []
    if not np.isfinite(values).all():
        return [f"{paths.shown(path)}: has NaN or infinite labels; label these voxels, 0 is the background"]
    whole = values if values.dtype.kind in "iu" else np.rint(values)
    if whole is not values and (between := np.abs(values - whole) > ROUNDING).any():
        advice = "save them as whole numbers, resampled by nearest neighbour if at all"
        return [f"{paths.shown(path)}: has labels that are not whole ({_few(values[between])}); {advice}"]
    if (strange := ~np.isin(whole, list(known))).any():
        advice = "relabel these voxels, or restore the file as released"
        return [f"{paths.shown(path)}: has labels other than {names} ({_few(whole[strange])}); {advice}"]
    return []


def _few(values: np.ndarray) -> str:
    values = np.unique(values)
    return ", ".join(f"{value:g}" for value in values[:_MANY]) + (", .." if len(values) > _MANY else "")
