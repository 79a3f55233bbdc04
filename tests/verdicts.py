"""What claims come to on tables made by hand."""

import pandas as pd

from whereabouts.reporting import verdicts as judged


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
