"""A synthetic heart with its great vessels, in three dimensions, as CT or MR angiography shows it.

Lengths in mm in the body's frame: x to its left, y to its back, z to its head; the origin lies in the midline at the
level of the mitral valve. Every shape is a signed distance, negative within. The heart's own frame has the long axis of
the left ventricle, from its base to its apex, the direction from there to the right ventricle, and the one upwards that
is perpendicular to both. Sizes are those of adults at end-diastole. No shape is a patient's.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from whereabouts.phantoms.painting import blend

LABELS = {  # of MM-WHS (Zhuang and Shen 2016)
    "left ventricle": 500,
    "right ventricle": 600,
    "left atrium": 420,
    "right atrium": 550,
    "myocardium": 205,
    "ascending aorta": 820,
    "pulmonary artery": 850,
}
POOLS = {"right ventricle": "right", "left atrium": "left", "right atrium": "right"}  # which blood fills what
POOLS |= {"ascending aorta": "left", "pulmonary artery": "right"}
VALVES = {("right ventricle", "right atrium"), ("right ventricle", "pulmonary artery")}  # between two of `POOLS`

BASE = np.array([15.0, 0.0, 0.0])  # middle of the left ventricle's base
LONG, SEPTAL = np.array([0.66, -0.58, -0.48]), np.array([-0.66, -0.75, 0])  # directions of the average heart
ASCENDING = np.array([(6, -12, 17), (-4, -17, 34), (-10, -15, 54), (-9, -8, 72), (-1, 8, 88)])  # aorta, from its valve
ARCH = np.array([(12, 31, 93), (21, 53, 84), (23, 64, 62), (22, 67, 20), (16, 67, -130)])  # and from there on
TRUNK = np.array([(17, -32, 41), (20, -16, 53), (17, 1, 60)])  # of the pulmonary artery, from its valve
BRANCHES = np.array([((17, 1, 60), (-4, 13, 60), (-20, 15, 58)), ((17, 1, 60), (33, 13, 64), (44, 25, 62))])
HILA = np.array([(-62, 22, 42), (68, 42, 40)])  # where these branches reach the lungs
VEINS = np.array([((0.6, -0.1, 0.5), (60, -14, 26)), ((0.6, 0.3, -0.3), (58, 16, -8))])  # from the left atrium


class Space(NamedTuple):
    """Where voxels are: x, y and z (mm), float32 arrays of one shape."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    def along(self, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
        """Position along `direction`, (3,), from `origin`, (3,), in units of the direction's reciprocal length."""
        (ox, oy, oz), (dx, dy, dz) = np.float32(origin), np.float32(direction)
        return (self.x - ox) * dx + (self.y - oy) * dy + (self.z - oz) * dz

    def ellipsoid(self, centre: np.ndarray, axes: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """Signed distance, to first order, to an ellipsoid with half-lengths `radii`, (3,), along rows of `axes`."""
        level = slope = np.float32(1e-6)
        for axis, radius in zip(axes, np.float32(radii), strict=True):
            part = self.along(centre, axis / radius) ** 2
            level, slope = level + part, slope + part / radius**2
        level = np.sqrt(level)  # 1 on the surface
        return level * (level - 1) / np.sqrt(slope)

    def tube(self, line: np.ndarray, radii: np.ndarray | float) -> np.ndarray:
        """Signed distance to a tube along the polyline `line`, (n, 3), of `radii`, one or (n,), with round ends."""
        radii = np.broadcast_to(np.float32(radii), len(line))
        nearest = np.float32(np.inf)
        for n, (start, step) in enumerate(zip(line, np.diff(line, axis=0), strict=False)):
            part = np.clip(self.along(start, step / (step @ step)), 0, 1)  # of the segment, to the nearest point
            (ox, oy, oz), (dx, dy, dz) = np.float32(start), np.float32(step)
            square = (self.x - ox - part * dx) ** 2 + (self.y - oy - part * dy) ** 2 + (self.z - oz - part * dz) ** 2
            nearest = np.minimum(nearest, np.sqrt(square) - radii[n] - part * (radii[n + 1] - radii[n]))
        return nearest


@dataclass(frozen=True)
class Heart:
    """Shape of one heart.

    Args:
        axes: (3, 3) rows: unit vectors of the heart's frame in the body's.
        scale: of all positions in the heart's frame (1: as drawn for the average adult).
        cavity: radius and length of the left ventricle's cavity; `wall`: thickness of its myocardium.
        right: (3,) half-lengths of the right ventricle's body in the heart's frame.
        atria: (2, 3) half-lengths of the left and right atrium from side to side, front to back, foot to head.
        aorta, pulmonary: radius of the ascending aorta and of the pulmonary trunk.
        top: level (z) to which the ascending aorta is labelled.
        bend: (3,) how far the middle of both great arteries strays from its average course.
    """

    axes: np.ndarray
    scale: float
    cavity: tuple[float, float]
    wall: float
    right: np.ndarray
    atria: np.ndarray
    aorta: float
    pulmonary: float
    top: float
    bend: np.ndarray

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Heart":
        """A heart, small to large, more or less upright and turned."""
        turn = Rotation.from_euler("xyz", np.clip(rng.normal(0, (5, 5, 7)), -12, 12), degrees=True)
        up = np.cross(SEPTAL, LONG)
        axes = np.stack([LONG, np.cross(LONG, up), up])  # perpendicular to each other
        axes = turn.apply(axes / np.linalg.norm(axes, axis=1, keepdims=True))
        scale = float(np.clip(rng.normal(1, 0.06), 0.87, 1.13))
        return cls(
            axes=axes,
            scale=scale,
            cavity=(scale * rng.uniform(22.5, 26.5), scale * rng.uniform(79, 89)),
            wall=float(np.clip(rng.normal(9, 1.1), 7, 12)),
            right=scale * rng.uniform((43, 26, 35), (48, 31, 40)),
            atria=scale * rng.uniform(((24, 17, 22), (21, 22, 24)), ((31, 23, 28), (27, 28, 31))),
            aorta=rng.uniform(13, 16.5),
            pulmonary=rng.uniform(11.5, 14.5),
            top=scale * rng.uniform(62, 76),
            bend=rng.normal(0, (3, 3, 0)),
        )

    def at(self, *place: float) -> np.ndarray:
        """(3,) position in the body's frame of a place in the heart's frame, which grows with the heart."""
        return BASE + self.scale * np.array(place) @ self.axes

    def vessel(self, valve: np.ndarray, course: np.ndarray) -> np.ndarray:
        """(n + 1, 3) centreline from a valve, which moves with the heart, along a `course`, whose end stays."""
        strays = np.sin(np.linspace(0.6, np.pi, len(course)))[:, None] * self.bend
        return np.concatenate([valve[None], course * (1, 1, self.scale) + strays])

    @property
    def arch(self) -> np.ndarray:
        """(n, 3) centreline of the aorta from below the end of its label on: up, over, and down along the spine."""
        return np.concatenate([self.vessel(self.at(0, 9, 6), ASCENDING)[-3:], ARCH * (1, 1, self.scale)])

    @property
    def ellipsoids(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Centre, axes and half-lengths of the chambers' bodies; "myocardium" is the outside of its wall."""
        radius, length = self.cavity
        middle, half = BASE + 0.28 * length * self.axes[0], 0.72 * length
        return {
            "left ventricle": (middle, self.axes, np.array([half, radius, radius])),
            "myocardium": (middle, self.axes, np.array([half, radius, radius]) + self.wall * np.array([0.9, 1, 1])),
            "right ventricle": (self.at(30, 36, -4), self.axes, self.right),
            "left atrium": (self.at(-26, -11, -2), np.eye(3), self.atria[0]),
            "right atrium": (self.at(-31, 32, -13), np.eye(3), self.atria[1]),
        }

    def extent(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest x, y and z, each (3,), of what is labelled, up to the warp of the tissues."""
        reach = [
            (centre, np.linalg.norm(radii[:, None] * axes, axis=0)) for centre, axes, radii in self.ellipsoids.values()
        ]
        reach += [(point, np.full(3, self.pulmonary)) for point in TRUNK * (1, 1, self.scale)]
        low, high = (np.array([centre + sign * half for centre, half in reach]) for sign in (-1, 1))
        return low.min(0), np.maximum(high.max(0), (-np.inf, -np.inf, self.top))

    def distances(self, space: Space) -> dict[str, np.ndarray]:
        """Signed distance to each structure of `LABELS`: the myocardium's with its cavity, the rest may overlap."""
        mitral, tricuspid, valve = self.at(-2, -9, -3), self.at(-1, 36, -9), self.at(8, 29, 36)
        found = {name: space.ellipsoid(*shape) for name, shape in self.ellipsoids.items()}
        behind = -space.along(BASE, self.axes[0])  # of the base
        keep = np.maximum(found["myocardium"], behind - 9)  # other ventricle and atrium stay off the left one's base
        for name in ("left ventricle", "myocardium"):
            found[name] = np.maximum(found[name], behind)
        outflow = space.tube(np.stack([self.at(26, 44, 12), valve]), np.array([1.35, 1]) * self.pulmonary)
        inflow = space.tube(np.stack([self.at(18, 40, -6), tricuspid]), 17 * self.scale)
        found["right ventricle"] = np.minimum(found["right ventricle"], np.minimum(outflow, inflow))
        for name, end, radius in (("left atrium", mitral, 17), ("right atrium", tricuspid, 16)):
            funnel = space.tube(np.stack([self.ellipsoids[name][0], end]), radius * self.scale)
            found[name] = np.minimum(found[name], funnel)
        for name in ("right ventricle", "right atrium"):
            found[name] = np.maximum(found[name], -keep)
        line = self.vessel(self.at(0, 9, 6), ASCENDING)
        ascending = space.tube(line, self.aorta * np.array([1.05, 1.15, 1, 1, 0.97, 0.93]))
        found["ascending aorta"] = np.maximum(ascending, space.z - self.top)
        trunk = space.tube(self.vessel(valve, TRUNK), self.pulmonary * np.array([1, 1.05, 1, 0.95]))
        arms = [space.tube(arm * (1, 1, self.scale), self.pulmonary * np.array([0.85, 0.75, 0.7])) for arm in BRANCHES]
        found["pulmonary artery"] = np.minimum(trunk, np.minimum(*arms))
        return found


class Tissue(NamedTuple):
    """Intensities of what is drawn, in the unit of the image; `texture` is the standard deviation within a tissue."""

    air: float
    lung: float
    fat: float
    muscle: float
    myocardium: float
    left: float  # blood
    right: float
    marrow: float
    cortex: float  # of bone
    liver: float
    texture: float


class Pen(NamedTuple):
    """What paints on one part of the image: its texture, the tissues, and the width of a soft edge (mm)."""

    image: np.ndarray
    texture: np.ndarray
    tissue: Tissue
    edge: float

    def __call__(self, distance: np.ndarray, value: float, texture: float = 1) -> None:
        """Paint `value` where `distance` is negative, with `texture` times that of the tissues."""
        blend(self.image, distance, value + texture * self.tissue.texture * self.texture, self.edge)


def label(distances: dict[str, np.ndarray]) -> np.ndarray:
    """Labels of MM-WHS, int16, from `Heart.distances`; where pools overlap, the surface farther away decides."""
    pools = np.stack([distances[name] for name in POOLS])
    labels = np.where(pools.min(0) < 0, np.int16([LABELS[name] for name in POOLS])[pools.argmin(0)], np.int16(0))
    for name in ("myocardium", "left ventricle"):
        labels[distances[name] < 0] = LABELS[name]
    return labels


def paint(pen: Pen, heart: Heart, space: Space, distances: dict[str, np.ndarray]) -> None:
    """Paint heart and vessels, labelled or not, over the pen's image, in place: first all walls, then the blood.

    Args:
        pen: whose image is float32.
        space: where its voxels are.
        distances: of `heart` there.
    """
    tissue = pen.tissue
    atrium, _, half = heart.ellipsoids["left atrium"]
    lines = [atrium + (side, 1, 1) * np.stack([start * half, end]) for side in (-1, 1) for start, end in VEINS]
    veins = [space.tube(line, np.array([7.5, 4.0])) for line in lines]
    arch = space.tube(heart.arch, heart.aorta * np.linspace(1, 0.75, 8))
    lines = [np.stack([BRANCHES[n, 2] * (1, 1, heart.scale), end]) for n, end in enumerate(HILA)]
    arms = [space.tube(line, heart.pulmonary * np.array([0.7, 0.35])) for line in lines]
    atrium, _, half = heart.ellipsoids["right atrium"]
    superior = space.tube(np.stack([atrium + half * (0.15, 0.3, 0.6), (-35, 2, 75), (-33, -4, 200)]), 9.0)
    inferior = space.tube(atrium + np.stack([half * (0.25, 0.5, -0.5), (8, 24, -100)]), 11.0)
    left, right = np.minimum.reduce([arch, *veins]), np.minimum.reduce([*arms, superior, inferior])
    pools = {name: distances[name] for name in POOLS}
    pen(np.minimum.reduce([*pools.values(), left, right]) - 2, tissue.muscle)
    pen(distances["right ventricle"] - 3.5, tissue.myocardium)
    pen(right, tissue.right)
    pen(left, tissue.left)
    shrunk = dict(pools)
    for number, one in enumerate(POOLS):
        for other in list(POOLS)[number + 1 :]:
            gap = (pools[one] - pools[other]) / 2
            wall = 0 if (one, other) in VALVES else 1.2
            shrunk[one], shrunk[other] = np.maximum(shrunk[one], gap + wall), np.maximum(shrunk[other], wall - gap)
    for name, distance in shrunk.items():
        rough = 1.5 * np.maximum(0, pen.texture) if name == "right ventricle" else 0  # trabeculae
        pen(distance + rough, getattr(tissue, POOLS[name]))
    pen(distances["myocardium"], tissue.myocardium)
    pen(distances["left ventricle"] + 0.8 * np.maximum(0, pen.texture), tissue.left)
    radius, length = heart.cavity
    for angle in (2.0, -2.2):  # papillary muscles, on the free wall
        across = 0.66 * radius * np.array([np.cos(angle), np.sin(angle)])
        ends = [BASE + np.array([u * length, *(v * across)]) @ heart.axes for u, v in ((0.38, 0.95), (0.72, 0.85))]
        pen(space.tube(np.stack(ends), np.array([2.5, 4.5])), tissue.myocardium)
