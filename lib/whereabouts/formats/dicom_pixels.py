"""The pixels of one CT slice in DICOM: what is packed is measured before it is unpacked, what is odd refused by name.

Stored values count, whatever MONOCHROME1 or a window make of them on a screen. Padding beyond the field of view keeps
its value as long as that is as dark as air. Bits beyond BitsStored have to repeat what those within say.
"""

import io

import numpy as np
import pydicom
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit, RLELossless

DARK = -900  # HU, up to which padding may be
BRIGHT = 32767  # HU, the most of a CT of 16 bits; unsigned pixels that should be signed are beyond it

_JPEG2000 = (JPEG2000, JPEG2000Lossless)
_PACKED = (RLELossless, JPEGBaseline8Bit, JPEGExtended12Bit, *_JPEG2000)  # those that are measured here
_CODESTREAM = b"\xff\x4f\xff\x51"  # how JPEG 2000 begins
_SCANS = 4  # of a JPEG that is not progressive


def is_decodable(syntax: UID) -> bool:
    """Whether pixels in that transfer syntax can be read here."""
    try:
        return (syntax in _PACKED or not syntax.is_encapsulated) and get_decoder(syntax).is_available
    except NotImplementedError:
        return False


def packing_fault(dataset: pydicom.Dataset) -> str | None:
    """What is wrong with how much the pixels are: unpacked by no more than announced; what to do.

    Raises:
        Exception: pydicom's or Pillow's, where the pixels are damaged.
    """
    rows, columns = dataset.Rows, dataset.Columns
    width, syntax = dataset.BitsAllocated // 8, dataset.file_meta.TransferSyntaxUID
    size = rows * columns * width
    if not syntax.is_encapsulated:
        more = len(dataset.PixelData) - size
        seen = f"{len(dataset.PixelData)} bytes of pixels where {size} are announced"
        return f"{seen}; export it again" if more >= max(columns, 2) * width else None
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if syntax == RLELossless:
        beyond = _run_lengths(frame, 2 * size) > 2 * size
        return f"its pixels unpack to more than the {size} bytes announced; export it again" if beyond else None
    if syntax in _JPEG2000 and not frame.startswith(_CODESTREAM):
        return "its pixels are no JPEG 2000 codestream; decompress it"
    with Image.open(io.BytesIO(frame), formats=("JPEG", "JPEG2000")) as picture:
        if picture.size != (columns, rows):
            seen = f"its pixels are {picture.width} x {picture.height} where {columns} x {rows} are announced"
            return f"{seen}; export it again"
    if syntax not in _JPEG2000 and frame.count(b"\xff\xda") > _SCANS:
        return "its pixels are not in a few scans, as a baseline JPEG's; decompress it"
    return None


def hounsfield(dataset: pydicom.Dataset) -> np.ndarray | str:
    """(rows, columns), int16 where they are whole and fit, else float32; or what is wrong with them and what to do.

    Raises:
        Exception: pydicom's, where the pixels are damaged.
    """
    stored, slope, intercept = dataset.pixel_array, float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset.pixel_array_options(correct_unused_bits=False)
        if (dataset.pixel_array != stored).any():
            return f"has values beyond the {dataset.BitsStored} bits that are said to be stored; export it again"
    hu = stored * slope + intercept
    padded = hu[np.isin(stored, _padding(dataset))]
    if padded.size and padded.max() > DARK:
        seen = f"pads with {padded.max():g} HU, brighter than air"
        return f"{seen}; set these pixels to air"
    whole, broken = hu.astype(np.int16), hu.astype(np.float32)
    if not np.isfinite(broken).all():
        return "has NaN or infinite HU; export it again"
    if hu.max() > BRIGHT:
        return f"has values up to {hu.max():g} HU, perhaps unsigned for signed (PixelRepresentation); export it again"
    return whole if (whole == hu).all() else broken


def _padding(dataset: pydicom.Dataset) -> list[int]:
    """Stored values that stand for padding, whether they are written signed or not."""
    value = dataset.get("PixelPaddingValue")
    return [value, value - 2**dataset.BitsAllocated] if isinstance(value, int) else []


def _run_lengths(frame: bytes, limit: int) -> int:
    """Bytes that DICOM's run lengths stand for, in all segments together, counted up to about `limit`."""
    total, at = 0, 64  # behind the header
    while at < len(frame) and total <= limit:
        code = frame[at]
        total += code + 1 if code < 128 else 257 - code if code > 128 else 0
        at += code + 2 if code < 128 else 2 if code > 128 else 1
    return total
