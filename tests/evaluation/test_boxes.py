"""Boxes from attention maps against closed forms, SciPy's interpolation, a flood fill, and counted pixels."""

import itertools

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from whereabouts.evaluation.boxes import box, choose, combined, iou, localisation_table, median_box


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def gaussian(shape, centre, sd):
    rows, columns = np.indices(shape)
    return np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * sd**2))


# --------------------------------------------------------------------------------------------------- maps made into one


def bilinear(image, shape):
    """Pixels as squares, whose centres are what is interpolated; beyond the edge its pixels repeat."""
    grid = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(shape, image.shape, strict=True)]
    return map_coordinates(image, np.meshgrid(*grid, indexing="ij"), order=1, mode="nearest")


def test_maps_are_resized_scaled_frame_by_frame_and_averaged(rng):
    maps, shape = [rng.random((3, *size)) for size in ((5, 7), (26, 34), (13, 17))], (26, 34)
    maps[0] *= 1e-3  # a map's unit does not matter
    expected = np.zeros((3, *shape))
    for one, frame in np.ndindex(3, 3):
        resized = bilinear(maps[one][frame], shape)
        expected[frame] += resized / resized.max() / 3
    ours = combined([torch.from_numpy(one) for one in maps], shape)
    assert ours.dtype == torch.float64
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_maps_that_are_0_stay_so():
    """And halve what the other map says."""
    nothing, something = torch.zeros(2, 3, 4), torch.full((2, 6, 8), 0.2)
    assert combined([nothing, nothing], (6, 8)).eq(0).all()
    assert combined([nothing, something], (6, 8)).eq(0.5).all()


# ---------------------------------------------------------------------------------------------------------------- boxes


def flood(mask):
    """The components of a mask, connected by edges, each as a list of places."""
    left, found = set(zip(*map(np.ndarray.tolist, np.nonzero(mask)), strict=True)), []
    while left:
        component = [left.pop()]
        for row, column in component:  # which grows meanwhile
            for place in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if place in left:
                    left.remove(place)
                    component.append(place)
        found.append(component)
    return found


@pytest.mark.parametrize("shape", [(12, 17), (9, 4), (1, 20), (20, 1), (1, 1)])
@pytest.mark.parametrize("blur", [0, 0.06])
def test_box_is_that_of_a_flood_fill(shape, blur, rng):
    several = 0
    for _ in range(20):
        attention = rng.random(shape) ** 4
        threshold = rng.uniform(0, 0.9)
        blurred = gaussian_filter(attention, blur * shape[0])
        components = flood(blurred >= threshold * blurred.max())
        largest = np.array(max(components, key=lambda places: sum(blurred[place] for place in places)))
        assert box(attention, blur, threshold) == (*largest.min(0), *largest.max(0) + 1)
        several += len(components) > 1
    assert several or min(shape) == 1


@pytest.mark.parametrize("shape", [(30, 50), (1, 3), (17, 16)])
@pytest.mark.parametrize("value", [0.0, 0.3, 1e-9, 7.0])
def test_a_constant_map_gives_the_whole_frame(shape, value):
    for blur, threshold in ((0, 0), (0, 0.99), (0.1, 0.5), (0.5, 0.99)):
        assert box(np.full(shape, value), blur, threshold) == (0, 0, *shape)


def test_a_rectangle_is_its_own_box():
    attention = np.full((20, 30), 0.1)
    attention[3:8, 12:27] = 0.4
    result = box(torch.from_numpy(attention), 0, 0.5)
    assert result == (3, 12, 8, 27)
    assert all(type(edge) is float for edge in result)


def test_the_threshold_is_a_part_of_the_maximum():
    """And what is just as high as the threshold is kept."""
    attention = np.array([[0, 1, 2, 4, 3, 0, 0.0]])
    boxes = {0.2: (1, 5), 0.25: (1, 5), 0.26: (2, 5), 0.5: (2, 5), 0.51: (3, 5), 0.76: (3, 4)}
    for unit in (1, 1e-6, 1e6):
        for threshold, (left, right) in boxes.items():
            assert box(unit * attention, 0, threshold) == (0, left, 1, right)


@pytest.mark.parametrize("blur", [0.0, 0.04, 0.1])
@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_the_blur_is_a_part_of_the_height(blur, threshold):
    """Blurred, a Gaussian is one whose variance is the sum; at a part t of its height it is sd sqrt(-2 ln t) wide."""
    height, width, sd = 100, 160, 7
    top, left, bottom, right = box(gaussian((height, width), (45, 90), sd), blur, threshold)
    half = np.sqrt((sd**2 + (blur * height) ** 2) * -2 * np.log(threshold))
    assert (bottom + top - 1) / 2 == 45 and (right + left - 1) / 2 == 90
    assert (bottom - top - 1) / 2 == np.floor(half) == (right - left - 1) / 2


def test_the_blur_closes_gaps_and_drops_specks():
    attention = np.zeros((50, 50))
    attention[10:30, 5:14] = attention[10:30, 15:24] = 0.6  # 1 apart
    attention[40, 44] = 1
    assert box(attention, 0, 0.3) == (10, 5, 30, 14)
    assert box(attention, 0.02, 0.5) == (10, 5, 30, 24)


def test_the_largest_component_is_that_of_the_largest_sum():
    """Neither the one with the highest maximum nor that with the most pixels."""
    attention = np.zeros((10, 20))
    attention[1, 1] = 8  # sum 8
    attention[4:6, 3:7] = 4  # 32
    attention[8, 0:10] = 2  # 20
    assert box(attention, 0, 0.2) == (4, 3, 6, 7)


def test_of_equal_sums_the_one_with_the_maximum():
    """Wherever it lies; corners do not connect."""
    attention = np.zeros((5, 8))
    attention[1:3, 1:3] = 0.5
    attention[3, 3:5] = 1
    for flipped, expected in ((attention, (3, 3, 4, 5)), (attention[::-1, ::-1], (1, 3, 2, 5))):
        assert box(flipped, 0, 0.4) == expected


def test_maps_and_numbers_that_give_no_box():
    attention = np.ones((4, 5))
    with pytest.raises(ValueError, match=r"attention is of shape \(2, 4, 5\); give one map, \(H, W\)"):
        box(np.ones((2, 4, 5)), 0, 0.5)
    for value in (-0.1, np.nan):
        attention[2, 3] = value
        with pytest.raises(ValueError, match="attention is negative or NaN somewhere; give maps of 0 and more"):
            box(attention, 0, 0.5)
    for threshold in (1, -0.1, np.nan):
        with pytest.raises(ValueError, match=r"threshold is .*; give a part of the maximum, at least 0 and below 1"):
            box(np.ones((4, 5)), 0, threshold)
    for blur in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"blur is .*; give a part of the frame's height, at least 0"):
            box(np.ones((4, 5)), blur, 0.5)


# ------------------------------------------------------------------------------------------------- how well boxes agree


def test_iou_is_that_of_counted_pixels(rng):
    corners = np.sort(rng.integers(0, 13, (200, 2, 2, 2)), axis=2)  # pairs, boxes, (top left, bottom right)
    corners[:, :, 1] += 1
    a, b = corners.reshape(200, 2, 4).transpose(1, 0, 2)
    expected = []
    for pair in zip(a, b, strict=True):
        one, other = np.zeros((2, 15, 15), dtype=bool)
        for mask, (top, left, bottom, right) in zip((one, other), pair, strict=True):
            mask[top:bottom, left:right] = True
        expected.append((one & other).sum() / (one | other).sum())
    assert min(expected) == 0 and max(expected) > 0.5
    np.testing.assert_allclose(iou(a, b), expected, rtol=1e-12)
    np.testing.assert_allclose(iou(b, a), expected, rtol=1e-12)


def test_iou_by_hand():
    """The same; a half; shifted by half its width; an edge in common; far apart both ways; nothing and nothing."""
    a = [[1.5, 2, 4, 6], [0, 0, 2, 4], [0, 0, 1, 2], [0, 0, 2, 2], [0, 0, 1, 1], [3, 3, 3, 3]]
    b = [[1.5, 2, 4, 6], [0, 0, 1, 4], [0, 1, 1, 3], [0, 2, 2, 4], [5, 5, 9, 9], [3, 3, 3, 3]]
    assert iou(a, b).tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0, 0, 0])


@pytest.mark.parametrize("shapes", [((3, 4), (2, 4)), ((4,), (4,)), ((2, 3), (2, 3))])
def test_iou_of_what_are_no_boxes(shapes):
    with pytest.raises(ValueError, match=r"boxes are of shapes \(.*\) and \(.*\); give two of \(N, 4\)"):
        iou(*map(np.ones, shapes))


def test_choose_finds_the_numbers_that_drew_the_boxes():
    attention = [gaussian((60, 80), centre, 6) for centre in ((25, 30), (30, 50), (33, 41))]
    blurs, thresholds = (0.0, 0.08, 0.2), (0.2, 0.5, 0.8)
    for blur, threshold in itertools.product(blurs, thresholds):
        drawn = [box(one, blur, threshold) for one in attention]
        assert choose(np.array(attention), drawn, blurs, thresholds) == (blur, threshold)


def test_choose_is_the_best_of_all_by_mean_iou(rng):
    blurs, thresholds, easiest = (0, 0.02, 0.05, 0.1), (0.6, 0.7, 0.8, 0.9), 0
    drawn = np.array([[2, 3, 15, 20], [8, 8, 20, 28], [0, 0, 12, 12], [5, 10, 20, 20]])
    for _ in range(5):
        attention = gaussian_filter(rng.random((4, 24, 30)), (0, 1, 1))
        scores = {
            (blur, threshold): iou([box(one, blur, threshold) for one in attention], drawn)
            for blur, threshold in itertools.product(blurs, thresholds)
        }
        chosen = scores[choose(torch.from_numpy(attention), drawn, blurs, thresholds)]
        assert chosen.mean() == max(score.mean() for score in scores.values())
        easiest += chosen.max() == max(score.max() for score in scores.values())
    assert easiest < 5  # the best of single frames is another thing


def test_choose_takes_the_first_of_equals():
    attention, drawn = np.ones((2, 4, 5)), [[0, 0, 4, 5]] * 2
    assert choose(attention, drawn, (0.3, 0.1), (0.7, 0.2)) == (0.3, 0.7)


# -------------------------------------------------------------------------------------------------------------- Table 7


def test_one_box_for_all_is_the_median_of_each_side_and_nothing_of_none():
    assert median_box([(0, 0, 4, 4), (1, 5, 6, 9), (2, 1, 9, 5)]).tolist() == [1, 1, 6, 5]
    assert median_box(np.zeros((0, 4))).tolist() == [0, 0, 0, 0]


def test_localisation_table():
    """The paper's "> 0.5" leaves 0.5 out; half of a class's maximum is not correct either."""
    scores = [0.2, 0.9, 0.5, 0.1, 0.7, 0.4, 0.3, 0.0]
    planes = [2, 0, 0, 2, 0, 2, 3, 5]
    names = ["brain", "profile", "lips", "femur", "3VV", "RVOT"]
    table = localisation_table(scores, planes, names)
    assert table.columns.tolist() == ["plane", "n", "mean", "sd", "correct", "relative"]
    assert table.plane.tolist() == ["brain", "lips", "femur", "RVOT"]
    assert table.n.tolist() == [3, 3, 1, 1]
    assert table["mean"].tolist() == pytest.approx([0.7, 0.7 / 3, 0.3, 0])
    lips = np.sqrt(np.var([0.2, 0.1, 0.4]) * 3 / 2)
    assert table.sd.tolist() == pytest.approx([0.2, lips, np.nan, np.nan], nan_ok=True)
    assert table.correct.tolist() == pytest.approx([2 / 3, 0, 0, 0])
    assert table.relative.tolist() == pytest.approx([1, 1 / 3, 1, 0])


def test_of_no_frames_there_is_nothing_to_find_and_nothing_to_choose_by():
    nothing = combined([torch.zeros(0, 3, 4), torch.zeros(0, 6, 8)], (12, 16))
    assert nothing.shape == (0, 12, 16)
    assert choose(nothing.numpy(), np.zeros((0, 4)), [0.1, 0.2], [0.5, 0.6]) == (0.1, 0.5)
    table = localisation_table(np.zeros(0), np.zeros(0, int), ["4CH", "Background"])
    assert len(table) == 0 and list(table.columns) == ["plane", "n", "mean", "sd", "correct", "relative"]
