"""The numbers that `dvc metrics` lists."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from whereabouts.reporting.headlines import headlines


def test_means_with_their_intervals():
    """Over units, of which each is averaged over seeds first; of the columns that are meant and there."""
    index = pd.MultiIndex.from_product([[1, 2], ["a", "b", "c"]], names=["seed", "unit"])
    table = pd.DataFrame({"x": [1.0, 2, 4, 3, 4, 8], "none": np.nan, "y": 1.0}, index)
    verdicts = pd.Series(["⟦holds⟧", "⟦fails⟧", "⟦not testable here⟧ (too few)", "⟦fails⟧"])
    found = headlines({"first": table, "second": table}, verdicts, {"first": ["x", "none", "later"]})
    low, high = stats.t.interval(0.9, 2, 11 / 3, stats.sem([2, 3, 6]))
    assert found.pop("verdicts") == {"fails": 2, "holds": 1, "not testable here": 1}
    assert found == {"first x": pytest.approx({"mean": 11 / 3, "low": low, "high": high}, abs=1e-4)}


def test_one_unit_has_no_interval():
    table = pd.DataFrame({"x": [1.0, 2.0]}, pd.MultiIndex.from_tuples([(1, 0), (2, 0)]))
    assert headlines({"t": table}, pd.Series(["⟦holds⟧"]), {"t": ["x"]})["t x"] == {"mean": 1.5}
