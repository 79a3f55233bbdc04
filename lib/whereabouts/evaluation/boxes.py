"""Boxes around what a classifier attends to, which was taught no boxes (Schlemper 2019, 3.5.1, Figure 7, Table 7).

The paper leaves its rule to an appendix that is not to be had, and its released code has none. Ours follows what the
same group described before (Schlemper et al., MIDL 2018): blur the attention maps, drop low activations, find connected
components, keep the one on which the scales agree, draw its bounding box. The one on which they agree is, here, the
largest in the mean of their maps.

A box is (top, left, bottom, right) in pixels, bottom and right exclusive. Frames are of height H and width W.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from scipy import ndimage
from torch import Tensor


def combined(maps: list[Tensor], shape: tuple[int, int]) -> Tensor:
    """The gates' maps as one, the mean over scales, so that what they agree on stands out; of no frames, none.

    The released visualise_attention.py averages the maps as they are. Each of them sums to 1, so that of two that are
    spread alike the finer is the fainter; here each is scaled to a maximum of 1 first, in every frame.

    Args:
        maps: one a gate, each (N, h, w) of its own size, not negative.
        shape: (H, W), of the frames.

    Returns:
        (N, H, W), in [0, 1]; a map that is 0 everywhere stays so.
    """
    if not len(maps[0]):
        return torch.zeros(0, *shape)
    scaled = []
    for one in maps:
        resized = F.interpolate(one[:, None], shape, mode="bilinear", align_corners=False)[:, 0]  # (N, H, W)
        peak = resized.amax((1, 2), keepdim=True)
        scaled.append(resized / torch.where(peak > 0, peak, 1))
    return torch.stack(scaled).mean(0)


def box(attention: ArrayLike, blur: float, threshold: float) -> tuple[float, float, float, float]:
    """The bounding box of what is attended to most.

    The map is blurred; what is below a part of its maximum is dropped; of the components of the rest, connected by
    edges, the one with the largest sum is kept, of equal ones that with the highest maximum. A constant map gives the
    whole frame.

    Args:
        attention: (H, W), not negative, as from `combined`.
        blur: standard deviation of the Gaussian, as a part of H; 0 is no blur.
        threshold: as a part of the blurred map's maximum, at least 0 and below 1.

    Returns:
        (top, left, bottom, right).

    Raises:
        ValueError: an attention map of another shape, negative or NaN, or a number outside its range.
    """
    attention = np.asarray(attention, dtype=float)
    if attention.ndim != 2:
        raise ValueError(f"attention is of shape {attention.shape}; give one map, (H, W)")
    return _box(_blurred(attention, blur), threshold)


def iou(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Intersection over union of boxes a and b, both (N, 4), pair by pair: (N,), 0 where they do not overlap."""
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if a.shape != b.shape or a.shape[1:] != (4,):
        raise ValueError(f"boxes are of shapes {a.shape} and {b.shape}; give two of (N, 4)")
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])  # (N, 2), negative if apart
    intersection = sides.clip(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - intersection
    return np.divide(intersection, union, out=np.zeros(len(a)), where=union > 0)


def median_box(boxes: ArrayLike) -> np.ndarray:
    """One box (4,) for all frames, each side the median of those of the boxes (N, 4): what no image is needed for."""
    return np.median(np.reshape(boxes, (-1, 4)), axis=0) if len(boxes) else np.zeros(4)


def choose(
    attention: ArrayLike, boxes: ArrayLike, blurs: Sequence[float], thresholds: Sequence[float]
) -> tuple[float, float]:
    """The blur and the threshold that find the given boxes best, by mean IoU.

    This replaces a choice by eye. It is supervised, two numbers learnt from boxes, so that it must be made on other
    frames than those that are tested.

    Args:
        attention: (N, H, W), not negative.
        boxes: (N, 4), those drawn by hand.
        blurs, thresholds: what to choose from, as in `box`; of equals, and without frames, the first.

    Returns:
        (blur, threshold).
    """
    attention, scores = np.asarray(attention, dtype=float), {}
    for blur in blurs:
        blurred = _blurred(attention, blur)
        for threshold in thresholds:
            found = np.reshape([_box(one, threshold) for one in blurred], (-1, 4))
            scores[blur, threshold] = iou(found, boxes).sum()
    return max(scores, key=scores.get)


def localisation_table(iou: ArrayLike, planes: ArrayLike, names: Sequence[str]) -> pd.DataFrame:
    """Table 7: how well each class is localised.

    Relative correctness asks a class for half of what its best frame reaches, whatever that is. The paper's "(%)" are
    parts too.

    Args:
        iou: (N,), of each frame.
        planes: (N,), each frame's class, a place in `names`.
        names: of the classes.

    Returns:
        One row a class that has frames, in the order of `names`: plane, n (frames), mean and sd of IoU (sample standard
        deviation, NaN of one frame), correct (part with IoU > 0.5) and relative (part with IoU > half of the maximum).
    """
    rows = []
    iou, planes = np.asarray(iou, dtype=float), np.asarray(planes)
    for plane in np.unique(planes):
        own = pd.Series(iou[planes == plane])
        row = {"plane": names[plane], "n": len(own), "mean": own.mean(), "sd": own.std()}
        rows.append(row | {"correct": (own > 0.5).mean(), "relative": (own > 0.5 * own.max()).mean()})
    return pd.DataFrame(rows, columns=["plane", "n", "mean", "sd", "correct", "relative"])


def _blurred(attention: np.ndarray, blur: float) -> np.ndarray:
    """Maps (..., H, W) after a Gaussian of `blur` x H, mirrored at the frame's edges."""
    if not (attention >= 0).all():
        raise ValueError("attention is negative or NaN somewhere; give maps of 0 and more")
    if not 0 <= blur < np.inf:
        raise ValueError(f"blur is {blur}; give a part of the frame's height, at least 0")
    return ndimage.gaussian_filter(attention, blur * attention.shape[-2], axes=(-2, -1))


def _box(blurred: np.ndarray, threshold: float) -> tuple[float, float, float, float]:
    """The largest component's bounding box in a map (H, W) that is blurred already."""
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold is {threshold}; give a part of the maximum, at least 0 and below 1")
    components, count = ndimage.label(blurred >= threshold * blurred.max())
    numbers = np.arange(1, count + 1)
    mass, peak = (of(blurred, components, numbers) for of in (ndimage.sum_labels, ndimage.maximum))
    best = max(range(count), key=lambda i: (mass[i], peak[i]))
    rows, columns = ndimage.find_objects(components)[best]
    return float(rows.start), float(columns.start), float(rows.stop), float(columns.stop)
