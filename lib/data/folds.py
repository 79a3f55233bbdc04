"""Splitting patients, never slices: disjoint test parts, and nested shares of the training patients."""

import numpy as np

from lib.errors import InputError, raise_all

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
