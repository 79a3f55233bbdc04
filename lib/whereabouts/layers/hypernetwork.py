r"""The auxiliary network that turns non-imaging facts into the parameters of a layer (INSIDE, section 3.2).

$\tilde z \mapsto \text{Dense}_{h} \to \tanh \to \text{Dense}_{h} \to \tanh \to \text{Dense}_{n}$, with $h = c/2$.

The paper contradicts itself: the text says (c/2 - c/2 - n), the caption of Figure 6 says (64 - 64 - n) for c = 64. The
text and the released code agree, so c/2 is the default and `hidden` is the option.

Weights start by Keras' rule, which the authors used: Glorot uniform, biases zero. Not within their limits: the released
code has two heads, of 4c and 2c outputs, in place of one of 6c, and Glorot's limit falls with the number of outputs.
Its weights start 1.20 times as wide for gamma, beta and mu, and 1.61 times for sigma.
"""

from torch import nn


def hypernetwork(condition: int, hidden: int, outputs: int) -> nn.Sequential:
    """Three dense layers (B, condition) -> (B, outputs), tanh between them and none after the last."""
    layers = nn.Sequential(
        nn.Linear(condition, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
    )
    for dense in layers[::2]:
        nn.init.xavier_uniform_(dense.weight)
        nn.init.zeros_(dense.bias)
    return layers
