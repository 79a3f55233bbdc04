"""The networks of the four papers. `python -m whereabouts.methods` prints each with its number of parameters."""

from torch import nn


def parameters(model: nn.Module) -> int:
    """How many numbers training may change."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
