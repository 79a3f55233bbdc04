"""Claims files."""

import numpy as np
import pytest
import yaml

from verdicts import CLAIM
from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.reporting import claims

EFFECT = {"a": [85.7, 2.5], "b": [48.7, 2], "n": 3, "over": "runs"}


def problems(tmp_path, entries):
    """What is wrong with a file of these."""
    path = tmp_path / "paper.yaml"
    path.write_text(yaml.safe_dump({"claims": entries}), encoding="utf-8")
    try:
        claims.read(path)
    except InputError as error:
        return error.problems
    return []


@pytest.mark.parametrize("name", ["inside", "position", "gates", "sdnet"])
def test_our_claims_are_valid(name):
    content = claims.read(paths.at(f"claims/{name}.yaml"))
    names = [claim["id"] for claim in content["claims"]]
    assert len(names) == len(set(names)) >= 10


def test_all_that_a_claim_may_say(tmp_path):
    alike = {name: value for name, value in CLAIM.items() if name != "above"} | {"within": [-2, 2.5]}
    assert problems(tmp_path, [CLAIM | {"central": True, "exact": False, "effect": EFFECT}, alike]) == []
    assert problems(tmp_path, [CLAIM | {"effect": {"a": [85.7], "b": [48]}}]) == []
    assert claims.bounds(CLAIM) == (1, np.inf) and claims.bounds(alike) == (-2, 2.5)
    assert (claims.condition(CLAIM), claims.condition(alike)) == ("> 1", "within [-2, 2.5]")


def test_all_faults_at_once(tmp_path):
    broken = [
        CLAIM,
        {key: CLAIM[key] for key in CLAIM if key not in ("claim", "above")} | {"id": "first", "test": "wilcoxon"},
        CLAIM | {"id": "second", "paper": 85.7, "abvoe": 3, "above": True, "central": "yes"},
        {key: CLAIM[key] for key in CLAIM if key != "id"} | {"expression": "a - ", "within": [1, 2]},
        "a - b",
    ]
    assert sorted(problems(tmp_path, broken)) == sorted(
        [
            "paper.yaml, claim first: field claim is missing or no text; add it",
            "paper.yaml, claim first: has no margin, or two; write above: number, or within: [low, high]",
            "paper.yaml, claim first: unknown field test; remove it",
            "paper.yaml, claim second: field paper is missing or no text; add it",
            "paper.yaml, claim second: unknown field abvoe; remove it",
            "paper.yaml, claim second: field central is neither true nor false; write one",
            "paper.yaml, claim second: field above is no number; write one",
            "paper.yaml, claim 3: field id is missing or no text; add it",
            "paper.yaml, claim 3: has no margin, or two; write above: number, or within: [low, high]",
            "paper.yaml, claim 3: expression 'a - ' is no expression; write one over the table's columns",
            "paper.yaml, claim 4: no fields; write `id: ..` and so on, as in the other claims",
        ]
    )


@pytest.mark.parametrize("within", [3, [1], [2, 1], [1, 1], [0, "1"], [0, float("inf")], [0, 1, 2], None])
def test_margins_that_are_none(within, tmp_path):
    claim = {name: value for name, value in CLAIM.items() if name != "above"} | {"within": within}
    assert problems(tmp_path, [claim]) == [
        "paper.yaml, claim a-beats-b: field within is no [low, high]; write such as [-2, 2]"
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"a": 85.7},
        {"a": [85.7]},
        {"a": [85.7], "b": [48.7]},
        {"b": [48.7, -2]},
        {"n": 1},
        {"n": 3.0},
        {"over": "seeds"},
        {"over": []},
        {"c": 1},
    ],
)
def test_effects_that_are_none(change, tmp_path):
    (problem,) = problems(tmp_path, [CLAIM | {"effect": EFFECT | change}])
    assert problem.startswith("paper.yaml, claim a-beats-b: field effect is not {a: [mean, sd], b: [mean, sd], n: ")
    for effect in ("large", {"a": [85.7]}, {"a": [85.7], "b": [48.7, 2]}, {"a": [85.7], "b": [48.7], "n": 3}):
        assert problems(tmp_path, [CLAIM | {"effect": effect}]) == [problem]


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "claims: [\n"])
def test_no_such_claims(text, tmp_path):
    path = tmp_path / "paper.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        claims.read(path)
    (problem,) = error.value.problems
    assert "\n" not in problem
    assert "paper.yaml: " in problem


@pytest.mark.parametrize("frozen", ["study", {"study": "soon"}, {"study": 3}, ["0" * 64]])
def test_what_is_no_digest(frozen, tmp_path):
    path = tmp_path / "paper.yaml"
    path.write_text(yaml.safe_dump({"claims": [CLAIM], "frozen": frozen}), encoding="utf-8")
    with pytest.raises(
        InputError, match=r"paper\.yaml: frozen is no \{scale: digest\}; write what `verdicts freeze` pr"
    ):
        claims.read(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"gone.yaml: no such file; restore it from git"):
        claims.read(tmp_path / "gone.yaml")
