"""Fetal anatomy at about twenty weeks in section: thirteen standard planes, a near miss of each, and what else is seen.

Lengths in mm in the section's own frame, whose origin lies in the middle of what defines the plane. A plane is drawn as
the standard asks, and what defines it is marked; or as a near miss, the same anatomy without that. No shape is a
patient's. Tissues are those of `whereabouts.phantoms.sonography`.
"""

import numpy as np

from whereabouts.phantoms.fetal_head import brain_cb, brain_tv, lips, profile
from whereabouts.phantoms.sonography import (
    BLOOD,
    BONE,
    BRIGHT,
    CARTILAGE,
    DENSE,
    FLUID,
    LIVER,
    LUNG,
    MUSCLE,
    PITCH,
    RIM,
    SKIN,
    TISSUE,
    Pen,
    dots,
    within,
)

# Trunk and thigh


def _trunk(pen: Pen, radii: tuple[float, float], content: tuple[float, float], ribs: float) -> np.ndarray:
    """Paint skin, muscle, ribs, the vertebra at +y, and the aorta before it.

    Args:
        ribs: how far they reach around the trunk, radians from the spine.

    Returns:
        Signed distance to the skin.
    """
    x, y, _ = pen.space
    back = radii[1]
    skin = pen.ellipse((0, 0), radii)
    pen.cavity(skin, content, SKIN, 0.6)
    pen(np.abs(skin + 1.8) - 1.7, MUSCLE)
    angle = np.arctan2(np.abs(x), y)
    pen.wall(np.where((angle > 0.5) & (angle < ribs), skin + 2.6, np.float32(9)), 0.6, (-4, 3))
    pen(pen.ellipse((0, back - 6), (5.5, 6)), (-26, 1))
    pen(pen.ellipse((0, back - 8.5), (2.3, 1.6)), (-3, 7))
    for side in (-1, 1):
        pen(pen.tube([(3.2 * side, back - 5), (1.8 * side, back - 2.6)], 0.7), (-4, 6))
    pen(pen.ellipse((0, back - 5.2), (1.8, 1.5)), CARTILAGE)
    pen.cavity(pen.ellipse((-2.2, back - 13), (1.7, 1.7)), BLOOD)
    return skin


def abdominal(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """Abdominal circle: stomach, and umbilical vein in the liver. Near miss: one or neither, and maybe the bladder."""
    skin = _trunk(pen, (24, 22.5), LIVER, 1.9)
    pen.cavity(pen.ellipse((3.6, 7), (1.6, 1.4)), BLOOD)  # inferior vena cava
    kept = rng.integers(4)  # of a near miss
    stomach, vein = standard or kept == 0, standard or kept == 1
    if stomach:
        pen.cavity(pen.ellipse((-11, 1.5), rng.uniform((5.5, 4), (8, 5.5)), rng.uniform(0.8, 1.8)), FLUID)
    if vein:
        pen.cavity(pen.tube([(0.5, -12), (1, -5.5), (4, -1.5), (9, -1)], (2, 2.3, 2.7, 1.7)), BLOOD)
    elif rng.random() < 0.4:
        pen.cavity(pen.ellipse((0, -11), (4.2, 3.4)), FLUID)
    if standard:
        pen.mark(skin)


def kidneys(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """Both kidneys beside the spine. Near miss: the same abdomen with one of them or none."""
    _trunk(pen, (24, 22.5), LIVER, 1.2)
    for turn in rng.uniform(0, 6.3, 4):  # bowel
        loop = pen.ellipse((9 * np.cos(turn), -8 + 5 * np.sin(turn)), rng.uniform(2, 4, 2))
        pen(loop, (rng.uniform(-36, -26), 0))
    kept = rng.integers(-2, 2)  # side of a near miss's only kidney, if at all
    for side in (-1, 1):
        if standard or side == kept:
            kidney = pen.ellipse((9.8 * side, 9.6), rng.uniform((6, 5), (7.2, 6)), 0.5 * side)
            pen.cavity(kidney, CARTILAGE, RIM, 0.6)
            pen(pen.ellipse((8.8 * side, 9), (2.6, 2), 0.5 * side), (-27, 0))
            pen(pen.ellipse((8.2 * side, 9), rng.uniform((1.2, 0.8), (2.2, 1.4)), 0.5 * side), FLUID)  # pelvis
            if standard:
                pen.mark(kidney)


def femur(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """The whole shaft of the femur. Near miss: a shaft cut short, or the two bones of a lower leg or forearm."""
    thigh = pen.tube([(-24, -1), (0, 0), (22, 1)], (12, 10, 7.5))
    pen.cavity(thigh, MUSCLE, SKIN, 0.8)
    pen(thigh + 3.5, (-40, 0))
    if standard:
        for end in (-18.5, 18.5):
            pen(pen.ellipse((end, 1.5), (2.6, 3)), CARTILAGE)
        shaft = pen.tube([(-16, 1), (-8, -0.4), (0, -0.8), (8, -0.4), (16, 1)], (1.6, 1.1, 1, 1.1, 1.6))
        pen.mark(shaft)
    elif rng.random() < 0.5:
        middle, half = rng.uniform(-8, 8), rng.uniform(2.5, 7)
        shaft = pen.tube([(middle - half, 0), (middle + half, 0)], 1.1)
    else:
        gap = rng.uniform(2.5, 4)
        shaft = np.minimum(pen.tube([(-13, -gap), (12, -gap)], 1.1), pen.tube([(-12, gap), (12, gap)], 0.8))
    pen(shaft, DENSE)


# Spine: head at -x


def spine_cor(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """Coronal: two parallel rows of dots that meet at the sacrum. Near miss: a few of them, or one row of ribs."""
    x, y, _ = pen.space
    aside = np.abs(y)
    pen.cavity(pen.tube([(-34, 0), (0, 0), (34, 0)], (19, 17, 13)), TISSUE, SKIN, 0.7)
    rib = np.abs(np.mod((x - 0.35 * aside) / PITCH, 1) - 0.5) * PITCH - 0.55
    pen(within(rib, 6 - aside, aside - 15, x - 6), (-11, 2.5))
    half = 3.4 - 2.6 * np.clip((x - 18) / 18, 0, 1) + 0.5 * np.exp(-(((x + 30) / 8) ** 2))
    length = 35 if standard else float(rng.choice((0, 7, 11)))
    ends = np.abs(x) - length
    pen(within(aside - half, ends), (-38, 0))
    pen(within(dots(x, aside - half, PITCH, 1.35), ends), (-1, 5))
    if standard:
        pen.mark(within(aside - half - 1.4, ends))
    elif length == 0:
        pen(within(dots(x, y + 3, PITCH, 1.2), x - 6), BONE)


def spine_sag(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """Sagittal: a curved row of vertebrae and of their arches below the skin. Near miss: a few, or one row of ribs."""
    x, y, _ = pen.space
    bend, lift = rng.uniform(0.002, 0.006), rng.uniform(0.015, 0.03)
    y = (y + bend * (400 - x**2) + lift * np.maximum(0, x - 12) ** 2).astype(np.float32)  # up to the sacrum
    pen.wall(within(-y - 9, y - 60), 0.6, BRIGHT)
    pen(within(-y - 9, y - 24), TISSUE)
    length = 36 if standard else float(rng.choice((0, 7, 11)))
    ends, taper = np.abs(x) - length, 1 - 0.7 * np.clip((x - 20) / 16, 0, 1)
    pen(within(np.abs(y) - 2 * taper, ends), CARTILAGE)  # canal
    body = within(np.abs(np.mod(x / PITCH, 1) - 0.5) * PITCH - 1.35, np.abs(y - 3.6 * taper) - 1.3)
    pen(within(body, ends), (-1, 5))
    pen(within(dots(x, y + 3.2 * taper, PITCH, 0.95), ends), (-4, 3))
    if standard:
        pen.mark(within(y - 5.2 * taper, -y - 4.4 * taper, ends))
    elif length == 0:
        pen(dots(x, y - 1, 1.5 * PITCH, 1.7), (0, 6))


# Chest


def _heart(pen: Pen, rng: np.random.Generator) -> tuple[Pen, np.ndarray]:
    """Paint chest and myocardium; a pen in the heart's frame, apex at +x, right ventricle at -y; and the pericardium.

    Its apex points to the front and to the left.
    """
    _trunk(pen, (22, 21), LUNG, 2.5)
    heart = pen.placed((-3.5, -3.5), 1.25 * np.pi + rng.normal(0, 0.15), size=1.15, reach=14)
    outside = heart.ellipse((0, 0), (11.5, 9))
    heart.cavity(outside, (-35, 0), SKIN, 0.5)
    return heart, outside


def four_chambers(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """Four chambers and the cross of septa and valves. Near miss: no heart, or its ventricles cut across."""
    if not standard and rng.random() < 0.4:
        _trunk(pen, (22, 21), LUNG, 2.5)
        return
    heart, outside = _heart(pen, rng)
    if not standard:
        heart.cavity(heart.ellipse((0, 3.4), (3.4, 3.2)), BLOOD)
        heart.cavity(heart.ellipse((0.5, -4.2), (4.6, 2.2)), BLOOD)
        return
    for side, length in ((1, 6.2), (-1, 5.6)):
        heart.cavity(heart.ellipse((4, 3.4 * side), (length, 2.8)), BLOOD)
        heart.cavity(heart.ellipse((-6, 3.5 * side), (3.6, 2.9)), BLOOD)
    heart(heart.tube([(6.5, -4.8), (8, -1)], 0.6), (-26, 0))  # moderator band
    heart(heart.tube([(-2.2, -6.5), (-2.2, 6.5)], 0.5), RIM)  # valves
    for septum in ([(-4, 0), (10, 0)], [(-9.5, 0), (-7.5, 0)]):  # open between the atria
        heart(heart.tube(septum, 0.65), SKIN)
    heart.mark(outside)


def left_outflow(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """The aorta leaves the left ventricle. Near miss: both ventricles, no vessel."""
    heart, outside = _heart(pen, rng)
    heart.cavity(heart.ellipse((4, -4.8), (5.8, 2.3), 0.1), BLOOD)
    heart.cavity(heart.ellipse((3.5, 2), (6.8, 3.0), 0.15), BLOOD)
    if standard:
        heart.cavity(heart.ellipse((-5.5, 5), (3.2, 2.5)), BLOOD)
        aorta = heart.tube([(0, 0.8), (-5, -1.2), (-10, -5)], (1.9, 2.1, 1.8))
        heart.cavity(aorta, BLOOD, BRIGHT, 0.5)
        heart(heart.tube([(0, 1.4), (4, 2)], 1.8), BLOOD)
        heart.mark(np.minimum(outside, aorta))


def right_outflow(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """The pulmonary artery leaves the right ventricle and crosses the aorta. Near miss: both ventricles, no vessel."""
    heart, outside = _heart(pen, rng)
    heart.cavity(heart.ellipse((3.5, -4.2), (6.2, 3.0), -0.1), BLOOD)
    heart.cavity(heart.ellipse((5, 3.6), (4.4, 2.2)), BLOOD)
    if standard:
        trunk = heart.tube([(0, -5), (-5, -4.6), (-9.5, 0), (-11, 5)], (2, 2.1, 2, 1.6))
        heart.cavity(trunk, BLOOD, BRIGHT, 0.5)
        heart(heart.tube([(0, -5), (4, -4.5)], 1.9), BLOOD)
        heart.cavity(heart.ellipse((-4.4, 0.6), (2.2, 2.1)), BLOOD, BRIGHT, 0.5)  # aorta
        heart.cavity(heart.ellipse((-6, 5.4), (1.3, 1.2)), BLOOD)  # superior vena cava
        heart.mark(np.minimum(outside, trunk))


def three_vessels(pen: Pen, standard: bool, rng: np.random.Generator) -> None:
    """Pulmonary artery, aorta, superior vena cava in a row, large to small. Near miss: one of the latter, or none."""
    _trunk(pen, (22, 21), LUNG, 2.5)
    chest = pen.placed((-1, -4.5), rng.normal(0.45, 0.12), reach=13)
    chest(chest.ellipse((0, -1), (10, 8)), LIVER)  # thymus, and what else is between the lungs
    trunk = chest.tube([(-4.5, -4.5), (-4.5, 0), (-2, 9)], (2.3, 2.2, 1.6))
    aorta, cava = chest.ellipse((1, -0.5), (2.1, 1.9)), chest.ellipse((5.5, 0), (1.5, 1.3))
    kept = rng.integers(3)  # of a near miss: none, the aorta, or the vena cava
    for number, vessel in enumerate((trunk, aorta, cava)):
        if standard or number == kept > 0:
            chest.cavity(vessel, BLOOD, BRIGHT, 0.5)
        if standard:
            chest.mark(vessel)


def limbs(pen: Pen, rng: np.random.Generator) -> None:
    """Arms and legs, cut across or along, and loops of cord: one vein and two arteries."""
    for place in rng.uniform(-30, 30, (rng.integers(1, 5), 2)):
        half, radius = rng.uniform((0, 4), (12, 8))
        part = pen.placed(tuple(place), rng.uniform(0, 3.2), reach=half + radius + 2)
        part.cavity(part.tube([(-half, 0), (half, 0)], radius), MUSCLE, SKIN, 0.6)
        part(part.tube([(-0.8 * half, 0), (0.8 * half, 0)], rng.uniform(0.8, 1.6)), DENSE)
    for place in rng.uniform(-30, 30, (rng.integers(0, 4), 2)):
        part = pen.placed(tuple(place), rng.uniform(0, 6.3), reach=7)
        part.cavity(part.ellipse((0, 0), (4.4, 3.6)), (-34, 0), SKIN)
        for centre, radius in (((0, -1), 1.7), ((-1.8, 1.4), 0.9), ((1.8, 1.4), 0.9)):
            part.cavity(part.ellipse(centre, (radius, radius)), BLOOD)


PLANES = {  # name: what draws it, depth of the field of view (mm) from and to, largest turn from the usual pose
    "Brain (Cb.)": (brain_cb, (72, 94), 0.5),
    "Brain (Tv.)": (brain_tv, (72, 94), 0.5),
    "Profile": (profile, (56, 78), 0.4),
    "Lips": (lips, (42, 58), 0.7),
    "Abdominal": (abdominal, (60, 82), 1.5),
    "Kidneys": (kidneys, (58, 78), 1.5),
    "Femur": (femur, (54, 80), 0.5),
    "Spine (Cor.)": (spine_cor, (70, 92), 0.4),
    "Spine (Sag.)": (spine_sag, (70, 92), 0.4),
    "4CH": (four_chambers, (48, 66), 1.5),
    "3VV": (three_vessels, (48, 66), 1.5),
    "RVOT": (right_outflow, (48, 66), 1.5),
    "LVOT": (left_outflow, (48, 66), 1.5),
}
