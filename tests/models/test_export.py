"""In other people's code: every mechanism and network copied, pickled, exported, compiled and run as ONNX, as eager."""

import copy
import importlib
import inspect
import io
import pickle
import pkgutil
import re
import sys
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from whereabouts import layers, models, paths
from whereabouts.layers import INSIDE, AttentionGate, FiLM, GuidingBlock, MultiAttentionGate, Position, WithPosition
from whereabouts.layers.attention_gate import NORMALISATIONS
from whereabouts.layers.film import SCALES
from whereabouts.layers.inside import WIDTHS
from whereabouts.methods.__main__ import networks
from whereabouts.methods.inside import ARMS, METHOD_NAMES
from whereabouts.methods.networks.position import position_network
from whereabouts.models.bilinear_unet import BilinearUNet
from whereabouts.models.sdnet.anatomy import DISCRETE
from whereabouts.models.sdnet.network import SDNet
from whereabouts.models.sononet import AGSononet
from whereabouts.models.unet3d import AttentionUNet3D, UNet3D
from whereabouts.pipeline import code

pytestmark = pytest.mark.usefixtures("on_the_cpu")

# Shapes of inputs: "b", "h", "w" and "d" may be any number, "4h" is any multiple of 4.
MAPS, VOLUME, FACTS = ("b", 4, "h", "w"), ("b", 4, "h", "w", "d"), ("b", 3)
IMAGE, SCAN, ANATOMY = ("b", 1, "16h", "16w"), ("b", 1, "16h", "16w", "16d"), ("b", 8, "h", "w")

LAYERS = {  # name -> how it is made, shapes
    **{f"FiLM, {scale}": (lambda scale=scale: FiLM(4, 3, scale=scale), MAPS, FACTS) for scale in SCALES},
    "FiLM, volumes": (lambda: FiLM(4, 3), VOLUME, FACTS),
    "Guiding Block": (lambda: GuidingBlock(4, 3, (5, 7)), ("b", 4, 5, 7), FACTS),
    **{f"INSIDE, {width}": (lambda width=width: INSIDE(4, 3, sigma=width), MAPS, FACTS) for width in WIDTHS},
    "INSIDE, single": (lambda: INSIDE(4, 3, "single", film=False), MAPS, FACTS),
    "INSIDE, volumes": (lambda: INSIDE(4, 3, spatial_dims=3), VOLUME, FACTS),
    "Position": (lambda: Position(10), MAPS),
    "Position, volumes": (lambda: Position(256), VOLUME),
    "WithPosition": (lambda: WithPosition(FiLM(6, 3), 1), MAPS, FACTS),
    **{
        f"gate, {name}": (
            lambda name=name: AttentionGate(4, 3, spatial_dims=2, subsample=1, normalisation=name),
            *(("b", 4, "2h", "2w"), ("b", 3, "h", "w")),
        )
        for name in NORMALISATIONS
    },
    "gate, volumes": (
        lambda: AttentionGate(4, 3, align_corners=False),
        *(("b", 4, "4h", "4w", "4d"), ("b", 3, "h", "w", "d")),
    ),
    "several gates": (lambda: MultiAttentionGate(4, 3, spatial_dims=2), ("b", 4, "4h", "4w"), ("b", 3, "h", "w")),
}


NETWORKS = {  # those of `python -m whereabouts.methods` -> shapes
    **{f"CLEVR-Seg, {name}": (("b", 3, "4h", "4w"), ("b", 4)) for name in METHOD_NAMES},
    "CLEVR-Seg, guiding_block": (("b", 3, 32, 32), ("b", 4)),  # works at one size
    **{f"ACDC U-Net, {arm}": (IMAGE, ("b", 1)) for arm in ARMS if not arm.endswith("phase")},
    "ACDC U-Net, guiding_block-position": (("b", 1, 32, 32), ("b", 1)),
    **{f"position, {name}": (IMAGE,) for name in ("unet-0", "unet-256")},
    **{f"position, {name}": (("b", 1, "h", "w"),) for name in ("cnn-0", "cnn-256")},
    "SDNet, anatomy encoder": (IMAGE,),
    "SDNet, modality encoder": (("b", 1, 32, 32), ("b", 8, 32, 32)),
    **{f"SDNet, {name}": (ANATOMY,) for name in ("segmentor", "area regressor")},
    **{f"SDNet, {name}": (ANATOMY, ("b", 8)) for name in ("decoder", "decoder with INSIDE")},
    "SDNet, mask discriminator": (("b", 3, 32, 32),),
    "3D U-Net": (SCAN,),
    **{f"Attention U-Net, gated by the {name}": (SCAN,) for name in ("decoder", "centre")},
    **{name: (SCAN, FACTS) for name in ("Attention U-Net, asked by channels", "INSIDE U-Net, asked by facts")},
    "Sononet-8": (IMAGE,),
    **{f"AG-Sononet-8, {name}": (IMAGE,) for name in ("mean", "deep_supervision", "fine_tuned")},
}
SMALL = {"side": 32, "filters": 2, "segmentor_filters": 2}
VARIANTS = {  # what the table leaves out -> how it is made, shapes
    **{f"SDNet, {name}": (lambda name=name: SDNet(discrete=name, **SMALL), IMAGE) for name in DISCRETE},
    **{
        f"AG-Sononet, {name}": (lambda name=name: AGSononet(3, 64, "concatenation", name), IMAGE)
        for name in NORMALISATIONS
    },
    "position, reflecting": (lambda: position_network("unet", 10, "reflect", 2), IMAGE),
    "position, aligned": (lambda: BilinearUNet(filters=2, align_corners=True), IMAGE),
    "3D U-Net, one judge": (lambda: UNet3D(3, [2] * 5, deep_supervision=False, align_corners=False), SCAN),
    "Attention U-Net, one gate": (lambda: AttentionUNet3D(3, [2] * 5, gates=1, subsample=1), SCAN),
}
MADE = LAYERS | VARIANTS


@cache
def narrow() -> dict:
    return networks(narrower=8, side=32)


@cache
def example(name):
    """A module that is evaluating, its gates no longer open to all, and the shapes of its inputs."""
    torch.manual_seed(0)
    model = MADE[name][0]() if name in MADE else narrow()[name]
    for gate in (part for part in model.modules() if isinstance(part, AttentionGate)):
        nn.init.normal_(gate.psi.weight)
    return model.eval(), MADE[name][1:] if name in MADE else NETWORKS[name]


def parse(size):
    """ "16h" -> 16, "h"."""
    factor, letter = re.fullmatch(r"(\d*)([bhwd])", size).groups()
    return int(factor or 1), letter


def inputs(name, **sizes):
    """Random ones, with two images of 2 x 3 (x 2) times whatever they must be a multiple of, unless told otherwise."""
    known, rng = {"b": 2, "h": 2, "w": 3, "d": 2} | sizes, torch.Generator().manual_seed(1)

    def number(size):
        factor, letter = parse(size) if isinstance(size, str) else (size, None)
        return factor * known.get(letter, 1)

    return tuple(torch.randn([number(size) for size in shape], generator=rng) for shape in example(name)[1])


@cache
def exported(name) -> torch.export.ExportedProgram:
    """With every size that has a letter left open."""
    model, shapes = example(name)
    letters = {letter: torch.export.Dim(letter, max=512) for letter in "bhwd"}

    def dims(shape):
        found = {axis: parse(size) for axis, size in enumerate(shape) if isinstance(size, str)}
        return {
            axis: factor * letters[letter] if factor > 1 else letters[letter]
            for axis, (factor, letter) in found.items()
        }

    spec, names = tuple(map(dims, shapes)), inspect.signature(model.forward).parameters
    if len(spec) > 1 and any(one.kind is one.VAR_POSITIONAL for one in names.values()):
        spec = dict(zip(names, (spec[0], spec[1:]), strict=True))  # forward(x, *facts)
    return torch.export.export(model, inputs(name), dynamic_shapes=spec)


def outputs(found):
    return list(found) if isinstance(found, (tuple, list)) else [found]


# the first layer of each kind in every run, its options and the networks in the heavier ones
SLOW_GUARDS = pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")  # torch's
EVERYTHING = pytest.mark.parametrize(
    "name",
    [
        name
        if name in LAYERS and not name.startswith(before.split(",")[0])
        else pytest.param(name, marks=pytest.mark.slow)
        for before, name in pairwise(["-", *LAYERS, *NETWORKS, *VARIANTS])
    ],
)
OTHER_SIZES = [{"b": 3, "h": 3, "w": 2, "d": 3}, {"b": 1}]


# ------------------------------------------------------------------------------------------------- nothing is missing


def test_every_network_of_the_table_is_here():
    """A new one is to be added to `NETWORKS`; widths and numbers of facts are all the same here."""
    alike = [(r", [\d.]+ M$", ""), (r"Sononet-\d+", "Sononet-8"), ("-phase$", "-position")]
    names = set(narrow())
    for pattern, one in alike:
        names = {re.sub(pattern, one, name) for name in names}
    assert names == set(NETWORKS)


def test_every_class_is_part_of_something_here():
    used = {type(part) for name in (*MADE, *NETWORKS) for part in example(name)[0].modules()}
    assert {getattr(layers, name) for name in layers.__all__} <= used
    for package in (layers, models):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name) if not found.name.endswith("__main__") else None
            for _, one in inspect.getmembers(module, inspect.isclass):
                assert one in used or not issubclass(one, nn.Module) or one.__module__ != found.name, one


def test_layers_models_and_losses_need_torch_alone():
    """And NumPy."""
    names = [
        found.name
        for package in (layers, models)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    names = {
        "whereabouts.losses.segmentation",
        "whereabouts.losses.sdnet",
        "whereabouts.metrics.overlap",
        "whereabouts.layers",
        "whereabouts.models",
        *names,
    }
    files = code.modules("\n".join(f"import {name}" for name in names))
    assert len(files) == len(names)  # and nothing beside them
    needed = {
        name.split(".")[0] for file in files for name in code._imported(paths.at(file).read_text(encoding="utf-8"))
    }
    assert needed - sys.stdlib_module_names == {"whereabouts", "numpy", "torch"}


# ----------------------------------------------------------------------------------------------------- the same output


@pytest.mark.parametrize("name", [*LAYERS, *NETWORKS, *VARIANTS])
def test_copies(name):
    """Copied, pickled and saved whole, with the same bits."""
    model, x = example(name)[0], inputs(name)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    expected = outputs(model(*x))
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(file, weights_only=False)):
        assert all(map(torch.equal, outputs(again(*x)), expected))


@EVERYTHING
def test_exported(name):
    """`torch.export`, at sizes other than those it was exported at."""
    program = exported(name).module()
    for sizes in OTHER_SIZES:
        x = inputs(name, **sizes)
        torch.testing.assert_close(program(*x), example(name)[0](*x), rtol=1e-4, atol=1e-5)


def and_gradients(model, x):
    """What comes out, and the gradients of its squares by what goes in."""
    x = [part.clone().requires_grad_() for part in x]
    y = outputs(model(*x))
    gradients = torch.autograd.grad(sum(part.square().sum() for part in y), x, allow_unused=True)
    return [*y, *(gradient for gradient in gradients if gradient is not None)]


@EVERYTHING
@SLOW_GUARDS
def test_compiled(name):
    """`torch.compile` of the whole in one graph, whatever the sizes."""
    torch.compiler.reset()
    model = example(name)[0]
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    for sizes in ({}, OTHER_SIZES[0]):
        x = inputs(name, **sizes)
        torch.testing.assert_close(and_gradients(compiled, x), and_gradients(model, x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@SLOW_GUARDS
@pytest.mark.parametrize("name", LAYERS)
def test_compiled_with_its_gradient(name):
    """As a compiler of kernels would be given both ways."""
    torch.compiler.reset()
    model, x = example(name)[0], inputs(name)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(and_gradients(compiled, x), and_gradients(model, x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*LAYERS, *NETWORKS, *VARIANTS])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of the exporter's own
def test_onnx(name):
    """Run by ONNX Runtime, at sizes other than those it was exported at."""
    import onnxruntime  # slow to import

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    program = torch.onnx.export(exported(name), dynamo=True, verbose=False).model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])
    for sizes in OTHER_SIZES:
        x = inputs(name, **sizes)
        found = session.run(None, {one.name: part.numpy() for one, part in zip(session.get_inputs(), x, strict=True)})
        expected = [part.detach().numpy() for part in outputs(example(name)[0](*x))]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
