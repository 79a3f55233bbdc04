"""Volumes whose axes are stored in any order and direction: the header's affine says which.

As in nibabel, the sform comes before the qform, and an oblique grid keeps its tilt: axes count as the anatomical ones
that they are closest to. Which affines count at all is the rule of `whereabouts.formats.nifti_header`.
"""

import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.formats import labels, volumes
from whereabouts.formats.volumes import REGRID, TOLERANCE, Nifti


def _affine(nifti: Nifti) -> np.ndarray | None:
    return nifti.affines.get("sform", nifti.affines.get("qform"))


def axes_of(nifti: Nifti, path: Path) -> np.ndarray:
    """nibabel's orientation, (3, 2): for each stored axis the RAS+ axis that it is closest to, and 1 or -1.

    Raises:
        InputError: no affine is declared and sound, or both are and point an axis more than 45 degrees apart.
    """
    shown, affine = paths.shown(path), _affine(nifti)
    if affine is None:
        why = " and ".join(nifti.unsound) or "neither qform nor sform"
        raise InputError(f"{shown}: has no orientation ({why}); restore the header as released")
    if len(nifti.affines) == 2:
        qform, sform = (axis / np.linalg.norm(axis, axis=0) for axis in (a[:3, :3] for a in nifti.affines.values()))
        if (qform * sform).sum(axis=0).min() < math.cos(math.radians(45)):
            codes = " and ".join("".join(nib.aff2axcodes(affine)) for affine in nifti.affines.values())
            raise InputError(
                f"{shown}: its qform and its sform point its axes elsewhere ({codes}); correct one of them"
            )
    return nib.io_orientation(affine)


def turn(nifti: Nifti, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and spacing in the order RAS+."""
    return nib.apply_orientation(nifti.array, axes), nifti.spacing[np.argsort(axes[:, 0])]


def try_read(path: Path | None, problems: list[str]) -> Nifti | None:
    """The volume, or None where there is no such file or it cannot be used; adds to `problems`."""
    nifti = volumes.try_read(path, 3, problems)
    try:
        if nifti:
            axes_of(nifti, path)
    except InputError as fault:
        problems += fault.problems
    return nifti


def grid_difference(image: Nifti, truth: Nifti) -> str | None:
    """What differs between two grids; of the affines, those that count for the orientation, where both are sound."""
    first, second = (_affine(nifti) for nifti in (image, truth))
    difference = volumes.grid_difference(replace(image, affines={}), replace(truth, affines={}))
    if difference or first is None or second is None:
        return difference  # an affine that is missing or unsound is a complaint of its own
    return None if np.allclose(first, second, rtol=0, atol=TOLERANCE) else "affine"


def truth_faults(
    image: Nifti | None, truth: Nifti | None, path: Path | None, known: Collection[int], names: str
) -> list[str]:
    """What is wrong with the labels in the file at `path`, if there are any: alone, and on the grid of their image.

    Args:
        known, names: of the labels that there can be, as in `labels.faults`.
    """
    if truth is None:
        return []
    found = labels.faults(truth.array, path, known, names)
    if not found and not labels.rounded(truth.array).any():
        found = [f"{paths.shown(path)}: shows nothing but background; label it, or leave the case out"]
    if difference := image and grid_difference(image, truth):
        found.append(f"{paths.shown(path)}: {difference} differs from its image's; {REGRID}")
    return found
