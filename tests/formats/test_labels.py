"""Labels are whole numbers, or nearly."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from whereabouts.formats import labels

PATH, KNOWN = Path("a_gt.nii.gz"), range(8)


def faults(*values, dtype=float):
    return labels.faults(np.array(values, dtype), PATH, KNOWN, "0 to 7")


@pytest.mark.parametrize("header_type", [np.uint8, np.int16, np.uint16, np.float32])
def test_labels_saved_under_an_old_header_come_back(header_type):
    """nibabel scales floats that are saved under a header of integers."""
    truth = np.arange(8.0).reshape(2, 2, 2)
    image = nib.Nifti1Image(truth, np.eye(4))
    image.header.set_data_dtype(header_type)
    stored = np.asanyarray(nib.Nifti1Image.from_bytes(image.to_bytes()).dataobj)
    assert labels.faults(stored, PATH, KNOWN, "0 to 7") == []
    found = labels.rounded(stored)
    assert found.dtype.kind in "iu" and np.array_equal(found, truth)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64])
def test_integers_are_left_as_they_are(dtype):
    values = np.arange(8, dtype=dtype)
    assert labels.rounded(values) is values and faults(*values, dtype=dtype) == []


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((1, 2.04, 6.96), None),
        ((-0.04, 7.04), None),
        ((1, 2.06), "has labels that are not whole (2.06); save them as whole numbers"),
        ((0.5, 1.5, 2.5, 3.5, 4.5, 5.5), "not whole (0.5, 1.5, 2.5, 3.5, 4.5, ..);"),
        ((1, 8), "has labels other than 0 to 7 (8); relabel"),
        ((1, -1), "other than 0 to 7 (-1);"),
        ((1e30, 2), "other than 0 to 7 (1e+30);"),
        ((np.nan, 2), "has NaN or infinite labels;"),
        ((np.inf, 2), "has NaN or infinite labels;"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_what_is_said(values, text, dtype):
    found = faults(*values, dtype=dtype)
    assert (
        found == [] if text is None else len(found) == 1 and text in found[0] and found[0].startswith("a_gt.nii.gz: ")
    )


def test_large_integers_are_not_taken_modulo_anything():
    assert faults(2**63, 257, dtype=np.uint64) == [
        "a_gt.nii.gz: has labels other than 0 to 7 (257, 9.22337e+18); "
        "relabel these voxels, or restore the file as released"
    ]
