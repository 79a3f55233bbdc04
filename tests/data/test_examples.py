"""Examples as networks are fed them: their layout and their order."""

import numpy as np
import pandas as pd
import pytest
import torch

from whereabouts.data import prepared as store
from whereabouts.data.examples import Examples, normalise, part_examples
from whereabouts.training.loop import batch_indices


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


def test_normalised_by_training_statistics_or_by_each_image():
    images = torch.rand(3, 1, 5, 7, generator=torch.Generator().manual_seed(0)) * 2 + 3
    np.testing.assert_allclose(normalise(images, {"mean": 4.0, "sd": 0.5}), (images.numpy() - 4) / 0.5, rtol=1e-6)
    each = normalise(images, {}).numpy()
    np.testing.assert_allclose(each.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(each.std((1, 2, 3)), 1, rtol=1e-5)
    for one, image in zip(each, images.numpy(), strict=True):
        assert np.array_equal(one.argsort(axis=None), image.argsort(axis=None))
    assert torch.equal(normalise(torch.full((2, 1, 4, 4), 0.3), {}), torch.zeros(2, 1, 4, 4))  # no contrast


@pytest.fixture
def prepared(tmp_path):
    """Six images of three volumes; the value of an image is its row."""
    table = pd.DataFrame(
        {
            "item": [f"i{row}" for row in range(6)],
            "part": ["train", "test", "train", "train", "test", "validation"],
            "volume": ["b", "c", "a", "b", "c", "d"],
        }
    )
    value = np.arange(6)[:, None, None] * np.ones((6, 4, 3))
    store.write(tmp_path, {"images": value.astype(np.float32), "labels": value.astype(np.uint8) % 4}, table, {}, "")
    return tmp_path


def test_a_part_of_the_split_with_its_rows_and_volumes(prepared):
    examples, rows = part_examples(prepared, "train")
    assert rows["item"].tolist() == ["i0", "i2", "i3"]
    assert examples.images[:, 0, 0, 0].tolist() == [0, 2, 3] and examples.labels[:, 0, 0].tolist() == [0, 2, 3]
    assert examples.volume[0] == examples.volume[2] != examples.volume[1]
    assert examples.z.shape == (3, 1)


def test_some_items_of_a_part_and_none_of_another(prepared):
    examples, rows = part_examples(prepared, "train", ["i3", "i1"])  # i1 is in the test part
    assert rows["item"].tolist() == ["i3"] and len(examples) == 1
