"""What a paper claims, as something that a computer can check (`claims/*.yaml`), and the verdicts.

A claim is an expression over the columns of one of our result tables, which should lie above a margin:

    - id: spatial-beats-film
      claim: the sentence, in our words
      source: Table 1, Quadrant
      paper: the paper's numbers, as text
      table: clevr_seg
      expression: inside_quadrant - film_quadrant
      above: 5
      test: wilcoxon

The table is indexed by (seed, unit). The expression is evaluated for each row; its mean over units, and the standard
deviation of that over seeds, is what is printed. With `test: wilcoxon` the claim holds only if a one-sided signed-rank
test over the units (averaged over seeds) also finds it above the margin, at p <= 0.05; with `test: none` the mean
decides.
"""

import ast
import math
from pathlib import Path

import pandas as pd

from lib import params
from lib.errors import raise_all
from lib.stats import mean_sd, paired_wilcoxon
from lib.tables import bold

FIELDS = {"id": str, "claim": str, "source": str, "paper": str, "table": str, "expression": str, "test": str}
TESTS = ("wilcoxon", "none")
LEVEL = 0.05

_ARITHMETIC = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant, ast.operator, ast.unaryop, ast.Load)


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
        problems += [
            f"{name}: field {f} is missing or no text; add it" for f, t in FIELDS.items() if type(claim.get(f)) is not t
        ]
        problems += [f"{name}: unknown field {field}; remove it" for field in claim.keys() - FIELDS.keys() - {"above"}]
        if not (isinstance(above := claim.get("above"), (int, float)) and abs(above) < math.inf):  # nor NaN
            problems.append(f"{name}: field above is missing or no number; add it")
        if claim.get("test") not in TESTS:
            problems.append(f"{name}: test {claim.get('test')!r} is unknown; choose one of {', '.join(TESTS)}")
        if not _is_arithmetic(str(claim.get("expression", "0"))):
            wrong = f"expression {str(claim['expression'])[:80]!r} is no expression"
            problems.append(f"{name}: {wrong}; write one over the table's columns")
    raise_all(problems)
    return content


def _is_arithmetic(expression: str) -> bool:
    """Whether it is Python that calculates with columns and calls nothing, so that pandas may evaluate it."""
    try:
        nodes = list(ast.walk(ast.parse(expression, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # ValueError: NUL; the last two: nested too deep
        return False
    return all(isinstance(node, _ARITHMETIC) for node in nodes)


def evaluate(claim: dict, table: pd.DataFrame) -> dict:
    """The verdict on one claim.

    Args:
        claim: one entry of the file.
        table: results, indexed by (seed, unit), one column a quantity.

    Returns:
        ours ("mean ± sd"), p (text) and verdict: "holds", "fails" or "not testable here".
    """
    names = {node.id for node in ast.walk(ast.parse(claim["expression"], mode="eval")) if isinstance(node, ast.Name)}
    if missing := sorted(names - set(table.columns)):
        return {"ours": "", "p": "", "verdict": "not testable here", "why": f"this run has no {', '.join(missing)}"}
    values = table.eval(claim["expression"]).dropna()
    if values.empty:
        why = f"this run has no unit with a value for {claim['expression']}"
        return {"ours": "", "p": "", "verdict": "not testable here", "why": why}
    by_seed, by_unit = values.groupby(level=0).mean(), values.groupby(level=1).mean()
    holds, p = by_seed.mean() > claim["above"], ""
    if claim["test"] == "wilcoxon":
        probability = paired_wilcoxon(by_unit.to_numpy(), claim["above"], alternative="greater")
        holds, p = holds and probability <= LEVEL, f"{probability:.2g}"
    return {"ours": mean_sd(by_seed), "p": p, "verdict": "holds" if holds else "fails", "why": ""}


def verdicts(content: dict, tables: dict, labels: dict) -> pd.DataFrame:
    """Every claim with its verdict, as printed.

    Args:
        content: of the claims file.
        tables: name -> results, each indexed by (seed, unit).
        labels: table -> the label of its data.
    """
    rows = []
    for claim in content["claims"]:
        found = evaluate(claim, tables[claim["table"]])
        rows.append(
            {
                "Claim": claim["claim"],
                "Where": claim["source"],
                "Paper": claim["paper"],
                "Checked": f"{claim['expression']} > {claim['above']}",
                "Ours": found["ours"],
                "p": found["p"],
                "Verdict": bold(found["verdict"]) + (f" ({found['why']})" if found["why"] else ""),
                "Data": labels[claim["table"]],
            }
        )
    return pd.DataFrame(rows)
