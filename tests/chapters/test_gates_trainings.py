"""What the attention gates' notebooks read of trainings: results, weights, learning curves, from files made by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from whereabouts.chapters.gates import curves, trainings
from whereabouts.chapters.gates.scan_tables import BEYOND_ARMS, TABLE1_ARMS, TABLE2_ARMS
from whereabouts.errors import InputError
from whereabouts.methods.gates import PANCREAS_ARMS, PLANE_METHODS, TABLED, VOLUME_ARMS, PlanePart, plane_parts
from whereabouts.reporting.plotting import METHOD_COLOURS


def write(folder, name, **columns):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    separator = "\t" if path.suffix == ".tsv" else ","
    pd.DataFrame(columns).to_csv(path, index=False, sep=separator)


def scores(folder, group, seed, *arms):
    write(folder, f"{group}-{seed}/scores.csv", arm=list(arms), seed=[seed] * len(arms), dice=[0.5] * len(arms))


def test_results_are_those_of_the_seeds_asked_for_and_of_no_other_folder(tmp_path):
    scores(tmp_path, "unet", 1, "unet")
    scores(tmp_path, "attention", 1, "attention")
    for seed in (2, 3, 11):  # 11 ends in 1 too
        scores(tmp_path, "unet", seed, "unet")
    write(tmp_path, "all/scores.csv", arm=["unet"], seed=[1], dice=[0.9])  # as folders were called before
    found = trainings.read(tmp_path, "scores.csv", [1, 2])
    assert found[["arm", "seed"]].to_numpy().tolist() == [["attention", 1], ["unet", 1], ["unet", 2]]
    assert list(found) == ["arm", "seed", "dice"] and (found.dice == 0.5).all()


def test_a_network_in_two_folders_is_refused_and_both_are_named(tmp_path):
    scores(tmp_path, "all", 1, "unet", "attention")
    scores(tmp_path, "unet", 1, "unet")
    with pytest.raises(InputError) as error:
        trainings.read(tmp_path, "scores.csv", [1])
    (line,) = error.value.problems
    assert line.startswith(f"{tmp_path}/all-1 and {tmp_path}/unet-1: both have unet 1; delete ")
    for group in ("all", "unet"):
        (tmp_path / f"{group}-1" / "unet-1.safetensors").touch()
    with pytest.raises(InputError, match=r"all-1 and .*unet-1: both have unet-1; delete "):
        trainings.file(tmp_path, "unet-1", 1)
    (tmp_path / "unet-1" / "unet-1.safetensors").unlink()
    assert trainings.file(tmp_path, "unet-1", 1) == tmp_path / "all-1" / "unet-1.safetensors"


def test_classifiers_of_two_widths_are_two_networks(tmp_path):
    for method in PLANE_METHODS:
        write(tmp_path, f"{method}-1/found.csv", method=[method] * 3, width=[2, 2, 4], seed=1, found=[0, 1, 2])
    assert len(trainings.read(tmp_path, "found.csv", [1])) == 6


def test_a_seed_without_results_is_said_and_networks_that_could_not_be_trained_are_none(tmp_path):
    with pytest.raises(InputError, match=r"\*-1/scores.csv: not there yet; run `make repro`"):
        trainings.read(tmp_path, "scores.csv", [1])
    with pytest.raises(InputError, match=r"\*-1/unet-1.safetensors: not there yet; run `make repro`"):
        trainings.file(tmp_path, "unet-1", 1)
    scores(tmp_path, "unet-before", 1)
    empty = trainings.read(tmp_path, "scores.csv", [1])
    assert empty.empty and list(empty) == ["arm", "seed", "dice"]
    scores(tmp_path, "unet-scratch", 1, "unet-scratch")
    assert trainings.read(tmp_path, "scores.csv", [1]).dice.dtype == float


# ------------------------------------------------------------------------------------------------------------- curves


def learnt(folder):
    """Two seeds of a U-Net, of which the second ended early, and one of another network."""
    write(folder, "all-1/unet-1.tsv", step=[2, 4], loss=[0.9, 0.8], dice=[0.25, 0.5])
    write(folder, "all-2/unet-2.tsv", step=[2], loss=[0.9], dice=[0.75])
    write(folder, "all-1/attention-quarter-1.tsv", step=[4], loss=[0.7], dice=[1.0])
    write(folder, "all-1/scores.csv", arm=["unet"], seed=[1])
    return curves.read(folder, [1, 2])


def test_the_table_for_plots_has_means_over_seeds_in_columns_that_never_change(tmp_path):
    curves.write(tmp_path / "curves.tsv", learnt(tmp_path), "dice", curves.VOLUMES)
    table = pd.read_csv(tmp_path / "curves.tsv", sep="\t")
    assert list(table) == ["step", *TABLED]
    assert table.step.tolist() == [2, 4] and table.unet.tolist() == [0.5, 0.5]
    assert np.isnan(table["attention-quarter"][0]) and table["attention-quarter"][1] == 1
    assert table[["attention", "asked_inside"]].isna().all(axis=None)


def test_the_columns_are_all_networks_that_are_trained():
    assert set(PANCREAS_ARMS) - set(curves.PANCREAS) == {"unet-before", "attention-before"}
    assert curves.PLANES[:2] == ("sononet-small", "ag_sononet-small") and len(curves.PLANES) == 6


def test_classifiers_are_called_by_size(tmp_path):
    for name in ("sononet-4", "ag_sononet-16", "ag_sononet-4"):
        write(tmp_path, f"all-1/{name}-1.tsv", step=[1], loss=[1.0], f1=[0.5], part=["sononet"])
    planes = pd.DataFrame({"width": [16, 4, 4]})
    found = curves.by_size(curves.read(tmp_path, [1]), planes)
    assert sorted(found.network) == ["ag_sononet-medium", "ag_sononet-small", "sononet-small"]


def test_each_network_and_seed_is_a_line_in_its_methods_colour_and_named_once(tmp_path):
    figure = curves.draw(learnt(tmp_path), "dice", {"a": ("unet", "attention-quarter"), "b": ("unet-huge",)})
    first, second = figure.axes
    drawn = [(line.get_label(), line.get_color(), line.get_linestyle()) for line in first.lines]
    plain, gated = ("U-Net", METHOD_COLOURS["unet"], "-"), "Attention U-Net, quarter of the scans"
    assert drawn == [(gated, METHOD_COLOURS["attention"], "--"), plain, plain]
    assert [text.get_text() for text in first.get_legend().get_texts()] == [gated, "U-Net"]
    assert not second.lines and second.get_legend() is None
    plt.close(figure)


def test_the_ends_of_parts_are_marked(tmp_path):
    parts = ["sononet", "sononet", "mean", "fine_tuned"]
    write(tmp_path, "all-1/ag_sononet-2-1.tsv", step=[1, 2, 4, 6], loss=[1.0] * 4, f1=[0.5] * 4, part=parts)
    rows = curves.read(tmp_path, [1]).assign(network="ag_sononet-small")
    figure = curves.draw(rows, "f1", {"a": curves.PLANES, "b": ()})
    assert [line.get_xdata()[0] for line in figure.axes[0].lines[1:]] == [2, 4]
    plt.close(figure)


@pytest.mark.parametrize("networks", [TABLE1_ARMS, TABLE2_ARMS, BEYOND_ARMS, curves.PANCREAS[:4], curves.PLANES[:2]])
def test_networks_side_by_side_look_different(networks):
    looks = {(line["color"], line["linestyle"]) for line in map(curves.line, networks)}
    assert len(looks) == len({curves.line(name)["label"] for name in networks}) == len(networks)


# -------------------------------------------------------------------------------------------------------------- parts


def test_a_quarter_of_the_scans_has_as_many_epochs():
    """Released: 15,000 steps in place of 60,000, with a rate that is halved every 3,750."""
    assert [round(VOLUME_ARMS[name].length * 60000) for name in ("attention", "attention-quarter")] == [60000, 15000]
    assert round(VOLUME_ARMS["unet-quarter"].length * 15000) == 3750


def test_classifiers_with_one_choice_changed_are_trained_as_ag_sononet():
    parts = plane_parts("mean", "fine_tuned", [(10, 0.1), (20, 0.2), (30, 0.3)])
    one = {"gating": "global"}
    assert parts["ag_sononet_global"] == [
        PlanePart("sononet", "", 10, 0.1),
        PlanePart("ag_sononet", "mean", 20, 0.2, one),
        PlanePart("ag_sononet", "fine_tuned", 30, 0.3, one),
    ]
    joint = PlanePart("ag_sononet", "concatenation", 50, 0.2, {"aggregation": "concatenation"})
    assert parts["ag_sononet_joint"][1:] == [joint]


def test_a_classifier_is_trained_in_three_parts_and_sononet_as_long():
    parts = plane_parts("mean", "fine_tuned", [(10, 0.1), (20, 0.2), (30, 0.3)])
    assert parts["ag_sononet"] == [
        PlanePart("sononet", "", 10, 0.1),
        PlanePart("ag_sononet", "mean", 20, 0.2),
        PlanePart("ag_sononet", "fine_tuned", 30, 0.3),
    ]
    assert parts["sononet"] == [PlanePart("sononet", "", n, n / 100) for n in (10, 20, 30)]
    assert [part.name for part in parts["ag_sononet"]] == ["sononet", "mean", "fine_tuned"]


@pytest.mark.parametrize("aggregation", ["concatenation", "mean", "deep_supervision"])
def test_any_other_aggregation_has_the_last_two_parts_in_one(aggregation):
    parts = plane_parts("mean", aggregation, [(10, 0.1), (20, 0.2), (30, 0.3)])
    assert parts["ag_sononet"][1:] == [PlanePart("ag_sononet", aggregation, 50, 0.2)]
    assert parts["sononet"][1:] == [PlanePart("sononet", "", 50, 0.2)]
