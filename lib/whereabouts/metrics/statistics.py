"""The few statistics that the tables and claims need; the tests are SciPy's."""

import warnings

import numpy as np
import pandas as pd
from scipy.stats import binomtest, ttest_rel, wilcoxon


def paired_wilcoxon(a: np.ndarray, b: np.ndarray, alternative: str = "two-sided") -> float:
    """p of the Wilcoxon signed-rank test that the pairs a, b, both (n,), differ by 0; 1 where all pairs are equal.

    Args:
        a, b: measurements on the same n units (test images, or test volumes), averaged over seeds.
        alternative: "two-sided", "greater" (a above b) or "less".
    """
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    difference = difference[difference != 0]
    if not len(difference):
        return 1.0
    # above 50 pairs the distribution is as good as normal; stated, not "auto", which also looks at ties and warns
    untied = len(np.unique(np.abs(difference))) == len(difference)
    method = "exact" if len(difference) <= 50 and untied else "asymptotic"
    return float(wilcoxon(difference, alternative=alternative, method=method).pvalue)


def paired_t(a: np.ndarray, b: np.ndarray) -> float:
    """p, two-sided, of the paired t-test that a, b, both (n,), have one mean; 1 for n < 2 or where all pairs are equal.

    Pairs that all differ by the same have p = 0.
    """
    if len(a) < 2 or np.array_equal(a, b):
        return 1.0
    with warnings.catch_warnings():  # SciPy warns of differences that are almost constant; their p is 0, or almost
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(ttest_rel(a, b).pvalue)


def bonferroni(p: float, comparisons: int) -> float:
    """p corrected for `comparisons` tests on the same data."""
    return min(1.0, p * comparisons)


def stars(p: float, one: float | None = None) -> str:
    """The papers' marks, as U+2217: two for p <= 0.01, one for p <= `one` where the paper has a second level."""
    if p <= 0.01:
        return "∗∗"
    return "∗" if one is not None and p <= one else ""


def mean_sd(values: np.ndarray, digits: int = 1) -> str:
    """ "mean ± sd" of a few values, sample standard deviation; without sd where there is one value only."""
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return f"{values.mean():.{digits}f}"
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def share(value: float, n: int, digits: int = 3, scale: float = 1) -> str:
    """ "0.500 [0.474, 0.526]", a share of n trials and its 90 % interval (Wilson 1927), times `scale`.

    Trials that are alike, such as frames of one examination, are fewer than they are: it is then wider.
    """
    interval = binomtest(round(value * n), n).proportion_ci(0.9, "wilson")
    mean, low, high = (f"{scale * part:.{digits}f}" for part in (value, interval.low, interval.high))
    return f"{mean} [{low}, {high}]"


def printed(mean: float, sd: float | None = None) -> str:
    """A number of the paper as it prints it."""
    return f"{mean:g}" if sd is None else f"{mean:g} ± {sd:g}"


def per_seed(scores: pd.DataFrame) -> np.ndarray:
    """Mean Dice x 100 of each seed's run."""
    return 100 * scores.groupby("seed").dice.mean().to_numpy()
