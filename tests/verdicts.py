"""What claims come to on tables made by hand."""

import pandas as pd

from whereabouts.reporting import claims


def verdicts(content: dict, found: dict[str, pd.DataFrame]) -> dict[str, str]:
    """id -> verdict, of every claim of a file; no two have the same id.

    Args:
        content: from `whereabouts.reporting.claims.read`.
        found: tables by name.
    """
    table = claims.verdicts(content, found, dict.fromkeys(found, "made by hand"))
    ids = [claim["id"] for claim in content["claims"]]
    assert len(set(ids)) == len(ids)
    return dict(zip(ids, table["Verdict"], strict=True))
