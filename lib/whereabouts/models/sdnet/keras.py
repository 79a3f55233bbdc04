"""What the authors' framework did where their text says nothing: Keras 2.1's defaults."""

from torch import nn

SLOPE = 0.3  # of leaky ReLU


def keras_defaults(model: nn.Module, momentum: float = 0.01) -> nn.Module:
    """`model`, every layer as Keras starts it.

    Convolutions and dense layers: Glorot uniform weights, biases 0. Batch normalisation: epsilon 1e-3, and running
    statistics that move by `momentum` an update: 1 % in Keras, where PyTorch has 10 %. With 1 % the first hundreds of
    updates are tested on statistics that have hardly left their start.
    """
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.momentum, layer.eps = momentum, 1e-3
    return model
