"""A picture as it is displayed: upright, its palette looked up. What viewers show in several ways is refused by name.

That is: several pictures in one file, inks (CMYK), 16 bits for each of several channels, an unusual gamma. Colour
profiles are not applied: those of grey pictures hardly differ from the usual gamma.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps, UnidentifiedImageError

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.formats import limits

PIXELS = 24 * 2**20  # that a picture may have; JSRT's have 2048 x 2048, a detector of 43 cm at 0.1 mm 4300 x 4300
AGAIN = "copy or unpack it again"
TRANSPARENT = "is transparent where it is not black; save it without transparency"

_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16")
_GAMMA = (0.4, 0.5)  # about 1 / 2.2, for which pixels are made unless the file says otherwise
_SCANS = 100  # of a JPEG; a progressive one has about ten, and each goes over all pixels
_EXIFS = 100  # segments of EXIF data in a JPEG, which has one; Pillow copies all of them for each
_STARTS = {"PNG": b"\x89PNG\r\n\x1a\n", "GIF": b"GIF8", "JPEG": b"\xff\xd8\xff"}
_TOO_MANY = f"more than {PIXELS} pixels are refused; reduce or replace it"
_EXIF = "damaged EXIF data, which may say how it is turned; look at it and save it without them"


def read(path: Path, formats: Sequence[str]) -> Image.Image:
    """One picture, turned as its orientation tag (EXIF or XMP) says.

    Args:
        path: of the file.
        formats: which it may have, of "PNG", "GIF" and "JPEG".

    Returns:
        Of mode "L" (grey), "I;16" (grey in a PNG of 16 bits) or "RGBA" (any other).

    Raises:
        InputError: unreadable, more than `PIXELS`, or displayed in several ways; one line, says what to do.
    """
    shown = paths.shown(path)
    with limits.opened(path, limits.PICTURE) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module=r"PIL\.TiffImagePlugin")  # which reads EXIF data
        try:
            return _displayed(file, formats, shown)
        except InputError:
            raise
        except Image.DecompressionBombError:
            problem = _TOO_MANY
        except UnidentifiedImageError:
            problem = _unidentified(file, formats)
        except Exception as fault:  # there is no telling what damaged bytes make Pillow raise
            if isinstance(fault, OSError) and fault.errno is not None:  # the system's, not Pillow's
                raise
            damage = f"damaged, cannot be read to its end ({type(fault).__name__}); {AGAIN}"
            problem = _EXIF if isinstance(fault, UserWarning) else damage
    raise InputError(f"{shown}: {problem}")


def _displayed(file: BinaryIO, formats: Sequence[str], shown: str) -> Image.Image:
    content = file.read()
    if content.startswith(_STARTS["JPEG"]):
        for mark, most, what in ((b"\xff\xda", _SCANS, "scans"), (b"Exif\0\0", _EXIFS, "parts of EXIF data")):
            if content.count(mark) > most:
                raise InputError(f"{shown}: more than {most} {what} are refused; save it as PNG")
    if content.startswith(_STARTS["GIF"]) and len(content) > limits.GIF.size:
        raise InputError(
            f"{shown}: more than the {limits.GIF.size:,} bytes that {limits.GIF.kind} may have; save it as PNG"
        )
    file.seek(0)
    with Image.open(file, formats=formats) as picture:
        if problem := _ambiguity(picture):
            raise InputError(f"{shown}: {problem}")
        picture.verify()  # a PNG's checksums, which are not looked at below
    file.seek(0)
    with Image.open(file, formats=formats) as picture:
        picture.load()
        try:
            ImageOps.exif_transpose(picture, in_place=True)
        except Exception:  # nor what damaged EXIF data make it raise
            raise InputError(f"{shown}: {_EXIF}") from None
        if picture.mode == "1":
            return picture.convert("L")
        if picture.mode == "I;16" or (picture.mode == "L" and "transparency" not in picture.info):
            return picture
        return picture.convert("RGBA")


def _ambiguity(picture: Image.Image) -> str | None:
    """Why a picture that is not loaded yet is not read, if it is not."""
    if picture.width * picture.height > PIXELS:
        return _TOO_MANY
    if (count := getattr(picture, "n_frames", 1)) > 1:
        return f"holds {count} pictures where one is expected; save the one that is meant"
    if picture.mode not in _MODES:
        return f"is of mode {picture.mode}; save it as grey or RGB"
    if picture.mode != "I;16" and any(str(tile.args).endswith("16B") for tile in picture.tile):
        return "has 16 bits for each of several channels, of which 8 would be lost; save it as grey, or with 8 bits"
    if picture.mode == "I;16" and picture.info.get("transparency"):
        return TRANSPARENT
    gamma = picture.info.get("gamma")
    if gamma and not _GAMMA[0] <= gamma <= _GAMMA[1] and not picture.info.keys() & {"srgb", "icc_profile"}:
        return f"is to be displayed with a gamma of {gamma:g}, not 0.45; save it without one"
    return None


def _unidentified(file: BinaryIO, formats: Sequence[str]) -> str:
    """What is wrong with a file of which Pillow makes nothing."""
    file.seek(0)
    start = file.read(16)
    if not start:
        return f"empty; {AGAIN}"
    for name in formats:
        if start.startswith(_STARTS[name]):
            return f"damaged, or a {name} of a rare kind; {AGAIN}, or save it anew with 8 bits"
    return f"is no {' or '.join(formats)}; replace it by one"
