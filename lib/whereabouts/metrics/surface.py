"""How far the surfaces of two masks are apart, in mm: S2S of Schlemper 2019, Tables 1 to 3, by text and by code."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import binary_fill_holes
from scipy.spatial import cKDTree


def surface_distance(prediction: ArrayLike, labels: ArrayLike, spacing: Sequence[float]) -> float:
    """Mean symmetric distance between the surfaces of two masks, the paper's "mesh surface to surface distance".

    A surface is a mask less its erosion: the voxels with a face towards the background, what is outside of the volume
    being background. From every surface voxel of one mask to the nearest of the other, and back; the mean is over the
    voxels of both surfaces together, so that the larger one counts for more. This is MONAI's
    `compute_average_surface_distance(symmetric=True)`. Distances are between voxels' centres; the paper's are between
    meshes, by a tool that it does not name.

    Where masks are empty, MONAI says NaN or infinity. Here two empty masks are 0 apart, and one empty mask is the
    volume's diagonal away from the other, which no two voxels reach: an organ that was missed must not vanish from
    the mean over cases.

    Args:
        prediction, labels: bool, (X, Y, Z), or of any number of dimensions.
        spacing: of voxels along each axis, in mm, such as (2, 2, 2).

    Returns:
        In mm.

    Raises:
        ValueError: masks that are not bool or differ in shape, or spacing that is not positive for each axis.
    """
    prediction, labels = _masks(prediction, labels)
    spacing = np.asarray(spacing, dtype=float)
    if spacing.shape != (prediction.ndim,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ValueError(
            f"spacing is {spacing.tolist()}; give a positive number of mm for each of {prediction.ndim} axes"
        )
    if not (prediction.any() and labels.any()):
        diagonal = float(np.linalg.norm(spacing * prediction.shape))
        return diagonal if prediction.any() or labels.any() else 0.0
    box = _bounding_box(prediction | labels)
    there, back = _distances(_surface(prediction[box]), _surface(labels[box]), spacing)
    return float(np.concatenate([there, back]).mean())


def slice_contour_distance(prediction: ArrayLike, labels: ArrayLike, pixel: float) -> float:
    """Mean symmetric distance between contours in axial slices, what the released code of Schlemper 2019 measures.

    In each slice that both masks reach: the outer contours, which are the pixels of the mask, holes filled, with an
    edge towards the background; the mean distance from one mask's contour to the other's, and back; the mean of these
    two, the larger contour counting no more than the smaller. Then the mean over slices. Slices that one mask misses do
    not count, however many they are, nor does any distance along the third axis.

    The code follows contours with OpenCV, which counts a pixel twice that it passes twice, as in parts one pixel wide.
    Here each counts once.

    Args:
        prediction, labels: bool, (X, Y, Z), axial slices along the last axis.
        pixel: of square pixels, in mm; 2 in the paper.

    Returns:
        In mm; NaN if no slice has both, which the code leaves out of its mean over cases.

    Raises:
        ValueError: masks that are not bool, not three-dimensional or differ in shape, or a pixel that is not positive.
    """
    prediction, labels = _masks(prediction, labels)
    if prediction.ndim != 3:
        raise ValueError(f"masks are {prediction.ndim}-dimensional; give (X, Y, Z), slices along Z")
    if not 0 < pixel < np.inf:
        raise ValueError(f"pixel is {pixel}; give a positive number of mm")
    means = []
    for z in np.flatnonzero(prediction.any((0, 1)) & labels.any((0, 1))):
        contours = (_surface(binary_fill_holes(mask[..., z])) for mask in (prediction, labels))
        means.append(np.mean([way.mean() for way in _distances(*contours, np.full(2, pixel))]))
    return float(np.mean(means)) if means else np.nan


def _masks(prediction: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays, or ValueError."""
    prediction, labels = np.asarray(prediction), np.asarray(labels)
    if prediction.dtype != bool or labels.dtype != bool:
        raise ValueError(f"masks are {prediction.dtype} and {labels.dtype}; give bool, such as labels == 2")
    if prediction.shape != labels.shape:
        raise ValueError(f"masks are {prediction.shape} and {labels.shape}; give two of one shape")
    return prediction, labels


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest part of the volume that has all of a mask."""
    box = []
    for axis in range(mask.ndim):
        reached = np.flatnonzero(mask.any(tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(reached[0], reached[-1] + 1))
    return tuple(box)


def _surface(mask: np.ndarray) -> np.ndarray:
    """Voxels of a mask with a face towards the background or the edge of the array."""
    mask = np.ascontiguousarray(mask)  # as NIfTI is read, axes are in the order that is slow here
    inside = mask.copy()
    for axis in range(mask.ndim):
        inner, outer = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        inner[1:] &= outer[:-1]
        inner[:-1] &= outer[1:]
        inner[0] = inner[-1] = False
    return mask & ~inside


def _distances(a: np.ndarray, b: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From each voxel of surface a to the nearest of b, and from each of b to the nearest of a, in mm."""
    points = [np.transpose(np.unravel_index(np.flatnonzero(surface), surface.shape)) * spacing for surface in (a, b)]
    shared = [b[a], a[b]]  # voxels that are in both surfaces: 0, and many, if the masks are alike
    # on a grid, trees that are neither balanced nor compact are built and searched fastest
    trees = [cKDTree(part, leafsize=32, balanced_tree=False, compact_nodes=False) for part in points]
    distances = []
    for part, same, tree in zip(points, shared, reversed(trees), strict=True):
        distance = np.zeros(len(part))
        distance[~same] = tree.query(part[~same])[0]
        distances.append(distance)
    return tuple(distances)
