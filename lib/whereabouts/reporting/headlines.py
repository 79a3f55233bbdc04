"""The few numbers of a chapter that `dvc metrics` lists and compares."""

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.9  # of the intervals


def headlines(tables: dict[str, pd.DataFrame], verdicts: pd.Series, chosen: dict[str, list[str]]) -> dict:
    """Means with intervals of a few columns, and how many claims have which verdict.

    Args:
        tables: as for `claims.verdicts`: name -> table indexed by (seed, unit), a column a method and measure.
        verdicts: the column of `claims.verdicts`.
        chosen: table -> the columns meant; one that was not run at this scale is left out.

    Returns:
        {"verdicts": {word: count}, column: {"mean", "low", "high"}}: the mean over units, each averaged over seeds, and
        its 90 % interval by Student's t over units; no interval of a single unit.
    """
    words = verdicts.str.extract("⟦(.*?)⟧")[0]
    found: dict[str, dict] = {"verdicts": words.value_counts().sort_index().to_dict()}
    for name, columns in chosen.items():
        units = tables[name].groupby(level=-1).mean()
        found |= {f"{name} {column}": _mean(units[column].dropna()) for column in columns if column in units}
    return {name: value for name, value in found.items() if value}


def _mean(values: pd.Series) -> dict[str, float]:
    if values.empty:
        return {}
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return {"mean": round(mean, 4)}
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return {"mean": round(mean, 4), "low": round(float(mean - half), 4), "high": round(float(mean + half), 4)}
