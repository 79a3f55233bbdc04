"""One split of the subjects, in given shares, and random subsets of the training images (Murase 2020, section 3)."""

import numpy as np

from whereabouts.errors import InputError, raise_all

PARTS = ("train", "validation", "test")


def split(subjects: list[str], shares: list[int], rng: np.random.Generator) -> dict[str, list[str]]:
    """Split subjects into "train", "validation" and "test" in proportion to `shares`, counted in items.

    The shuffled subjects are cut in two places. Of all pairs of cuts that leave a subject in each part, the one with
    the least squared difference between the parts' items and their shares is taken. With one item a subject, these are
    the exact shares or their best rounding (largest remainders): 247 give 156, 23 and 68 as in Murase.

    Args:
        subjects: one entry an item (a patient's name as often as there are radiographs of him), in any order.
        shares: three positive integers, of any sum.
        rng: shuffles.

    Returns:
        Distinct subjects by part, in shuffled order.

    Raises:
        InputError: fewer than three distinct subjects, or other shares.
    """
    names, items = np.unique(np.array(subjects, dtype=str), return_counts=True)  # sorted
    problems = []
    if len(names) < len(PARTS):
        problems.append(f"split: {len(names)} subjects, fewer than the split asks for; give at least {len(PARTS)}")
    if len(shares) != len(PARTS) or not all(isinstance(share, int) and share > 0 for share in shares):
        problems.append(f"split: shares {shares}; give three positive integers, for {', '.join(PARTS)}")
    raise_all(problems)
    order = rng.permutation(len(names))
    names, up_to = names[order].tolist(), np.cumsum(items[order])  # items of the first 1, 2, ... subjects
    first, last = np.triu_indices(len(names) - 1, k=1)  # index of the last training and of the last validation subject
    parts = np.stack([up_to[first], up_to[last] - up_to[first], up_to[-1] - up_to[last]])  # (3, cuts), items
    excess = parts * sum(shares) - up_to[-1] * np.array(shares)[:, None]  # in integers, so that ties are ties
    best = (excess**2).sum(axis=0).argmin()
    train, validation = first[best] + 1, last[best] + 1
    return dict(zip(PARTS, (names[:train], names[train:validation], names[validation:]), strict=True))


def few(names: list[str], number: int, rng: np.random.Generator) -> list[str]:
    """A random subset of the training images; with an equal generator, smaller ones are subsets of larger ones.

    Args:
        names: of the training images, in any order.
        number: of images, 0 for all.
        rng: draws.

    Raises:
        InputError: a negative number, or more images than there are.
    """
    if not 0 <= number <= len(names):
        raise InputError(f"few: {number} of {len(names)} training images; choose between 0 (all) and {len(names)}")
    return rng.permutation(sorted(names))[: number or None].tolist()
