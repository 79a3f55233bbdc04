"""The chapter of attention gates against MONAI: a training step of the 3D network, and the distance of surfaces."""

import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from whereabouts.evaluation.timing import seconds
from whereabouts.losses.segmentation import dice_loss
from whereabouts.metrics.surface import surface_distance
from whereabouts.models.unet3d import AttentionUNet3D
from whereabouts.training.loop import build

with warnings.catch_warnings():  # MONAI's imports use what its dependencies have deprecated
    warnings.simplefilter("ignore")
    from monai.metrics import compute_average_surface_distance
    from monai.networks.nets import AttentionUnet

PATCH = (64, 64, 48)  # voxels

SPACING = (2.0, 2.0, 3.0)
SHAPES = ((48, 48, 32), (96, 96, 64), (160, 160, 96))  # voxels; the last is the paper's volume


def blobs(shape: tuple[int, ...]) -> list[np.ndarray]:
    """A prediction and labels, each a tenth of the volume, that agree about as well as in the paper: Dice 0.8 or so."""
    rng = np.random.default_rng(0)
    truth, error = (gaussian_filter(rng.normal(size=shape), 8) for _ in range(2))
    return [field > np.quantile(field, 0.9) for field in (0.8 * truth + 0.2 * error, truth)]


def ratio(shape: tuple[int, ...]) -> float:
    """Our time over MONAI's for the same masks and the same answer, on one thread each."""
    masks = blobs(shape)
    batches = [torch.from_numpy(mask)[None, None] for mask in masks]

    def monai() -> None:
        with warnings.catch_warnings():  # it calls what it has deprecated itself
            warnings.simplefilter("ignore")
            compute_average_surface_distance(*batches, include_background=True, symmetric=True, spacing=SPACING)

    ours, theirs = seconds(lambda: surface_distance(*masks, SPACING), monai)
    return ours / theirs


def step(model: nn.Module, x: torch.Tensor, labels: torch.Tensor):
    """A forward and a backward pass of `model`, as a call."""

    def run() -> None:
        model.zero_grad()
        dice_loss(model(x), labels, background=True).backward()

    return run


def patch() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(1, 1, *PATCH, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 1).long()


@cache
def monai_step():
    """A step of MONAI's network, made once in its process."""
    return step(AttentionUnet(3, 1, 4, (16, 32, 64, 128, 256), (2, 2, 2, 2)), *patch())


def monai() -> None:
    monai_step()()


def work(one) -> int:
    """Floating-point operations of a step."""
    with FlopCounterMode(display=False) as counter:
        one()
    return counter.get_total_flops()


def gigaflops() -> tuple[float, float, float]:
    """GFLOP/s of a training step of our Attention U-Net and of MONAI's on the same patch, and of a matrix product."""
    x, labels = patch()
    ours = step(build(AttentionUNet3D, seed=1), x.contiguous(memory_format=torch.channels_last_3d), labels)
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    flops = [work(ours), work(monai_step()), 2 * 2048**3]
    # in a process of its own: `build` tells the C library to keep memory, which would help MONAI too
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        times = seconds(ours, lambda: other.submit(monai).result(), lambda: a @ b)
    return tuple(n / time / 1e9 for n, time in zip(flops, times, strict=True))


def benchmarks() -> list[tuple[str, float, str, bool]]:
    """Name, ratio, target, whether it is met."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # MONAI's threads gain it nothing, and on a busy machine they wait for each other
    worst = max(ratio(shape) for shape in SHAPES)
    torch.set_num_threads(threads)
    ours, theirs, matmul = gigaflops()
    return [
        ("Attention U-Net step, GFLOP/s over MONAI's", ours / theirs, ">= 1.1", ours / theirs >= 1.1),
        ("Attention U-Net step, GFLOP/s over matmul's", ours / matmul, ">= 0.6", ours / matmul >= 0.6),
        ("surface distance, time over MONAI's, worst of 3 sizes", worst, "<= 0.5", worst <= 0.5),
    ]
