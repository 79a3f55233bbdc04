"""The rehearsal of the paper's scale: nothing in it is smaller than there, and what follows from what it measured."""

import json
import re
from copy import deepcopy

import pytest
import torch
from torch import nn

from whereabouts import paths
from whereabouts.errors import InputError
from whereabouts.paths import ROOT
from whereabouts.pipeline import cluster, forecast, measure, params, rehearse
from whereabouts.pipeline.plain_yaml import load

# What the rehearsal may make fewer. Whatever is not here gives a tensor its shape, or a training its way.
COUNTS = {
    *("images", "train", "validation", "test", "patients", "frames", "folds", "shares", "shown"),
    *("volunteers", "canines", "canine_frames", "cases", "every", "unlabelled_images", "mixtures"),
    *("steps", "few_steps", "variant_steps", "asked_steps", "tune_steps", "start_steps", "validate_every"),
    *("snapshots", "timed", "warm_up", "calibration"),
}


@pytest.fixture
def both():
    """The paper's numbers and grid, and the rehearsal's."""
    numbers, switches = load(ROOT / "params/paper.yaml"), load(ROOT / "params.yaml")
    fewer, turned = deepcopy(numbers), deepcopy(switches)
    rehearse.rehearsed(fewer, turned)
    return (numbers, switches["scales"]["paper"]), (fewer, turned["scales"]["paper"])


def _items(section):
    return section.items() if isinstance(section, dict) else [("", section)]


def test_only_counts_are_less_than_the_papers_and_no_size(both):
    (paper, _), (fewer, _) = both
    leaves, kept = (
        {(section, key): value for section, its in numbers.items() for key, value in _items(its)}
        for numbers in (paper, fewer)
    )
    assert kept.keys() == leaves.keys()
    changed = {where for where in leaves if leaves[where] != kept[where]}
    assert {key for _, key in changed} <= COUNTS
    assert changed <= {(section, key) for section, its in rehearse.FEWER.items() for key in its}


def test_of_the_papers_networks_some_are_trained_and_no_others(both):
    (_, paper), (_, fewer) = both
    assert fewer.keys() == paper.keys() and fewer["name"] == "paper"
    for axis, keys in paper.items():
        if axis != "name":
            assert keys.keys() == fewer[axis].keys()
            for key, values in keys.items():
                assert set(fewer[axis][key]) <= set(values) and bool(fewer[axis][key]) == bool(values)


def test_an_override_of_nothing_is_an_error(both):
    (paper, _), _ = both
    del paper["inside_train_acdc"]["steps"]
    with pytest.raises(InputError, match=r"no inside_train_acdc\.steps, which the rehearsal makes fewer; mend `FEWER`"):
        rehearse.rehearsed(paper, {})


def test_the_checkout_is_whole_and_leaves_everything_here_as_it_is(tmp_path, monkeypatch):
    for name in rehearse.COPIED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    root = rehearse.checkout()
    rehearse.checkout()  # again, over itself
    params.check(root)
    switches = load(root / "params.yaml")
    assert switches["scale"]["name"] == "paper" and {one["name"] for one in switches["data"].values()} == {"synthetic"}
    assert load(root / "params/paper.yaml")["inside_train_acdc"]["steps"] == 2
    assert (root / "lib/whereabouts/paths.py").is_file() and not (root / "lib").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {*(name.split("/")[0] for name in rehearse.COPIED), "build"}
    assert load(ROOT / "params/paper.yaml")["inside_train_acdc"]["steps"] > 2


def test_it_runs_in_the_checkout_and_ends_with_the_page_of_here(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(rehearse, "checkout", lambda: tmp_path)
    monkeypatch.setattr(rehearse.os, "environ", {})
    monkeypatch.setattr(rehearse.os, "chdir", said.append)
    monkeypatch.setattr(rehearse.os, "execv", lambda program, words: said.append(words))
    rehearse.main(["2"])
    place, (_, *words) = said
    assert place == tmp_path and words[:4] == ["-m", "whereabouts.pipeline.fan_out", "--jobs", "2"]
    assert words[4] == "--then" and words[5].startswith("cd ") and words[5].endswith("-m whereabouts.pipeline.forecast")
    assert rehearse.os.environ["PYTHONPATH"] == str(tmp_path / "lib")
    assert rehearse.os.environ[measure.CHANNEL] == str(tmp_path / rehearse.MEASURED)


def test_a_measured_training_leaves_its_last_step_and_a_stage_its_memory(tmp_path, monkeypatch):
    monkeypatch.setenv(measure.CHANNEL, str(tmp_path / "measured"))
    monkeypatch.setenv(measure.STAGE, "inside-train@a-1")
    layer = nn.Linear(3, 2, bias=False)

    class Learner:
        def step(self, number):
            loss = layer(torch.ones(5 + number, 3)).sum()
            loss.backward()
            return loss.detach()

        def score(self):
            return layer(torch.ones(1, 3)).sum().item()

    learner = Learner()
    measure.training(learner, 2, "inside seed 1")
    with measure.stage():
        for number in range(2):
            assert learner.step(number).shape == ()
        learner.score()
    (found,) = forecast.measured(tmp_path / "measured").values()
    # of 6 rows, 3 numbers each, 2 are made: 2 x 6 x 3 x 2 operations, and as many again for the weights' gradient
    assert found["inside seed 1"]["steps"] == 2 and found["inside seed 1"]["step"]["flops"] == 2 * 72
    assert found["inside seed 1"]["score"]["flops"] == 12 and found["inside seed 1"]["step"]["calls"] >= 4
    assert found["stage"]["peak"] >= 0 and found["stage"]["seconds"] >= found["inside seed 1"]["step"]["seconds"]


def test_what_nobody_measures_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.delenv(measure.CHANNEL, raising=False)
    learner = nn.Identity()
    measure.training(learner, 2, "")  # it has no step that could be measured
    with measure.stage():
        pass
    assert not list(tmp_path.iterdir())


PAPER = forecast.Paper(ROOT)
PART = {"seconds": 2.0, "flops": 0, "calls": 0}


def test_every_training_of_the_pipeline_finds_its_steps_at_the_papers_scale():
    trainings = [stage for stage in PAPER.stages if "-train-" in stage or stage == "sdnet-volume"]
    assert len(trainings) == 12
    for stage in trainings:
        (section,) = (name for name in PAPER.sections(stage) if "validate_every" in PAPER.numbers[name])
        for key in PAPER.numbers[section]:
            if key.endswith("steps") and PAPER.numbers[section][key]:
                steps, validations = PAPER.steps(stage, PAPER.fewer[section][key])
                assert steps >= PAPER.numbers[section][key]
                assert (validations - 1) * PAPER.numbers[section]["validate_every"] < steps
    volumes = PAPER.numbers["gates_train_volumes"]["steps"]
    assert PAPER.steps("gates-train-volumes", 1) == (volumes / 3, volumes / 3 / 600 // 1 + 1)  # of three, round(3 / 4)
    assert PAPER.steps("position-train-chest", PAPER.fewer["position_train_chest"]["few_steps"])[0] < 800


def test_what_grows_with_the_data_and_with_the_networks():
    numbers, grid = PAPER.numbers, PAPER.grid
    patients = numbers["acdc_source"]["patients"] / 3
    assert PAPER.data("inside-train-acdc") == patients
    assert PAPER.data("acdc-source") == patients * numbers["acdc_source"]["frames"] / 3
    assert PAPER.data("sdnet-train-mmwhs") == pytest.approx(numbers["sdnet_data_mmwhs"]["cases"] / 4 * 16)
    assert PAPER.data("gates-train-planes") == sum(numbers["gates_data_ultrasound"]["frames"].values()) / (56 + 28 + 70)
    assert PAPER.data("strip") == 1
    assert PAPER.jobs("inside-train-clevr_seg", grid) == 4 * 7 * 3
    assert PAPER.networks("inside-evaluate-clevr_seg") == 4 * 3  # seven of them are rehearsed
    assert PAPER.networks("inside-train-clevr_seg") == 1
    assert PAPER.networks("sdnet-train-mmwhs") == len(numbers["sdnet_train_mmwhs"]["mixtures"]) / 2


def test_a_forecast_is_what_one_reckons_by_hand():
    lines = {
        "stage": {"of": "stage", "seconds": 110.0, "peak": 3e9},
        "a": {"of": "a", "steps": 2, "step": PART | {"flops": 3 * forecast.GPU}, "score": PART | {"calls": 1e5}},
    }
    slower = {"stage": lines["stage"], "a": lines["a"] | {"step": PART | {"seconds": 5.0}}}
    data, section = PAPER.data("inside-train-acdc"), PAPER.numbers["inside_train_acdc"]
    steps, validations = section["steps"], section["steps"] / section["validate_every"]
    found = PAPER.forecast("inside-train-acdc", [lines, slower], read=1e6)
    assert found.jobs == 7 * 3 * 3 * 3 and found.steps == steps
    assert found.second == 5 and found.flops == 3 * forecast.GPU and found.peak == 3e9
    assert found.memory == pytest.approx(3e9 + (data - 1) * 1e6)
    assert found.cpu == pytest.approx(steps * 5 + validations * 2 * data + (110 - 10 - 2 - 10) * data + 10)
    one = validations * 1e5 * forecast.CALL * data + (110 - 4 - 2 - 10) * data + 10
    assert found.gpu == pytest.approx(steps * 3 + one)
    text = forecast.page([found], ["gates-tables"], "a processor")
    (row,) = (line for line in text.splitlines() if line.startswith("| `inside-train-acdc`"))
    assert row.split(" | ")[1:4] == ["189", f"{steps:,}", f"{3 * forecast.GPU / 1e12:.3g}"]
    assert "Not rehearsed yet:\n\n`gates-tables`." in text and "| **inside** | 189 |" in text


def test_before_a_rehearsal_there_is_nothing_to_forecast(tmp_path):
    with pytest.raises(InputError, match="build/measured: nothing measured; run `make rehearse`"):
        forecast.forecasts(tmp_path)


def test_of_two_tries_the_last_counts_and_of_none_that_did_not_end(tmp_path):
    lines = [{"of": "stage", "seconds": 1.0}, {"of": "stage", "seconds": 2.0}]
    (tmp_path / "a@x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(json.dumps({"of": "training"}) + "\n", encoding="utf-8")
    assert forecast.measured(tmp_path) == {"a@x": {"stage": lines[1]}}


def test_a_job_asks_for_the_memory_that_was_predicted(monkeypatch):
    monkeypatch.delenv(cluster.FILE, raising=False)
    rows = re.findall(r"(?m)^\| `([\w-]+)` \| (.+) \|$", (ROOT / forecast.PAGE).read_text(encoding="utf-8"))
    assert rows
    for stage, cells in rows:
        notebook = re.search(r"build/notebooks/\S+\.ipynb", PAPER.stages[stage]["cmd"])[0]
        asked = cluster.request(notebook, "slurm").options["mem"]
        assert float(asked.removesuffix("G")) >= float(cells.split(" | ")[5]), f"{stage}: params/cluster.yaml: mem"
