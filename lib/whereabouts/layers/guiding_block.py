r"""Guiding Block (Rupprecht et al. 2018), equation 2 of the INSIDE paper.

$F'_{h,w,c} = (1 + \alpha_h + \beta_w + \gamma^{(s)}_c)\, F_{h,w,c} + \gamma^{(b)}_c$

One attention, $\alpha_h + \beta_w$, is shared by all channels, and its size is tied to that of the feature map.
"""

import torch
from torch import Tensor, nn

from whereabouts.layers.hypernetwork import hypernetwork


class GuidingBlock(nn.Module):
    r"""FiLM with one additive spatial attention for all channels (equation 2).

    Args:
        channels: C, feature maps of x.
        condition: K, length of z.
        size: (H, W) of x. The layer has H + W outputs for them and works at this size only.
        hidden: width h of the hypernetwork; c/2 if None.

    Raises:
        ValueError: in `forward`, if x is not of the declared size.
    """

    def __init__(self, channels: int, condition: int, size: tuple[int, int], hidden: int | None = None):
        super().__init__()
        self.size = tuple(size)
        self.parts = (channels, channels, *self.size)
        self.hypernetwork = hypernetwork(condition, hidden or channels // 2, sum(self.parts))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, C, H, W), z (B, K) -> as x."""
        if tuple(x.shape[2:]) != self.size:
            raise ValueError(f"Guiding Block made for maps of {self.size}, got {tuple(x.shape[2:])}: set size=(H, W)")
        with torch.autocast(z.device.type, enabled=False):  # bfloat16 cannot tell the pixels of an axis apart
            gamma_b, gamma_s, alpha, beta = torch.split(self.hypernetwork(z), self.parts, dim=1)
        scale = (
            1
            + alpha[:, None, :, None]  # (B, 1, H, 1)
            + beta[:, None, None, :]  # (B, 1, 1, W)
            + gamma_s[:, :, None, None]  # (B, C, 1, 1)
        )
        return scale.to(x.dtype) * x + gamma_b[:, :, None, None].to(x.dtype)
