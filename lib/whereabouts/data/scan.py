"""A scan: one volume with its labels, brought to isotropic voxels for a network, and a network's answer brought back.

Axes run to the patient's right, front and head (RAS+) wherever a header says so, so the first two are those of an axial
slice. Voxels are boxes: resampling keeps the outer edges of the field of view, and with them every position in mm.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import interpolate

from whereabouts import paths
from whereabouts.data.in_plane import check_grid
from whereabouts.data.prepared import array, table


@dataclass(frozen=True)
class Scan:
    """One volume.

    Args:
        name: of the case.
        image: (X, Y, Z), finite; None where labels alone are wanted.
        labels: (X, Y, Z), uint8, 0 is the background; None where there are none.
        spacing: (3,) mm, along X, Y, Z.
    """

    name: str
    image: np.ndarray | None
    labels: np.ndarray | None
    spacing: tuple[float, float, float]


def turned(scan: Scan, axes: np.ndarray) -> Scan:
    """The scan in the order RAS+: its axes permuted and reversed, never interpolated.

    Args:
        axes: (3, 2), as `nibabel.io_orientation` gives them: for each axis the RAS+ axis that it becomes, and 1 or -1.
    """
    image, labels = (
        None if volume is None else nib.apply_orientation(volume, axes) for volume in (scan.image, scan.labels)
    )
    spacing = tuple(scan.spacing[axis] for axis in np.argsort(axes[:, 0]))
    return replace(scan, image=image, labels=labels, spacing=spacing)


def isotropic(scan: Scan, spacing: float, blur: float = 0.0) -> Scan:
    """The scan with voxels of about `spacing` mm: linear interpolation for the image, nearest neighbour for labels.

    The number of voxels is whole, at least 1, so that they measure length / round(length / spacing) mm.

    Args:
        spacing: mm.
        blur: standard deviation of a Gaussian before the image is resampled, mm. (Attention Gated Networks' code has
            0.75 and does not say of what.)

    Raises:
        InputError: more voxels than a volume may have.
    """
    voxels = [n * step / spacing for n, step in zip(scan.image.shape, scan.spacing, strict=True)]
    check_grid(tuple(voxels), " x ".join(f"{step:g}" for step in scan.spacing), spacing)
    shape = tuple(max(1, round(number)) for number in voxels)
    image = scan.image.astype(np.float32)
    if blur:
        image = ndimage.gaussian_filter(image, [blur / step for step in scan.spacing], mode="nearest")
    labels = None if scan.labels is None else _zoom(scan.labels, shape, order=0)
    steps = tuple(n * step / m for n, step, m in zip(scan.image.shape, scan.spacing, shape, strict=True))
    return replace(scan, image=_zoom(image, shape, order=1), labels=labels, spacing=steps)


def _zoom(volume: np.ndarray, shape: tuple[int, ...], order: int) -> np.ndarray:
    factors = [m / n for n, m in zip(volume.shape, shape, strict=True)]
    return ndimage.zoom(volume, factors, order=order, mode="nearest", grid_mode=True)


def to_grid(logits: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Class logits (C, X', Y', Z') on isotropic voxels -> most probable class (X, Y, Z), uint8, on the scan's own grid.

    Interpolated are the logits, not the labels, so that borders stay smooth.
    """
    return interpolate(logits[None].float(), tuple(shape), mode="trilinear", align_corners=False)[0].argmax(0).byte()


def small(scan: Scan, path: Path, least: int) -> list[str]:
    """One line if the scan, read from `path`, has fewer than `least` voxels along an axis."""
    shape, spacing = (" x ".join(f"{n:.3g}" for n in numbers) for numbers in (scan.image.shape, scan.spacing))
    if min(scan.image.shape) >= least:
        return []
    wanted = f"a network needs {least} along each axis; leave it out or choose finer voxels"
    return [f"{paths.shown(path)}: {shape} voxels of {spacing} mm, {wanted}"]


def pack(scans: list[Scan], name: str) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
    """Volumes of any shapes as two flat arrays, and where each lies in them; `unpack` is the inverse.

    Args:
        scans: with labels; without an image, all of them, where labels alone are to be kept.
        name: of what the arrays are called, "<name>_image" and "<name>_labels".

    Returns:
        Arrays for `whereabouts.data.prepared.write`, and the columns of its table: <name>_start, and three times
        <name>_voxels_<axis> and <name>_mm_<axis>.
    """
    arrays = {f"{name}_labels": np.concatenate([scan.labels.ravel().astype(np.uint8) for scan in scans])}
    if scans[0].image is not None:
        arrays[f"{name}_image"] = np.concatenate([scan.image.ravel().astype(np.float32) for scan in scans])
    rows = {f"{name}_start": np.cumsum([0, *(scan.labels.size for scan in scans)])[:-1]}
    for axis, letter in enumerate("xyz"):
        rows[f"{name}_voxels_{letter}"] = [scan.labels.shape[axis] for scan in scans]
        rows[f"{name}_mm_{letter}"] = [scan.spacing[axis] for scan in scans]
    return arrays, pd.DataFrame(rows)


def unpack(folder: Path, name: str, cases: list[str]) -> list[Scan]:
    """The volumes of `cases`, in this order, that were packed as `name` into the prepared data set in `folder`."""
    rows = table(folder).set_index("case")
    packed = {kind: f"{name}_{kind}" for kind in ("image", "labels")}
    arrays = {kind: array(folder, file) for kind, file in packed.items() if (paths.at(folder) / f"{file}.npy").exists()}
    scans = []
    for case in cases:
        row = rows.loc[case]
        shape = tuple(int(row[f"{name}_voxels_{letter}"]) for letter in "xyz")
        spacing = tuple(float(row[f"{name}_mm_{letter}"]) for letter in "xyz")
        part = slice(int(row[f"{name}_start"]), int(row[f"{name}_start"]) + int(np.prod(shape)))
        volumes = {kind: np.array(flat[part]).reshape(shape) for kind, flat in arrays.items()}
        scans.append(Scan(case, volumes.get("image"), volumes["labels"], spacing))
    return scans


def tensor(scan: Scan) -> tuple[Tensor, Tensor]:
    """Image (X, Y, Z), float32, and labels (X, Y, Z), uint8, as tensors."""
    return torch.from_numpy(scan.image.astype(np.float32)), torch.from_numpy(scan.labels.astype(np.uint8))
