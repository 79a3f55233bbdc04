"""Resampling, cutting and scaling of slices, against closed forms."""

import numpy as np
import pytest
from scipy import ndimage

from whereabouts.data import in_plane


def pixel_centres(length, field):
    """Positions in mm of `length` pixel centres over a field of view of `field` mm."""
    return (np.arange(length) + 0.5) * field / length


def resampled(volume, spacing, target, order):
    """A volume with pixels of about `target` mm."""
    return in_plane.resize_in_plane(volume, in_plane.resampled_shape(volume.shape, spacing, target), order)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# Resampling


@pytest.mark.parametrize("target", [0.7, 1.0, 1.37, 3.1])
def test_ramp_stays_a_ramp(target):
    shape, spacing = (31, 24, 3), np.array([1.5625, 0.9])
    field = shape[:2] * spacing
    y, x = (pixel_centres(length, size) for length, size in zip(shape, field, strict=False))
    ramp = (2 * y[:, None] - 3 * x + 5)[:, :, None] + np.arange(3)
    result = resampled(ramp, spacing, target, order=1)
    assert result.shape == (round(field[0] / target), round(field[1] / target), 3)
    y, x = (pixel_centres(length, size) for length, size in zip(result.shape, field, strict=False))
    expected = (2 * y[:, None] - 3 * x + 5)[:, :, None] + np.arange(3)
    inner = np.ix_(
        (y > spacing[0]) & (y < field[0] - spacing[0]), (x > spacing[1]) & (x < field[1] - spacing[1]), range(3)
    )
    np.testing.assert_allclose(result[inner], expected[inner], atol=1e-9)


@pytest.mark.parametrize("spacing", [(1.5625, 1.5625), (0.8, 1.9)])
@pytest.mark.parametrize("order", [0, 1])
def test_blob_keeps_its_centroid_and_mass(spacing, order):
    field = np.array([60.0, 57.0])
    shape = np.round(field / spacing).astype(int)
    field = shape * spacing
    y, x = (pixel_centres(length, size) for length, size in zip(shape, field, strict=True))
    centre = np.array([27.3, 31.9])
    blob = np.exp(-((y[:, None] - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * 6.0**2))[:, :, None]
    result = resampled(blob, spacing, 1.37, order)[:, :, 0]
    pixel = field / result.shape
    found = (np.array(ndimage.center_of_mass(result)) + 0.5) * pixel
    np.testing.assert_allclose(found, centre, atol=0.02 if order else 0.1)
    assert result.sum() * pixel.prod() == pytest.approx(2 * np.pi * 36, rel=5e-3)
    np.testing.assert_allclose(pixel, 1.37, rtol=0.5 / min(result.shape))


def test_resampling_to_the_same_spacing_changes_nothing(rng):
    volume = rng.random((13, 8, 2)).astype(np.float32)
    result = resampled(volume, (1.37, 1.37), 1.37, order=1)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, volume, rtol=1e-6)


def test_nearest_neighbour_repeats_labels_and_invents_none(rng):
    labels = rng.integers(0, 4, (6, 5, 2)).astype(np.uint8)
    doubled = resampled(labels, (2.0, 3.0), 1.0, order=0)
    assert doubled.dtype == np.uint8
    np.testing.assert_array_equal(doubled, labels.repeat(2, 0).repeat(3, 1))


def test_edges_are_not_darkened():
    assert resampled(np.full((9, 7, 1), 5.0), (1.9, 1.1), 1.0, order=1).min() == pytest.approx(5)


def test_at_least_one_pixel_remains():
    assert resampled(np.ones((3, 40, 1)), (1.0, 1.0), 10.0, order=1).shape == (1, 4, 1)


def test_resize_reaches_any_shape(rng):
    assert in_plane.resize_in_plane(rng.random((11, 17, 3)), (8, 8), order=1).shape == (8, 8, 3)


# Cutting


@pytest.mark.parametrize("height", [4, 5, 8, 9, 10, 15])
@pytest.mark.parametrize("width", [3, 8, 12])
@pytest.mark.parametrize("size", [8, 9])
def test_centre_pixel_stays_at_the_centre(height, width, size):
    volume = np.arange(1, height * width * 2 + 1).reshape(height, width, 2)
    result = in_plane.centre_crop_or_pad(volume, size, fill=-1)
    assert result.shape == (size, size, 2)
    np.testing.assert_array_equal(result[size // 2, size // 2], volume[height // 2, width // 2])
    kept = min(height, size) * min(width, size)
    assert (result[..., 0] != -1).sum() == kept
    assert np.isin(result[result != -1], volume).all()


def test_image_and_labels_stay_aligned_and_keep_their_types(rng):
    image = rng.random((11, 6, 2)).astype(np.float32) + 1
    labels = (image > 1.5).astype(np.uint8)
    image, labels = (in_plane.centre_crop_or_pad(array, 8, fill=0) for array in (image, labels))
    assert image.dtype == np.float32 and labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, image > 1.5)


@pytest.mark.parametrize("shape", [(5, 8), (6, 7)])
def test_padding_then_cropping_gives_the_volume_back(shape, rng):
    square = rng.random((shape[0], shape[0], 3))
    padded = in_plane.centre_crop_or_pad(square, shape[1], fill=0)
    np.testing.assert_array_equal(in_plane.centre_crop_or_pad(padded, shape[0], fill=0), square)


# Intensities


def test_clip_and_scale_of_a_uniform_ramp():
    ramp = np.linspace(-40, 60, 1001).reshape(7, 11, 13)
    result = in_plane.clip_and_scale(ramp)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.clip((ramp + 35) / 90, 0, 1), atol=1e-6)


def test_clip_and_scale_knows_no_unit(rng):
    volume = rng.normal(size=(9, 9, 4))
    np.testing.assert_allclose(in_plane.clip_and_scale(volume), in_plane.clip_and_scale(1e4 * volume - 77), atol=1e-5)


def test_clip_and_scale_ignores_outliers(rng):
    volume = rng.random((20, 20, 5))
    spoilt = volume.copy()
    spoilt[volume > 0.98] = 1e6
    np.testing.assert_array_equal(in_plane.clip_and_scale(volume), in_plane.clip_and_scale(spoilt))


def test_volume_without_contrast_becomes_zero():
    np.testing.assert_array_equal(in_plane.clip_and_scale(np.full((3, 4, 5), 7)), np.zeros((3, 4, 5), np.float32))
