"""The few numbers of a chapter that `dvc metrics` lists and compares."""

import pandas as pd

from whereabouts.metrics.intervals import interval
from whereabouts.reporting.judging import Verdict, complete
from whereabouts.reporting.verdicts import counts


def headlines(tables: dict[str, pd.DataFrame], judged: list[Verdict], chosen: dict[str, list[str]]) -> dict:
    """Means with intervals of a few columns, and how many claims have which verdict.

    Args:
        tables: name -> table indexed by (seed, unit), a column a method and measure.
        judged: the verdicts.
        chosen: table -> the columns meant; one that was not run at this scale is left out.

    Returns:
        {"verdicts": {word: count}, "<table> <column>": {"mean", "low", "high"}}: the mean over seeds and units and its
        90 % interval; no interval of a single number.
    """
    there = {f"{n} {c}": tables[n][[c]].dropna() for n, columns in chosen.items() for c in columns if c in tables[n]}
    found = {name: _mean(column) for name, column in there.items() if len(column)}
    return {"verdicts": counts(judged)} | {name: value for name, value in found.items() if value}


def _mean(column: pd.DataFrame) -> dict[str, float]:
    values = complete(column.iloc[:, 0], column)[0].to_numpy().T
    if not values.size:
        return {}
    found = interval(values)
    if found is None:
        return {"mean": round(float(values.mean()), 4)}
    return {name: round(getattr(found, name), 4) for name in ("mean", "low", "high")}
