"""What synthetic ultrasound is painted with: tissues as echoes and losses, and a pen on the samples of a probe's beams.

Brightness is in dB below the strongest echo; loss, in dB/mm, is what a tissue takes from all that lies behind it beyond
what the machine makes up for: much for bone, less than nothing for fluid.
"""

from typing import NamedTuple

import numpy as np

from whereabouts.phantoms.painting import blend
from whereabouts.phantoms.whole_heart import Space

FLUID, BLOOD = (-80, -0.12), (-64, -0.06)  # level and loss
MUSCLE, TISSUE, LIVER, LUNG, BRAIN = (-37, 0.02), (-31, 0.02), (-33, 0.02), (-28, 0.04), (-42, 0)
PLACENTA, CARTILAGE, SKIN, RIM = (-28, 0.02), (-47, 0), (-21, 0), (-16, 0)
BRIGHT, BONE, DENSE = (-13, 0.3), (-2, 3.5), (1, 14)
PITCH = 4.4  # mm from one vertebra to the next


class Pen(NamedTuple):
    """What paints on the samples of a probe's beams.

    Args:
        space: where the samples are, mm in the section's frame; (samples, beams).
        layers: (2, samples, beams) dB and dB/mm, painted in place.
        landmark: (samples, beams) float32, 1 on what defines the plane, painted in place.
        texture: (samples, beams) smooth, of unit variance.
        edge: width of a soft edge, mm.
        step: from one sample of a beam to the next, mm.
    """

    space: Space
    layers: np.ndarray
    landmark: np.ndarray
    texture: np.ndarray
    edge: float
    step: float

    def placed(self, centre: tuple[float, float], turn: float, size: float = 1, reach: float = np.inf) -> "Pen":
        """The same pen in a frame with origin `centre`, turned by `turn` from x to y, whose unit is `size` mm.

        What it paints may end at `reach` of its units from the origin, beyond which it need not look.
        """
        cos, sin = np.cos(turn) / size, np.sin(turn) / size
        x, y = self.space.along((*centre, 0), (cos, sin, 0)), self.space.along((*centre, 0), (-sin, cos, 0))
        near = (np.abs(x) < reach) & (np.abs(y) < reach)
        rows, columns = (np.flatnonzero(near.any(axis)) for axis in (1, 0))
        part = slice(*_ends(rows)), slice(*_ends(columns))
        space = Space(x[part], y[part], self.space.z)
        layers = self.layers[:, *part], self.landmark[part], self.texture[part]
        return Pen(space, *layers, self.edge / size, self.step / size)

    def __call__(self, distance: np.ndarray, tissue: tuple[float, float]) -> None:
        """Paint a tissue, one of those above, where `distance` is negative."""
        blend(self.layers, distance, np.float32(tissue)[:, None, None], self.edge)

    def wall(self, distance: np.ndarray, half: float, tissue: tuple[float, float], fall: float = 16) -> None:
        """Paint a wall of half-thickness `half` around a shape, `fall` dB darker where it runs along the beams."""
        if len(distance) < 2:
            return  # too little to have a slope
        facing = np.gradient(distance, np.float32(self.step), axis=0) ** 2
        echo = np.stack(np.broadcast_arrays(tissue[0] - fall * (1 - np.minimum(facing, 1)), np.float32(tissue[1])))
        blend(self.layers, np.abs(distance) - np.float32(half), echo, self.edge)

    def cavity(self, distance: np.ndarray, content: tuple[float, float], wall=RIM, half: float = 0.35) -> None:
        """Paint a shape of one content with its wall."""
        self(distance, content)
        self.wall(distance, half, wall, 8)

    def mark(self, distance: np.ndarray) -> None:
        """Add to what defines the plane."""
        self.landmark[distance < 0] = 1

    def ellipse(self, centre: tuple[float, float], radii: tuple[float, float], turn: float = 0) -> np.ndarray:
        """Signed distance to an ellipse whose first axis is turned by `turn` radians from x to y."""
        cos, sin = np.cos(turn), np.sin(turn)
        return self.space.ellipsoid((*centre, 0), np.array([(cos, sin, 0), (-sin, cos, 0)]), np.array(radii))

    def tube(self, line: list[tuple[float, float]], radii: tuple[float, ...] | float) -> np.ndarray:
        """Signed distance to a tube along a polyline."""
        return self.space.tube(np.c_[np.array(line, float), np.zeros(len(line))], np.array(radii))


def _ends(index: np.ndarray) -> tuple[int, int]:
    """First index and the one after the last; none at all give an empty range."""
    return (index[0], index[-1] + 1) if index.size else (0, 0)


def within(*distances: np.ndarray) -> np.ndarray:
    """Signed distance to what lies in all shapes."""
    return np.maximum.reduce(distances)


def dots(along: np.ndarray, across: np.ndarray, pitch: float, radius: float) -> np.ndarray:
    """Signed distance to a row of dots, one at every `pitch`."""
    return np.hypot((np.mod(along / np.float32(pitch), 1) - 0.5) * np.float32(pitch), across) - np.float32(radius)
