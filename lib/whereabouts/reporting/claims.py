"""What a paper claims, as something that a computer can check: the files `claims/*.yaml`.

A claim is an expression over the columns of one of our result tables, which should lie above a margin, or between two:

    - id: spatial-beats-film
      claim: the sentence, in our words
      source: Table 1, Quadrant
      paper: the paper's numbers, as text
      table: clevr_seg
      expression: inside_quadrant - film_quadrant
      above: 15                       # or, where two things are said to be alike, within: [-2, 2]
      central: true                   # one of those that the paper is about; may be left out, as what follows
      exact: true                     # a count, about which there is no uncertainty
      effect: {a: [85.7, 2.5], b: [48.7, 2.0], n: 3, over: runs}

`effect` has the paper's own mean and standard deviation of the two sides of an expression a - b, in the expression's
units, over n runs or n test units; or, where it prints no deviations, the means alone: {a: [96.49], b: [95.99]}, and
b: [0] where there is one side. ((a - b) ** 2) ** 0.5 is the size of a - b in each unit, so that scatter over units
counts against a claim that subtracts it. How a claim is judged: `whereabouts.reporting.verdicts`.

Beside its claims a file may have `frozen: {study: <digest>}`: what `digest` gave before scale `study` was run. Verdicts
of that scale are confirmatory as long as it still gives that.
"""

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from whereabouts.errors import InputError, raise_all
from whereabouts.pipeline import params
from whereabouts.reporting.expressions import is_number, parse

FIELDS = dict.fromkeys(("id", "claim", "source", "paper", "table", "expression"), str)
OPTIONS = ("exact", "central")
SAMPLED = {"n", "over"}  # of an effect with standard deviations
OVER = ("runs", "units")
FROZEN = ("id", "table", "expression", "above", "within", "exact")  # of a claim; the rest is words


def read(path: Path) -> dict:
    """The claims file at `path`: {"claims": [...], "tables": the paper's own numbers}; InputError with all faults."""
    content = params.load(path)
    entries, problems = content.get("claims") or [], []
    if not isinstance(entries, list):
        problems.append(f"{path.name}: claims are no list; write `claims:` and below it `- id: ..` and so on")
        entries = []
    for number, claim in enumerate(entries):
        if not isinstance(claim, dict):
            problems.append(f"{path.name}, claim {number}: no fields; write `id: ..` and so on, as in the other claims")
            continue
        name = f"{path.name}, claim {claim.get('id', number)}"
        problems += [f"{name}: {problem}" for problem in _problems(claim)]
    frozen = content.get("frozen", {})
    if not isinstance(frozen, dict) or not all(re.fullmatch("[0-9a-f]{64}", str(one)) for one in frozen.values()):
        problems.append(f"{path.name}: frozen is no {{scale: digest}}; write what `verdicts freeze` prints")
    raise_all(problems)
    return content


def digest(content: dict) -> str:
    """SHA-256 of what decides the verdicts of a claims file: ids, tables, expressions and margins, in their order."""
    of = [[(field, claim[field]) for field in FROZEN if field in claim] for claim in content["claims"]]
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()


def is_frozen(content: dict, scale: str) -> bool:
    """Whether the claims are what they were when they were frozen for a scale."""
    return content.get("frozen", {}).get(scale) == digest(content)


def _problems(claim: dict) -> list[str]:
    """What is wrong with one entry."""
    known = {*FIELDS, *OPTIONS, "above", "within", "effect"}
    problems = [f"field {f} is missing or no text; add it" for f, t in FIELDS.items() if type(claim.get(f)) is not t]
    problems += [f"unknown field {field}; remove it" for field in claim.keys() - known]
    problems += [
        f"field {f} is neither true nor false; write one" for f in OPTIONS if type(claim.get(f, True)) is not bool
    ]
    if ("above" in claim) == ("within" in claim):
        problems.append("has no margin, or two; write above: number, or within: [low, high]")
    elif "above" in claim and not is_number(claim["above"]):
        problems.append("field above is no number; write one")
    elif "within" in claim and not (_are_numbers(claim["within"], 2) and claim["within"][0] < claim["within"][1]):
        problems.append("field within is no [low, high]; write such as [-2, 2]")
    if "effect" in claim and not _is_effect(claim["effect"]):
        problems.append(
            "field effect is not {a: [mean, sd], b: [mean, sd], n: 2 or more, over: runs or units}, nor {a: [mean], b: "
            "[mean]}; mend it"
        )
    if type(claim.get("expression")) is str:
        try:
            parse(claim["expression"])
        except InputError as error:
            problems.append(str(error))
    return problems


def _are_numbers(value: object, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(is_number, value))


def _is_effect(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    if value.keys() == {"a", "b"}:
        return all(_are_numbers(value[side], 1) for side in "ab")
    if value.keys() != {"a", "b"} | SAMPLED or value["over"] not in OVER:
        return False
    whole = type(value["n"]) is int and value["n"] > 1
    return whole and all(_are_numbers(value[side], 2) and value[side][1] >= 0 for side in "ab")


def bounds(claim: dict) -> tuple[float, float]:
    """Between which values the claim's expression should lie; the upper one is infinite where there is one margin."""
    return tuple(claim["within"]) if "within" in claim else (claim["above"], np.inf)


def condition(claim: dict) -> str:
    """The margin as it is printed: "> 15" or "within [-2, 2]"."""
    return f"within {claim['within']}" if "within" in claim else f"> {claim['above']:g}"
