"""Splits of patients: disjoint, complete, nested."""

import numpy as np
import pytest

from whereabouts.data.folds import folds, labelled, released
from whereabouts.errors import InputError


@pytest.fixture
def rng():
    return np.random.default_rng(0)


NAMES = [f"patient{number:03d}" for number in range(1, 101)]


@pytest.mark.parametrize(("count", "number"), [(100, 3), (100, 6), (80, 3), (12, 3), (3, 3), (4, 2), (23, 5), (7, 1)])
def test_folds_share_no_test_patient_and_leave_none_out(count, number, rng):
    names = NAMES[:count]
    result = folds(names, number, rng)
    assert len(result) == number
    for fold in result:
        assert list(fold) == ["train", "validation", "test"]
        assert all(fold.values())
        assert sorted(fold["train"] + fold["validation"] + fold["test"]) == names
    tested = [name for fold in result for name in fold["test"]]
    assert len(set(tested)) == len(tested)


def test_a_hundred_patients_give_the_papers_sizes(rng):
    for fold in folds(NAMES, 3, rng):
        assert [len(fold[part]) for part in ("train", "validation", "test")] == [70, 15, 15]


@pytest.mark.parametrize(("count", "number"), [(100, 7), (23, 10), (80, 80), (5, 5)])
def test_many_folds_test_every_patient_once(count, number, rng):
    result = folds(NAMES[:count], number, rng)
    assert sorted(name for fold in result for name in fold["test"]) == NAMES[:count]
    assert max(len(fold["test"]) for fold in result) - min(len(fold["test"]) for fold in result) <= 1


def test_folds_depend_on_the_seed_and_not_on_the_order():
    first = folds(NAMES, 3, np.random.default_rng(1))
    assert first == folds(NAMES[::-1], 3, np.random.default_rng(1))
    assert first != folds(NAMES, 3, np.random.default_rng(2))


@pytest.mark.parametrize(
    ("names", "number", "text"),
    [
        (NAMES[:2], 1, "patients: 2, too few"),
        ([], 1, "patients: 0, too few"),
        (NAMES[:5], 6, "folds: 6 of 5 patients; choose between 1 and 5"),
        (NAMES[:5], 0, "folds: 0 of 5 patients"),
        ([*NAMES[:5], NAMES[0]], 2, "named twice"),
    ],
)
def test_impossible_folds(names, number, text, rng):
    with pytest.raises(InputError, match=text):
        folds(names, number, rng)


@pytest.mark.parametrize(("percent", "count"), [(1.5, 1), (3, 2), (6, 4), (12.5, 8), (25, 17), (50, 35), (100, 70)])
def test_labelled_counts_are_the_papers(percent, count):
    assert len(labelled(NAMES[:70], percent)) == count


def test_labelled_fractions_are_nested_and_never_empty(rng):
    train = folds(NAMES, 3, rng)[1]["train"]
    smaller = labelled(train, 0.1)
    assert len(smaller) == 1
    for percent in (1.5, 3, 6, 12.5, 25, 29, 50, 100):
        larger = labelled(train, percent)
        assert set(smaller) <= set(larger) <= set(train)
        smaller = larger
    assert len(labelled(NAMES, 29)) == 29  # 29 / 100 * 100 is below 29 in floating point


@pytest.mark.parametrize("percent", [0, -5, 101, float("nan")])
def test_impossible_fractions(percent):
    with pytest.raises(InputError, match="0 < percent <= 100"):
        labelled(NAMES, percent)


def test_released_folds_are_those_of_the_code_and_overlap():
    names = [f"patient{k:03d}" for k in range(1, 101)]
    first, second, third = released(names)
    assert first["validation"] == names[:15] and first["test"] == names[15:30] and len(first["train"]) == 70
    assert [len(parts[part]) for parts in (second, third) for part in ("validation", "test", "train")] == [
        15,
        15,
        70,
    ] * 2
    both = [set(a["test"]) & set(b["test"]) for a, b in ((first, second), (second, third), (first, third))]
    assert [sorted(int(name[-3:]) for name in shared) for shared in both] == [[24, 27], [64, 66, 76], []]
    for parts in (first, second, third):
        assert sorted(name for part in parts.values() for name in part) == names


def test_released_folds_need_the_patients_that_they_name():
    with pytest.raises(InputError) as caught:
        released([f"patient{k:03d}" for k in range(1, 31)])
    assert "folds: the released fold 0 has no train patient among 30" in caught.value.problems[0]
    assert len(caught.value.problems) == 3
