"""A synthetic stand-in for JSRT with SCR's masks, in exactly their layouts, so that the real loader reads it unchanged.

Layouts (Shiraishi et al., AJR 2000; van Ginneken et al., Medical Image Analysis 2006), one image a patient:

    All247images/JPCLN001.IMG .., JPCNN001.IMG ..       with and without a nodule: 2048 x 2048 pixels of 12 bits,
                                                        big-endian uint16, no header, inverted
    SCR/fold1|fold2/masks/<structure>/JPCLN001.gif      1024 x 1024, 0 outside and 255 inside; odd numbers in fold 1

Structures are heart, left and right lung, left and right clavicle. Left and right are the patient's: the right lung is
on the left side of the image.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from whereabouts.errors import InputError
from whereabouts.phantoms import thorax
from whereabouts.phantoms.thorax import Thorax
from whereabouts.pipeline import progress

SIDE = 2048  # pixels
WHITE = 4095  # the largest value of 12 bits, which is displayed black
IMAGES, NODULES = 247, 154  # JSRT's, of which with a nodule
WATER, BONE = 0.0193, 0.031  # linear attenuation of water, and what cortical bone adds, 1/mm at 70 keV (NIST tables)


def write(root: Path, images: int, rng: np.random.Generator) -> None:
    """Write `images` radiographs below `root`/All247images and their masks below `root`/SCR.

    JSRT's share of them shows a nodule, and comes first. Image k is drawn by the k-th generator spawned from `rng`, so
    it does not depend on how many follow, but for its nodule where that share ends.

    Args:
        root: folder that takes the place of the unpacked data sets.
        images: number of images, 1 to 247.
        rng: the only source of randomness.

    Raises:
        InputError: `images` is out of range.
    """
    if not 1 <= images <= IMAGES:
        raise InputError(f"images: {images} is out of range; give 1 to {IMAGES}, as many as JSRT has")
    nodules = round(images * NODULES / IMAGES)
    for index, child in enumerate(progress.bar(rng.spawn(images), desc="JSRT phantom", unit="image")):
        kind, number = ("LN", index + 1) if index < nodules else ("NN", index - nodules + 1)
        _write_image(Path(root), f"JPC{kind}{number:03d}", 2 - number % 2, kind == "LN", child)


def film(attenuation: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Expose and develop a film: scatter, phototimer, quantum noise, characteristic curve.

    Args:
        attenuation: natural logarithm of incident over transmitted intensity, (n, n) float32, on the whole film.
        rng: for the noise, and for how each of the others differs from film to film.

    Returns:
        Density of the film from 0 (clear, displayed white) to 1, (SIDE, SIDE) float32.
    """
    primary = np.exp(-attenuation)
    size = len(primary)
    small = np.asarray(Image.fromarray(primary).reduce(8))
    scatter = gaussian_filter(small, 55 * len(small) / thorax.FILM, mode="nearest")  # mm to pixels
    light = primary + rng.uniform(0.5, 0.85) * _resize(scatter, size)
    middle = slice(size // 5, -size // 5)
    light /= np.median(light[middle, middle])  # the timer ends where the middle of the film is well exposed
    top, bottom, left, right = np.maximum(0, rng.integers(-40, 10, 4))  # pixels behind the shutters, mostly none
    framed = np.zeros_like(light)
    framed[top : size - bottom, left : size - right] = light[top : size - bottom, left : size - right]
    light = np.maximum(_resize(framed, SIDE), np.float32(0.01))
    quanta = rng.uniform(1200, 4000)  # a pixel; so many that the normal distribution takes Poisson's place
    light += np.sqrt(light / np.float32(quanta)) * rng.standard_normal(light.shape, np.float32)
    # Hurter and Driffield: density against the logarithm of exposure is sigmoid
    gamma, speed = np.float32(rng.normal(1.2, 0.12)), np.float32(rng.normal(-0.1, 0.12))
    density = np.tanh(gamma * (np.log(np.maximum(light, np.float32(0.01))) / 2 + speed))
    return np.float32(0.5) + np.float32(0.46) * density


def _write_image(root: Path, name: str, fold: int, nodule: bool, rng: np.random.Generator) -> None:
    """Draw a patient, expose the film, and write it with its masks."""
    water, bone, masks = thorax.draw(Thorax.sample(rng), nodule, rng)
    density = film(WATER * water + BONE * bone, rng)
    path = root / "All247images" / f"{name}.IMG"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.round(WHITE * density).astype(">u2").tofile(path)
    for structure, mask in masks.items():
        path = root / "SCR" / f"fold{fold}" / "masks" / structure / f"{name}.gif"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 * mask.astype(np.uint8)).save(path)


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    """`image` on `size` x `size` pixels, by cubic interpolation."""
    return np.array(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
