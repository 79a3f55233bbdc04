"""NIfTI reading, against files broken on purpose."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from whereabouts.errors import InputError
from whereabouts.formats import volumes


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
