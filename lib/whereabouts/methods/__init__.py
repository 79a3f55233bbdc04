"""What the chapters compare: the names of the methods here, without torch, and in `networks` what each is."""

import re
from collections.abc import Callable

from whereabouts.errors import InputError


def register(name: str, layer: Callable, title: str) -> None:
    """Put a method of one's own beside the seven of INSIDE: in its networks, tables and figures, in this process.

    Afterwards `clevr_network(name, ...)` and `acdc_network(f"{name}-position", ...)` have it, the CLEVR-Seg training
    and table take it as `method`, and figures give it a colour of its own. Registering it again replaces it.

    Args:
        name: in files and parameters: lower-case letters, digits and underscores, not one of the seven.
        layer: called as layer(channels, condition, (H, W)); the module it gives is called as module(x, z), with x
            (B, channels, H, W) and z (B, condition), and returns a tensor like x.
        title: in print.

    Raises:
        InputError: the name or the title will not do.
    """
    from whereabouts.methods import inside
    from whereabouts.methods.networks.inside import METHODS

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or name in inside.PAPERS:
        raise InputError(f"{name}: no name for a method of your own; write a new one in a-z, 0-9 and _")
    if not title.strip() or title in [other for known, other in inside.METHOD_NAMES.items() if known != name]:
        raise InputError(f"{name}: titled {title!r}, which is empty or another's; write one of its own")
    METHODS[name] = lambda channels, condition, size, readings: layer(channels, condition, size)
    inside.METHOD_NAMES[name] = title
    inside.ARMS += [arm for arm in (f"{name}-position", f"{name}-phase") if arm not in inside.ARMS]
