"""The fully convolutional network of the CLEVR-Seg experiments (INSIDE, section 4.1 and Figure 6)."""

from torch import Tensor, nn, relu_
from torch.nn.functional import interpolate, max_pool2d


class ClevrFCN(nn.Module):
    """Encoder, one conditional layer at the bottleneck, decoder; no normalisation, no skip connections.

    The text says three down- and three up-sampling blocks; with two, as in the released code, a 200x200 image has a
    50x50 bottleneck and the Guiding Block has the n = 228 = 2 * 64 + 50 + 50 outputs of the paper's own Figure 6.
    83,617 parameters without conditioning.

    Args:
        condition: a layer called as `layer(x, z)` on (B, 4F, H/4, W/4) maps, or None for the baseline.
        filters: F, feature maps of the first convolution; 16 in the paper.
        inputs: channels of the image.
    """

    def __init__(self, condition: nn.Module | None = None, filters: int = 16, inputs: int = 3):
        super().__init__()
        f = filters
        self.encoder = nn.ModuleList([conv(inputs, f), conv(f, 2 * f), conv(2 * f, 4 * f)])
        self.condition = condition
        self.decoder = nn.ModuleList([conv(4 * f, 4 * f), conv(4 * f, 2 * f), conv(2 * f, f)])
        self.head = conv(f, 1, size=1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, inputs, H, W), z (B, K) -> one foreground logit (B, 1, H, W); H and W are multiples of 4."""
        x = relu_(max_pool2d(self.encoder[0](x), 2))  # (B, F, H/2, W/2); ReLU before or after the maximum is the same
        x = relu_(max_pool2d(self.encoder[1](x), 2))  # (B, 2F, H/4, W/4)
        x = relu_(self.encoder[2](x))  # (B, 4F, H/4, W/4)
        if self.condition is not None:
            x = self.condition(x, z)
        x = interpolate(relu_(self.decoder[0](x)), scale_factor=2)  # (B, 4F, H/2, W/2)
        x = interpolate(relu_(self.decoder[1](x)), scale_factor=2)  # (B, 2F, H, W)
        return self.head(relu_(self.decoder[2](x)))


def conv(inputs: int, outputs: int, size: int = 3) -> nn.Conv2d:
    """A convolution that keeps the size, initialised as in Keras (Glorot uniform, biases zero)."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
