"""The methods that the INSIDE paper compares: their names in files, in print, and their order."""

# The seven of INSIDE's Table 1, in its order.
METHOD_NAMES = {
    "baseline": "Baseline",
    "film": "FiLM",
    "guiding_block": "Guiding Block",
    "single": "Single Attention (w/o FiLM)",
    "multiple": "Multiple Attentions (w/o FiLM)",
    "inside_single": "INSIDE (Single Attention)",
    "inside": "INSIDE (Multiple Attentions)",
}
PAPERS = tuple(METHOD_NAMES)  # without those that `methods.register` adds


# Those of its Table 2, each with the facts that it is given; the baseline is given none.
ARMS = ["baseline"] + [
    f"{method}-{facts}" for method in ("film", "guiding_block", "inside") for facts in ("position", "phase")
]


def parts(arm: str) -> tuple[str, str]:
    """An arm as method and facts: ("inside", "position"), ("baseline", "none")."""
    method, _, facts = arm.partition("-")
    return method, facts or "none"
