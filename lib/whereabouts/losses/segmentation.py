r"""Losses, from class logits (B, C, ...) with the background first, and integer labels (B, ...).

All are computed in float32 whatever the precision of the logits, and know nothing of devices.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from whereabouts.layers import INSIDE


def binary_logits(logit: Tensor) -> Tensor:
    """One foreground logit (B, 1, ...) as two class logits (B, 2, ...): softmax([0, l]) is sigmoid(l)."""
    return torch.cat([torch.zeros_like(logit), logit], dim=1)


def dice_loss(
    logits: Tensor, labels: Tensor, epsilon: float = 1e-5, background: bool = False, as_released: bool = False
) -> Tensor:
    r"""$1 - \overline{(2\sum pt + \epsilon)/(\sum p + \sum t + \epsilon)}$ over images and classes.

    INSIDE section 3.3; its text leaves epsilon and the reduction open. Epsilon stands beside the factor 2, not inside
    it: a class that is absent and predicted absent then costs 0 and never less (as released, SDNet's and Attention
    Gated Networks' forms reach -1).

    Args:
        logits: (B, C, ...), background first.
        labels: (B, ...), integers below C.
        epsilon: keeps the ratio defined where a class is absent from both.
        background: whether the background counts as a class, as in Attention Gated Networks (section 3.2).
        as_released: epsilon inside the factor 2.

    Returns:
        A scalar in [0, 1], or in [-1, 1] as released.
    """
    first = 0 if background else 1
    p = torch.softmax(logits.float(), dim=1)[:, first:]
    t = torch.stack([labels == c for c in range(first, logits.shape[1])], dim=1).float()
    axes = tuple(range(2, logits.ndim))
    overlap, total = (p * t).sum(axes), p.sum(axes) + t.sum(axes)  # (B, C) or (B, C-1)
    return 1 - ((2 * overlap + (2 if as_released else 1) * epsilon) / (total + epsilon)).mean()


def focal_loss(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    r"""$-(1 - p_t)^\gamma \log p_t$, the mean over pixels, every class included (Lin et al. 2017, equation 4).

    With $u = -\log p_t$ this is $q^\gamma u$, $q = 1 - e^{-u}$. For gamma < 1 (the paper has 0.5) the derivative of
    $q^\gamma$ is infinite at u = 0 and automatic differentiation multiplies it by 0. Below u = 1 we therefore write
    the same function as $(q/u)^\gamma u^{1 + \gamma}$, whose factors have finite derivatives everywhere.

    Args:
        logits: (B, C, ...), background first.
        labels: (B, ...), integers below C.
        gamma: focusing parameter, > 0.

    Returns:
        A scalar, finite and with finite gradients for logits of +-1e4.

    Raises:
        ValueError: gamma is not positive.
    """
    if gamma <= 0:
        raise ValueError(f"gamma={gamma}: the focusing parameter must be > 0; for gamma = 0 use cross-entropy")
    u = F.cross_entropy(logits.float(), labels, reduction="none").clamp(min=0)  # (B, ...)
    small, large = u.clamp(max=1), u.clamp(min=1)
    ratio = torch.where(small > 1e-6, -torch.expm1(-small) / small.clamp(min=1e-6), 1.0)  # q/u, in [1 - 1/e, 1]
    near = ratio**gamma * small ** (1 + gamma)
    far = (-torch.expm1(-large)) ** gamma * large
    return torch.where(u < 1, near, far).mean()


def sigma_penalty(model: nn.Module, z: Tensor) -> Tensor:
    r"""$\|\sigma\|_2^2$ over the axes and channels of every INSIDE layer, the mean over the batch (section 3.3).

    The widths are those after their activation, in [0, 1]; the paper leaves the reduction open. (In the released code
    the penalty acts on the widths before it and is never added to the loss.) 0 for models without INSIDE layers.

    Args:
        model: any module.
        z: (B, K), the facts that its layers are given.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, INSIDE)]
    return sum((layer.sigma(z).float().square().sum((0, 2)).mean() for layer in layers), z.new_zeros(()))


def inside_loss(model: nn.Module, logits: Tensor, labels: Tensor, z: Tensor, focal: float, gamma: float, eta: float):
    r"""$L_\text{Dice} + \lambda L_\text{Focal} + \eta \|\sigma\|_2^2$ (INSIDE, section 3.3), a scalar.

    Args:
        model, z: as for `sigma_penalty`.
        logits: (B, C, ...), background first.
        labels: (B, ...), integers below C.
        focal: lambda; 0.1 in the paper.
        gamma: see `focal_loss`.
        eta: weight of the widths.

    Raises:
        ValueError: gamma is not positive.
    """
    return dice_loss(logits, labels) + focal * focal_loss(logits, labels, gamma) + eta * sigma_penalty(model, z)
