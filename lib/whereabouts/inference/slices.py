"""What a 2D network says of images: class logits, and the most probable class.

In float32, whatever a network was trained in, unless it is asked otherwise: what is published of it is then a function
of its weights, the same on every machine but for the last bits. Validation within a training is in the training's.
"""

import torch
from torch import Tensor, nn

from whereabouts.data.examples import Examples
from whereabouts.inference.device import autocast
from whereabouts.losses.segmentation import binary_logits


def class_logits(model: nn.Module, images: Tensor, z: Tensor, precision: str = "float32") -> Tensor:
    """Class logits (B, C, H, W), C >= 2, background first; see `whereabouts.inference.device.autocast`."""
    with autocast(precision):
        logits = model(images, z)
    return binary_logits(logits) if logits.shape[1] == 1 else logits


@torch.no_grad()
def predict_logits(model: nn.Module, examples: Examples, batch: int = 32, precision: str = "float32") -> Tensor:
    """Class logits of every pixel, (N, C, H, W), float32, on the device of the examples."""
    model.eval()
    parts = torch.arange(len(examples), device=examples.images.device).split(batch)
    return torch.cat([class_logits(model, *examples.batch(part)[::2], precision).float() for part in parts])


def predict(model: nn.Module, examples: Examples, batch: int = 32, precision: str = "float32") -> Tensor:
    """Most probable class of every pixel, (N, H, W), uint8, on the device of the examples."""
    parts = torch.arange(len(examples), device=examples.images.device).split(batch)
    return torch.cat([predict_logits(model, examples[part], batch, precision).argmax(1).byte() for part in parts])
