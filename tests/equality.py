"""When two things are the same: files, states, batches."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lib.files import sha256


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


def check_batches(make: Callable) -> None:
    """A batch is a function of seed and number: whatever was drawn or trained before, global generators untouched.

    Args:
        make: seed -> learner with `batch` and `step`, the seed 0 by default.
    """
    first = [make().batch(number) for number in range(4)]
    trained = make()
    torch.manual_seed(99)
    np.random.seed(99)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    trained.step(0)
    for number in (3, 0, 2, 2, 1):
        assert all(map(same_bits, trained.batch(number), first[number]))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    seen = [x for x, *_ in first] + [make(seed=1).batch(number)[0] for number in range(4)]
    assert not any(torch.equal(seen[i], seen[j]) for i in range(8) for j in range(i))
