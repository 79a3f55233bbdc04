"""The table of verdicts on a paper's claims, made from the results by seed and unit that are kept beside it.

`python -m whereabouts.reporting.verdicts` makes every verdict of every run in paper_figures/ again and says whether the
tables of claims there are those; with `write` it writes them anew, after claims were changed. `freeze study` prints
what the claims files say once their margins are fixed for scale `study`. It needs no data, and no training:
docs/verdicts.md.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from whereabouts import paths
from whereabouts.errors import InputError, raise_all
from whereabouts.pipeline import system
from whereabouts.reporting import claims, tables, units
from whereabouts.reporting.judging import WORDS, Verdict, judge
from whereabouts.reporting.units import Units

NAME = "claims"
SIZED = "paper"  # the scale at which our effect can have the paper's size
NONE = "–"
NOTES = (
    "Verdict: the 90 % interval of the mean over seeds and units lies on the claim's side of its margin (reproduced), "
    "on the other (contradicted), or on both (undecided); one seed says nothing of others. ∗ a central claim. "
    "Better in: units on the claim's side, averaged over seeds. Size: of our effect beside the paper's, at its scale "
    "and on real data. Doubt: the chance that the claim is false by the paper's own means and standard deviations; r: "
    "the correlation of our scores, where the paper compares units. Power: the chance to read reproduced if the "
    "paper's own effect were true. q: of the claim, by Benjamini and Hochberg over this table."
)


def verdicts(content: dict, found: dict[str, pd.DataFrame]) -> list[Verdict]:
    """Of every claim.

    Args:
        content: of the claims file.
        found: table -> results, each indexed by (seed, unit). Claims over others are not run: they are younger than
            the results.
    """

    def one(claim: dict) -> Verdict:
        if claim["table"] not in found:
            return Verdict(claim, "not run", f"this run has no table {claim['table']}")
        return judge(claim, found[claim["table"]])

    return [one(claim) for claim in content["claims"]]


def as_table(judged: list[Verdict], labels: dict[str, str], scale: str) -> pd.DataFrame:
    """Every claim with its verdict, as printed; text cells.

    Args:
        labels: table -> the label of its data.
        scale: of the run.
    """
    rows = []
    for verdict, q in zip(judged, false_discovery(judged), strict=True):
        claim, label = verdict.claim, labels.get(verdict.claim["table"], NONE)
        sized = scale == SIZED and "(synthetic" not in label
        rows.append(
            {
                "Id": claim["id"] + (" ∗" if claim.get("central") else ""),
                "Claim": claim["claim"],
                "Where": claim["source"],
                "Paper": claim["paper"],
                "Checked": f"{claim['expression']} {claims.condition(claim)}",
                "Verdict": wording(verdict),
                "Of": _of(verdict),
                "Better in": f"{verdict.better}/{verdict.interval.units}" if verdict.interval else NONE,
                "Size": (sized and verdict.size()) or NONE,
                "Doubt": _doubt(verdict),
                "Power": NONE if verdict.power is None else f"{verdict.power:.2f}",
                "q": NONE if np.isnan(q) else _probability(q),
                "Data": label,
            }
        )
    return pd.DataFrame(rows)


def wording(verdict: Verdict) -> str:
    """The verdict in one line: "⟦reproduced⟧: 23.6 [20.9, 26.3] > 15"."""
    said = tables.bold(verdict.word) + str(verdict).removeprefix(verdict.word)
    if verdict.word == "not run":
        return f"{said} ({verdict.why})"
    found, condition = verdict.interval, claims.condition(verdict.claim)
    if verdict.word == "contradicted":
        condition = condition.replace(">", "<").replace("within", "outside")
    if found is None:
        return f"{said}: {verdict.mean:.5g}" + (f" {condition}" if verdict.claim.get("exact") else ", a single number")
    d = min(5, max(1, 1 - int(np.floor(np.log10(found.half))))) if found.half else 1
    numbers = f"{found.mean:.{d}f} [{found.low:.{d}f}, {found.high:.{d}f}]"
    return f"{said}: {numbers}" + ("" if verdict.word == "undecided" else f" {condition}")


def _of(verdict: Verdict) -> str:
    """How many seeds and units are behind it, and how many are not."""

    def many(seeds: int, units: int) -> list[str]:
        return [f"{n} {name}{'s' * (n != 1)}" for n, name in ((seeds, "seed"), (units, "unit")) if n]

    found, lacking = verdict.interval, many(verdict.seeds_left_out, verdict.left_out)
    said = " x ".join(many(found.seeds, found.units)) if found else NONE
    return said + (f", {' and '.join(lacking)} without a value" if lacking else "")


def _doubt(verdict: Verdict) -> str:
    if (alone := verdict.doubt(0)) is None:
        return NONE
    r = verdict.correlation
    if verdict.claim["effect"]["over"] == "runs" or r is None:
        return _probability(alone)
    return f"{_probability(alone)}; {_probability(verdict.doubt(r))} (r = {r:.2f})"


def _probability(p: float) -> str:
    return "<= 0.001" if p <= 0.001 else f"{p:.2g}"


def false_discovery(judged: list[Verdict]) -> np.ndarray:
    """q of every claim, NaN where there is no interval: the part of false claims among those with a q as low."""
    p = np.array([np.nan if verdict.p is None else verdict.p for verdict in judged], dtype=float)
    known = np.isfinite(p)
    if known.any():
        p[known] = stats.false_discovery_control(p[known])
    return p


def counts(judged: list[Verdict]) -> dict[str, int]:
    """How many claims have which verdict; those of one seed for themselves."""
    said = pd.Series([str(verdict) for verdict in judged], dtype=object).value_counts()
    return dict.fromkeys(WORDS, 0) | {word: int(count) for word, count in said.sort_index().items()}


def summary(judged: list[Verdict]) -> str:
    """ "3 reproduced, 1 contradicted, .."."""
    return ", ".join(f"{count} {word}" for word, count in counts(judged).items())


def _notes(judged: list[Verdict], frozen: bool) -> str:
    when = "Confirmatory: margins frozen" if frozen else "Exploratory: margins not frozen"
    q = dict(zip(map(id, judged), false_discovery(judged), strict=True))
    decided = [verdict for verdict in judged if verdict.interval and verdict.word in WORDS[:2]]
    reproduced = [verdict for verdict in decided if verdict.word == WORDS[0]]
    kept = sum(q[id(verdict)] <= 0.05 for verdict in reproduced)
    return (
        f"{when} before this scale. {summary(judged)}. Of {len(decided)} intervals that decide, each wrong "
        f"with a chance of 5 %, about {len(decided) / 20:.1f} may be; {kept} of {len(reproduced)} reproduced have q <= "
        f"0.05. {NOTES}"
    )


def publish(kept: Units, folder: Path | None = None) -> list[Verdict]:
    """Judge the claims of a chapter and write the table `claims`.

    Args:
        kept: the chapter's results by seed and unit.
        folder: in place of the one where they are kept.
    """
    content = claims.read(paths.at(kept.claims))
    judged = verdicts(content, kept.tables)
    table = as_table(judged, kept.labels, kept.origin.scale)
    notes = _notes(judged, claims.is_frozen(content, kept.origin.scale))
    tables.write(table, folder or kept.folder, NAME, kept.title, kept.origin, notes)
    return judged


def main(arguments: list[str]) -> None:
    if len(arguments) == 2 and arguments[0] == "freeze":
        for path in sorted(paths.at("claims").glob("*.yaml")):
            print(f"{paths.shown(path)}: frozen: {{{arguments[1]}: {claims.digest(claims.read(path))}}}")
        return
    if arguments not in ([], ["write"]):
        raise InputError(f"{' '.join(arguments)}: unknown; give nothing, `write`, or `freeze` and a scale")
    problems = []
    for folder in units.folders(paths.at("paper_figures")):
        kept = units.read(folder)
        with tempfile.TemporaryDirectory() as place:
            judged = publish(kept, folder if arguments else Path(place))
            made = [folder / path.name for path in Path(place).iterdir() if _differ(path, folder / path.name)]
        print(f"{paths.shown(folder)}: {summary(judged)}")
        problems += [f"{paths.shown(path)}: not what {units.FOLDER}/ there comes to; give `write`" for path in made]
    raise_all(problems)


def _differ(new: Path, old: Path) -> bool:
    return not old.exists() or new.read_bytes() != old.read_bytes()


if __name__ == "__main__":
    system.command(main, sys.argv[1:])
