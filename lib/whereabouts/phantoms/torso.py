"""A synthetic torso around a heart, as short-axis bSSFP cines show it: skin fat, muscle, lung, liver, bowel, vessels.

Lengths in mm in the body's frame: x to its left side, y to its feet, origin in the left ventricle. Levels run from 0 at
the base of the heart to 1 at its apex. Intensities are relative to blood, which is 1.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from whereabouts.phantoms.painting import blend, strokes


@dataclass(frozen=True)
class Torso:
    """What surrounds one heart.

    Args:
        centre, size: middle and half-extent (x, y) of the body's outline.
        fat, wall: thickness of the fat below the skin, and of muscle and ribs below that.
        domes: height of the diaphragm over the liver, and over the stomach at the base of the heart.
        organs: rows of x, y, half-width, half-height, middle level, extent in levels, intensity.
        bowel: rows of x, y, level (in mm, 60 for one level), intensity; each paints what is nearest to it.
        fringes: strength of the interference of aliased signal outside the body, and where its middle lies (x, y).
    """

    centre: tuple[float, float]
    size: tuple[float, float]
    fat: float
    wall: float
    domes: tuple[float, float]
    organs: np.ndarray
    bowel: np.ndarray
    fringes: tuple[float, float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Torso":
        """A torso, slim to stout, with organs that come and go from base to apex."""
        organs = [
            (34, 72, 11, 11, 0.1, 1.2, 1.0),  # descending aorta
            (-2, 62, 11, 8, 0.0, 0.6, 0.85),  # inferior vena cava
            (52, 108, 22, 18, 0.3, 1.5, 0.42),  # vertebra
            (48, 58, 28, 21, 0.75, 0.45, rng.choice([0.35, 0.5, 1.0])),  # stomach, empty to full
            (88, 78, 20, 28, 0.8, 0.45, 0.42),  # spleen
            (70, 108, 17, 24, 0.9, 0.4, 0.75),  # kidney
        ]
        seeds = 130
        bowel = np.column_stack(
            [
                rng.uniform((-110, 20, -20), (180, 240, 90), (seeds, 3)),
                rng.choice([0.08, 0.2, 0.3, 0.36, 0.5, 0.85, 1.0], seeds, p=[0.1, 0.15, 0.2, 0.15, 0.1, 0.15, 0.15]),
            ]
        )
        return cls(
            centre=(rng.normal(36, 5), rng.normal(80, 8)),
            size=(rng.normal(148, 7), rng.normal(255, 12)),
            fat=rng.uniform(6, 20),
            wall=rng.uniform(11, 17),
            domes=(rng.normal(42, 4), rng.normal(118, 12)),
            organs=np.array(organs) + rng.normal(0, (6, 6, 2, 2, 0.05, 0, 0.03), (len(organs), 7)),
            bowel=bowel,
            fringes=(rng.uniform(-0.3, 0.4), rng.choice([-130, 190]), rng.uniform(-150, 150)),
        )

    def draw(self, x, y, level: float, viscera, texture, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Image of one slice without its heart, and the coils' gain; float32 of the shape of `x`.

        Args:
            x, y: position, mm.
            level: of the slice.
            viscera, texture: coarse and fine smooth fields of unit variance, of the shape of `x`.
        """
        width, height = self.size[0] * (1 - 0.06 * level), self.size[1] * (1 - 0.1 * level)
        dx, dy = (x - self.centre[0] - 25 * level) / width, (y - self.centre[1] - 6 * level) / height
        radius = (np.abs(dx) ** 2.2 + np.abs(dy) ** 2.2) ** (1 / 2.2)
        depth = (1 - radius) * width
        skin = self.fat * (1 + (0.2 + 1.6 * level) * np.clip(-dx - 0.4 * dy, 0, 1))  # apical slices graze the breast
        axilla = np.exp(-(((dx - 0.6) / 0.35) ** 2) - ((dy + 0.75) / 0.25) ** 2)
        inner = skin + self.wall * (1 + 2.2 * axilla)
        image = np.full(x.shape, 0.01, np.float32)
        if self.fringes[0] > 0:
            away = np.hypot(x - self.fringes[1], y - self.fringes[2])
            image += self.fringes[0] * level * np.exp(-((away / 60) ** 2)) * (1 + np.sin(away**2 / 90)) / 2
        blend(image, -depth, 0.95 + 0.03 * viscera, 3)
        streaks = np.clip(3 * (np.sin(0.6 * (depth - skin) + viscera) + axilla * viscera) - 1, 0, 1)
        blend(image, skin - depth, 0.17 + 0.45 * streaks + 0.04 * texture, 3)
        blend(image, inner - depth, 0.12 + 0.03 * texture, 3)
        strokes(image, depth > inner + 6, 60, 0.6, rng)
        below = np.maximum(self._diaphragm(x, level) - y, inner - depth)
        self._draw_bowel(image, below, x, y, level, viscera, texture)
        liver = np.maximum(below, (np.hypot((x + 75) / (92 - 25 * level), (y - 95) / (80 - 15 * level)) - 1) * 80)
        blend(image, liver, 0.3 + 0.025 * texture, 3)
        strokes(image, liver < -8, 14, 0.4, rng)
        for ox, oy, wide, high, middle, extent, value in self.organs:
            size = np.sqrt(max(0, 1 - ((level - middle) / extent) ** 2))
            if size:
                distance = (np.hypot((x - ox) / wide, (y - oy) / high) - size) * min(wide, high)
                blend(image, distance - 1.5, 0.18, 2)  # chemical shift leaves a dark line where water meets fat
                blend(image, distance, value * (1 + 0.06 * texture + 0.1 * viscera), 2)
        return image, (0.8 + 0.35 * np.exp(-np.maximum(depth, 0) / 40)).astype(np.float32)

    def _diaphragm(self, x: np.ndarray, level: float) -> np.ndarray:
        """Height of the diaphragm at `x`, mm: the liver's dome, and a stomach's that rises towards the apex."""
        right, left = self.domes
        right = right - 12 * level
        left = max(left - 190 * level, right + 6) + ((x - 75) / 12) ** 2
        side = 1 / (1 + np.exp((38 - x) / 6))
        return (right + (x + 25) ** 2 / 300) * (1 - side) + left * side

    def _draw_bowel(self, image, below, x, y, level: float, viscera, texture) -> None:
        """Fill the abdomen (`below` < 0) with coils of bowel and fat, in place: cells around the seeds of `bowel`."""
        inside = below < 2
        fuzzy = 3 * viscera[inside]
        place = np.column_stack([x[inside] + fuzzy, y[inside] - fuzzy, np.full(fuzzy.size, 60 * level)])
        (first, second), seeds = (part.T for part in cKDTree(self.bowel[:, :3]).query(place, k=2))
        filled = np.full(image.shape, 0.3, np.float32)
        filled[inside] = self.bowel[seeds[0], 3]
        cells = filled[inside]
        blend(cells, second - first - 2.5, np.where(seeds.sum(0) % 3, 0.85, 0.1), 3)  # fat, or the line of a wall
        filled[inside] = cells
        blend(image, below, filled * (1 + 0.12 * viscera + 0.06 * texture), 3)
