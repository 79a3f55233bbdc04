"""The fetal head at about twenty weeks in section: two planes of the brain, the profile, the lips, a near miss of each.

Frames, lengths and what a near miss is are those of `whereabouts.phantoms.fetal_planes`.
"""

import numpy as np

from whereabouts.phantoms.sonography import (
    BONE,
    BRAIN,
    BRIGHT,
    CARTILAGE,
    FLUID,
    LIVER,
    PITCH,
    RIM,
    SKIN,
    TISSUE,
    Pen,
    dots,
    within,
)
from whereabouts.phantoms.whole_heart import Space


def _head(pen: Pen, taper: float, falx: tuple[float, float], septum: bool) -> np.ndarray:
    """Paint scalp, skull, brain, the falx between two x, and the box of the cavum septi pellucidi in its front third.

    Args:
        taper: how much narrower the skull becomes towards its forehead, at +x.

    Returns:
        Signed distance to the skull.
    """
    x, y, _ = pen.space
    skull = pen._replace(space=Space(x, y * (1 + np.float32(taper) * x), pen.space.z)).ellipse((0, 0), (30, 23.5))
    pen(skull - 3, TISSUE)
    pen(skull, BRAIN)
    pen.wall(skull, 0.9, (-1, 3), 22)
    pen(pen.tube([(falx[0], 0), (falx[1], 0)], 0.45), BRIGHT)
    if septum:
        box = within(np.abs(x - 13) - 4.2, np.abs(y) - 2.2)
        pen(box - 0.5, BRIGHT)
        pen(box + 0.4, FLUID)
    return skull


def _thalami(pen: Pen) -> None:
    for side in (-1, 1):
        pen.cavity(pen.ellipse((1, 4.6 * side), (6.5, 4), 0.25 * side), CARTILAGE, (-32, 0))


def brain_cb(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """Transcerebellar: the dumb-bell of the cerebellum before the cisterna magna. Near miss: no cerebellum."""
    skull = _head(pen, 0.006, (-5, 27), septum=standard or rng.random() < 0.6)
    _thalami(pen)
    if not standard:
        pen(within(pen.ellipse((-24, 0), (9, 13)), skull + 1), (-36, 0) if rng.random() < 0.5 else FLUID)
        return
    pen(within(pen.ellipse((-23.5, 0), (5.5, 11)), skull + 1), FLUID)
    for side in (-1, 1):
        pen.cavity(pen.ellipse((-17.5, 5.4 * side), (4.6, 5.6), -0.3 * side), (-40, 0), RIM, 0.6)
    pen(pen.ellipse((-17, 0), (3, 2.4)), (-17, 0))
    pen.mark(skull)


def brain_tv(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """Transventricular: lateral ventricles with their choroid plexus. Near miss: thalami in their place, or nothing."""
    skull = _head(pen, 0.003, (-28, 28), septum=standard or rng.random() < 0.5)
    if not standard:
        if rng.random() < 0.6:
            _thalami(pen)
        return
    for side in (-1, 1):
        horn = pen.tube([(-21, 9.5 * side), (-12, 9 * side), (-2, 6.5 * side)], (3.6, 3.6, 2.0))
        pen.cavity(horn, FLUID, (-20, 0))
        pen.cavity(pen.tube([(12, 4 * side), (18, 6.5 * side)], (1.2, 2.2)), FLUID, (-24, 0))
        pen(pen.tube([(-15, 9.2 * side), (-4, 7 * side)], (2.9, 1.7)), (-15, 0))
    pen.mark(skull)


FACE = np.c_[  # skin of a face that looks up: x to the chin, y; forehead, nose, lips, chin, throat
    (-60, -44, -34, -26, -18, -11, -7, -4, -0.5, 1.5, 3, 5.8, 7.8, 10, 12.8, 17, 20.5, 24, 31, 40, 70),
    (26, 8, -2, -8, -10.5, -10, -7.5, -10, -16, -15, -9.5, -12.7, -8.5, -12, -8, -10.5, -8, 3, 3, -4, -6),
]
CHEEK = FACE[[0, 1, 2, 3, 4, 5, 15, 16, 17, 18, 19, 20]] + (0, 2)  # beside the midline, without nose and lips


def profile(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """Mid-sagittal face: forehead, nose, lips, chin. Near miss: beside the midline, through an orbit and the cheek."""
    x, y, _ = pen.space
    places = np.linspace(-60, 70, 261)
    skin = np.interp(places, *(FACE if standard else CHEEK).T)
    slope = np.hypot(1, np.gradient(skin, places))
    face = ((np.interp(x, places, skin) - y) / np.interp(x, places, slope)).astype(np.float32)
    pen(pen.ellipse((2, -8), rng.uniform((28, 13), (40, 18))), FLUID)
    pen(within(face, y - 45), TISSUE)
    pen.wall(within(face, y - 20), 0.45, BRIGHT, 12)
    brain = within(pen.ellipse((-21, 15), (28, 23.5)), face + 3)
    pen(brain, BRAIN)
    pen.wall(brain, 0.7, (-3, 2.5), 20)
    pen(within(dots(x, y - 22 - x / 8, PITCH, 1.2), 18 - x), BONE)  # neck
    pen(pen.tube([(9, 10), (24, 14), (60, 13)], 1.8), CARTILAGE)  # throat
    if not standard:
        pen.cavity(pen.ellipse((-6, -1), (5, 5)), FLUID, (-6, 1), 0.6)  # orbit
        pen.cavity(pen.ellipse((-6, -3.5), (1.7, 1.2)), FLUID)  # lens
        pen(pen.tube([(5, 0), (16, 0), (23, 7)], 0.8), BONE)
        return
    pen(pen.tube([(-6.8, -5.8), (-3, -9.6)], 0.55), (-2, 5))  # nasal bone
    pen(pen.tube([(3.8, -7), (2.5, -2), (-1, 3)], 0.5), BONE)  # palate
    pen(pen.tube([(8, -9), (8.3, -5), (6, 3)], 0.8), FLUID)  # mouth
    pen(pen.ellipse((11, -1), (3.2, 5), -0.3), (-25, 0))  # tongue
    pen(pen.ellipse((15.4, -5), (1.1, 1.6)), (-2, 5))  # mandible
    pen.mark(within(face, np.abs(x - 2) - 20, y))


def lips(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """Coronal face: nostrils and lips. Near miss: the face with neither, with orbits, or with the nose alone."""
    pen.cavity(pen.ellipse((0, 2), (15, 20)), LIVER, SKIN, 0.5)
    pen.cavity(pen.ellipse((0, 12.5), (5.5, 4)), TISSUE, SKIN, 0.5)  # chin
    nose = pen.ellipse((0, -6.5), (6, 5))
    if standard or rng.random() < 0.3:
        pen(nose - 1, BRAIN)
        pen.cavity(nose, (-26, 0), RIM, 0.6)
    if not standard:
        for side in (-1, 1) if rng.random() < 0.6 else ():
            pen.cavity(pen.ellipse((7.5 * side, -8), (4.6, 4)), FLUID, (-8, 1.5), 0.6)  # orbits
        return
    for side in (-1, 1):
        pen(pen.ellipse((2.6 * side, -4.4), (1.7, 1.2), 0.4 * side), FLUID)  # nostrils
    upper = pen.tube([(-8.5, 3), (-3.2, 0.6), (0, 1.8), (3.2, 0.6), (8.5, 3)], (0.8, 2.1, 1.6, 2.1, 0.8))
    lower = pen.tube([(-6.5, 5.6), (0, 7.2), (6.5, 5.6)], (0.8, 2.1, 0.8))
    pen(np.minimum(upper, lower) - 1.2, CARTILAGE)
    for lip in (upper, lower):
        pen.cavity(lip, (-22, 0), BRIGHT, 0.5)
    pen(pen.tube([(-9, 3.8), (0, 4.4), (9, 3.8)], 0.7), FLUID)  # mouth
    for part in (nose, upper, lower):
        pen.mark(part)
