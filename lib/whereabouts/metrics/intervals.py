"""The 90 % interval of a mean over trainings and test units, and how often such an interval would decide.

    y[s, u] = mean + training_s + unit_u + rest_su

Both the seeds s and the units u are a sample, and every seed is tested on every unit: two crossed random effects,
without replication. The interval is Student's, with Satterthwaite's degrees of freedom (1946). A test over units alone
would take the seeds at hand for all there are, and find effects where there are none; resampling one or both covers
less (docs/verdicts.md).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.9  # 5 % to each side
DRAWS = 4_000  # of a power; its standard error is below 1 %


@dataclass(frozen=True)
class Interval:
    """Where a mean lies: made by `interval`.

    Args:
        mean: over seeds and units.
        error: its standard error.
        freedom: the degrees of freedom of that, at least 1.
        seeds, units: how many there are.
    """

    mean: float
    error: float
    freedom: float
    seeds: int
    units: int

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half

    @property
    def half(self) -> float:
        """Half of its width."""
        return float(stats.t.ppf((1 + LEVEL) / 2, self.freedom) * self.error)

    def p_above(self, margin: float) -> float:
        """p, one-sided, of a mean no higher than `margin`: at most 0.05 where the whole interval is above it."""
        return chance(self.mean - margin, self.error, self.freedom)


def chance(distance: float, error: float, freedom: float) -> float:
    """Student's tail beyond a distance with that standard error; without any error 0, 0.5 or 1."""
    if error == 0:
        return 0.5 - 0.5 * float(np.sign(distance))
    return float(stats.t.sf(distance / error, freedom))


def mean_squares(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean squares (3,) of seeds, units and rest of `values` (S, U), and their degrees of freedom (3,).

    Where there is one seed, or one unit, its own mean square and that of the rest are 0 on 0 degrees of freedom.
    """
    seeds, units = values.shape
    of_seed, of_unit, mean = values.mean(1, keepdims=True), values.mean(0, keepdims=True), values.mean()
    freedom = np.array([seeds - 1, units - 1, (seeds - 1) * (units - 1)])
    rest = values - of_seed - of_unit + mean
    parts = units * ((of_seed - mean) ** 2).sum(), seeds * ((of_unit - mean) ** 2).sum(), (rest**2).sum()
    return np.where(freedom > 0, parts, 0) / np.maximum(freedom, 1), freedom


def variance(squares: np.ndarray, freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """S U times the variance of the mean, and its degrees of freedom, both (...), from mean squares (..., 3).

    A + B - E estimates it without bias; it is not let fall below A or B, which is right where seeds, or units, have no
    effect of their own.
    """
    a, b, e = np.moveaxis(squares, -1, 0)
    total = np.maximum(a + b - e, np.maximum(a, b))
    parts = (squares**2 / np.maximum(freedom, 1)).sum(-1)
    return total, np.maximum(1, np.divide(total**2, parts, out=np.ones_like(total), where=parts > 0))


def interval(values: np.ndarray) -> Interval | None:
    """The interval of the mean of `values` (S, U), all finite; None of a single number, about which nothing is known.

    With one seed it is Student's over units, with one unit Student's over seeds.
    """
    if values.size < 2:
        return None
    total, freedom = variance(*mean_squares(values))
    return Interval(float(values.mean()), float(np.sqrt(total / values.size)), float(freedom), *values.shape)


def power(values: np.ndarray, effect: float, low: float, high: float) -> float:
    """How often the interval of such a table would lie between `low` and `high` if the mean were `effect`.

    Args:
        values: (S, U), whose seeds, units and rest scatter as those to come.
        effect: the mean that is supposed.
        low, high: the bounds, which may be infinite.

    Mean and mean squares of such a table are independent, the former normal, each of the latter a multiple of
    chi-square: they are drawn, not the tables.
    """
    (a, b, e), freedom = mean_squares(values)
    expected = np.array([max(a, e), max(b, e), e])  # no variance is negative
    rng = np.random.default_rng(0)
    degrees = np.maximum(freedom, 1)
    drawn = expected * rng.chisquare(degrees, (DRAWS, 3)) / degrees
    mean = rng.normal(effect, np.sqrt((expected[0] + expected[1] - e) / values.size), DRAWS)
    total, degrees = variance(drawn, freedom)
    half = stats.t.ppf((1 + LEVEL) / 2, degrees) * np.sqrt(total / values.size)
    return float(np.mean((mean - half > low) & (mean + half < high)))
