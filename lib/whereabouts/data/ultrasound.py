"""Fetal ultrasound frames by standard plane (Attention Gated Networks, Schlemper 2019, section 3.1.2).

The set is private; this is the layout that the paper's code reads. One HDF5 file below any folder, under any name:

    x_train, x_val, x_test    (N, 1, rows, columns) grey values from 0 to 255, uint8; the paper's are 224 x 288
    p_train, p_val, p_test    (N,) integers, indices into label_names
    label_names               (14,) bytes
    box_test                  (N, 4) integers, optional and ours: top, left, bottom and right of what defines the plane,
                              in pixels of the stored frame, bottom and right exclusive; -1 where there is none
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from whereabouts import paths
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError, raise_all
from whereabouts.formats import hdf5
from whereabouts.formats.hdf5 import AGAIN, MEND
from whereabouts.pipeline import progress

SPLITS = ("train", "val", "test")
KEYS = ("label_names", *(f"{kind}_{split}" for split in SPLITS for kind in "xp"))
BOXES = "box_test"

_PART = 2**24  # bytes of frames that are read at a time
_FAR = 2**31  # beyond every frame
_LONGEST = 256  # characters of a name


@dataclass(frozen=True)
class Frames:
    """What a checked file holds.

    Args:
        path: the file.
        names: of the planes, the background last.
        order: the label of each of them in the file.
        counts: split -> number of frames.
        shape: rows and columns of every frame.
        boxes: whether test frames have boxes.
    """

    path: Path
    names: tuple[str, ...]
    order: tuple[int, ...]
    counts: dict[str, int]
    shape: tuple[int, int]
    boxes: bool


def read(manifest: Manifest) -> Frames:
    """Find the one file and check all of it once, a part of the frames at a time.

    Raises:
        InputError: one line for each problem of any split.
    """
    path = _find(manifest)
    shown, problems = paths.shown(path), []
    with hdf5.opened(path) as file:
        try:
            faults = _layout_problems(file)
        except Exception:  # there is no telling what damaged bytes make h5py raise
            raise InputError(f"{shown}: truncated or damaged; {AGAIN}") from None
        raise_all([f"{shown}: {fault}" for fault in faults])  # else values have no meaning
        counts = {split: len(file[f"x_{split}"]) for split in SPLITS}
        bar = progress.bar(total=sum(counts.values()), desc=f"check {manifest.dataset}", unit="frame")
        with bar:
            for key in filter(file.__contains__, (*KEYS, BOXES)):
                try:
                    problems += [f"{shown}: {key}: {problem}" for problem in _content_problems(key, file, bar)]
                except UnicodeDecodeError:
                    problems.append(f"{shown}: {key}: not UTF-8; {MEND}")
                except Exception:
                    problems.append(f"{shown}: {key}: damaged, cannot be read to its end; {AGAIN}")
        raise_all(problems)
        names = file["label_names"].asstr("utf-8")[:]
        order = tuple(sorted(range(len(names)), key=lambda label: _is_background(names[label])))
        ordered = tuple(names[label] for label in order)
        return Frames(path, ordered, order, counts, file["x_test"].shape[2:], BOXES in file)


def prepare(
    frames: Frames, split: str, crop: tuple[int, int], shape: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """The middle of every frame of a split, reduced to `shape` by averaging over areas; a piece of the split at a time.

    The paper crops to 208 x 272, which leaves out what the machine writes around the image, and does not reduce. Areas
    are made of whole pixels, so they overlap where the sides do not divide (PyTorch's adaptive average). z-scores are
    left to training, where they follow augmentation.

    Args:
        frames: as `read` returns them.
        split: "train", "val" or "test".
        crop: rows and columns to keep, of the stored frame.
        shape: rows and columns of the result; up to `crop`.

    Yields:
        Images, (n, *shape) uint8; planes, (n,) uint8, indices into `frames.names`; boxes, (n, 4) float32, top, left,
        bottom, right in pixels of the result, cut at its border, -1 for none or none within; None if there are none.

    Raises:
        InputError: `crop` is larger than the frames, or `shape` than `crop`; or the file is gone.
    """
    problems = []
    for name, small, other, large in (("crop", crop, "frames", frames.shape), ("shape", shape, "crop", crop)):
        if not all(0 < side <= limit for side, limit in zip(small, large, strict=True)):
            problems.append(f"{name}: {_by(small)} does not fit into the {other}, {_by(large)}; give less")
    raise_all(problems)
    top, left = ((whole - kept) // 2 for whole, kept in zip(frames.shape, crop, strict=True))
    bar = progress.bar(total=frames.counts[split], desc=f"prepare {split} frames", unit="frame")
    with hdf5.opened(frames.path) as file, bar:
        for part in _parts(file[f"x_{split}"]):
            middle = file[f"x_{split}"][part][:, 0, top : top + crop[0], left : left + crop[1]]  # (n, *crop)
            images = adaptive_avg_pool2d(torch.from_numpy(middle.astype(np.float32)), tuple(shape)).round()
            planes, boxes = np.argsort(frames.order).astype(np.uint8)[file[f"p_{split}"][part]], None
            if split == "test" and frames.boxes:
                boxes = _crop_boxes(file[BOXES][part], (top, left), crop, shape)
            yield images.numpy().astype(np.uint8), planes, boxes
            bar.update(len(middle))


def _crop_boxes(
    boxes: np.ndarray, corner: tuple[int, int], crop: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Boxes of stored frames, (N, 4), in pixels of the result; see `prepare`."""
    inside = np.clip((boxes - np.tile(corner, 2)) * np.tile(np.divide(shape, crop), 2), 0, np.tile(shape, 2))
    shown = (inside[:, :2] < inside[:, 2:]).all(1)  # -1 is clipped to an empty box as well
    return np.where(shown[:, None], inside, -1).astype(np.float32)


def _find(manifest: Manifest) -> Path:
    """The only HDF5 file."""
    found = sorted(name for name in manifest.files if name.lower().endswith((".hdf5", ".h5")))
    if not found:
        raise InputError(f"no HDF5 file below {manifest.root}; expected ultrasound.hdf5, see data/README.md")
    if len(found) > 1:
        raise InputError(f"{manifest.root}: {len(found)} HDF5 files ({', '.join(found)}); keep one of them")
    return manifest.path(found[0])


def _by(shape: tuple[int, int]) -> str:
    """Rows by columns."""
    return " x ".join(map(str, shape))


def _parts(dataset: h5py.Dataset) -> Iterator[slice]:
    """Slices of the first axis, of about `_PART` bytes, that end where chunks end, unless these are larger."""
    step = max(1, _PART // (math.prod(dataset.shape[1:]) * dataset.dtype.itemsize))
    chunk = dataset.chunks[0] if dataset.chunks else 1
    step -= step % chunk if chunk <= step else 0
    for start in range(0, len(dataset), step):
        yield slice(start, min(start + step, len(dataset)))


def _layout_problems(file: h5py.File) -> list[str]:
    """What is wrong with keys, shapes and types; no values are read."""
    has, found = [str(key) for key in file], {}  # bytes where a name is not UTF-8
    missing = [key for key in KEYS if key not in has]
    seen = ", ".join(key if key.isprintable() else ascii(key) for key in has[:20]) or "nothing"
    problems = [f"lacks {', '.join(missing)}, has {seen}; {MEND}"] if missing else []
    for key in filter(has.__contains__, (*KEYS, BOXES)):
        if isinstance(item := hdf5.find(file, key), str):
            problems.append(f"{key}: {item}")
        else:
            found[key] = item
    for key, dataset in found.items():
        problem = _shape_problem(key, found)
        problem = problem or hdf5.storage_problem(dataset, dataset.shape[key.startswith("x_") :])
        problems += [f"{key}: {problem}"] if problem else []
    if not problems and len({found[f"x_{split}"].shape[2:] for split in SPLITS}) > 1:
        shapes = ", ".join(f"{_by(found[f'x_{split}'].shape[2:])} in x_{split}" for split in SPLITS)
        problems.append(f"frames of several shapes, {shapes}; {MEND}")
    return problems


def _shape_problem(key: str, found: dict[str, h5py.Dataset]) -> str | None:
    """What is wrong with shape and type of the dataset `key`, alone and beside its split's frames."""
    dtype, shape = hdf5.dtype(found[key]), found[key].shape or ()
    if dtype is None:
        return f"values of a type that NumPy has not; {MEND}"
    if key == "label_names":
        names = h5py.check_string_dtype(dtype) is not None and len(shape) == 1 and 0 < shape[0] <= 256
        return None if names else f"not a list of names; {MEND}"
    if key.startswith("x_"):
        if len(shape) != 4 or shape[1] != 1 or 0 in shape[2:]:
            return f"shape {shape} where (N, 1, rows, columns) is expected; {MEND}"
        if shape[0] == 0:
            return f"no frames; {MEND}"
        return None if dtype.kind in "uif" else f"values of type {dtype} where uint8 is expected; {MEND}"
    frames = found.get(f"x_{key.split('_')[1]}")
    count = frames.shape[0] if frames is not None and frames.shape else "N"
    expected = (count, 4) if key == BOXES else (count,)
    if len(shape) != len(expected) or any(is_ != want != "N" for is_, want in zip(shape, expected, strict=True)):
        return f"shape {shape} where {str(expected).replace(repr('N'), 'N')} is expected; {MEND}"
    return None if dtype.kind in "ui" else f"values of type {dtype} where integers are expected; {MEND}"


def _content_problems(key: str, file: h5py.File, bar) -> list[str]:
    """What is wrong with the values of the dataset `key`; advances `bar` for every frame.

    Raises:
        UnicodeDecodeError: names that are no text.
        Exception: h5py's, where the file is damaged.
    """
    dataset = file[key]
    if problem := hdf5.chunk_problem(dataset):
        return [problem]
    if key.startswith("x_"):
        return _frame_problems(dataset, bar)
    if key.startswith("p_"):
        return _label_problems(dataset[:], len(file["label_names"]))
    if key == BOXES:
        most = min(_FAR, np.iinfo(dataset.dtype).max)
        return _box_problems(np.minimum(dataset[:], most).astype(np.int64), file["x_test"].shape[2:])
    text = dataset.asstr("utf-8")
    names = [text[index] for index in range(len(dataset))]  # one at a time: all may be one and as long as the file
    if not all(name.isprintable() and 0 < len(name) <= _LONGEST for name in names):
        return [f"names that are empty, longer than {_LONGEST} characters or not to be printed; {MEND}"]
    found = [name for name in names if _is_background(name)]
    return [] if len(found) == 1 else [f"{len(found) or 'none'} of {', '.join(names)} is Background; {MEND}"]


def _is_background(name: str) -> bool:
    return name.strip().casefold() == "background"


def _label_problems(labels: np.ndarray, classes: int) -> list[str]:
    wrong = (labels < 0) | (labels >= classes)
    text = f"{wrong.sum()} labels other than 0 to {classes - 1}, the first at index {wrong.argmax()}; correct them"
    return [text] if wrong.any() else []


def _frame_problems(frames: h5py.Dataset, bar) -> list[str]:
    """Frames that are no images, and values that are no grey values."""
    faults = {"with NaN or infinite pixels": [], "of one value only": []}
    low, high = math.inf, -math.inf
    for part in _parts(frames):
        values = frames[part].reshape(part.stop - part.start, -1)  # (n, pixels)
        least, most = values.min(1), values.max(1)  # NaN where any pixel is
        finite = np.isfinite(least) & np.isfinite(most)
        for found, wrong in zip(faults.values(), (~finite, finite & (least == most)), strict=True):
            found += (part.start + np.flatnonzero(wrong)).tolist()
        low, high = min([low, *least[finite].tolist()]), max([high, *most[finite].tolist()])
        bar.update(len(values))
    again = "remove them or write them again"
    problems = [f"{len(n)} frames {what}, the first at index {n[0]}; {again}" for what, n in faults.items() if n]
    if low < 0 or high > 255 or (frames.dtype.kind == "f" and 0 < high <= 1):
        problems.append(f"values from {low:g} to {high:g} where 0 to 255 are expected; scale them")
    return problems


def _box_problems(boxes: np.ndarray, shape: tuple[int, int]) -> list[str]:
    given = (boxes != -1).any(1)
    beyond = given & ((boxes < 0) | (boxes > np.tile(shape, 2))).any(1)
    empty = given & (boxes[:, :2] >= boxes[:, 2:]).any(1)
    return [
        f"{wrong.sum()} boxes {what}, the first at index {wrong.argmax()}; correct them"
        for wrong, what in ((beyond, f"reach beyond the frame, {_by(shape)}"), (empty, "are empty"))
        if wrong.any()
    ]
