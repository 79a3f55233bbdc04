"""CLEVR-Seg (INSIDE, Jacenków 2020, section 4.1): images, a mask for every object, and what each object is.

Layout, that of the released code: `images/<name>.png` (RGB or RGBA), `scenes/<name>.json` (CLEVR's scene), and
`segmentations/<name>/*.png`, one RGB or RGBA image per object, whose red channel is 64 outside and 255 on the object;
sorted by name they are in the order of the scene's objects.
"""

import json
import math
import reprlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from whereabouts import errors, paths
from whereabouts.data.manifest import Manifest
from whereabouts.data.names import composed
from whereabouts.formats import limits, pictures
from whereabouts.pipeline import progress

FACTORS = {  # in the order of the released code's one-hot codes
    "quadrant": ("top_left", "top_right", "bottom_right", "bottom_left"),
    "colour": ("alizarin", "nephritis", "orange"),  # red, green, yellow in the paper
    "shape": ("cube", "sphere", "triangle"),
    "size": ("small", "medium", "large"),
}
BACKGROUND, OBJECT = 64, 255  # values of the segmentations' red channel
SCENE_KEYS = {"colour": "color", "shape": "shape", "size": "size"}  # factor -> key in a scene's object


@dataclass(frozen=True)
class ClevrSeg:
    """The whole data set in memory, sorted by name.

    Args:
        names: (N,) names of the images.
        images: uint8 (N, size, size, 3).
        masks: for each image a bool (n_objects, size, size).
        attributes: a row per object, in the order of images and masks: image (index into `names`), object (index
            into its masks), quadrant, colour, shape, size, and the mask's centre of mass centre_x (right), centre_y
            (down) in pixels of `images` from the top left corner, so that the image's middle is at size / 2.
    """

    names: list[str]
    images: np.ndarray
    masks: list[np.ndarray]
    attributes: pd.DataFrame


def read(manifest: Manifest, size: int, quadrant: str = "centre_of_mass") -> ClevrSeg:
    """Read every image that the manifest lists.

    Args:
        manifest: the files; paths below its root as in the layout above.
        size: height and width to return, px. Larger images are averaged over areas, their masks cut at one half.
        quadrant: "centre_of_mass" of the object's mask (the paper's text), or "pixel_coords", the projection of the
            object's centre (the released code). Either way left is x < width / 2 and top is y < height / 2.

    Raises:
        InputError: every file that is missing, unreadable or not as the layout says, a line each.
    """
    if quadrant not in ("centre_of_mass", "pixel_coords"):
        raise errors.InputError(f"quadrant: {quadrant!r} is unknown; use centre_of_mass or pixel_coords")
    files, problems = _list(manifest)
    images, masks, rows, widths = [], [], [], {}
    for name in progress.bar(files, desc="read CLEVR-Seg", unit="image"):
        found = len(problems)
        path, segmentations = manifest.path(files[name].image), files[name].masks
        image = _pixels(path, None, problems)
        described = _scene(manifest.path(files[name].scene), problems)
        if image is not None and image.shape[0] != image.shape[1]:
            problems.append(f"{paths.shown(path)}: {_by(image)} pixels is not square; restore the file")
        elif image is not None:
            widths.setdefault(image.shape[1], []).append(path)
        if described is not None and len(described) != len(segmentations):
            others = f" ({files[name].others[0]} is no PNG)" if files[name].others else ""
            problems.append(
                f"{paths.shown(manifest.path(f'segmentations/{name}'))}: {len(segmentations)} masks for "
                f"{len(described)} objects in the scene{others}; restore one mask for each object"
            )
        full = [_mask(manifest.path(file), image, problems) for file in segmentations]
        if len(problems) > found:
            continue  # nothing more can be said of this image, but of the others
        width = image.shape[1]
        for index, (thing, mask) in enumerate(zip(described, full, strict=True)):
            y, x = (np.argwhere(mask) + 0.5).mean(axis=0)
            place = (x, y) if quadrant == "centre_of_mass" else thing["pixel_coords"][:2]
            row = {"image": len(images), "object": index, "quadrant": _quadrant(*place, width)}
            row |= {factor: thing[key] for factor, key in SCENE_KEYS.items()}
            rows.append(row | {"centre_x": x * size / width, "centre_y": y * size / width})
        images.append(image if width == size else np.rint(_area_average(image, size)).astype(np.uint8))
        masks.append(np.stack([_reduce(mask, size) for mask in full]))
        problems += [
            f"{paths.shown(manifest.path(file))}: its object vanishes at size {size}; ask for a larger size"
            for file, mask in zip(segmentations, masks[-1], strict=True)
            if not mask.any()
        ]
    problems += _wrong_widths(widths, size)
    errors.raise_all(problems)
    return ClevrSeg(list(files), np.stack(images), masks, pd.DataFrame(rows))


def condition(data: ClevrSeg, factor: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw what each image is asked for: one value of a factor, uniform over the values that the image shows.

    The released code draws over all values and again until the mask is not empty, which is the same.

    Args:
        data: N images.
        factor: key of `FACTORS`, of K values.
        rng: source of the draws.

    Returns:
        Targets, bool (N, size, size), the union of the masks of matching objects, never empty; z, float32 (N, K),
        one-hot; value, int (N,), the index into `FACTORS[factor]`.
    """
    codes = pd.Categorical(data.attributes[factor], categories=FACTORS[factor]).codes
    per_image = np.split(codes, np.cumsum([len(masks) for masks in data.masks])[:-1])
    value = np.array([rng.choice(np.unique(present)) for present in per_image], dtype=int)
    targets = np.stack(
        [masks[codes == drawn].any(axis=0) for masks, codes, drawn in zip(data.masks, per_image, value, strict=True)]
    )
    return targets, np.eye(len(FACTORS[factor]), dtype=np.float32)[value], value


def split(n_images: int, sizes: tuple[int, int, int]) -> dict[str, slice]:
    """Slices "train", "validation", "test", in this order from the first image (released code: 2880, 320, 800).

    Raises:
        InputError: more images asked for than there are.
    """
    if sum(sizes) > n_images:
        raise errors.InputError(
            f"split: {' + '.join(map(str, sizes))} = {sum(sizes)} images asked for, the data set has {n_images}; "
            "ask for fewer or render more"
        )
    train, validation, test = sizes
    return {
        "train": slice(0, train),
        "validation": slice(train, train + validation),
        "test": slice(train + validation, train + validation + test),
    }


@dataclass
class _Files:
    """One image's files, as the manifest calls them; `others` lie beside its masks and are none."""

    image: str | None = None
    scene: str | None = None
    masks: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def _list(manifest: Manifest) -> tuple[dict[str, _Files], list[str]]:
    """Files of each name that has both image and scene, sorted; and problems."""
    found: dict[str, _Files] = defaultdict(_Files)
    astray = {}  # folder and name -> file with another ending
    for file in sorted(manifest.files):
        path = PurePosixPath(composed(file))
        match (*path.parts[:-1], path.suffix.lower()):
            case ("images", ".png"):
                found[path.stem].image = file
            case ("scenes", ".json"):
                found[path.stem].scene = file
            case ("segmentations", name, ".png"):
                found[name].masks.append(file)
            case ("segmentations", name, _):
                found[name].others.append(file)
            case ("images" | "scenes" as folder, _):
                astray[folder, path.stem] = file
    problems = []
    if not any(files.image for files in found.values()):
        problems.append(
            f"{paths.shown(manifest.path('images'))}: no images; render or download them as data/README.md says"
        )
    for name in sorted(found):
        files = found[name]
        if files.image is None and files.scene is None:
            where = paths.shown(manifest.path(f"segmentations/{name}"))
            problems.append(f"{where}: has neither image nor scene; restore or remove it")
        elif files.image is None or files.scene is None:
            here = paths.shown(manifest.path(files.image or files.scene))
            missing, suffix = ("images", "png") if files.image is None else ("scenes", "json")
            other = astray.get((missing, name))
            advice = f"{other} may be it, save or rename it so" if other else "restore that or remove this"
            problems.append(f"{here}: has no {missing}/{name}.{suffix}; {advice}")
    return {name: found[name] for name in sorted(found) if found[name].image and found[name].scene}, problems


def _pixels(path: Path, wanted: tuple[int, int] | None, problems: list[str]) -> np.ndarray | None:
    """A PNG in colour as uint8 (height, width, 3), without transparency, or None and a problem."""
    try:
        picture = pictures.read(path, ("PNG",))
    except errors.InputError as fault:
        problems += fault.problems
        return None
    if picture.mode != "RGBA":
        problems.append(f"{paths.shown(path)}: is of mode {picture.mode}; save it as RGB or RGBA")
        return None
    pixels = np.asarray(picture)
    if wanted is not None and pixels.shape[:2] != wanted:
        problems.append(
            f"{paths.shown(path)}: {_by(pixels)} pixels where its image has {wanted[1]} x {wanted[0]}; restore the file"
        )
        return None
    return pixels[..., :3]


def _by(pixels: np.ndarray) -> str:
    """Width by height, as people say it."""
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _wrong_widths(widths: dict[int, list[Path]], size: int) -> list[str]:
    """A problem for each image that is not as wide as most, and one if most are narrower than `size`."""
    usual = max(widths, key=lambda width: len(widths[width]), default=size)
    problems = [
        f"{paths.shown(path)}: {width} pixels wide where the others have {usual}; restore or remove the file"
        for width in sorted(widths)
        if width != usual
        for path in widths[width]
    ]
    if usual < size:
        problems.append(f"size: {size} is more than the {usual} pixels of the images; ask for {usual} or fewer")
    return problems


def _mask(path: Path, image: np.ndarray | None, problems: list[str]) -> np.ndarray | None:
    """A segmentation as bool (height, width), or None and a problem."""
    pixels = _pixels(path, None if image is None else image.shape[:2], problems)
    if pixels is None:
        return None
    values = np.unique(pixels[..., 0])
    if not np.isin(values, (BACKGROUND, OBJECT)).all():
        others = [int(value) for value in values if value not in (BACKGROUND, OBJECT)]
        problems.append(
            f"{paths.shown(path)}: red channel holds {others[:3]}, "
            f"not only {BACKGROUND} (background) and {OBJECT} (object); restore the file"
        )
        return None
    mask = pixels[..., 0] == OBJECT
    if not mask.any():
        problems.append(f"{paths.shown(path)}: no pixel is {OBJECT} (object); restore the file")
        return None
    return mask


def _reduce(mask: np.ndarray, size: int) -> np.ndarray:
    """A mask at (size, size): the object where it covers half of a pixel or more."""
    return mask if mask.shape == (size, size) else _area_average(mask, size) > 0.5 - 1e-9  # the sum is rounded


def _area_average(pixels: np.ndarray, size: int) -> np.ndarray:
    """Mean over each new pixel's area, float (height, width, ...) -> (size, size, ...).

    Pillow's BOX filter and `Image.reduce` count whole pixels only: at 200 to 64 they average over 3 or 4, never 3.125.
    """
    for axis in (0, 1):
        pixels = np.moveaxis(pixels, axis, -1)
        width = pixels.shape[-1]
        edges = np.linspace(0, width, size + 1)
        last = np.minimum(edges.astype(int), width - 1)  # the pixel in which each edge lies
        up_to = np.cumsum(pixels, axis=-1, dtype=float)[..., last] - (last + 1 - edges) * pixels[..., last]
        pixels = np.moveaxis(np.diff(up_to, axis=-1) * size / width, -1, axis)
    return pixels


def _scene(path: Path, problems: list[str]) -> list[dict] | None:
    """The objects of a scene, or None and a problem for everything that is wrong with it."""
    shown, found = paths.shown(path), []
    try:
        objects = json.loads(limits.read(path, limits.SCENE).decode("utf-8-sig"))["objects"]
        for index, thing in enumerate(objects):
            x, y = thing["pixel_coords"][:2]  # fails if there are no two, the next line if they are no numbers
            if not (math.isfinite(x) and math.isfinite(y)):
                found.append(f"{shown}: object {index} is nowhere, at {x}, {y}; restore the file")
            for factor, key in SCENE_KEYS.items():
                if thing[key] not in FACTORS[factor]:
                    allowed = ", ".join(FACTORS[factor])
                    seen = f"object {index} has {key} {reprlib.repr(thing[key])}"
                    found.append(f"{shown}: {seen}; must be one of {allowed}")
        if not objects:
            found.append(f"{shown}: no objects; restore the file")
    except errors.InputError as fault:
        found = fault.problems
    except Exception as fault:  # JSON may hold anything in the place of a scene
        found = [f"{shown}: is not a CLEVR scene ({type(fault).__name__}: {fault}); restore the file"]
    problems += found
    return None if found else objects


def _quadrant(x: float, y: float, width: int) -> str:
    """Quadrant of a point in a square image, in pixels from the top left corner."""
    return ("top_" if y < width / 2 else "bottom_") + ("left" if x < width / 2 else "right")
