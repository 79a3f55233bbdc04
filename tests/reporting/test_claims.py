"""Claims files and verdicts, on tables made by hand."""

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.stats import wilcoxon

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.reporting import claims

CLAIM = {
    "id": "a-beats-b",
    "claim": "A is better than B.",
    "source": "Table 1",
    "paper": "2 against 1",
    "table": "t",
    "expression": "a - b",
    "above": 1,
    "test": "wilcoxon",
}


def results(difference, seeds=3):
    """A table indexed by (seed, unit) whose columns differ by `difference` (units,), plus seed - 1 in each seed."""
    index = pd.MultiIndex.from_product([range(seeds), range(len(difference))], names=["seed", "unit"])
    b = np.random.default_rng(0).normal(50, 10, len(index))
    return pd.DataFrame(
        {"a": b + np.tile(difference, seeds) + np.repeat(np.arange(seeds) - 1, len(difference)), "b": b}, index
    )


def test_holds():
    difference = np.array([1.5, 2.5, 3.25, 4, 5.75, 6, 7, 8])
    verdict = claims.evaluate(CLAIM, results(difference))
    p = wilcoxon(difference - 1, alternative="greater").pvalue  # 1/256: all above the margin
    assert p == 1 / 256
    assert verdict == {"ours": "4.8 ± 1.0", "p": f"{p:.2g}", "verdict": "holds", "why": ""}


def test_p_is_scipys():
    difference = np.random.default_rng(1).normal(1.2, 3, 30)
    verdict = claims.evaluate(CLAIM, results(difference))
    assert float(verdict["p"]) == pytest.approx(wilcoxon(difference - 1, alternative="greater").pvalue, rel=0.05)


@pytest.mark.parametrize(
    ("difference", "test", "verdict"),
    [
        ([0.9] * 8, "none", "fails"),  # below the margin
        ([1.1] * 8, "none", "holds"),
        ([-5, 40, -4, 30], "wilcoxon", "fails"),  # above on average, not by the test
        ([-5, 40, -4, 30], "none", "holds"),
        ([*range(2, 13), -90], "wilcoxon", "fails"),  # p = 70/4096, and yet below on average
        ([-2, -3, -4, -5, -6, -7, -8, -9], "wilcoxon", "fails"),  # the test has one side
        ([1] * 8, "wilcoxon", "fails"),  # no more than the margin
    ],
)
def test_verdicts(difference, test, verdict):
    ours = claims.evaluate(CLAIM | {"test": test}, results(np.array(difference, dtype=float)))
    assert ours["verdict"] == verdict
    assert (ours["p"] == "") == (test == "none")


def test_one_seed_has_no_deviation():
    assert claims.evaluate(CLAIM, results(np.arange(2.0, 10), seeds=2))["ours"] == "5.0 ± 0.7"
    table = results(np.arange(2.0, 10)).loc[[1]]
    assert claims.evaluate(CLAIM, table)["ours"] == "5.5"


def test_units_are_averaged_over_seeds_before_the_test():
    """Eight images and three seeds are eight pairs: 1/256 and not 1/2^24."""
    assert claims.evaluate(CLAIM, results(np.linspace(3, 9, 8)))["p"] == "0.0039"


def test_units_without_a_value_are_left_out():
    table = results(np.linspace(3, 9, 9))
    table.loc[(slice(None), 8), "b"] = np.nan
    assert claims.evaluate(CLAIM, table) == claims.evaluate(CLAIM, table.drop(8, level="unit"))


def test_not_testable_without_the_columns():
    claim = CLAIM | {"expression": "(a - nowhere) - (b - elsewhere)"}
    verdict = claims.evaluate(claim, results(np.ones(4)))
    assert verdict["verdict"] == "not testable here"
    assert verdict["why"] == "this run has no elsewhere, nowhere"


def test_not_testable_without_values():
    verdict = claims.evaluate(CLAIM, results(np.full(4, np.nan)))
    assert verdict["verdict"] == "not testable here"
    assert verdict["why"] == "this run has no unit with a value for a - b"


@pytest.mark.parametrize(
    ("expression", "oracle"),
    [
        ("a - b", lambda a, b: a - b),
        ("2 - ((a - b) ** 2) ** 0.5", lambda a, b: 2 - abs(a - b)),
        ("100 * a / +b - -a", lambda a, b: 100 * a / b + a),
        ("-" * 240 + "a", lambda a, b: a),
        ("a + 0 * (9 ** 9 ** 9)", lambda a, b: np.nan * a),  # too large for any number: no value, at once
    ],
)
def test_arithmetic(expression, oracle):
    table = results(np.linspace(3, 9, 8), seeds=1)
    ours = claims.evaluate(CLAIM | {"expression": expression, "test": "none"}, table)["ours"]
    expected = oracle(table.a, table.b).mean()
    assert ours == ("" if np.isnan(expected) else f"{expected:.1f}")


def test_a_unit_that_would_be_divided_by_zero_has_no_value():
    table = results(np.linspace(3, 9, 9))
    table.loc[(slice(None), 8), "b"] = 0
    claim = CLAIM | {"expression": "a / b"}
    assert claims.evaluate(claim, table) == claims.evaluate(claim, table.drop(8, level="unit"))


@pytest.mark.parametrize(
    "expression",
    [
        "'a' * 10 ** 9",
        "a << 9 ** 9",
        "a @ b",
        "a if b else a",
        "a < b",
        "[a for b in a]",
        "a.b",
        "a[0]",
        "f(a)",
        "`a b`",
        "a - 1e999",
        "a - True",
        "a - 2j",
        f"a - {'9' * 400}",
        "7",
        "",
        "a\0",
        "-" * 240 + "a +",
        "(" * 240 + "a",
        "a + " * 1_000 + "a",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_arithmetic_is_refused_unevaluated(expression, tmp_path):
    path = tmp_path / "paper.yaml"
    path.write_text(yaml.safe_dump({"claims": [CLAIM | {"expression": expression}]}), encoding="utf-8")
    with pytest.raises(InputError) as error:
        claims.read(path)
    (problem,) = error.value.problems
    assert problem.startswith("paper.yaml, claim a-beats-b: expression ") and len(problem) < 250
    with pytest.raises(InputError):
        claims.evaluate(CLAIM | {"expression": expression}, results(np.ones(4)))


def test_our_claims_are_valid():
    path = paths.at("claims/inside.yaml")
    content = claims.read(path)
    names = [claim["id"] for claim in content["claims"]]
    assert len(names) == len(set(names)) >= 10
    assert {claim["table"] for claim in content["claims"]} == {"clevr_seg", "clevr_attention", "acdc", "acdc_attention"}


def test_all_faults_at_once(tmp_path):
    path = tmp_path / "paper.yaml"
    broken = [
        CLAIM,
        {key: CLAIM[key] for key in CLAIM if key not in ("claim", "above")} | {"id": "first", "test": "t-test"},
        CLAIM | {"id": "second", "paper": 85.7, "abvoe": 3, "above": True},
        {key: CLAIM[key] for key in CLAIM if key != "id"} | {"expression": "a - "},
        "a - b",
    ]
    path.write_text(yaml.safe_dump({"claims": broken}), encoding="utf-8")
    with pytest.raises(InputError) as error:
        claims.read(path)
    assert sorted(error.value.problems) == sorted(
        [
            "paper.yaml, claim first: field claim is missing or no text; add it",
            "paper.yaml, claim first: field above is missing or no number; add it",
            "paper.yaml, claim first: test 't-test' is unknown; choose one of wilcoxon, none",
            "paper.yaml, claim second: field paper is missing or no text; add it",
            "paper.yaml, claim second: unknown field abvoe; remove it",
            "paper.yaml, claim second: field above is missing or no number; add it",
            "paper.yaml, claim 3: field id is missing or no text; add it",
            "paper.yaml, claim 3: expression 'a - ' is no expression; write one over the table's columns",
            "paper.yaml, claim 4: no fields; write `id: ..` and so on, as in the other claims",
        ]
    )


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "claims: [\n"])
def test_no_such_claims(text, tmp_path):
    path = tmp_path / "paper.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        claims.read(path)
    (problem,) = error.value.problems
    assert "\n" not in problem
    assert "paper.yaml: " in problem


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"gone.yaml: no such file; restore it from git"):
        claims.read(tmp_path / "gone.yaml")
