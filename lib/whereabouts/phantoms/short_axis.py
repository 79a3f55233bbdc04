"""Synthetic short-axis cine magnetic resonance: a beating heart in its torso, as a scanner would show it.

Everything is drawn in millimetres in the frame of the body (x to its left side, y to its feet, origin in the left
ventricle), so pixel size, field of view and orientation are free. Intensities are relative to blood, which is about 1.
The heart keeps a cine's main facts: the muscle keeps its area while the cavity shrinks, one smooth volume curve a
cycle, taper to the apex, and a crescent of right ventricle on the septum. No shape is a patient's.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from whereabouts.data.cardiac import BACKGROUND, LEFT_VENTRICLE, MYOCARDIUM, RIGHT_VENTRICLE
from whereabouts.phantoms.painting import blend, smooth
from whereabouts.phantoms.torso import Torso

ANGLES = np.linspace(-np.pi, np.pi, 121, dtype=np.float32)  # of a contour's points; 0 points to the right ventricle
TRUNK = 0.8  # angle at which the great vessels leave the base

# What a disease changes (Bernard et al. 2018, section II): radius of the left cavity and thickness of its wall at
# end-diastole (mm), ejection fraction but for scars, size of the right ventricle (1: normal) and its ejection fraction.
GROUPS = {
    "NOR": {"cavity": (26, 32), "wall": (7, 9), "ejection": (0.56, 0.68), "right": (0.95, 1.1), "right_ejection": 0.55},
    "MINF": {"cavity": (28, 34), "wall": (7, 9), "ejection": (0.40, 0.52), "right": (0.85, 1), "right_ejection": 0.55},
    "DCM": {"cavity": (36, 42), "wall": (7, 9), "ejection": (0.12, 0.28), "right": (0.9, 1.15), "right_ejection": 0.3},
    "HCM": {"cavity": (24, 29), "wall": (11, 15), "ejection": (0.64, 0.8), "right": (0.85, 1), "right_ejection": 0.6},
    "RV": {"cavity": (23, 28), "wall": (6, 8), "ejection": (0.45, 0.60), "right": (1.2, 1.4), "right_ejection": 0.35},
}


@dataclass(frozen=True)
class Heart:
    """Shape of one heart. Lengths in mm, angles in radians, levels from 0 (base) to 1 (apex).

    Args:
        cavity, wall: radius of the left cavity and thickness of its wall, mid-ventricle at end-diastole.
        shortening: part of the cavity's radius lost at end-systole.
        right, right_shortening: size of the right ventricle (1: normal), part of its reach lost at end-systole.
        right_end: level at which the right ventricle ends.
        septal: how much thicker the septum is than the rest (0: even).
        scar: angle, half-width and extent (0 or 1) of a thinned sector that does not contract.
        direction: of the right ventricle seen from the left one, in the body's frame.
        wobble: amplitude and phase of the second, then of the third harmonic of the contours.
        papillary: angles of the two papillary muscles.
        fat: thickness of the fat around the heart.
        open_base: whether the outflow tract interrupts the basal ring.
        labelled_from: first slice with a label of the right, and of the left ventricle.
    """

    cavity: float
    wall: float
    shortening: float
    right: float
    right_shortening: float
    right_end: float
    septal: float
    scar: tuple[float, float, float]
    direction: float
    wobble: tuple[float, float, float, float]
    papillary: tuple[float, float]
    fat: float
    open_base: bool
    labelled_from: tuple[int, int]

    def radii(self, level: float, beat: float) -> tuple[np.ndarray, np.ndarray]:
        """Endocardial and epicardial radius at `ANGLES`, mm; 0 beyond the apex.

        Args:
            level: 0 at the base, 1 at the apex.
            beat: contraction, 0 at end-diastole, 1 at end-systole.
        """
        base = 1 - 0.08 * max(0, 0.2 - level) / 0.2
        cavity = self.cavity * base * np.sqrt(max(0, 1 - (max(0, level - 0.2) / 0.78) ** 1.9))
        muscle = ((self.cavity + self.wall) ** 2 - self.cavity**2) * max(0, 1 - (level / 1.05) ** 4)
        second, phase, third, other = self.wobble
        shape = 1 + second * np.cos(2 * ANGLES + phase) + third * np.cos(3 * ANGLES + other)
        angle, width, extent = self.scar
        scar = extent * window(ANGLES - angle, width)
        muscle = muscle * (1 + self.septal * window(ANGLES, 1.3)) * (1 - 0.45 * scar)
        inside = cavity * shape * (1 - self.shortening * (0.9 + 0.25 * level) * beat * (1 - scar))
        return inside, np.sqrt(inside**2 + muscle * (1 + 0.12 * beat) * shape**2)  # area kept; the long axis shortens

    def right_distance(self, along, across, septum: float, level: float, beat: float) -> np.ndarray:
        """Signed distance to the right ventricle, before the left one is cut out of it; the shape of `along`.

        Args:
            along, across: position along and across the right ventricle's direction from the left one's centre, mm.
            septum: mean epicardial radius of the left ventricle, mm.
            level, beat: as in `radii`.
        """
        taper = np.sqrt(max(0.01, 1 - (level / self.right_end) ** 1.3))
        reach = 42 * self.right * taper * (1 - self.right_shortening * beat)  # of the free wall beyond the septum
        half = 46 * np.sqrt(self.right) * (0.25 + 0.75 * taper) * (1 - 0.4 * self.right_shortening * beat)
        forward = along - septum
        lean = (across + 0.25 * forward) / (1 - 0.3 * np.clip(forward / reach, -0.5, 1))  # a rounded triangle
        radius = np.sqrt((forward / reach) ** 2 + (lean / half) ** 2)
        return (radius - 1) * min(reach, half)

    @classmethod
    def sample(cls, group: str, rng: np.random.Generator) -> "Heart":
        """A heart of disease group `group`, one of `GROUPS`."""
        ranges = GROUPS[group]
        dilated = group == "RV"
        return cls(
            cavity=rng.uniform(*ranges["cavity"]) * rng.normal(1, 0.03),
            wall=rng.uniform(*ranges["wall"]),
            shortening=1 - np.sqrt(1 - rng.uniform(*ranges["ejection"])),  # volume goes with the square of the radius
            right=rng.uniform(*ranges["right"]),
            right_shortening=1.5 * (1 - np.sqrt(1 - ranges["right_ejection"])) + rng.normal(0, 0.03),
            right_end=rng.uniform(0.98, 1.1) if dilated else rng.uniform(0.72, 1.02),
            septal=rng.uniform(0.1, 0.5) if group == "HCM" else rng.uniform(0, 0.1),
            scar=(rng.uniform(-np.pi, np.pi), rng.uniform(0.8, 1.2), float(group == "MINF")),
            direction=np.pi + rng.normal(0, 0.22),
            wobble=(
                rng.uniform(0.01, 0.06) + 0.03 * dilated,
                np.pi + rng.uniform(-3, 3) * (not dilated),
                rng.uniform(0.01, 0.025),
                rng.uniform(0, 6.3),
            ),
            papillary=(rng.uniform(1.5, 2.3), rng.uniform(-2.5, -1.7)),
            fat=rng.uniform(1.5, 5),
            open_base=bool(rng.random() < 0.2),
            labelled_from=(int(rng.random() < 0.2), int(rng.random() < 0.08)),
        )


@dataclass(frozen=True)
class Scan:
    """How one study was acquired.

    Args:
        shape: pixels across (left to right as displayed), down, and slices.
        spacing: pixel size in the plane, mm.
        angle: of the body in the image, radians, clockwise as displayed.
        centre: of the left ventricle from the image's middle (across, down), mm.
        blood: intensity of blood in the left and in the right cavity.
        muscle: intensity of the myocardium.
        noise: standard deviation of each of the two channels.
        bow: how far the correction of gradient non-linearity bends the image's borders, part of the half-width.
        last: level of the last slice; beyond 1 it lies below the apex.
        first: level of the first slice.
    """

    shape: tuple[int, int, int]
    spacing: float
    angle: float
    centre: tuple[float, float]
    blood: tuple[float, float]
    muscle: float
    noise: float
    bow: float
    last: float
    first: float = 0

    def positions(self, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position (x, y) in the body's frame of each pixel, mm, and whether it was imaged; each (down, across)."""
        across, down = self.shape[:2]
        u = (np.arange(across, dtype=np.float32) + 0.5 - across / 2)[None] * self.spacing
        v = (np.arange(down, dtype=np.float32) + 0.5 - down / 2)[:, None] * self.spacing
        un, vn = 2 * u / (across * self.spacing), 2 * v / (down * self.spacing)
        seen = (np.abs(un) < 1 - self.bow * vn**2) & (np.abs(vn) < 1 - self.bow * un**2)
        u, v = u - np.float32(self.centre[0] + shift[0]), v - np.float32(self.centre[1] + shift[1])
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return cos * u + sin * v, cos * v - sin * u, seen


def contraction(frames: int, diastole: int, systole: int) -> np.ndarray:
    """Contraction of each frame, shape (frames,): 0 at index `diastole`, 1 at index `systole`, smooth between."""
    elapsed = (np.arange(frames) - diastole) % frames
    end = (systole - diastole) % frames
    ejection = np.sin(np.pi / 2 * np.minimum(elapsed / end, 1)) ** 2
    filling = np.cos(np.pi / 2 * np.clip((elapsed - end) / (frames - end), 0, 1) ** 0.7) ** 2
    return np.where(elapsed <= end, ejection, filling)


def draw(
    heart: Heart, torso: Torso, scan: Scan, beats: np.ndarray, rng: np.random.Generator, oxygenation=None
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of every slice and frame; slice 0 is basal.

    Args:
        heart, torso, scan: what to draw, and how.
        beats: contraction of each frame, shape (frames,).
        oxygenation: what the left wall's signal is multiplied by, per frame and angle, (frames, `ANGLES`); None: 1.

    Returns:
        Images, float32, about 0 to 1.5, and labels, uint8; both of shape (across, down, slices, frames), as on disk.
    """
    across, down, slices = scan.shape
    slow = smooth(rng, (3, slices, down, across), 60 / scan.spacing, 3)  # two displacements, and the gain's drift
    viscera = smooth(rng, (slices, down, across), 9 / scan.spacing, 1.5)
    texture = smooth(rng, (slices, down, across), 3.5 / scan.spacing, 0.7)
    shifts = rng.normal(0, 0.9, (slices, 2))  # every slice is its own breath-hold
    images = np.zeros((len(beats), slices, down, across), np.float32)  # as NIfTI stores them: .T needs no copy
    labels = np.zeros(images.shape, np.uint8)
    for k, level in enumerate(np.linspace(scan.first, scan.last, slices)):
        x, y, seen = scan.positions(shifts[k])
        still, gain = torso.draw(x + 6 * slow[0, k], y + 6 * slow[1, k], level, viscera[k], texture[k], rng)
        gain *= (1 + 0.1 * slow[2, k]) * seen
        near = np.hypot(x, y) < 2.2 * (heart.cavity + heart.wall) + 25
        box = np.s_[_span(near.any(1)), _span(near.any(0))]
        phi = (np.arctan2(y[box], x[box]) - np.float32(heart.direction) + np.pi) % (2 * np.pi) - np.pi
        here = _Slice(k, level, np.hypot(x[box], y[box]), phi, slow[0, k][box], viscera[k][box], texture[k][box])
        for f, beat in enumerate(beats):
            image = still.copy()
            factors = None if oxygenation is None else oxygenation[f]
            labels[f, k][box] = _paint(image[box], heart, scan, here, beat, factors)
            channels = scan.noise * rng.standard_normal((2, down, across), np.float32)
            images[f, k] = np.hypot(image * gain + channels[0] * seen, channels[1] * seen)  # Rician
    return images.T, labels.T


class _Slice(NamedTuple):
    """Where and through what one slice cuts the heart; arrays share one shape.

    Args:
        index, level: number of the slice, and 0 at the base to 1 at the apex.
        r, phi: distance (mm) and angle from the left ventricle's centre, 0 towards the right one.
        drift, viscera, texture: smooth fields of unit variance, coarse to fine.
    """

    index: int
    level: float
    r: np.ndarray
    phi: np.ndarray
    drift: np.ndarray
    viscera: np.ndarray
    texture: np.ndarray

    def towards(self, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Position along and across the direction `angle`, mm."""
        return self.r * np.cos(self.phi - angle), self.r * np.sin(self.phi - angle)


def _paint(image: np.ndarray, heart: Heart, scan: Scan, here: _Slice, beat: float, oxygenation) -> np.ndarray:
    """Paint the heart over `image`, in place, and return its labels."""
    labels = np.zeros(image.shape, np.uint8)
    endocardium, epicardium = heart.radii(here.level, beat)
    if epicardium.max() < 3:  # mm; below the apex
        return labels
    uneven = here.r + 0.8 * here.viscera  # one field for both contours, so that the wall keeps its thickness
    inside = uneven - np.interp(here.phi, ANGLES, endocardium).astype(np.float32)
    outside = uneven - np.interp(here.phi, ANGLES, epicardium).astype(np.float32)
    right = np.full_like(inside, np.inf)
    if here.level < heart.right_end:
        right = heart.right_distance(*here.towards(0), epicardium.mean(), here.level, beat)
        right += 0.9 * here.viscera + 1.5 * here.drift
    _paint_surface(image, heart, here, np.minimum(outside, right - 2), np.abs(outside - right + 2))
    if here.level < 0.2:
        _paint_trunk(image, scan, here, epicardium.mean())
    _paint_right(image, scan, here, right)
    _paint_left(image, heart, scan, here, endocardium, inside, outside, oxygenation)
    if here.index >= heart.labelled_from[0]:
        labels[right < 0] = RIGHT_VENTRICLE
    labels[outside < 0] = MYOCARDIUM
    labels[inside < 0] = LEFT_VENTRICLE
    if here.index == 0 and heart.open_base:
        outflow = np.maximum(outside, (np.abs(here.phi - TRUNK) - 0.4) * here.r)
        blend(image, outflow, scan.blood[0], 2)
        labels[(outflow < 0) & (inside >= 0)] = BACKGROUND
    return labels if here.index >= heart.labelled_from[1] else np.zeros_like(labels)


def _paint_surface(image, heart: Heart, here: _Slice, wall: np.ndarray, apart: np.ndarray) -> None:
    """Fat around the heart, whose distance is `wall`, and in the groove where its ventricles are not far `apart`."""
    facing = np.cos(here.phi)  # 1 towards the right ventricle and the breastbone, where the fat is
    fat = wall - 6 * np.exp(-apart / 8) - heart.fat * (0.55 + 0.45 * facing)
    fat -= 6 * here.level * np.maximum(0, facing) + 0.8 * here.drift
    blend(image, fat - 1.5, 0.08, 2)  # chemical shift
    blend(image, fat, 0.75 + 0.2 * here.viscera, 2)


def _paint_trunk(image, scan: Scan, here: _Slice, septum: float) -> None:
    """The pulmonary trunk beside the base, which no label covers."""
    along, across = here.towards(TRUNK)
    distance = np.hypot(along - septum - 14, across) - 17 + 40 * here.level
    blend(image, distance - 2, scan.muscle, 2)
    blend(image, distance, scan.blood[1] * (1 + 0.05 * here.viscera), 2)


def _paint_right(image, scan: Scan, here: _Slice, right: np.ndarray) -> None:
    """The right ventricle: a thin wall, blood, and the trabeculae and bands that cross it."""
    blend(image, right - 2, scan.muscle * (1 + 0.1 * here.texture), 2)
    blood = scan.blood[1] * (1 + 0.05 * here.texture + 0.08 * here.drift)
    blend(image, right + 2 * np.maximum(0, here.texture), blood, 2)
    bands = np.maximum(right, 4 * (1.9 - 1.3 * here.level - here.viscera))
    blend(image, bands, 1.3 * scan.muscle, 3)


def _paint_left(image, heart: Heart, scan: Scan, here: _Slice, endocardium, inside, outside, oxygenation) -> None:
    """The left ventricle: wall, blood, and the trabeculae and papillary muscles that its label counts as cavity."""
    edge = 2 + 4 * here.level**2  # mm; the wall is oblique to apical slices
    blend(image, outside, scan.muscle * (1 + 0.1 * here.texture), edge)
    if endocardium.max() > 1:
        trabeculae = (1 + 1.6 * here.level) * np.maximum(0, here.texture + 0.5 * here.viscera)
        blend(image, inside + trabeculae, scan.blood[0] * (1 + 0.04 * here.texture + 0.06 * here.drift), edge)
    if 0.15 < here.level < 0.8:
        size = 1 + 4.5 * np.sin(np.pi * (here.level - 0.15) / 0.65)
        for angle in heart.papillary:
            along, across = here.towards(angle)
            distance = np.hypot(along - 0.72 * np.interp(angle, ANGLES, endocardium), across) - size
            blend(image, np.maximum(distance + here.texture, inside), 1.2 * scan.muscle, 2)
    if oxygenation is not None:  # over all else: what lies beyond the wall's soft edge keeps every bit
        factor = np.interp(here.phi, ANGLES, oxygenation).astype(np.float32)
        blend(image, np.maximum(outside, -inside), factor * image, edge)


def window(angle: np.ndarray, half: float) -> np.ndarray:
    """1 at angle 0, falling smoothly to 0 at `half` and beyond; periodic."""
    wrapped = (angle + np.pi) % (2 * np.pi) - np.pi
    return np.cos(np.pi / 2 * np.minimum(np.abs(wrapped) / half, 1)) ** 2


def _span(mask: np.ndarray) -> slice:
    """From the first to the last true entry of `mask`."""
    first, *_, last = np.flatnonzero(mask)
    return slice(first, last + 1)
