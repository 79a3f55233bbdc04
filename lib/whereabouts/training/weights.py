"""Trained weights as safetensors, with what it takes to build their network again."""

import hashlib
import json
import numbers
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from whereabouts import files, paths
from whereabouts.errors import InputError
from whereabouts.formats import limits
from whereabouts.inference.device import arithmetic, device, keep_freed_memory

LARGEST = 4096  # number among the facts of a network: larger ones would take for ever to build, even without weights
HEADER = 2**22  # bytes that safetensors' header may have; 60 kB here
PICKLES = (b"PK\x03\x04", b"\x80")  # how torch.save's files begin, today's and those of old
DTYPES = {"F32": torch.float32, "I64": torch.int64}  # the others are in no network here


def use(network: str, data: dict, **how) -> dict:
    """What `whereabouts.predict` needs to apply a network to new files; empty if it was not trained on NIfTI volumes.

    Args:
        network: name of the function that builds it.
        data: facts of the prepared data that it was trained on.
        how: what else turns these data into what the network sees, JSON values.
    """
    if "input" not in data:
        return {}
    return {"network": network, **{key: data[key] for key in ("label", "structures", "input")}, **how}


def write(
    path: Path,
    model: nn.Module,
    facts: dict,
    use: dict | None = None,
    data: dict | None = None,
    precision: str = "float32",
) -> None:
    """Write the weights of `model` to `path`.

    Args:
        path: ends in .safetensors.
        model: made by a function that takes `facts`.
        facts: keyword arguments of that function, JSON values. They go into one metadata key, with a sha256 of
            everything, since safetensors writes several in random order.
        use: see `use`.
        data: facts of the prepared data that it was trained on, whose scale, label and sha256 are kept.
        precision: in which it was trained, here; see `whereabouts.pipeline.precision`.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    origin = {key: data[key] for key in ("scale", "label", "sha256")} if data else {}
    origin |= {"trained": arithmetic(precision)} if data else {}
    said = {"facts": facts, "use": use or {}, "data": origin}
    about = said | {"sha256": _digest(tensors, said)}
    files.write_bytes(path, save(tensors, metadata={"about": json.dumps(about, sort_keys=True)}))


def _digest(tensors: dict[str, Tensor], said: dict) -> str:
    """sha256 of all that a file of weights says: safetensors itself would not notice a changed byte."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode() + save(tensors)).hexdigest()


def write_curve(path: Path, curve: pd.DataFrame) -> None:
    """Write what `training.fit` returned beside the weights, as tab-separated values."""
    files.write_text(path, curve.to_csv(index=False, sep="\t", float_format="%.6g"))


def read(path: Path, network: Callable[..., nn.Module], data: dict | None = None) -> tuple[nn.Module, dict]:
    """The network in the file at `path`, built by `network(**facts)`, on the device and in evaluation mode; its facts.

    No memory is taken for tensors before their shapes are found to be those of the network.

    Args:
        data: facts of the prepared data that it must have been trained on; None: it may be others.

    Raises:
        InputError: there is no such file, it is damaged, its tensors are not those of the network, or its data others.
    """
    with _opened(path) as (file, said, digest):
        if data and said["data"].get("sha256") != data["sha256"]:
            trained, given = (f"{one.get('label')} at {one.get('scale')} scale" for one in (said["data"], data))
            raise InputError(f"{paths.shown(path)}: trained on {trained}, not on {given}; read what one run made")
        other = f"{paths.shown(path)}: weights of another network"
        try:
            if large := [name for name, value in said["facts"].items() if not _in_range(value)]:
                raise ValueError(f"{', '.join(large)} beyond {LARGEST}")
            with torch.device("meta"):  # shapes alone
                expected = network(**said["facts"]).state_dict()
        except Exception as fault:  # whatever a network says of facts that are not its own
            why = str(fault).partition("\n")[0]
            raise InputError(f"{other} ({why}); {_remedy(path)}") from None
        if _shapes(file) != {name: (list(tensor.shape), tensor.dtype) for name, tensor in expected.items()}:
            raise InputError(f"{other}; {_remedy(path)}")
        tensors = {name: file.get_tensor(name) for name in expected}
    if _digest(tensors, said) != digest:
        raise InputError(f"{paths.shown(path)}: damaged, its sha256 is another; {_remedy(path)}")
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise InputError(f"{paths.shown(path)}: has NaN or infinite weights; {_remedy(path)}")
    keep_freed_memory()
    model = network(**said["facts"])
    model.load_state_dict(tensors)
    return model.to(device()).eval(), said["facts"]


def said(path: Path) -> tuple[dict, dict]:
    """The facts and the use that `write` was given, unchecked; InputError as from `read`, but for the tensors."""
    with _opened(path) as (_, found, _):
        return found["facts"], found["use"]


def trained(path: Path) -> str:
    """In what precision, and by which instructions, the weights at `path` were trained: "bfloat16 on AMX"."""
    with _opened(path) as (_, found, _):
        return found["data"].get("trained", "float32")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[safe_open, dict, str]]:
    """The file, what it says, and the sha256 that it claims; its tensors are not read."""
    name = paths.shown(path)
    if not os.path.exists(path):
        raise InputError(f"{name}: no such file; {_remedy(path)}")
    try:
        with limits.opened(path, limits.WEIGHTS) as content:
            begins = content.read(8)  # with the length of the header
    except InputError as error:  # whoever gives a folder, say, is not to remove it
        raise InputError(f"{error.problems[0].rpartition('; ')[0]}; {_remedy(path)}") from None
    if int.from_bytes(begins, "little") > HEADER:
        kind = f"no safetensors, or one with a header of more than {HEADER:,} bytes"
        if begins.startswith(PICKLES):
            kind = "a pickle, which could run commands and is never opened"
        raise InputError(f"{name}: {kind}; {_remedy(path)}")
    try:
        with safe_open(path, framework="pt") as file:
            about = (file.metadata() or {}).get("about")
            if about is None:
                raise InputError(f"{name}: another program's weights, which do not name their network; {_remedy(path)}")
            found = json.loads(about, parse_constant=_refuse)
            digest = found.pop("sha256")
            if found.keys() != {"facts", "use", "data"} or not all(type(part) is dict for part in found.values()):
                raise InputError(f"{name}: weights of another version; {_remedy(path)}")
            yield file, found, digest
    except (SafetensorError, OSError, TypeError, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{name}: unreadable weights ({error}); {_remedy(path)}") from None


def _refuse(constant: str) -> None:
    """JSON has no NaN and no infinity."""
    raise ValueError(constant)


def _in_range(value: object) -> bool:
    """Whether a fact is no number, or one that a network can be built from."""
    return not isinstance(value, numbers.Real) or abs(value) <= LARGEST


def _shapes(file: safe_open) -> dict[str, tuple[list[int], torch.dtype]]:
    """Shape and type of each tensor, from the file's header alone."""
    parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
    return {name: (part.get_shape(), DTYPES.get(part.get_dtype())) for name, part in parts.items()}


def _remedy(path: Path) -> str:
    """What to do about a file: only what the pipeline made can be made again."""
    if path.suffix == ".safetensors" and path.is_relative_to(paths.at("build")):
        return (
            "delete it and run `dvc repro` to make it again"
            if path.exists()
            else "run `make repro` at its scale to make it"
        )
    return "give a .safetensors file as a training here wrote it"
