"""What claims come to on tables made by hand, and what they say of the paper's."""

import re
from collections.abc import Container

import pandas as pd

from whereabouts.reporting import verdicts as judged
from whereabouts.reporting.expressions import parse

CLAIM = {  # one that is well formed
    "id": "a-beats-b",
    "claim": "A is better than B.",
    "source": "Table 1",
    "paper": "2 against 1",
    "table": "t",
    "expression": "a - b",
    "above": 1,
}


def verdicts(content: dict, found: dict[str, pd.DataFrame]) -> dict[str, str]:
    """id -> verdict, such as "reproduced (one seed)"; of one that was not run, the reason as well.

    Args:
        content: from `whereabouts.reporting.claims.read`; no two claims have the same id.
        found: tables by name.
    """
    all_of_them = judged.verdicts(content, found)
    ids = [claim["id"] for claim in content["claims"]]
    assert len(set(ids)) == len(ids)
    return {one: f"{verdict}: {verdict.why}".rstrip(": ") for one, verdict in zip(ids, all_of_them, strict=True)}


def lacking(content: dict, found: dict[str, pd.DataFrame]) -> set[str]:
    """The columns, as "table.column", that claims speak of and the tables do not have."""
    named = [(claim["table"], parse(claim["expression"]).columns) for claim in content["claims"]]
    return {f"{table}.{column}" for table, columns in named for column in columns - set(found[table])}


def wrong_effects(content: dict, paper: dict[str, dict[str, list]], without_sd: Container[str] = ()) -> list[str]:
    """Claims whose effect is not what the paper's numbers come to: the expression, at its means.

    Where the paper prints all that the expression names there must be one; that one column is above another has their
    deviations as well, unless one of them has none.

    Args:
        paper: table -> column -> [mean, sd], of which the last may lack.
        without_sd: ids of claims whose deviations are not over trainings or units.
    """
    wrong = []
    for claim in content["claims"]:
        of, expression, given = paper.get(claim["table"], {}), parse(claim["expression"]), claim.get("effect")
        if given is None or not expression.columns <= of.keys():
            wrong += [claim["id"]] if given is not None or expression.columns <= of.keys() else []
            continue
        expected = expression.of(pd.DataFrame({name: [of[name][0]] for name in expression.columns}))[0]
        found = given["a"][0] - given["b"][0]
        pair = re.fullmatch(r"([^\W\d]\w*) - ([^\W\d]\w*)", claim["expression"])
        cells = [of[name][:2] for name in pair.groups()] if pair and claim["id"] not in without_sd else []
        if cells and all(len(cell) > 1 and cell[1] is not None for cell in cells):
            right = [given["a"], given["b"]] == cells
        else:
            right = abs(found - expected) < 0.05 and "n" not in given  # papers round
        wrong += [] if right else [claim["id"]]
    return wrong
