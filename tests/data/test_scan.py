"""Scans: isotropic voxels and back in closed form, orders of axes, packing volumes of any shapes."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from whereabouts.data import prepared
from whereabouts.data.scan import Scan, isotropic, pack, small, tensor, to_grid, turned, unpack

SPACINGS = [(1.0, 1.0, 1.0), (0.8, 1.7, 5.0), (3.0, 0.7, 2.0)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def centres(shape, spacing):
    """mm of each voxel's centre from the volume's outer edge, three arrays."""
    return [(index + 0.5) * step for index, step in zip(np.indices(shape), spacing, strict=True)]


def scan_of(image, spacing=(1.0, 1.0, 1.0), labels=None, name="a"):
    return Scan(name, image, labels, spacing)


# Isotropic voxels


@pytest.mark.parametrize("shape", [(20, 21, 13), (7, 16, 9)])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("target", [0.9, 2.0])
def test_a_ramp_in_mm_stays_one(shape, spacing, target):
    """Linear interpolation is exact between the centres of the outermost voxels; beyond them values stay the same."""
    slopes = (3, -2, 5)
    ramp = sum(slope * place for slope, place in zip(slopes, centres(shape, spacing), strict=True))
    result = isotropic(scan_of(ramp, spacing), target)
    places = centres(result.image.shape, result.spacing)
    inner = [np.clip(place, step / 2, (n - 0.5) * step) for place, step, n in zip(places, spacing, shape, strict=True)]
    expected = sum(slope * place for slope, place in zip(slopes, inner, strict=True))
    np.testing.assert_allclose(result.image, expected, atol=2e-3)
    assert result.image.dtype == np.float32 and result.labels is None and result.name == "a"


@pytest.mark.parametrize("shape", [(20, 21, 13), (1, 2, 3)])
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("target", [0.5, 1.3, 4.0, 1000.0])
def test_the_field_of_view_keeps_its_size(shape, spacing, target):
    """Voxels are as near to the target as a whole number of them, at least one, allows."""
    result = isotropic(scan_of(np.zeros(shape), spacing, np.zeros(shape, np.uint8)), target)
    assert result.image.shape == result.labels.shape
    for n, step, m, new in zip(shape, spacing, result.image.shape, result.spacing, strict=True):
        assert m * new == pytest.approx(n * step)
        assert m == 1 or abs(n * step - m * target) <= target / 2 + 1e-9
        assert type(new) is float


def test_voxels_of_the_right_size_stay_as_they_are(rng):
    image, labels = rng.normal(size=(9, 8, 7)).astype(np.float32), rng.integers(0, 4, (9, 8, 7), np.uint8)
    result = isotropic(scan_of(image, (2.0, 2.0, 2.0), labels), 2.0)
    np.testing.assert_allclose(result.image, image, atol=1e-6)
    np.testing.assert_array_equal(result.labels, labels)
    assert result.spacing == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("target", [0.7, 1.9])
def test_labels_stay_labels_of_the_nearest_voxel(target, rng):
    labels = rng.choice(np.array([0, 1, 7, 255], np.uint8), (11, 6, 5))
    spacing = (1.1, 1.7, 3.1)
    result = isotropic(scan_of(np.zeros(labels.shape), spacing, labels), target)
    assert result.labels.dtype == np.uint8
    places = zip(centres(result.labels.shape, result.spacing), spacing, strict=True)
    index = tuple(np.floor(place / step + 1e-9).astype(int) for place, step in places)
    np.testing.assert_array_equal(result.labels, labels[index])


def test_whole_numbers_are_interpolated_as_such(rng):
    """int16, Fortran order and a flipped view: what loaders return."""
    image = rng.integers(-1000, 1000, (6, 5, 8)).astype(np.int16)
    expected = isotropic(scan_of(image.astype(np.float64), (1.0, 2.0, 1.5)), 0.8).image
    for same in (image, np.asfortranarray(image), image[::-1].copy()[::-1], image.astype(">i2")):
        np.testing.assert_array_equal(isotropic(scan_of(same, (1.0, 2.0, 1.5)), 0.8).image, expected)
    assert np.abs(expected - expected.round()).max() > 0.1


@pytest.mark.parametrize("axis", range(3))
def test_the_blur_is_in_mm(axis):
    """A Gaussian of sigma scales a cosine of wave number k by exp(-(k sigma)^2 / 2)."""
    spacing, sigma, wave = (0.5, 1.0, 0.8), 1.5, 2 * np.pi / 12
    shape = tuple(round(60 / step) for step in spacing)
    shape = tuple(n if index == axis else 3 for index, n in enumerate(shape))
    cosine = np.cos(wave * centres(shape, spacing)[axis])
    result = isotropic(scan_of(cosine, spacing), spacing[axis], blur=sigma)
    place = centres(result.image.shape, result.spacing)[axis]
    inner = (place > 8) & (place < 52)
    expected = np.exp(-((wave * sigma) ** 2) / 2) * np.cos(wave * place)
    np.testing.assert_allclose(result.image[inner], expected[inner], atol=2e-3)


def test_the_blur_leaves_labels_alone(rng):
    labels = rng.integers(0, 3, (8, 8, 8), np.uint8)
    result = isotropic(scan_of(labels * 100.0, labels=labels), 1.0, blur=2.0)
    np.testing.assert_array_equal(result.labels, labels)
    assert result.image.std() < 20 < (labels * 100.0).std()


# Back to the scan's own voxels


@pytest.mark.parametrize("shape", [(20, 15, 9), (33, 7, 12), (8, 8, 8)])
def test_the_border_between_classes_keeps_its_place_in_mm(shape):
    """The difference of two logits is linear and 0 on a plane; voxels beyond the plane are of the other class."""
    own, lengths = (16, 10, 6), (40.0, 30.0, 24.0)
    coarse, fine = (
        centres(size, [length / n for n, length in zip(size, lengths, strict=True)]) for size in (own, shape)
    )
    for axis, plane in itertools.product(range(3), (0.41, 0.57)):
        distance = torch.tensor(coarse[axis] - plane * lengths[axis], dtype=torch.float32)
        classes = to_grid(torch.stack([-distance, distance]), shape)
        assert classes.dtype == torch.uint8 and classes.shape == shape
        np.testing.assert_array_equal(classes.numpy(), fine[axis] > plane * lengths[axis])


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.3, 2.9), (2.6, 0.9, 1.2)])
@pytest.mark.parametrize("precision", [torch.float32, torch.float16])
def test_there_and_back_changes_nothing_but_borders(spacing, precision):
    """Large blocks of classes come back, to within the larger voxel of their borders, and to the very edge."""
    shape = (40, 31, 23)
    x, y, z = centres(shape, spacing)
    middle = [n * step / 2 for n, step in zip(shape, spacing, strict=True)]
    labels = ((x > middle[0]) + 2 * (y > middle[1]) + 4 * (z > middle[2])).astype(np.uint8)
    small = isotropic(scan_of(np.zeros(shape), spacing, labels), 1.5)
    logits = 10 * torch.nn.functional.one_hot(torch.from_numpy(small.labels).long(), 8).movedim(-1, 0)
    back = to_grid(logits.to(precision), shape).numpy()
    reach = max(1.5, *spacing)
    sure = np.all([np.abs(p - m) > reach for p, m in zip((x, y, z), middle, strict=True)], axis=0)
    assert sure.mean() > 0.5 and sure[0, 0, 0] and sure[-1, -1, -1]
    np.testing.assert_array_equal(back[sure], labels[sure])


def test_logits_are_interpolated_not_labels():
    """Half-way between a sure 0 and a doubtful 1, the sum of logits decides."""
    logits = torch.zeros(2, 2, 1, 1)
    logits[0, 0], logits[1, 1] = 9, 1
    assert to_grid(logits, (8, 1, 1)).flatten().tolist() == [0, 0, 0, 0, 0, 0, 1, 1]


# Orders of axes


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
@pytest.mark.parametrize("signs", [*itertools.product((1, -1), repeat=3)])
def test_turned_undoes_every_order_of_axes(order, signs, rng):
    image, labels = rng.normal(size=(4, 5, 6)), rng.integers(0, 9, (4, 5, 6), np.uint8)
    spacing = (0.5, 1.5, 2.5)
    flip = tuple(slice(None, None, sign) for sign in signs)
    stored = scan_of(image.transpose(order)[flip], tuple(spacing[axis] for axis in order))
    axes = np.array([*zip(order, signs, strict=True)], float)
    for truth in (labels, None):
        own = None if truth is None else truth.transpose(order)[flip]
        result = turned(Scan("b", stored.image, own, stored.spacing), axes)
        np.testing.assert_array_equal(result.image, image)
        assert (result.name, result.spacing) == ("b", spacing)
        assert result.labels is None if truth is None else np.array_equal(result.labels, truth)


# Packing


def scans(rng, count=4):
    shapes = rng.integers(1, 9, (count, 3))
    return [
        Scan(
            f"case_{index}",
            rng.normal(size=shape).astype(np.float32),
            rng.integers(0, 256, shape, np.uint8),
            tuple(rng.uniform(0.3, 3, 3).tolist()),
        )
        for index, shape in enumerate(map(tuple, shapes))
    ]


def write(folder, volumes, name="whole", **extra):
    arrays, columns = pack(volumes, name)
    table = pd.DataFrame({"case": [scan.name for scan in volumes]}).join(columns)
    prepared.write(folder, arrays | extra, table, {}, "synthetic")


def same(first, second):
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert (first.name, first.spacing) == (second.name, second.spacing)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1], [2], [], [1, 1]])
def test_unpack_gives_back_what_was_packed_in_the_order_asked_for(order, tmp_path, rng):
    """Shapes differ in every axis; spacing comes back to the last bit."""
    volumes = scans(rng)
    write(tmp_path, volumes)
    found = unpack(tmp_path, "whole", [f"case_{index}" for index in order])
    assert len(found) == len(order)
    for index, scan in zip(order, found, strict=True):
        same(scan, volumes[index])
        assert (scan.image.dtype, scan.labels.dtype) == (np.float32, np.uint8)
        scan.image[:] = 0  # a copy, not the file


def test_views_in_another_order_of_memory_are_packed_alike(tmp_path, rng):
    volumes = scans(rng)
    views = [
        Scan(
            scan.name, np.asfortranarray(scan.image)[::-1].copy("K")[::-1], np.asfortranarray(scan.labels), scan.spacing
        )
        for scan in volumes
    ]
    for folder, packed in (("a", volumes), ("b", views)):
        write(tmp_path / folder, packed)
    for name in ("whole_image.npy", "whole_labels.npy", "table.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_two_packs_lie_side_by_side(tmp_path, rng):
    """The same cases at two resolutions in one table."""
    fine = scans(rng)
    coarse = [isotropic(scan, 2.5) for scan in fine]
    (arrays, columns), (more, others) = pack(fine, "fine"), pack(coarse, "coarse")
    table = pd.DataFrame({"fold": 0, "case": [scan.name for scan in fine]}).join([columns, others])
    prepared.write(tmp_path, arrays | more, table, {}, "synthetic")
    for name, expected in (("fine", fine), ("coarse", coarse)):
        for found, scan in zip(unpack(tmp_path, name, [scan.name for scan in fine]), expected, strict=True):
            same(found, scan)


def test_columns_and_arrays_of_a_pack():
    """Counted by hand: volumes of 6 and 4 voxels, of whole numbers."""
    first = Scan("a", np.arange(6).reshape(1, 2, 3), np.arange(6).reshape(1, 2, 3) % 2 == 1, (1.0, 2.0, 3.0))
    second = Scan("b", np.full((4, 1, 1), -7), np.zeros((4, 1, 1)), (0.5, 0.25, 9.0))
    arrays, columns = pack([first, second], "own")
    assert arrays["own_image"].tolist() == [0, 1, 2, 3, 4, 5, -7, -7, -7, -7]
    assert arrays["own_labels"].tolist() == [0, 1, 0, 1, 0, 1, 0, 0, 0, 0]
    assert (arrays["own_image"].dtype, arrays["own_labels"].dtype) == (np.float32, np.uint8)
    assert columns.to_dict("list") == {
        "own_start": [0, 6],
        "own_voxels_x": [1, 4],
        "own_mm_x": [1.0, 0.5],
        "own_voxels_y": [2, 1],
        "own_mm_y": [2.0, 0.25],
        "own_voxels_z": [3, 1],
        "own_mm_z": [3.0, 9.0],
    }


@pytest.mark.parametrize("dtype", [">i2", np.float32])
def test_tensors_of_views(dtype, rng):
    """What a loader returns, flipped and perhaps big-endian, becomes tensors of the same values."""
    image, labels = rng.integers(-9, 9, (3, 4, 5)).astype(dtype)[::-1], rng.integers(0, 3, (3, 4, 5), np.uint8)[:, ::-1]
    values, classes = tensor(scan_of(image, labels=labels))
    assert (values.dtype, classes.dtype) == (torch.float32, torch.uint8)
    np.testing.assert_array_equal(values.numpy(), image)
    np.testing.assert_array_equal(classes.numpy(), labels)


@pytest.mark.parametrize(("shape", "fits"), [((16, 16, 16), True), ((40, 15, 16), False), ((3, 40, 1), False)])
def test_a_scan_that_is_smaller_than_a_network_takes_is_named(shape, fits, tmp_path):
    scan = Scan("one", np.zeros(shape, np.float32), None, (1.0, 1.25, 1.0))
    lines = small(scan, tmp_path / "one.nii.gz", 16)
    expected = (
        f"{tmp_path}/one.nii.gz: {' x '.join(map(str, shape))} voxels of 1 x 1.25 x 1 mm, a network needs 16 along"
    )
    assert not lines if fits else len(lines) == 1 and lines[0].startswith(expected)
