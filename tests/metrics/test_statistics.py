"""The statistics against SciPy, against all possible signs, and by hand."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import rankdata, wilcoxon
from scipy.stats import t as student

from whereabouts.metrics.statistics import bonferroni, mean_sd, paired_t, paired_wilcoxon, share, stars

ALTERNATIVES = ["two-sided", "greater", "less"]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("n", [1, 2, 6, 30, 50, 51, 400])
def test_wilcoxon_is_scipys(n, alternative, rng):
    a, b = rng.normal(0.3, 1, n), rng.normal(0, 1, n)
    expected = wilcoxon(a, b, alternative=alternative, method="exact" if n <= 50 else "asymptotic").pvalue
    assert paired_wilcoxon(a, b, alternative) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("zeros", [0, 1])
@pytest.mark.parametrize("n", [1, 3, 10])
def test_wilcoxon_counts_all_signs(n, zeros, alternative, rng):
    """The rank sum of the positive differences among those of all 2^n assignments of signs; a pair of equals drops."""
    difference = rng.normal(0.5, 1, n)
    ranks = rankdata(np.abs(difference))
    sums = np.array([ranks[np.array(signs)].sum() for signs in product([False, True], repeat=n)])
    ours = ranks[difference > 0].sum()
    greater, less = (sums >= ours - 1e-9).mean(), (sums <= ours + 1e-9).mean()
    expected = {"greater": greater, "less": less, "two-sided": min(1, 2 * min(greater, less))}[alternative]
    b = rng.normal(size=n + zeros)
    a = b + np.r_[difference, np.zeros(zeros)]
    assert paired_wilcoxon(a, b, alternative) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_wilcoxon_with_ties(alternative, rng):
    """Tied differences have no exact distribution in SciPy: the normal one, and no warning even for the smallest."""
    a = rng.integers(0, 4, 40)
    b = rng.integers(0, 3, 40)
    expected = wilcoxon((a - b)[a != b], alternative=alternative, method="asymptotic").pvalue
    assert paired_wilcoxon(a, b, alternative) == pytest.approx(expected, rel=1e-12)
    assert 0 < paired_wilcoxon([1, 2], [0, 1], alternative) <= 1


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_equal_pairs_differ_by_nothing(alternative):
    assert paired_wilcoxon([0.1, 0.2, 0.7], [0.1, 0.2, 0.7], alternative) == 1


def test_one_number_stands_for_all():
    assert paired_wilcoxon([5.0, 6, 8, 9], 4.5) == paired_wilcoxon([0.5, 1.5, 3.5, 4.5], [0.0] * 4) == 0.125


@pytest.mark.parametrize("n", [2, 3, 15, 300])
def test_t_is_students(n, rng):
    """t = mean / (sd / sqrt(n)) of the differences, on n - 1 degrees of freedom, both tails."""
    a, b = rng.normal(0.1, 1, n), rng.normal(0, 1, n)
    t = np.sqrt(n) * (a - b).mean() / (a - b).std(ddof=1)
    assert paired_t(a, b) == paired_t(b, a) == pytest.approx(2 * student.cdf(-abs(t), n - 1), rel=1e-9)


def test_t_by_hand():
    """Differences 1 and 3: t = 2 / 1 on one degree of freedom, where the tail is that of Cauchy's distribution."""
    assert paired_t([1, 5], [0, 2]) == pytest.approx(1 - 2 * np.arctan(2) / np.pi)


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [([], [], 1), ([0.4], [0.9], 1), ([0.1, 0.2], [0.1, 0.2], 1), ([1, 2, 3], [0, 1, 2], 0), ([1.1, 2.1], [1, 2], 0)],
)
def test_t_of_few_or_equal_differences_has_a_value_and_no_warning(a, b, p):
    assert paired_t(a, b) == pytest.approx(p, abs=1e-12)


def test_bonferroni():
    assert bonferroni(0.01, 2) == 0.02
    assert bonferroni(0.7, 2) == 1
    assert bonferroni(0.03, 1) == 0.03


@pytest.mark.parametrize(
    ("p", "one", "marks"),
    [(0.01, None, 2), (0.011, None, 0), (0.01, 0.1, 2), (0.011, 0.1, 1), (0.1, 0.1, 1), (0.11, 0.1, 0)],
)
def test_stars_are_the_papers(p, one, marks):
    assert stars(p, one) == marks * "\N{ASTERISK OPERATOR}"


def test_mean_sd():
    """1, 2 and 6 have mean 3 and sample variance (4 + 1 + 9) / 2 = 7."""
    assert mean_sd([1, 2, 6]) == "3.0 ± 2.6"
    assert mean_sd([1, 2, 6], digits=3) == "3.000 ± 2.646"
    assert mean_sd([2.25], digits=2) == "2.25"
    assert mean_sd(np.array([-0.5, 0.5])) == "0.0 ± 0.7"


def test_share():
    """By hand: of 4 of 16, z = 1.645, (4 + z² / 2 ± z sqrt(16 * 3 / 16 + z² / 4)) / (16 + z²)."""
    assert share(0.25, 16) == "0.250 [0.118, 0.455]"
    assert share(0.25, 16, 0, 100) == "25 [12, 45]"
    assert share(0, 10) == "0.000 [0.000, 0.213]"
