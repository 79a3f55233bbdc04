"""Distances between surfaces against closed forms, all pairs of points, and MONAI."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, label
from scipy.spatial.distance import cdist

from whereabouts.metrics.surface import slice_contour_distance, surface_distance

with warnings.catch_warnings():  # MONAI's imports use what its dependencies have deprecated
    warnings.simplefilter("ignore")
    from monai.metrics import compute_average_surface_distance

SPACING = (0.8, 1.5, 4.0)


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def voxels(shape, *places):
    """A mask with these voxels."""
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(np.transpose(places))] = True
    return mask


def blob(shape, part, rng, smooth=3):
    """A random mask of that part of the volume, cut off by its edges here and there."""
    field = gaussian_filter(rng.normal(size=shape), smooth)
    return field > np.quantile(field, 1 - part)


def points_with_a_face_towards(outside):
    """Places that are not in `outside`, a mask that has all of its array's edge, but next to one that is."""
    found = []
    for place in np.ndindex(outside.shape):
        steps = itertools.product(range(outside.ndim), (-1, 1))
        neighbours = ((*place[:axis], place[axis] + step, *place[axis + 1 :]) for axis, step in steps)
        if not outside[place] and any(outside[neighbour] for neighbour in neighbours):
            found.append(place)
    return np.array(found)


def monai(prediction, labels, spacing):
    batches = [torch.from_numpy(mask.copy())[None, None] for mask in (prediction, labels)]
    with warnings.catch_warnings():  # it calls what it has deprecated itself
        warnings.simplefilter("ignore")
        return compute_average_surface_distance(
            *batches, include_background=True, symmetric=True, spacing=spacing
        ).item()


# -------------------------------------------------------------------------------------------------- surfaces in volumes


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("apart", [1, 3])
def test_parallel_plates_are_as_far_apart_as_they_are(axis, apart):
    a, b = np.zeros((2, 6, 5, 7), dtype=bool)
    np.moveaxis(a, axis, 0)[1] = True
    np.moveaxis(b, axis, 0)[1 + apart] = True
    assert surface_distance(a, b, SPACING) == pytest.approx(apart * SPACING[axis], rel=1e-12)


def test_concentric_spheres_are_their_radii_apart():
    """To half a voxel: centres of surface voxels are within a sphere, not on it."""
    x = (np.arange(72)[:, None, None] - 35) * 0.5
    y = (np.arange(40)[:, None] - 20) * 1.0
    z = (np.arange(50) - 25) * 0.75
    radius = np.sqrt(x**2 + y**2 + z**2)
    assert surface_distance(radius <= 9, radius <= 17, (0.5, 1.0, 0.75)) == pytest.approx(8, abs=0.4)


def test_surfaces_of_holes_count():
    """A ball of 7 voxels across against itself with a voxel missing in the middle: 6 new surface voxels, 2 below it."""
    full = np.ones((7, 7, 7), dtype=bool)
    hollow = full & ~voxels(full.shape, (3, 3, 3))
    outer = 7**3 - 5**3
    assert surface_distance(hollow, full, (1, 1, 1)) == pytest.approx(6 * 2 / (2 * outer + 6), rel=1e-12)


def test_the_mean_is_over_the_voxels_of_both_surfaces():
    """From one voxel to a row that starts 2 away: 2; from the row to it: 2, 3, 4 and 5."""
    one, row = voxels((9, 2, 2), (1, 0, 1)), voxels((9, 2, 2), (3, 0, 1), (4, 0, 1), (5, 0, 1), (6, 0, 1))
    assert surface_distance(one, row, SPACING) == pytest.approx(0.8 * (2 + 2 + 3 + 4 + 5) / 5, rel=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 4, 3), (1, 7, 2), (6, 1, 1), (6, 5), (9,), (3, 2, 4, 2)])
@pytest.mark.parametrize("part", [0.15, 0.6, 1.0])
def test_surface_distance_is_that_of_all_pairs(shape, part, rng):
    spacing = np.array([0.8, 1.5, 4.0, 2.0][: len(shape)])
    for _ in range(5):
        masks = rng.random((2, *shape)) <= part
        masks[:, *(0,) * len(shape)] |= ~masks.any(tuple(range(1, len(shape) + 1)))
        a, b = (points_with_a_face_towards(np.pad(~mask, 1, constant_values=True)) * spacing for mask in masks)
        pairs = cdist(a, b)
        expected = np.concatenate([pairs.min(0), pairs.min(1)]).mean()
        assert surface_distance(*masks, spacing) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("shape", [(40, 33, 21), (17, 50, 3), (64, 41)])
@pytest.mark.parametrize("agreeing", [True, False])
def test_surface_distance_is_monais(shape, agreeing, rng):
    spacing, edges = SPACING[-len(shape) :], 0
    for part in (0.05, 0.2, 0.6):
        labels = blob(shape, part, rng)
        prediction = labels ^ blob(shape, 0.02, rng) if agreeing else blob(shape, part, rng)
        expected = monai(prediction, labels, spacing)
        assert surface_distance(prediction, labels, spacing) == pytest.approx(expected, abs=1e-3)
        fortran = (np.asfortranarray(mask) for mask in (prediction, labels))
        assert surface_distance(*fortran, spacing) == pytest.approx(expected, abs=1e-3)
        edges += labels[0].any() and labels[..., -1].any()
    assert edges  # some blobs were cut off by the volume's edge


def test_surface_distance_is_symmetric_and_0_of_a_mask_to_itself(rng):
    a, b = blob((20, 18, 9), 0.2, rng), blob((20, 18, 9), 0.4, rng)
    assert surface_distance(a, b, SPACING) == pytest.approx(surface_distance(b, a, SPACING), rel=1e-12)
    assert surface_distance(a, b, SPACING) > 0
    assert surface_distance(a, a, SPACING) == 0


def test_surface_distance_does_not_depend_on_place_nor_on_the_volume(rng):
    a, b = blob((12, 11, 6), 0.2, rng), blob((12, 11, 6), 0.4, rng)
    around = [((2, 5), (0, 3), (4, 1)), ((7, 0), (3, 0), (0, 5)), ((1, 1), (1, 1), (1, 1))]
    moved = [surface_distance(np.pad(a, pad), np.pad(b, pad), SPACING) for pad in around]
    assert moved == pytest.approx([surface_distance(a, b, SPACING)] * 3, rel=1e-12)


def test_surface_distance_is_in_the_unit_of_the_spacing(rng):
    a, b = blob((12, 11, 6), 0.2, rng), blob((12, 11, 6), 0.4, rng)
    assert surface_distance(a, b, (8, 15, 40)) == pytest.approx(10 * surface_distance(a, b, SPACING), rel=1e-12)


def test_masks_are_left_as_they_were(rng):
    a, b = blob((12, 11, 6), 0.2, rng), blob((12, 11, 6), 0.4, rng)
    before = a.copy(), b.copy()
    surface_distance(a, b, SPACING)
    slice_contour_distance(a, b, 2)
    assert np.array_equal(before, (a, b))


def test_empty_masks():
    """Both: 0. One: the diagonal, which is more than any two voxels are apart."""
    nothing, corner = np.zeros((5, 6, 7), dtype=bool), voxels((5, 6, 7), (0, 0, 0))
    diagonal = np.sqrt(4**2 + 9**2 + 28**2)
    assert surface_distance(nothing, nothing, SPACING) == 0
    assert surface_distance(nothing, corner, SPACING) == pytest.approx(diagonal, rel=1e-12)
    assert surface_distance(corner, nothing, SPACING) == pytest.approx(diagonal, rel=1e-12)
    assert surface_distance(corner, voxels((5, 6, 7), (4, 5, 6)), SPACING) < diagonal


def test_masks_that_cannot_be_compared():
    mask = np.ones((3, 4, 5), dtype=bool)
    for distance in (surface_distance, slice_contour_distance):
        unit = SPACING if distance is surface_distance else 2.0
        with pytest.raises(ValueError, match=r"masks are \(3, 4, 5\) and \(3, 4, 1\); give two of one shape"):
            distance(mask, mask[..., :1], unit)
        with pytest.raises(ValueError, match="masks are bool and int64; give bool, such as labels == 2"):
            distance(mask, mask.astype(np.int64), unit)
        with pytest.raises(ValueError, match="masks are float64 and bool"):
            distance(mask.astype(float), mask, unit)


@pytest.mark.parametrize("spacing", [(1, 1, 0), (1, -1, 1), (1, 1, np.nan), (1, np.inf, 1), (1, 1), 2.0, (1, 1, 1, 1)])
def test_spacing_that_is_none(spacing):
    mask = np.ones((3, 4, 5), dtype=bool)
    with pytest.raises(ValueError, match=r"spacing is .*; give a positive number of mm for each of 3 axes"):
        surface_distance(mask, mask, spacing)


# --------------------------------------------------------------------------------------------------- contours in slices


def contour(mask):
    """Pixels of a mask (X, Y) that border on what can be reached from beyond the image's edge."""
    padded = np.pad(mask, 1)
    regions, _ = label(~padded)
    return points_with_a_face_towards(np.pad(regions == regions[0, 0], 1, constant_values=True))


@pytest.mark.parametrize("shape", [(9, 8, 5), (1, 6, 4), (7, 1, 3)])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.85])
def test_slice_contour_distance_is_that_of_all_pairs(shape, part, rng):
    prediction, labels = rng.random((2, *shape)) < part
    means = []
    for z in range(shape[2]):
        if prediction[..., z].any() and labels[..., z].any():
            pairs = cdist(contour(prediction[..., z]), contour(labels[..., z]))
            means.append((pairs.min(0).mean() + pairs.min(1).mean()) / 2)
    expected = 1.7 * np.mean(means) if means else np.nan
    assert slice_contour_distance(prediction, labels, 1.7) == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_each_contour_counts_for_half():
    """As the code has it: from one pixel to a row that starts 2 away, 2; from the row to it, 2, 3, 4 and 5."""
    one, row = voxels((9, 2, 1), (1, 0, 0)), voxels((9, 2, 1), (3, 0, 0), (4, 0, 0), (5, 0, 0), (6, 0, 0))
    assert slice_contour_distance(one, row, 2) == pytest.approx(2 * (2 + (2 + 3 + 4 + 5) / 4) / 2, rel=1e-12)


def test_each_slice_counts_alike_and_slices_of_one_mask_do_not():
    a, b = np.zeros((2, 12, 3, 6), dtype=bool)
    a[0, 1, 0] = b[0, 1, 1] = True  # never in the same slice
    assert np.isnan(slice_contour_distance(a, b, 2))
    a[2, :, 4] = b[3, :, 4] = True  # rows of 3 pixels, 1 apart
    a[2, 1, 5] = b[9, 1, 5] = True  # pixels 7 apart
    assert slice_contour_distance(a, b, 2) == pytest.approx(2 * (1 + 7) / 2, rel=1e-12)


def test_holes_and_what_is_in_them_have_no_contour():
    full = np.zeros((11, 12, 2), dtype=bool)
    full[1:10, 2:11] = True
    ring, target = full.copy(), full.copy()
    ring[2:9, 3:10] = False
    target[2:9, 3:10] = False
    target[5, 6] = True
    for holed in (ring, target):
        assert slice_contour_distance(holed, full, 2) == 0
    assert surface_distance(target, ring, (1, 1, 1)) > 0  # which the surfaces see


def test_a_ring_that_is_open_has_an_inner_contour():
    full = np.ones((5, 5, 1), dtype=bool)
    open_ring = full.copy()
    open_ring[1:4, 1:4] = open_ring[0, 2] = False
    assert slice_contour_distance(open_ring, full, 1) == pytest.approx((0 + 1 / 16) / 2, rel=1e-12)


@pytest.mark.parametrize("pixel", [0, -2.0, np.nan, np.inf])
def test_pixels_of_no_size(pixel):
    mask = np.ones((3, 4, 5), dtype=bool)
    with pytest.raises(ValueError, match=r"pixel is .*; give a positive number of mm"):
        slice_contour_distance(mask, mask, pixel)


def test_contours_need_slices():
    mask = np.ones((3, 4), dtype=bool)
    with pytest.raises(ValueError, match=r"masks are 2-dimensional; give \(X, Y, Z\), slices along Z"):
        slice_contour_distance(mask, mask, 2)
