"""Verdicts from what is kept beside the tables: made again, compared with what is committed, and drawn."""

import subprocess
from dataclasses import replace
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.reporting import forest, results, units, verdicts, verify
from whereabouts.reporting.tables import Origin

CLAIM = {"claim": "A is better.", "source": "Table 1", "paper": "3 against 1", "table": "scores", "above": 0}
CLAIMS = [
    CLAIM | {"id": "better", "expression": "a - b", "central": True, "effect": {"a": [6, 3], "b": [5, 4], "n": 9}},
    CLAIM | {"id": "worse", "expression": "b - a"},
    CLAIM | {"id": "alike", "expression": "a - c", "within": [-2, 2]},
    CLAIM | {"id": "open", "expression": "a - d"},
    CLAIM | {"id": "absent", "expression": "a - nowhere"},
    CLAIM | {"id": "counted", "expression": "200 - parameters", "table": "networks", "exact": True},
    CLAIM | {"id": "timed", "expression": "seconds", "table": "networks"},
]
CLAIMS[0]["effect"]["over"] = "units"
del CLAIMS[2]["above"]
WORDS = {"better": "reproduced", "worse": "contradicted", "alike": "reproduced", "open": "undecided"}
WORDS |= {"absent": "not run", "counted": "reproduced", "timed": "undecided"}
LABELS = {"scores": "ACDC (synthetic, 0123)", "networks": "ACDC (synthetic, 0123)"}


def measured(seed=0, seeds=3):
    """A is better than B by 5, like C, and D is all over the place; units are named as people name them."""
    rng = np.random.default_rng(seed)
    names = ["001", "1", "NA", "nan", "1e5", "a,b", *map(str, range(20, 34))]
    index = pd.MultiIndex.from_product([range(1, seeds + 1), names], names=["seed", "volume"])
    a = rng.normal(50, 9, len(index))
    noise = rng.normal(0, 1, (2, len(index)))
    scores = pd.DataFrame({"a": a, "b": a - 5 + noise[0], "c": a + noise[1], "d": rng.normal(50, 30, len(a))}, index)
    scores.loc[(1, "NA"), "b"] = np.nan
    networks = pd.DataFrame({"parameters": [123.0], "seconds": [1 / 3]}, pd.MultiIndex.from_tuples([(0, "all")]))
    return {"scores": scores, "networks": networks}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository with one claims file."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "x.yaml").write_text(yaml.safe_dump({"claims": CLAIMS}), encoding="utf-8")
    return tmp_path


def kept(root, tables=None, scale="demo", labels=LABELS, chapter="x"):
    """What a chapter's last notebook writes."""
    folder = root / "paper_figures" / scale / chapter
    origin = Origin(scale, labels["scores"], 3)
    found = units.keep(folder, "claims/x.yaml", "X: the claims", origin, labels, tables or measured())
    verdicts.publish(found)
    return found


def test_units_are_read_as_they_were_written_to_five_digits(root):
    found, given = kept(root), measured()
    for name, table in given.items():
        pd.testing.assert_frame_equal(found.tables[name], table, rtol=1e-4, check_names=False, check_dtype=False)
    assert found.tables["networks"].loc[(0, "all")].tolist() == [123, 0.33333]
    again = units.read(found.folder)
    assert (again.title, again.origin, again.labels, again.claims) == (found.title, found.origin, LABELS, found.claims)


def test_no_units(root):
    with pytest.raises(InputError, match=r"paper_figures/x/units/origin.json: not there, or no such record; run the"):
        units.read(root / "paper_figures" / "x")


def test_the_table_says_each_verdict_with_its_interval_and_what_it_is_of(root):
    table = pd.read_csv(kept(root).folder / "claims.csv", keep_default_na=False).set_index("Id")
    table.index = table.index.str.removesuffix(" *")
    assert {name: text.split(":")[0].split(" (this")[0] for name, text in table.Verdict.items()} == WORDS
    a, b = (measured()["scores"][name].drop("NA", level=1).groupby(level=1).mean() for name in "ab")
    assert (
        table.Verdict["better"].startswith(f"reproduced: {(a - b).mean():.2f} [") and "] > 0" in table.Verdict["better"]
    )
    assert "] < 0" in table.Verdict["worse"] and "] within [-2, 2]" in table.Verdict["alike"]
    assert table.Verdict["counted"] == "reproduced: 77 > 0"
    assert table.Verdict["timed"] == "undecided: 0.33333, a single number"
    assert table.Verdict["absent"] == "not run (this run has no nowhere)"
    assert table.Of["better"] == "3 seeds x 19 units, 1 unit without a value"
    assert table["Better in"]["better"] == "19/19" and table["Better in"]["timed"] == "–"
    alone, ours = stats.t.sf(1 / np.sqrt(25 / 9), 8), np.corrcoef(a, b)[0, 1]
    assert (
        table.Doubt["better"] == f"{alone:.2g}; {stats.t.sf(1 / np.sqrt((25 - 24 * ours) / 9), 8):.2g} (r = {ours:.2f})"
    )
    assert float(table.Power["better"]) > 0.9 and table.Power["alike"] == "–"


def test_q_is_of_the_claims_that_have_an_interval():
    judged = verdicts.verdicts({"claims": CLAIMS}, measured())
    p = [verdict.p for verdict in judged]
    known = [one for one in p if one is not None]
    assert (
        verdicts.false_discovery(judged)[:4] == pytest.approx(stats.false_discovery_control(known)) and len(known) == 4
    )
    assert np.isnan(verdicts.false_discovery(judged)[4:]).all()


@pytest.mark.parametrize(
    ("scale", "label", "sized"),
    [("paper", "ACDC (real, 1)", True), ("paper", LABELS["scores"], False), ("demo", "R", False)],
)
def test_size_is_said_at_the_papers_scale_on_real_data_only(scale, label, sized):
    judged = verdicts.verdicts({"claims": CLAIMS}, measured())
    table = verdicts.as_table(judged, dict.fromkeys(LABELS, label), scale)
    assert (table.Size[0] == "larger") == sized and set(table.Size[1:]) == {"–"}


def test_notes_say_what_the_verdicts_are_worth(root):
    text = (kept(root).folder / "claims.md").read_text(encoding="utf-8")
    assert "\n\nExploratory: margins not frozen before this scale. 3 reproduced" in text
    assert "3 reproduced, 1 contradicted, 2 undecided, 1 not run. Of 3 intervals that decide" in text
    assert "about 0.1 may be; 2 of 2 reproduced have q <= 0.05" in text


def test_verdicts_are_confirmatory_at_a_scale_for_which_the_claims_were_frozen_as_they_are(root, capsys):
    verdicts.main(["freeze", "study"])
    shown, line = capsys.readouterr().out.strip().split(": ", 1)
    assert shown == "claims/x.yaml"
    file, frozen = root / "claims" / "x.yaml", yaml.safe_load(line)

    def kind(scale, **change):
        content = {"claims": [CLAIMS[0] | change, *CLAIMS[1:]]} | frozen
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return (kept(root, scale=scale).folder / "claims.md").read_text(encoding="utf-8").split("\n\n")[-1][:12]

    assert kind("study") == kind("study", claim="In other words.", central=False) == "Confirmatory"
    assert kind("demo") == kind("paper") == "Exploratory:"  # another scale
    for change in ({"above": -1}, {"expression": "a - c"}, {"id": "other"}, {"table": "networks"}, {"exact": True}):
        assert kind("study", **change) == "Exploratory:"
    with pytest.raises(InputError, match="freeze: unknown; give nothing, `write`, or `freeze` and a scale"):
        verdicts.main(["freeze"])


def test_a_seed_without_a_value_is_said(root):
    tables = measured()
    tables["scores"].loc[(3, slice(None)), "b"] = np.nan
    table = pd.read_csv(kept(root, tables).folder / "claims.csv").set_index("Id")
    assert table.Of["worse"] == "2 seeds x 19 units, 1 seed and 1 unit without a value"
    assert table.Of["alike"] == "3 seeds x 20 units"


def test_one_seed_is_said(root):
    judged = verdicts.publish(kept(root, measured(seeds=1)))
    assert verdicts.wording(judged[0]).startswith("⟦reproduced⟧ (one seed): ")
    found = verdicts.counts(judged)
    assert found["reproduced"] == 1 and found["reproduced (one seed)"] == 2  # the first is a count


def test_a_claim_over_a_table_that_the_run_does_not_have_was_not_run():
    (found,) = verdicts.verdicts({"claims": CLAIMS[:1]}, {"networks": measured()["networks"]})
    assert verdicts.wording(found) == "⟦not run⟧ (this run has no table scores)"
    assert verdicts.as_table([found], {}, "demo").Data.tolist() == ["–"]


def test_pages_list_the_claims_of_each_verdict(root):
    page = "<!-- verdicts: paper_figures/demo/x -->\n{}<!-- end -->\n"
    assert results.with_results(page.format("old\n")) == page.format(
        "No results by seed and unit are kept there yet.\n"
    )
    kept(root, measured(seeds=1))
    lines = [
        "3 reproduced: *better*, *alike*, counted",
        "1 contradicted: *worse*",
        "2 undecided: open, timed",
        "1 not run: absent",
    ]
    assert results.with_results(page.format("old\n")) == page.format("".join(f"- {line}\n" for line in lines))


def test_every_committed_verdict_is_made_again_byte_by_byte(tmp_path):
    listed = subprocess.run(
        ["git", "-C", str(paths.ROOT), "ls-files", "-z", "paper_figures"], capture_output=True, check=True, text=True
    ).stdout.split("\0")
    of_units = [paths.at(name) for name in listed if f"/{units.FOLDER}/" in name]
    folders = {path.parents[1] for path in of_units if path.name == "origin.json"}
    demo = {paths.at("paper_figures/demo") / chapter for chapter in ("gates", "inside", "position", "sdnet")}
    assert demo <= folders, f"no units of {sorted(path.name for path in demo - folders)} are committed"
    assert sum(path.stat().st_size for path in of_units) < 2e6
    for folder in sorted(folders):
        verdicts.publish(units.read(folder), tmp_path)
        for made in tmp_path.iterdir():
            assert made.read_bytes() == (folder / made.name).read_bytes(), f"{folder}/{made.name}"


def test_the_command_makes_verdicts_again_and_finds_what_was_changed(root, capsys):
    folder = kept(root).folder
    verdicts.main([])
    assert capsys.readouterr().out == "paper_figures/demo/x: 3 reproduced, 1 contradicted, 2 undecided, 1 not run\n"
    text = (folder / "claims.md").read_text(encoding="utf-8")
    (folder / "claims.md").write_text(text.replace("contradicted", "reproduced"), encoding="utf-8")
    (folder / "claims.tex").unlink()
    with pytest.raises(InputError) as error:
        verdicts.main([])
    assert error.value.problems == [
        f"paper_figures/demo/x/claims.{end}: not what units/ there comes to; give `write`" for end in ("md", "tex")
    ]
    verdicts.main(["write"])
    assert (folder / "claims.md").read_text(encoding="utf-8") == text
    verdicts.main([])
    with pytest.raises(InputError, match="wirte: unknown; give nothing, `write`, or `freeze` and a scale"):
        verdicts.main(["wirte"])


# -------------------------------------------------------------------------------------------------------------- verify


@pytest.fixture
def committed(root):
    """The same with a first result, committed."""
    kept(root)
    git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    return root


def test_the_same_again_is_consistent(committed, capsys):
    verify.main()
    kept(committed, scale="paper")
    verify.main()
    out = capsys.readouterr().out.splitlines()
    same = "2 of 2 tables of the same data; of 7 claims on them 7 with the same verdict, 6 with numbers within the "
    single = "other's interval, 1 of a single number, not compared"
    assert out[:2] == [f"paper_figures/demo/x: {same}{single}", "consistent"]
    assert out[3:] == ["paper_figures/paper/x: not committed; nothing to compare with", "consistent"]


def test_other_seconds_are_consistent_and_another_count_is_not(committed, capsys):
    tables = measured()
    tables["networks"] = tables["networks"].assign(seconds=40.0)
    kept(committed, tables)
    verify.main()
    said = "7 with the same verdict, 6 with numbers within the other's interval, 1 of a single number, not compared\n"
    assert said in capsys.readouterr().out
    tables["networks"] = tables["networks"].assign(parameters=124.0)
    kept(committed, tables)
    with pytest.raises(InputError, match="counted: reproduced: 76 > 0; committed reproduced: 77 > 0"):
        verify.main()


def test_other_numbers_are_listed_and_whether_another_processor_explains_them(committed):
    tables = measured()
    tables["scores"] = tables["scores"].assign(a=lambda t: t.a + 2)
    tables["networks"] = tables["networks"].assign(parameters=124.0)
    kept(committed, tables)
    with pytest.raises(InputError) as error:
        verify.main()
    alike, better, counted, worse = sorted(error.value.problems)
    assert alike.startswith("paper_figures/demo/x, alike: ") and "; committed reproduced: " in alike
    assert better.endswith("] > 0; calculated alike, so that no processor explains it") and "; committed rep" in better
    assert counted.endswith("counted: reproduced: 76 > 0; committed reproduced: 77 > 0; no processor explains it")
    assert "; committed contradicted: " in worse


def test_what_another_processor_explains(monkeypatch):
    content = {"claims": CLAIMS[:1]}
    facts = {"folder": None, "claims": "", "title": "", "origin": Origin("demo", "X"), "labels": {"scores": "X"}}
    old = units.Units(**facts, tables={"scores": measured()["scores"]})
    new = replace(old, tables={"scores": measured()["scores"].assign(b=lambda t: t.b - 3)})
    monkeypatch.setattr(verify, "machine", lambda kept: {"processor": id(kept)})
    (problem,), said = verify.differences(new, old, content)
    assert problem.endswith("another processor explains it")
    assert said.endswith(f"interval; processor {id(new)}, committed processor {id(old)}")
    fewer = replace(new, tables={"scores": new.tables["scores"].drop(3, level=0)})
    (problem,), _ = verify.differences(fewer, old, content)
    assert problem.endswith("no processor explains it")


def test_other_data_are_said_and_not_compared(committed, capsys):
    kept(committed, measured(5), labels={"scores": "ACDC (synthetic, 4567)", "networks": LABELS["networks"]})
    with pytest.raises(InputError) as error:
        verify.main()
    data = "data of scores: ACDC (synthetic, 4567), committed ACDC (synthetic, 0123)"
    assert error.value.problems == [f"paper_figures/demo/x, {data}"]
    assert "1 of 2 tables of the same data; of 2 claims on them 2 " in capsys.readouterr().out


def test_nothing_to_verify(root):
    with pytest.raises(
        InputError, match="paper_figures: nothing to compare; run the pipeline at a scale whose results"
    ):
        verify.main()
    kept(root)
    with pytest.raises(InputError, match="paper_figures/demo/x: git has no commit of it; verify in a clone"):
        verify.main()


# -------------------------------------------------------------------------------------------------------------- forest


def test_the_picture_has_every_claim_once_and_the_same_bytes_again(root):
    places = [kept(root).folder, kept(root, measured(1, seeds=1), chapter="y").folder]
    folder, others = root / "paper_figures" / "demo", plt.get_fignums()
    forest.write(folder, places)
    names = ("forest.svg", "forest.png")
    first = [(folder / name).read_bytes() for name in names]
    forest.main([str(folder), *map(str, places)])
    assert [(folder / name).read_bytes() for name in names] == first
    text = first[0].decode()
    assert all(text.count(f">{claim['id']}<") == 2 for claim in CLAIMS)
    for name, claim in product("xy", CLAIMS):  # its dot and its id
        assert text.count(f'xlink:href="../demo/{name}/claims.md#:~:text={claim["id"]}"') == 2
    assert "3 reproduced, 1 contradicted, 2 undecided, 1 not run" in text and plt.get_fignums() == others


def test_what_cannot_be_drawn(root):
    with pytest.raises(InputError, match=r"paper_figures/x/units/origin\.json: not there"):
        forest.write(root, [root / "paper_figures" / "x"])
    with pytest.raises(InputError, match="made at demo and paper scale"):
        forest.write(root, [kept(root).folder, kept(root, scale="paper").folder])
    with pytest.raises(InputError, match="forest: no chapters; give a folder"):
        forest.main(["build"])


def test_rows_are_ranked_by_what_is_beyond_the_margin():
    order = [verdict.claim["id"] for verdict in forest.ranked(verdicts.verdicts({"claims": CLAIMS}, measured()))]
    assert order[0] == "counted" and order[-2:] == ["worse", "absent"]
    assert forest.origin(CLAIMS[2]) == 0


@pytest.mark.parametrize(("rows", "placed"), [([5], [[0]]), ([19, 28, 61, 35], [[2, 0], [3, 1]]), ([3, 3], [[0], [1]])])
def test_chapters_are_placed_in_two_columns_of_about_the_same_height(rows, placed):
    assert forest.columns(rows) == placed
