"""Damaged inputs: each format of `sound.FORMATS`, each kind of its files, each kind of damage.

`python tests/damage.py FOLDER` writes every damaged file to FOLDER, named by its case, for looking at.
"""

import gzip
import io
import json
import math
import pickle
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian
from safetensors.numpy import load, save

from sound import FORMATS

Damage = Callable[[bytes], bytes]  # a file's content -> what is left of it

MEBI = 2**20
BOMB = 1280 * MEBI  # bytes that a bomb unpacks to
ROW = zlib.compress(bytes(MEBI), 9)


@dataclass(frozen=True)
class Case:
    """One damage to one file.

    Args:
        format, kind: which file, see `sound`.
        name: of the damage.
        damage: does it.
        harmless: whether what is read afterwards has to be right, and not refused.
    """

    format: str
    kind: str
    name: str
    damage: Damage
    harmless: bool = False

    def __str__(self) -> str:
        return f"{self.format}/{self.kind}/{self.name}".replace(" ", "-")


# Any file


def becomes(content: bytes) -> Damage:
    return lambda _: content


def flipped(place: int | float | bytes, mask: int = 0x80) -> Damage:
    """One byte with another bit: at an index, at a part of the length, or where the bytes `place` first end."""

    def damage(content: bytes) -> bytes:
        index = int(place * (len(content) - 1)) if isinstance(place, float) else place
        if isinstance(place, bytes):
            index = content.index(place) + len(place) - 1
        return content[:index] + bytes([content[index] ^ mask]) + content[index + 1 :]

    return damage


def png_of(array: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


PICTURE = png_of(np.eye(9, dtype=np.uint8) * 255)
PLAIN = {
    "empty": becomes(b""),
    "truncated": lambda content: content[: len(content) // 2],
    "truncated by a byte": lambda content: content[:-1],
    "another format": becomes(PICTURE),
    "zeros": lambda content: bytes(len(content)),
}


def zeros(size: int, wrap: int) -> bytes:
    """`size` zeros in a deflate stream of about a thousandth, without its end; `wrap` as zlib's wbits."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wrap)
    start = packer.compress(bytes(MEBI)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(MEBI)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + again * (size // MEBI - 1)


# NIfTI


def header(**fields) -> Damage:
    """Fields of the header changed behind nibabel's back."""

    def damage(content: bytes) -> bytes:
        unpacked = bytearray(gzip.decompress(content))
        head = nib.Nifti1Header(bytes(unpacked[:348]), check=False)
        for name, value in fields.items():
            head[name] = value
        unpacked[:348] = head.binaryblock
        return gzip.compress(bytes(unpacked), 1, mtime=0)

    return damage


def voxels(change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """Other voxels on the same grid."""

    def damage(content: bytes) -> bytes:
        image = nib.Nifti1Image.from_bytes(gzip.decompress(content))
        array, head = change(np.asanyarray(image.dataobj)), image.header.copy()
        head.set_data_dtype(array.dtype)
        return gzip.compress(nib.Nifti1Image(array, None, head).to_bytes(), 1, mtime=0)

    return damage


def with_value(value: float, dtype: type | None = None) -> Damage:
    """One voxel in the middle is `value`."""

    def change(array: np.ndarray) -> np.ndarray:
        array = array.astype(dtype or array.dtype)
        array[tuple(length // 2 for length in array.shape)] = value
        return array

    return voxels(change)


def turned(content: bytes) -> bytes:
    """The affine points the first axis the other way."""
    head = nib.Nifti1Header(gzip.decompress(content)[:348])
    affine = head.get_best_affine() @ np.diag([-1, 1, 1, 1])
    head.set_sform(affine)
    head.set_qform(affine, int(head["qform_code"]))
    fields = ("srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d", "pixdim", "qoffset_x")
    return header(**{name: head[name] for name in fields})(content)


def gzip_bomb(content: bytes) -> bytes:
    """A file that has far more behind its voxels than it says."""
    return content + gzip.compress(bytes(MEBI), mtime=0) * (BOMB // MEBI)


VAST = [3, 30000, 30000, 3000, 1, 1, 1, 1]
NIFTI = PLAIN | {
    "flipped first byte": flipped(0.0),
    "flipped middle byte": flipped(0.5),
    "flipped checksum": lambda content: content[:-8] + bytes([content[-8] ^ 1]) + content[-7:],
    "flipped last byte": flipped(1.0),
    "nothing packed": becomes(gzip.compress(b"", mtime=0)),
    "truncated before packing": lambda content: gzip.compress(gzip.decompress(content)[:-99], 1),
    "a header cut off": lambda content: gzip.compress(gzip.decompress(content)[:200], 1),
    "type complex": header(datatype=32, bitpix=64),
    "type unknown": header(datatype=9999),
    "no magic": header(magic=b"xyz"),
    "shape of two axes": header(dim=[2, 4, 4, 1, 1, 1, 1, 1]),
    "shape with nothing": header(dim=[3, 4, 0, 4, 1, 1, 1, 1]),
    "shape negative": header(dim=[3, 4, -4, 4, 1, 1, 1, 1]),
    "shape of a slice less": voxels(lambda array: array[:, :, :-1]),
    "huge header": header(dim=VAST),
    "huge header of seven axes": header(dim=[7] + [32767] * 7),
    "huge offset": header(vox_offset=1e12),
    "offset NaN": header(vox_offset=np.nan),
    "spacing NaN": header(pixdim=[1, np.nan, 1, 1, 0, 0, 0, 0]),
    "spacing negative": header(pixdim=[1, -1, 1, 1, 0, 0, 0, 0]),
    "bomb": gzip_bomb,
    "huge header and bomb": lambda content: gzip_bomb(header(dim=VAST)(content)),
}
FEW = {  # where another format's loader calls the same function
    name: NIFTI[name]
    for name in (
        *PLAIN,
        "flipped middle byte",
        "flipped checksum",
        "type complex",
        "shape of two axes",
        "shape of a slice less",
        "huge header",
        "bomb",
    )
}
IMAGE = {
    "NaN": with_value(np.nan, np.float32),
    "infinite": with_value(np.inf, np.float32),
    "beyond float32": with_value(1e300, np.float64),
    "constant": voxels(np.zeros_like),
}
LABEL = {
    "labels unknown": with_value(77, np.int16),
    "labels negative": with_value(-1, np.int16),
    "labels between": with_value(1.5, np.float32),
    "labels NaN": with_value(np.nan, np.float32),
}


@voxels
def in_the_air(labels: np.ndarray) -> np.ndarray:
    labels = np.zeros_like(labels)
    labels[:3, :3, :3] = 1
    return labels


def swapped(content: bytes) -> bytes:
    """The same volume, written by a machine of the other byte order."""
    image = nib.Nifti1Image.from_bytes(gzip.decompress(content))
    head = image.header.as_byteswapped()
    return gzip.compress(nib.Nifti1Image(np.asanyarray(image.dataobj), None, head).to_bytes(), 1, mtime=0)


# DICOM


def tags(**values) -> Damage:
    def damage(content: bytes) -> bytes:
        dataset, buffer = pydicom.dcmread(io.BytesIO(content)), io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, of what the values do not say
            for tag, value in values.items():
                setattr(dataset, tag, value)
            dataset.save_as(buffer)
        return buffer.getvalue()

    return damage


def length_of(tag: bytes, length: int) -> Damage:
    """Another length announced by an element with a length of four bytes; `tag` goes up to there."""

    def damage(content: bytes) -> bytes:
        at = content.index(tag) + len(tag)
        return content[:at] + struct.pack("<I", length) + content[at + 4 :]

    return damage


def deflated_bomb(content: bytes) -> bytes:
    """Pixels that are packed a thousandfold."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    start = 144 + dataset.file_meta.FileMetaInformationGroupLength
    return buffer.getvalue()[:start] + zeros(BOMB, -15) + b"\3\0"


SLICE = PLAIN | {
    "flipped magic": flipped(b"DICM"),
    "flipped modality": flipped(b"CT", 0x01),
    "flipped length of rows": flipped(b"\x28\0\x10\0US\2"),
    "type MR": tags(Modality="MR"),
    "type colour": tags(SamplesPerPixel=3),
    "shape of a row less": tags(Rows=3),
    "shape of nothing": tags(Rows=0),
    "spacing NaN": tags(PixelSpacing=["nan", "1"]),
    "slope NaN": tags(RescaleSlope="nan"),
    "position infinite": tags(ImagePositionPatient=["0", "0", "inf"]),
    "orientation of its own": tags(ImageOrientationPatient=[-1, 0, 0, 0, 1, 0]),
    "orientation sagittal": tags(ImageOrientationPatient=[0, 1, 0, 0, 0, -1]),
    "series of its own": tags(SeriesInstanceUID="1.2.3"),
    "huge header": tags(Rows=65535, Columns=65535),
    "huge header of 64 bits": tags(Rows=65535, Columns=65535, BitsAllocated=64, BitsStored=64, HighBit=63),
    "huge position": length_of(b"\x20\0\x32\0DS", 0xFFFFFFF0),
    "bomb": deflated_bomb,
}


# HDF5


def hdf5(change: Callable[[h5py.File], None]) -> Damage:
    def damage(content: bytes) -> bytes:
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            change(file)
        return buffer.getvalue()

    return damage


def dataset(key: str, data: object = None, **options) -> Damage:
    """Another dataset in the place of `key`."""

    def change(file: h5py.File) -> None:
        values = data(file[key][:]) if callable(data) else data
        del file[key]
        file.create_dataset(key, data=values, **options)

    return hdf5(change)


def flipped_chunk(content: bytes) -> bytes:
    with h5py.File(io.BytesIO(content)) as file:
        chunk = file["x_val"].id.get_chunk_info(0)
    return flipped(chunk.byte_offset + chunk.size // 2)(content)


def packed_zeros(file: h5py.File, key: str, shape: tuple[int, ...]) -> None:
    """A dataset of one chunk of zeros, packed a thousandfold, in the place of `key`."""
    del file[key]
    found = file.create_dataset(key, shape, np.uint8, chunks=shape, compression="gzip")
    size = math.prod(shape)
    stream = zeros(size, 15) + b"\3\0" + struct.pack(">I", size % 65521 << 16 | 1)
    found.id.write_direct_chunk((0,) * len(shape), stream)


def chunk_bomb(file: h5py.File) -> None:
    count = BOMB // 320 // MEBI * MEBI
    packed_zeros(file, "x_train", (count, 1, 16, 20))
    packed_zeros(file, "p_train", (count,))


def frame_bomb(file: h5py.File) -> None:
    """Frames of many chunks."""
    for split in ("train", "val", "test"):
        del file[f"x_{split}"], file[f"p_{split}"]
        file[f"p_{split}"] = np.zeros(1, np.uint8)
        frames = file.create_dataset(
            f"x_{split}", (1, 1, BOMB // MEBI, MEBI), np.uint8, chunks=(1, 1, 1, MEBI), compression="gzip"
        )
        for row in range(frames.shape[2]):
            frames.id.write_direct_chunk((0, 0, row, 0), ROW)
    del file["box_test"]


def external(file: h5py.File) -> None:
    """A dataset whose values are those of any file of the machine."""
    del file["x_train"]
    file.create_dataset("x_train", (4, 1, 16, 20), np.uint8, external=[(__file__, 0, 4 * 16 * 20)])


def linked(file: h5py.File) -> None:
    del file["x_train"]
    file["x_train"] = h5py.ExternalLink("ultrasound.hdf5", "x_val")


def endless(file: h5py.File) -> None:
    del file["x_train"]
    file["x_train"] = h5py.SoftLink("/x_train")


HDF5 = PLAIN | {
    "flipped first byte": flipped(0.0),
    "flipped tree": flipped(b"TREE"),
    "flipped heap": flipped(b"HEAP"),
    "flipped nodes": flipped(b"SNOD"),
    "flipped chunk": flipped_chunk,
    "type text": dataset("x_train", np.full((4, 1, 16, 20), b"a", "S1")),
    "type complex": dataset("x_train", np.ones((4, 1, 16, 20), np.complex64)),
    "type of labels": dataset("p_val", lambda labels: labels.astype(np.float64)),
    "a group for a dataset": hdf5(lambda file: [file.__delitem__("p_val"), file.create_group("p_val")]),
    "a dataset less": hdf5(lambda file: file.__delitem__("p_val")),
    "shape of three axes": dataset("x_val", lambda frames: frames[:, 0]),
    "shape of a label less": dataset("p_train", lambda labels: labels[:-1]),
    "shape of a row less": dataset("x_val", lambda frames: frames[:, :, 1:]),
    "shape of nothing": dataset("x_val", lambda frames: frames[:0]),
    "no space at all": dataset("x_val", data=h5py.Empty("u1")),
    "labels unknown": dataset("p_test", lambda labels: labels + 77),
    "labels negative": dataset("p_test", lambda labels: labels - 1),
    "names not text": dataset("label_names", np.array([b"4CH", b"\xff\xfe", b"c"])),
    "box beyond the frame": dataset("box_test", lambda boxes: boxes + 99),
    "NaN": dataset("x_test", lambda frames: np.where(frames > 250, np.nan, frames)),
    "infinite": dataset("x_test", lambda frames: np.where(frames > 250, np.inf, frames)),
    "constant": dataset("x_test", np.zeros_like),
    "huge header": dataset("x_train", shape=(30000, 1, 30000, 3000), dtype="u1"),
    "huge header of labels": dataset("p_train", shape=(2**50,), dtype="i8", chunks=(2**16,)),
    "huge names": dataset("label_names", shape=(3,), dtype="S2000000000", chunks=(1,)),
    "values of another file": hdf5(external),
    "link to another file": hdf5(linked),
    "link to itself": hdf5(endless),
}
HDF5 |= {
    "bomb in one chunk": hdf5(chunk_bomb),
    "bomb in one frame": hdf5(frame_bomb),
}


# Pictures


def picture(change: Callable[[np.ndarray], np.ndarray], kind: str = "PNG") -> Damage:
    return lambda content: png_of(change(np.asarray(Image.open(io.BytesIO(content)))), kind)


def png_size(width: int, height: int, colour: int | None = None) -> Damage:
    """Another size announced by a PNG's header, with the checksum that belongs to it."""

    def damage(content: bytes) -> bytes:
        rest = content[24:29] if colour is None else bytes([8, colour, 0, 0, 0])
        head = b"IHDR" + struct.pack(">II", width, height) + rest
        return content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:]

    return damage


def gif_size(width: int, height: int) -> Damage:
    """Another size announced by a GIF's screen and by its frame."""

    def damage(content: bytes) -> bytes:
        size = struct.pack("<HH", width, height)
        frame = content.index(b"\x2c\0\0\0\0") + 5
        content = content[:frame] + size + content[frame + 4 :]
        return content[:6] + size + content[10:]

    return damage


def jpeg_size(content: bytes) -> bytes:
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :]


def text_bomb(content: bytes) -> bytes:
    """A PNG with a comment that unpacks to more than its picture."""
    chunk = b"zTXtcomment\0\0" + zlib.compress(bytes(64 * MEBI), 9)
    packed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return content[:33] + packed + content[33:]


def postscript(content: bytes) -> bytes:
    """A program, which Pillow would have another program run."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 24\n%%EndComments\nshowpage\n%%EOF\n"


PNG = {name: PLAIN[name] for name in ("empty", "truncated", "zeros")} | {
    "flipped first byte": flipped(0.0),
    "flipped size": flipped(18, 0x04),
    "flipped pixels": flipped(0.5),
    "flipped pixels further on": flipped(0.6),
    "flipped pixels in the end": flipped(0.7),
    "another format": postscript,
    "text": becomes(b"<html>404</html>"),
    "shape of nothing": png_size(0, 0),
    "huge header": png_size(2**31 - 1, 2**31 - 1),
    "large header": png_size(9000, 9000),
    "large header in colour": png_size(9000, 9000, 6),
    "text bomb": text_bomb,
}
MASK = {
    "shape of a row less": picture(lambda pixels: pixels[:-1]),
    "shape of half": picture(lambda pixels: pixels[::2]),
    "labels unknown": picture(lambda pixels: np.where(np.indices(pixels.shape)[0] == 5, 99, pixels).astype(np.uint8)),
    "no labels": picture(lambda pixels: np.full_like(pixels, pixels.flat[0])),
}


# Text


def deep(closing: str = "", levels: int = 2000) -> Damage:
    return becomes(b"[" * levels + closing.encode() * levels)


def edited(pattern: str, replacement: str) -> Damage:
    """What `pattern` finds first becomes `replacement`."""

    def damage(content: bytes) -> bytes:
        changed = re.sub(pattern, replacement, content.decode(), count=1)
        assert changed != content.decode()
        return changed.encode()

    return damage


LAUGHS = "\n".join([f"l0: &l0 [{'ha, ' * 10}]", *(f"l{n}: &l{n} [{f'*l{n - 1}, ' * 10}]" for n in range(1, 12))])
TEXT = {name: PLAIN[name] for name in ("empty", "truncated", "another format", "zeros")}
JSON = TEXT | {
    "flipped first byte": flipped(0.0),
    "flipped middle byte": flipped(0.5),
    "type list": becomes(b"[]"),
    "type number": becomes(b"3"),
    "type null": becomes(b"null"),
    "huge number": becomes(b"9" * 5000),
    "deeply nested": deep(),
    "deeply nested and closed": deep("]"),
}
YAML = TEXT | {
    "flipped first byte": flipped(0.0),
    "flipped middle byte": flipped(0.5),
    "type list": becomes(b"- 1\n- 2\n"),
    "type number": becomes(b"3"),
    "type of the interpreter": becomes(b"scale: !!python/object/apply:os.getcwd []\n"),
    "date that is none": becomes(b"scale: 2024-99-99\n"),
    "deeply nested": deep("]", 500),
    "billion laughs": lambda content: content + f"\n{LAUGHS}\n".encode(),
    "its own part": lambda content: content + b"\nme: &me [*me]\n",
}
INFO = TEXT | {
    "truncated": lambda content: content[: content.index(b"ES")],  # the end of the file says nothing of use
    "flipped number": flipped(b"ED: 1"),
    "flipped group": flipped(b"Group: D"),
    "type of a number": edited(r"ED: 1", "ED: first"),
    "number negative": edited(r"ED: 1", "ED: -1"),
    "number NaN": edited(r"ED: 1", "ED: nan"),
    "number of a frame that is not there": edited(r"ES: 2", "ES: 3"),
    "number of frames too large": edited(r"NbFrame: 3", "NbFrame: 30"),
    "huge number": edited(r"ED: 1", "ED: " + "9" * 5000),
}
LIST = JSON | {
    "labels with a gap": edited(r'"1"', '"9"'),
    "labels too few": edited(r'"labels": \{[^}]*\}', '"labels": {"0": "background", "1": "organ"}'),
    "type of modality": edited(r'"modality": \{[^}]*\}', '"modality": "CT"'),
    "training a number": edited(r'"training": \[[^]]*\]', '"training": 3'),
    "a file of elsewhere": edited(r"\./imagesTr", "../../imagesTr"),
    "an absolute file": edited(r"\./imagesTr", "/imagesTr"),
}
SCENE = JSON | {
    "labels unknown": edited("alizarin", "ultramarine"),
    "type of a place": edited(r'"pixel_coords": \[\s*7,', '"pixel_coords": ["7",'),
    "place NaN": edited(r'"pixel_coords": \[\s*7,', '"pixel_coords": [NaN,'),
    "place missing": edited("pixel_coords", "pixels"),
    "an object more": edited(
        r'"objects": \[', '"objects": [{"pixel_coords": [1, 1], "color": "orange", "shape": "cube", "size": "small"},'
    ),
    "no objects": becomes(b'{"objects": []}'),
    "objects a number": becomes(b'{"objects": 3}'),
    "objects text": becomes(b'{"objects": "none"}'),
}
TABLE = TEXT | {
    "flipped first byte": flipped(0.0),
    "flipped middle byte": flipped(0.5),
    "no column": edited("licence", "permit"),
    "a row twice": lambda content: content + b"a,CC BY,1\n",
    "a row of nobody": lambda content: content + b"z,CC BY,1\n",
    "an empty cell": edited("CC BY", ""),
    "huge cell": edited("CC BY", "C" * 200_000),
    "open quotes": edited("CC BY", '"CC BY'),
}


# What is written here


def packed(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npy_shape(content: bytes) -> bytes:
    """As many digits as before, and spaces fewer: the header's length stays."""
    return content.replace(b"(2, 3, 4), }      ", b"(30000, 30000, 3000), }"[:18].ljust(18), 1)


def tensors(change: Callable[[dict], dict]) -> Damage:
    """Other tensors under the same metadata."""

    def damage(content: bytes) -> bytes:
        length = struct.unpack("<Q", content[:8])[0]
        return save(change(load(content)), json.loads(content[8 : 8 + length])["__metadata__"])

    return damage


def about(text: str) -> Damage:
    """What the weights are said to be is `text`."""
    return lambda content: save(load(content), {"about": text})


def safetensors_header(text: str) -> Damage:
    return becomes(struct.pack("<Q", len(text)) + text.encode() + bytes(64))


ARRAY = PLAIN | {
    "flipped first byte": flipped(0.0),
    "flipped middle byte": flipped(0.5),
    "flipped last byte": flipped(1.0),
    "shape of another": becomes(packed(np.zeros((5, 3, 4), np.float32))),
    "NaN": becomes(packed(np.full((2, 3, 4), np.nan, np.float32))),
    "pickle": becomes(packed(np.array([{}]), allow_pickle=True)),
    "huge header": npy_shape,
}
FACTS = JSON | {
    "facts a number": becomes(b'{"facts": 3, "sha256": {}}'),
    "digests a number": becomes(b'{"facts": {}, "sha256": 3}'),
}
WEIGHTS = PLAIN | {
    "flipped first byte": flipped(0.0),
    "flipped header": flipped(0.2, 0x01),
    "flipped last byte": flipped(1.0),
    "pickle": becomes(pickle.dumps({"weight": [1.0]})),
    "shape of another": tensors(lambda found: {name: np.concatenate([a, a]) for name, a in found.items()}),
    "type of another": tensors(lambda found: {name: a.astype(np.float64) for name, a in found.items()}),
    "NaN": tensors(lambda found: {name: a * np.float32("nan") for name, a in found.items()}),
    "facts a list": about("[]"),
    "facts deeply nested": about("[" * 100_000),
    "huge header": becomes(struct.pack("<Q", 2**60) + b"{}"),
    "huge tensor": safetensors_header('{"w":{"dtype":"F32","shape":[30000,30000,3000],"data_offsets":[0,64]}}'),
    "huge offsets": safetensors_header('{"w":{"dtype":"F32","shape":[4294967296],"data_offsets":[0,17179869184]}}'),
    "header deeply nested": safetensors_header("[" * 100_000),
}
MANIFEST = JSON | {
    "files a list": edited(r'"files": \{(?s:.)*?\}\s*\}', '"files": []'),
    "a field more": edited(r'"licence"', '"license": "", "licence"'),
    "a field less": edited(r'"dataset"[^,]*,', ""),
    "a file of elsewhere": edited(r'"a\.txt"', '"../a.txt"'),
    "an absolute file": edited(r'"a\.txt"', '"/etc/passwd"'),
    "a file without sha256": edited(r'"sha256"', '"sha1"'),
    "size negative": edited(r'"size": 1', '"size": -1'),
}
SWITCHES = YAML | {
    "switch unknown": edited(r"acdc: \*\w+", "acdc: 3"),
    "scales a list": edited(r"(?m)^scale: \*\w+", "scale: [3]"),
    "data missing": edited(r"(?m)^data:", "dates:"),
    "alias of nothing": edited(r"acdc: \*\w+", "acdc: *nothing"),
}
NUMBERS = YAML | {"key unknown": lambda content: content + b"\nunheard: 1\n"}
CLAIMS = YAML | {
    "claims a number": becomes(b"claims: 3\n"),
    "claims text": becomes(b"claims: all of them\n"),
    "claim a number": becomes(b"claims: [3]\n"),
    "claim empty": becomes(b"claims: [{}]\n"),
    "expression that calls": edited(r"expression: .*", "expression: inside.to_csv('here')"),
    "expression broken": edited(r"expression: .*", "expression: '1 +'"),
    "expression deeply nested": edited(r"expression: .*", "expression: '" + "(" * 5000 + "'"),
    "margins turned around": edited(r"above: .*", "within: [2, 1]"),
    "effect of nothing": edited(r"above: .*", "above: 1\n    effect: {a: [.nan, 1], b: 3, n: [], over: {}}"),
    "margin NaN": edited(r"above: .*", "above: .nan"),
    "laughing field": lambda content: f"{LAUGHS}\nclaims: [{{id: *l11, within: *l11, effect: *l11}}]\n".encode(),
}
NOTEBOOK = JSON | {
    "type dictionary": becomes(b"{}"),
    "no cells": becomes(b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}'),
    "cells a number": edited(r'"cells": \[(?s:.)*\](,\s*"metadata")', r'"cells": 3\1'),
    "format of the future": edited(r'"nbformat": 4', '"nbformat": 99'),
    "parameters broken": edited("seed = 0", "seed = ("),
    "parameters computed": edited("seed = 0", "seed = open"),
    "parameters deeply nested": edited("seed = 0", "seed = " + "(" * 5000),
    "no parameters": edited('"parameters"', '"others"'),
}
IMG = PLAIN | {
    "flipped first byte": flipped(0.0),
    "flipped middle byte": flipped(2048 * 2048),
    "a byte more": lambda content: content + b"0",
    "little-endian": lambda content: np.frombuffer(content, ">u2").astype("<u2").tobytes(),
    "shape of a quarter": lambda content: np.frombuffer(content, ">u2").reshape(2048, 2048)[::2, ::2].tobytes(),
}
GIF = {name: PLAIN[name] for name in ("empty", "truncated", "zeros")} | {
    "flipped first byte": flipped(0.0),
    "another format": postscript,
    "shape of half": picture(lambda pixels: pixels[::2], "GIF"),
    "shape of a row less": picture(lambda pixels: pixels[:-2, :-2], "GIF"),
    "labels unknown": picture(lambda pixels: np.maximum(pixels, 9 * np.eye(len(pixels), dtype=np.uint8)), "GIF"),
    "no labels": picture(np.zeros_like, "GIF"),
    "huge header": gif_size(65535, 65535),
    "large header": gif_size(9000, 9000),
}
JPEG = {name: PLAIN[name] for name in ("empty", "truncated", "zeros")} | {
    "flipped first byte": flipped(0.0),
    "another format": postscript,
    "huge header": jpeg_size,
    "constant": picture(np.zeros_like, "JPEG"),
}


# The corpus

DAMAGES = {  # format and kind of file -> damages
    "acdc/image": NIFTI | IMAGE | {"turned": turned},
    "acdc/gt": FEW | LABEL | {"turned": turned},
    "acdc/4d": FEW | {name: IMAGE[name] for name in IMAGE if name != "constant"},
    "acdc/info": INFO,
    "mmwhs/image": FEW | IMAGE | {"turned": turned},
    "mmwhs/label": NIFTI | LABEL | {"turned": turned},
    "decathlon/image": FEW | IMAGE | {"turned": turned},
    "decathlon/label": FEW | LABEL | {"turned": turned},
    "decathlon/list": LIST,
    "studies/image": FEW | IMAGE | {"turned": turned},
    "studies/gt": FEW | LABEL | {"turned": turned},
    "predict-acdc/image": FEW | IMAGE | {"turned": turned},
    "predict-acdc/gt": FEW | LABEL | {"turned": turned},
    "predict-mmwhs/image": FEW | IMAGE | {"turned": turned},
    "predict-mmwhs/label": FEW | LABEL | {"turned": turned},
    "predict-decathlon/image": FEW | IMAGE | {"turned": turned},
    "predict-decathlon/label": FEW | LABEL | {"turned": turned},
    "predict-studies/image": FEW | IMAGE | {"turned": turned},
    "predict-studies/gt": FEW | LABEL | {"turned": turned},
    "pancreas/slice": SLICE,
    "pancreas/label": FEW | LABEL | {"turned": voxels(lambda labels: labels.swapaxes(0, 1)), "in the air": in_the_air},
    "ultrasound/frames": HDF5,
    "jsrt/image": IMG,
    "jsrt/mask": GIF,
    "radiographs/image": PNG | {"constant": picture(np.zeros_like)},
    "radiographs/jpeg": JPEG,
    "radiographs/mask": PNG | MASK,
    "radiographs/table": TABLE,
    "clevr_seg/image": PNG | {"shape of a row less": MASK["shape of a row less"]},
    "clevr_seg/mask": PNG | MASK,
    "clevr_seg/scene": SCENE,
    "prepared/array": ARRAY,
    "prepared/table": PLAIN | {"flipped middle byte": flipped(0.5)},
    "prepared/facts": FACTS,
    "weights/weights": WEIGHTS,
    "manifest/manifest": MANIFEST,
    "params/switches": SWITCHES,
    "params/numbers": NUMBERS,
    "claims/claims": CLAIMS,
    "notebook/notebook": NOTEBOOK,
}
NIFTI_FILES = [where for where, damages in DAMAGES.items() if FEW.keys() <= damages.keys()]
HARMLESS = {  # file -> damages after which what is read is right all the same
    **{where: {"flipped time stamp": flipped(4), "of the other byte order": swapped} for where in NIFTI_FILES},
    "pancreas/slice": {
        "flipped preamble": flipped(0),
        "huge pixels": length_of(b"\xe0\x7f\x10\0OW\0\0", 0xFFFFFFF0),  # they are all there
    },
    "predict-acdc/info": INFO,
}
HARMLESS["acdc/4d"] |= {"turned": turned}  # in the released files affines of cycles are others than their frames'
HARMLESS["mmwhs/label"] |= {"not packed": gzip.decompress, "negative offset": header(vox_offset=-(2.0**31))}
HARMLESS["pancreas/label"] |= {"affine turned": turned}  # in the released files labels' affines say nothing


def _cases(table: dict[str, dict[str, Damage]], harmless: bool) -> list[Case]:
    return [
        Case(*where.split("/"), name, damage, harmless)
        for where, damages in table.items()
        for name, damage in damages.items()
    ]


CASES = _cases(DAMAGES, False) + _cases(HARMLESS, True)


def write(folder: Path) -> None:
    """Every damaged file, in a folder for each format and kind."""
    for name, sound in FORMATS.items():
        root = folder / "sound" / name
        sound.write(root)
        for case in CASES:
            if case.format == name:
                path = sound.path(root, case.kind)
                damaged = folder / f"{case}{''.join(path.suffixes[-2:])}"
                damaged.parent.mkdir(parents=True, exist_ok=True)
                damaged.write_bytes(case.damage(path.read_bytes()))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
