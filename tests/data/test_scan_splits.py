"""How scans are split: sizes, no overlap, nesting, and the folds of scikit-learn."""

import numpy as np
import pytest
from sklearn.model_selection import KFold

from whereabouts.data.scan_splits import full_and_quarter, parts, split_and_folds
from whereabouts.errors import InputError


def names(count: int) -> list[str]:
    return [f"scan{k:03d}" for k in range(count)]


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_papers_numbers_of_scans():
    splits = full_and_quarter(names(150), 0.2, 0.1, rng())
    sizes = {name: {part: len(cases) for part, cases in split.items()} for name, split in splits.items()}
    assert sizes == {
        "full": {"train": 108, "validation": 12, "test": 30},
        "quarter": {"train": 27, "validation": 3, "test": 120},
    }
    found = split_and_folds(names(82), 0.75, 0.1, 5, rng())
    assert [len(found["split"][part]) for part in ("train", "validation", "test")] == [55, 6, 21]
    assert sorted(len(found[f"fold{k}"]["test"]) for k in range(5)) == [16, 16, 16, 17, 17]


@pytest.mark.parametrize("count", [10, 11, 24, 41])
def test_parts_share_no_scan_and_leave_none_out(count):
    splits = full_and_quarter(names(count), 0.2, 0.1, rng()) | split_and_folds(names(count), 0.75, 0.1, 5, rng())
    for split in splits.values():
        together = [case for part in ("train", "validation", "test") for case in split[part]]
        assert sorted(together) == names(count)
        assert all(split.values())


def test_the_few_training_scans_are_among_the_many_and_what_is_tested_once_is_tested_again():
    splits = full_and_quarter(names(40), 0.2, 0.1, rng())
    many, few = ({*split["train"], *split["validation"]} for split in splits.values())
    assert few < many
    assert set(splits["full"]["test"]) < set(splits["quarter"]["test"])


def test_the_folds_are_those_of_the_released_code_on_sorted_names():
    found = split_and_folds(names(23)[::-1], 0.75, 0.1, 5, rng())
    folds = KFold(5, shuffle=True, random_state=0).split(names(23))
    for k, (_, test) in enumerate(folds):
        assert found[f"fold{k}"]["test"] == [names(23)[i] for i in test]


def test_the_same_generator_gives_the_same_split_and_another_one_another():
    one, same = (full_and_quarter(order, 0.2, 0.1, rng()) for order in (names(30), names(30)[::-1]))
    assert one == same
    assert one != full_and_quarter(names(30), 0.2, 0.1, np.random.default_rng(4))


def test_too_few_scans_are_one_line():
    with pytest.raises(InputError, match="split: 1 training and 4 test scans; give at least 2 and 1"):
        full_and_quarter(names(5), 0.2, 0.1, rng())
    with pytest.raises(InputError, match="split: 2 training and 0 test scans"):
        parts(names(2), [], 0.1)
    with pytest.raises(InputError, match="folds: 5 of 4 scans; choose between 2 and 4"):
        split_and_folds(names(4), 0.75, 0.1, 5, rng())
