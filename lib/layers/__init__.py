r"""Mechanisms: how a feature map $F$ of shape (B, C, H, W) is told *where*. Each file can be read beside its paper.

Conditional layers are called as `layer(x, z)` with x (B, C, H, W) and the non-imaging facts z (B, K); `Position` needs
no facts and is called as `layer(x)`.
"""

from lib.layers.film import FiLM
from lib.layers.guiding_block import GuidingBlock
from lib.layers.inside import INSIDE
from lib.layers.position import Position, WithPosition

__all__ = ["INSIDE", "FiLM", "GuidingBlock", "Position", "WithPosition"]
