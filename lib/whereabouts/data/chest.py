"""Chest radiographs with lungs and heart: what the layouts `jsrt` and `radiographs` share.

Left and right are the patient's: the right lung is on the left side of the image.
"""

import difflib
import re
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from whereabouts import paths
from whereabouts.data import names
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError, raise_all
from whereabouts.formats import pictures
from whereabouts.formats.pictures import TRANSPARENT
from whereabouts.pipeline import progress

STRUCTURES = ("right lung", "left lung", "heart")  # labels 1, 2, 3; 0 is the background (Murase 2020, section 2.2)
ASPECT = 0.01  # relative difference between the aspects of an image and its mask that rounding to pixels may cause

_FORMATS = ("PNG", "GIF", "JPEG")
_LIKE = 0.75  # difflib's ratio from which a name is obviously meant: JPCLN001_mask for JPCLN001
_COMPARED = 250  # names that are compared letter by letter, of images and of masks


@dataclass(frozen=True)
class Radiograph:
    """One radiograph's files.

    Args:
        name: "JPCLN001".
        patient: whom it shows; equal for radiographs of one patient, which no split may part.
        image: the radiograph itself.
        masks: structure -> mask, one for each of `STRUCTURES`.
        licence: of this image; empty where the data set as a whole has one.
    """

    name: str
    patient: str
    image: Path
    masks: dict[str, Path]
    licence: str


def read_grey(path: Path) -> np.ndarray:
    """The grey values that a PNG, GIF or JPEG file displays; a palette is looked up, what is transparent is black.

    Returns:
        (H, W) uint8, or uint16 for a PNG of 16 bits.

    Raises:
        InputError: as `pictures.read`; or coloured, or transparent where it is not black.
    """
    picture = pictures.read(path, _FORMATS)
    if picture.mode != "RGBA":
        return np.asarray(picture)
    red, green, blue, alpha = (np.asarray(picture.getchannel(name)) for name in "RGBA")
    if (red != green).any() or (red != blue).any():
        raise InputError(f"{paths.shown(path)}: has colours where grey is expected; save it as grey")
    if red[alpha < 255].any():
        raise InputError(f"{paths.shown(path)}: {TRANSPARENT}")
    return red


def read_mask(path: Path) -> np.ndarray:
    """A mask as (H, W) bool: whatever is not 0.

    Raises:
        InputError: as `read_grey`, or not binary (0 and one other value, such as 255 or 1).
    """
    pixels = read_grey(path)
    values = np.unique(pixels)
    if values[0] != 0 or len(values) > 2:
        shown = ", ".join(map(str, values[:3])) + (", ..." if len(values) > 3 else "")
        problem = f"is not binary, it holds {shown}; save it with 0 outside and 255 inside"
        raise InputError(f"{paths.shown(path)}: {problem}")
    return pixels != 0


def label(masks: dict[str, np.ndarray]) -> np.ndarray:
    """One label a pixel from masks that may overlap: the later of `STRUCTURES` wins, the heart over both lungs.

    Where the lungs overlap, the left one wins: of them no order is better founded.

    Args:
        masks: structure -> (H, W) bool, for each of `STRUCTURES`.

    Returns:
        (H, W) uint8, 0 to 3.
    """
    labels = np.zeros(masks[STRUCTURES[0]].shape, np.uint8)
    for number, structure in enumerate(STRUCTURES, start=1):
        labels[masks[structure]] = number
    return labels


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """The whole field of view on `size` x `size` pixels by averaging over areas (Pillow's BOX).

    What is not square is stretched, as Murase (section 2.2) resizes every slice of ACDC. An area is made of whole
    pixels: those whose centre lies in it, or the nearest one where the image has fewer pixels than asked for.

    Args:
        image: (H, W) float32.

    Returns:
        (size, size) float32.
    """
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BOX))


def resize_labels(labels: np.ndarray, size: int) -> np.ndarray:
    """The same field of view as `resize_image`, each pixel the label at its centre: (H, W) -> (size, size), uint8."""
    return np.asarray(Image.fromarray(labels).resize((size, size), Image.Resampling.NEAREST))


def prepare(
    radiograph: Radiograph, read_image: Callable[[Path], np.ndarray], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """One radiograph as (size, size) float32 in [0, 1] and its labels as (size, size) uint8.

    Args:
        radiograph: checked, as `read` of either layout returns it.
        read_image: `image` of that layout.
        size: pixels.
    """
    labels = label({structure: read_mask(path) for structure, path in radiograph.masks.items()})
    return resize_image(read_image(radiograph.image), size), resize_labels(labels, size)


def same_aspect(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two shapes (H, W) can be the same field of view: equal ratios of the sides, sizes may differ."""
    return abs(first[1] * second[0] / (first[0] * second[1]) - 1) <= ASPECT


def collect(manifest: Manifest, layout: re.Pattern, problems: list[str]) -> dict[str | tuple[str, ...], str]:
    """The manifest's files that fit `layout`, by the text of its group, or of its groups as a tuple, composed.

    Files that say the same (in two folders, with two suffixes) add to `problems`; the first is kept.
    """
    files = {}
    for file in sorted(manifest.files):
        if not (match := layout.fullmatch(names.composed(file))):
            continue
        key = match.group(*range(1, layout.groups + 1))
        if key in files:
            other = paths.shown(manifest.path(files[key]))
            form = " in another Unicode form" if names.composed(files[key]) == match[0] else ""
            problems.append(f"{paths.shown(manifest.path(file))}: also found as {other}{form}; keep one of them")
        files.setdefault(key, file)
    return files


def astray(manifest: Manifest, folder: str, taken: Container[str]) -> dict[str, str]:
    """Files in folders called like `folder`, case and joints aside, that are not `taken`: name -> file.

    There lies what is missed: with another ending, or in "Left_Lung".
    """
    found = {}
    for path in map(PurePosixPath, sorted(manifest.files)):
        if _loosely(path.parent.name) == _loosely(folder) and str(path) not in taken:
            found.setdefault(names.composed(path.stem), str(path))
    return found


def meant(names: Iterable[str], candidates: Iterable[str]) -> dict[str, str]:
    """Those of `candidates` that are obviously meant by `names`, if any: JPCLN001 by jpcln001_mask, 007 by 7.

    Names that only resemble each other are looked for among the first few, as each is compared with each.
    """
    loose = {_loosely(candidate).lstrip("0"): candidate for candidate in sorted(candidates)}
    found, few = {}, list(loose)[:_COMPARED]
    for count, name in enumerate(sorted(names)):
        wanted = _loosely(PurePosixPath(name).stem).lstrip("0")
        if wanted not in loose and count < _COMPARED:
            wanted = next(iter(difflib.get_close_matches(_loosely(name), few, n=1, cutoff=_LIKE)), None)
        if wanted in loose:
            found[name] = loose[wanted]
    return found


def _loosely(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", names.composed(name)).casefold()


def check(
    manifest: Manifest,
    images: dict[str, str],
    masks: dict[tuple[str, str], str],
    read_image: Callable[[Path], np.ndarray],
    layout: str,
    problems: list[str],
    owners: dict[str, tuple[str, str]] | None = None,
) -> list[Radiograph]:
    """All radiographs, sorted by name, after reading and checking each file once.

    Args:
        manifest: says where the files are.
        images: name -> file.
        masks: (structure, name) -> file.
        read_image: path -> (H, W), raises InputError.
        layout: where masks are looked for, as people write it.
        problems: what is known to be wrong already.
        owners: name -> patient and licence; where a name is missing, the patient is the name.

    Raises:
        InputError: `problems` and one line for each further one.
    """
    problems = problems + _pairing_problems(manifest, images, masks, layout)
    radiographs = []
    for name in progress.bar(sorted(images), desc=f"check {manifest.dataset}", unit="image"):
        patient, licence = (owners or {}).get(name, (name, ""))
        own = {kind: manifest.path(masks[kind, name]) for kind in STRUCTURES if (kind, name) in masks}
        radiographs.append(Radiograph(name, patient, manifest.path(images[name]), own, licence))
        problems += _file_problems(radiographs[-1], read_image)
    raise_all(problems)
    return radiographs


def _pairing_problems(
    manifest: Manifest, images: dict[str, str], masks: dict[tuple[str, str], str], layout: str
) -> list[str]:
    """Images that lack a mask and masks that lack an image, with the file or the name that was probably meant."""
    problems = []
    for structure in STRUCTURES:
        masked = {name for kind, name in masks if kind == structure}
        others = astray(manifest, structure, set(masks.values()))
        if not masked and not others:
            problems.append(f"{manifest.root}: no masks of the {structure}; add its folder, see data/README.md")
            continue
        lacking = images.keys() - masked
        for name in sorted(lacking & others.keys()):
            problems.append(
                f"{paths.shown(manifest.path(others[name]))}: masks are expected as {layout}; save or rename it so"
            )
        for name in sorted(lacking - others.keys()):
            image = paths.shown(manifest.path(images[name]))
            problems.append(f"{image}: has no mask of the {structure}; add it or remove the image")
        likely = meant(masked - images.keys(), lacking)
        for name in sorted(masked - images.keys()):
            mask, other = manifest.path(masks[structure, name]), likely.get(name)
            advice = f"{other} may be meant, rename it" if other else "add its image or remove it"
            problems.append(f"{paths.shown(mask)}: no image is called {name}; {advice}")
    return problems


def _file_problems(radiograph: Radiograph, read_image: Callable[[Path], np.ndarray]) -> list[str]:
    """What is wrong with the contents of one radiograph's files, each alone and together; masks may be missing."""
    problems, image, first = [], None, None
    try:
        image = read_image(radiograph.image)
    except InputError as fault:
        problems += fault.problems
    if image is not None and image.min() == image.max():
        problems.append(f"{paths.shown(radiograph.image)}: blank, every pixel has the same value; replace or remove it")
    for structure, path in radiograph.masks.items():
        shown = paths.shown(path)
        try:
            mask = read_mask(path)
        except InputError as fault:
            problems += fault.problems
            continue
        if not mask.any():
            problems.append(f"{shown}: empty, it shows no {structure}; draw it or leave the image out")
        if image is not None and not same_aspect(image.shape, mask.shape):
            sizes = f"{_by(mask.shape)} pixels, another aspect than its image's {_by(image.shape)}"
            problems.append(f"{shown}: {sizes}; replace it by the mask of this image, turned as this is")
        elif first is None:
            first = mask.shape
        elif mask.shape != first:
            problems.append(f"{shown}: {_by(mask.shape)} pixels, the image's other masks have {_by(first)}; save it so")
    return problems


def _by(shape: tuple[int, int]) -> str:
    """Width by height, as people say it."""
    return f"{shape[1]} x {shape[0]}"
