"""MM-WHS 2017: whole hearts in CT and MR, seven structures labelled (Zhuang & Shen, Medical Image Analysis 31, 2016).

Official layout; the names of the files say everything, so folders may be called and nested as they like:

    ct_train/ct_train_1001_image.nii.gz, ct_train_1001_label.nii.gz      to 1020
    mr_train/mr_train_1001_image.nii.gz, mr_train_1001_label.nii.gz      to 1020
    ct_test/ct_test_2001_image.nii.gz, mr_test/mr_test_2001_image.nii.gz ..      optional, without labels

Axes are stored in other orders and directions from file to file; the header's affine says which.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from whereabouts import paths
from whereabouts.data import in_plane, names
from whereabouts.data.cardiac import BACKGROUND
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError, raise_all
from whereabouts.formats import labels, orientation, volumes
from whereabouts.pipeline import progress

STRUCTURES = (  # labels 1 to 7, in the order of SDNet's Table 3
    "left ventricle",
    "right ventricle",
    "myocardium",
    "left atrium",
    "right atrium",
    "pulmonary artery",
    "ascending aorta",
)
LABELS = {500: 1, 600: 2, 205: 3, 420: 4, 421: 4, 550: 5, 850: 6, 820: 7}  # 421 is a stray 420 in the release

_FILE = re.compile(r"(?:.*/)?((?i:ct|mr)_(?:train|test)_\d{4})_(image|label)\.nii\.gz")


@dataclass(frozen=True)
class Case:
    """One volume's files.

    Args:
        name: "ct_train_1001".
        modality: "CT" or "MR".
        image: the volume itself.
        truth: its labels; None where a test volume has none.
    """

    name: str
    modality: str
    image: Path
    truth: Path | None


@dataclass(frozen=True)
class Prepared:
    """One volume's labelled axial slices, from inferior to superior, as radiologists display them.

    Rows run from anterior to posterior, columns from the patient's right to left.

    Args:
        images: (S, side, side) float32 in [0, 1].
        labels: (S, side, side) uint8, 0 background, 1 to 7 as in `STRUCTURES`.
        table: S rows; subject (the case's name), modality, slice (index from the inferior end of the volume) and
            volume (the subject's only one, so its name again).
    """

    images: np.ndarray
    labels: np.ndarray
    table: pd.DataFrame


def read(manifest: Manifest) -> list[Case]:
    """All cases, sorted by name, after reading and checking every file that they consist of once.

    Test volumes may lack labels, training volumes may not. Files that the layout does not know are left alone.

    Raises:
        InputError: one line for each problem of any case.
    """
    problems, found = names.unpacked(manifest, _FILE), {}  # name -> "image" or "label" -> path
    for match in filter(None, map(_FILE.fullmatch, sorted(manifest.files))):
        path, files = manifest.path(match[0]), found.setdefault(match[1].lower(), {})
        other = files.setdefault(match[2], path)
        if other != path:
            problems.append(f"{paths.shown(path)}: also found as {paths.shown(other)}; keep one of them")
    if not found:
        raise_all(problems)
        text = "expected ct_train/ct_train_1001_image.nii.gz and others, see data/README.md"
        raise InputError(f"no volumes below {manifest.root}; {text}")
    cases = [
        Case(name, name[:2].upper(), files.get("image"), files.get("label")) for name, files in sorted(found.items())
    ]
    for case in progress.bar(cases, desc=f"check {manifest.dataset}", unit="volume"):
        problems += _problems(case)
    raise_all(problems)
    return cases


def canonical(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels in the order RAS+: towards the patient's right, anterior, superior, whatever the stored order.

    Axes are permuted and reversed, never interpolated: an oblique grid keeps its tilt, and its axes count as the
    anatomical ones that they are closest to. As in nibabel, the sform comes before the qform.

    Returns:
        (X, Y, Z), the stored type, and spacing (3,) in mm along these axes.

    Raises:
        InputError: unreadable, not 3D, or without orientation.
    """
    problems = []
    nifti = volumes.try_read(path, 3, problems)
    raise_all(problems)
    return orientation.turn(nifti, orientation.axes_of(nifti, path))


def prepare(
    case: Case, spacing: float, side: int, every: float, percentiles: tuple[float, float] = (5, 95)
) -> Prepared:
    """Labelled axial slices: resampled in-plane, clipped to two percentiles, scaled to [0, 1], cut to `side`.

    SDNet (section 4.1 c) has 224 x 224 pixels and, with 3,626 MR and 2,580 CT images "all with manual segmentations",
    labelled slices only. It refers to Chartsias et al. (2017) for the rest. Ours are: the axial view for both
    modalities, the resampling, the percentiles (INSIDE's), one slice in `every` mm, and a crop about the centre of
    the field of view, not of the heart, as labels say nothing at test time. Whether a slice is labelled is asked of
    the whole field of view, so of a heart far off-centre a slice may come out as background.

    Args:
        case: with labels.
        spacing: mm in-plane.
        side: pixels.
        every: mm; of the slices nearest to a grid of such steps, which starts at the most inferior labelled slice,
            those with labels are kept. Up to the distance between slices, all are.
        percentiles: of each whole volume after resampling, which become 0 and 1. 0 and 100 clip nothing.

    Raises:
        InputError: the case has no labels.
    """
    if case.truth is None:
        raise InputError(f"{case.name}: has no labels; prepare cases with `truth` only")
    nifti = volumes.read_nifti(case.image)
    axes = orientation.axes_of(nifti, case.image)  # for both: at 45 degrees, rounding would decide for each on its own
    image, spacings = orientation.seen(nifti, axes)
    truth = nib.apply_orientation(labels.rounded(volumes.read_nifti(case.truth).array), axes)
    kept = _one_every(every / spacings[2], (truth != BACKGROUND).any(axis=(0, 1)))
    truth = orientation.pictures(_number(truth[:, :, kept]))
    shape = in_plane.resampled_shape(image.shape, spacings[:2], spacing)
    images = in_plane.image_slices(image.astype(np.float32), shape, side, percentiles)[kept]
    truth = in_plane.label_slices(truth, shape, side)
    table = pd.DataFrame({"subject": case.name, "modality": case.modality, "slice": kept, "volume": case.name})
    return Prepared(images, truth, table)


def _number(truth: np.ndarray) -> np.ndarray:
    """The release's values as 1 to 7, uint8."""
    numbers = np.zeros(truth.shape, np.uint8)
    for value, number in LABELS.items():
        numbers[truth == value] = number
    return numbers


def _one_every(step: float, labelled: np.ndarray) -> np.ndarray:
    """Indices of the labelled slices nearest to a grid of `step` slices from the first one on; (D,) bool -> (S,)."""
    grid = np.arange(len(labelled)) * max(1, step)
    index = labelled.argmax() + np.floor(grid + 0.5).astype(int)  # halves upwards, so that the rhythm is regular
    index = index[index < len(labelled)]
    return index[labelled[index]]


def _problems(case: Case) -> list[str]:
    """What is wrong with a case's image and labels, each alone and together."""
    problems = []
    if case.image is None:
        problems.append(f"{paths.shown(case.truth)}: has no image; add {case.name}_image.nii.gz")
    if case.truth is None and "_train_" in case.name:
        problems.append(f"{paths.shown(case.image)}: has no labels; add {case.name}_label.nii.gz")
    image, truth = (orientation.try_read(path, problems) for path in (case.image, case.truth))
    problems += volumes.image_faults(image, case.image)
    known = [BACKGROUND, *LABELS]
    named = f"MM-WHS's {', '.join(map(str, known))}"
    return problems + orientation.truth_faults(image, truth, case.truth, known, named)
