"""A synthetic stand-in for NIH Pancreas-CT, in exactly TCIA's layout: the real loader reads it unchanged.

Layout (Roth et al., MICCAI 2015; https://www.cancerimagingarchive.net/collection/pancreas-ct/):

    Pancreas-CT/PANCREAS_0001/<study>/<series>/1-001.dcm ..       one axial slice a file
    TCIA_pancreas_labels-02-05-2017/label0001.nii.gz ..           0 background, 1 pancreas

As there, neither the order of file names nor of instance numbers is that of slices from the feet up, and the labels'
affine is not the images': voxel (i, j, k) of the labels is column i of row j of the k-th slice from the feet. Patients
are of the population "healthy" of `abdomen`. Their names say that they are synthetic; no file holds a date.
"""

from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from whereabouts.phantoms import abdomen
from whereabouts.phantoms.abdomen import LABELS, Abdomen
from whereabouts.phantoms.painting import require
from whereabouts.pipeline import progress

INTERCEPT = -1024  # HU that is stored as 0
NUMBERS = [number for number in range(1, 1002) if number not in (25, 70)]  # TCIA withdrew these two


def write(root: Path, cases: int, step: float, rng: np.random.Generator) -> None:
    """Write `cases` CT series below `root`/Pancreas-CT and their labels below `root`/TCIA_pancreas_labels-02-05-2017.

    Case k comes from the k-th generator spawned from `rng`, so it does not depend on how many follow.

    Args:
        root: folder that takes the place of the one into which TCIA's files are downloaded.
        cases: number of cases, from 1 to 999; the numbers 0025 and 0070 are left out, as by TCIA.
        step: size of the pixels, mm, from which each volume's own differs by up to 10 %; slices are 0.9 to 1.1 apart.
        rng: the only source of randomness.

    Raises:
        InputError: `cases` or `step` is out of range.
    """
    require(cases, step)
    children = progress.bar(rng.spawn(cases), desc="Pancreas-CT phantom", unit="case")
    for number, child in zip(NUMBERS, children, strict=False):
        voxels, labels, zooms = abdomen.scan(Abdomen.sample(child, "healthy"), step, child)
        _write_series(Path(root) / "Pancreas-CT" / f"PANCREAS_{number:04d}", voxels, zooms, child)
        _write_labels(Path(root) / "TCIA_pancreas_labels-02-05-2017" / f"label{number:04d}.nii.gz", labels, zooms)


def _write_labels(path: Path, labels: np.ndarray, zooms: tuple[float, ...]) -> None:
    """The pancreas alone, with an affine that is not that of the images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pancreas = (labels == LABELS["pancreas"]).astype(np.uint8)
    nib.save(nib.Nifti1Image(pancreas, np.diag([zooms[0], -zooms[1], zooms[2], 1])), path)


def _write_series(patient: Path, voxels: np.ndarray, zooms: tuple[float, ...], rng: np.random.Generator) -> None:
    """One file a slice of `voxels`, HU, (across, down, slices) as `abdomen.scan` returns them, for a patient."""
    name, count = patient.name, voxels.shape[2]
    study, series = _uid(name, "study"), _uid(name, "series")
    (patient / study / series).mkdir(parents=True, exist_ok=True)
    corner = rng.normal(0, 60, 3) - (np.array(voxels.shape) - 1) / 2 * zooms  # mm, middle of the first voxel
    thickness = np.array([0, 0, zooms[2]])
    for index, number in enumerate(rng.permutation(count) + 1):
        slab = _header(name, study, series, zooms)
        slab.SOPInstanceUID = slab.file_meta.MediaStorageSOPInstanceUID = _uid(name, "slice", str(index))
        slab.InstanceNumber = count - index  # from the head down
        slab.ImagePositionPatient = [round(float(place), 4) for place in corner + index * thickness]
        slab.Rows, slab.Columns = voxels.shape[1], voxels.shape[0]
        slab.PixelData = (voxels[:, :, index].T - INTERCEPT).astype("<i2").tobytes()
        slab.save_as(patient / study / series / f"1-{number:03d}.dcm", enforce_file_format=True)


def _header(name: str, study: str, series: str, zooms: tuple[float, ...]) -> Dataset:
    """What all slices of a series share."""
    slab = Dataset()
    slab.file_meta = FileMetaDataset()
    slab.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slab.file_meta.MediaStorageSOPClassUID = slab.SOPClassUID = CTImageStorage
    slab.PatientName = "Synthetic^Phantom"
    slab.PatientID = name
    slab.PatientComments = slab.StudyDescription = slab.SeriesDescription = "Synthetic, of no patient"
    slab.Manufacturer = "Whereabouts (synthetic)"
    for blank in ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        setattr(slab, blank, "")  # required by the standard, and may be empty, as those after
    for blank in ("ReferringPhysicianName", "PositionReferenceIndicator", "AcquisitionNumber", "KVP"):
        setattr(slab, blank, None)
    slab.StudyInstanceUID, slab.SeriesInstanceUID, slab.FrameOfReferenceUID = study, series, _uid(name, "frame")
    slab.Modality, slab.SeriesNumber, slab.PatientPosition = "CT", 1, "HFS"
    slab.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    slab.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]  # rows to the left, columns to the back
    slab.PixelSpacing, slab.SliceThickness = [zooms[1], zooms[0]], zooms[2]
    slab.SamplesPerPixel, slab.PhotometricInterpretation = 1, "MONOCHROME2"
    slab.BitsAllocated, slab.BitsStored, slab.HighBit, slab.PixelRepresentation = 16, 16, 15, 1
    slab.RescaleSlope, slab.RescaleIntercept, slab.RescaleType = 1, INTERCEPT, "HU"
    return slab


def _uid(*words: str) -> str:
    """The unique identifier of what `words` name, the same in every run."""
    return generate_uid(entropy_srcs=["Whereabouts, synthetic", *words])
