"""What the gates of a network do to a scan, for drawing: the features before, the coefficients, the features after."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from whereabouts.data.examples import normalise
from whereabouts.data.scan import Scan, tensor
from whereabouts.inference.device import device
from whereabouts.inference.scans import STRIDE, padded, scan_logits
from whereabouts.layers.attention_gate import MultiAttentionGate, resize
from whereabouts.models.sononet import AGSononet


@dataclass(frozen=True)
class Gated:
    """One skip connection; arrays on its own grid.

    Args:
        before: (C, X', Y', Z') features that come from the encoder.
        alpha: (gates, X', Y', Z') coefficients in [0, 1].
        after: (gates, C, X', Y', Z') features scaled by the coefficients of each gate.
    """

    before: np.ndarray
    alpha: np.ndarray
    after: np.ndarray


@torch.no_grad()
def gated(model: nn.Module, scan: Scan) -> list[Gated]:
    """What happens on the gated skip connections of `model`, the finest first, when it sees the whole scan."""
    found: list[Gated] = []

    def record(gate: nn.Module, inputs: tuple, _) -> None:
        x, g = inputs
        alpha = gate.coefficients(x, g)
        before, maps = x[0].float().cpu().numpy(), alpha[0].float().cpu().numpy()
        found.append(Gated(before, maps, maps[:, None] * before))

    layers = [layer for layer in model.modules() if isinstance(layer, MultiAttentionGate)]
    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        scan_logits(model, tensor(scan)[0].to(device()))
    finally:
        for handle in handles:
            handle.remove()
    return sorted(found, key=lambda one: -one.alpha[0].size)


def on_grid(maps: np.ndarray, scan: Scan) -> np.ndarray:
    """A map (X', Y', Z') of a coarser grid, over the scan as the network saw it, on the grid (X, Y, Z) of the scan."""
    image = torch.from_numpy(scan.image)
    seen, place = padded(image, tuple(-(-n // STRIDE) * STRIDE for n in image.shape), 0)  # as `scan_logits` does
    return resize(torch.from_numpy(maps)[None, None].float(), seen.shape, align_corners=False)[0, 0][place].numpy()


def inside_and_outside(connections: list[Gated], scan: Scan) -> tuple[float, float]:
    """The mean coefficient over voxels of the labelled structures, and over all others; of all gates together."""
    inside = scan.labels > 0
    maps = np.mean([on_grid(one.alpha.mean(0), scan) for one in connections], axis=0)
    return float(maps[inside].mean()), float(maps[~inside].mean())


@torch.no_grad()
def support(model: AGSononet, images: Tensor, batch: int = 256) -> np.ndarray:
    r"""Over what part of a frame attention spreads, in [0, 1]: $1 / (n \sum_i \alpha_i^2)$ of maps that sum to 1.

    It is 1 where all n positions are alike and 1/n where one has everything; the mean of both gates.

    Args:
        images: frames (N, 1, h, w), uint8, on the device of the model.

    Returns:
        (N,).
    """
    model.eval()
    parts = []
    for part in images.split(batch):
        maps = [alpha.flatten(1) for alpha in model.coefficients(normalise(part.float(), {}))]  # (B, n) each
        shares = [alpha / alpha.sum(1, keepdim=True) for alpha in maps]
        parts.append(torch.stack([1 / (one.shape[1] * (one**2).sum(1)) for one in shares]).mean(0).cpu())
    return torch.cat(parts).numpy()


def strongest(features: np.ndarray, scan: Scan) -> int:
    """Which of the features (C, X', Y', Z') is most above its mean inside the labelled structures, in its own sd."""
    inside = scan.labels > 0
    wide = [on_grid(one, scan) for one in features]
    return int(np.argmax([(one[inside].mean() - one.mean()) / max(one.std(), 1e-6) for one in wide]))
