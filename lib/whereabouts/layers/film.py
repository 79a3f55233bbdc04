r"""Feature-wise linear modulation (Perez et al. 2018), as INSIDE uses it (section 2).

$\text{FiLM}(F_c \mid \gamma_c, \beta_c) = \gamma_c F_c + \beta_c$
"""

import torch
from torch import Tensor, nn

from whereabouts.layers.hypernetwork import hypernetwork


def itself(g: Tensor) -> Tensor:
    """g, (B, C)."""
    return g


def from_one(g: Tensor) -> Tensor:
    """1 - g, (B, C)."""
    return 1 - g


# How the head's output g becomes the scale gamma. The same family up to a bias and a sign; only the start differs:
# g is near 0 at first, so "gamma" (paper, equation 3) starts near zero and "1-gamma" (released code) near identity.
SCALES = {"gamma": itself, "1-gamma": from_one}  # functions with names, which a layer can be pickled with


def modulate(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """gamma x + beta for x (B, C, ...) and gamma, beta (B, C), whatever the number of spatial axes."""
    to_map = gamma.shape + (1,) * (x.ndim - 2)  # (B, C) -> (B, C, 1, ..)
    return x * gamma.view(to_map) + beta.view(to_map)


class FiLM(nn.Module):
    r"""Scale and shift each feature map by what the facts say, the equation above; blind to position.

    Args:
        channels: C, feature maps of x.
        condition: K, length of z.
        hidden: width h of the hypernetwork; c/2 if None.
        scale: "gamma" as in the paper, or "1-gamma" as in the released code.
        predictor: the network (B, K) -> (B, 2C) that gives gamma and beta; None is INSIDE's hypernetwork.

    Raises:
        ValueError: `scale` is unknown.
    """

    def __init__(
        self,
        channels: int,
        condition: int,
        hidden: int | None = None,
        scale: str = "gamma",
        predictor: nn.Module | None = None,
    ):
        super().__init__()
        if scale not in SCALES:
            raise ValueError(f"scale={scale!r}: unknown; choose one of {', '.join(SCALES)}")
        self.scale = SCALES[scale]
        if predictor is None:
            predictor = hypernetwork(condition, hidden or channels // 2, 2 * channels)
        self.hypernetwork = predictor

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, C, H, W) or (B, C, H, W, D), z (B, K) -> as x."""
        with torch.autocast(z.device.type, enabled=False):  # what the facts say is not rounded on the way
            gamma, beta = torch.chunk(self.hypernetwork(z), 2, dim=1)  # (B, C) each
        return modulate(x, self.scale(gamma).to(x.dtype), beta.to(x.dtype))
