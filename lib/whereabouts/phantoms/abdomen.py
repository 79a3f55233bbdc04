"""A synthetic upper abdomen, as CT with contrast medium shows it: from the lungs' bases to below the kidneys.

Two populations stand in for the two data sets of Schlemper et al. 2019, section 3.1. They differ, so that what a
network learns on one serves it on the other, but less well:

    gastric   for CT-150, patients with gastric cancer: portal venous phase, a stomach full of water, thick noisy slices
    healthy   for CT-82, NIH Pancreas-CT: contrast medium in stomach and bowel, bodies of more sizes, a pancreas that
              sags; its phase is an earlier one (that of the real one is portal venous, too), so the pancreas is bright

The pancreas is made hard to find: its intensity is that of collapsed bowel and of the stomach's wall, which touch it.
Lengths in mm in the body's frame of `abdominal_organs`, intensities in Hounsfield units.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from whereabouts.phantoms.abdominal_organs import Organs
from whereabouts.phantoms.painting import smooth
from whereabouts.phantoms.whole_heart import Pen, Space

LABELS = {"spleen": 1, "pancreas": 2, "kidneys": 3}
FIELD = np.array([288.0, 192.0, 192.0])  # mm, of view
AIR, LUNG, WATER = -1000, -860, 10


class Tissue(NamedTuple):
    """Hounsfield units of what is drawn; `texture` is the standard deviation within a tissue."""

    fat: float
    muscle: float
    marrow: float
    bone: float  # its cortex
    liver: float
    spleen: float
    pancreas: float
    gut: float  # its wall
    juice: float  # what fills stomach and small bowel
    kidney: float  # its cortex
    medulla: float
    artery: float
    portal: float
    cava: float
    texture: float


class Population(NamedTuple):
    """How patients of a population are distributed: lowest and highest values, between which they are uniform.

    Args:
        tissue: Hounsfield units.
        size: of the body and all that is in it (1: as drawn for the average adult); `fat`: thickness below the skin.
        plump, arch, full: of pancreas and stomach; see `Organs.sample`.
        oral: how many have drunk contrast medium.
        noise: standard deviation, HU.
        slab: distance of slices in pixels.
    """

    tissue: tuple[Tissue, Tissue]
    size: tuple[float, float]
    fat: tuple[float, float]
    plump: tuple[float, float]
    arch: float
    full: tuple[float, float]
    oral: float
    noise: tuple[float, float]
    slab: tuple[float, float]


POPULATIONS = {
    "gastric": Population(
        tissue=(
            Tissue(-112, 45, 110, 450, 102, 114, 80, 70, 5, 178, 145, 135, 150, 120, 5),
            Tissue(-98, 60, 190, 650, 122, 134, 104, 98, 35, 205, 172, 165, 180, 150, 9),
        ),
        size=(0.97, 1.03),
        fat=(6, 13),
        plump=(1.0, 1.18),
        arch=6,
        full=(0.85, 1.15),
        oral=0,
        noise=(10, 16),
        slab=(1, 1.5),
    ),
    "healthy": Population(
        tissue=(
            Tissue(-112, 55, 180, 600, 76, 126, 118, 96, 5, 205, 115, 210, 140, 90, 4),
            Tissue(-98, 70, 260, 850, 96, 152, 144, 126, 35, 245, 150, 290, 175, 130, 7),
        ),
        size=(0.93, 1.06),
        fat=(4, 16),
        plump=(1.0, 1.22),
        arch=-8,
        full=(0.5, 0.9),
        oral=0.85,
        noise=(6, 10),
        slab=(0.9, 1.1),
    ),
}


@dataclass(frozen=True)
class Abdomen:
    """One patient.

    Args:
        scale: (3,) of all positions (1: as drawn for the average adult).
        fat, wall: thickness of the fat below the skin, and of muscle and ribs below that.
        phase: of vertebrae and ribs along z, part of their distance.
        organs: their shapes.
        tissue: their intensities.
        noise, slab: of the scan, as in `Population`.
    """

    scale: np.ndarray
    fat: float
    wall: float
    phase: float
    organs: Organs
    tissue: Tissue
    noise: float
    slab: float

    @classmethod
    def sample(cls, rng: np.random.Generator, population: str) -> "Abdomen":
        """A patient of `population`, one of `POPULATIONS`."""
        kind = POPULATIONS[population]
        tissue = Tissue(*rng.uniform(*kind.tissue))
        if rng.random() < kind.oral:
            tissue = tissue._replace(juice=rng.uniform(130, 250))
        return cls(
            scale=rng.uniform(*kind.size) * np.clip(rng.normal(1, (0.012, 0.015, 0.025)), 0.95, 1.05),
            fat=rng.uniform(*kind.fat),
            wall=rng.uniform(9, 13),
            phase=rng.uniform(0, 1),
            organs=Organs.sample(rng, kind.plump, kind.arch, kind.full),
            tissue=tissue,
            noise=rng.uniform(*kind.noise),
            slab=rng.uniform(*kind.slab),
        )


def scan(abdomen: Abdomen, step: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    """A CT volume of the patient.

    Args:
        abdomen: the patient.
        step: size of the pixels, mm, from which they differ by up to 10 %.
        rng: of what is the scan's: size of its voxels, position, noise, and how tissues happen to lie.

    Returns:
        Hounsfield units, int16, and labels, uint8, both (across, down, slices), of which the first index grows to the
        body's left, the second to its back, the third to its head; and the size of voxels along these, mm.
    """
    pixel = round(step * rng.uniform(0.9, 1.1), 4)
    zooms = pixel, pixel, round(pixel * abdomen.slab, 4)
    across, down, slices = counts = np.round(FIELD / zooms).astype(int).tolist()
    shape = slices, down, across
    middle = rng.uniform(-1, 1, 3) * (5, 4, 8)  # nobody lies exactly in the centre
    x, y, z = (c + (np.arange(n) - (n - 1) / 2) * zoom for c, n, zoom in zip(middle, counts, zooms, strict=True))
    places = [np.broadcast_to(np.float32(line), shape) for line in (x, y[:, None], z[:, None, None])]
    warp = 3.5 * smooth(rng, (3, *shape), 55 / pixel, 55 / zooms[2])  # mm; no two anatomies are alike
    fields = np.stack([smooth(rng, shape, scale / pixel, scale / zooms[2]) for scale in (11, 11, 6)])
    image, labels = np.empty(shape, np.float32), np.empty(shape, np.uint8)
    count = max(1, 100_000 // (down * across))  # so few slices at a time stay in the processor's cache
    for first in range(0, slices, count):
        part = slice(first, first + count)
        moved = (place[part] + shift[part] for place, shift in zip(places, warp, strict=True))
        space = Space(*(place / np.float32(scale) for place, scale in zip(moved, abdomen.scale, strict=True)))
        labels[part] = paint(image[part], space, abdomen, fields[:, part], max(1.2, pixel))
    image += abdomen.noise * rng.standard_normal(shape, np.float32)
    return np.round(np.clip(image, -1024, 3071)).astype(np.int16).T, labels.T, zooms


def paint(image: np.ndarray, space: Space, abdomen: Abdomen, fields: np.ndarray, edge: float) -> np.ndarray:
    """Paint a patient over `image`, in place.

    Args:
        image: float32.
        space: where its voxels are.
        abdomen: the patient.
        fields: (3, *image.shape) smooth, of unit variance: two coarse ones, whose common zeros are small vessels, and
            a fine one, the texture.
        edge: width of a soft edge, mm.

    Returns:
        Labels, uint8, of the shape of `image`.
    """
    pen, tissue, organs = Pen(image, fields[2], abdomen.tissue, edge), abdomen.tissue, abdomen.organs
    cavity = _cavity(space)
    found = organs.distances(space, cavity, 2 * fields[0])
    vessels = organs.vessels(space)
    small = 8 * np.hypot(fields[0], fields[1])  # distance to small vessels, roughly
    _paint_wall(pen, space, abdomen, cavity, fields[0])
    _paint_chest(pen, space, found["diaphragm"], cavity, small)
    pen(np.maximum(small - 1, found["diaphragm"] + 5), tissue.portal)
    back = _paint_back(pen, space, abdomen)
    _paint_bowel(pen, space, organs, np.maximum(found["diaphragm"] + 3, 3 - back), fields)
    _paint_stomach(pen, space, organs, found, fields)
    _paint_solid(pen, found, small, fields[0])
    pen(vessels["cava"], tissue.cava)
    pen(vessels["artery"], tissue.artery)
    pen(vessels["portal"], tissue.portal)
    nearest = np.minimum.reduce([found["kidneys"] - 0.5, found["spleen"], back - 2, *vessels.values()])
    pancreas = np.maximum.reduce([found["pancreas"], 1 - nearest, found["diaphragm"] + 5])
    pen(pancreas, tissue.pancreas - 16 * np.maximum(0, fields[1]), 1.5)  # with fat between its lobules
    labels = np.zeros(image.shape, np.uint8)
    kidneys = np.maximum(found["kidneys"], -found["sinus"])
    for name, distance in (("spleen", found["spleen"]), ("kidneys", kidneys), ("pancreas", pancreas)):
        labels[distance < 0] = LABELS[name]
    return labels


def _cavity(space: Space) -> np.ndarray:
    """Signed distance, to first order, to what the wall of chest and belly encloses: a superellipse, whatever z is."""
    u, v = np.abs(space.x / 116), np.abs(space.y / 70)
    level = (u**2.4 + v**2.4 + 1e-6) ** (1 / 2.4)
    return (level - 1) / (np.hypot((u / level) ** 1.4 / 116, (v / level) ** 1.4 / 70) + 1e-4)


def _paint_wall(pen: Pen, space: Space, abdomen: Abdomen, cavity: np.ndarray, streaks: np.ndarray) -> None:
    """Skin, the fat below it, layers of muscle, and ribs, which descend to the front."""
    _, y, z = space
    tissue, wall = pen.tissue, abdomen.wall
    pen.image[...] = AIR
    skin = cavity - wall - abdomen.fat * (1 + 0.35 * np.clip(y / 80, -0.5, 1))
    pen(skin, 20, 0)
    pen(skin + 2, tissue.fat)
    pen(cavity - wall, tissue.muscle)
    pen(np.maximum(np.abs(cavity - 0.5 * wall + 1.5 * streaks) - 1, cavity - 0.75 * wall), tissue.fat)
    rib = np.abs((z / 26 - 0.65 * y / 26 + abdomen.phase) % 1 - 0.5) * 26
    margin = np.maximum(14 - np.abs(space.x), 20 - 0.7 * y - z)  # of the costal arch
    rib = np.maximum(np.hypot((cavity - 6) * 1.3, rib) - 6, margin)
    pen(rib, tissue.bone)
    pen(rib + 2.5, tissue.marrow)


def _paint_chest(pen: Pen, space: Space, diaphragm: np.ndarray, cavity: np.ndarray, small: np.ndarray) -> None:
    """Lungs and heart above the diaphragm, and fat below it."""
    tissue = pen.tissue
    pen(cavity, LUNG, 3)
    pen(np.maximum(small - 1.6, cavity + 4), tissue.portal)
    pen(np.maximum(space.ellipsoid((18, -28, 108), np.eye(3), (62, 46, 46)), cavity + 1), tissue.artery - 30)
    pen(diaphragm, tissue.muscle)
    pen(diaphragm + 2.5, tissue.fat)


def _paint_back(pen: Pen, space: Space, abdomen: Abdomen) -> np.ndarray:
    """Spine and the muscles beside it; returns the signed distance to vertebral bodies and psoas."""
    x, y, z = np.abs(space.x), space.y - 28, space.z
    tissue = pen.tissue
    pen(np.hypot((x - 30) / 1.35, y - 34) - 15, tissue.muscle)  # beside the spinous processes
    psoas = np.hypot(x - 31, (y - 6) / 1.1) - 14 + np.clip(0.3 * (z + 40), -4, 20)
    pen(psoas, tissue.muscle)
    crura = np.hypot((x - 12) / 0.8, (y + 20) / 1.2) - 5 - np.clip(0.05 * z, -5, 3)
    pen(np.maximum(crura, -60 - z), tissue.muscle)
    body = np.hypot(x / 1.3, y) - 16.5
    pen(body, tissue.muscle + 25)  # discs
    between = np.abs((z / 34 + abdomen.phase) % 1 - 0.5) * 34 - 13  # vertebrae
    around = np.hypot(x, y - 24)  # the canal
    process = np.hypot(x / 0.4, (y - 45) / 1.6) - 8
    wings = np.maximum(np.hypot(y - 26, between + 7) - 4, x - 30)
    arch = np.minimum(process, np.abs(around - 11) - 3)
    bones = np.minimum(np.maximum(np.minimum(body, arch), between), wings)
    pen(bones, tissue.bone)
    pen(bones + 1.8, tissue.marrow)
    pen(around - 8, 30)
    return np.minimum(body, psoas)


def _paint_bowel(pen: Pen, space: Space, organs: Organs, inside: np.ndarray, fields: np.ndarray) -> None:
    """Coils of small bowel where `inside` is negative: collapsed, or full of juice."""
    tissue, bowel = pen.tissue, organs.bowel
    near = (inside < pen.edge) & (space.z < 34)
    distance, coil = np.full(near.shape, 20, np.float32), np.zeros(near.shape, int)
    distance[near], coil[near] = bowel.distance(np.stack([place[near] for place in space], 1))
    distance = np.maximum(distance + 0.8 * fields[1], inside)
    pen(distance, tissue.gut, 1.5)
    pen(distance + 2.5, tissue.gut + (tissue.juice - tissue.gut) * np.float32(bowel.filled)[coil], 1.5)


def _paint_stomach(pen: Pen, space: Space, organs: Organs, found: dict, fields: np.ndarray) -> None:
    """Colon with faeces and gas, duodenum, and a stomach with its gas in front, above its fluid as the patient lies."""
    tissue = pen.tissue
    colon = found["colon"] + 2 * fields[0]  # haustra
    pen(colon, tissue.gut - 15)
    pen(colon + 2, np.where(fields[1] + 0.8 * fields[2] > 0.3, -700, WATER + 30 * fields[0]), 3)
    pen(found["duodenum"], tissue.gut)
    pen(found["duodenum"] + 3, tissue.juice, 1.5)
    x, y, z = (place - middle for place, middle in zip(space, np.float32(organs.tumour), strict=True))
    thick, tumour = organs.walls
    inner = found["stomach"] + thick + tumour * np.exp(-(x**2 + y**2 + z**2) / 400) + 0.6 * fields[1]
    pen(found["stomach"], tissue.gut, 1.2)
    pen(inner, tissue.juice + 8 * fields[0])
    pen(np.maximum(inner, space.y + 44), AIR, 0)


def _paint_solid(pen: Pen, found: dict, small: np.ndarray, columns: np.ndarray) -> None:
    """Liver and its vessels, gallbladder, spleen, and kidneys: cortex, pyramids, and fat around the pelvis."""
    tissue, kidneys, sinus = pen.tissue, found["kidneys"], found["sinus"]
    pen(found["liver"], tissue.liver)
    pen(np.maximum(0.75 * small - 1.5, found["liver"] + 4), tissue.portal)
    pen(found["gallbladder"] - 1.5, tissue.gut)
    pen(found["gallbladder"], WATER, 0.5)
    pen(found["spleen"], tissue.spleen)
    pen(kidneys, tissue.kidney)
    pen(np.maximum(kidneys + 7, 2.5 * np.abs(columns) - 3), tissue.medulla)
    pen(np.maximum(sinus, kidneys - 3), tissue.fat)
    pen(np.maximum(sinus + 5, kidneys - 1), WATER)
