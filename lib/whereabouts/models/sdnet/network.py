"""SDNet put together from its four networks (Chartsias 2019, section 3)."""

from torch import Tensor, nn

from whereabouts.models.sdnet.anatomy import AnatomyEncoder
from whereabouts.models.sdnet.decoder import Decoder
from whereabouts.models.sdnet.modality import ModalityEncoder
from whereabouts.models.sdnet.segmentor import Segmentor


class SDNet(nn.Module):
    """The four networks of Chartsias 2019, section 3 and Figure 2; called on an image it segments.

    Args:
        classes: with the background.
        side: of the images in pixels, a multiple of 16, at least 32.
        channels, dimensions: C and n_z.
        filters, segmentor_filters: of the anatomy encoder's first stage, and of the segmentor.
        discrete, modulation: see `AnatomyEncoder` and `Decoder`.

    Raises:
        ValueError: an option is unknown.
    """

    def __init__(
        self,
        classes: int = 4,
        side: int = 224,
        channels: int = 8,
        dimensions: int = 8,
        filters: int = 64,
        segmentor_filters: int = 64,
        discrete: str = "round",
        modulation: str = "film",
    ):
        super().__init__()
        self.dimensions = dimensions
        self.anatomy = AnatomyEncoder(channels, filters, discrete)
        self.modality = ModalityEncoder(channels, dimensions, side)
        self.segmentor = Segmentor(channels, classes, segmentor_filters)
        self.decoder = Decoder(channels, dimensions, modulation)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, 1, H, W) -> s (B, C, H, W), and mean and log variance of z, both (B, n_z)."""
        s = self.anatomy(x)
        return s, *self.modality(x, s)

    def forward(self, x: Tensor, facts: Tensor | None = None) -> Tensor:
        """x (B, 1, H, W) -> class logits (B, classes, H, W). Facts are not looked at."""
        return self.segmentor(self.anatomy(x))
