"""Training curves for `dvc plots`: one table a chapter, with the same columns at every scale."""

from pathlib import Path

import pandas as pd

from whereabouts import files


def write(path: Path, curves: dict[str, list[pd.DataFrame]], measure: str = "dice") -> None:
    """Write `path`, tab-separated: `step`, and a column a method with the mean of its networks' curves.

    Args:
        curves: method -> the curves of its networks, as training wrote them. Where there is none it is nan: an empty
            cell is drawn as 0.
        measure: the column of a curve that is meant.
    """
    columns = {}
    for name, its in curves.items():
        joined = pd.concat(its) if its else pd.DataFrame({"step": [], measure: []})
        columns[name] = joined.groupby("step")[measure].mean()
    files.write_text(
        path, pd.DataFrame(columns).rename_axis("step").to_csv(sep="\t", float_format="%.6g", na_rep="nan")
    )
