"""A synthetic task in the layout of the Medical Segmentation Decathlon: the real loader reads it unchanged.

Layout (Antonelli et al., Nature Communications 13, 2022):

    Task99_Abdomen/dataset.json                        says that it is synthetic, what labels mean, and lists the files
    Task99_Abdomen/imagesTr/abdomen_001.nii.gz ..      int16, Hounsfield units
    Task99_Abdomen/labelsTr/abdomen_001.nii.gz ..      uint8, 0 background, others as in `abdomen.LABELS`

Patients are of the population "gastric" of `abdomen`, the stand-in for CT-150 (Schlemper et al. 2019). Voxel axes point
in whatever direction the scan had, and the affine says which.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, ornt_transform

from whereabouts import files
from whereabouts.phantoms import abdomen
from whereabouts.phantoms.abdomen import LABELS, Abdomen
from whereabouts.phantoms.painting import require
from whereabouts.pipeline import progress

TASK = "Task99_Abdomen"
AXES = ("RAS", "RAS", "LPS", "LAS")  # directions of the voxel axes, one of these


def write(root: Path, cases: int, step: float, rng: np.random.Generator) -> None:
    """Write the task with `cases` volumes below `root`.

    Case k comes from the k-th generator spawned from `rng`, so it does not depend on how many follow.

    Args:
        root: folder that takes the place of the one in which tasks are unpacked.
        cases: number of volumes, all with labels, from 1 to 999.
        step: size of the pixels, mm, from which each volume's own differs by up to 10 %; slices are 1 to 1.5 apart.
        rng: the only source of randomness.

    Raises:
        InputError: `cases` or `step` is out of range.
    """
    require(cases, step)
    folder = Path(root) / TASK
    names = [f"abdomen_{index + 1:03d}.nii.gz" for index in range(cases)]
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for name, child in zip(names, progress.bar(rng.spawn(cases), desc="decathlon phantom", unit="case"), strict=True):
        voxels, labels, zooms = abdomen.scan(Abdomen.sample(child, "gastric"), step, child)
        axes, isocentre = str(child.choice(AXES)), child.normal(0, 60, 3)
        for kind, array in (("imagesTr", voxels), ("labelsTr", labels)):
            nib.save(_turned(array, zooms, isocentre, axes), folder / kind / name)
    files.write_json(folder / "dataset.json", _description(names))


def _turned(array: np.ndarray, zooms: tuple[float, ...], isocentre: np.ndarray, axes: str) -> nib.Nifti1Image:
    """A file of `array`, (across, down, slices) as `abdomen.scan` returns it, with its voxel axes turned to `axes`.

    Args:
        zooms: mm between voxels.
        isocentre: (3,) where the scanner's origin lies from the middle of the volume, mm to the right, front and head.
        axes: three letters, such as "RAS".
    """
    affine = np.diag([-zooms[0], -zooms[1], zooms[2], 1])  # to the left, back and head
    affine[:3, 3] = -affine[:3, :3] @ (np.array(array.shape) - 1) / 2 - isocentre
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(axes))
    image = nib.Nifti1Image(array, affine).as_reoriented(turn)
    image.set_sform(image.affine, 1)
    image.set_qform(image.affine, 1)
    image.header.set_xyzt_units("mm")
    return image


def _description(names: list[str]) -> dict:
    """What dataset.json says, in the keys of the official tasks."""
    return {
        "name": "Abdomen",
        "description": "Synthetic: spleen, pancreas and kidneys in drawn CT of the upper abdomen. Of no patient.",
        "reference": "Whereabouts, synthetic stand-in for CT-150 of Schlemper et al., Medical Image Analysis 53, 2019",
        "licence": "Apache-2.0",
        "release": "1.0, synthetic",
        "tensorImageSize": "3D",
        "modality": {"0": "CT"},
        "labels": {"0": "background"} | {str(value): name for name, value in LABELS.items()},
        "numTraining": len(names),
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
    }
