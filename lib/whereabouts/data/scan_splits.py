"""How scans are split in Attention Gated Networks' chapter (Schlemper 2019, Tables 1, 3 and 4)."""

import numpy as np
from sklearn.model_selection import KFold

from whereabouts.errors import InputError

Parts = dict[str, list[str]]


def parts(training: list[str], test: list[str], validation_share: float) -> Parts:
    """ "train", "validation" and "test"; the first of the training scans validate (the paper has no validation scans).

    Raises:
        InputError: fewer than two training scans, or no test scan.
    """
    if len(training) < 2 or not test:
        raise InputError(f"split: {len(training)} training and {len(test)} test scans; give at least 2 and 1")
    kept = max(1, round(validation_share * len(training)))
    return {"train": training[kept:], "validation": training[:kept], "test": test}


def full_and_quarter(
    names: list[str], test_share: float, validation_share: float, rng: np.random.Generator
) -> dict[str, Parts]:
    """Two splits (Table 1 has 120/30 and 30/120): many scans for training; as few as the first has for testing.

    The few are among the many, so that whatever the first split tests is tested by the second too.

    Args:
        names: of the scans, in any order.
        test_share: of the scans, in the first split.
        validation_share: of the training scans of either.
        rng: shuffles.

    Raises:
        InputError: too few scans.
    """
    order = rng.permutation(sorted(names)).tolist()
    count = max(1, round(test_share * len(order)))
    few = order[count : 2 * count]
    rest = [name for name in order if name not in few]
    return {
        "full": parts(order[count:], order[:count], validation_share),
        "quarter": parts(few, rest, validation_share),
    }


def split_and_folds(
    names: list[str], train_share: float, validation_share: float, folds: int, rng: np.random.Generator
) -> dict[str, Parts]:
    """One split, "split" (Table 3 has 61/21), and "fold0" and up of a cross-validation, as in the released code.

    Args:
        names: of the scans, in any order.
        train_share: of the scans, rounded down.
        validation_share: of the training scans of each.
        folds: how many.
        rng: shuffles for the split; the folds are scikit-learn's with random_state 0.

    Raises:
        InputError: too few scans.
    """
    names = sorted(names)
    if not 2 <= folds <= len(names):
        raise InputError(f"folds: {folds} of {len(names)} scans; choose between 2 and {len(names)}")
    order = rng.permutation(names).tolist()
    count = int(train_share * len(order))
    splits = {"split": parts(order[:count], order[count:], validation_share)}
    for k, (training, test) in enumerate(KFold(folds, shuffle=True, random_state=0).split(names)):
        chosen = ([names[i] for i in index] for index in (training, test))
        splits[f"fold{k}"] = parts(*chosen, validation_share)
    return splits
