"""The numbers that `dvc metrics` lists."""

import numpy as np
import pandas as pd
import pytest

from whereabouts.metrics.intervals import interval
from whereabouts.reporting.headlines import headlines
from whereabouts.reporting.judging import Verdict

INDEX = pd.MultiIndex.from_product([[1, 2], ["a", "b", "c"]], names=["seed", "unit"])
X = [1.0, 2, 4, 3, 4, 8]


def test_means_with_their_intervals_and_verdicts_with_their_counts():
    """Of the columns that are meant and there, over units that have a value in both seeds."""
    table = pd.DataFrame({"x": X, "none": np.nan, "y": 1.0, "part": [1.0, 2, np.nan, 3, 4, 8]}, INDEX)
    judged = [Verdict({}, word) for word in ("reproduced", "undecided", "undecided")]
    found = headlines({"t": table, "u": table}, judged, {"t": ["x", "none", "later", "part"]})
    assert found.pop("verdicts") == {"reproduced": 1, "contradicted": 0, "undecided": 2, "not run": 0}
    x, part = interval(np.reshape(X, (2, 3))), interval(np.array([[1.0, 2], [3, 4]]))
    assert found == {
        "t x": pytest.approx({"mean": 11 / 3, "low": x.low, "high": x.high}, abs=1e-4),
        "t part": pytest.approx({"mean": 2.5, "low": part.low, "high": part.high}, abs=1e-4),
    }


def test_a_single_number_has_no_interval():
    table = pd.DataFrame({"x": [1.5]}, pd.MultiIndex.from_tuples([(1, "a")]))
    assert headlines({"t": table}, [], {"t": ["x"]})["t x"] == {"mean": 1.5}
