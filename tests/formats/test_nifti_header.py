"""Headers that contradict themselves: resolved by the rule of `formats.nifti_header`, or refused by name."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from whereabouts.data import in_plane
from whereabouts.errors import InputError
from whereabouts.formats import orientation, volumes

SPACING, SHAPE = (2.0, 2.0, 3.0), (6, 5, 4)
ARRAY = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)


def write(path, behind=b"", **fields):
    """A file whose only declared affine is the sform, unless fields of its header say otherwise."""
    image = nib.Nifti1Image(ARRAY, np.diag([*SPACING, 1.0]))
    image.header.set_xyzt_units("mm")
    content = bytearray(image.to_bytes() + behind)
    head = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        head[name] = value
    content[:348] = head.binaryblock
    path.write_bytes(gzip.compress(bytes(content), 1, mtime=0) if path.suffix == ".gz" else bytes(content))
    return path


def pixdim(*spacing, handed=1):
    return {"pixdim": [handed, *spacing, 1, 0, 0, 0]}


def rows(matrix):
    return {f"srow_{letter}": [*row, 0] for letter, row in zip("xyz", np.asarray(matrix, float), strict=True)}


QFORM, IDENTITY, NAN = {"qform_code": 1}, rows(np.eye(3)), {"srow_y": [np.nan] * 4}
SHEARED = rows([[2, 0.4, 0], [0, 1.96, 0], [0, 0, 3]])  # by 11.5 degrees, of the same lengths
READ = {  # fields -> spacing, and the affines that count
    "only a sform": ({}, SPACING, ["sform"]),
    "neither": ({"sform_code": 0}, SPACING, []),
    "both": (QFORM, SPACING, ["qform", "sform"]),
    "pixdim lost": (pixdim(1, 1, 1), SPACING, ["sform"]),
    "sform lost, as ACDC's": (QFORM | IDENTITY, SPACING, ["qform"]),
    "sform lost, no qform": (IDENTITY, SPACING, ["sform"]),
    "rounded": (pixdim(2.001, 2, 2.999), (2.001, 2, 2.999), ["sform"]),
    "metres": (
        pixdim(0.002, 0.002, 0.003) | rows(np.diag([0.002, 0.002, 0.003])) | {"xyzt_units": 1},
        SPACING,
        ["sform"],
    ),
    "micrometres": (pixdim(2000, 2000, 3000) | rows(np.diag([2e3, 2e3, 3e3])) | {"xyzt_units": 3}, SPACING, ["sform"]),
    "no unit": ({"xyzt_units": 0}, SPACING, ["sform"]),
    "sform NaN beside a qform": (QFORM | NAN, SPACING, ["qform"]),
    "sform sheared beside a qform": (QFORM | SHEARED, SPACING, ["qform"]),
    "sform NaN, alone": (NAN, SPACING, []),
    "quaternion too long": (QFORM | {"quatern_b": 1.5}, SPACING, ["sform"]),
    "quaternion NaN, alone": ({"qform_code": 1, "sform_code": 0, "quatern_c": np.nan}, SPACING, []),
    "code of no affine": ({"sform_code": 77}, SPACING, []),
    "intent": ({"intent_code": 1002}, SPACING, ["sform"]),
}


@pytest.mark.parametrize("case", READ)
def test_what_is_resolved(case, tmp_path):
    fields, spacing, affines = READ[case]
    nifti = volumes.read_nifti(write(tmp_path / "a.nii.gz", **fields))
    np.testing.assert_allclose(nifti.spacing, spacing, rtol=1e-6)
    assert list(nifti.affines) == affines
    np.testing.assert_array_equal(nifti.array, ARRAY)


REFUSED = {
    "pixdim and sform": (pixdim(2, 2, 2.5), "pixdim say 2 x 2 x 2.5 mm, its sform 2 x 2 x 3; correct what is wrong"),
    "a qform of 1 mm": (pixdim(1, 1, 1) | QFORM, "pixdim and qform say 1 x 1 x 1 mm, its sform 2 x 2 x 3; correct"),
    "sheared": (SHEARED, "its sform is sheared, by 11.5 degrees; resample it"),
    "metres that are mm": (
        {"xyzt_units": 1},
        "voxels of 2000 x 2000 x 3000 mm, expected are 0.01 to 100; correct its units",
    ),
    "huge": (pixdim(1e9, 1e9, 8) | {"sform_code": 0}, "voxels of 1e\\+09 x 1e\\+09 x 8 mm, expected"),
    "spacing zero": (pixdim(0, 2, 3), "spacing .* mm is not positive and finite; correct pixdim"),
    "infinite scale": ({"scl_slope": np.inf}, "its scale, inf times the values plus .*, is not finite"),
    "no intercept": ({"scl_slope": 2, "scl_inter": np.nan}, "its scale, 2.0 times the values plus nan, is not finite"),
    "Analyze": ({"magic": b""}, "not a NIfTI-1 file but an Analyze file"),
    "half a pair": ({"magic": b"ni1"}, "not a NIfTI-1 file but the header of a pair of files"),
    "colours": ({"datatype": 128}, "voxels are of type RGB where"),
    "offset between bytes": ({"vox_offset": 352.5}, "voxels are said to begin at byte 352.5"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case, tmp_path):
    fields, text = REFUSED[case]
    with pytest.raises(InputError, match=f"a\\.nii\\.gz: {text}") as caught:
        volumes.read_nifti(write(tmp_path / "a.nii.gz", **fields))
    (line,) = caught.value.problems
    assert "copy or unpack" not in line and line.count("; ") == 1


def test_nifti2_is_refused_by_name(tmp_path):
    nib.save(nib.Nifti2Image(ARRAY, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="a NIfTI-2 file; save it as NIfTI-1"):
        volumes.read_nifti(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("offset", [0, 100, 348, -16])
def test_voxels_that_are_said_to_begin_within_the_header_begin_behind_it(offset, tmp_path):
    path = write(tmp_path / "a.nii.gz", vox_offset=offset)
    np.testing.assert_array_equal(volumes.read_nifti(path).array, ARRAY)


@pytest.mark.parametrize(("offset", "behind"), [(0, 16), (350, 2), (354, 0), (10_000, 0), (2.0**25, 0)])
def test_an_offset_that_does_not_fit_the_file_is_refused(offset, behind, tmp_path):
    with pytest.raises(InputError, match=rf"said to begin at byte {offset}.*; correct"):
        volumes.read_nifti(write(tmp_path / "a.nii.gz", vox_offset=offset, behind=bytes(behind)))


@pytest.mark.parametrize("axis", [(1, 1, 0), (1, 0, 1), (0.6, 0.8, 0)])
@pytest.mark.parametrize("handed", [1, -1])
def test_the_qform_is_nibabels(axis, handed, tmp_path):
    quaternion = np.divide(axis, np.linalg.norm(axis)) * 0.6
    fields = dict(zip(("quatern_b", "quatern_c", "quatern_d"), quaternion, strict=True)) | QFORM
    path = write(tmp_path / "a.nii.gz", sform_code=0, qoffset_x=7, **fields, **pixdim(*SPACING, handed=handed))
    expected = nib.load(path).get_qform()
    np.testing.assert_allclose(volumes.read_nifti(path).affines["qform"], expected, atol=1e-6)


def test_a_quaternion_that_rounding_made_too_long_is_a_rotation_by_180_degrees(tmp_path):
    fields = {"quatern_b": 0.707107, "quatern_c": 0.7071074}  # nibabel refuses it
    nifti = volumes.read_nifti(write(tmp_path / "a.nii.gz", sform_code=0, **QFORM, **fields))
    np.testing.assert_allclose(nifti.affines["qform"][:3, :3], [[0, 2, 0], [2, 0, 0], [0, 0, -3]], atol=1e-5)
    np.testing.assert_allclose(nifti.header.get_qform(), nifti.affines["qform"], atol=1e-5)  # nibabel's reading of it


def test_an_unsound_affine_is_named_to_those_who_need_it(tmp_path):
    path = write(tmp_path / "a.nii.gz", sform_code=0, quatern_b=1.5, **QFORM)
    with pytest.raises(
        InputError, match=r"has no orientation \(its qform is no rotation \(its quaternion is 1\.5 long\)\)"
    ):
        orientation.axes_of(volumes.read_nifti(path), path)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64, np.float64, ">i2", ">f4"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
def test_types_and_endings(dtype, name, tmp_path):
    nib.save(nib.Nifti1Image(ARRAY.astype(dtype), np.eye(4), dtype=np.dtype(dtype)), tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith("gz") else content)
    np.testing.assert_array_equal(volumes.read_nifti(tmp_path / name).array, ARRAY)


def test_a_grid_that_nobody_asks_for_is_not_looked_at(tmp_path):
    path = write(tmp_path / "a.nii.gz", **pixdim(0, -2, 7), **NAN)
    np.testing.assert_array_equal(volumes.read_nifti(path, grid=False).array, ARRAY)


def test_more_voxels_than_the_kind_may_have(tmp_path):
    path = write(tmp_path / "a.nii.gz")
    assert volumes.read_nifti(path, ARRAY.size).array.size == ARRAY.size
    with pytest.raises(InputError, match=r"120 voxels, more than the 119 that are read; leave it out"):
        volumes.read_nifti(path, ARRAY.size - 1)


@pytest.mark.parametrize("target", [1e-3, 1e-300, 5e-324])
def test_a_grid_without_end_is_refused_before_it_is_made(target):
    with pytest.raises(InputError, match=r"voxels of 100 x 100 mm: become .* more than 268,435,456 in all; choose"):
        in_plane.resampled_shape((20, 20, 3), np.array([100.0, 100.0]), target)
