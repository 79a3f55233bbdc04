"""Synthetic organs of the upper abdomen, in three dimensions: their shapes, and how these vary between patients.

Lengths in mm in the body's frame: x to its left, y to its back, z to its head; the origin lies in the midline, in the
middle of the body, at about the second lumbar vertebra. Every shape is a signed distance, negative within. Sizes are
those of a slim adult, whom `abdomen` scales to others. No shape is a patient's.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from whereabouts.phantoms.whole_heart import Space

# Centrelines: of the pancreas from head to tail; of the stomach, whose outlet lies at the pancreas's head as the whole
# duodenum does, drawn from there; of the rest of the duodenum, between aorta and mesenteric artery; and of the colon.
PANCREAS = np.array(
    [(-33, -15, -42), (-30, -21, -22), (-11, -33, -7), (14, -31, 5), (42, -13, 13), (66, 8, 22), (80, 17, 28)]
)
GIRTH = np.array([13, 15, 9, 11, 12, 11, 7.5])  # radii of the pancreas there
STOMACH = np.array([(42, 12, 62), (48, -8, 46), (52, -36, 16), (36, -48, -8), (8, -52, -16)])
DUODENUM = np.array([(2, -24, 30), (-10, -12, 24), (-21, -2, 4), (-20, 4, -22), (-6, 6, -36)])
CROSSING = np.array([(8, -19, -36), (30, -16, -22), (38, -28, -14)])
COLON = np.array(
    [
        *((-92, 14, -130), (-92, 6, -70), (-86, -14, -42), (-58, -46, -56), (-12, -58, -72)),
        *((42, -54, -56), (78, -32, -12), (97, -4, 12), (103, 14, -24), (100, 18, -130)),
    ]
)
AORTA = np.array([(4, 4, 140), (5, 1, 60), (6, 0, 0), (4, -1, -70), (2, 0, -140)])
CAVA = np.array([(-18, -4, 140), (-21, 0, 60), (-21, 3, 10), (-20, 4, -60), (-18, 5, -140)])
MESENTERIC = np.array([(6, -4, 4), (5, -18, -2), (3, -24, -20), (0, -27, -140)])  # artery
COELIAC = np.array([(6, -4, 24), (6, -20, 26), (-14, -22, 32), (-34, -22, 40)])
UNCINATE = np.array([(2, 0, -2), (14, 2, -6), (2, 15, -24)])  # process of the pancreas, from its head and its neck
BEHIND = np.array([(-2, 10, -140), (-2, 11, -14), (-4, 11, 0)])  # mesenteric vein, from the pancreas's neck
PORTA = np.array([(-30, -20, 30), (-46, -20, 44)])  # the portal vein's end, in the liver
KIDNEYS = np.array([(-55, 33, -38), (53, 32, -24)])  # middle of the right and of the left one
SPLEEN, GALLBLADDER = np.array([86, 20, 40]), np.array([-50, -42, -24])
VISCERA = np.array([22, 32, -62])  # middle of what hollows the liver from below
BOXES = np.array([[(8, -58, -115), (94, 24, 14)], [(-80, -60, -115), (10, -18, -50)]])  # jejunum's and ileum's corners
COILS, NODES = 26, 36  # of small bowel, and points along each


class Solid(NamedTuple):
    """An ellipsoid: its middle, (3,), unit vectors in the rows of `axes`, (3, 3), and half-lengths along them, (3,)."""

    centre: np.ndarray
    axes: np.ndarray
    radii: np.ndarray


class Gut(NamedTuple):
    """A tube: its centreline, (n, 3), and radii there, (n,)."""

    line: np.ndarray
    radii: np.ndarray


class Bowel(NamedTuple):
    """Coils of small bowel.

    Args:
        points: (COILS * NODES, 3) along the centrelines, one coil after another.
        radii: (COILS,) of the coils.
        filled: (COILS,) from 0, collapsed, to 1.
    """

    points: np.ndarray
    radii: np.ndarray
    filled: np.ndarray

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Bowel":
        """Coils that wander through the left side of the belly, two in three, or through its right side."""
        lines = []
        for coil in range(COILS):
            low, high = BOXES[int(coil % 3 == 0)]
            place, heading, nodes = rng.uniform(low, high), rng.normal(size=3), []
            for step in rng.normal(size=(7, 3)):
                nodes.append(place + 0.5 * step)
                heading = 0.4 * heading + step
                place = np.clip(place + 24 * heading / np.linalg.norm(heading), low, high)
            lines.append(bend(np.array(nodes), np.ones(7), NODES).line)
        return cls(np.concatenate(lines), rng.uniform(8, 15, COILS), rng.choice([0, 0.3, 0.7, 1], COILS))

    def distance(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance to the coils, halfway between which there is a surface, and the nearest coil; both (n,).

        Args:
            places: (n, 3).
        """
        away, node = cKDTree(self.points).query(places, k=10, distance_upper_bound=20)
        coil, order = np.divmod(np.minimum(node, len(self.points) - 1), NODES)  # far away the distance is infinite
        surface = away - self.radii[coil]  # (n, 10)
        alien = (coil != coil[:, :1]) | (np.abs(order - order[:, :1]) > 7)  # another coil, or this one's other limb
        other = np.where(alien, surface, 1e3).min(1)
        return np.maximum(surface[:, 0], (surface[:, 0] - other) / 2), coil[:, 0]


@dataclass(frozen=True)
class Organs:
    """Shapes of one patient's organs.

    Args:
        pancreas: from head to tail; `flat`: its thickness from front to back as a part of its height.
        uncinate: the process of its head that hooks behind the mesenteric vein.
        stomach, duodenum, colon: from their upper end on.
        walls: thickness of the stomach's wall, and what a tumour or a fold at `tumour`, (3,), adds to it.
        bowel: the small one.
        viscera: what hollows the liver from below; `liver`: how far its left lobe reaches to the left, and how low it
            reaches on the right.
        spleen, kidneys, gallbladder: kidneys are right and left.
        domes: level of the diaphragm's middle, and how much higher it is on the right and on the left.
    """

    pancreas: Gut
    flat: float
    uncinate: Gut
    stomach: Gut
    duodenum: Gut
    colon: Gut
    walls: tuple[float, float]
    tumour: np.ndarray
    bowel: Bowel
    viscera: Solid
    liver: tuple[float, float]
    spleen: Solid
    kidneys: tuple[Solid, Solid]
    gallbladder: Solid
    domes: tuple[float, float, float]

    @classmethod
    def sample(
        cls, rng: np.random.Generator, plump: tuple[float, float], arch: float, full: tuple[float, float]
    ) -> "Organs":
        """Organs of a patient.

        Args:
            rng: source of randomness.
            plump: range of the pancreas's thickness (1: as drawn for the average adult).
            arch: how far the pancreas's body lies above its average place, on average, mm.
            full: range of the stomach's width (1: as drawn).
        """
        pancreas = _sample_pancreas(rng, plump, arch)
        head, neck = pancreas.line[0], pancreas.line[5]
        uncinate = np.stack([head, head, neck]) + UNCINATE
        stomach = np.concatenate([STOMACH + rng.normal(0, (6, 5, 7), STOMACH.shape), [head + DUODENUM[0]]])
        duodenum = np.concatenate([head + DUODENUM, CROSSING + head * (0, 0, 1)])
        sag = rng.normal(0, (0, 4, 12)) * np.sin(np.linspace(0, np.pi, len(COLON)))[:, None]
        kidneys = KIDNEYS + rng.normal(0, (3, 3, 9), (2, 3))
        sizes = np.clip(rng.normal(1, 0.04), 0.92, 1.08) * np.clip(rng.normal(1, 0.04, (2, 3)), 0.92, 1.08)
        spleen = np.clip(rng.normal(1, 0.07), 0.86, 1.14) * np.clip(rng.normal(1, 0.05, 3), 0.9, 1.1)
        bile = rng.uniform(8, (15, 15, 28))
        return cls(
            pancreas=pancreas,
            flat=rng.uniform(0.7, 0.95),
            uncinate=Gut(uncinate, pancreas.radii[0] * np.array([0.8, 0.75, 0.4])),
            stomach=bend(stomach, np.append(rng.uniform(*full) * np.array([29, 32, 28, 24, 19]), 7), 12),
            duodenum=bend(duodenum, np.full(len(duodenum), rng.uniform(8, 12)), 14),
            colon=bend(COLON + sag + rng.normal(0, (3, 4, 6), COLON.shape), rng.uniform(11, 19, len(COLON)), 24),
            walls=(rng.uniform(2.5, 4.5), rng.uniform(0, 9)),
            tumour=stomach[rng.integers(2, 5)] + rng.normal(0, 10, 3),
            bowel=Bowel.sample(rng),
            viscera=Solid(VISCERA + rng.normal(0, (6, 5, 8)), _turn(rng, (0, 0, 0), 5), rng.normal((92, 88, 112), 5)),
            liver=(rng.normal(34, 10), rng.normal(-78, 10)),
            spleen=Solid(SPLEEN + rng.normal(0, (2, 4, 6)), _turn(rng, (12, 20, 5), 8), spleen * (34, 50, 64)),
            kidneys=tuple(
                Solid(centre, _turn(rng, (-8, side * -10, side * 25), 7), size * (27, 25, 55))
                for centre, size, side in zip(kidneys, sizes, (-1, 1), strict=True)
            ),
            gallbladder=Solid(GALLBLADDER + rng.normal(0, 6, 3), _turn(rng, (30, 0, 0), 10), bile),
            domes=(rng.normal(58, 4), rng.uniform(20, 32), rng.uniform(10, 22)),
        )

    def distances(self, space: Space, cavity: np.ndarray, rough: np.ndarray) -> dict[str, np.ndarray]:
        """Signed distance to each organ, and to the whole space below the diaphragm.

        Args:
            space: where the voxels are.
            cavity: signed distance there to what the wall of chest and belly encloses.
            rough: how rough the pancreas's lobules make its surface there, mm.
        """
        x, y, z = space
        level, right, left = self.domes
        dome = level + right * np.exp(-(((x + 55) / 55) ** 2) - ((y + 5) / 70) ** 2)
        dome += left * np.exp(-(((x - 62) / 45) ** 2) - ((y - 5) / 60) ** 2)
        diaphragm = np.maximum(z - dome + 52 * np.clip(1 + cavity / 24, 0, 1.2) ** 2, cavity)
        inside = diaphragm + 2
        kidneys = np.minimum(*(space.ellipsoid(*kidney) for kidney in self.kidneys))
        sinus = np.minimum(*(space.ellipsoid(*hilum(kidney)) for kidney in self.kidneys))
        stomach = np.maximum(self._stomach(space), inside)
        lobes = 0.85 * (x - self.liver[0]) + 0.2 * (y + 40) - 0.5 * (z - 40)
        lobes = meet(meet(lobes, self.liver[1] - z, 40), -space.ellipsoid(*self.viscera), 14)
        liver = np.maximum(meet(lobes, inside, 8), np.maximum(2 - kidneys, 1.5 - stomach))
        spleen = np.maximum(meet(space.ellipsoid(*self.spleen), inside, 5), np.maximum(2.5 - stomach, 2 - kidneys))
        tall = np.array([1, self.flat**-0.5, self.flat**0.5])  # squeezed like this, the pancreas is round
        squeezed = Space(*(place * np.float32(part) for place, part in zip(space, tall, strict=True)))
        pancreas = np.minimum(*(squeezed.tube(tube.line * tall, tube.radii) for tube in (self.pancreas, self.uncinate)))
        return {
            "diaphragm": diaphragm,
            "kidneys": kidneys,
            "sinus": sinus,
            "stomach": stomach,
            "liver": liver,
            "spleen": spleen,
            "gallbladder": space.ellipsoid(*self.gallbladder),
            "pancreas": pancreas + rough,
            "duodenum": np.maximum(space.tube(*self.duodenum), inside),
            "colon": np.maximum(space.tube(*self.colon), inside),
        }

    def vessels(self, space: Space) -> dict[str, np.ndarray]:
        """Signed distance to arteries, to the portal vein with what it drains, and to the vena cava with its own."""
        arteries = [space.tube(AORTA, 10), space.tube(MESENTERIC, 4), space.tube(COELIAC, 3.2)]
        line, radii = (part[5:] for part in self.pancreas)
        splenic = line + np.stack([0 * radii, 0.8 * radii + 2, 0 * radii + 2], 1)  # behind the pancreas
        portal = np.concatenate([np.stack([line[0] * (1, 1, 0), line[0], line[0]]) + BEHIND, PORTA])
        renal = [np.stack([(8 * np.sign(k.centre[0]), 2, k.centre[2]), hilum(k).centre]) for k in self.kidneys]
        return {
            "artery": np.minimum.reduce(arteries),
            "portal": np.minimum(space.tube(splenic, 4), space.tube(portal, 6.5)),
            "cava": np.minimum.reduce([space.tube(CAVA, 10.5), *(space.tube(vein, 4.5) for vein in renal)]),
        }

    def _stomach(self, space: Space) -> np.ndarray:
        """Signed distance to the stomach, which lies before the pancreas and left of the spine."""
        x, y, z = space
        line = self.pancreas.line[np.argsort(self.pancreas.line[:, 0])].astype(np.float32)
        front, top = (np.interp(x, line[:, 0], line[:, axis]).astype(np.float32) for axis in (1, 2))
        sac = y - front + 9 - 0.8 * np.clip(z - top, 0, 60)
        return meet(meet(space.tube(*self.stomach), sac, 16), 0.7 * (y - x + 20), 16)


def meet(first: np.ndarray, second: np.ndarray, width: float) -> np.ndarray:
    """Signed distance to what two shapes share, its edge rounded where they are less than `width` apart."""
    return np.maximum(first, second) + np.maximum(width - np.abs(first - second), 0) ** 2 / (4 * width)


def hilum(kidney: Solid) -> Solid:
    """The hollow of a kidney, which opens to the middle of the body."""
    inwards = -np.sign(kidney.centre[0]) * kidney.axes[0]
    return Solid(kidney.centre + 0.62 * kidney.radii[0] * inwards, kidney.axes, kidney.radii * (0.58, 0.32, 0.38))


def bend(line: np.ndarray, radii: np.ndarray, points: int) -> Gut:
    """A tube, of `points` points, that bends smoothly through the `line`, (n, 3), of `radii`, (n,)."""
    chord = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    dense = np.linspace(0, chord[-1], points)
    return Gut(CubicSpline(chord, line)(dense), np.interp(dense, chord, radii))


def _turn(rng: np.random.Generator, mean: tuple[float, float, float], spread: float) -> np.ndarray:
    """(3, 3) rows: axes that are turned about x, y and z by about `mean` degrees."""
    return Rotation.from_euler("xyz", mean + rng.normal(0, spread, 3), degrees=True).as_matrix().T


def _sample_pancreas(rng: np.random.Generator, plump: tuple[float, float], arch: float) -> Gut:
    """A pancreas of any place, tilt, arch, length and girth: of all organs it varies most."""
    part = np.linspace(0, 1, len(PANCREAS))[:, None]  # from head to tail
    line = PANCREAS + rng.uniform(-1, 1, 3) * (8, 5, 13)
    line += part * rng.uniform(-1, 1, 3) * (9, 10, 22) + (1 - part) * rng.uniform(-1, 1, 3) * (6, 5, 11)
    line += np.sin(np.pi * part) * (0, rng.uniform(-6, 6), arch + rng.uniform(-14, 14))
    line += rng.normal(0, (1.5, 2.5, 3.5), line.shape)
    reach = np.clip(line[-1, 0] * rng.uniform(0.85, 1.15), 62, 82) - line[2, 0]  # to the spleen
    line[3:] = line[2] + (line[3:] - line[2]) * reach / (line[-1, 0] - line[2, 0])
    return bend(line, GIRTH * rng.uniform(*plump) * np.clip(rng.normal(1, 0.12, len(GIRTH)), 0.75, 1.25), 14)
