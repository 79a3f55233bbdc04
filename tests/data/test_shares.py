"""One split of subjects in shares, and subsets of the training images."""

import itertools

import numpy as np
import pytest

from whereabouts.data.shares import few, split
from whereabouts.errors import InputError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


NAMES = [f"patient{number:03d}" for number in range(1, 248)]
PARTS = ["train", "validation", "test"]
JSRT, ACDC = [156, 23, 68], [70, 10, 20]


def sizes(parts):
    return [len(parts[part]) for part in PARTS]


@pytest.mark.parametrize(("count", "shares"), [(247, JSRT), (100, ACDC)])
def test_the_papers_numbers_are_exact(count, shares, rng):
    assert sizes(split(NAMES[:count], shares, rng)) == shares


@pytest.mark.parametrize("count", [3, 4, 5, 17, 42, 80, 246])
@pytest.mark.parametrize("shares", [JSRT, ACDC, [1, 1, 1], [1000, 1, 1], [1, 1, 1000]])
def test_parts_are_disjoint_complete_and_never_empty(count, shares, rng):
    parts = split(NAMES[:count], shares, rng)
    assert list(parts) == PARTS
    assert all(parts.values())
    assert sorted(itertools.chain(*parts.values())) == NAMES[:count]
    assert all(type(name) is str for name in parts["train"])


@pytest.mark.parametrize("count", [20, 42, 50, 80, 99, 123, 246])
@pytest.mark.parametrize("shares", [JSRT, ACDC])
def test_single_items_are_dealt_by_largest_remainders(count, shares, rng):
    """Hamilton's method, another way to the least squares."""
    exact = np.array(shares) * count / sum(shares)
    expected = np.floor(exact).astype(int)
    expected[np.argsort(-(exact - expected), kind="stable")[: count - expected.sum()]] += 1
    assert sizes(split(NAMES[:count], shares, rng)) == expected.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_subjects_with_several_items_stay_whole_and_items_count(seed):
    rng = np.random.default_rng(seed)
    items = dict(zip(NAMES[:35], rng.integers(1, 4, 35).tolist(), strict=True))
    parts = split([name for name, number in items.items() for _ in range(number)], JSRT, rng)
    assert sorted(itertools.chain(*parts.values())) == NAMES[:35]
    total = sum(items.values())
    for part, share in zip(PARTS, JSRT, strict=True):
        assert abs(sum(items[name] for name in parts[part]) - total * share / 247) <= 3  # the largest subject


def test_no_other_cuts_come_nearer():
    """Against all pairs of cuts, in plain Python, of the order that the split itself reports."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        items = dict(zip(NAMES[:9], rng.integers(1, 6, 9).tolist(), strict=True))
        parts = split([name for name, number in items.items() for _ in range(number)], ACDC, rng)
        order = [name for part in PARTS for name in parts[part]]
        total = sum(items.values())

        def distance(first, second, order=order, items=items, total=total):
            cut = (order[:first], order[first:second], order[second:])
            return sum(
                (sum(items[name] for name in part) - total * share / 100) ** 2
                for part, share in zip(cut, ACDC, strict=True)
            )

        chosen = distance(len(parts["train"]), len(parts["train"]) + len(parts["validation"]))
        assert chosen <= min(itertools.starmap(distance, itertools.combinations(range(1, 9), 2))) + 1e-9


def test_the_split_depends_on_the_seed_and_not_on_the_order():
    first = split(NAMES, JSRT, np.random.default_rng(1))
    assert first == split(NAMES[::-1], JSRT, np.random.default_rng(1))
    assert first != split(NAMES, JSRT, np.random.default_rng(2))
    assert first["train"] != sorted(first["train"])


@pytest.mark.parametrize(
    ("subjects", "shares", "text"),
    [
        ([], JSRT, "split: 0 subjects, fewer than the split asks for; give at least 3"),
        (["a", "b", "a", "b"], JSRT, "split: 2 subjects, fewer than the split asks for; give at least 3"),
        (NAMES, [1, 2], "split: shares [1, 2]; give three positive integers, for train, validation, test"),
        (NAMES, [1, 2, 0], "split: shares [1, 2, 0]; give"),
        (NAMES, [1, 2, -3], "split: shares [1, 2, -3]; give"),
        (NAMES, [0.7, 0.1, 0.2], "split: shares [0.7, 0.1, 0.2]; give"),
    ],
)
def test_impossible_splits(subjects, shares, text, rng):
    with pytest.raises(InputError) as error:
        split(subjects, shares, rng)
    (line,) = error.value.problems
    assert line.startswith(text)


def test_all_problems_of_a_split_come_at_once(rng):
    with pytest.raises(InputError) as error:
        split(["a"], [1], rng)
    assert len(error.value.problems) == 2


@pytest.mark.parametrize("number", [1, 5, 10, 156])
def test_few_are_a_random_subset(number):
    train = NAMES[:156]
    chosen = few(train, number, np.random.default_rng(3))
    assert len(chosen) == len(set(chosen)) == number and set(chosen) <= set(train)
    assert chosen == few(train[::-1], number, np.random.default_rng(3))
    assert chosen != few(train, number, np.random.default_rng(4))
    assert set(chosen) <= set(few(train, min(number + 7, 156), np.random.default_rng(3)))


def test_every_image_is_as_likely_as_any_other(rng):
    counts = {name: 0 for name in NAMES[:6]}
    for _ in range(2000):
        for name in few(NAMES[:6], 2, rng):
            counts[name] += 1
    assert max(abs(count - 2000 / 3) for count in counts.values()) < 90  # four standard deviations


def test_few_of_zero_are_all(rng):
    assert sorted(few(NAMES, 0, rng)) == NAMES


@pytest.mark.parametrize("number", [-1, 6])
def test_impossible_subsets(number, rng):
    with pytest.raises(InputError, match=rf"few: {number} of 5 training images; choose between 0 \(all\) and 5"):
        few(NAMES[:5], number, rng)
