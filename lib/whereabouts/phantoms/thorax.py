"""A synthetic chest seen from the front: what X-rays pass through, and where lungs, heart and clavicles are.

Lengths in mm in the body's frame: x to its left side, which is the image's right, y to its feet, origin at the middle
of the film. `u` is x from the midline in half-widths of the thorax, `v` is y from the apices of the lungs (0) to the
domes of the diaphragm (1). Soft tissue counts as water; thickness follows from outlines. No shape is a patient's.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import binary_opening, distance_transform_edt, gaussian_filter

from whereabouts.phantoms.painting import blend, smooth

FILM = 358.4  # mm, side of the film: 2048 pixels of 0.175 mm
SIDE = 1024  # pixels of a mask
GRID = SIDE // 2  # pixels of the drawing, which is smooth
SIDES = {"right": -1, "left": 1}  # sign of x
AIR = 0.72  # part of a lung that is air

# Landmarks (u, v) on the body's left: half of the chest, down into the recess behind the diaphragm; shoulder blade;
# humerus; and the clavicle's axis from the breastbone. Then the mediastinum; and the heart, as x in reaches to its own
# side and y from the great vessels (0) to the diaphragm (1).
CAVITY = np.c_[
    (0.38, 0.58, 0.75, 0.88, 0.96, 1, 0.98, 0.8, 0.4, 0.12, 0.09, 0.09, 0.1, 0.2),
    (0, 0.04, 0.16, 0.37, 0.63, 0.92, 1.2, 1.45, 1.5, 1.35, 0.9, 0.5, 0.22, 0.07),
]
SCAPULA = np.c_[(1.12, 0.9, 0.86, 0.93, 1, 1.06, 1.2), (0.06, 0.1, 0.26, 0.46, 0.56, 0.42, 0.2)]
HUMERUS = np.c_[(1.17, 1.23, 1.34, 1.41, 1.44, 1.7, 1.55, 1.27), (0.2, 0.11, 0.1, 0.17, 0.3, 0.9, 0.95, 0.34)]
CLAVICLE = np.c_[(0.11, 0.28, 0.5, 0.75, 0.98, 1.2), (0.24, 0.215, 0.15, 0.095, 0.09, 0.11)]
MEDIASTINUM = np.c_[
    (-0.23, -0.2, -0.185, -0.2, -0.22, -0.2, -0.17, 0.17, 0.25, 0.24, 0.27, 0.235, 0.27, 0.19, 0.17, 0.22),
    (-0.12, 0.1, 0.36, 0.54, 0.75, 1.1, 1.5, 1.5, 1.1, 0.75, 0.6, 0.5, 0.4, 0.27, 0.12, -0.12),
]
HEART = np.c_[
    (-0.45, -0.84, -1, -0.88, -0.5, 0.15, 0.7, 0.96, 0.98, 0.83, 0.6, 0.36, 0),
    (0.02, 0.26, 0.58, 0.86, 1, 1.07, 1.08, 0.95, 0.78, 0.5, 0.22, 0, -0.05),
]
KNOB = 12  # row of the mediastinum's landmarks that is the aortic knob


@dataclass(frozen=True)
class Thorax:
    """One patient as positioned for the film.

    Args:
        half: half the inner width of the thorax.
        apex: y of the apices of the lungs.
        domes: y of the right and of the left dome of the diaphragm.
        recess: how far the costophrenic angles lie below the domes.
        depth: of the chest, front to back.
        flank: thickness of the wall beside the ribs.
        reach: of the heart from the midline to the right and to the left.
        heart_top: v where the heart leaves the great vessels.
        knob: u of the aortic knob.
        ribs: distance of one rib from the next (in v), and how far the first one slopes from back to front.
        breast: thickness of the breasts.
        gas: x, distance below the dome, half-width, half-height and depth of the stomach's bubble; none below 0.
        nodule: u, v, radius and density (relative to water) of a nodule, which `draw` may leave out.
        angle, shift: of the body on the film: radians, clockwise as displayed, and (x, y).
        jitter: of the landmarks, relative to its standard deviation; (landmarks, 2).
    """

    half: float
    apex: float
    domes: tuple[float, float]
    recess: float
    depth: float
    flank: float
    reach: tuple[float, float]
    heart_top: float
    knob: float
    ribs: tuple[float, float]
    breast: float
    gas: tuple[float, float, float, float, float]
    nodule: tuple[float, float, float, float]
    angle: float
    shift: tuple[float, float]
    jitter: np.ndarray

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Thorax":
        """A patient, slim to stout, who breathes in more or less deeply."""
        woman = rng.random() < 0.5
        half = rng.uniform(118, 145) + 8 * (not woman)
        right = rng.uniform(32, 76)
        heart = 2 * half * rng.uniform(0.40, 0.55)  # by the cardiothoracic ratio
        part = rng.uniform(0.29, 0.36)
        return cls(
            half=half,
            apex=rng.uniform(-150, -126),
            domes=(right, right + rng.uniform(3, 16)),
            recess=rng.uniform(24, 38),
            depth=rng.uniform(175, 235),
            flank=rng.uniform(14, 34),
            reach=(part * heart, (1 - part) * heart),
            heart_top=rng.normal(0.52, 0.03),
            knob=rng.uniform(0.24, 0.31),
            ribs=(rng.uniform(0.1, 0.112), rng.uniform(24, 44)),
            breast=rng.uniform(8, 50) if woman else 0,
            gas=tuple(rng.uniform((45, 18, 14, 10, -30), (85, 36, 36, 26, 90))),
            nodule=tuple(rng.uniform((0.3, 0.12, 4, 0.6), (0.85, 0.9, 14, 1.1)) * (rng.choice([-1, 1]), 1, 1, 1)),
            angle=rng.normal(0, 0.025),
            shift=tuple(rng.uniform((-14, -16), (14, 16))),
            jitter=rng.standard_normal((2 * len(CAVITY) + len(HEART) + len(MEDIASTINUM), 2)),
        )

    @property
    def height(self) -> float:
        """From the apices to the mean of both domes."""
        return sum(self.domes) / 2 - self.apex

    def at(self, points: np.ndarray, side: int = 1) -> np.ndarray:
        """Positions (x, y) of (u, v), with u to the body's left (1) or right (-1); both (..., 2)."""
        return points * (side * self.half, self.height) + (0, self.apex)

    def diaphragm(self, x: np.ndarray | float) -> np.ndarray:
        """Height y of the diaphragm at `x`, whose shape it has."""
        u = np.abs(x) / self.half
        lateral, medial = np.maximum(0, (u - 0.45) / 0.53), np.maximum(0, 1 - u / 0.42)
        return np.where(np.less(x, 0), *self.domes) + self.recess * lateral**2.3 + 9 * medial**2

    def outlines(self) -> dict[str, np.ndarray]:
        """Contours (x, y) of the right and left half of the chest, heart and mediastinum; each (points, 2)."""
        right, left, heart, middle = np.split(self.jitter, np.cumsum([len(CAVITY), len(CAVITY), len(HEART)]))
        top = self.apex + self.heart_top * self.height
        reach = np.where(HEART[:, 0] < 0, *self.reach)
        vessels = MEDIASTINUM.copy()
        vessels[KNOB, 0] = self.knob
        landmarks = {
            "right": self.at(CAVITY, -1) + 2 * right,
            "left": self.at(CAVITY) + 2 * left,
            "heart": np.c_[HEART[:, 0] * reach, top + HEART[:, 1] * (self.diaphragm(20) - top)] + 2.2 * heart,
            "mediastinum": self.at(vessels) + 1.3 * middle,
        }
        return {name: _closed(points) for name, points in landmarks.items()}

    def pixels(self, points: np.ndarray) -> list[tuple[float, float]]:
        """Positions (x, y), (points, 2), as (column, row) of a mask."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turned = points @ np.array([(cos, sin), (-sin, cos)]) + self.shift
        return list(map(tuple, turned * (SIDE / FILM) + SIDE / 2 - 0.5))

    def grid(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Position (x, y) of each of `size` x `size` pixels of the film, float32."""
        centres = ((np.arange(size) + 0.5) / size - 0.5) * FILM
        across, down = np.float32(centres - self.shift[0])[None], np.float32(centres - self.shift[1])[:, None]
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        return cos * across + sin * down, cos * down - sin * across


def draw(thorax: Thorax, nodule: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, dict]:
    """Draw `thorax`, with or without its `nodule`; `rng` is for vessels and texture.

    Returns:
        Path lengths (mm) in water and bone, (GRID, GRID) float32; structure -> SCR's mask, (SIDE, SIDE) bool.
    """
    fills = {name: _fill(thorax, [(points, 1)]) > 0 for name, points in thorax.outlines().items()}
    x, y = thorax.grid(SIDE)
    seen = (y < thorax.diaphragm(x)) & ~fills["heart"] & ~fills["mediastinum"]
    masks = {"heart": fills["heart"]}
    for name, side in SIDES.items():
        masks[f"{name} lung"] = binary_opening(fills[name] & seen, np.ones((3, 3)))  # no crumbs in sharp corners
        masks[f"{name} clavicle"] = _fill(thorax, [(_clavicle(thorax, side, 0.98), 1)]) > 0  # as far as on the chest
    x, y = thorax.grid(GRID)
    slow, blobs = smooth(rng, (2, 1, GRID, GRID), 22, 1)[:, 0]
    texture = smooth(rng, (1, GRID, GRID), 4, 1)[0]
    air = _air(thorax, fills, x, y) * (1 + 0.07 * slow + 0.02 * texture)
    air = gaussian_filter(air, 0.8)  # its edges come from masks, without partial volume
    vessels = _layer(thorax, _vessels(thorax, rng)) * np.minimum(air / 40, 1)
    inside = np.minimum((y - thorax.diaphragm(x) - 25) / 25, (thorax.half - np.abs(x)) / 20)
    bowel = 40 * np.clip(blobs - 1, 0, 1) * np.clip(inside, 0, 1)  # its gas
    water = _body(thorax, x, y) - air + vessels - bowel
    if nodule:
        *place, radius, density = thorax.nodule
        across, down = thorax.at(np.array(place))
        water += 2 * radius * density * np.maximum(0, 1 - ((x - across) ** 2 + (y - down) ** 2) / radius**2)
    bone = sum(_layer(thorax, shapes) for shapes in _bones(thorax)) + _spine(thorax, x, y)
    return np.float32(np.maximum(water, 0)), np.float32(bone * (water > 0)), masks


def _body(thorax: Thorax, x, y) -> np.ndarray:
    """Thickness of the body without its lungs: neck, shoulders, trunk, and breasts, whose sharp edge is the lower."""
    flank, top = thorax.half + thorax.flank, thorax.apex
    rows = [top - 300, top - 50, top - 22, top - 8, top + 4, top + 25, top + 70, 0, 60, 400]
    widths = [60, 63, 80, 115, 160, 195, 205, flank + 12, flank, flank + 8]
    depths = np.array([0.55, 0.55, 0.57, 0.58, 0.62, 0.68, 0.8, 0.97, 1, 1.05]) * thorax.depth
    half, depth = (PchipInterpolator(rows, values)(y).astype(np.float32) for values in (widths, depths))
    trunk = depth * np.sqrt(np.maximum(0, 1 - np.abs(x / half) ** np.float32(2.4)))
    across, down = np.abs(x) / thorax.half - 0.62, y - thorax.domes[0] - 12
    away = (across / 0.42) ** 2 + (down / np.where(down > 0, 28, 95)) ** 2
    return trunk + thorax.breast * np.sqrt(np.maximum(0, 1 - away))


def _air(thorax: Thorax, fills: dict[str, np.ndarray], x, y) -> np.ndarray:
    """Path through air: lungs, less where heart, mediastinum and diaphragm take their place; windpipe; stomach."""
    air = AIR * 0.8 * thorax.depth * _bulge(fills["right"] | fills["left"], 70)
    air *= 1 - 0.82 * _bulge(fills["heart"] | fills["mediastinum"], 50)
    below = y - thorax.diaphragm(x)
    blend(air, -below, 0.45 * air * np.exp(-np.maximum(below, 0) / 25), 1.5)
    carina = y - thorax.apex - 0.42 * thorax.height
    tube = np.maximum(np.abs(x) - 9, carina)
    for lean in (-0.8, 1.15):  # main bronchi
        tube = np.minimum(tube, np.maximum(np.abs(x - lean * carina) * 0.75 - 6, np.maximum(-carina, carina - 26)))
    air += 15 * np.sqrt(np.clip(-tube / 8, 0, 1))
    middle, drop, wide, high, deep = thorax.gas
    level = (y - thorax.domes[1] - drop) / high
    bubble = np.maximum(np.hypot((x - middle) / wide, level) - 1, level - 0.4)  # above the fluid, which is level
    return air + max(0, deep) * np.sqrt(np.clip(-bubble, 0, 1))


def _spine(thorax: Thorax, x, y) -> np.ndarray:
    """Thickness of bone in the vertebrae, with the discs between them and the spinous processes behind them."""
    step = thorax.height / 9
    disc = np.abs((y / step) % 1 - 0.5) * step  # distance from the nearest
    body = np.sqrt(np.clip((15 + y / 60 - np.abs(x)) / 12, 0, 1)) * (7 + 5 * np.clip(disc / 3 - 0.5, 0, 1))
    return body + 4 * np.clip(1.5 - np.hypot(x / 4, (disc - step / 2) / 8), 0, 1)


def _bones(thorax: Thorax) -> tuple[list, list, list]:
    """Shapes for `_layer`: ribs behind, ribs in front, shoulders. Rims are thicker: cortex seen on edge."""
    back, front, shoulder = [], [], []
    for number in range(11):
        start = number * thorax.ribs[0]  # v at the spine
        tilt = thorax.ribs[1] + 3 * number
        reach = thorax.half * np.interp(start + tilt / 2 / thorax.height, CAVITY[:7, 1], CAVITY[:7, 0]) + 2
        for side in SIDES.values():  # a rib is half of an inclined ring, seen from the front
            for layer, first, last, width, thick in ((back, 0, 1.67, 8, 8.5), (front, 1.47, 2.6, 9.5, 5.5)):
                turn = np.linspace(first, last, 30)
                x, y = side * (13 + (reach - 13) * np.sin(turn)), tilt * (1 - np.cos(turn)) / 2
                line = np.c_[x, thorax.apex + start * thorax.height + y]
                layer += [(_ribbon(line, width), thick), (_ribbon(line, 0.65 * width), 0.7 * thick)]
    for side in SIDES.values():
        blade = _closed(thorax.at(SCAPULA, side))
        shoulder += [(blade, 5), (0.93 * blade + 0.07 * blade.mean(0), 2.6), (_closed(thorax.at(HUMERUS, side)), 11)]
        shoulder += [(_clavicle(thorax, side, 1.25), 13), (_clavicle(thorax, side, 1.25, 0.6), 9.5)]
    return back, front, shoulder


def _clavicle(thorax: Thorax, side: int, end: float, part: float = 1) -> np.ndarray:
    """Contour of a clavicle from the breastbone to u = `end`, of `part` of its width."""
    u = np.linspace(CLAVICLE[0, 0], end, 40)
    width = np.interp(u, (0.1, 0.3, 0.7, 1.2), (16, 11, 10, 14))
    return _ribbon(thorax.at(np.c_[u, CubicSpline(*CLAVICLE.T)(u)], side), part * width)


def _vessels(thorax: Thorax, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """Shapes for `_layer`: vessels that branch from the hila into both lungs, the widest last."""
    shapes = []
    for side in SIDES.values():
        place = thorax.at(np.array((0.27, 0.5)), side) + rng.normal(0, (2, 7), (7, 2))
        heading = np.linspace(-1.2, 1.5, 7) + rng.normal(0, 0.2, 7)  # 0 to the side, pi / 2 to the feet
        width = rng.uniform(6, 11, 7)
        for step in range(9):
            if step % 2:  # every vessel forks
                turn = rng.uniform(0.2, 0.5, heading.size)
                place, width = np.repeat(place, 2, 0), np.repeat(width, 2) * rng.uniform(0.5, 0.85, 2 * width.size)
                heading = np.c_[heading - turn, heading + turn].ravel()
            heading = heading + rng.normal(0, 0.22, heading.size)
            ends = place + 11 * np.c_[side * np.cos(heading), np.sin(heading)]
            shapes += [(_ribbon(np.stack(line), w), 2 * w) for *line, w in zip(place, ends, width, strict=True)]
            place = ends
    return shapes[::-1]


def _closed(points: np.ndarray) -> np.ndarray:
    """A smooth closed curve of 200 points through `points`, (n, 2): a centripetal spline, which makes no loops."""
    ring = np.concatenate([points, points[:1]])
    knots = np.append(0, np.sqrt(np.hypot(*np.diff(ring, axis=0).T)).cumsum())
    return CubicSpline(knots, ring, bc_type="periodic")(np.linspace(0, knots[-1], 200))


def _ribbon(line: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Contour, (2 n, 2), of a ribbon of `width` along `line`, (n, 2)."""
    along = np.gradient(line, axis=0)
    offset = np.c_[-along[:, 1], along[:, 0]] * (width / 2 / np.hypot(*along.T))[:, None]
    return np.concatenate([line + offset, (line - offset)[::-1]])


def _fill(thorax: Thorax, shapes: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """Contours (x, y) filled with their values, later over earlier; (SIDE, SIDE) uint8."""
    image = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    for points, value in shapes:
        pen.polygon(thorax.pixels(points), fill=round(value))
    return np.asarray(image)


def _layer(thorax: Thorax, shapes: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """Contours filled with their thickness (mm, up to 25), blurred a little; (GRID, GRID) float32, mm."""
    tenths = _fill(thorax, [(points, 10 * thick) for points, thick in shapes])
    return gaussian_filter(tenths.reshape(GRID, 2, GRID, 2).mean((1, 3), dtype=np.float32) / 10, 0.8)


def _bulge(fill: np.ndarray, radius: float) -> np.ndarray:
    """Relative thickness of a round body that looks like `fill`: 0 at its edge, 1 from `radius` (mm) on inwards."""
    edge = distance_transform_edt(np.pad(fill[::2, ::2], 1, mode="edge"))[1:-1, 1:-1].astype(np.float32)
    return np.sqrt(1 - (1 - np.minimum(edge * np.float32(FILM / GRID / radius), 1)) ** 2)
