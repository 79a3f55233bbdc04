"""Examples as networks are fed them: their layout and their order."""

import numpy as np
import pytest
import torch

from lib.data.examples import Examples
from lib.training import batch_indices


def test_images_of_any_layout():
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    labels, z = rng.integers(0, 2, (5, 6, 7)), rng.normal(size=(5, 2))
    images, integers, facts = Examples.of(colour, labels, z).batch(torch.tensor([4, 1]))
    np.testing.assert_allclose(images, colour[[4, 1]].transpose(0, 3, 1, 2) / np.float32(255), rtol=1e-7)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert (integers.dtype, facts.dtype) == (torch.int64, torch.float32)
    assert np.array_equal(integers, labels[[4, 1]])
    grey = rng.random((5, 6, 7), dtype=np.float32)
    for array in (grey, grey[:, None]):
        examples = Examples.of(array, labels, z)
        assert np.array_equal(examples.batch(torch.arange(5))[0], grey[:, None])
    assert examples.volume.tolist() == [0, 1, 2, 3, 4]
    part = examples[torch.tensor([3, 0])]
    assert (len(part), part.volume.tolist()) == (2, [3, 0])
    assert np.array_equal(part.z, z[[3, 0]].astype(np.float32))


@pytest.mark.parametrize("n", [1, 7, 12])
@pytest.mark.parametrize("batch", [1, 4, 12, 30])
def test_each_epoch_is_a_permutation_however_it_is_cut(batch, n):
    steps = -(-5 * n // batch)
    row = np.concatenate([batch_indices(1, step, n, batch) for step in range(steps)])
    assert len(row) == steps * batch
    assert np.array_equal(row[: 5 * n], [i for step in range(5 * n) for i in batch_indices(1, step, n, 1)])
    epochs = row[: 5 * n].reshape(5, n)
    assert np.array_equal(np.sort(epochs, 1), np.tile(np.arange(n), (5, 1)))
    assert n < 7 or len({tuple(epoch) for epoch in epochs}) == 5


def test_order_depends_on_the_seed_and_on_no_global_state():
    first = batch_indices(1, 3, 20, 4)
    np.random.seed(0)
    torch.manual_seed(0)
    assert first.dtype == np.int64
    assert np.array_equal(batch_indices(1, 3, 20, 4), first)
    assert not np.array_equal(batch_indices(2, 3, 20, 4), first)
    assert not np.array_equal(batch_indices(1, 4, 20, 4), first)
