"""Splitting patients, never slices: disjoint test parts, and nested shares of the training patients."""

import numpy as np

from whereabouts.errors import InputError, raise_all

RELEASED = (  # SDNet's code: numbers of the validation and of the test patients
    (range(1, 16), range(16, 31)),
    (
        (85, 13, 9, 74, 73, 68, 59, 79, 47, 80, 14, 95, 25, 92, 87),
        (54, 55, 99, 63, 91, 24, 51, 3, 64, 43, 61, 66, 96, 27, 76),
    ),
    (range(47, 62), range(64, 79)),
)
SHARE = 0.15  # of the patients in a test part and in a validation part (SDNet, section 4: 70, 15 and 15 of 100)


def folds(names: list[str], number: int, rng: np.random.Generator) -> list[dict[str, list[str]]]:
    """Split patients into "train", "validation" and "test", `number` times, with test parts that share no patient.

    The names are shuffled once and laid in a ring. Fold k tests on the k-th stretch of 15 %, validates on the next and
    trains on the rest, so that 100 patients give 70, 15 and 15 as in SDNet (whose hard-coded test sets overlap). From
    seven folds on a stretch is 1 / number, and the test parts together hold every patient. Each part has at least one.

    Args:
        names: of the patients, in any order.
        number: of folds.
        rng: shuffles.

    Returns:
        One dictionary a fold; its lists are in shuffled order, on which `labelled` relies.

    Raises:
        InputError: fewer than three patients, more folds than patients, or a name given twice.
    """
    count = len(names)
    problems = []
    if count < 3:
        problems.append(f"patients: {count}, too few for training, validation and test; give at least 3")
    if not 1 <= number <= max(count, 1):
        problems.append(f"folds: {number} of {count} patients; choose between 1 and {count}")
    if len(set(names)) < count:
        problems.append("patients: some are named twice; give each once")
    raise_all(problems)
    ring = rng.permutation(sorted(names)).tolist()
    share = max(1 / count, min(SHARE, 1 / number))
    bounds = [round(part * share * count) for part in range(number + 2)]
    result = []
    for start, middle, end in zip(bounds, bounds[1:], bounds[2:], strict=False):
        turned = ring[start:] + ring[:start]
        test, validation = middle - start, end - start
        result.append({"train": turned[validation:], "validation": turned[test:validation], "test": turned[:test]})
    return result


def labelled(train_names: list[str], percent: float) -> list[str]:
    """The first int(percent of the training patients), at least one: smaller fractions are subsets of larger ones.

    Args:
        train_names: in the shuffled order of `folds`; sorted, they would favour one pathology.
        percent: above 0, at most 100.

    Raises:
        InputError: percent out of range, or no patients.
    """
    if not 0 < percent <= 100 or not train_names:
        raise InputError(f"labelled: {percent} % of {len(train_names)} patients; give 0 < percent <= 100 and patients")
    return train_names[: max(1, int(percent * len(train_names) / 100))]


def released(names: list[str]) -> list[dict[str, list[str]]]:
    """The three folds that SDNet's released code has as lists of ACDC's patient numbers (a reading of its section 4.2).

    Their test parts share five patients, and two are runs of neighbours, which ACDC groups by disease: patients 64 to
    78, of fold 2, are nearly all normal. `folds` is the default.

    Args:
        names: "patient001" and so on; those that are missing are left out. Their order is kept in the training part.

    Raises:
        InputError: a part of a fold would be empty.
    """
    number = {name: int(name[-3:]) for name in names}
    result = []
    for validation, test in RELEASED:
        parts = {"validation": validation, "test": test, "train": set(range(1, 101)) - {*validation, *test}}
        result.append({part: [name for name in names if number[name] in wanted] for part, wanted in parts.items()})
    problems = [
        f"folds: the released fold {k} has no {part} patient among {len(names)}; use more patients or disjoint folds"
        for k, parts in enumerate(result)
        for part, found in parts.items()
        if not found
    ]
    raise_all(problems)
    return result
