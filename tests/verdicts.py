"""What claims come to on tables made by hand, and what they say of the paper's."""

import re

import pandas as pd

from whereabouts.reporting import verdicts as judged
from whereabouts.reporting.expressions import parse


def verdicts(content: dict, found: dict[str, pd.DataFrame]) -> dict[str, str]:
    """id -> verdict, such as "reproduced (one training)"; of one that was not run, the reason as well.

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


def wrong_effects(content: dict, paper: dict[str, dict[str, list]]) -> list[str]:
    """Claims that one column is above another whose effect is not what the paper prints of the two.

    Args:
        paper: table -> column -> [mean, sd], of which the last may lack, and then there is no effect.
    """
    wrong = []
    for claim in content["claims"]:
        pair = re.fullmatch(r"(\w+) - (\w+)", claim["expression"])
        cells = [paper.get(claim["table"], {}).get(name, []) for name in pair.groups()] if pair else [[], []]
        printed = [cell[:2] for cell in cells] if all(len(cell) > 1 and cell[1] is not None for cell in cells) else None
        given = [claim["effect"][side] for side in "ab"] if "effect" in claim else None
        wrong += [claim["id"]] if given != printed else []
    return wrong
