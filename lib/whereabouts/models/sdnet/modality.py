r"""The modality encoder $f_\text{modality}: x, s \mapsto z$ (Chartsias 2019, section 3.1.2): the encoder of a VAE."""

import torch
from torch import Tensor, nn

from whereabouts.models.sdnet.keras import SLOPE


def sample(mean: Tensor, log_var: Tensor, generator: torch.Generator) -> Tensor:
    r"""$z = \mu + \sigma \odot \epsilon$, $\epsilon \sim N(0, I)$ (the reparameterisation trick). All (B, n_z)."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + torch.exp(0.5 * log_var) * noise


class ModalityEncoder(nn.Module):
    """Mean and log variance of q(z | x, s).

    Four 3x3 convolutions with stride 2 and no padding take 224 pixels to 111, 55, 27 and 13; then two dense layers.
    95,552 parameters at 224 pixels, C = 8 and n_z = 8.

    Args:
        channels: C of the anatomy factor.
        dimensions: n_z.
        side: of the images in pixels, at least 31.
        filters: of each convolution; 16 in the paper.
        hidden: of the dense layer.
    """

    def __init__(self, channels: int = 8, dimensions: int = 8, side: int = 224, filters: int = 16, hidden: int = 32):
        super().__init__()
        layers, width = [], channels + 1
        for _ in range(4):
            layers += [nn.Conv2d(width, filters, 3, stride=2), nn.BatchNorm2d(filters), nn.LeakyReLU(SLOPE)]
            width, side = filters, (side - 1) // 2
        self.features = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(filters * side**2, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(SLOPE)
        )
        self.mean, self.log_var = nn.Linear(hidden, dimensions), nn.Linear(hidden, dimensions)

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 1, H, W), s (B, C, H, W) -> mean and log variance, both (B, n_z)."""
        h = self.features(torch.cat([s, x], dim=1))
        return self.mean(h).float(), self.log_var(h).float()  # the divergence cancels in half precision
