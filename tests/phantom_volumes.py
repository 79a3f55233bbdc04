"""What the synthetic abdomen and the synthetic hearts have in common: their files, the axes of these, bad arguments."""

import itertools
import re
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

from whereabouts.errors import InputError

CODES = ["".join(code) for axes in itertools.permutations(("LR", "PA", "SI")) for code in itertools.product(*axes)]
SHIFTS = list(itertools.product((-1, 0, 1), repeat=3))  # by a voxel or none along each axis


def check_pair(image: nib.Nifti1Image, label: nib.Nifti1Image, dtype: type, step: float, slices: float) -> None:
    """Types and grids of an image and its labels, of `dtype`; pixels near `step` mm, slices of up to so many."""
    assert image.get_data_dtype() == np.int16
    assert label.get_data_dtype() == dtype
    assert (image.dataobj.slope, image.dataobj.inter) == (1, 0)
    assert image.shape == label.shape
    for file in (image, label):
        (sform, scode), (qform, qcode) = file.get_sform(coded=True), file.get_qform(coded=True)
        assert scode == qcode == 1
        np.testing.assert_array_equal(sform, image.affine)
        np.testing.assert_allclose(qform, sform, atol=2e-3)
        assert file.header.get_xyzt_units()[0] == "mm"
    across, down, thick = image.header.get_zooms()
    assert across == down
    assert 0.9 * step - 1e-3 <= across <= 1.1 * step + 1e-3
    assert across - 1e-3 <= thick <= slices * across + 1e-3


def check_bad_arguments(writer: ModuleType, folder: Path) -> None:
    """Named all at once, and nothing is written. `writer` has `write(folder, cases, step, rng)`."""
    for cases, step, message in (
        (0, 3.0, "cases: 0 is out of range; give 1 to 999"),
        (1000, 3.0, "cases: 1000 is out of range; give 1 to 999"),
        (1, 0.2, "step: 0.2 mm is out of range; give 0.5 to 8"),
        (1, float("nan"), "step: nan mm is out of range; give 0.5 to 8"),
        (-1, 9.0, "cases: -1 is out of range; give 1 to 999\nstep: 9.0 mm is out of range; give 0.5 to 8"),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            writer.write(folder, cases, step, np.random.default_rng(0))
    assert not list(folder.iterdir())


def most_uniform(voxels: np.ndarray, mask: np.ndarray) -> tuple[int, int, int]:
    """By which of `SHIFTS` a mask is moved where the image below it is most uniform."""
    places = np.argwhere(mask)
    return SHIFTS[int(np.argmin([voxels[tuple((places + shift).T)].std() for shift in SHIFTS]))]
