"""JSRT (Shiraishi et al., AJR 2000) with SCR's masks (van Ginneken et al., Medical Image Analysis 2006).

Official layouts, below any prefix; one image a patient:

    JPCLN001.IMG .. JPCLN154.IMG, JPCNN001.IMG .. JPCNN093.IMG     with and without a nodule: 2048 x 2048 pixels of
                                                                   12 bits, big-endian uint16, no header, inverted
    fold1|fold2/masks/{heart,left lung,right lung}/JPCLN001.gif    1024 x 1024, 0 outside and 255 inside

SCR's folds are its own split, not Murase's, and its clavicles are not needed.
"""

import re
from pathlib import Path

import numpy as np

from whereabouts import paths
from whereabouts.data import chest
from whereabouts.data.chest import STRUCTURES, Radiograph
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.formats import limits
from whereabouts.formats.pictures import AGAIN

SIDE = 2048  # pixels
BYTES = 2 * SIDE * SIDE
LARGEST = 4095  # of 12 bits; displayed black

_NAMES = {f"JPC{kind}{number:03d}" for kind, last in (("LN", 154), ("NN", 93)) for number in range(1, last + 1)}
_IMAGE = re.compile(r"(?:.*/)?([^/]+)\.(?i:img)")
_MASKS = "fold1|fold2/masks/<structure>/JPCLN001.gif"
_MASK = re.compile(rf"(?:.*/)?fold[12]/masks/({'|'.join(STRUCTURES)})/([^/]+)\.(?i:gif)")


def read(manifest: Manifest) -> list[Radiograph]:
    """All radiographs, sorted by name, after reading and checking every file that they consist of once.

    Raises:
        InputError: one line for each problem of any image or mask.
    """
    problems = []
    images, masks = (chest.collect(manifest, layout, problems) for layout in (_IMAGE, _MASK))
    if not images:
        others = sorted(file for file in manifest.files.keys() - set(masks.values()) if Path(file).stem in _NAMES)
        seen = f"no images but {others[0]}" if others else "no images"
        raise InputError(f"{seen} below {manifest.root}; expected JPCLN001.IMG and others, see data/README.md")
    for name in sorted(images.keys() - _NAMES):
        path = manifest.path(images.pop(name))
        problems.append(f"{paths.shown(path)}: JSRT has JPCLN001 to 154 and JPCNN001 to 093; rename or remove it")
    return chest.check(manifest, images, masks, image, _MASKS, problems)


def image(path: Path) -> np.ndarray:
    """The radiograph as displayed, bone bright: 1 - v / 4095 of the stored values v, (2048, 2048) float32 in [0, 1].

    Raises:
        InputError: not of the right size, which is checked before reading, or values of more than 12 bits.
    """
    shown = paths.shown(path)
    size = limits.check(path, limits.PICTURE)
    if size != BYTES:
        raise InputError(f"{shown}: {size} bytes, not {BYTES} (2048 x 2048 of 2 bytes); {AGAIN}")
    stored = np.frombuffer(limits.read(path, limits.PICTURE), ">u2").reshape(SIDE, SIDE)
    if stored.max() > LARGEST:
        raise InputError(f"{shown}: values above {LARGEST}, probably little-endian; restore the big-endian original")
    return 1 - stored.astype(np.float32) / np.float32(LARGEST)
