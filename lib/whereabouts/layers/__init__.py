r"""Mechanisms: how a feature map $F$ of shape (B, C, H, W) is told *where*. Each file can be read beside its paper.

Conditional layers are called as `layer(x, z)` with x (B, C, H, W) and the non-imaging facts z (B, K), gates as
`gate(x, g)` with the gating signal g (B, G, H', W') of a coarser scale; `Position` needs neither and is called as
`layer(x)`. INSIDE, FiLM, gates and `Position` take volumes (B, C, H, W, D) as well.
"""

from whereabouts.layers.attention_gate import AttentionGate, MultiAttentionGate
from whereabouts.layers.film import FiLM
from whereabouts.layers.guiding_block import GuidingBlock
from whereabouts.layers.inside import INSIDE
from whereabouts.layers.position import Position, WithPosition

__all__ = [
    "INSIDE",
    "AttentionGate",
    "FiLM",
    "GuidingBlock",
    "MultiAttentionGate",
    "Position",
    "WithPosition",
]
