"""NIH Pancreas-CT: abdominal CT with the pancreas outlined (Roth et al., MICCAI 2015), as TCIA ships it.

Layout, below any prefix; only PANCREAS_NNNN and labelNNNN.nii.gz need be called so:

    Pancreas-CT/PANCREAS_0001/<study>/<series>/*.dcm       axial slices, one a file, named in any order; other DICOM
                                                           files count as well, whatever their ending
    TCIA_pancreas_labels-02-05-2017/label0001.nii.gz       0 background, 1 pancreas

Slices are sorted by position. Voxel (i, j, k) of the labels is column i of row j of the k-th slice from the feet. Their
affine is not the images' and is not used; whether they fit is seen from the HU below them instead. That tells most
flips, not all: one that happens to put the pancreas on other soft tissue goes unnoticed.

TCIA withdrew cases 0025 and 0070, which show the patient of 0002, and ships 80 of the 82 that papers count. Where an
old copy has them they are left out, or that patient could be in two parts of a split.
"""

import itertools
import re
from dataclasses import dataclass
from pathlib import Path, PurePath

import nibabel as nib
import numpy as np

from whereabouts import paths
from whereabouts.data import names
from whereabouts.data.manifest import Manifest
from whereabouts.data.scan import Scan, turned
from whereabouts.errors import InputError, raise_all
from whereabouts.formats import dicom, volumes
from whereabouts.formats.labels import faults as label_faults
from whereabouts.formats.labels import rounded
from whereabouts.pipeline import progress

WITHDRAWN = ("0025", "0070")
SOFT = (-50, 250)  # HU: soft tissue with contrast medium and noise; most of fat lies below, most of bone above
SHARE = 0.7  # of the pancreas's voxels that have to lie within SOFT
BETTER = 0.03  # more of them, where labels that are flipped fit better than as they are stored
MEDIAN = (0, 200)  # HU, of the pancreas

_SLICE = re.compile(r"((?:.*/)?PANCREAS_(\d{4}))/.*")
_ENDING = ".dcm"
_LABEL = re.compile(r"((?:.*/)?label(\d{4})\.nii\.gz)")


@dataclass(frozen=True)
class Case:
    """One volume's files.

    Args:
        name: "PANCREAS_0001".
        slices: from the feet to the head.
        truth: the labels.
    """

    name: str
    slices: tuple[Path, ...]
    truth: Path


def read(manifest: Manifest) -> list[Case]:
    """All cases, sorted by name, after reading and checking every file that they consist of.

    Headers are read first, pixels and labels once. Withdrawn cases that are left out are named on standard output.

    Raises:
        InputError: one line for each problem of any slice, series or labels.
    """
    problems = []
    series, labels = (_collect(manifest, layout, problems) for layout in (_SLICE, _LABEL))
    if not series:
        text = "expected PANCREAS_0001/<study>/<series>/*.dcm and others, see data/README.md"
        raise InputError(f"no cases below {manifest.root}; {text}")
    cases = []
    for number in progress.bar(sorted(series.keys() | labels.keys()), desc=f"check {manifest.dataset}", unit="volume"):
        (folder, files), (truth, _) = series.get(number, (None, [])), labels.get(number, (None, []))
        if not folder:
            problems.append(f"{paths.shown(truth)}: has no images; add PANCREAS_{number} or remove it")
        if not truth:
            wanted = f"label{number}.nii.gz"
            lying = names.elsewhere([wanted], sorted(PurePath(file).name for file in manifest.files)).get(wanted)
            seen = f"has no labels but {lying}" if lying else "has no labels"
            problems.append(f"{paths.shown(folder)}: {seen}; add {wanted}")
        case = Case(f"PANCREAS_{number}", dicom.sorted_series(folder, files, problems), truth)
        _volumes(case, problems)
        cases.append(case)
    raise_all(problems)
    return cases


def load(case: Case) -> Scan:
    """One case in the order RAS+: HU, int16 where they are whole and fit, else float32; labels uint8, 1 the pancreas.

    Raises:
        InputError: one line for each problem of pixels and labels, each alone and together.
    """
    problems = []
    image, labels = _volumes(case, problems)
    raise_all(problems)
    axes, spacing = dicom.geometry(case.slices)
    affine = np.eye(4)
    affine[:3, :3] = axes * [[-1], [-1], [1]]  # LPS to RAS
    scan = Scan(case.name, image, labels.astype(np.uint8), spacing)
    return turned(scan, nib.io_orientation(affine))


def _collect(manifest: Manifest, layout: re.Pattern, problems: list[str]) -> dict[str, tuple[Path, list[Path]]]:
    """Number of a case -> its folder (or label file) and the files there; adds to `problems` where it is elsewhere too.

    Withdrawn cases are left out.
    """
    found = {}
    for match in filter(None, map(layout.fullmatch, sorted(manifest.files))):
        if layout is _SLICE and not match[0].lower().endswith(_ENDING) and not dicom.is_dicom(manifest.path(match[0])):
            continue
        found.setdefault(match[2], {}).setdefault(manifest.path(match[1]), []).append(manifest.path(match[0]))
    for number in WITHDRAWN:
        for path in found.pop(number, {}):
            print(f"{paths.shown(path)}: left out, TCIA withdrew case {number} as a duplicate of 0002")
    for first, *others in found.values():
        problems += [f"{paths.shown(path)}: also found as {paths.shown(first)}; keep one of them" for path in others]
    return {number: next(iter(places.items())) for number, places in found.items()}


def _volumes(case: Case, problems: list[str]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """HU and labels, (X, Y, Z) along x, y and towards the head, None where unreadable; adds to `problems`."""
    faults = []
    image = dicom.hounsfield(case.slices, faults)
    if image is not None and image.min() == image.max():
        where = paths.shown(case.slices[0].parent)
        faults.append(f"{where}: constant, every voxel has {image.min():g} HU; replace it")
    nifti, shown = volumes.try_read(case.truth, 3, faults, grid=False), case.truth and paths.shown(case.truth)
    labels = None
    if nifti:
        wrong = label_faults(nifti.array, case.truth, (0, 1), "0 and 1")
        labels = rounded(nifti.array) == 1 if not wrong else None
        faults += wrong or (
            [] if labels.any() else [f"{shown}: shows nothing but background; label it, or leave the case out"]
        )
    if image is not None and labels is not None:
        if labels.shape != image.shape:
            seen = f"shape {labels.shape}, not {image.shape} as its slices"
            faults.append(f"{shown}: {seen}; replace it by the labels of this series")
        faults += [] if faults else [f"{shown}: {fault}" for fault in _misfits(image, labels)]
    problems += faults
    return image, labels


def _misfits(image: np.ndarray, labels: np.ndarray) -> list[str]:
    """Whether the labels lie on soft tissue, and on more of it with x, y or z flipped or x and y swapped."""
    voxels, last = np.argwhere(labels), np.array(image.shape) - 1
    found = {}  # how they are changed -> median HU, share of soft tissue
    for change in itertools.product((False, True), repeat=4):
        swapped, *flipped = change
        if swapped and image.shape[0] != image.shape[1]:
            continue
        moved = voxels[:, [1, 0, 2]] if swapped else voxels
        hu = image[tuple(np.where(flipped, last - moved, moved).T)]
        found[change] = np.median(hu), np.mean((hu >= SOFT[0]) & (hu <= SOFT[1]))
    median, share = found[False, False, False, False]
    seen = f"median {median:.0f} HU, {share:.0%} within {SOFT[0]} to {SOFT[1]}"
    fitting = [change for change in found if _is_soft(*found[change]) and found[change][1] > share + BETTER]
    if not fitting and _is_soft(median, share):
        return []
    if not fitting:
        expected = f"where {MEDIAN[0]} to {MEDIAN[1]} and at least {SHARE:.0%} are expected"
        return [f"not on soft tissue, flipped or not ({seen}, {expected}); replace it by the labels of this case"]
    best = max(fitting, key=lambda change: (found[change][1], -sum(change)))
    words = ", ".join(itertools.compress(("x and y swapped", "x flipped", "y flipped", "z flipped"), best))
    return [f"on soft tissue with {words} (as stored: {seen}); restore it as released, or change it so"]


def _is_soft(median: float, share: float) -> bool:
    return MEDIAN[0] <= median <= MEDIAN[1] and share >= SHARE
