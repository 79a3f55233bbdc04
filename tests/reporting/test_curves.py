"""Curves for `dvc plots`."""

import pandas as pd

from whereabouts.reporting import curves


def test_a_column_a_method_also_where_nothing_was_run(tmp_path):
    first = pd.DataFrame({"step": [10, 20], "loss": [1, 1], "dice": [0.25, 0.5]})
    longer = pd.DataFrame({"step": [10, 20, 30], "loss": [1, 1, 1], "dice": [0.75, 0.5, 1]})
    curves.write(tmp_path / "c.tsv", {"film": [first, longer], "inside": [first], "none": []})
    lines = ["step\tfilm\tinside\tnone", "10\t0.5\t0.25\tnan", "20\t0.5\t0.5\tnan", "30\t1\tnan\tnan", ""]
    assert (tmp_path / "c.tsv").read_text(encoding="utf-8") == "\n".join(lines)
