"""What the drawn phantoms are made of: soft-edged shapes, strokes, and smooth random fields."""

import numpy as np
from scipy.sparse import csr_array

from whereabouts.errors import raise_all


def blend(image: np.ndarray, distance: np.ndarray, value: np.ndarray | float, edge: float) -> None:
    """Paint over `image`, in place, where a shape is; its soft edge stands for partial volume.

    Args:
        image: float32.
        distance: signed distance to the shape, negative within; broadcasts to `image`.
        value: what to paint; broadcasts to `image`.
        edge: width over which the shape fades, in the unit of `distance`.
    """
    cover = np.clip(0.5 - distance / edge, 0, 1)
    image += cover * (value - image)


def strokes(image: np.ndarray, where: np.ndarray, count: int, value: float, rng: np.random.Generator) -> None:
    """Add, in place, up to `count` bright dots and short strokes of peak about `value` at random pixels of `where`."""
    reach = 5  # pixels
    offset = np.arange(-reach, reach + 1, dtype=np.float32)
    rows, columns = rng.integers(reach, np.array(image.shape)[:, None] - reach, (2, 3 * count))
    turns, lengths, widths, values = rng.uniform((0, 0.8, 0.6, 0.4), (np.pi, 2.6, 1.1, 1.6), (3 * count, 4)).T
    for n in np.flatnonzero(where[rows, columns])[:count]:
        cos, sin = np.cos(turns[n]), np.sin(turns[n])
        long, short = cos * offset[:, None] + sin * offset[None], cos * offset[None] - sin * offset[:, None]
        stroke = np.exp(-((long / lengths[n]) ** 2 + (short / widths[n]) ** 2) / 2)
        row, column = rows[n] - reach, columns[n] - reach
        image[row : row + offset.size, column : column + offset.size] += value * values[n] * stroke


def smooth(rng: np.random.Generator, shape: tuple[int, ...], scale: float, between: float) -> np.ndarray:
    """Smooth random fields of zero mean and unit variance: cubic B-splines on a grid of normal numbers.

    Args:
        shape: (..., slices, down, across) of the result.
        scale: distance of the grid's nodes in the plane, pixels.
        between: distance of the grid's nodes across slices, slices.
    """
    bases = [_splines(length, step) for length, step in zip(shape[-3:], (between, scale, scale), strict=True)]
    field = rng.standard_normal((*shape[:-3], *(basis.shape[1] for basis in bases)), np.float32)
    for axis, basis in zip((-3, -2, -1), bases, strict=True):
        columns = np.moveaxis(field, axis, 0)  # (nodes, ...)
        columns = (basis @ columns.reshape(len(columns), -1)).reshape(-1, *columns.shape[1:])
        field = np.moveaxis(columns, 0, axis)
    return np.ascontiguousarray(field)


def _splines(length: int, step: float) -> csr_array:
    """Cubic B-splines at every `step` pixels along `length` pixels, rows scaled to unit norm; (length, nodes)."""
    distance = np.abs(np.arange(length)[:, None] / step - np.arange(-1, int(length / step) + 3)[None])
    tail = np.clip(2 - distance, 0, 1)
    basis = np.where(distance < 1, 2 / 3 - distance**2 + distance**3 / 2, tail**3 / 6)
    norm = np.sqrt((basis**2).sum(1, keepdims=True))
    return csr_array((basis / norm).astype(np.float32))  # four entries a row


def require(cases: int, step: float) -> None:
    """Raise `InputError` unless that many volumes of that resolution can be written."""
    problems = []
    if not 1 <= cases <= 999:
        problems.append(f"cases: {cases} is out of range; give 1 to 999")
    if not 0.5 <= step <= 8:
        problems.append(f"step: {step} mm is out of range; give 0.5 to 8")
    raise_all(problems)
