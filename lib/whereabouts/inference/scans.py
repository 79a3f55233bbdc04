"""What a 3D network says of a whole scan: the scan in one piece or in windows, and back on the scan's own grid."""

from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from whereabouts.data.scan import Scan, to_grid
from whereabouts.inference.device import autocast, device

STRIDE = 16  # of the networks: sides must be multiples of it


def padded(volume: Tensor, shape: tuple[int, ...], value: float) -> tuple[Tensor, tuple[slice, ...]]:
    """A volume (X, Y, Z) filled up with `value` on all sides to at least `shape`, and where it then lies."""
    margins, place = [], []
    for length, wanted in zip(volume.shape, shape, strict=True):
        before = max(0, wanted - length) // 2
        margins.append((before, max(0, wanted - length) - before))
        place.append(slice(before, before + length))
    return pad(volume, [n for pair in reversed(margins) for n in pair], value=value), tuple(place)


def standardised(volume: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the whole volume (section 3.2)."""
    sd, mean = torch.std_mean(volume, correction=0)
    return (volume - mean) / sd.clamp(min=1e-6)


def windows(shape: tuple[int, ...], window: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Windows that cover `shape`, at most half a window apart along each axis and as evenly as whole voxels allow."""
    starts = []
    for length, side in zip(shape, window, strict=True):
        count = 1 - (side - length) // max(1, side // 2)  # rounded up
        starts.append([round(k * (length - side) / max(1, count - 1)) for k in range(count)])
    return [tuple(slice(s, s + side) for s, side in zip(corner, window, strict=True)) for corner in product(*starts)]


@torch.no_grad()
def scan_logits(
    model: nn.Module,
    image: Tensor,
    window: tuple[int, ...] = (),
    z: Tensor | None = None,
    precision: str = "float32",
) -> Tensor:
    """Class logits (C, X, Y, Z), float32, of an image (X, Y, Z); where windows overlap, their mean.

    Args:
        model: a 3D network, on the device of the image.
        image: intensities as prepared; filled up with its minimum and standardised here, as in training.
        window: sides in voxels, multiples of 16, as in training; empty for the volume in one piece.
        z: (K,) facts, for networks that ask for them.
        precision: see `whereabouts.inference.slices`.
    """
    model.eval()
    sides = window or tuple(-(-n // STRIDE) * STRIDE for n in image.shape)
    volume, place = padded(image, sides, image.min().item())
    volume = standardised(volume)
    facts = () if z is None else (z[None],)
    total = count = None
    for part in windows(tuple(volume.shape), sides):
        x = volume[part][None, None].contiguous(memory_format=torch.channels_last_3d)
        with autocast(precision):
            logits = model(x, *facts)[0].float()
        if total is None:
            total = logits.new_zeros(len(logits), *volume.shape)
            count = logits.new_zeros(volume.shape)
        total[(slice(None), *part)] += logits
        count[part] += 1
    return (total / count)[(slice(None), *place)]


def masks(
    model: nn.Module,
    scan: Scan,
    structures: int,
    window: tuple[int, ...] = (),
    shape: tuple[int, ...] = (),
    only: tuple[int, ...] = (),
    asked: bool = False,
    precision: str = "float32",
) -> Tensor:
    """Where each structure is found: (structures, X, Y, Z), bool, on the CPU.

    Args:
        model: 3D network.
        scan: as prepared.
        structures: how many there are, labels 1 and up.
        window: see `scan_logits`.
        shape: of the scan's own grid, onto which the logits are interpolated; empty for the prepared grid.
        only: labels among which is chosen, the background first; empty for all.
        asked: whether the network finds one structure at a time, the one that it is asked for.
        precision: see `scan_logits`.
    """
    image = torch.from_numpy(scan.image.astype(np.float32)).to(device())
    shape = shape or scan.image.shape
    if asked:
        facts = torch.eye(structures, device=image.device)
        return torch.stack([to_grid(scan_logits(model, image, window, z, precision), shape) > 0 for z in facts]).cpu()
    logits = scan_logits(model, image, window, precision=precision)
    labels = to_grid(logits[list(only)] if only else logits, shape)
    values = only[1:] if only else range(1, structures + 1)
    found = {value: labels == k for k, value in enumerate(values, 1)}
    nothing = torch.zeros_like(labels, dtype=torch.bool)
    return torch.stack([found.get(value, nothing) for value in range(1, structures + 1)]).cpu()
