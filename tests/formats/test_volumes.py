"""In-plane preparation and NIfTI reading, against closed forms and against files broken on purpose."""

import gzip

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from whereabouts.data import in_plane
from whereabouts.errors import InputError
from whereabouts.formats import volumes


def pixel_centres(length, field):
    """Positions in mm of `length` pixel centres over a field of view of `field` mm."""
    return (np.arange(length) + 0.5) * field / length


def save(path, array, spacing=(1.5, 1.25, 8.0), change=None):
    """Write a NIfTI-1 file; `change` edits the raw header bytes afterwards, past nibabel's own checks."""
    image = nib.Nifti1Image(array, np.diag([*spacing, 1.0]))
    content = bytearray(image.to_bytes())
    if change:
        header = nib.Nifti1Header(bytes(content[:348]), check=False)
        change(header)
        content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)))
    return path


# Resampling


@pytest.mark.parametrize("target", [0.7, 1.0, 1.37, 3.1])
def test_ramp_stays_a_ramp(target):
    shape, spacing = (31, 24, 3), np.array([1.5625, 0.9])
    field = shape[:2] * spacing
    y, x = (pixel_centres(length, size) for length, size in zip(shape, field, strict=False))
    ramp = (2 * y[:, None] - 3 * x + 5)[:, :, None] + np.arange(3)
    result = in_plane.resample_in_plane(ramp, spacing, target, order=1)
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
    result = in_plane.resample_in_plane(blob, spacing, 1.37, order)[:, :, 0]
    pixel = field / result.shape
    found = (np.array(ndimage.center_of_mass(result)) + 0.5) * pixel
    np.testing.assert_allclose(found, centre, atol=0.02 if order else 0.1)
    assert result.sum() * pixel.prod() == pytest.approx(2 * np.pi * 36, rel=5e-3)
    np.testing.assert_allclose(pixel, 1.37, rtol=0.5 / min(result.shape))


def test_resampling_to_the_same_spacing_changes_nothing(rng):
    volume = rng.random((13, 8, 2)).astype(np.float32)
    result = in_plane.resample_in_plane(volume, (1.37, 1.37), 1.37, order=1)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, volume, rtol=1e-6)


def test_nearest_neighbour_repeats_labels_and_invents_none(rng):
    labels = rng.integers(0, 4, (6, 5, 2)).astype(np.uint8)
    doubled = in_plane.resample_in_plane(labels, (2.0, 3.0), 1.0, order=0)
    assert doubled.dtype == np.uint8
    np.testing.assert_array_equal(doubled, labels.repeat(2, 0).repeat(3, 1))


def test_edges_are_not_darkened():
    assert in_plane.resample_in_plane(np.full((9, 7, 1), 5.0), (1.9, 1.1), 1.0, order=1).min() == pytest.approx(5)


def test_at_least_one_pixel_remains():
    assert in_plane.resample_in_plane(np.ones((3, 40, 1)), (1.0, 1.0), 10.0, order=1).shape == (1, 4, 1)


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


# Files


def test_read_nifti_returns_voxels_spacing_and_affines(tmp_path, rng):
    array = rng.integers(0, 4000, (5, 7, 3)).astype(np.int16)
    nifti = volumes.read_nifti(save(tmp_path / "a.nii.gz", array))
    np.testing.assert_array_equal(nifti.array, array)
    np.testing.assert_array_equal(nifti.spacing, [1.5, 1.25, 8])
    assert list(nifti.affines) == ["sform"]  # nibabel declares no qform of its own accord
    np.testing.assert_array_equal(nifti.affines["sform"], np.diag([1.5, 1.25, 8, 1]))


def test_read_nifti_applies_the_headers_scale(tmp_path):
    def scale(header):
        header["scl_slope"], header["scl_inter"] = 2, 10

    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    np.testing.assert_allclose(
        volumes.read_nifti(save(tmp_path / "a.nii.gz", array, change=scale)).array, array * 2 + 10
    )


def test_read_nifti_drops_a_single_fourth_axis(tmp_path):
    assert volumes.read_nifti(save(tmp_path / "a.nii.gz", np.ones((4, 5, 6, 1), np.int16))).array.shape == (4, 5, 6)
    assert volumes.read_nifti(save(tmp_path / "b.nii.gz", np.ones((4, 5, 1), np.int16))).array.shape == (4, 5, 1)


def test_read_nifti_reads_big_endian_files(tmp_path):
    array = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    image = nib.Nifti1Image(array, np.eye(4), nib.Nifti1Header(endianness=">"))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(image.to_bytes()))
    np.testing.assert_array_equal(volumes.read_nifti(tmp_path / "a.nii.gz").array, array)


def pixdim(axis, value):
    def change(header):
        header["pixdim"][axis] = value

    return change


@pytest.mark.parametrize(("axis", "value"), [(1, 0), (2, -1.5), (3, np.nan), (3, np.inf)])
def test_spacing_is_inspected_before_nibabel_repairs_it(axis, value, tmp_path):
    path = save(tmp_path / "a.nii.gz", np.ones((4, 4, 2), np.int16), change=pixdim(axis, value))
    with pytest.raises(InputError, match=r"a\.nii\.gz: spacing .* mm is not positive and finite; correct pixdim"):
        volumes.read_nifti(path)


def test_more_voxels_announced_than_there_are(tmp_path):
    def change(header):
        header["dim"][1:4] = 800  # 1 GB: must be refused before anything is allocated

    with pytest.raises(InputError, match=r"truncated: \d+ of \d+ bytes"):
        volumes.read_nifti(save(tmp_path / "a.nii.gz", np.ones((4, 4, 2), np.int16), change=change))


def set_field(name, value):
    def change(header):
        header[name] = value

    return change


@pytest.mark.parametrize(
    ("array", "change", "text"),
    [
        (np.ones((4, 4), np.int16), None, "has 2 axes where a volume has 3"),
        (np.ones((4, 4, 2), np.complex64), None, "voxels are of type complex64"),
        (np.ones((4, 4, 2), np.int16), set_field("datatype", 9999), "voxels are of type 9999"),
        (np.ones((4, 4, 2), np.int16), set_field("dim", [3, 4, 0, 2, 1, 1, 1, 1]), "axis without voxels"),
        (np.ones((4, 4, 2), np.int16), set_field("magic", b"ni1"), "not a NIfTI-1 file"),
        (np.ones((4, 4, 2), np.int16), set_field("sizeof_hdr", 540), "not a NIfTI-1 file"),
        (np.ones((4, 4, 2), np.int16), set_field("vox_offset", np.nan), "a.nii.gz"),
        (np.ones((4, 4, 2), np.int16), set_field("vox_offset", np.inf), "a.nii.gz"),
    ],
)
def test_unsound_headers(array, change, text, tmp_path):
    with pytest.raises(InputError, match=text):
        volumes.read_nifti(save(tmp_path / "a.nii.gz", array, change=change))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "empty"),
        (b"this is text", "truncated: 12 bytes"),
        (b"this is text" * 30, "not a NIfTI-1 file"),
        (gzip.compress(b"", mtime=0), "empty"),
        (gzip.compress(b"short", mtime=0), "truncated: 5 bytes"),
        (gzip.compress(b"\0" * 400, mtime=0), "not a NIfTI-1 file"),
    ],
)
def test_files_that_are_no_nifti(content, text, tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(InputError, match=text) as error:
        volumes.read_nifti(tmp_path / "a.nii.gz")
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("keep", [2, 9, 60, -9, -1])
def test_truncation_anywhere(keep, tmp_path, rng):
    path = save(tmp_path / "a.nii.gz", rng.integers(0, 999, (8, 8, 2)).astype(np.int16))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="truncated, damaged or not gzip"):
        volumes.read_nifti(path)


def test_a_flipped_bit_is_found(tmp_path, rng):
    path = save(tmp_path / "a.nii.gz", rng.integers(0, 999, (8, 8, 2)).astype(np.int16))
    content = bytearray(path.read_bytes())
    content[-30] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="truncated, damaged or not gzip"):
        volumes.read_nifti(path)


def test_any_damaged_header_is_read_or_refused_but_never_crashes(tmp_path, rng):
    def damage(header):
        content = bytearray(header.binaryblock)
        for place in rng.integers(348, size=3):
            content[place] = rng.choice([0, 1, 127, 128, 255])
        header.structarr[...] = np.frombuffer(bytes(content), header.template_dtype)[0]

    refused = 0
    for _ in range(400):
        path = save(tmp_path / "a.nii.gz", np.ones((4, 4, 2), np.int16), change=damage)
        try:
            assert (volumes.read_nifti(path).spacing > 0).all()
        except InputError:
            refused += 1
    assert 20 < refused < 380


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(No such file or directory\)"):
        volumes.read_nifti(tmp_path / "a.nii.gz")


@pytest.fixture
def rng():
    return np.random.default_rng(0)
