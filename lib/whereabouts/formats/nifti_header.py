"""What the header of a NIfTI-1 file says, cross-checked: where the voxels lie, of what type, and on which grid.

Three parts speak of the grid: pixdim, the qform (a rotation, whose lengths are pixdim's) and the sform (a matrix). They
can contradict each other. The rule here:

1. Lengths are mm; metres and micrometres, where xyzt_units names them, are converted. pixdim is positive.
2. A qform or sform that is declared and unsound (NaN, an axis without length, no rotation) is set aside; a quaternion
   too long by rounding is made shorter. A sheared sform is set aside where there is a sound qform, else refused.
3. Spacing is pixdim's, and the sform's lengths have to agree within 1 %. Where they do not, one that is 1 x 1 x 1 was
   lost, as in ACDC's sform: the other counts. Everything else is refused, and so is a pixdim of 1 x 1 x 1 for which a
   qform vouches.
4. Orientation is the sform's, as in nibabel, else the qform's; the qform's too where the sform has lost the spacing.
   That they point an axis more than 45 degrees apart is for those who need it to refuse
   (`whereabouts.formats.orientation`).
5. Voxels are between 0.01 and 100 mm.
"""

import math
from dataclasses import dataclass, field

import nibabel as nib
import numpy as np

BYTES = 348  # of a NIfTI-1 header
BEGINS = 352  # where the voxels of a single file begin at the earliest: four bytes on

_FARTHEST = 2**24  # byte at which voxels may begin, behind whatever else is stored
_UNITS = {1: 1000.0, 3: 0.001}  # xyzt_units -> mm; 2 is mm, and whoever says nothing means mm
_CODES = range(1, 6)  # of a declared qform or sform
_LIMITS = (0.01, 100.0)  # mm
_AGREE = 0.01  # relative difference of two spacings that are one
_ROUNDING = 1e-3  # by which a quaternion may be too long
_SHEAR = math.sin(math.radians(1))  # cosine between two axes that are still at right angles


@dataclass(frozen=True)
class Header:
    """What a header says.

    Args:
        raw: as nibabel has it.
        shape: of the voxels, without single trailing axes beyond the third.
        dtype: of the voxels as they are stored.
        begin: byte at which they are said to begin.
        scale: slope and intercept, 1 and 0 where values are as they are stored.
        spacing: (3,) mm, along the first three axes.
        affines: sound ones, "qform" and "sform", each (4, 4), voxel to mm.
        unsound: what is wrong with those that are declared and set aside.
    """

    raw: nib.Nifti1Header
    shape: tuple[int, ...]
    dtype: np.dtype
    begin: int
    scale: tuple[float, float]
    spacing: np.ndarray
    affines: dict[str, np.ndarray]
    unsound: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse(content: bytes, grid: bool = True) -> Header:
    """The header that a file begins with.

    Args:
        grid: whether anybody asks for it; else what is said of it is neither looked at nor told.

    Raises:
        ValueError: empty, cut off, another format, or whatever is unsound or contradicts itself; says what to do.
    """
    raw = _raw(content)
    axes = int(raw["dim"][0])
    shape = [int(length) for length in raw["dim"][1 : axes + 1]]
    if not 3 <= axes <= 7:
        raise ValueError(f"has {axes} axes where a volume has 3; give a volume")
    if min(shape) < 1:
        raise ValueError(f"has an axis without voxels, shape {shape}; copy or unpack it again")
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    code = int(raw["datatype"])
    dtype = raw.get_data_dtype() if code in nib.nifti1.data_type_codes.dtype else None
    if dtype is None or dtype.kind not in "iuf":
        kind = nib.nifti1.data_type_codes.label[code] if dtype is not None else code
        raise ValueError(f"voxels are of type {kind} where integers or floats are expected; convert it")
    begin = float(raw["vox_offset"])
    if not math.isfinite(begin) or begin != int(begin) or begin > _FARTHEST:
        raise ValueError(f"voxels are said to begin at byte {begin} (vox_offset); correct that")
    where = _grid(raw) if grid else (np.full(3, np.nan), {}, [])
    return Header(raw, tuple(shape), dtype, int(begin), _scale(raw), *where)


def _raw(content: bytes) -> nib.Nifti1Header:
    """The fields, of whichever byte order, once they are known to be those of a NIfTI-1 file."""
    if not content:
        raise ValueError("empty; copy or unpack it again")
    if content[4:8] == b"n+2\0" or content[4:8] == b"ni2\0":
        raise ValueError("a NIfTI-2 file; save it as NIfTI-1")
    if len(content) < BYTES:
        raise ValueError(f"truncated: {len(content)} bytes do not hold a NIfTI-1 header; copy or unpack it again")
    raw = nib.Nifti1Header(content[:BYTES], check=False)
    magic = raw["magic"].item()
    if raw["sizeof_hdr"] != BYTES or (magic and magic not in (b"n+1", b"ni1")):
        raise ValueError("not a NIfTI-1 file; copy or unpack it again, or convert it")
    if magic != b"n+1":
        kind = "the header of a pair of files (.hdr, .img)" if magic else "an Analyze file, which has no orientation"
        raise ValueError(f"not a NIfTI-1 file but {kind}; save it as one NIfTI-1 file")
    return raw


def _scale(raw: nib.Nifti1Header) -> tuple[float, float]:
    """A slope of 0 means that there is none, and so does the NaN that nibabel writes."""
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    if not math.isfinite(slope) or not math.isfinite(intercept):
        raise ValueError(f"its scale, {slope} times the values plus {intercept}, is not finite; correct scl_slope")
    return slope, intercept


# The grid


def _grid(raw: nib.Nifti1Header) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    """Spacing, sound affines, and what is wrong with the others, by the rule above."""
    unit = _UNITS.get(int(raw["xyzt_units"]) & 7, 1.0)
    spacing = raw["pixdim"][1:4].astype(np.float64)
    if not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ValueError(f"spacing {spacing.tolist()} mm is not positive and finite; correct pixdim")
    affines, unsound = {}, []
    for kind, find in (("qform", _qform), ("sform", _sform)):
        if int(raw[f"{kind}_code"]) in _CODES:
            try:
                affines[kind] = find(raw)
            except ValueError as fault:
                unsound.append(f"its {kind} {fault}")
    if "sform" in affines and (shear := _shear(affines["sform"])) > _SHEAR:
        fault = f"its sform is sheared, by {math.degrees(math.asin(min(shear, 1))):.1f} degrees"
        if "qform" not in affines:
            raise ValueError(f"{fault}; resample it to axes at right angles")
        unsound.append(fault)
        del affines["sform"]
    spacing = _agreed(spacing, affines)
    spacing, affines = spacing * unit, {kind: _times(affine, unit) for kind, affine in affines.items()}
    if spacing.min() < _LIMITS[0] or spacing.max() > _LIMITS[1]:
        raise ValueError(
            f"voxels of {_by(spacing)} mm, expected are {_LIMITS[0]:g} to {_LIMITS[1]:g}; correct its units"
        )
    return spacing, affines, unsound


def _agreed(spacing: np.ndarray, affines: dict[str, np.ndarray]) -> np.ndarray:
    """The spacing that counts; takes a sform that has lost it out of `affines` where a qform is left."""
    if "sform" not in affines or _same(lengths := _lengths(affines["sform"]), spacing):
        return spacing
    if _same(lengths, np.ones(3)):
        if "qform" in affines:
            del affines["sform"]
        return spacing
    if _same(spacing, np.ones(3)) and "qform" not in affines:
        return lengths
    declared = "pixdim and qform" if "qform" in affines else "pixdim"
    raise ValueError(f"{declared} say {_by(spacing)} mm, its sform {_by(lengths)}; correct what is wrong")


def _qform(raw: nib.Nifti1Header) -> np.ndarray:
    """pixdim's lengths turned by the quaternion, (4, 4); ValueError if that is none."""
    vector = np.array([raw[f"quatern_{letter}"] for letter in "bcd"], np.float64)
    affine = np.eye(4)
    affine[:3, 3] = [raw[f"qoffset_{letter}"] for letter in "xyz"]
    square = vector @ vector
    if not np.isfinite(affine).all() or not np.isfinite(square):
        raise ValueError("is not finite")
    if square > (1 + _ROUNDING) ** 2:
        raise ValueError(f"is no rotation (its quaternion is {math.sqrt(square):.3g} long)")
    if square > 1:
        vector /= math.sqrt(square)
        for letter, part in zip("bcd", vector, strict=True):
            raw[f"quatern_{letter}"] = part  # lest what is written with this header is read by nobody
    rotation = nib.quaternions.quat2mat([math.sqrt(max(0.0, 1 - vector @ vector)), *vector])
    handed = -1.0 if raw["pixdim"][0] < 0 else 1.0
    affine[:3, :3] = rotation * raw["pixdim"][1:4].astype(np.float64) * (1, 1, handed)
    return affine


def _sform(raw: nib.Nifti1Header) -> np.ndarray:
    """The matrix, (4, 4); ValueError if it is none."""
    affine = np.array([*(raw[f"srow_{letter}"] for letter in "xyz"), (0, 0, 0, 1)], np.float64)
    if not np.isfinite(affine).all():
        raise ValueError("is not finite")
    if _lengths(affine).min() == 0 or np.linalg.matrix_rank(affine[:3, :3] / _lengths(affine)) < 3:
        raise ValueError("gives an axis no direction")
    return affine


def _lengths(affine: np.ndarray) -> np.ndarray:
    return np.linalg.norm(affine[:3, :3], axis=0)


def _shear(affine: np.ndarray) -> float:
    """Largest cosine between two axes."""
    axes = affine[:3, :3] / _lengths(affine)
    return float(np.abs(np.triu(axes.T @ axes, 1)).max())


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return bool((np.abs(first - second) <= _AGREE * np.minimum(first, second)).all())


def _times(affine: np.ndarray, unit: float) -> np.ndarray:
    return np.diag([unit, unit, unit, 1.0]) @ affine


def _by(spacing: np.ndarray) -> str:
    return " x ".join(f"{length:.4g}" for length in spacing)
