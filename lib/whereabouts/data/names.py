"""Names of files as data: compared in one Unicode form, and looked for where they lie under another ending.

macOS stores an umlaut as a letter and its dots (NFD), editors write one character (NFC): the same name in other bytes.
"""

import re
import unicodedata
from collections.abc import Iterable

from whereabouts.data.manifest import Manifest
from whereabouts.paths import shown

_NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_ENDING = re.compile(r"(_0000)?(\.nii(\.gz)?|\.[a-z0-9]{1,5})?$")


def composed(name: str) -> str:
    """The name in the one form in which names are compared, NFC."""
    return unicodedata.normalize("NFC", name)


def is_text(name: str) -> bool:
    """Whether a name can be written into a table: a file may be called by bytes that are not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def by_composed(names: Iterable[str]) -> dict[str, str]:
    """Names as they are compared -> as they are written; of those that are one name, the first."""
    found = {}
    for name in names:
        found.setdefault(composed(name), name)
    return found


def elsewhere(missing: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Of names that are missing, those that are there in another Unicode form or case, or with another ending: as what.

    That is how a file lies there that is missed: unpacked (`.nii`), on a disk that ignores case, renamed for a tool
    (nnU-Net's `_0000`).
    """
    there = {}
    for name in names:
        there.setdefault(_core(name), name)
    return {name: there[_core(name)] for name in missing if _core(name) in there}


def advice(name: str, names: Iterable[str], otherwise: str) -> str:
    """What to do about a file that is missed: rename the one that lies there instead, or `otherwise`."""
    found = elsewhere([name], names).get(name)
    return f"it lies there as {shown(found)}, pack or rename it" if found else otherwise


def unpacked(manifest: Manifest, layout: re.Pattern) -> list[str]:
    """A line for each file that `layout` would know if it ended in .nii.gz, and that is not there under that name."""
    problems = []
    for name in sorted(manifest.files):
        packed = _NIFTI.sub(".nii.gz", name)
        if packed not in manifest.files and layout.fullmatch(packed):
            problems.append(f"{shown(manifest.path(name))}: does not end in .nii.gz; pack or rename it")
    return problems


def _core(name: str) -> str:
    return _ENDING.sub("", composed(name).casefold())
