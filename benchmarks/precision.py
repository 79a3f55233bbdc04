"""Two trainings at once, a process each, in the precision that `auto` is here, against float32 in two threads.

The second is how trainings ran up to b89ccf2. Four kinds of network, one a chapter, as large as two cores train.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from whereabouts.data.examples import Examples
from whereabouts.data.scan import Scan
from whereabouts.evaluation.timing import seconds
from whereabouts.losses.segmentation import inside_loss
from whereabouts.methods.networks.gates import volume_network
from whereabouts.methods.networks.inside import acdc_network
from whereabouts.methods.networks.position import position_network
from whereabouts.methods.networks.sdnet import sdnet_network
from whereabouts.models.sdnet.discriminator import MaskDiscriminator
from whereabouts.pipeline import precision
from whereabouts.training.loop import Learner, Schedule, build, side_by_side
from whereabouts.training.scans import Segmenting
from whereabouts.training.semi_supervised import SemiSupervised
from whereabouts.training.supervised import Supervised

SIDE, FILTERS, BATCH, STEPS = 96, 16, 8, 5
WINDOW = (48, 48, 32)
RNG = torch.Generator().manual_seed(0)
IMAGES = Examples(
    2 * torch.rand(BATCH, 1, SIDE, SIDE, generator=RNG) - 1,
    torch.randint(4, (BATCH, SIDE, SIDE), generator=RNG).byte(),
    torch.rand(BATCH, 1, generator=RNG),
    torch.arange(BATCH),
)


def schedule(word: str, batch: int = BATCH) -> Schedule:
    return Schedule(STEPS, batch, 1e-3, STEPS, 9, precision=word)


def inside(word: str) -> Learner:
    def loss(model, logits, labels, z):
        return inside_loss(model, logits, labels, z, focal=0.1, gamma=0.5, eta=1e-4)

    model = build(lambda: acdc_network("inside-position", 1, SIDE, FILTERS), 0)
    return Supervised(model, IMAGES, IMAGES, loss, schedule(word), 0, 4)


def position(word: str) -> Learner:
    """In float32 always: its coordinates are not to be rounded."""

    def loss(model, logits, labels, z):
        return cross_entropy(logits, labels)

    model = build(lambda: position_network("unet", 256, "zeros", FILTERS), 0)
    return Supervised(model, IMAGES, IMAGES, loss, schedule("float32"), 0, 4)


def gates(word: str) -> Learner:
    rng, shape = np.random.default_rng(0), WINDOW
    scan = Scan("a", rng.normal(size=shape).astype(np.float32), rng.integers(0, 4, shape, np.uint8), (3.0, 3.0, 3.0))
    model = build(lambda: volume_network("attention", 3, 4.0, gates=2, gating="decoder", subsample=2), 0)
    return Segmenting(model, [scan], [scan], 3, schedule(word, 2), 0, WINDOW)


def sdnet(word: str) -> Learner:
    model = build(lambda: sdnet_network("sdnet", 4, FILTERS, side=SIDE, segmentor_filters=FILTERS), 0)
    judge = build(lambda: MaskDiscriminator(3, SIDE, FILTERS), 1)
    others = {"unlabelled": IMAGES, "discriminator": judge, "drawn": IMAGES}
    return SemiSupervised(model, IMAGES, IMAGES, 4, schedule(word, 4), 0, **others)


def steps(learner: Learner) -> None:
    for number in range(STEPS):
        learner.step(number)


def ratio(make: Callable[[str], Learner]) -> float:
    """Images/s of two trainings, new over old."""
    new, old = ([make(word) for _ in range(2)] for word in (precision.resolved("auto"), "float32"))

    def threads() -> None:
        with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(steps, old))

    ours, theirs = seconds(lambda: side_by_side(lambda k: steps(new[k]), [0, 1]), threads, runs=3)
    return theirs / ours


def benchmarks() -> list[tuple[str, float, str, bool]]:
    """Name, ratio, target, whether it is met."""
    ratios = {make.__name__: ratio(make) for make in (inside, position, gates, sdnet)}
    rows = [(f"two trainings, {name}: images/s over float32 in threads", one, "", True) for name, one in ratios.items()]
    middle = median(ratios.values())
    return [*rows, ("two trainings, median of the four chapters", middle, ">= 2.2", middle >= 2.2)]
