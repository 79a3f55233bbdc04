"""How a claim is judged: whether the interval of its expression lies on the claim's side of the margin."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from whereabouts.metrics import intervals
from whereabouts.metrics.intervals import Interval, chance
from whereabouts.reporting.claims import bounds
from whereabouts.reporting.expressions import Expression, parse

WORDS = ("reproduced", "contradicted", "undecided", "not run")


@dataclass(frozen=True)
class Verdict:
    """What became of one claim: made by `judge`.

    Args:
        claim: its entry in the file.
        word: one of `WORDS`.
        why: of one that was not run.
        mean: of the expression, over seeds and units.
        interval: of that, unless it is a single number.
        better, left_out: units on the claim's side of the margin; and those that lack a value that the claim needs.
        seeds_left_out: those of the table that have no value at all.
        correlation: of the two sides of an expression a - b over units, each averaged over seeds; None of fewer than
            three.
        power: how often this would read "reproduced" if the paper's own effect were true; None where the file has no
            effect, or there is no interval.
    """

    claim: dict
    word: str
    why: str = ""
    mean: float = np.nan
    interval: Interval | None = None
    better: int = 0
    left_out: int = 0
    seeds_left_out: int = 0
    correlation: float | None = None
    power: float | None = None

    @property
    def of_one(self) -> bool:
        """Whether it was decided from one seed, which says nothing of others."""
        return self.interval is not None and self.interval.seeds == 1 and self.word in WORDS[:2]

    def __str__(self) -> str:
        return f"{self.word} (one seed)" if self.of_one else self.word

    @property
    def p(self) -> float | None:
        """One-sided, that the expression's mean is not where the claim has it."""
        if self.interval is None:
            return None
        low, high = bounds(self.claim)
        return max(self.interval.p_above(low), 1 - self.interval.p_above(high))

    def doubt(self, correlation: float) -> float | None:
        """The chance that the claim is false by the paper's own numbers, of scores with that correlation over units.

        Christodoulou et al. 2025, "False promises in medical imaging AI?".
        """
        if (paper := effect(self.claim, correlation)) is None or paper.error is None:
            return None
        low, high = bounds(self.claim)
        away = paper.mean - low, high - paper.mean
        return max(chance(distance, paper.error, paper.freedom) for distance in away)

    def size(self) -> str:
        """Our effect beside the 90 % prediction interval around the paper's (Spence and Stanley 2024); or ""."""
        paper = effect(self.claim, self.correlation or 0.0)
        if paper is None or paper.error is None or self.interval is None:
            return ""
        parts = np.array([paper.error, self.interval.error]) ** 2
        each = parts**2 / np.array([paper.freedom, self.interval.freedom])
        freedom = parts.sum() ** 2 / each.sum() if each.sum() else 1.0  # Satterthwaite's, as everywhere
        half = stats.t.ppf((1 + intervals.LEVEL) / 2, freedom) * np.sqrt(parts.sum())
        away = self.mean - paper.mean
        return "as in the paper" if abs(away) <= half else "larger" if away > 0 else "smaller"


class Effect(NamedTuple):
    """The paper's own a - b: its mean and, where it prints deviations, its standard error and degrees of freedom."""

    mean: float
    error: float | None = None
    freedom: float | None = None


def effect(claim: dict, correlation: float = 0.0) -> Effect | None:
    """What the paper's numbers say of a claim; None where its file has none.

    Args:
        correlation: of the two methods' scores over test units, which papers do not print; runs are independent.
    """
    if (given := claim.get("effect")) is None:
        return None
    if "n" not in given:
        return Effect(given["a"][0] - given["b"][0])
    (a, sd_a), (b, sd_b), n = given["a"], given["b"], given["n"]
    parts = np.array([sd_a, sd_b]) ** 2 / n
    if given["over"] == "units":
        total = max(parts.sum() - 2 * correlation * sd_a * sd_b / n, 0.0)
        return Effect(a - b, float(np.sqrt(total)), n - 1)
    freedom = parts.sum() ** 2 / (parts**2 / (n - 1)).sum() if parts.any() else n - 1  # Welch's
    return Effect(a - b, float(np.sqrt(parts.sum())), float(freedom))


def judge(claim: dict, table: pd.DataFrame) -> Verdict:
    """The verdict on one claim.

    Args:
        claim: one entry of the file.
        table: results indexed by (seed, unit), one column a quantity.
    """
    expression = parse(claim["expression"])
    if missing := sorted(expression.columns - set(table.columns)):
        return Verdict(claim, "not run", f"this run has no {', '.join(missing)}")
    values, *left_out = complete(expression.of(table), table[sorted(expression.columns)])
    if not values.size:
        return Verdict(claim, "not run", f"this run has no unit with a value for {claim['expression']}")
    array = values.to_numpy().T
    mean, (low, high) = float(array.mean()), bounds(claim)
    better = int(values.mean(axis=1).between(low, high, inclusive="neither").sum())
    if claim.get("exact"):
        return Verdict(claim, "reproduced" if low < mean < high else "contradicted", "", mean, None, better, *left_out)
    found = intervals.interval(array)
    paper = effect(claim)
    return Verdict(
        claim,
        _word(found, low, high),
        mean=mean,
        interval=found,
        better=better,
        left_out=left_out[0],
        seeds_left_out=left_out[1],
        correlation=_correlation(expression, table, values.index),
        power=None if paper is None or found is None else intervals.power(array, paper.mean, low, high),
    )


def _word(found: Interval | None, low: float, high: float) -> str:
    if found is None:
        return "undecided"
    if low < found.low and found.high < high:
        return "reproduced"
    return "contradicted" if found.high < low or high < found.low else "undecided"


def complete(values: pd.Series, needed: pd.DataFrame) -> tuple[pd.DataFrame, int, int]:
    """The units that have a value in every seed, as a table (unit, seed); how many others there are; and seeds without.

    Args:
        values: indexed by (seed, unit). A seed without any value, as one that was not run, is left out.
        needed: the columns that they were made from; a unit that has none of them does not belong here.
    """
    every = values.groupby(level=[0, 1]).mean().unstack(0)
    wide = every.dropna(axis=1, how="all")
    there = needed.notna().any(axis=1).groupby(level=1).any()
    whole = wide.dropna()
    return whole, int(there.sum()) - len(whole), every.shape[1] - wide.shape[1]


def _correlation(expression: Expression, table: pd.DataFrame, units: pd.Index) -> float | None:
    sides = expression.sides()
    if sides is None or len(units) < 3:
        return None
    a, b = (side.of(table).groupby(level=1).mean().loc[units] for side in sides)
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else None
