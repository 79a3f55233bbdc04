r"""The mask discriminator $D_M$ (Chartsias 2019, section 3.2): does this mask look like an anatomy?

DCGAN's, without batch normalisation. The text says no more; the released code adds a penalty that it calls spectral,
10 times the mean of |W / sigma(W) - W| over the last four convolutions, which is no spectral normalisation: it draws W
to a target, W / sigma(W), that it takes for constant. It is an option here, off by default.
"""

import torch
from torch import Tensor, nn

SLOPE = 0.2


class MaskDiscriminator(nn.Module):
    """4x4 convolutions: 64, 128, 256 and 512 filters with stride 2, 1024 with stride 1; then one number.

    11.35 million parameters at 224 pixels and three classes.

    Args:
        classes: foreground classes, channels of a mask.
        side: of the masks in pixels, a multiple of 16.
        filters: of the first convolution; 64 as released.
    """

    def __init__(self, classes: int = 3, side: int = 224, filters: int = 64):
        super().__init__()
        layers, width = [], classes
        for stage in range(5):
            stride = 2 if stage < 4 else 1
            pad = nn.ZeroPad2d(1 if stride == 2 else (1, 2, 1, 2))  # Keras' "same"
            layers += [pad, nn.Conv2d(width, filters * 2**stage, 4, stride), nn.LeakyReLU(SLOPE)]
            width = filters * 2**stage
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.score = nn.Linear(width * (side // 16) ** 2, 1)

    def forward(self, mask: Tensor) -> Tensor:
        """mask (B, classes, H, W) in [0, 1] -> (B, 1); trained towards 1 for drawn masks, 0 for predicted ones."""
        return self.score(self.features(mask))

    def spectral_penalty(self, iterations: int = 3) -> Tensor:
        r"""The sum over the last four convolutions of the mean of $|W / \sigma - W|$, whose first term has no gradient.

        As released, sigma is what a few power iterations make of one fixed random vector on the side of the inputs:
        after three some 4 to 14 % below the largest singular value of a W, (out, in * 4 * 4), that has just started.
        """
        total = self.score.weight.new_zeros(())
        for layer in [layer for layer in self.features if isinstance(layer, nn.Conv2d)][1:]:
            w = layer.weight.flatten(1)  # (out, in * 4 * 4)
            target = w.detach()
            u = torch.rand(w.shape[1], generator=torch.Generator().manual_seed(0)).to(target).mul(2).sub(1)
            for _ in range(iterations):
                v = nn.functional.normalize(target @ u, dim=0)
                u = nn.functional.normalize(target.T @ v, dim=0)
            total = total + (target / (v @ target @ u) - w).abs().mean()
        return total
