"""Which way up: volumes are stored with their axes in any order and direction, and are seen in one.

That one is the radiologists': in a slice the patient's right is on the left and the front on top (below `pictures` and
its neighbours). Networks are shown slices as they are seen, so a row of an image runs across and a column down.

The header's affine says how a volume is stored. As in nibabel, the sform comes before the qform, and an oblique grid
keeps its tilt: axes count as the anatomical ones that they are closest to. Which affines count at all is the rule of
`whereabouts.formats.nifti_header`. Slices along the heart's short axis have a rule of their own, `short_axis`.
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

ACDC = ("L", "P", "S")  # where the axes of its files point, whatever their headers say
_STRAIGHT = 1e-3  # of the direction of an axis: within less it is one of the body's


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


def short_axis(nifti: Nifti) -> np.ndarray:
    """The same, (3, 2), for a stack of slices across the heart's long axis, which stay slices in the order of the file.

    Such slices are tilted against the body. So an affine that has no tilt has lost its directions, as ACDC's have
    (the sform, without the spacing too), and the axes count as ACDC's, which point to the left, the back and on. Of an
    affine that is tilted, the axis that points most to the left runs across, and the other one down: to the back, the
    feet, or both. (RAS+ is then a name for against across, up and through, not for where the axes end.)
    """
    directions = [affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0) for affine in nifti.affines.values()]
    tilted = [one for one in directions if not np.allclose(abs(one), abs(one).round(), rtol=0, atol=_STRAIGHT)]
    if not tilted:
        return nib.orientations.axcodes2ornt(ACDC)
    left, down = -tilted[-1][0, :2], -tilted[-1][1:, :2].sum(0)  # of each in-plane axis; the last one is the sform
    swapped = abs(left[1]) + abs(down[0]) > abs(left[0]) + abs(down[1])
    across, along = (1, 0) if swapped else (0, 1)
    axes = np.array([[0.0, 0], [0, 0], [2, 1]])
    axes[across] = 0, -1 if left[across] >= 0 else 1
    axes[along] = 1, -1 if down[along] >= 0 else 1
    return axes


def turn(nifti: Nifti, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and spacing in the order RAS+."""
    return nib.apply_orientation(nifti.array, axes), nifti.spacing[np.argsort(axes[:, 0])]


def pictures(volume: np.ndarray) -> np.ndarray:
    """RAS+ (X, Y, Z, ...) -> axial slices as they are seen, (Y, X, Z, ...): rows, columns, slices; its own inverse."""
    return volume[::-1, ::-1].swapaxes(0, 1)


def seen(nifti: Nifti, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slices as they are seen, (rows, columns, slices, ...), and spacing (3,) along these, in mm."""
    volume, spacing = turn(nifti, axes)
    return pictures(volume), spacing[[1, 0, 2]]


def stored(volume: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """RAS+ (X, Y, Z) -> the order in which a file of these axes is stored; undoes `turn`."""
    back = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), axes)
    return nib.apply_orientation(volume, back)


def axial(volume: np.ndarray, index: int) -> np.ndarray:
    """Slice `index` along Z: the front is up, the patient's right on the left. (Y, X)."""
    return pictures(volume)[:, :, index]


def coronal(volume: np.ndarray, index: int) -> np.ndarray:
    """Slice `index` along Y: the head is up, the patient's right on the left. (Z, X)."""
    return volume[::-1, index, ::-1].T


def sagittal(volume: np.ndarray, index: int) -> np.ndarray:
    """Slice `index` along X: the head is up, the front on the left. (Z, Y)."""
    return volume[index, ::-1, ::-1].T


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
