"""Positional encoding: the coordinates, every network that can be shown them, and the paper's two networks."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from whereabouts.layers import INSIDE, FiLM, Position, WithPosition
from whereabouts.layers.position import coordinates
from whereabouts.methods.networks.position import position_network
from whereabouts.methods.position import POSITION_ARMS, POSITION_ARMS_ON, POSITION_NAMES
from whereabouts.models import parameters
from whereabouts.models.bilinear_unet import BilinearUNet, SmallCNN
from whereabouts.models.clevr_fcn import ClevrFCN
from whereabouts.models.unet import UNet


@pytest.mark.parametrize("size", [(7, 5), (4, 9), (256, 256)])
@pytest.mark.parametrize("scale", [1, 10, 256])
def test_coordinates_are_the_papers_equations(size, scale):
    height, width = size
    expected = np.empty((2, height, width))
    for j in range(height):
        for i in range(width):
            expected[0, j, i] = scale * i / (width - 1)  # equation 1a
            expected[1, j, i] = scale * j / (height - 1)  # equation 1b
    found = coordinates(size, scale)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * scale)


def test_coordinates_of_a_volume_and_of_axes_of_one_pixel():
    found = coordinates((3, 5, 4), 6)
    assert found.shape == (3, 3, 5, 4)
    for channel, (axis, step) in enumerate(((1, 6 / 4), (0, 6 / 2), (2, 6 / 3))):  # across, down, deep
        index = torch.arange(found.shape[1:][axis]) * step
        shape = [-1 if a == axis else 1 for a in range(3)]
        assert torch.allclose(found[channel], index.view(shape).expand(3, 5, 4))
    assert torch.equal(coordinates((1, 3), 2), torch.tensor([[[0.0, 1, 2]], [[0.0, 0, 0]]]))


@pytest.mark.parametrize("shape", [(2, 1, 6, 9), (3, 2, 5, 4, 7)])
def test_the_image_is_left_alone_and_every_image_gets_the_same_coordinates(shape):
    image = torch.randn(shape)
    shown = Position(10)(image)
    axes = len(shape) - 2
    assert shown.shape == (shape[0], shape[1] + axes, *shape[2:]) and Position(10).channels(axes) == axes
    assert torch.equal(shown[:, : shape[1]], image)
    for one in shown:
        assert torch.equal(one[shape[1] :], coordinates(shape[2:], 10))


def test_lambda_zero_appends_nothing():
    image = torch.randn(2, 1, 4, 4)
    assert Position(0)(image) is image and Position(0).channels() == 0 and parameters(Position(256)) == 0


@pytest.mark.parametrize("scale", [-1, float("nan"), float("inf")])
def test_a_lambda_that_is_no_length_is_refused(scale):
    with pytest.raises(ValueError, match="lambda must be finite and >= 0"):
        Position(scale)


@pytest.mark.parametrize(
    ("make", "image"),
    [
        (lambda: ClevrFCN(FiLM(16, 3), filters=4, inputs=5), (2, 3, 16, 16)),
        (lambda: ClevrFCN(INSIDE(16, 3), filters=4, inputs=5), (2, 3, 16, 24)),
        (lambda: UNet(lambda c, size: FiLM(c, 3), inputs=3, filters=2, size=32), (2, 1, 32, 32)),
        (lambda: UNet(None, inputs=3, filters=2, size=32), (2, 1, 48, 32)),
        (lambda: BilinearUNet(3, filters=2), (2, 1, 32, 16)),
        (lambda: SmallCNN(3, filters=2), (2, 1, 9, 5)),
    ],
)
def test_every_network_can_be_shown_the_coordinates_and_learns_from_them(make, image):
    network = make()
    positioned = WithPosition(network, 1)
    logits = positioned(torch.randn(image), torch.eye(3)[:2])
    assert logits.shape == (image[0], logits.shape[1], *image[2:])
    logits.square().sum().backward()
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    assert (first.weight.grad[:, -2:].abs().sum((0, 2, 3)) > 0).all()  # of each coordinate, by some filter


def test_a_3d_network_can_be_shown_the_coordinates():
    class Volumetric(nn.Conv3d):
        def forward(self, x, *_):
            return super().forward(x)

    assert WithPosition(Volumetric(1 + 3, 2, 3, padding=1), 256)(torch.randn(2, 1, 5, 6, 7)).shape == (2, 2, 5, 6, 7)


def test_parameters_are_the_papers():
    expected = {"unet": (13_394_372, 13_395_524), "cnn": (75_140, 76_292)}
    with torch.device("meta"):  # which counts weights without making them
        for name, arm in POSITION_ARMS.items():
            network = position_network(arm.network, arm.scale, arm.padding)
            assert parameters(network) == expected[arm.network][arm.scale > 0], name


@pytest.mark.parametrize("padding", ["zeros", "reflect"])
def test_every_convolution_pads_as_asked(padding):
    for network in (BilinearUNet(1, filters=2, padding=padding), SmallCNN(1, filters=2, padding=padding)):
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)]
        assert len(layers) in (18, 3) and all(layer.padding_mode == padding for layer in layers)


def test_reflection_hides_the_border_from_a_constant_image_and_zeros_show_it():
    """Section 3.4: zero padding carries position, reflection does not, where there is nothing else to see."""
    flat = torch.ones(1, 1, 32, 32)
    for kind in (BilinearUNet, SmallCNN):
        for padding, shown in (("reflect", False), ("zeros", True)):
            torch.manual_seed(0)
            logits = kind(1, filters=4, padding=padding).eval()(flat)
            spread = (logits.amax((2, 3)) - logits.amin((2, 3))).max()
            assert (spread > 1e-4) == shown, (kind, padding)


def test_align_corners_makes_even_the_upsampling_depend_on_position():
    """Shifting the image by the coarsest stride shifts the logits, far from the border, unless corners are aligned."""
    image = torch.zeros(1, 1, 256, 256)
    image[..., 100:140, 96:150] = torch.randn(40, 54, generator=torch.Generator().manual_seed(1))
    for aligned in (False, True):
        torch.manual_seed(0)
        network = BilinearUNet(1, filters=8, padding="reflect", align_corners=aligned).eval().double()
        with torch.no_grad():
            plain, shifted = network(image.double()), network(image.roll(16, 3).double())
        same = torch.allclose(plain[..., 100:140, 96:150], shifted[..., 100:140, 112:166], rtol=0, atol=1e-9)
        assert same != aligned


def test_the_small_cnn_sees_seven_pixels():
    """With weights and pixels above 0, so that no ReLU hides any."""
    network = SmallCNN(1, filters=4).eval()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    image = torch.ones(1, 1, 15, 15, requires_grad=True)
    network(image)[0, :, 7, 7].sum().backward()
    seen = torch.zeros(15, 15, dtype=torch.bool)
    seen[4:11, 4:11] = True
    assert torch.equal(image.grad[0, 0] > 0, seen)


def test_the_unet_is_the_one_that_its_table_lists():
    """Shapes at each of Table 3's lines, and the U-Net computed from its own blocks with plain functions."""
    with torch.device("meta"):
        network = BilinearUNet(1, filters=64)
    outputs = [block[-1][0].out_channels for block in [*network.encoder, *network.decoder]]
    assert outputs == [64, 128, 256, 512, 512, 256, 128, 64, 64] and network.score.out_channels == 4
    small = BilinearUNet(1, filters=2).eval()
    x = torch.randn(1, 1, 32, 48)
    e = [small.encoder[0](x)]
    for block in small.encoder[1:]:
        e.append(block(F.max_pool2d(e[-1], 2)))
    y = e[4]
    for block, skip in zip(small.decoder, e[3::-1], strict=True):
        up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)(y)
        y = block(torch.cat([skip, up], dim=1))
    assert torch.allclose(small(x), small.score(y))


def test_arms_have_names_and_the_few_are_on_radiographs_only():
    assert POSITION_NAMES.keys() == POSITION_ARMS.keys()
    assert set(POSITION_ARMS_ON["chest"]) == {name for name, arm in POSITION_ARMS.items() if not arm.long}
    assert {arm.images for arm in map(POSITION_ARMS.get, POSITION_ARMS_ON["acdc"])} == {0}
