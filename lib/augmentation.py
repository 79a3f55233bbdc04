"""Augmentation, applied to a batch on its device; what is drawn at random comes in as numbers."""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def angles(count: int, reach: float, generator: torch.Generator) -> Tensor:
    """`count` rotations between -reach and reach degrees, in radians; (count,), on the generator's device."""
    degrees = (2 * torch.rand(count, generator=generator, device=generator.device) - 1) * reach
    return torch.deg2rad(degrees)


def rotate(images: Tensor, by: Tensor, mode: str = "bilinear") -> Tensor:
    """Square images turned about their centre, clockwise as displayed; what comes in from outside repeats the border.

    Args:
        images: (B, C, N, N), float.
        by: (B,) radians.
        mode: "bilinear" for images, "nearest" for masks, which then stay 0 or 1.

    Returns:
        As `images`.
    """
    cos, sin, zero = torch.cos(by), torch.sin(by), torch.zeros_like(by)
    matrix = torch.stack([torch.stack([cos, sin, zero], 1), torch.stack([-sin, cos, zero], 1)], 1)  # (B, 2, 3)
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 cannot tell the pixels of an axis apart
        grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)
