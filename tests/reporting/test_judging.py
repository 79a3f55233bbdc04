"""Verdicts on tables made by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from verdicts import CLAIM
from whereabouts.reporting.judging import effect, judge

SAMPLE = {"a": [20.0, 6.0], "b": [15.0, 8.0], "n": 25, "over": "units"}


def without(claim, *fields):
    return {name: value for name, value in claim.items() if name not in fields}


def results(difference, seeds=3, apart=0.1):
    """A table indexed by (seed, unit) whose columns differ by `difference` (units,), and by seed by `apart`."""
    index = pd.MultiIndex.from_product([range(seeds), range(len(difference))], names=["seed", "unit"])
    b = np.random.default_rng(0).normal(50, 10, len(index))
    between = apart * (np.repeat(np.arange(seeds), len(difference)) - (seeds - 1) / 2)
    return pd.DataFrame({"a": b + np.tile(difference, seeds) + between, "b": b}, index)


@pytest.mark.parametrize(
    ("difference", "change", "verdict"),
    [
        (np.linspace(3, 9, 8), {}, "reproduced"),
        (np.linspace(-9, -3, 8), {}, "contradicted"),
        ([-5, 40, -4, 30], {}, "undecided"),  # above on average
        ([*range(2, 13), -90], {}, "undecided"),  # below on average, above in most
        ([1.0] * 8, {}, "undecided"),  # at the margin
        (np.linspace(-0.5, 0.5, 8), {"within": [-1, 1]}, "reproduced"),
        (np.linspace(1.5, 2.5, 8), {"within": [-1, 1]}, "contradicted"),
        (np.linspace(-2.5, -1.5, 8), {"within": [-1, 1]}, "contradicted"),
        (np.linspace(-9, 9, 8), {"within": [-1, 1]}, "undecided"),  # alike on average, and nobody knows
        ([-30, -20, 20, 30], {"within": [-100, 100]}, "reproduced"),  # each of them far away, the mean is not
    ],
)
def test_where_the_interval_lies(difference, change, verdict):
    claim = (without(CLAIM, "above") if change else CLAIM) | change
    table = results(np.array(difference, dtype=float))
    assert str(judge(claim, table)) == verdict
    one = str(judge(claim, table.loc[[1]]))
    assert one == (verdict if verdict == "undecided" else f"{verdict} (one seed)")


def test_seeds_that_disagree_decide_nothing_however_many_units_there_are():
    """All of 1,000 units above the margin, by one seed a little and by the other much: p over units is 0."""
    table = results(np.full(1000, 30.0), seeds=2, apart=50)
    found = judge(CLAIM, table)
    assert found.word == "undecided" and found.better == 1000
    assert stats.wilcoxon((table.a - table.b).groupby(level=1).mean() - 1, alternative="greater").pvalue < 1e-9


def test_one_seed_is_a_paired_t_test():
    table = results(np.random.default_rng(1).normal(2, 3, 20), seeds=1)
    found, (a, b) = judge(CLAIM, table), (table.a.to_numpy(), table.b.to_numpy())
    assert found.p == pytest.approx(stats.ttest_rel(a, b + 1, alternative="greater").pvalue)
    assert found.interval.low == pytest.approx(stats.ttest_rel(a, b).confidence_interval(0.9).low)


def test_one_unit_is_over_seeds_and_one_number_decides_nothing_unless_it_is_exact():
    assert str(judge(CLAIM, results([9.0]))) == "reproduced"
    single = judge(CLAIM, results([9.0], seeds=1))
    assert (str(single), single.interval, single.mean, single.p) == ("undecided", None, pytest.approx(9), None)
    assert str(judge(CLAIM | {"exact": True}, results([9.0], seeds=1))) == "reproduced"
    assert str(judge(CLAIM | {"exact": True}, results([1.0], seeds=1))) == "contradicted"  # no more than the margin


def test_units_without_a_value_in_every_seed_are_left_out_and_counted():
    table = results(np.linspace(3, 9, 9))
    table.loc[(2, 8), "b"] = np.nan
    table.loc[(slice(None), 7), "a"] = np.nan
    table.loc[(slice(None), 6), ["a", "b"]] = np.nan  # of another claim
    whole, found = judge(CLAIM, table.drop([6, 7, 8], level="unit")), judge(CLAIM, table)
    assert found.left_out == 2 and whole.left_out == 0
    assert found.interval == whole.interval and found.interval.units == 6


def test_a_unit_that_would_be_divided_by_zero_is_left_out():
    table = results(np.linspace(3, 9, 9))
    table.loc[(0, 8), "b"] = 0
    found = judge(CLAIM | {"expression": "a / b"}, table)
    assert (
        found.left_out == 1
        and found.interval == judge(CLAIM | {"expression": "a / b"}, table.drop(8, level=1)).interval
    )


def test_a_seed_that_was_not_run_is_none():
    table = results(np.linspace(3, 9, 9))
    table.loc[(0, slice(None)), "b"] = np.nan
    found = judge(CLAIM, table)
    assert found.interval.seeds == 2 and (found.left_out, found.seeds_left_out) == (0, 1)


def test_what_was_not_run_says_what_is_missing():
    found = judge(CLAIM | {"expression": "(a - nowhere) - (b - elsewhere)"}, results(np.ones(4)))
    assert (str(found), found.why) == ("not run", "this run has no elsewhere, nowhere")
    found = judge(CLAIM, results(np.full(4, np.nan)))
    assert (str(found), found.why) == ("not run", "this run has no unit with a value for a - b")


def test_better_counts_units_on_the_claims_side_averaged_over_seeds():
    assert judge(CLAIM, results(np.array([0.9, 1.2, 3, -4.0]))).better == 2
    assert judge(without(CLAIM, "above") | {"within": [-1, 1]}, results(np.array([0.9, 1.2, 0, -4.0]))).better == 2


def test_the_papers_own_evidence_from_runs_is_welchs_test():
    """Against SciPy's, from the same means and standard deviations."""
    given = {"a": [85.7, 2.5], "b": [48.7, 2.0], "n": 3, "over": "runs"}
    found = judge(CLAIM | {"effect": given, "above": 35}, results(np.ones(4)))
    expected = stats.ttest_ind_from_stats(
        85.7 - 35, 2.5, 3, 48.7, 2.0, 3, equal_var=False, alternative="greater"
    ).pvalue
    assert found.doubt(0) == found.doubt(0.9) == pytest.approx(expected)


@pytest.mark.parametrize("r", [0, 0.5, 0.95])
def test_the_papers_own_evidence_from_units_is_a_paired_test_of_scores_with_that_correlation(r):
    given = judge(CLAIM | {"effect": SAMPLE}, results(np.ones(4)))
    paired = np.sqrt((36 + 64 - 2 * r * 48) / 25)
    assert given.doubt(r) == pytest.approx(stats.t.sf((5 - 1) / paired, 24))
    alike = judge(without(CLAIM, "above") | {"effect": SAMPLE, "within": [-7, 7]}, results(np.ones(4)))
    assert alike.doubt(r) == pytest.approx(stats.t.sf(2 / paired, 24))  # the nearer margin


def test_without_the_papers_numbers_there_is_neither_evidence_nor_size_nor_power():
    found = judge(CLAIM, results(np.linspace(3, 9, 8)))
    assert effect(CLAIM) is None and found.doubt(0) is None and found.power is None and found.size() == ""


def test_the_papers_means_alone_give_power_and_neither_evidence_nor_size():
    table = results(np.linspace(-9, 9, 9))
    means, whole = ({"a": [20.0], "b": [15.0]}, SAMPLE)
    found, expected = (judge(CLAIM | {"effect": given}, table) for given in (means, whole))
    assert found.power == expected.power and 0 < found.power < 1
    assert found.doubt(0) is None and found.size() == "" and expected.doubt(0) is not None


@pytest.mark.parametrize(
    ("mean", "size"), [(5, "as in the paper"), (6, "as in the paper"), (40, "larger"), (-30, "smaller")]
)
def test_size_is_by_the_prediction_interval_around_the_papers_effect(mean, size):
    found = judge(CLAIM | {"effect": SAMPLE}, results(mean + np.linspace(-3, 3, 9)))
    assert found.size() == size


def test_power_is_of_the_papers_effect_and_the_correlation_of_both_sides():
    table = results(np.linspace(-9, 9, 9))
    sure = judge(CLAIM | {"effect": SAMPLE | {"a": [200, 6]}}, table)
    never = judge(CLAIM | {"effect": SAMPLE | {"a": [-200, 6]}}, table)
    assert (sure.power, never.power) == (1, 0)
    a, b = (table[name].groupby(level=1).mean() for name in "ab")
    assert sure.correlation == pytest.approx(stats.pearsonr(a, b).statistic)
    assert judge(CLAIM | {"expression": "a"}, table).correlation is None
