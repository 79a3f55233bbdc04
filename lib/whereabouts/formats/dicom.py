"""One CT series in DICOM, a slice a file: sorted by position, its faults named, its pixels in Hounsfield units.

Where a slice lies is what ImagePositionPatient and ImageOrientationPatient say, how large its pixels are PixelSpacing;
SliceThickness, SpacingBetweenSlices, SliceLocation, InstanceNumber and ImagerPixelSpacing are not asked. Positions must
be evenly spaced along one line through the slices, which have to be axial: nothing is interpolated here.
"""

import io
import math
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.formats import dicom_pixels, limits
from whereabouts.formats.volumes import AGAIN, TOLERANCE

EXPORT = "export it again"

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
_PIXELS = 2**22  # of a slice; official ones have 512 x 512
_META = 132  # bytes before the tags that describe the file
_MAGIC = b"DICM"  # the last of them
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_UNITS = (None, "", "HU", "US")  # of what RescaleSlope makes; US: unspecified, which for CT is HU
_TILT = 0.5  # degrees up to which a direction counts as one of the patient's axes


@dataclass(frozen=True)
class _Header:
    """One slice but its pixels; x along its rows, y down its columns, directions and positions in DICOM's LPS."""

    path: Path
    series: str  # unique identifier
    shape: tuple[float, float]  # pixels along x and y
    spacing: tuple[float, float]  # mm along x and y
    orientation: tuple[float, ...]  # unit vectors along x and y
    position: tuple[float, float, float]  # mm, of the first pixel's centre
    tilt: float  # degrees, of the gantry, 0 where it is not said


def is_dicom(path: Path) -> bool:
    """Whether a file under any name begins as DICOM does, and is not the index of a disc, which is called DICOMDIR."""
    if path.name.casefold().startswith("dicomdir"):
        return False
    try:
        with limits.opened(path, limits.DICOM) as file:
            return file.read(_META).endswith(_MAGIC)
    except InputError:
        return False


def sorted_series(folder: Path | None, files: list[Path], problems: list[str]) -> tuple[Path, ...]:
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
        faults = _position_faults(folder, files, heights[order]) or _grid_faults(folder, headers, heights[order])
    problems += faults
    return () if faults else tuple(files)


def hounsfield(slices: tuple[Path, ...], problems: list[str]) -> np.ndarray | None:
    """HU of a sorted series, (X, Y, Z) along x, y and towards the head; int16 where they are whole and fit, or float32.

    None, and more `problems`, where a slice cannot be read.
    """
    faults = []
    planes = _each(_hu, slices, faults)
    problems += faults
    return np.stack(planes).T if planes and not faults else None  # (Z, Y, X) -> (X, Y, Z)


def geometry(slices: tuple[Path, ...]) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Directions of the axes of `hounsfield`, as the columns of (3, 3) in LPS, and the spacing along them in mm."""
    first, last = (_header(slices[end]) for end in (0, -1))
    axes = _axes(first.orientation)
    thickness = axes[:, 2] @ np.subtract(last.position, first.position) / (len(slices) - 1)
    return axes, (*first.spacing, float(thickness))


def _each(function: Callable, files: Iterable[Path], problems: list[str]) -> list:
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
    except InputError:
        raise
    except InvalidDicomError:
        raise InputError(f"{paths.shown(path)}: not a DICOM file; replace or remove it") from None
    except Exception as fault:  # there is no telling what damaged bytes make pydicom raise
        raise InputError(f"{paths.shown(path)}: truncated or damaged ({type(fault).__name__}); {AGAIN}") from None


def _read(path: Path, **options) -> pydicom.Dataset:
    """What pydicom reads, from memory, where no announced length takes more than there is.

    Raises:
        InputError: larger than a slice is, as it lies there or once it is unpacked.
    """
    content = io.BytesIO(limits.read(path, limits.DICOM))
    if _unpacked_size(content) > limits.DICOM.size:
        problem = f"unpacks to more than the {limits.DICOM.size:,} bytes that {limits.DICOM.kind} may have"
        raise InputError(f"{paths.shown(path)}: {problem}; replace or remove it")
    return pydicom.dcmread(content, **options)


def _unpacked_size(content: io.BytesIO) -> int:
    """Bytes that a file becomes; of a deflated one, counted to a byte beyond the limit; the start is where it was."""
    size = content.seek(0, io.SEEK_END)
    content.seek(_META)
    about = read_dataset(content, False, True, stop_when=lambda tag, *_: tag.group != 2) if size > _META else {}
    if about.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        size = len(zlib.decompressobj(-zlib.MAX_WBITS).decompress(content.read(), limits.DICOM.size + 1))
    content.seek(0)
    return size


def _header(path: Path) -> _Header:
    """One slice but its pixels; InputError unless they are of CT, can be decoded, and go into a file of this size."""
    shown = paths.shown(path)
    with _reading(path):
        dataset, size = _read(path, stop_before_pixels=True), path.stat().st_size
        words = {tag: dataset.get(tag) for tag in _WORDS}
        words["TransferSyntaxUID"] = syntax = dataset.file_meta.get("TransferSyntaxUID")
        words = {tag: value if isinstance(value, str) and value.isprintable() else None for tag, value in words.items()}
        known, frames = (
            words["TransferSyntaxUID"] and dicom_pixels.is_decodable(syntax),
            dataset.get("NumberOfFrames") or 1,
        )
        high, units = dataset.get("HighBit"), dataset.get("RescaleType")
        (tilt,) = _numbers(dataset.get("GantryDetectorTilt"), 1) or (0.0,)
        tags = {tag: _numbers(dataset.get(tag), count) for tag, count in (_SIZES | _VALUES).items()}
    lacking = [tag for tag, value in (words | tags).items() if not value or (tag in _SIZES and min(value) <= 0)]
    if lacking:
        raise InputError(f"{shown}: has no usable {', '.join(lacking)}; copy or export it again")
    if words["Modality"] != "CT":
        raise InputError(f"{shown}: {words['Modality']} where CT is expected; remove it")
    if tags["SamplesPerPixel"] != (1,) or frames != 1:
        raise InputError(f"{shown}: is not one grey slice; remove it, or export one grey slice a file")
    if not known:
        raise InputError(f"{shown}: its compression ({syntax.name}) cannot be decoded; decompress it")
    if words["PhotometricInterpretation"] not in _MONOCHROME:
        raise InputError(f"{shown}: is {words['PhotometricInterpretation']} where MONOCHROME2 is expected; {EXPORT}")
    if units not in _UNITS:
        raise InputError(f"{shown}: its values are in {units!r}, not in HU; take the series of HU")
    (rows,), (columns,), (bits,) = (tags[tag] for tag in ("Rows", "Columns", "BitsAllocated"))
    (stored,), (sign,), (slope,) = (tags[tag] for tag in ("BitsStored", "PixelRepresentation", "RescaleSlope"))
    if bits not in (8, 16, 32) or stored > bits or high not in (None, stored - 1) or sign not in (0, 1):
        raise InputError(f"{shown}: says of its pixels what does not fit (BitsStored {stored:g} of {bits:g}); {EXPORT}")
    if slope <= 0:
        raise InputError(f"{shown}: its RescaleSlope is {slope:g}, not positive; {EXPORT}")
    possible = size * (_DENSEST if syntax.is_compressed or syntax.is_deflated else 1)
    if rows * columns * bits / 8 > possible:
        raise InputError(f"{shown}: {columns:g} x {rows:g} pixels do not go into {size} bytes; {AGAIN}")
    if rows * columns > _PIXELS:
        raise InputError(f"{shown}: {columns:g} x {rows:g} pixels, more than {_PIXELS}; reduce or remove it")
    orientation, position = tags["ImageOrientationPatient"], tags["ImagePositionPatient"]
    spacing = tags["PixelSpacing"][::-1]
    return _Header(path, words["SeriesInstanceUID"], (columns, rows), spacing, orientation, position, tilt)


def _numbers(value: object, count: int) -> tuple[float, ...]:
    """That many finite numbers, or none."""
    try:
        numbers = np.array(value, dtype=np.float64).reshape(count)
    except (TypeError, ValueError):
        return ()
    return tuple(numbers.tolist()) if np.isfinite(numbers).all() else ()


def _hu(path: Path) -> np.ndarray:
    """Hounsfield units of one slice, (rows, columns), int16 where they are whole and fit, else float32."""
    with _reading(path):  # NumPy's warnings of what does not fit are silenced too
        dataset = _read(path)
        fault = dicom_pixels.packing_fault(dataset)
        hu = dicom_pixels.hounsfield(dataset) if fault is None else fault
    if isinstance(hu, str):
        raise InputError(f"{paths.shown(path)}: {hu}")
    return hu


def _axes(orientation: tuple[float, ...]) -> np.ndarray:
    """Unit vectors along x, along y and through the slices towards the head, as the columns of (3, 3), LPS."""
    x, y = np.reshape(orientation, (2, 3))
    z = np.cross(x, y)
    return np.stack([x, y, -z if z[2] < 0 else z], axis=1)


# One series


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
            faults.append(f"{paths.shown(path)}{more}: {shown}; replace or remove it")
    voxels = len(headers) * math.prod(headers[0].shape)
    if voxels > limits.SCAN_VOXELS:
        faults.append(f"{paths.shown(folder)}: {voxels:g} voxels, more than {limits.SCAN_VOXELS}; reduce it")
    return faults or _plane_faults(folder, headers)


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _plane_faults(folder: Path, headers: list[_Header]) -> list[str]:
    """Oblique, coronal and sagittal slices are faults, and those of a tilted gantry that are said to be axial."""
    axes, gantry = _axes(headers[0].orientation), max((header.tilt for header in headers), key=abs)
    tilt = np.degrees(np.arccos(np.abs(axes).max(axis=0).min().clip(max=1)))
    plane = ("sagittal", "coronal", "axial")[np.abs(axes[:, 2]).argmax()]
    if tilt > _TILT:
        plane = f"oblique by {tilt:.1f} degrees"
    elif plane == "axial" and abs(gantry) > _TILT:
        plane = f"of a gantry tilted by {gantry:g} degrees"
    advice = "take the axial series"
    return [] if plane == "axial" else [f"{paths.shown(folder)}: its slices are {plane}, not axial; {advice}"]


def _position_faults(folder: Path, files: list[Path], heights: np.ndarray) -> list[str]:
    """Doubled and missing slices, of rising heights in mm."""
    steps = np.diff(heights)
    if not (steps > TOLERANCE).any():
        return [f"{paths.shown(folder)}: has slices at one position only; export the series again"]
    usual = np.quantile(steps[steps > TOLERANCE], 0.5, method="lower")
    faults = []
    for low, high, bottom, top in zip(files, files[1:], heights, heights[1:], strict=False):
        if top - bottom <= usual / 2:
            other = f"at {top:.2f} mm, where {paths.shown(low)} lies"
            faults.append(f"{paths.shown(high)}: {other}; keep one of them")
        if top - bottom > 1.5 * usual:
            ends = f"{bottom:.2f} and {top:.2f} mm ({low.name} and {high.name})"
            text = f"no slice between {ends}, others are {usual:.2f} mm apart"
            faults.append(f"{paths.shown(folder)}: {text}; add it, or unpack the series again")
    return faults


def _grid_faults(folder: Path, headers: list[_Header], heights: np.ndarray) -> list[str]:
    """Slices that are no grid: shifted by half a pixel, or half a step from where even steps would lead."""
    across = np.array([header.position for header in headers]) @ _axes(headers[0].orientation)[:, :2]  # (n, 2)
    shift, steps = np.ptp(across, axis=0).max(), np.diff(heights)
    off = np.abs(heights - np.linspace(heights[0], heights[-1], len(heights))).max()
    advice = "resample it, or take another series"
    if shift > min(headers[0].spacing) / 2:
        return [f"{paths.shown(folder)}: its slices are shifted against one another by {shift:.2f} mm; {advice}"]
    if off > np.median(steps) / 2:
        return [f"{paths.shown(folder)}: its slices are {steps.min():.2f} to {steps.max():.2f} mm apart; {advice}"]
    return []
