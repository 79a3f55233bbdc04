"""A synthetic stand-in for the MM-WHS 2017 challenge, in exactly its layout: the real loader reads it unchanged.

Layout (Zhuang and Shen, Medical Image Analysis 2016), one patient a number, CT and MR of different patients:

    ct_train/ct_train_1001_image.nii.gz, ct_train_1001_label.nii.gz ..
    mr_train/mr_train_1001_image.nii.gz, mr_train_1001_label.nii.gz ..

Voxels are int16, their axes point in whatever direction the scan had, and the affine says which. Labels are those of
`whole_heart.LABELS`, and in a file in ten a few voxels of the left atrium are 421, as in the released files.
"""

from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

from whereabouts.phantoms import chest_volume
from whereabouts.phantoms.chest_volume import Chest
from whereabouts.phantoms.painting import require, smooth
from whereabouts.phantoms.scanner import tint
from whereabouts.phantoms.whole_heart import LABELS, Heart, Space, Tissue
from whereabouts.pipeline import progress

STRAY = 421
MARGIN = 15.0  # mm above and below what is labelled
AXES = {"ct": ("LPS", "LPS", "LPS", "LAS", "RAS"), "mr": ("PSL", "PIR", "ASL", "LIP", "LPS")}


class Grid(NamedTuple):
    """Where voxels lie.

    Args:
        axes: direction in the body of each stored axis: a letter of L, R, P, A, S, I; the last axis counts slices.
        shape: (3,) voxels along the stored axes.
        zooms: (3,) mm between voxels along the stored axes.
        centre: (3,) position of the middle of the volume in the body's frame, mm.
    """

    axes: str
    shape: tuple[int, int, int]
    zooms: tuple[float, float, float]
    centre: tuple[float, float, float]

    def directions(self) -> np.ndarray:
        """(3, 3) rows: unit vector in the body's frame of each stored axis."""
        return np.array([np.eye(3)["LPS".index(a)] if a in "LPS" else -np.eye(3)["RAI".index(a)] for a in self.axes])

    def corner(self) -> np.ndarray:
        """(3,) position of the first voxel in the body's frame, mm."""
        return self.centre - (np.array(self.shape) - 1) / 2 * self.zooms @ self.directions()

    def positions(self) -> Space:
        """x, y and z of the voxels; each broadcasts to the shape reversed: (slices, down, across)."""
        found = []
        for first, column in zip(self.corner(), self.directions().T, strict=True):
            (axis,) = np.flatnonzero(column)
            line = first + column[axis] * self.zooms[axis] * np.arange(self.shape[axis])
            found.append(np.moveaxis(line.astype(np.float32)[:, None, None], 0, 2 - axis))
        return Space(*found)


def write(root: Path, cases: int, step: float, rng: np.random.Generator, variety: float = 0) -> None:
    """Write `cases` CT volumes below `root`/ct_train and as many MR volumes below `root`/mr_train.

    Both modalities show hearts of the same distribution. Case k comes from the k-th generator spawned from `rng`, so it
    does not depend on how many follow.

    Args:
        root: folder that takes the place of the unpacked challenge.
        cases: number of volumes of either modality, from 1 to 999.
        step: size of the voxels, mm, about which each volume's own varies; slices are 1 to 2 of them apart.
        rng: the only source of randomness.
        variety: how much scanners of MR differ (`whereabouts.phantoms.scanner.tint`), and the contrast medium and the
            dose of CT (`_injection`).

    Raises:
        InputError: `cases` or `step` is out of range.
    """
    require(cases, step)
    for index, child in enumerate(progress.bar(rng.spawn(cases), desc="MM-WHS phantom", unit="case")):
        for modality, own in zip(("ct", "mr"), child.spawn(2), strict=True):
            name = f"{modality}_train"
            _write_case(Path(root) / name, f"{name}_{1001 + index}", modality, step, own, variety)


def _write_case(folder: Path, name: str, modality: str, step: float, rng: np.random.Generator, variety: float) -> None:
    """Draw a patient, scan it, and write image and labels into `folder`."""
    heart = Heart.sample(rng)
    chest = Chest.sample(heart, rng)
    grid = _sample_grid(heart, AXES[modality], step, rng)
    image, labels = (_ct if modality == "ct" else _mr)(heart, chest, grid, rng, variety)
    if rng.random() < 0.1:
        atrium = np.argwhere(labels == LABELS["left atrium"])
        labels[tuple(rng.choice(atrium, 4, replace=False).T)] = STRAY
    folder.mkdir(parents=True, exist_ok=True)
    affine = _affine(grid, rng.normal(0, 60, 3))
    for kind, array in (("image", np.round(image).astype(np.int16)), ("label", labels)):
        file = nib.Nifti1Image(array, affine)
        file.set_sform(affine, 1)
        file.set_qform(affine, 1)
        file.header.set_xyzt_units("mm")
        nib.save(file, folder / f"{name}_{kind}.nii.gz")


def _sample_grid(heart: Heart, choices: tuple[str, ...], step: float, rng: np.random.Generator) -> Grid:
    """A field of view that is 200 to 230 mm wide and deep, and as tall as what is labelled with a margin."""
    low, high = heart.extent()
    middle, tall = (low + high) / 2, high[2] - low[2]
    middle += rng.uniform((-12, -4, -4), (12, 20, 4))  # nobody centres it exactly
    wide, deep = rng.uniform(200, 230, 2)
    axes = str(rng.choice(choices))
    pixel = round(step * rng.uniform(0.9, 1.1), 4)
    zooms = pixel, pixel, round(pixel * rng.uniform(1, 2), 4)
    body = {"L": wide, "R": wide, "P": deep, "A": deep, "S": tall + 2 * MARGIN + 8, "I": tall + 2 * MARGIN + 8}
    shape = tuple(int(np.ceil(body[axis] / zoom)) for axis, zoom in zip(axes, zooms, strict=True))
    return Grid(axes, shape, zooms, tuple(middle))


def _affine(grid: Grid, isocentre: np.ndarray) -> np.ndarray:
    """(4, 4) voxel indices to NIfTI's mm, x to the right, y to the front, from the scanner's `isocentre`, (3,)."""
    affine = np.eye(4)
    affine[:3, :3] = (grid.directions() * np.array(grid.zooms)[:, None]).T
    affine[:3, 3] = grid.corner() - isocentre
    return np.diag([-1, -1, 1, 1]) @ affine


def _scan(
    heart: Heart, chest: Chest, tissue: Tissue, grid: Grid, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Image without noise, float32, and labels, int16; both of shape `grid.shape`."""
    shape, pixel, slab = grid.shape[::-1], grid.zooms[0], grid.zooms[2]
    warp = 3 * smooth(rng, (3, *shape), 40 / pixel, 40 / slab)  # mm; no two anatomies are alike
    fields = [smooth(rng, shape, scale / pixel, scale / slab) for scale in (4.5, 11, 11)]
    image, labels = np.empty(shape, np.float32), np.empty(shape, np.int16)
    places = [np.broadcast_to(place, shape) for place in grid.positions()]
    slices = max(1, 100_000 // (shape[1] * shape[2]))  # so few at a time stay in the processor's cache
    for first in range(0, shape[0], slices):
        part = slice(first, first + slices)
        space = Space(*(place[part] + shift[part] for place, shift in zip(places, warp, strict=True)))
        here = np.stack([field[part] for field in fields])
        labels[part] = chest_volume.paint(image[part], space, heart, chest, tissue, here, max(1.2, pixel))
    return image.T, labels.T


def _injection(tissue: Tissue, variety: float, rng: np.random.Generator) -> Tissue:
    """`tissue` of a CT after more or less contrast medium, earlier or later, at another voltage of the tube.

    What the blood of either side and the myocardium have above blood without medium, 45 HU, is multiplied by numbers
    of their own between exp(-variety) and exp(variety).
    """
    factors = np.exp(rng.uniform(-variety, variety, 3))
    values = 45 + factors * (np.array([tissue.left, tissue.right, tissue.myocardium]) - 45)
    return tissue._replace(**dict(zip(("left", "right", "myocardium"), values, strict=True)))


def _ct(
    heart: Heart, chest: Chest, grid: Grid, rng: np.random.Generator, variety: float
) -> tuple[np.ndarray, np.ndarray]:
    """A CT angiogram, Hounsfield units, and labels: contrast fills the left side, and more or less of the right one."""
    tissue = Tissue(
        air=-1000,
        lung=rng.uniform(-880, -820),
        fat=rng.uniform(-105, -80),
        muscle=rng.uniform(45, 65),
        myocardium=rng.uniform(90, 120),
        left=rng.uniform(350, 450),
        right=rng.uniform(150, 350),
        marrow=rng.uniform(200, 320),
        cortex=rng.uniform(600, 900),
        liver=rng.uniform(65, 110),
        texture=rng.uniform(8, 14),
    )
    if variety:
        (other,) = rng.spawn(1)
        tissue = _injection(tissue, variety, other)
    image, labels = _scan(heart, chest, tissue, grid, rng)
    noise = rng.uniform(15, 30) * rng.standard_normal(image.shape, np.float32)
    if variety:
        noise *= np.float32(np.exp(other.uniform(0, variety)))  # less dose
    return np.maximum(image + noise, -1024), labels


def _mr(
    heart: Heart, chest: Chest, grid: Grid, rng: np.random.Generator, variety: float
) -> tuple[np.ndarray, np.ndarray]:
    """A balanced steady-state MR angiogram, arbitrary units, and labels: the coils' gain drifts, noise is Rician."""
    blood = rng.uniform(0.95, 1.1)
    tissue = Tissue(
        air=0.01,
        lung=rng.uniform(0.04, 0.1),
        fat=rng.uniform(0.75, 1.0),
        muscle=rng.uniform(0.2, 0.3),
        myocardium=rng.uniform(0.32, 0.45),
        left=blood,
        right=blood * rng.uniform(0.88, 1.02),
        marrow=rng.uniform(0.3, 0.45),
        cortex=rng.uniform(0.06, 0.12),
        liver=rng.uniform(0.35, 0.5),
        texture=rng.uniform(0.03, 0.05),
    )
    image, labels = _scan(heart, chest, tissue, grid, rng)
    shape = image.shape[::-1]
    drift = smooth(rng, shape, 90 / grid.zooms[0], 90 / grid.zooms[2]).T
    image *= np.exp(rng.uniform(0.05, 0.13) * drift)
    noise = rng.uniform(0.02, 0.045) * rng.standard_normal((2, *shape), np.float32)
    image = np.hypot(image + noise[0].T, noise[1].T)
    if variety:
        image = tint(image, grid.zooms, variety, *rng.spawn(1))
    return rng.uniform(250, 1200) * image, labels
