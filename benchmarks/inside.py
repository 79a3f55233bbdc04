"""The INSIDE chapter: what the training loop makes of the machine, and what INSIDE costs over FiLM."""

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from whereabouts.data.examples import Examples
from whereabouts.evaluation.timing import seconds
from whereabouts.losses.segmentation import inside_loss
from whereabouts.methods.networks.inside import clevr_network
from whereabouts.training.loop import Schedule, build
from whereabouts.training.supervised import fit

SIZE, BATCH, STEPS = 200, 8, 4


def examples(n: int) -> Examples:
    """Random images and masks of the paper's size."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, SIZE, SIZE, 3), dtype=torch.uint8, generator=rng).permute(0, 3, 1, 2)
    labels = torch.randint(0, 2, (n, SIZE, SIZE), dtype=torch.uint8, generator=rng)
    return Examples(images, labels, torch.eye(4).repeat(n // 4 + 1, 1)[:n], torch.arange(n))


def train(method: str, data: Examples):
    """STEPS steps of the compendium's loop, with a validation of one image."""
    model = build(lambda: clevr_network(method, 4, SIZE), seed=1)
    schedule = Schedule(steps=STEPS, batch=BATCH, learning_rate=1e-3, validate_every=STEPS, patience=9)

    def loss(model, logits, labels, z):
        return inside_loss(model, logits, labels, z, focal=0.1, gamma=0.5, eta=1e-4)

    return lambda: fit(model, data, data[:1], loss, schedule, seed=1, classes=2)


@cache
def plain_state():
    """Network, optimiser and data of the plain loop, made once in its process."""
    model = clevr_network("baseline", 4, SIZE)
    return model, torch.optim.Adam(model.parameters(), lr=1e-3), examples(BATCH * STEPS)


def plain() -> None:
    """The same network and images in the loop that one writes first: contiguous NCHW, cross-entropy, no more."""
    model, optimiser, data = plain_state()
    for step in range(STEPS):
        part = slice(step * BATCH, (step + 1) * BATCH)
        images, labels = data.images[part].contiguous().float() / 255, data.labels[part].float()
        loss = binary_cross_entropy_with_logits(model(images, data.z[part])[:, 0], labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def gigaflops_of_training(time: float) -> float:
    """Convolutions of STEPS training steps, forward and twice that backward, over `time` in seconds."""
    model, multiplications = clevr_network("baseline", 4, SIZE), 0
    handles = []

    def count(layer, inputs, output) -> None:
        nonlocal multiplications
        multiplications += output.shape[2] * output.shape[3] * layer.weight.numel()

    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d):
            handles.append(layer.register_forward_hook(count))
    model(torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, 4))
    return 3 * 2 * multiplications * BATCH * STEPS / time / 1e9


def benchmarks() -> list[tuple[str, float, str, bool]]:
    """Name, ratio, target, whether it is met."""
    data = examples(BATCH * STEPS)
    # in a process of its own: our loop tells the C library to keep memory, which would help the plain loop too
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
        ours, theirs = seconds(train("baseline", data), lambda: other.submit(plain).result())
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    (matmul,) = seconds(lambda: a @ b)
    of_matmul = gigaflops_of_training(ours) / (2 * 2048**3 / matmul / 1e9)
    inside, film = seconds(train("inside", data), train("film", data))
    return [
        ("clevr training, images/s over a plain NCHW loop's", theirs / ours, ">= 2", theirs / ours >= 2),
        ("clevr training, GFLOP/s over matmul's", of_matmul, ">= 0.75", of_matmul >= 0.75),
        ("INSIDE step time over FiLM's", inside / film, "<= 1.25", inside / film <= 1.25),
    ]
