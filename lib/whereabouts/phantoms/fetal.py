"""Synthetic fetal ultrasound, in the HDF5 layout that the code of Attention Gated Networks (Schlemper 2019) reads.

`ultrasound.hdf5` holds x_train, x_val, x_test, (N, 1, rows, columns) uint8; p_train, p_val, p_test, (N,), indices into
label_names, (14,) bytes, in the order of Table 6; and, which that code has not, box_test, (N, 4) int32: top, left,
bottom and right of what defines the plane, pixels, bottom and right exclusive; -1 for background.

A frame is drawn as a curved array sees it, beam by beam: echoes in dB, less what tissues before them have absorbed;
random scatterers blurred by the pulse, finer along the beams than across, whose envelope is speckle; the logarithm of
that; and pixels for beams. No two frames show the same fetus.
"""

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from whereabouts.errors import raise_all
from whereabouts.phantoms.fetal_planes import PLANES, limbs
from whereabouts.phantoms.painting import smooth
from whereabouts.phantoms.sonography import BRIGHT, FLUID, MUSCLE, PLACENTA, SKIN, TISSUE, Pen
from whereabouts.phantoms.whole_heart import Space
from whereabouts.pipeline import progress

FILE = "ultrasound.hdf5"
NAMES = (*PLANES, "Background")
SPLITS = ("train", "val", "test")
BACKGROUND_SHARE = 0.5  # of all frames; the planes share the rest evenly
NEAR_MISSES = 0.5  # of the background: a plane's anatomy without what defines it; else limbs, cord, placenta and fluid


class Probe(NamedTuple):
    """A curved array and its setting; lengths in mm, x to the right and y down from the middle of the skin.

    Args:
        radius: of its curvature.
        half: angle between the middle and the last beam.
        depth: of the field of view.
        scale: pixels a mm.
        top: row of the skin.
    """

    radius: float
    half: float
    depth: float
    scale: float
    top: float

    def beams(self, samples: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x and y, (samples, count), and depth, (samples, 1), of the samples of `count` beams; float32."""
        angle = np.linspace(-self.half, self.half, count, dtype=np.float32)
        depth = np.linspace(0, self.depth, samples, dtype=np.float32)[:, None]
        radius = depth + np.float32(self.radius)
        return radius * np.sin(angle), radius * np.cos(angle) - np.float32(self.radius), depth

    def places(self, shape: tuple[int, int], samples: int, count: int) -> np.ndarray:
        """Where each pixel lies among the beams: (2, rows, columns) index of the sample and of the beam, float32."""
        x = (np.arange(shape[1], dtype=np.float32) - (shape[1] - 1) / 2) / self.scale
        y = (np.arange(shape[0], dtype=np.float32)[:, None] - self.top) / self.scale + self.radius
        sample = (np.hypot(x, y) - self.radius) / self.depth * (samples - 1)
        return np.stack([sample, (np.arctan2(x, y) / self.half + 1) / 2 * (count - 1)])


def write(root: Path, frames: dict[str, int], shape: tuple[int, int], rng: np.random.Generator) -> None:
    """Write `root`/ultrasound.hdf5. Splits and frames are drawn by generators of their own, spawned from `rng`.

    Args:
        root: folder that takes the file.
        frames: number of frames of "train", "val" and "test".
        shape: rows and columns of a frame; the paper's data have (224, 288). Anatomy scales with it.
        rng: the only source of randomness.

    Raises:
        InputError: `frames` or `shape` is out of range.
    """
    problems = [f"frames: {frames[split]} in {split}; give 1 or more" for split in SPLITS if frames[split] < 1]
    if not 56 <= shape[0] <= shape[1] <= 1024:
        problems.append(f"shape: {shape[0]} x {shape[1]}; give 56 to 1024 rows and columns, no fewer columns than rows")
    raise_all(problems)
    Path(root).mkdir(parents=True, exist_ok=True)
    bar = progress.bar(total=sum(frames.values()), desc="ultrasound phantom", unit="frame")
    with h5py.File(Path(root) / FILE, "w") as file, bar:
        file.create_dataset("label_names", data=np.array(NAMES, "S"), track_times=False)
        for split, child in zip(SPLITS, rng.spawn(len(SPLITS)), strict=True):
            planes = _sample_planes(frames[split], child)
            file.create_dataset(f"p_{split}", data=planes, track_times=False)
            images = file.create_dataset(f"x_{split}", (len(planes), 1, *shape), np.uint8, track_times=False)
            boxes = np.empty((len(planes), 4), np.int32)
            for index, plane in enumerate(planes):
                (own,) = child.spawn(1)  # one at a time: 122,233 generators take memory
                images[index, 0], boxes[index] = draw(NAMES[plane], shape, own)
                bar.update()
        file.create_dataset("box_test", data=boxes, track_times=False)


def _sample_planes(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) indices into `NAMES`, in random order; int64."""
    background = round(BACKGROUND_SHARE * count)
    planes = np.arange(count - background) % len(PLANES)
    return rng.permutation(np.append(planes, np.full(background, NAMES.index("Background"))))


def draw(name: str, shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One frame of the plane or background `name`, one of `NAMES`.

    Returns:
        (rows, columns) uint8; and the box, (4,): top, left, bottom, right, or -1.
    """
    plane = name if name in PLANES else rng.choice(list(PLANES)) if rng.random() < NEAR_MISSES else None
    paint, depths, turn = PLANES.get(plane, (None, (50, 100), np.pi))
    probe = _sample_probe(shape, rng.uniform(*depths), rng)
    samples, beams = shape[0], round(0.9 * shape[1])
    pen, along = _sample_pen(probe, samples, beams, rng)
    middle = probe.depth * np.array([np.clip(rng.normal(0, 0.06), -0.12, 0.12), rng.uniform(0.48, 0.58)])
    side = np.float32(rng.choice((-1, 1)))  # half of the sections are seen from behind
    mirrored = pen._replace(space=pen.space._replace(x=side * pen.space.x))
    fetus = mirrored.placed((side * middle[0], middle[1]), rng.uniform(-turn, turn), size=rng.uniform(0.88, 1.12))
    if not paint or rng.random() < 0.3:
        limbs(fetus, rng)
    _mother(pen, probe.depth, along, middle, rng)
    if paint:
        paint(fetus, name in PLANES, rng)
    places = probe.places(shape, samples, beams)
    frame = map_coordinates(_echoes(*pen.layers, pen.texture, pen.step, rng), places, order=1)
    _ruler(frame, probe)
    return np.rint(frame).astype(np.uint8), _box(map_coordinates(pen.landmark, places, order=1) > 0.5)


def _sample_pen(probe: Probe, samples: int, beams: int, rng: np.random.Generator) -> tuple[Pen, np.ndarray]:
    """A pen on tissues that are warped a little, as no two bodies are alike, where all is fluid yet; and `along`."""
    x, y, along = probe.beams(samples, beams)
    *warp, texture = smooth(rng, (3, samples, beams), samples / 5.5, 1)
    x, y = (axis + np.float32(0.012 * probe.depth) * shift for axis, shift in zip((x, y), warp, strict=True))
    layers, landmark = np.empty((2, samples, beams), np.float32), np.zeros((samples, beams), np.float32)
    layers[:] = np.float32(FLUID)[:, None, None]
    step = probe.depth / (samples - 1)
    return Pen(Space(x, y, np.float32(0)), layers, landmark, texture, 1.2 * step, step), along


def _sample_probe(shape: tuple[int, int], depth: float, rng: np.random.Generator) -> Probe:
    """A probe whose field of view about fills the height of the frame."""
    return Probe(
        radius=rng.uniform(38, 60),
        half=rng.uniform(0.55, 0.68),
        depth=depth,
        scale=shape[0] * rng.uniform(0.94, 1.02) / depth,
        top=shape[0] * rng.uniform(0.02, 0.05),
    )


def _mother(pen: Pen, depth: float, along: np.ndarray, middle: np.ndarray, rng: np.random.Generator) -> None:
    """Paint the abdominal wall, the uterus, whose cavity is about `middle` and left as it is, and mostly a placenta.

    Args:
        depth: of the field of view, mm.
        along: depth of the samples, mm.
    """
    radii, lean = depth * rng.uniform((0.4, 0.3), (0.8, 0.45)), rng.normal(0, 0.2)
    womb = pen.ellipse(tuple(middle + depth * rng.normal(0, 0.07, 2)), radii, lean) + 0.03 * depth * pen.texture
    pen(-womb, TISSUE)
    for level, half, tissue in ((0, 1, BRIGHT), (0.06, 0.5, (-24, 0)), (0.09, 2, MUSCLE), (0.13, 0.5, SKIN)):
        pen(np.maximum(np.abs(along + 2 * pen.texture - level * depth) - half, -womb), tissue)
    pen(np.abs(womb - 2) - 2, MUSCLE)
    pen.wall(womb, 0.6, SKIN, 8)
    if rng.random() < 0.7:
        turn, thick = rng.uniform(0, 2 * np.pi), depth * rng.uniform(0.1, 0.3)
        around = pen.placed(tuple(middle), turn).space  # the placenta lies in the direction of its x
        cosine = around.x / (np.hypot(around.x, around.y) + np.float32(1e-6))
        pen(np.maximum(womb, -womb - thick * np.clip(1.6 * cosine - 0.3, -0.3, 1)), PLACENTA)


def _echoes(
    level: np.ndarray, loss: np.ndarray, texture: np.ndarray, step: float, rng: np.random.Generator
) -> np.ndarray:
    """What the machine shows: grey values from 0 to 255, (samples, beams), float32.

    Args:
        level: dB; `loss`: dB/mm; `texture`: smooth, of unit variance; (samples, beams).
        step: mm between samples.
    """
    deep = np.linspace(0, 1, len(level), dtype=np.float32)[:, None]
    gain, slope, noise, haze, span = np.float32(rng.uniform((-5, 0, -66, -62, 50), (5, 12, -56, -44, 60)))
    shade = 5 * np.clip(texture[0] - 0.8, 0, None)  # beams that lack contact with the skin
    echo = level + 2 * texture - np.cumsum(loss, 0) * np.float32(step) + gain - slope * (deep - 0.4) - shade
    scatter = rng.standard_normal((2, *level.shape), np.float32)
    sigma = max(0.5, len(level) / 250), max(0.7, len(level) / 140)  # samples along, beams across
    kept = 1 / (4 * np.pi * sigma[0] * sigma[1])  # part of the power of white noise that is left after the blur
    scatter[0] += np.sqrt(8 * kept) * np.clip((level + 16) / 14, 0, 1)  # surfaces of bone reflect as mirrors do
    blurred = gaussian_filter(scatter * 10 ** (echo / 20), (0, *sigma))
    floor = 10 ** ((noise + 10 * deep) / 10) + 10 ** ((haze - 40 * deep) / 10)  # electronic, and near the skin
    power = (blurred**2).sum(0) / (2 * kept) + floor * rng.standard_exponential(level.shape, np.float32)
    return np.clip(255 * (1 + 10 * np.log10(power) / span), 0, 255)


def _ruler(frame: np.ndarray, probe: Probe) -> None:
    """Paint marks at every cm of depth where the screen shows them, which the paper's crop leaves out, in place."""
    rows = np.arange(probe.top, len(frame), 10 * probe.scale).astype(int)
    frame[rows, -(frame.shape[1] // 48) :] = 200


def _box(shown: np.ndarray) -> np.ndarray:
    """Top, left, bottom, right of what is True; -1 where nothing is."""
    if not shown.any():
        return np.full(4, -1)
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
