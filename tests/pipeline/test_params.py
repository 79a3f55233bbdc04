"""Switches and numbers: what is refused, and how it is said."""

import shutil

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from whereabouts.errors import InputError
from whereabouts.paths import ROOT
from whereabouts.pipeline import params


@pytest.fixture
def project(tmp_path):
    """A copy of params.yaml, at its defaults whatever the switches are now, and of params/, to break."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for switch, word in (("scale", "demo"), ("acdc", "synthetic"), ("clevr_seg", "synthetic")):
        text = params.turn(text, switch, word)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "params", tmp_path / "params")
    return tmp_path


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def problems(project):
    with pytest.raises(InputError) as caught:
        params.check(project)
    return caught.value.problems


def test_the_projects_own_parameters_are_well_formed(project):
    params.check(project)


def test_all_faults_are_named_at_once(project):
    edit(project / "params" / "demo.yaml", "learning_rate: 0.004", "learning_rate: fast")
    edit(project / "params" / "demo.yaml", "  focal: 0.1\n", "  fokal: 0.1\n")
    edit(project / "params" / "smoke.yaml", "inside_fig3: {shown: 100}", "inside_fig33: {shown: 100}")
    lines = "\n".join(problems(project))
    assert "params/demo.yaml: inside_train_clevr_seg.learning_rate is 'fast', a str; write a float" in lines
    assert "params/demo.yaml: unknown key inside_train_clevr_seg.fokal; known here: batch, decay, eta" in lines
    assert "params/demo.yaml: missing key inside_train_clevr_seg.focal" in lines
    assert "params/smoke.yaml: unknown key inside_fig33" in lines and "missing key inside_fig3" in lines


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("scale: *demo", "scale: big", "params.yaml: scale: write one of *smoke, *demo, *paper"),
        ("  acdc: *synthetic", "  acdc: *released", "params.yaml: data.acdc: write one of *synthetic, *real"),
        ("\ndata:\n", "\nsource: here\ndata:\n", "params.yaml: unknown key source; known here: choices, data, scale"),
        ("fold: [0]", "fould: [0]", "params.yaml, scales.smoke: unknown key acdc.fould"),
    ],
)
def test_a_fault_in_the_switches_is_one_line(project, old, new, said):
    edit(project / "params.yaml", old, new)
    assert any(line.startswith(said) for line in problems(project))


@pytest.mark.parametrize(
    "value", ["-real; touch x", "-real && x", "-$(x)", "-`x`", "/../../x", "-a/../..", "-a b", "-", "real"]
)
def test_a_suffix_is_a_plain_word(project, value):
    edit(project / "params.yaml", "suffix: -real", f"suffix: '{value}'")
    edit(project / "params.yaml", "  acdc: *synthetic", "  acdc: *real")
    assert problems(project) == [f"params.yaml: sources.real: suffix {value!r} is no - and a word; write such as -real"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{name: real, suffix: -real}", "{name: 'x; y', suffix: -real}", "sources.real: write {name: word, suffix: -"),
        ("suffix: -jsrt", "suffix: -real", "sources.jsrt: has the suffix of real, and their results would mix"),
        ("suffix: -jsrt", "suffix: ''", "sources.jsrt: has the suffix of synthetic"),
        ("suffix: -jsrt", "suffix: 1", "sources.jsrt: suffix 1 is no"),
        ("method: [all]", "method: [all, 'x; y']", "scales.smoke.clevr.method.1: 'x; y' is no plain word or number"),
        ("seed: [1]", "seed: [..]", "scales.smoke.repeats.seed.0: '..' is no plain word"),
        ("fold: [0]", "fold: [true]", "scales.smoke.acdc.fold.0: True is no plain word"),
        ("scale: *demo", "scale: {name: demo, clevr: {factor: [x; y]}}", "scale: write one of *smoke, *demo, *paper"),
        ("  acdc: *synthetic", "  acdc: {name: synthetic, suffix: /..}", "data.acdc: write one of *synthetic, *real"),
        ("  acdc: *synthetic", "  acdc: *synthetic\n  more: 1", "unknown key data.more"),
        ("scales:", "scales: {}\nothers:", "unknown key others"),
    ],
)
def test_what_goes_into_paths_and_commands_is_plain_words(project, old, new, said):
    edit(project / "params.yaml", old, new)
    assert any(line.startswith(f"params.yaml: {said}") for line in problems(project))


@pytest.mark.parametrize("key", ["scales", "sources", "scale", "data"])
@pytest.mark.parametrize("value", ["1", "[]", "{}", "{paper: 1, smoke: [], 3: x}", "null"])
def test_another_structure_is_told_in_lines(project, key, value):
    text = (project / "params.yaml").read_text(encoding="utf-8")
    content = {name: f"{name}: {value}" for name in [key]}
    for name in ("scales", "sources", "choices", "scale", "data"):
        content.setdefault(name, f"{name}: {yaml.safe_load(text)[name]!r}")
    (project / "params.yaml").write_text("\n".join(content.values()), encoding="utf-8")
    assert problems(project)


def test_an_integer_may_stand_for_a_float_but_not_a_truth_value():
    assert params.same_kind(1, 0.5) and params.same_kind(None, 3) and not params.same_kind(True, 0.5)
    assert not params.same_kind(1.5, 3) and not params.same_kind(True, 1)


@pytest.mark.parametrize(("switch", "word"), [("scale", "paper"), ("acdc", "real"), ("clevr_seg", "released")])
def test_a_switch_turns_one_line_and_keeps_the_comments(project, switch, word):
    text = (project / "params.yaml").read_text(encoding="utf-8")
    turned = params.turn(text, switch, word)
    changed = [(a, b) for a, b in zip(text.splitlines(), turned.splitlines(), strict=True) if a != b]
    assert len(changed) == 1 and changed[0][0].partition("#")[1:] == changed[0][1].partition("#")[1:]
    content = yaml.safe_load(turned)
    value = content["scale"] if switch == "scale" else content["data"][switch]
    assert value["name"] == word


@pytest.mark.parametrize(
    ("name", "override", "line"),
    [
        ("params/smoke.yaml", "gates_train_volumes.readings.shift=0.2", "    shift: 0.2"),
        ("params/demo.yaml", "inside_train_clevr_seg.steps=400", "  steps: 400  # INSIDE needs about 200"),
        ("params/paper.yaml", "chest_prepare.shares=[1,2,3]", "chest_prepare: {side: 256, shares: [1, 2, 3], seed: 1}"),
        ("params.yaml", "scale.repeats.seed=[1,2,3]", "    repeats: {seed: [1, 2, 3]}"),
    ],
)
def test_an_experiment_of_dvc_changes_one_line_of_a_file(project, name, override, line):
    before = (project / name).read_text(encoding="utf-8").splitlines()
    apply_overrides(project / name, [override])  # what `dvc exp run -S` does
    after = (project / name).read_text(encoding="utf-8").splitlines()
    ((_, new),) = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert new.startswith(line)


def test_the_choices_listed_are_those_there_are(project):
    listed = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))["choices"]
    assert {switch: tuple(words) for switch, words in listed.items()} == {
        switch: words for switch, (_, words) in params.SWITCHES.items()
    }
    assert all(word == its["name"] for words in listed.values() for word, its in words.items())


@pytest.mark.parametrize(("switch", "default"), [(s, "demo" if s == "scale" else "synthetic") for s in params.SWITCHES])
def test_a_switch_without_a_word_goes_back_to_its_default(switch, default):
    _, words = params.SWITCHES[switch]
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for word in words:
        assert params.turn(params.turn(text, switch, word), switch, "") == params.turn(text, switch, default)


def test_what_was_chosen_is_said_in_one_line(project, monkeypatch, capsys):
    monkeypatch.setattr(params.paths, "ROOT", project)
    shutil.copy(ROOT / "dvc.yaml", project)
    params.main(["scale=smoke", "acdc=real", "volumes="])
    assert capsys.readouterr().out == (
        "scale smoke; data acdc real, all else synthetic; seeds 1; sdnet 1; gates 1; "
        "results in paper_figures/smoke, paper_figures/smoke-real\n"
    )
    params.main(["scale=", "acdc="])
    assert capsys.readouterr().out == (
        "scale demo; data synthetic; seeds 1, 2; sdnet 1; gates 1; results in paper_figures/demo\n"
    )


@pytest.mark.parametrize(
    ("switch", "word", "said"),
    [("size", "big", "size: no such switch"), ("scale", "big", "scale=big: unknown; choose one of smoke, demo, paper")],
)
def test_an_unknown_switch_is_refused(switch, word, said):
    with pytest.raises(InputError, match=said):
        params.turn((ROOT / "params.yaml").read_text(encoding="utf-8"), switch, word)
