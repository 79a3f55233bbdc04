"""Trained weights as safetensors, with what it takes to build their network again."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from lib import files, paths
from lib.errors import InputError
from lib.training import device, keep_freed_memory


def write(path: Path, model: nn.Module, facts: dict) -> None:
    """Write the weights of `model` to `path`.

    Args:
        path: ends in .safetensors.
        model: made by a function that takes `facts`.
        facts: keyword arguments of that function, JSON values. They go into one metadata key, since safetensors
            writes several in random order.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    files.write_bytes(path, save(tensors, metadata={"facts": json.dumps(facts, sort_keys=True)}))


def write_curve(path: Path, curve: pd.DataFrame) -> None:
    """Write what `training.fit` returned beside the weights, as tab-separated values."""
    files.write_text(path, curve.to_csv(index=False, sep="\t", float_format="%.6g"))


def read(path: Path, network: Callable[..., nn.Module]) -> tuple[nn.Module, dict]:
    """The network in the file at `path`, built by `network(**facts)`, on the device and in evaluation mode; its facts.

    Raises:
        InputError: there is no such file, it is damaged, or its tensors are not those of the network.
    """
    remedy = "run `dvc repro` to make it again"
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dictionary
    except FileNotFoundError:
        raise InputError(f"{paths.shown(path)}: no such file; {remedy}") from None
    except (SafetensorError, OSError, TypeError, KeyError) as error:
        raise InputError(f"{paths.shown(path)}: unreadable weights ({error}); delete it and {remedy}") from None
    keep_freed_memory()
    model = network(**facts)
    try:
        model.load_state_dict(tensors)
    except RuntimeError:  # torch names every tensor, on many lines
        raise InputError(f"{paths.shown(path)}: weights of another network; delete it and {remedy}") from None
    return model.to(device()).eval(), facts
