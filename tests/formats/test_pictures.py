"""Pictures as displayed: orientations against Pillow's own turning, depths and palettes by hand, and every refusal."""

import io
import itertools
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from whereabouts.errors import InputError
from whereabouts.formats import limits, pictures

FORMATS = ("PNG", "GIF", "JPEG")
GREY = np.random.default_rng(0).integers(0, 256, (21, 34), np.uint8)
BLOCKS = np.kron(np.array([[10, 60, 110], [160, 210, 250]], np.uint8), np.ones((16, 16), np.uint8))  # kept by JPEG


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    (Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, depth, colour, *chunks, width=None):
    """A PNG of rows of big-endian `samples`, for what Pillow does not write; `chunks` go before the pixels."""
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", width or samples.shape[1], len(samples), depth, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def read(content, tmp_path, formats=FORMATS):
    (tmp_path / "a.png").write_bytes(content)
    return pictures.read(tmp_path / "a.png", formats)


def problem(content, tmp_path, formats=FORMATS):
    with pytest.raises(InputError) as error:
        read(content, tmp_path, formats)
    (line,) = error.value.problems
    start = f"{tmp_path.as_posix()}/a.png: "
    assert line.startswith(start) and "\n" not in line
    return line.removeprefix(start)


# As displayed


def oriented(tag):
    exif = Image.Exif()
    exif[274] = tag
    return exif


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("kind", ["grey", "sixteen bits", "palette", "colour", "one bit", "JPEG", "XMP"])
def test_every_orientation(kind, tag, tmp_path):
    picture = Image.fromarray(BLOCKS)
    convert = {"palette": "P", "colour": "RGB", "one bit": "1"}
    picture = picture.convert(convert[kind]) if kind in convert else picture
    picture = Image.fromarray(BLOCKS.astype(np.uint16) * 257) if kind == "sixteen bits" else picture
    if kind == "XMP":
        text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % tag)
        content = png(BLOCKS, 8, 0, text)
    else:
        content = encoded(picture, "JPEG" if kind == "JPEG" else "PNG", exif=oriented(tag))
    shown = read(content, tmp_path)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    expected = expected if kind == "sixteen bits" else expected.convert(shown.mode)
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(expected))
    assert (shown.size == picture.size) == (tag <= 4)


def test_orientation_behind_the_pixels(tmp_path):
    content = encoded(BLOCKS)
    exif = chunk(b"eXIf", oriented(6).tobytes().removeprefix(b"Exif\0\0"))
    np.testing.assert_array_equal(read(content[:-12] + exif + content[-12:], tmp_path), np.rot90(BLOCKS, -1))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_fill_the_range(depth, tmp_path):
    values = np.arange(2**depth, dtype=np.uint8).repeat(8)[None]
    bits = (values[..., None] >> np.arange(depth)[::-1]) & 1  # (1, pixels, depth)
    content = png(np.packbits(bits.reshape(1, -1), axis=1), depth, 0, width=values.shape[1])
    np.testing.assert_array_equal(read(content, tmp_path), values * (255 // (2**depth - 1)))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_is_looked_up(kind, tmp_path):
    indices = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette([200, 1, 2] + [9] * 3 + [70] * 3)
    shown = read(encoded(picture, kind), tmp_path)
    np.testing.assert_array_equal(np.asarray(shown)[..., :3], np.array([[200, 1, 2], [9] * 3, [70] * 3])[indices])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_and_transparency_are_kept(mode, tmp_path):
    shape = (5, 7, len(mode))
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    shown = np.asarray(read(encoded(Image.fromarray(values, mode)), tmp_path))
    assert shown.shape == (5, 7, 4)
    np.testing.assert_array_equal(shown[..., 0], values[..., 0])
    np.testing.assert_array_equal(shown[..., 3], values[..., -1] if mode.endswith("A") else 255)


def test_sixteen_bits_are_kept(tmp_path):
    values = GREY.astype(np.uint16) * 257 - np.arange(34, dtype=np.uint16)
    shown = np.asarray(read(encoded(values), tmp_path))
    assert shown.dtype == np.uint16
    np.testing.assert_array_equal(shown, values)


def test_the_usual_gamma_is_fine(tmp_path):
    gamma = chunk(b"gAMA", struct.pack(">I", 45455))
    linear = chunk(b"gAMA", struct.pack(">I", 100000))
    srgb = chunk(b"sRGB", b"\0")
    for chunks in ((gamma,), (srgb, linear)):  # sRGB goes before gAMA
        np.testing.assert_array_equal(read(png(GREY, 8, 0, *chunks), tmp_path), GREY)


# Refusals


def animation(kind):
    frames = [Image.fromarray(GREY), Image.fromarray(GREY.T[:21]).resize((34, 21))]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def scans(count):
    """A JPEG that goes over its pixels again and again."""
    content = encoded(GREY, "JPEG")
    return content[:-2] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" * count + content[-2:]


def size(width, height, colour=0):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)) + chunk(b"IDAT", b"")


def without_pixels():
    return encoded(GREY).replace(encoded(GREY)[33:-12], chunk(b"iDAT", b"x"))


WIDE = np.zeros((3, 4, 4), ">u2")
START = b"\x89PNG\r\n\x1a\n"
EIGHT = "has 16 bits for each of several channels, of which 8 would be lost; save it as grey, or with 8 bits"
REFUSED = {
    "empty": (b"", "empty; copy or unpack it again"),
    "text": (b"<html>", "is no PNG or GIF or JPEG; replace it by one"),
    "bitmap": (encoded(GREY, "BMP"), "is no PNG or GIF or JPEG; replace it by one"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no PNG or GIF or JPEG; replace it by one"),
    "cut": (encoded(GREY)[:-300], "damaged, cannot be read to its end (OSError); copy or unpack it again"),
    "cut JPEG": (encoded(GREY, "JPEG")[:-99], "damaged, cannot be read to its end (OSError); copy or unpack it again"),
    "no pixels": (without_pixels(), "damaged, cannot be read to its end ("),
    "start only": (START + bytes(9), "damaged, or a PNG of a rare kind; copy or unpack it again, or save it anew"),
    "twelve bits": (
        b"\xff\xd8\xff\xc0\0\x0b\x0c\0\x10\0\x10\1\1\x11\0\xff\xd9",
        "damaged, or a JPEG of a rare kind; copy or unpack it again, or save it anew with 8 bits",
    ),
    "large": (START + size(5017, 5017), f"more than {pictures.PIXELS} pixels are refused; reduce or replace it"),
    "bomb": (START + size(100_000, 100_000), f"more than {pictures.PIXELS} pixels are refused; reduce or replace it"),
    "animated GIF": (animation("GIF"), "holds 2 pictures where one is expected; save the one that is meant"),
    "animated PNG": (animation("PNG"), "holds 2 pictures where one is expected; save the one that is meant"),
    "inks": (encoded(Image.fromarray(GREY).convert("CMYK"), "JPEG"), "is of mode CMYK; save it as grey or RGB"),
    "sixteen bits of RGB": (png(WIDE[..., :3], 16, 2), EIGHT),
    "sixteen bits of LA": (png(WIDE[..., :2], 16, 4), EIGHT),
    "sixteen bits of RGBA": (png(WIDE, 16, 6), EIGHT),
    "sixteen bits, one of them transparent": (
        png(GREY.astype(">u2"), 16, 0, chunk(b"tRNS", b"\0\x09")),
        "is transparent where it is not black; save it without transparency",
    ),
    "linear": (
        png(GREY, 8, 0, chunk(b"gAMA", struct.pack(">I", 100000))),
        "is to be displayed with a gamma of 1, not 0.45; save it without one",
    ),
    "scans": (scans(101), "more than 100 scans are refused; save it as PNG"),
    "EXIF cut off": (
        png(GREY, 8, 0, chunk(b"eXIf", b"II*\0\x08\0\0\0\x09\0\x12\1\3")),
        "damaged EXIF data, which may say how it is turned; look at it and save it without them",
    ),
    "EXIF of nothing": (
        png(GREY, 8, 0, chunk(b"eXIf", b"nothing at all")),
        "damaged EXIF data, which may say how it is turned; look at it and save it without them",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path):
    content, text = REFUSED[case]
    assert problem(content, tmp_path).startswith(text)


def test_only_the_formats_that_are_asked_for(tmp_path):
    assert problem(encoded(GREY, "GIF"), tmp_path, ("PNG",)) == "is no PNG; replace it by one"


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo.png")
    for name, seen in (("fifo.png", "a FIFO"), ("", "a folder"), ("none.png", "cannot be read (No such file")):
        with pytest.raises(InputError, match=seen.replace("(", r"\(")):
            pictures.read(tmp_path / name, FORMATS)
    with open(tmp_path / "sparse.png", "wb") as file:
        file.truncate(limits.PICTURE.size + 1)
    with pytest.raises(InputError, match="bytes, more than the"):
        pictures.read(tmp_path / "sparse.png", FORMATS)


@pytest.mark.parametrize("kind", FORMATS)
def test_any_damage_is_read_or_refused(kind, tmp_path):
    """Bytes of a header and of pixels changed, and files cut anywhere."""
    sound, rng = encoded(GREY[:9, :12], kind), np.random.default_rng(1)
    damaged = [sound[:end] for end in range(0, len(sound), 7)]
    for place, value in itertools.product(rng.integers(0, len(sound), 120), (0, 255)):
        damaged.append(sound[:place] + bytes([value]) + sound[place + 1 :])
    for content in damaged:
        try:
            assert read(content, tmp_path).size[0] > 0
        except InputError as error:
            assert len(error.problems) == 1 and "; " in error.problems[0]


def test_what_pillow_would_copy_again_and_again_is_refused_unopened(tmp_path):
    """Each part of EXIF data, and each 255 bytes of a GIF's comment, costs a copy of all before."""
    jpeg, part = encoded(GREY, "JPEG"), b"\xff\xe1\x00\x20Exif\0\0" + bytes(24)
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + 101 * part + jpeg[2:])
    with pytest.raises(InputError, match="more than 100 parts of EXIF data are refused; save it as PNG"):
        pictures.read(tmp_path / "a.jpg", FORMATS)
    gif = encoded(GREY, "GIF")
    (tmp_path / "a.gif").write_bytes(gif + bytes(2**21))
    with pytest.raises(InputError, match="more than the 2,097,152 bytes that a GIF may have; save it as PNG"):
        pictures.read(tmp_path / "a.gif", FORMATS)
