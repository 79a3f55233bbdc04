"""What another scanner makes of an image, in the plane and in space, against its formula."""

import numpy as np
import pytest

from whereabouts.phantoms.scanner import tint


@pytest.mark.parametrize("seed", range(5))
def test_tint_keeps_the_order_of_intensities(seed):
    """At each pixel, whatever the slope does there; in the middle, where it does nothing, the brightest stays."""
    images = np.random.default_rng(9).uniform(0, 700, (12, 9, 4, 3)).astype(np.float32)
    images[6, 4, 0, 0], images[:, :, 1, 0] = 800, 0
    before = images.copy()
    tinted = tint(images, (1.5, 1.5), 0.8, np.random.default_rng(seed))
    assert tinted.shape == images.shape and tinted.dtype == np.float32
    np.testing.assert_array_equal(images, before)
    flat = [part.reshape(12 * 9, -1) for part in (images, tinted)]
    np.testing.assert_array_equal(*(part.argsort(1, kind="stable") for part in flat))
    assert not tinted[:, :, 1, 0].any()
    fall = tinted[6, 4, 0, 0] / 800
    assert abs(np.log(fall)) < 0.8 * 0.5 * 1.5 / 100 + 1e-6  # half a pixel from the middle of nine
    change = np.log(tinted[..., 2, 1] / tinted[6, 4, 2, 1]) - np.log(images[..., 2, 1] / images[6, 4, 2, 1])
    assert np.ptp(change) > 0.01


@pytest.mark.parametrize("zooms", [(2.0, 3.0), (2.0, 3.0, 5.0)])
def test_logarithms_of_a_tinted_image_are_a_line_in_its_own_and_a_plane_in_space(zooms):
    """Least squares find tone and slope, within their limits and of a new draw each time, and leave nothing over."""
    image = np.random.default_rng(1).uniform(1, 2, (9, 8, 7)).astype(np.float32)
    places = [axis * zoom / 100 for axis, zoom in zip(np.indices(image.shape), zooms, strict=False)]
    terms = np.stack([np.log(image), *places, np.ones_like(image)], -1).reshape(image.size, -1)
    draws, found = np.random.default_rng(2), []
    for _ in range(40):
        value = np.log(tint(image, zooms, 0.5, draws)).ravel()
        solution = np.linalg.lstsq(terms, value)[0]
        np.testing.assert_allclose(terms @ solution, value, atol=1e-5)
        found.append([np.log(solution[0]), np.linalg.norm(solution[1:-1])])
    tone, steep = np.array(found).T
    assert np.abs(tone).max() < 0.5 and tone.min() < -0.25 < 0.25 < tone.max()
    assert 0 < steep.min() < 0.15 and 0.35 < steep.max() < 0.5


def test_no_variety_changes_no_more_than_rounding():
    image = np.random.default_rng(1).uniform(0, 9, (5, 6)).astype(np.float32)
    np.testing.assert_allclose(tint(image, (1.0, 1.0), 0.0, np.random.default_rng(0)), image, rtol=1e-6)
