r"""INSIDE: INstance modulation with SpatIal DEpendency (Jacenkow et al. 2020), section 3.1.

$\text{INSIDE}(F_c \mid \gamma_c, \beta_c, a_c) = F_c \odot a_c \odot \gamma_c + \beta_c$ (equation 3), where the
attention $a_c = a_{c,h}\, a_{c,w}^T$ is a product of one Gaussian along each axis. Its means and widths, like $\gamma$
and $\beta$, come from the non-imaging facts through a hypernetwork. A third axis adds a third Gaussian; the paper says
so in its conclusion, and its authors released no code for it.

Coordinates: an axis of N pixels spans [-1, 1] edge to edge, so that pixel k has its centre at $(2k + 1)/N - 1$. The
Gaussian has peak 1; it is no normalised density.

Differs from the released code, by default: gamma in place of 1 - gamma, and the width as the text has it (`WIDTHS`).
So read, a fresh layer passes next to nothing: gamma is near 0, and its Gaussians let 3% of a map through. The chapter
trains another reading (docs/readings.md says which, and on what evidence).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from whereabouts.layers.film import SCALES, modulate
from whereabouts.layers.hypernetwork import hypernetwork


def text_width(s: Tensor, n: int) -> Tensor:
    """A sigmoid in [0, 1], and 1 is the half width of the axis = 3.5 sd (99.95% of the mass): at most N/7 pixels."""
    return torch.sigmoid(s) / 3.5


def code_width(s: Tensor, n: int) -> Tensor:
    """As released: tanh, and at most 3.5 pixels whatever the resolution; signed, but only its square counts."""
    return torch.tanh(s) * 3.5 * 2 / n


def wide_width(s: Tensor, n: int) -> Tensor:
    """Another way to read the sentence, 3.5 times the sigmoid: very diffuse."""
    return torch.sigmoid(s) * 3.5


# How the head's output s becomes a standard deviation, in the coordinates that span [-1, 1] over N pixels.
WIDTHS = {"text": text_width, "open": text_width, "wide": wide_width, "code": code_width}
ACTIVATIONS = {"text": torch.sigmoid, "open": torch.sigmoid, "wide": torch.sigmoid, "code": torch.tanh}
# The bias of s at the start. The paper is silent and the released code has 0; at 3 the sigmoid is .95, the widest that
# the text allows, from which the penalty on the widths has something to take away.
STARTS = {"text": 0.0, "open": 3.0, "wide": 0.0, "code": 0.0}


def gaussian(mu: Tensor, sigma: Tensor, n: int) -> Tensor:
    r"""$\exp(-\frac12 ((x_k - \mu)/\sigma)^2)$ at the centres $x_k$ of n pixels.

    Args:
        mu, sigma: mean and standard deviation, both (B, C), in coordinates that span [-1, 1].
        n: pixels along the axis.

    Returns:
        (B, C, n), at most 1.
    """
    x = (2 * torch.arange(n, device=mu.device, dtype=mu.dtype) + 1) / n - 1  # (n,)
    return torch.exp(-0.5 * ((x - mu[..., None]) / (sigma.abs()[..., None] + 2e-7 / n)) ** 2)


class INSIDE(nn.Module):
    r"""Look at a Gaussian region of each feature map, then scale and shift it (equation 3), all as the facts say.

    Args:
        channels: C, feature maps of x.
        condition: K, length of z.
        attention: "multiple" for one Gaussian a channel, "single" for one that all channels share (Table 1).
        film: whether gamma and beta follow the attention; False gives Table 1's variants "w/o FiLM", x * a.
        hidden: width h of the hypernetwork; c/2 if None.
        scale: "gamma" as in the paper, or "1-gamma" as in the released code.
        sigma: "text", "open", "wide" or "code"; see `WIDTHS` and `STARTS`.
        spatial_dims: 2, or 3 for volumes (B, C, H, W, D).

    Raises:
        ValueError: an option is unknown; in `forward`, if x has not as many axes as `spatial_dims` says.
    """

    def __init__(
        self,
        channels: int,
        condition: int,
        attention: str = "multiple",
        film: bool = True,
        hidden: int | None = None,
        scale: str = "gamma",
        sigma: str = "text",
        spatial_dims: int = 2,
    ):
        super().__init__()
        for name, value, known in [
            ("attention", attention, ("multiple", "single")),
            ("scale", scale, SCALES),
            ("sigma", sigma, WIDTHS),
            ("spatial_dims", spatial_dims, (2, 3)),
        ]:
            if value not in known:
                raise ValueError(f"{name}={value!r}: unknown; choose one of {', '.join(map(str, known))}")
        self.channels, self.film, self.spatial_dims = channels, film, spatial_dims
        self.scale, self.width, self.activation = SCALES[scale], WIDTHS[sigma], ACTIVATIONS[sigma]
        self.gaussians = channels if attention == "multiple" else 1
        self.parts = (2 * channels if film else 0, spatial_dims * self.gaussians, spatial_dims * self.gaussians)
        self.hypernetwork = hypernetwork(condition, hidden or channels // 2, sum(self.parts))
        nn.init.constant_(self.hypernetwork[-1].bias[-self.parts[-1] :], STARTS[sigma])

    def parameters_of(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z (B, K) -> gamma and beta together (B, 2C or 0), means in [-1, 1] and raw widths, both (axes, B, C or 1)."""
        with torch.autocast(z.device.type, enabled=False):  # bfloat16 cannot tell the pixels of an axis apart
            outputs = self.hypernetwork(z)
        gamma_beta, mu, s = torch.split(outputs, self.parts, dim=1)
        per_axis = (z.shape[0], self.spatial_dims, self.gaussians)  # (B, axes, C)
        return gamma_beta, torch.tanh(mu).view(per_axis).transpose(0, 1), s.view(per_axis).transpose(0, 1)

    def gaussian_maps(self, mu: Tensor, s: Tensor, size: Sequence[int]) -> Tensor:
        """The product of one Gaussian an axis: (axes, B, C or 1) twice -> (B, C or 1, H, W) or (B, C or 1, H, W, D)."""
        maps = 1.0
        for axis, n in enumerate(size):
            a = gaussian(mu[axis], self.width(s[axis], n), n)  # (B, C, n)
            shape = [*a.shape[:2]] + [1] * len(size)
            shape[2 + axis] = n
            maps = maps * a.view(shape)  # (B, C, 1, .., n, .., 1)
        return maps

    def attention(self, z: Tensor, size: Sequence[int]) -> Tensor:
        """The Gaussian maps for z (B, K) on a grid of `size`: (B, C, H, W), or (B, C, H, W, D) in 3D; for drawing."""
        _, mu, s = self.parameters_of(z)
        return self.gaussian_maps(mu, s, size).expand(z.shape[0], self.channels, *size)

    def sigma(self, z: Tensor) -> Tensor:
        """Widths after their activation, as penalised in the loss: (axes, B, C), or (axes, B, 1) if single."""
        return self.activation(self.parameters_of(z)[2])

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, C, H, W) or (B, C, H, W, D), z (B, K) -> as x."""
        if x.ndim != 2 + self.spatial_dims:
            raise ValueError(f"INSIDE with spatial_dims={self.spatial_dims} got x of shape {tuple(x.shape)}")
        gamma_beta, mu, s = self.parameters_of(z)
        x = x * self.gaussian_maps(mu, s, x.shape[2:]).to(x.dtype)
        if not self.film:
            return x
        gamma, beta = torch.chunk(gamma_beta.to(x.dtype), 2, dim=1)  # (B, C) each
        return modulate(x, self.scale(gamma), beta)
