"""Whether what a run has come to is what is committed: `python -m whereabouts.reporting.verify`, or `make verify`.

For every chapter that keeps its results by seed and unit, those in the working tree are compared with those that git's
HEAD has in the same folder, which is of the same scale and choice of data: the data's digests, each verdict, and
whether each number lies within the other's interval. A single number, such as a time, has no interval and is not
compared, unless it is a count.
"""

import subprocess
import tempfile
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from whereabouts import files, paths
from whereabouts.errors import InputError, raise_all
from whereabouts.pipeline import system
from whereabouts.reporting import claims, units
from whereabouts.reporting.judging import Verdict, judge
from whereabouts.reporting.units import Units
from whereabouts.reporting.verdicts import wording

RESULTS = ("scale", "data", "seeds")  # of an origin; what else it says is of the machine
LESS_THAN_KEPT = 1e-4  # of a number; half of its last digit that is kept


def committed(folder: Path) -> Units | None:
    """What HEAD has of a chapter's folder; None where it keeps no units.

    Raises:
        InputError: this is no checkout of git, or has no commit.
    """
    inside = f"{paths.relative(folder)}/{units.FOLDER}"
    try:
        listed = _said("ls-tree", "-r", "-z", "--name-only", "HEAD", inside).decode().split("\0")[:-1]
        if not listed:
            return None
        kept = {name: _said("show", f"HEAD:./{name}") for name in listed}
    except (OSError, subprocess.CalledProcessError):
        raise InputError(f"{paths.shown(folder)}: git has no commit of it; verify in a clone") from None
    with tempfile.TemporaryDirectory() as place:
        for name, content in kept.items():
            files.write_bytes(Path(place, name), content)
        return units.read(Path(place) / paths.relative(folder))


def _said(*command: str) -> bytes:
    return subprocess.run(["git", "-C", str(paths.ROOT), *command], capture_output=True, check=True).stdout


def machine(kept: Units) -> dict:
    """Where and how it was calculated, as far as its origin says."""
    return {name: value for name, value in asdict(kept.origin).items() if name not in RESULTS}


def differences(new: Units, old: Units, content: dict) -> tuple[list[str], str]:
    """What of a chapter is not as committed, a line each, and all of it in one line.

    Args:
        content: the claims, by which both are judged.
    """
    there = new.labels.keys() & old.labels.keys()
    problems = [f"table {name}: in one of the two only" for name in sorted(new.labels.keys() ^ old.labels.keys())]
    changed = [name for name in sorted(there) if new.labels[name] != old.labels[name]]
    data = [f"data of {name}: {new.labels[name]}, committed {old.labels[name]}" for name in changed]
    compared = [claim for claim in content["claims"] if claim["table"] in there - set(changed)]
    same = within = single = 0
    elsewhere = machine(new) != machine(old)
    for claim in compared:
        ours, theirs = (judge(claim, kept.tables[claim["table"]]) for kept in (new, old))
        loose = all(map(_nothing_is_known_of, (ours, theirs)))
        same += str(ours) == str(theirs)
        single += loose
        within += not loose and alike(ours, theirs)
        if str(ours) != str(theirs) or not (loose or alike(ours, theirs)):
            why = _why(ours, theirs, elsewhere)
            problems.append(f"{claim['id']}: {_plain(ours)}; committed {_plain(theirs)}; {why}")
    said = f"{len(there) - len(data)} of {len(new.labels)} tables of the same data; of {len(compared)} claims on them "
    said += f"{same} with the same verdict, {within} with numbers within the other's interval"
    said += f", {single} of a single number, not compared" if single else ""
    if elsewhere:
        said += f"; {_listed(machine(new))}, committed {_listed(machine(old))}"
    return data + problems, said


def _listed(facts: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items() if value) or "by nobody knows what"


def _nothing_is_known_of(verdict: Verdict) -> bool:
    """Whether it is undecided because there is one number only: a time, or one training on one data set."""
    return verdict.word == "undecided" and verdict.interval is None


def alike(ours: Verdict, theirs: Verdict) -> bool:
    """Whether each mean lies within the other's interval; where there is none, whether the numbers are the same."""
    if (ours.interval is None) != (theirs.interval is None):
        return False
    if ours.interval is None or ours.mean == theirs.mean:
        close = abs(ours.mean - theirs.mean) <= LESS_THAN_KEPT * abs(theirs.mean)
        return close or (pd.isna(ours.mean) and pd.isna(theirs.mean))
    return all(a.interval.low <= b.mean <= a.interval.high for a, b in ((ours, theirs), (theirs, ours)))


def _why(ours: Verdict, theirs: Verdict, elsewhere: bool) -> str:
    """Whether another processor's rounding may be behind it, which makes of each training another, but of no count."""
    found = [
        one.interval and (one.interval.seeds, one.interval.units, one.left_out, one.seeds_left_out)
        for one in (ours, theirs)
    ]
    if ours.claim.get("exact") or found[0] != found[1]:
        return "no processor explains it"
    return "another processor explains it" if elsewhere else "calculated alike, so that no processor explains it"


def _plain(verdict: Verdict) -> str:
    return wording(verdict).translate({ord(mark): None for mark in "⟦⟧"})


def main() -> None:
    problems, compared = [], 0
    for folder in units.folders(paths.at("paper_figures")):
        name, old = paths.shown(folder), committed(folder)
        if old is None:
            print(f"{name}: not committed; nothing to compare with")
            continue
        new = units.read(folder)
        compared += 1
        found, said = differences(new, old, claims.read(paths.at(new.claims)))
        print(f"{name}: {said}")
        problems += [f"{name}, {problem}" for problem in found]
    if not compared:
        raise InputError("paper_figures: nothing to compare; run the pipeline at a scale whose results are committed")
    raise_all(problems)
    print("consistent")


if __name__ == "__main__":
    system.command(main)
