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

An expression has columns, numbers, brackets and + - * / ** and nothing else. It is evaluated here, in floating point,
so that whatever is written takes no more time and memory than its length times that of the table.
"""

import ast
import operator
from pathlib import Path

import numpy as np
import pandas as pd

from whereabouts.errors import InputError, raise_all
from whereabouts.metrics.statistics import mean_sd, paired_wilcoxon
from whereabouts.pipeline import params
from whereabouts.reporting.tables import bold

FIELDS = {"id": str, "claim": str, "source": str, "paper": str, "table": str, "expression": str, "test": str}
TESTS = ("wilcoxon", "none")
LEVEL = 0.05

LENGTH = 250  # characters of an expression; the longest of ours has 130
LARGEST = 1e12  # number in one, and margin

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


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
        if not _is_number(claim.get("above")):
            problems.append(f"{name}: field above is missing or no number; add it")
        if claim.get("test") not in TESTS:
            problems.append(f"{name}: test {claim.get('test')!r} is unknown; choose one of {', '.join(TESTS)}")
        if type(claim.get("expression")) is str:
            try:
                _parsed(claim["expression"])
            except InputError as error:
                problems.append(f"{name}: {error}")
    raise_all(problems)
    return content


def _is_number(value: object) -> bool:
    """Whether it is one that can be calculated with; NaN is not, nor is True."""
    return type(value) in (int, float) and abs(value) <= LARGEST


def _parsed(expression: str) -> tuple[ast.expr, set[str]]:
    """An expression and the columns that it names; InputError unless it is arithmetic over columns."""
    wrong = f"expression {expression[:80]!r} is no expression; write one over the table's columns"
    try:
        if len(expression) > LENGTH:
            raise InputError(f"expression {expression[:80]!r} goes on for more than {LENGTH} characters; write less")
        root = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # ValueError: NUL; the last two: nested too deep
        raise InputError(wrong) from None
    nodes = list(ast.walk(root))
    known = all(
        _is_number(node.value)
        if isinstance(node, ast.Constant)
        else isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Name, ast.Load, *OPERATORS))
        for node in nodes
    )
    columns = {node.id for node in nodes if isinstance(node, ast.Name)}
    if not known or not columns:
        raise InputError(wrong)
    return root, columns


def _value(node: ast.expr, table: pd.DataFrame) -> pd.Series | np.float64:
    """What a part of an expression comes to; NaN or infinite where it comes to nothing."""
    if isinstance(node, ast.Constant):
        return np.float64(node.value)
    if isinstance(node, ast.Name):
        return table[node.id].astype(float)
    operands = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
    return OPERATORS[type(node.op)](*(_value(one, table) for one in operands))


def evaluate(claim: dict, table: pd.DataFrame) -> dict:
    """The verdict on one claim.

    Args:
        claim: one entry of the file.
        table: results, indexed by (seed, unit), one column a quantity.

    Returns:
        ours ("mean ± sd"), p (text) and verdict: "holds", "fails" or "not testable here".
    """
    root, names = _parsed(claim["expression"])
    if missing := sorted(names - set(table.columns)):
        return {"ours": "", "p": "", "verdict": "not testable here", "why": f"this run has no {', '.join(missing)}"}
    with np.errstate(all="ignore"):  # of a division by zero there is no value
        values = _value(root, table)
    values = values[np.isfinite(values)]
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

    Raises:
        InputError: claims over tables that there are not.
    """
    rows, known = [], ", ".join(tables)
    unknown = [claim for claim in content["claims"] if claim["table"] not in tables]
    raise_all([f"claim {one['id']}: no table {one['table']!r}; choose one of {known}" for one in unknown])
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
