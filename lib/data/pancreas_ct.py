"""NIH Pancreas-CT: abdominal CT with the pancreas outlined (Roth et al., MICCAI 2015), as TCIA ships it.

Layout, below any prefix; only PANCREAS_NNNN and labelNNNN.nii.gz need be called so:

    Pancreas-CT/PANCREAS_0001/<study>/<series>/*.dcm       axial slices, one a file, named in any order
    TCIA_pancreas_labels-02-05-2017/label0001.nii.gz       0 background, 1 pancreas

Slices are sorted by position. Voxel (i, j, k) of the labels is column i of row j of the k-th slice from the feet. Their
affine is not the images' and is not used; whether they fit is seen from the HU below them instead. That tells most
flips, not all: one that happens to put the pancreas on other soft tissue goes unnoticed.

TCIA withdrew cases 0025 and 0070, which show the patient of 0002, and ships 80 of the 82 that papers count. Where an
old copy has them they are left out, or that patient could be in two parts of a split.
"""

import itertools
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.pixels import get_decoder

from lib import paths, progress
from lib.data import volumes
from lib.data.manifest import Manifest
from lib.data.scan import Scan, turned
from lib.data.volumes import AGAIN, TOLERANCE
from lib.errors import InputError, raise_all

WITHDRAWN = ("0025", "0070")
SOFT = (-50, 250)  # HU: soft tissue with contrast medium and noise; most of fat lies below, most of bone above
SHARE = 0.7  # of the pancreas's voxels that have to lie within SOFT
MEDIAN = (0, 200)  # HU, of the pancreas

_SLICE = re.compile(r"((?:.*/)?PANCREAS_(\d{4}))/.*\.(?i:dcm)")
_LABEL = re.compile(r"((?:.*/)?label(\d{4})\.nii\.gz)")
_WORDS = ("Modality", "SeriesInstanceUID", "PhotometricInterpretation")
_SIZES = {"Rows": 1, "Columns": 1, "SamplesPerPixel": 1, "BitsAllocated": 1, "BitsStored": 1, "PixelSpacing": 2}
_VALUES = {
    "PixelRepresentation": 1,
    "ImageOrientationPatient": 6,
    "ImagePositionPatient": 3,
    "RescaleSlope": 1,
    "RescaleIntercept": 1,
}  # tag -> how many numbers
_DENSEST = 1000  # times as many bytes of pixels as of file that compression is trusted to reach
_TILT = 0.5  # degrees up to which a direction counts as one of the patient's axes


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


@dataclass(frozen=True)
class _Header:
    """One slice but its pixels; x along its rows, y down its columns, directions and positions in DICOM's LPS."""

    path: Path
    series: str  # unique identifier
    shape: tuple[float, float]  # pixels along x and y
    spacing: tuple[float, float]  # mm along x and y
    orientation: tuple[float, ...]  # unit vectors along x and y
    position: tuple[float, float, float]  # mm, of the first pixel's centre


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
            problems.append(f"{paths.shown(folder)}: has no labels; add label{number}.nii.gz")
        case = Case(f"PANCREAS_{number}", _sorted(folder, files, problems), truth)
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
    first, last = (_header(case.slices[end]) for end in (0, -1))
    axes = _axes(first.orientation)
    thickness = axes[:, 2] @ np.subtract(last.position, first.position) / (len(case.slices) - 1)
    affine = np.eye(4)
    affine[:3, :3] = axes * [[-1], [-1], [1]]  # LPS to RAS
    scan = Scan(case.name, image, labels.astype(np.uint8), (*first.spacing, float(thickness)))
    return turned(scan, nib.io_orientation(affine))


def _collect(manifest: Manifest, layout: re.Pattern, problems: list[str]) -> dict[str, tuple[Path, list[Path]]]:
    """Number of a case -> its folder (or label file) and the files there; adds to `problems` where it is elsewhere too.

    Withdrawn cases are left out.
    """
    found = {}
    for match in filter(None, map(layout.fullmatch, sorted(manifest.files))):
        found.setdefault(match[2], {}).setdefault(manifest.path(match[1]), []).append(manifest.path(match[0]))
    for number in WITHDRAWN:
        for path in found.pop(number, {}):
            print(f"{paths.shown(path)}: left out, TCIA withdrew case {number} as a duplicate of 0002")
    for first, *others in found.values():
        problems += [f"{paths.shown(path)}: also found as {paths.shown(first)}; keep one of them" for path in others]
    return {number: next(iter(places.items())) for number, places in found.items()}


def _each(function: Callable, files: list[Path], problems: list[str]) -> list:
    """What `function` makes of those files for which it can; `problems` of the others."""
    results = []
    for path in files:
        try:
            results.append(function(path))
        except InputError as fault:
            problems += fault.problems
    return results


# One slice


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Silence pydicom's warnings of what it can live with, and name the file where it cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InvalidDicomError:
        raise InputError(f"{paths.shown(path)}: not a DICOM file; {AGAIN}") from None
    except OSError as fault:
        raise InputError(f"{paths.shown(path)}: cannot be read ({fault.strerror or fault}); {AGAIN}") from None
    except Exception as fault:  # there is no telling what damaged bytes make pydicom raise
        raise InputError(f"{paths.shown(path)}: truncated or damaged ({type(fault).__name__}); {AGAIN}") from None


def _header(path: Path) -> _Header:
    """One slice but its pixels; InputError unless they are of CT, can be decoded, and go into a file of this size."""
    shown = paths.shown(path)
    with _reading(path):
        dataset, size = pydicom.dcmread(path, stop_before_pixels=True), path.stat().st_size
        words = {tag: dataset.get(tag) for tag in _WORDS}
        words["TransferSyntaxUID"] = syntax = dataset.file_meta.get("TransferSyntaxUID")
        known, frames = syntax and _decodable(syntax), dataset.get("NumberOfFrames") or 1
        tags = {tag: _numbers(dataset.get(tag), count) for tag, count in (_SIZES | _VALUES).items()}
    lacking = [tag for tag, value in (words | tags).items() if not value or (tag in _SIZES and min(value) <= 0)]
    if lacking:
        raise InputError(f"{shown}: has no usable {', '.join(lacking)}; {AGAIN}")
    if words["Modality"] != "CT":
        raise InputError(f"{shown}: {words['Modality']} where CT is expected; remove it")
    if tags["SamplesPerPixel"] != (1,) or frames != 1:
        raise InputError(f"{shown}: is not one grey slice; remove it, or export one grey slice a file")
    if not known:
        raise InputError(f"{shown}: its compression ({syntax.name}) cannot be decoded; decompress it")
    (rows,), (columns,), (bits,) = (tags[tag] for tag in ("Rows", "Columns", "BitsAllocated"))
    if rows * columns * bits / 8 > size * (_DENSEST if syntax.is_compressed or syntax.is_deflated else 1):
        raise InputError(f"{shown}: {columns:g} x {rows:g} pixels do not go into {size} bytes; {AGAIN}")
    orientation, position = tags["ImageOrientationPatient"], tags["ImagePositionPatient"]
    return _Header(path, words["SeriesInstanceUID"], (columns, rows), tags["PixelSpacing"][::-1], orientation, position)


def _numbers(value: object, count: int) -> tuple[float, ...]:
    """That many finite numbers, or none."""
    try:
        numbers = np.array(value, dtype=np.float64).reshape(count)
    except (TypeError, ValueError):
        return ()
    return tuple(numbers.tolist()) if np.isfinite(numbers).all() else ()


def _decodable(syntax: pydicom.uid.UID) -> bool:
    try:
        return get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def _hu(path: Path) -> np.ndarray:
    """Hounsfield units of one slice, (rows, columns), int16 where they are whole and fit, else float32."""
    with _reading(path):  # NumPy's warnings of what does not fit are silenced too
        dataset = pydicom.dcmread(path)
        hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        whole, broken = hu.astype(np.int16), hu.astype(np.float32)
    if not np.isfinite(broken).all():
        raise InputError(f"{paths.shown(path)}: has NaN or infinite HU; {AGAIN}")
    return whole if (whole == hu).all() else broken


def _axes(orientation: tuple[float, ...]) -> np.ndarray:
    """Unit vectors along x, along y and through the slices towards the head, as the columns of (3, 3), LPS."""
    x, y = np.reshape(orientation, (2, 3))
    z = np.cross(x, y)
    return np.stack([x, y, -z if z[2] < 0 else z], axis=1)


# One series


def _sorted(folder: Path | None, files: list[Path], problems: list[str]) -> tuple[Path, ...]:
    """The slices of a case from the feet to the head; none, and more `problems`, unless they are one whole series."""
    faults = []
    headers = _each(_header, files, faults)
    if files and not faults:
        faults = _series_faults(folder, headers)
    if files and not faults:
        z = _axes(headers[0].orientation)[:, 2]
        heights = np.array([z @ header.position for header in headers])
        order = heights.argsort(kind="stable")
        files = [files[index] for index in order]
        faults = _position_faults(folder, files, heights[order])
    problems += faults
    return () if faults else tuple(files)


def _series_faults(folder: Path, headers: list[_Header]) -> list[str]:
    """In what the slices of a case differ that they should share; else how they lie, if not axial."""
    examples = sorted({header.series: paths.shown(header.path) for header in reversed(headers)}.values())
    if len(examples) > 1:
        text = f"has {len(examples)} series (see {examples[0]} and {examples[1]})"
        return [f"{paths.shown(folder)}: {text}; keep the one that the labels belong to"]
    faults = []
    for name, what in (("shape", "pixels"), ("spacing", "mm between pixels"), ("orientation", "for orientation")):
        values = [getattr(header, name) for header in headers]
        usual = Counter(values).most_common(1)[0][0]
        odd = [index for index, value in enumerate(values) if np.abs(np.subtract(value, usual)).max() > TOLERANCE]
        if odd:
            path = headers[odd[0]].path
            more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            shown = f"{_listed(values[odd[0]])} {what}, the other slices {_listed(usual)}"
            faults.append(f"{paths.shown(path)}{more}: {shown}; {AGAIN}")
    return faults or _plane_faults(folder, _axes(headers[0].orientation))


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _plane_faults(folder: Path, axes: np.ndarray) -> list[str]:
    """Oblique, coronal and sagittal slices are faults."""
    tilt = np.degrees(np.arccos(np.abs(axes).max(axis=0).min().clip(max=1)))
    plane = ("sagittal", "coronal", "axial")[np.abs(axes[:, 2]).argmax()]
    if tilt > _TILT:
        plane = f"oblique by {tilt:.1f} degrees"
    advice = "take the axial series"
    return [] if plane == "axial" else [f"{paths.shown(folder)}: its slices are {plane}, not axial; {advice}"]


def _position_faults(folder: Path, files: list[Path], heights: np.ndarray) -> list[str]:
    """Doubled and missing slices, of rising heights in mm."""
    steps = np.diff(heights)
    if not (steps > TOLERANCE).any():
        return [f"{paths.shown(folder)}: has slices at one position only; {AGAIN}"]
    usual = np.quantile(steps[steps > TOLERANCE], 0.5, method="lower")
    faults = []
    for low, high, bottom, top in zip(files, files[1:], heights, heights[1:], strict=False):
        if top - bottom <= usual / 2:
            other = f"at {top:.2f} mm, where {paths.shown(low)} lies"
            faults.append(f"{paths.shown(high)}: {other}; keep one of them")
        if top - bottom > 1.5 * usual:
            ends = f"{bottom:.2f} and {top:.2f} mm ({low.name} and {high.name})"
            text = f"no slice between {ends}, others are {usual:.2f} mm apart"
            faults.append(f"{paths.shown(folder)}: {text}; {AGAIN}")
    return faults


# Image and labels together


def _volumes(case: Case, problems: list[str]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """HU and labels, (X, Y, Z) along x, y and towards the head, None where unreadable; adds to `problems`."""
    faults = []
    planes = _each(_hu, case.slices, faults)
    image = np.stack(planes).T if planes and not faults else None  # (Z, Y, X) -> (X, Y, Z)
    if image is not None and image.min() == image.max():
        where = paths.shown(case.slices[0].parent)
        faults.append(f"{where}: constant, every voxel has {image.min():g} HU; {AGAIN}")
    nifti, shown = volumes.try_read(case.truth, 3, faults), case.truth and paths.shown(case.truth)
    labels = nifti and nifti.array == 1
    if nifti:
        strange = np.unique(nifti.array[~labels & (nifti.array != 0)])
        if strange.size:
            values = ", ".join(f"{value:g}" for value in strange[:5]) + (", ..." if strange.size > 5 else "")
            faults.append(f"{shown}: has labels other than 0 and 1 ({values}); {AGAIN}")
        elif not labels.any():
            faults.append(f"{shown}: shows nothing but background; {AGAIN}")
    if image is not None and labels is not None:
        if labels.shape != image.shape:
            faults.append(f"{shown}: shape {labels.shape}, not {image.shape} as its slices; {AGAIN}")
        faults += [] if faults else [f"{shown}: {fault}" for fault in _misfits(image, labels)]
    problems += faults
    return image, labels


def _misfits(image: np.ndarray, labels: np.ndarray) -> list[str]:
    """Whether the labels lie on soft tissue, and if not, whether they do with x, y or z flipped or x and y swapped."""
    voxels, last = np.argwhere(labels), np.array(image.shape) - 1
    found = {}  # how they are changed -> median HU, share of soft tissue
    for change in itertools.product((False, True), repeat=4):
        swapped, *flipped = change
        if swapped and image.shape[0] != image.shape[1]:
            continue
        moved = voxels[:, [1, 0, 2]] if swapped else voxels
        hu = image[tuple(np.where(flipped, last - moved, moved).T)]
        found[change] = np.median(hu), np.mean((hu >= SOFT[0]) & (hu <= SOFT[1]))
        if _is_soft(*found[change]) and not any(change):
            return []
    median, share = found[False, False, False, False]
    seen = f"median {median:.0f} HU, {share:.0%} within {SOFT[0]} to {SOFT[1]}"
    fitting = [change for change in found if _is_soft(*found[change])]
    if not fitting:
        expected = f"where {MEDIAN[0]} to {MEDIAN[1]} and at least {SHARE:.0%} are expected"
        return [f"not on soft tissue, flipped or not ({seen}, {expected}); replace it by the labels of this case"]
    best = max(fitting, key=lambda change: (found[change][1], -sum(change)))
    words = ", ".join(itertools.compress(("x and y swapped", "x flipped", "y flipped", "z flipped"), best))
    return [f"on soft tissue only with {words} (as stored: {seen}); restore it as released, or change it so"]


def _is_soft(median: float, share: float) -> bool:
    return MEDIAN[0] <= median <= MEDIAN[1] and share >= SHARE
