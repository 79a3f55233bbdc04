"""The chest around a synthetic heart, in three dimensions: lungs, liver, bones, and what lies between them.

Lengths in mm in the body's frame of `whereabouts.phantoms.whole_heart`. (`thorax` is a chest as a radiograph projects
it.)
"""

from dataclasses import dataclass

import numpy as np

from whereabouts.phantoms import whole_heart
from whereabouts.phantoms.whole_heart import Heart, Pen, Space, Tissue


@dataclass(frozen=True)
class Chest:
    """What surrounds a heart.

    Args:
        spine: x and y of the middle of the vertebral bodies; `sternum`: x and y of the breastbone.
        half: half the width of the cavity of the chest.
        fat, muscle: thickness of the fat below the skin, and of muscle and ribs below that.
        domes: level (z) of the diaphragm below the heart, and how much higher it is on the right and on the left.
        mediastinum: thickness of the fat around the heart.
        phase: of vertebrae and ribs along z, part of their distance.
    """

    spine: tuple[float, float]
    sternum: tuple[float, float]
    half: float
    fat: float
    muscle: float
    domes: tuple[float, float, float]
    mediastinum: float
    phase: float

    @classmethod
    def sample(cls, heart: Heart, rng: np.random.Generator) -> "Chest":
        """A chest, slim to stout, in which `heart` has room."""
        _, front, floor = heart.extent()[0].tolist()
        atrium, _, half = heart.ellipsoids["left atrium"]
        return cls(
            spine=(rng.normal(-2, 3), float(atrium[1] + half[1]) + rng.uniform(38, 43)),
            sternum=(rng.normal(0, 3), front - rng.uniform(11, 16)),
            half=rng.normal(130, 6),
            fat=rng.uniform(8, 28),
            muscle=rng.uniform(16, 24),
            domes=(floor - rng.uniform(-2, 8), rng.uniform(18, 38), rng.uniform(0, 22)),
            mediastinum=rng.uniform(2, 7),
            phase=rng.uniform(0, 1),
        )


def paint(
    image: np.ndarray, space: Space, heart: Heart, chest: Chest, tissue: Tissue, fields: np.ndarray, edge: float
) -> np.ndarray:
    """Paint a heart in its chest over `image`, in place.

    Args:
        image: float32.
        space: where its voxels are.
        fields: (3, *image.shape) smooth, of unit variance: texture, and two whose common zeros are the lungs' vessels.
        edge: width of a soft edge, mm.

    Returns:
        Labels, int16, of the shape of `image`.
    """
    pen, distances = Pen(image, fields[0], tissue, edge), heart.distances(space)
    _paint_chest(pen, heart, chest, space, distances, fields[1:])
    whole_heart.paint(pen, heart, space, distances)
    return whole_heart.label(distances)


def _paint_chest(pen: Pen, heart: Heart, chest: Chest, space: Space, distances: dict, vessels: np.ndarray) -> None:
    """Everything up to the fat around the heart, in place."""
    x, y, z = space
    tissue = pen.tissue
    (spine, back), (sternum, front) = chest.spine, chest.sternum
    middle, deep = (back + 12 + front + 8) / 2, (back + 12 - front - 8) / 2
    radius = np.sqrt(np.sqrt((x / chest.half) ** 4 + np.abs((y - middle) / deep) ** 4) + 1e-6)
    cavity = (radius - 1) * deep  # distance to what the ribs enclose
    pen.image[...] = tissue.air
    pen(cavity - chest.muscle - chest.fat, tissue.fat)
    streaks = 3.5 * vessels[0]  # fat between muscles
    pen(np.maximum(cavity - chest.muscle - streaks, streaks - 4), tissue.muscle)
    rib = np.abs((z / 27 - 0.6 * y / 27 + chest.phase) % 1 - 0.5) * 27  # ribs descend to the front
    rib = np.maximum(np.hypot((cavity - 7) * 1.3, rib) - 6, 12 - np.abs(x))
    pen(rib, tissue.cortex)
    pen(rib + 2.5, tissue.marrow)
    pen(cavity, tissue.lung, 0.7)
    near = np.exp(-(((np.abs(x) - 35) / 55) ** 2) - ((z - 25) / 60) ** 2)
    pen(5 * (np.hypot(*vessels) - 0.16 - 0.3 * near), tissue.left, 0)
    floor, right, left = chest.domes
    dome = right * np.exp(-(((x + 70) / 60) ** 2) - ((y - 5) / 75) ** 2)
    dome += left * np.exp(-(((x - 80) / 45) ** 2) - ((y - 25) / 60) ** 2)
    below = np.maximum(z - floor - dome + 30 * np.clip(1 + cavity / 30, 0, 2), cavity)
    pen(below, tissue.liver)
    pen(np.maximum(below + 4, 30 - x + 0.2 * y), (tissue.fat + tissue.liver) / 2, 6)  # stomach, spleen and bowel
    wedge = space.ellipsoid((sternum, front + 22, 65), np.eye(3), (20, 24, 75))
    body = np.hypot((x - spine) / 1.25, y - back) - 15
    aorta = space.tube(heart.arch, 12.0)
    gullet = np.hypot(x - 5, y - (back - 33)) - 6
    windpipe = space.tube(np.array([(0, 36, 200), (0, 38, 74)]), 9.0)
    for end in ((-34, 42, 50), (42, 46, 46)):  # main bronchi
        windpipe = np.minimum(windpipe, space.tube(np.array([(0, 38, 74), end]), np.array([7.0, 5.0])))
    soft = [wedge, body, aorta, gullet, windpipe, distances["left ventricle"], *distances.values()]
    surface = -7 * np.log(sum(np.exp(np.maximum(-d / 7, -20)) for d in soft))  # a smooth minimum fills the grooves
    pen(np.maximum(surface - chest.mediastinum, cavity - 4), tissue.fat)
    _paint_spine(pen, chest, space, body)
    bone = np.maximum(np.hypot((x - sternum) / 2.6, y - front) - 6, floor + 12 - z)
    pen(bone, tissue.cortex)
    pen(bone + 2, tissue.marrow)
    pen(gullet, tissue.muscle)
    pen(windpipe - 1.5, tissue.muscle)
    pen(windpipe, tissue.air, 0)


def _paint_spine(pen: Pen, chest: Chest, space: Space, body: np.ndarray) -> None:
    """Vertebrae (`body` is the distance to the column of their bodies), the muscles beside them, and the canal."""
    x, y, z = space
    x, y = x - np.float32(chest.spine[0]), y - np.float32(chest.spine[1])
    pen(np.hypot((np.abs(x) - 28) / 1.4, y - 30) - 15, pen.tissue.muscle)
    pen(body, pen.tissue.muscle)  # discs
    between = np.abs((z / 25 + chest.phase) % 1 - 0.5) * 25 - 9  # vertebrae
    around = np.hypot(x, y - 24)  # the canal
    process = np.hypot(x / 0.4, (y - 48) / 1.6) - 9
    bones = np.maximum(np.minimum(np.minimum(body, process), np.abs(around - 11) - 3), between)
    pen(bones, pen.tissue.cortex)
    pen(bones + 2, pen.tissue.marrow)
    pen(around - 8, pen.tissue.muscle)
