"""A network as a table, printed from the network itself (the papers' architecture diagrams and tables)."""

import pandas as pd
import torch
from torch import Tensor, nn

from whereabouts.models import parameters


@torch.no_grad()
def summary(model: nn.Module, *inputs: Tensor) -> pd.DataFrame:
    """One row for each layer that has parameters of its own, in the order in which the image passes them.

    Args:
        model: any network; a hypernetwork is shown as one row with the layer that it serves.
        inputs: what the model is called with, one example of each.

    Returns:
        Columns Layer (name in the module), Kind, Output (channels x height x width), Parameters; text cells.
    """
    rows = []

    def record(name: str, layer: nn.Module):
        def hook(_, __, output: Tensor) -> None:
            shape = " x ".join(str(n) for n in output.shape[1:])
            rows.append((name, describe(layer), shape, f"{parameters(layer):,}"))

        return hook

    handles, inside = [], []
    for name, layer in model.named_modules():
        whole = hasattr(layer, "hypernetwork")
        if any(name.startswith(f"{other}.") for other in inside) or (not whole and not own_parameters(layer)):
            continue
        inside += [name] if whole else []
        handles.append(layer.register_forward_hook(record(name, layer)))
    try:
        model.eval()(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    rows.append(("total", "", "", f"{parameters(model):,}"))
    return pd.DataFrame(rows, columns=["Layer", "Kind", "Output", "Parameters"])


def own_parameters(layer: nn.Module) -> bool:
    """Whether a layer has parameters of its own, and not only its parts."""
    return any(True for _ in layer.parameters(recurse=False))


def describe(layer: nn.Module) -> str:
    """ "Conv2d 3x3", "BatchNorm2d", or "INSIDE, hypernetwork 1-32-32-384"."""
    if isinstance(layer, nn.Conv2d):
        return f"Conv2d {layer.kernel_size[0]}x{layer.kernel_size[1]}"
    if hasattr(layer, "hypernetwork"):
        dense = layer.hypernetwork[::2]
        widths = [dense[0].in_features] + [d.out_features for d in dense]
        return f"{type(layer).__name__}, hypernetwork {'-'.join(map(str, widths))}"
    return type(layer).__name__
