r"""What sets scanners of magnetic resonance apart, whatever they are shown: tone, and the shading of their coils."""

import numpy as np


def tint(image: np.ndarray, zooms: tuple[float, ...], variety: float, rng: np.random.Generator) -> np.ndarray:
    r"""`image` as another scanner shows it; what is where stays the same.

    $I' = I_{\max} (I / I_{\max})^{e^u} e^{s\,\mathbf{n} \cdot \mathbf{r}}$ with u even from -variety to variety, s from
    0 to variety, a random direction n, and r in units of 100 mm from the middle. The rule is ours. Without it a network
    that has seen one patient knows the others, which on real images it does not.

    Args:
        image: not negative; its first axes are those of space.
        zooms: mm between pixels along these, two or three.
        variety: 0 changes nothing.
        rng: draws.

    Returns:
        float32, of the shape of `image`.
    """
    power, steep = rng.uniform((-variety, 0), variety)
    direction = rng.standard_normal(len(zooms))
    direction *= steep / np.linalg.norm(direction)
    top = image.max()
    tinted = top * (image / top) ** np.float32(np.exp(power))
    for axis, (zoom, part) in enumerate(zip(zooms, direction, strict=True)):
        length = image.shape[axis]
        slope = np.exp(part * (np.arange(length) - length / 2) * zoom / 100).astype(np.float32)
        tinted *= slope.reshape(-1, *(1,) * (image.ndim - 1 - axis))
    return tinted
