"""Trained weights as safetensors, with what it takes to build their network again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lib import files, paths
from lib.errors import InputError
from lib.training import device, keep_freed_memory


def use(network: str, data: dict, **how) -> dict:
    """What `lib.predict` needs to apply a network to new files; empty if it was not trained on NIfTI volumes.

    Args:
        network: name of the function that builds it.
        data: facts of the prepared data that it was trained on.
        how: what else turns these data into what the network sees, JSON values.
    """
    if "input" not in data:
        return {}
    return {"network": network, **{key: data[key] for key in ("label", "structures", "input")}, **how}


def write(path: Path, model: nn.Module, facts: dict, use: dict | None = None) -> None:
    """Write the weights of `model` to `path`.

    Args:
        path: ends in .safetensors.
        model: made by a function that takes `facts`.
        facts: keyword arguments of that function, JSON values. They go into one metadata key, with a sha256 of
            everything, since safetensors writes several in random order.
        use: see `use`.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    said = {"facts": facts, "use": use or {}}
    about = said | {"sha256": _digest(tensors, said)}
    files.write_bytes(path, save(tensors, metadata={"about": json.dumps(about, sort_keys=True)}))


def _digest(tensors: dict[str, Tensor], said: dict) -> str:
    """sha256 of all that a file of weights says: safetensors itself would not notice a changed byte."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode() + save(tensors)).hexdigest()


def write_curve(path: Path, curve: pd.DataFrame) -> None:
    """Write what `training.fit` returned beside the weights, as tab-separated values."""
    files.write_text(path, curve.to_csv(index=False, sep="\t", float_format="%.6g"))


def read(path: Path, network: Callable[..., nn.Module]) -> tuple[nn.Module, dict]:
    """The network in the file at `path`, built by `network(**facts)`, on the device and in evaluation mode; its facts.

    Raises:
        InputError: there is no such file, it is damaged, or its tensors are not those of the network.
    """
    tensors, said = _whole(path)
    try:
        with torch.device("meta"):  # shapes alone: facts may ask for more than there is memory
            expected = _shapes(network(**said["facts"]).state_dict())
    except Exception as fault:  # whatever a network says of facts that are not its own
        why = str(fault).partition("\n")[0]
        raise InputError(f"{paths.shown(path)}: weights of another network ({why}); {_remedy(path)}") from None
    if _shapes(tensors) != expected:
        raise InputError(f"{paths.shown(path)}: weights of another network; {_remedy(path)}")
    keep_freed_memory()
    model = network(**said["facts"])
    model.load_state_dict(tensors)
    return model.to(device()).eval(), said["facts"]


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _remedy(path: Path) -> str:
    """What to do about a file: only what the pipeline made can be made again."""
    if path.suffix == ".safetensors" and path.is_relative_to(paths.at("build")):
        return "delete it and run `dvc repro` to make it again" if path.exists() else "run `dvc repro` to make it"
    return "give a .safetensors file as a training here wrote it"


def used(path: Path) -> dict:
    """What `write` was given as `use`; InputError as from `read`."""
    return _whole(path)[1]["use"]


def _whole(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors of a file, and what it says of them, once its sha256 is found to be the one that was written."""
    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads(file.metadata()["about"])
            digest, tensors = said.pop("sha256"), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError(f"{paths.shown(path)}: no such file; {_remedy(path)}") from None
    except (SafetensorError, OSError, TypeError, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{paths.shown(path)}: unreadable weights ({error}); {_remedy(path)}") from None
    if _digest(tensors, said) != digest:
        raise InputError(f"{paths.shown(path)}: damaged, its sha256 is another; {_remedy(path)}")
    if said.keys() != {"facts", "use"}:
        raise InputError(f"{paths.shown(path)}: weights of another version; {_remedy(path)}")
    return tensors, said
