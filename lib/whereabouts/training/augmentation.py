"""Augmentation, applied to a batch on its device; what is drawn at random comes in as numbers."""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


def angles(count: int, reach: float, generator: torch.Generator) -> Tensor:
    """`count` rotations between -reach and reach degrees, in radians; (count,), on the generator's device."""
    degrees = (2 * torch.rand(count, generator=generator, device=generator.device) - 1) * reach
    return torch.deg2rad(degrees)


def affine(
    count: int,
    generator: torch.Generator,
    rotation: float = 15.0,
    shift: float = 0.1,
    zoom: tuple[float, float] = (0.7, 1.3),
    flips: tuple[float, float] = (0.5, 0.5),
) -> Tensor:
    """`count` random in-plane maps for `warp`: flip, zoom each axis, turn, shift (Attention Gated Networks' code).

    Args:
        generator: draws, on its device.
        rotation: at most, degrees to either side.
        shift: at most, along either axis, as part of its length.
        zoom: range of each axis' factor, drawn independently; below 1 magnifies.
        flips: probability that rows (H) and columns (W) are reversed.

    Returns:
        (count, 2, 3), see `warp`.
    """
    turn = _turned(angles(count, rotation, generator))  # (count, 2, 2)
    low, high = zoom
    random = torch.rand(count, 6, generator=generator, device=generator.device)
    scale = low + (high - low) * random[:, :2]  # (count, 2), of x and y
    reverse = random[:, 2:4] < random.new_tensor(flips[::-1])
    offset = (2 * random[:, 4:, None] - 1) * shift
    return torch.cat([turn * torch.where(reverse, -scale, scale)[:, None], offset], 2)


def warp(images: Tensor, matrix: Tensor, mode: str = "bilinear") -> Tensor:
    """Images or, in their first two axes and in all slices alike, volumes, resampled; the border is repeated.

    Args:
        images: (B, C, H, W) or (B, C, H, W, D), float.
        matrix: (B, 2, 3): a position (x, y) from the centre shows what was at matrix @ (x, y, 1). x runs along W and y
            along H, in equal units; the last column counts in parts of W and of H.
        mode: "bilinear" for images, "nearest" for masks, whose values then stay what they are.

    Returns:
        As `images`.
    """
    if images.ndim == 5:
        b, c, h, w, d = images.shape
        flat = images.permute(0, 1, 4, 2, 3).reshape(b, c * d, h, w)
        return warp(flat, matrix, mode).reshape(b, c, d, h, w).permute(0, 1, 3, 4, 2)  # (B, C, H, W, D)
    length = matrix.new_tensor(images.shape[:1:-1])  # W, H: affine_grid measures either axis from -1 to 1
    normal = torch.cat([matrix[:, :, :2] * (length[None] / length[:, None]), 2 * matrix[:, :, 2:]], 2)
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 cannot tell the pixels of an axis apart
        grid = affine_grid(normal, [len(images), 1, *images.shape[2:]], align_corners=False)
    return grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)


def rotate(images: Tensor, by: Tensor, mode: str = "bilinear") -> Tensor:
    """Images turned about their centre, clockwise as displayed, by (B,) radians; see `warp`."""
    turn = _turned(by)
    return warp(images, torch.cat([turn, torch.zeros_like(turn[:, :, :1])], 2), mode)


def _turned(by: Tensor) -> Tensor:
    """Rotation matrices (B, 2, 2)."""
    cos, sin = torch.cos(by), torch.sin(by)
    return torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)
