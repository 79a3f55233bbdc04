"""The interval against SciPy's where there is one, against the textbook's, and how often it covers."""

import numpy as np
import pytest
from scipy import stats

from whereabouts.metrics.intervals import DRAWS, interval, power


def drawn(rng, seeds, units, of_seed, of_unit, rest=4.0, mean=0.0):
    """A table (S, U) of two crossed random effects."""
    shape = seeds, units
    return mean + rng.normal(0, of_seed, (seeds, 1)) + rng.normal(0, of_unit, (1, units)) + rng.normal(0, rest, shape)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("n", [2, 5, 40])
@pytest.mark.parametrize("turned", [False, True])
def test_of_one_seed_or_of_one_unit_it_is_students(n, turned, rng):
    values = rng.normal(3, 2, n)
    found = interval(values[:, None] if turned else values[None])
    low, high = stats.t.interval(0.9, n - 1, values.mean(), stats.sem(values))
    assert (found.low, found.high, found.freedom) == pytest.approx((low, high, n - 1))
    assert (found.seeds, found.units) == ((n, 1) if turned else (1, n))
    assert found.p_above(1) == pytest.approx(stats.ttest_1samp(values, 1, alternative="greater").pvalue)


@pytest.mark.parametrize("margin", [-4, 2])
def test_inside_of_two_margins_is_two_one_sided_tests(margin, rng):
    """Equivalence at 5 % (Schuirmann 1987): both t tests against a margin are significant."""
    for _ in range(50):
        a, b = rng.normal(5, 3, 12), rng.normal(5, 3, 12)
        found = interval((a - b)[None])
        tests = [
            stats.ttest_rel(a, b + low, alternative=side).pvalue
            for low, side in ((margin, "greater"), (margin + 5, "less"))
        ]
        assert (margin < found.low and found.high < margin + 5) == (max(tests) < 0.05)


def test_by_hand():
    """Rows 0 2 and 4 10: mean 4; A = 2 (3^2 + 3^2) = 36, B = 2 (2^2 + 2^2) = 16, E = 4: V = 48, each on 1 degree."""
    found = interval(np.array([[0.0, 2], [4, 10]]))
    freedom = 48**2 / (36**2 + 16**2 + 4**2)
    assert (found.mean, found.error, found.freedom) == pytest.approx((4, np.sqrt(48 / 4), freedom))
    assert found.high == pytest.approx(4 + stats.t.ppf(0.95, freedom) * np.sqrt(12))


def test_seeds_and_units_may_change_places(rng):
    values = drawn(rng, 4, 9, 2, 3)
    one, other = interval(values), interval(values.T)
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_numbers_that_are_all_the_same_have_no_width_and_one_has_no_interval():
    found = interval(np.full((3, 4), 2.5))
    assert found.low == found.high == 2.5
    assert [found.p_above(margin) for margin in (2, 2.5, 3)] == [0, 0.5, 1]
    assert interval(np.ones((1, 1))) is None


@pytest.mark.parametrize(("seeds", "units"), [(2, 15), (3, 8), (3, 30), (5, 15)])
@pytest.mark.parametrize("of_seed", [0, 2, 5])
def test_it_covers_what_it_should_where_a_test_over_units_does_not(seeds, units, of_seed, rng):
    """Nominally 90 %; 400 tables have a standard error of 1.5 %."""
    tables = [drawn(rng, seeds, units, of_seed, 7) for _ in range(400)]
    covered = np.mean([found.low < 0 < found.high for found in map(interval, tables)])
    assert 0.8 < covered < 0.99
    if of_seed == 5:
        means = np.array([table.mean(0) for table in tables])
        naive = np.abs(means.mean(1)) < stats.t.ppf(0.95, units - 1) * stats.sem(means, axis=1)
        assert naive.mean() < covered - 0.05


@pytest.mark.parametrize(("effect", "low", "high"), [(6, 0, np.inf), (3, 0, np.inf), (0, 0, np.inf), (0, -9, 9)])
def test_power_is_how_often_such_tables_decide(effect, low, high, rng):
    """Drawn whole, of normal effects that are as large as those in the table."""
    of_seed, of_unit, rest = 2.0, 6.0, 4.0
    table = _with_components(rng, 3, 15, of_seed, of_unit, rest)
    found = [interval(drawn(rng, 3, 15, of_seed, of_unit, rest, effect)) for _ in range(1000)]
    decided = np.mean([low < one.low and one.high < high for one in found])
    assert power(table, effect, low, high) == pytest.approx(decided, abs=0.06)
    assert power(table, effect, low, high) == power(table, effect, low, high)
    assert DRAWS >= 1000


def _with_components(rng, seeds, units, *deviations):
    """A table whose mean squares are exactly those expected of these standard deviations."""
    of_seed, of_unit, rest = deviations
    a, b = rng.normal(size=(seeds, 1)), rng.normal(size=(1, units))
    e = rng.normal(size=(seeds, units))
    e = e - e.mean(0) - e.mean(1, keepdims=True) + e.mean()
    squares = [rest**2 + units * of_seed**2, rest**2 + seeds * of_unit**2, rest**2]
    a = (a - a.mean()) * np.sqrt(squares[0] * (seeds - 1) / (units * ((a - a.mean()) ** 2).sum()))
    b = (b - b.mean()) * np.sqrt(squares[1] * (units - 1) / (seeds * ((b - b.mean()) ** 2).sum()))
    return a + b + e * np.sqrt(squares[2] * (seeds - 1) * (units - 1) / (e**2).sum())


def test_power_grows_with_the_effect_with_seeds_and_with_units_and_has_its_limits(rng):
    table = drawn(rng, 3, 10, 3, 6)
    found = [power(table, effect, 0, np.inf) for effect in (-50, 0, 3, 6, 500)]
    assert found == sorted(found) and found[0] == 0 and found[-1] == 1 and found[1] < 0.12
    one = table[:1]
    assert power(one, 500, 0, np.inf) == 1 > power(one, 0, 0, np.inf)
    assert power(np.full((2, 2), 7.0), 1, 0, np.inf) == 1
