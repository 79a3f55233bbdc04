"""What a file of weights may say of its network and of what that network saw, checked before anything is believed.

The sha256 in such a file tells damage, not intent: whoever makes one signs it as easily. So each value has its kind and
its range, far above what the papers need, and all of them have to fit together.
"""

import reprlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from whereabouts.data import mmwhs
from whereabouts.data.cardiac import STRUCTURES
from whereabouts.layers import attention_gate
from whereabouts.layers.attention_gate import NORMALISATIONS
from whereabouts.layers.film import SCALES
from whereabouts.layers.inside import WIDTHS
from whereabouts.methods.inside import ARMS

WINDOW = 2**22  # voxels that a 3D network is shown at once; 160 x 160 x 96 in the paper, about 2**21


@dataclass(frozen=True)
class Rule:
    """What a value has to be, in words, whether it is, and whether it has to be there."""

    words: str
    kept: Callable[[object], bool]
    needed: bool = True


def _whole(low: int, high: int, step: int = 1) -> Rule:
    words = f"a whole number from {low} to {high}" + (f", a multiple of {step}" if step > 1 else "")
    return Rule(words, lambda value: type(value) is int and low <= value <= high and value % step == 0)


def _number(low: float, high: float) -> Rule:  # NaN is in no range, and True is no number
    words = f"a number from {low:g} to {high:g}"
    return Rule(words, lambda value: type(value) in (int, float) and low <= value <= high)


def _one_of(*known: str) -> Rule:
    return Rule(f"one of {', '.join(known)}", lambda value: type(value) is str and value in known)


def _list_of(rule: Rule, least: int, most: int) -> Rule:
    words = f"a list of {least}{f' to {most}' if most > least else ''}, each {rule.words}"
    return Rule(words, lambda value: type(value) is list and least <= len(value) <= most and all(map(rule.kept, value)))


def _if_there(rule: Rule) -> Rule:
    return replace(rule, needed=False)


_TEXT = Rule("a text of 1 to 200 characters", lambda value: type(value) is str and 1 <= len(value) <= 200)
_FLAG = Rule("true or false", lambda value: type(value) is bool)
_MAPPING = Rule("a mapping", lambda value: type(value) is dict)
_SIDE = _whole(16, 512, step=16)  # pixels
_SPACING = _number(0.25, 50)  # mm
_WIDTH = _whole(1, 256)

# What each network is built from, and the layouts that it is trained on.
FACTS = {
    "acdc_network": {
        "arm": _one_of(*ARMS),
        "condition": _whole(1, 2),
        "size": _SIDE,
        "filters": _if_there(_WIDTH),
        "scale": _if_there(_one_of(*SCALES)),
        "sigma": _if_there(_one_of(*WIDTHS)),
        "hidden": _if_there(_whole(0, 1024)),
    },
    "position_network": {
        "network": _one_of("unet", "cnn"),
        "scale": _number(0, 1e4),
        "padding": _if_there(_one_of("zeros", "reflect")),
        "filters": _if_there(_WIDTH),
    },
    "sdnet_network": {
        "method": _one_of("unet", "gan", "self_train", "sdnet"),
        "classes": _whole(2, 8),
        "filters": _if_there(_WIDTH),
        "momentum": _if_there(_number(0, 1)),
        "side": _if_there(_SIDE),
        "channels": _if_there(_whole(1, 64)),
        "dimensions": _if_there(_whole(1, 1024)),
        "segmentor_filters": _if_there(_WIDTH),
        "discrete": _if_there(_one_of("round", "one_hot", "soft")),
        "modulation": _if_there(_one_of("film", "inside")),
    },
    "volume_network": {
        "network": _one_of("unet", "attention", "asked_attention", "asked_inside"),
        "structures": _whole(1, 255),
        "feature_scale": _number(1, 64),
        "gates": _if_there(_whole(1, 16)),
        "gating": _if_there(_one_of("decoder", "centre", "global")),
        "subsample": _if_there(_whole(1, 8)),
        "normalisation": _if_there(_one_of(*NORMALISATIONS)),
        "start": _if_there(_one_of(*attention_gate.STARTS)),
        "deep_supervision": _if_there(_FLAG),
        "hidden": _if_there(_number(0, 64)),
        "scale": _if_there(_one_of(*SCALES)),
        "sigma": _if_there(_one_of(*WIDTHS)),
    },
}
LAYOUTS = {
    "acdc_network": ("acdc",),
    "position_network": ("acdc",),
    "sdnet_network": ("acdc", "mmwhs", "studies"),
    "volume_network": ("decathlon",),
}
USE = {"network": _one_of(*FACTS), "label": _TEXT, "structures": _list_of(_TEXT, 1, 255), "input": _MAPPING}
HOW = {
    "position_network": {"statistics": _MAPPING},
    "volume_network": {
        "window": _list_of(_whole(16, 512, step=16), 3, 3),
        "asked": _FLAG,
        "only": _if_there(_list_of(_whole(0, 255), 0, 256)),
    },
}
INPUTS = {
    "acdc": {
        "spacing": Rule(f"{_SPACING.words}, or null", lambda value: value is None or _SPACING.kept(value)),
        "side": _SIDE,
        "resize": _if_there(_FLAG),
        "percentiles": _if_there(_list_of(_number(0, 100), 2, 2)),
    },
    "decathlon": {"spacing": _SPACING, "blur": _number(0, 10)},
    "mmwhs": {"spacing": _SPACING, "side": _SIDE},
    "studies": {"spacing": _SPACING, "side": _SIDE},
}


def faults(facts: object, use: object) -> list[str]:
    """What is wrong with what `training.weights.write` was given, a line each; none if it can be believed."""
    if found := _broken("use", use, {"network": USE["network"]}, whole=False):
        return found
    network = use["network"]
    found = _broken("use", use, USE | HOW.get(network, {})) + _broken("facts", facts, FACTS[network])
    if type(given := use.get("input")) is dict:
        rules = {"layout": _one_of(*LAYOUTS[network])}
        if broken := _broken("use.input", given, rules, whole=False):
            return found + broken
        found += _broken("use.input", given, rules | INPUTS[given["layout"]])
    return found or _contradictions(facts, use, use["input"])


def _broken(name: str, given: object, rules: dict[str, Rule], whole: bool = True) -> list[str]:
    """The rules that a mapping breaks; `whole`: and what it has beside them."""
    if type(given) is not dict:
        return [f"{name}: {reprlib.repr(given)} is no mapping"]
    found = [f"{name}.{key}: missing" for key, rule in rules.items() if rule.needed and key not in given]
    found += [
        f"{name}.{key}: {reprlib.repr(given[key])} is not {rule.words}"
        for key, rule in rules.items()
        if key in given and not rule.kept(given[key])
    ]
    return found + [f"{name}: {reprlib.repr(key)} is not known here" for key in given if whole and key not in rules]


def _contradictions(facts: dict, use: dict, given: dict) -> list[str]:
    """What does not fit together, where each value alone is possible."""
    network, structures, only = use["network"], use["structures"], use.get("only", [])
    count = facts.get("structures", facts.get("classes", 1 + len(STRUCTURES)) - 1)  # that the network tells apart
    named = {"acdc": STRUCTURES, "studies": STRUCTURES, "mmwhs": mmwhs.STRUCTURES}.get(given["layout"], structures)
    low, high = given.get("percentiles", (5, 95))
    statistics = use.get("statistics") or {"mean": 0, "sd": 1}
    finite = {"mean": _number(-1e9, 1e9), "sd": _number(1e-9, 1e9)}
    wrong = {
        f"structures: {len(structures)} where the network tells {count} apart": not only and len(structures) != count,
        "structures: one twice": len(set(structures)) < len(structures),
        f"structures: not those of the layout, {', '.join(named)}": not set(structures) <= set(named)
        or (given["layout"] != "studies" and tuple(structures) != tuple(named)),
        "percentiles: the first is not below the second": low >= high,
        "spacing: null, and no resizing": given["spacing"] is None and not given.get("resize"),
        "side: another than the network's": given.get("side")
        != facts.get("size", facts.get("side", given.get("side"))),
        "condition: not how many facts the arm is given": network == "acdc_network"
        and facts["condition"] != 1 + facts["arm"].endswith("-phase"),
        f"window: more than {WINDOW:,} voxels": prod(use.get("window", ())) > WINDOW,
        "asked: not as the network is": "asked" in use and use["asked"] != facts["network"].startswith("asked"),
        "only: not 0 and a label of each structure": only
        and (use["asked"] or only[0] != 0 or len(set(only)) != 1 + len(structures) or max(only) > count),
        "statistics: no mean and sd": bool(_broken("", statistics, finite)),
    }
    return [f"use and facts: {what}" for what, is_so in wrong.items() if is_so]
