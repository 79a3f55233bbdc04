"""One step of every training, at the paper's size, with nothing on the CPU: a tensor that is left there fails.

Tensors are on the "meta" device, which has shapes and no numbers, so that the largest network takes no memory. Where
two devices meet it is refused as on a GPU, by `OneDevice`, since meta itself lets some pass. What meta cannot do is
done for it below: it draws no random numbers from a generator, has no autocast and no fused optimiser, and no number
can be read from it.
"""

import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from whereabouts.data.examples import Examples
from whereabouts.data.scan import Scan
from whereabouts.inference.device import device
from whereabouts.inference.slices import predict
from whereabouts.losses.segmentation import inside_loss
from whereabouts.methods.gates import VOLUME_ARMS, plane_parts
from whereabouts.methods.inside import ARMS, METHOD_NAMES, parts
from whereabouts.methods.networks.gates import plane_network, volume_network
from whereabouts.methods.networks.inside import acdc_network, clevr_network
from whereabouts.methods.networks.position import position_network
from whereabouts.methods.networks.sdnet import sdnet_network
from whereabouts.methods.position import POSITION_ARMS
from whereabouts.methods.sdnet import SDNET_ARMS, sdnet_facts
from whereabouts.models.sdnet.discriminator import MaskDiscriminator
from whereabouts.models.sdnet.volume import AreaRegressor
from whereabouts.models.sononet import AGGREGATIONS
from whereabouts.paths import ROOT
from whereabouts.pipeline.plain_yaml import load
from whereabouts.training.classification import Classifying
from whereabouts.training.classification import Readings as PlaneReadings
from whereabouts.training.loop import Schedule
from whereabouts.training.multi_task import WithArea
from whereabouts.training.scans import Readings as ScanReadings
from whereabouts.training.scans import Segmenting
from whereabouts.training.semi_supervised import Readings, SelfTraining, SemiSupervised
from whereabouts.training.supervised import Supervised

PAPER = load(ROOT / "params/paper.yaml")
META = torch.device("meta")
INDEXED = (torch.ops.aten.index, torch.ops.aten.index_put_)


class Generator:
    """Stands where a generator of the device would."""

    def __init__(self, device="cpu"):
        self.device = torch.device(device)

    def manual_seed(self, _):
        return self


class OneDevice(TorchDispatchMode):
    """Refuses an operator whose tensors are on two devices, but for what CUDA takes: numbers, indices and copies."""

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        given = arguments[:1] if operator.overloadpacket in INDEXED else (arguments, options)
        tensors = [one for one in tree_leaves(given) if isinstance(one, torch.Tensor) and one.ndim]
        if len({one.device for one in tensors}) > 1 and operator.overloadpacket is not torch.ops.aten.copy_:
            raise RuntimeError(f"{operator}: tensors on several devices")
        if operator.overloadpacket in INDEXED and arguments[0].device.type == "cpu":
            assert all(one.device.type == "cpu" for one in tree_leaves(arguments) if isinstance(one, torch.Tensor))
        return operator(*arguments, **(options or {}))


def without_generator(draw):
    return lambda *arguments, generator=None, **options: draw(*arguments, **options)


class Adam(torch.optim.Adam):
    def __init__(self, *arguments, fused=None, **options):
        super().__init__(*arguments, **options)


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch):
    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch.optim, "Adam", Adam)
    for name, module in list(sys.modules.items()):
        if name.startswith("whereabouts.") and getattr(module, "device", None) is device:
            monkeypatch.setattr(module, "device", lambda: META)
    for name in ("rand", "randn", "randint"):
        monkeypatch.setattr(torch, name, without_generator(getattr(torch, name)))
    monkeypatch.setattr(torch.Tensor, "item", lambda _: 1)
    monkeypatch.setattr(torch.Tensor, "__int__", lambda _: 0)  # of what is drawn, always possible
    with OneDevice():
        yield


def each(names, *quick):
    """All of them, of which those that stand for the others are not slow."""
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in names]


def built(network, *arguments, **options):
    with META:
        return network(*arguments, **options)


def told(section):
    """The readings of INSIDE that a section of the paper's scale has."""
    return {name: PAPER[section][name] for name in ("scale", "sigma", "hidden")}


def schedule(section):
    numbers = PAPER[section]
    return Schedule(4, numbers["batch"], numbers["learning_rate"], numbers["validate_every"], numbers["patience"])


def examples(n, channels, side, k=1, kind=torch.float32):
    """Examples without numbers."""
    shapes = ((n, channels, side, side), kind), ((n, side, side), torch.uint8), ((n, k), torch.float32)
    return Examples(*(torch.empty(shape, dtype=of, device=META) for shape, of in shapes), torch.arange(n, device=META))


def check(learner, *others, steps=1):
    """The first steps leave a loss, gradients and weights, all on the device."""
    for number in range(steps):
        loss = learner.step(number)
        assert loss.device == META and loss.shape == ()
    for part in (learner.model, *others):
        assert all(tensor.device == META for tensor in part.state_dict().values())
        assert all(one.grad.device == META for one in part.parameters() if one.grad is not None)
        assert any(one.grad is not None for one in part.parameters())


def supervised(model, section, given, classes, loss):
    check(Supervised(model, given, given, loss, schedule(section), 1, classes))
    assert predict(model, given).device == META


def inside(section):
    names = ("focal", "gamma", "eta")
    return lambda *given: inside_loss(*given, *(PAPER[section][name] for name in names))


MIXED = {
    "a sum": lambda x: x + torch.ones(2, 3),
    "a product": lambda x: torch.nn.functional.linear(x, torch.ones(4, 3)),
    "in place": lambda x: torch.ones(2, 3).add_(x),
    "an index": lambda x: torch.ones(2, 3)[x[:, 0].long()],
}


@pytest.mark.parametrize("mixed", MIXED.values(), ids=MIXED)
def test_what_is_left_on_the_cpu_is_seen(mixed):
    with pytest.raises((RuntimeError, AssertionError)):
        mixed(torch.empty(2, 3, device=META))


@pytest.mark.parametrize("method", each(METHOD_NAMES, "inside"))
def test_inside_on_clevr_seg(method):
    section, side = "inside_train_clevr_seg", PAPER["clevr_seg_prepare"]["side"]
    model = built(clevr_network, method, 4, side, PAPER[section]["filters"], **told(section))
    supervised(model, section, examples(40, 3, side, 4, torch.uint8), 2, inside(section))


@pytest.mark.parametrize("arm", each(ARMS, "inside-position"))
def test_inside_on_acdc(arm):
    section, side = "inside_train_acdc", PAPER["acdc_prepare"]["side"]
    facts = 2 if parts(arm)[1] == "phase" else 1
    model = built(acdc_network, arm, facts, side, PAPER[section]["filters"], **told(section))
    supervised(model, section, examples(20, 1, side, facts), 4, inside(section))


@pytest.mark.parametrize("arm", each(POSITION_ARMS, "unet-256"))
def test_positional_encoding(arm):
    section, one = "position_train_chest", POSITION_ARMS[arm]
    filters = PAPER[section]["cnn_filters" if one.network == "cnn" else "filters"]
    model = built(position_network, one.network, one.scale, one.padding, filters)
    given = examples(20, 1, PAPER["chest_prepare"]["side"])
    supervised(model, section, given, 4, lambda _, logits, labels, __: cross_entropy(logits.float(), labels))


SIDE, LABELLED = PAPER["sdnet_data_acdc"]["side"], 6


def sdnet(arm, section="sdnet_train_acdc", classes=4):
    numbers = PAPER[section]
    common = {"classes": classes, "filters": numbers["filters"], "momentum": numbers["momentum"]}
    factors = {name: numbers[name] for name in ("channels", "discrete", "segmentor_filters")} | {"side": SIDE}
    return built(sdnet_network, **sdnet_facts(arm, common, factors))


def judge(classes=4):
    filters = PAPER["sdnet_train_acdc"]["discriminator_filters"]
    return built(MaskDiscriminator, classes=classes - 1, side=SIDE, filters=filters)


def readings(section="sdnet_train_acdc", **changes):
    return Readings(**PAPER[section]["readings"] | changes)


@pytest.mark.parametrize("arm", each(SDNET_ARMS, "sdnet", "self_train"))
def test_sdnet(arm):
    given, method = examples(LABELLED, 1, SIDE), SDNET_ARMS[arm].method
    common = (sdnet(arm), given, given, 4, schedule("sdnet_train_acdc"), 1)
    if method == "unet":
        check(SemiSupervised(*common, readings=readings()))
    elif method == "self_train":
        check(SelfTraining(*common, unlabelled=given, readings=readings()), steps=2)  # the second on its own labels
    else:
        rival = judge()
        rest = {"unlabelled": given, "discriminator": rival, "drawn": given}
        check(SemiSupervised(*common, **rest, readings=readings(spectral=10.0)), rival)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"z_anatomy": "given"}, {"soft_masks": True}, {"as_printed": True}])
def test_sdnet_in_other_readings(changes):
    given, rival = examples(LABELLED, 1, SIDE), judge()
    rest = {"unlabelled": given, "discriminator": rival, "drawn": given, "readings": readings(**changes)}
    check(SemiSupervised(sdnet("sdnet"), given, given, 4, schedule("sdnet_train_acdc"), 1, **rest), rival)


@pytest.mark.slow
@pytest.mark.parametrize(("section", "classes"), [("sdnet_train_mmwhs", 6), ("sdnet_train_bold", 3)])
def test_sdnet_of_two_modalities(section, classes):
    given = examples(LABELLED, 1, SIDE)
    model = sdnet("sdnet", section, classes)
    check(SemiSupervised(model, given, given, classes, schedule(section), 1, readings=readings(section)))


def test_sdnet_with_a_second_task():
    given, model = examples(LABELLED, 1, SIDE), sdnet("sdnet", "sdnet_train_qmri", 3)
    regressor = built(AreaRegressor, PAPER["sdnet_train_qmri"]["channels"])
    task = {"measured": given, "regressor": regressor, "label": 2, "readings": Readings()}
    task |= {"unlabelled": given, "discriminator": judge(3), "drawn": given}
    check(WithArea(model, given, given, 3, schedule("sdnet_volume"), 1, **task), regressor)


def volumes(name="attention", **changes):
    """A learner of scans that are larger than its window along one axis and smaller along another."""
    numbers = PAPER["gates_train_volumes"]
    one = VOLUME_ARMS[name]
    options = numbers["gates"] if "attention" in one.network else numbers["inside"] if "inside" in one.network else {}
    model = built(volume_network, one.network, 3, numbers["feature_scale"] / one.capacity, **options | one.options)
    window = tuple(numbers["window"]["synthetic"])
    shape = (window[0] + 8, window[1], window[2] - 8)
    scans = [Scan("a", np.zeros(shape, np.float32), np.zeros(shape, np.uint8), (2.0, 2.0, 2.0))] * 2
    how = {"readings": ScanReadings(**numbers["readings"]), "asked": one.network.startswith("asked")} | changes
    return Segmenting(model, scans, scans, 3, schedule("gates_train_volumes"), 1, window, **how)


@pytest.mark.parametrize("arm", each(VOLUME_ARMS, "attention", "asked_inside"))
def test_attention_gates_on_scans(arm):
    check(volumes(arm, snapshots=(1,)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"optimiser": "sgd"}, {"auxiliary": 0.5}, {"accumulate": 2}, {"as_released": True}]
)
def test_attention_gates_on_scans_in_other_readings(changes):
    numbers = ScanReadings(**PAPER["gates_train_volumes"]["readings"])
    check(volumes(readings=replace(numbers, **changes)))


def test_attention_gates_fine_tuned_to_some_labels():
    check(volumes("unet", only=(0, 2)))


PARTS = {
    f"{name}-{part.name}": part
    for aggregation in AGGREGATIONS
    for name, its in plane_parts("mean", aggregation, [(1, 0.1)] * 3).items()
    for part in its
}


@pytest.mark.parametrize("part", each(PARTS, "ag_sononet-fine_tuned"))
def test_attention_gates_on_frames(part):
    numbers, classes, one = PAPER["gates_train_planes"], 14, PARTS[part]
    options = {"normalisation": numbers["normalisation"]} | one.options | {"aggregation": one.aggregation}
    options = options if one.aggregation else {}
    network = partial(plane_network, one.method, classes, 64 / numbers["widths"][0], **options)
    images = torch.empty((70, 1, *PAPER["gates_data_ultrasound"]["shape"]), dtype=torch.uint8, device=META)
    planes = np.arange(70) % classes
    how = (classes - 1, schedule("gates_train_planes"), 1, PlaneReadings(**numbers["readings"]))
    check(Classifying(built(network), images, planes, (images, planes), *how))
