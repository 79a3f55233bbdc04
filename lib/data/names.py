"""Names of files as data: compared in one Unicode form, and looked for where they lie under another ending.

macOS stores an umlaut as a letter and its dots (NFD), editors write one character (NFC): the same name in other bytes.
"""

import re
import unicodedata
from collections.abc import Iterable

_ENDING = re.compile(r"(_0000)?(\.nii(\.gz)?|\.[a-z0-9]{1,5})?$")


def composed(name: str) -> str:
    """The name in the one form in which names are compared, NFC."""
    return unicodedata.normalize("NFC", name)


def by_composed(names: Iterable[str]) -> dict[str, str]:
    """Names as they are compared -> as they are written; of those that are one name, the first."""
    found = {}
    for name in names:
        found.setdefault(composed(name), name)
    return found


def others(name: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that are `name` in another Unicode form or case, with another ending or nnU-Net's `_0000`.

    That is how a file lies there that is missed: unpacked (`.nii`), on a disk that ignores case, renamed for a tool.
    """
    wanted = _core(name)
    return [other for other in names if other != name and _core(other) == wanted]


def _core(name: str) -> str:
    return _ENDING.sub("", composed(name).casefold())
