"""When two things are the same: files, states, batches, runs, and random generators that nothing should touch."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from whereabouts.files import sha256
from whereabouts.training.checkpoints import Checkpoint
from whereabouts.training.loop import Learner


def hashes(root: Path) -> dict[str, str]:
    """sha256 of every file below a folder, by its path from there."""
    return {path.relative_to(root).as_posix(): sha256(path) for path in sorted(root.rglob("*")) if path.is_file()}


def same_bits(a: object, b: object) -> bool:
    """Whether two nested states are equal to the last bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_bits(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same_bits(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def after(trained: Learner, steps: int = 2) -> dict:
    """The state of a learner after its first steps."""
    for number in range(steps):
        trained.step(number)
    return deepcopy(trained.state())


@contextmanager
def global_generators_untouched() -> Iterator[None]:
    """Of torch, NumPy and Python: in a state of their own inside, and in the same one at the end."""

    def now():
        name, words, *rest = np.random.get_state()
        return torch.get_rng_state().tolist(), name, words.tolist(), rest, random.getstate()

    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(99)
    before = now()
    yield
    assert now() == before


def check_batches(make: Callable[..., Learner]) -> None:
    """A batch is a function of seed and number: whatever was drawn or trained before, global generators untouched.

    Args:
        make: called with seed=0 and seed=1; a learner with `batch`.
    """
    first = [make(seed=0).batch(number) for number in range(4)]
    trained = make(seed=0)
    with global_generators_untouched():
        trained.step(0)
        for number in (3, 0, 2, 2, 1):
            assert all(map(same_bits, trained.batch(number), first[number]))
    seen = [x for x, *_ in first] + [make(seed=1).batch(number)[0] for number in range(4)]
    assert not any(torch.equal(seen[i], seen[j]) for i in range(8) for j in range(i))


def check_resumes(make: Callable[[], Learner], checkpoint: Checkpoint, at: int = 2, steps: int = 4) -> None:
    """What is put away after `at` steps and taken up again ends in the same bits as what was not.

    Losses, weights and all that is in the state count; global generators neither matter nor change.

    Args:
        make: () -> learner, always the same.
        checkpoint: on disk, where it is put away.
    """

    def advance(learner: Learner, *numbers: int) -> list[float]:
        return [learner.step(number).item() for number in numbers]

    whole = make()
    advance(whole, *range(at))
    checkpoint.save(whole.state())
    losses = advance(whole, *range(at, steps))
    with global_generators_untouched():
        resumed = make()
        resumed.resume(checkpoint.load())
        assert advance(resumed, *range(at, steps)) == losses
    assert same_bits(resumed.state(), whole.state())
    assert same_bits(dict(resumed.weights()), dict(whole.weights()))
