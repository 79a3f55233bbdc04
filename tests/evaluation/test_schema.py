"""What a file of weights says of itself: what trainings here write is believed, and nothing that they never would."""

import pytest

from whereabouts.data import layouts, mmwhs
from whereabouts.evaluation import schema
from whereabouts.evaluation.prediction import NETWORKS
from whereabouts.methods.gates import VOLUME_ARMS
from whereabouts.paths import ROOT
from whereabouts.pipeline.choices import SCALES
from whereabouts.pipeline.plain_yaml import load

HEART = ["right ventricle", "myocardium", "left ventricle"]
ACDC = {"layout": "acdc", "spacing": 1.37, "side": 224, "resize": False, "percentiles": [5, 95]}
SCANS = {"layout": "decathlon", "spacing": 2.0, "blur": 0.75}
WINDOW = {"window": [160, 160, 96], "asked": False}
GATES = {"gates": 2, "gating": "decoder", "subsample": 2}
SDNET = {"method": "sdnet", "filters": 64, "momentum": 0.1, "side": 224, "channels": 8, "dimensions": 8}
SDNET |= {"segmentor_filters": 64, "discrete": "round", "modulation": "film"}


READ = {"scale": "1-gamma", "sigma": "wide", "hidden": 0}


def of(network, facts, structures, given, **how):
    return facts, {"network": network, "label": "X (real, 1)", "structures": structures, "input": given, **how}


SOUND = {
    "acdc": of("acdc_network", {"arm": "inside-phase", "condition": 2, "size": 224, "filters": 64} | READ, HEART, ACDC),
    "position": of(
        "position_network",
        {"network": "unet", "scale": 256, "padding": "reflect", "filters": 64},
        HEART,
        ACDC | {"spacing": None, "resize": True, "side": 256, "percentiles": [0, 100]},
        statistics={"mean": 0.3, "sd": 0.2},
    ),
    "sdnet": of("sdnet_network", SDNET | {"classes": 4}, HEART, ACDC),
    "sdnet, whole hearts": of(
        "sdnet_network",
        SDNET | {"classes": 8},
        list(mmwhs.STRUCTURES),
        {"layout": "mmwhs", "spacing": 1.0, "side": 224},
    ),
    "sdnet, cines": of(
        "sdnet_network", SDNET | {"classes": 3}, HEART[1:], {"layout": "studies", "spacing": 1.4, "side": 224}
    ),
    "volumes": of(
        "volume_network",
        {"network": "attention", "structures": 3, "feature_scale": 4 / 3.82} | GATES,
        ["$a_1$", "b", "c"],  # other people's names are theirs
        SCANS,
        **WINDOW,
    ),
    "volumes, tuned": of(
        "volume_network",
        {"network": "unet", "structures": 3, "feature_scale": 4},
        ["pancreas"],
        SCANS,
        **WINDOW,
        only=[0, 2],
    ),
}


def test_every_network_and_layout_has_its_rules():
    assert schema.FACTS.keys() == schema.LAYOUTS.keys() == NETWORKS.keys()
    assert schema.INPUTS.keys() == set(layouts.LAYOUTS) == {one for some in schema.LAYOUTS.values() for one in some}


@pytest.mark.parametrize("name", SOUND)
def test_what_trainings_write_is_believed(name):
    assert schema.faults(*SOUND[name]) == []


def changed(part, key, value):
    """One value of the facts, of the use or of its input is another."""

    def change(facts, use):
        place = {"facts": facts, "use": use, "input": use["input"]}[part] | {key: value}
        return (place, use) if part == "facts" else (facts, place if part == "use" else use | {"input": place})

    return change


WRONG = [
    ("acdc", "use", "network", ["acdc_network"]),
    ("acdc", "facts", "sigma", "narrow"),
    ("acdc", "facts", "hidden", -1),
    ("acdc", "use", "network", "later_network"),
    ("acdc", "use", "input", 3),
    ("acdc", "use", "label", ["a"]),
    ("acdc", "use", "label", "x" * 10_000),
    ("acdc", "use", "structures", HEART[:1]),
    ("acdc", "use", "structures", "abc"),
    ("acdc", "use", "structures", ["$\\frac{$", "b", "c"]),
    ("acdc", "use", "structures", [HEART[0]] * 3),
    ("acdc", "use", "structures", [[], {}, None]),
    ("acdc", "use", "more", 1),
    ("acdc", "input", "layout", "mmwhs"),
    ("acdc", "input", "layout", []),
    ("acdc", "input", "side", 0),
    ("acdc", "input", "side", 30_000),
    ("acdc", "input", "side", 32.0),
    ("acdc", "input", "side", 208),  # not the network's
    ("acdc", "input", "spacing", 0),
    ("acdc", "input", "spacing", 0.005),
    ("acdc", "input", "spacing", float("nan")),
    ("acdc", "input", "spacing", True),
    ("acdc", "input", "spacing", None),  # and no resizing
    ("acdc", "input", "resize", 1),
    ("acdc", "input", "percentiles", [-5, 500]),
    ("acdc", "input", "percentiles", [95, 5]),
    ("acdc", "input", "blur", 1.0),
    ("acdc", "facts", "arm", "inside-sex"),
    ("acdc", "facts", "condition", 1),
    ("acdc", "facts", "size", 10**4000),
    ("acdc", "facts", "filters", 10**6),
    ("position", "facts", "scale", -1),
    ("position", "use", "statistics", {"mean": 0.0}),
    ("position", "use", "statistics", {"mean": 0.0, "sd": 0.0}),
    ("sdnet", "facts", "classes", 3),
    ("sdnet", "facts", "side", 208),
    ("sdnet, cines", "use", "structures", ["myocardium", "aorta"]),
    ("sdnet, whole hearts", "use", "structures", list(reversed(mmwhs.STRUCTURES))),
    ("volumes", "facts", "gates", 10**9),
    ("volumes", "facts", "feature_scale", 1e-300),
    ("volumes", "facts", "structures", 4),
    ("volumes", "use", "structures", ["a", "a", "b"]),
    ("volumes", "use", "window", [160, 160]),
    ("volumes", "use", "window", [160, 160, 100]),
    ("volumes", "use", "window", [512, 512, 512]),
    ("volumes", "use", "asked", True),
    ("volumes", "input", "layout", "acdc"),
    ("volumes, tuned", "use", "only", [0, 4]),
    ("volumes, tuned", "use", "only", [1, 2]),
    ("volumes, tuned", "use", "only", [0, 0]),
    ("volumes, tuned", "use", "only", [0, 1, 2]),
]


@pytest.mark.parametrize(("name", "part", "key", "value"), WRONG, ids=lambda value: str(value)[:30])
def test_what_they_never_write_is_named(name, part, key, value):
    faults = schema.faults(*changed(part, key, value)(*SOUND[name]))
    assert faults and all(fault.isprintable() and len(fault) < 300 for fault in faults)
    assert {"classes": "structures"}.get(key, key) in " ".join(faults)


@pytest.mark.parametrize("name", SOUND)
def test_what_is_missing_is_named(name):
    facts, use = SOUND[name]
    assert schema.faults({}, use) and schema.faults(facts, {}) == ["use.network: missing"]
    assert schema.faults(facts, []) == ["use: [] is no mapping"]
    for key in use:
        assert (
            f"use.{key}: missing" in schema.faults(facts, {k: v for k, v in use.items() if k != key}) or key == "only"
        )


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", VOLUME_ARMS)
def test_networks_of_the_parameters_are_known(name, scale):
    """What notebooks/gates/01_train_volumes.ipynb writes of each network."""
    numbers = load(ROOT / f"params/{scale}.yaml")["gates_train_volumes"]
    arm = VOLUME_ARMS[name]
    options = numbers["gates"] if "attention" in arm.network else numbers["inside"] if "inside" in arm.network else {}
    network = {"network": arm.network, "structures": 3, "feature_scale": 4.0} | options | arm.options
    how = {"window": [160, 160, 96], "asked": arm.network.startswith("asked")}
    facts, use = of("volume_network", network, ["liver", "spleen", "pancreas"], SCANS, **how)
    assert schema.faults(facts, use) == []
