"""The synthetic fetal ultrasound: layout, geometry, anatomy, image formation and randomness."""

import itertools
import re

import h5py
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from whereabouts.data import ultrasound
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.phantoms import fetal, sonography
from whereabouts.phantoms.fetal import NAMES, Probe
from whereabouts.phantoms.fetal_planes import PLANES
from whereabouts.phantoms.sonography import BLOOD, DENSE, FLUID, TISSUE, Pen
from whereabouts.phantoms.whole_heart import Space

TABLE_6 = (
    *("Brain (Cb.)", "Brain (Tv.)", "Profile", "Lips", "Abdominal", "Kidneys", "Femur", "Spine (Cor.)"),
    *("Spine (Sag.)", "4CH", "3VV", "RVOT", "LVOT", "Background"),
)
HEARTS = ("4CH", "3VV", "RVOT", "LVOT")
FRAMES, SHAPE = {"train": 60, "val": 5, "test": 54}, (58, 75)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fetal")
    fetal.write(folder, FRAMES, SHAPE, np.random.default_rng(0))
    return folder


@pytest.fixture(scope="module")
def file(root):
    with h5py.File(root / "ultrasound.hdf5") as opened:
        yield opened


def clean_pen(half=34.0, step=0.25):
    """A pen on square samples without warp; x to the right, y along the beams, mm from the middle."""
    axis = np.arange(-half, half, step, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    layers = np.float32(TISSUE)[:, None, None] * np.ones((2, *x.shape), np.float32)
    return Pen(Space(x, y, np.float32(0)), layers, np.zeros_like(x), np.zeros_like(x), step, step)


def drawn(name, standard=True, seed=0):
    """A plane on a clean pen."""
    pen = clean_pen(40.0) if name.startswith("Spine") else clean_pen()
    PLANES[name][0](pen, standard, np.random.default_rng(seed))
    return pen


def at(pen, x, y, layer=0):
    """The value painted nearest to a place, mm."""
    row, column = (round((place - float(pen.space.x[0, 0])) / pen.step) for place in (y, x))
    return pen.layers[layer, row, column]


# Layout


def test_names_and_their_order(file):
    assert NAMES == TABLE_6
    assert file["label_names"].dtype.kind == "S"
    assert [name.decode() for name in file["label_names"][:]] == list(TABLE_6)


def test_layout(file):
    keys = {f"{kind}_{split}" for kind in "xp" for split in FRAMES}
    assert set(file) == {"label_names", "box_test", *keys}
    for split, count in FRAMES.items():
        assert file[f"x_{split}"].shape == (count, 1, *SHAPE)
        assert file[f"x_{split}"].dtype == np.uint8
        assert file[f"p_{split}"].shape == (count,)
        assert file[f"p_{split}"].dtype.kind == "i"
    assert file["box_test"].shape == (FRAMES["test"], 4)
    assert file["box_test"].dtype == np.int32


def test_the_loader_takes_it(root):
    frames = ultrasound.read(Manifest.of("Fetal ultrasound", "synthetic", root))
    assert (frames.names, frames.counts, frames.shape, frames.boxes) == (TABLE_6, FRAMES, SHAPE, True)


def test_half_is_background_and_the_planes_share_the_rest(file):
    assert fetal.BACKGROUND_SHARE == 0.5
    for split, count in FRAMES.items():
        numbers = np.bincount(file[f"p_{split}"][:], minlength=14)
        assert abs(numbers[13] - count / 2) <= 0.5
        assert np.ptp(numbers[:13]) <= 1
    labels = file["p_train"][:]
    assert 0 < np.flatnonzero(labels == 13)[0] < np.flatnonzero(labels != 13)[-1] < 60  # not one after the other
    assert (np.diff(labels) < 0).sum() > 10


def test_every_plane_has_a_box_and_no_background(file):
    boxes, background = file["box_test"][:], file["p_test"][:] == 13
    assert (boxes[background] == -1).all()
    top, left, bottom, right = boxes[~background].T
    assert ((top >= 0) & (left >= 0) & (bottom <= SHAPE[0]) & (right <= SHAPE[1])).all()
    assert ((top < bottom) & (left < right)).all()


def test_problems_are_all_said_at_once(tmp_path):
    frames = {"train": 3, "val": 0, "test": -1}
    expected = (
        "frames: 0 in val; give 1 or more\nframes: -1 in test; give 1 or more\n"
        "shape: 55 x 72; give 56 to 1024 rows and columns, no fewer columns than rows"
    )
    with pytest.raises(InputError, match=f"^{re.escape(expected)}$"):
        fetal.write(tmp_path, frames, (55, 72), np.random.default_rng(0))
    for shape in ((224, 1025), (100, 99)):
        with pytest.raises(InputError, match=rf"^shape: {shape[0]} x {shape[1]}; give "):
            fetal.write(tmp_path, FRAMES, shape, np.random.default_rng(0))
    assert not list(tmp_path.iterdir())


# Randomness


def test_same_seed_same_bytes(tmp_path):
    counts, contents = {"train": 4, "val": 2, "test": 3}, []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        fetal.write(tmp_path / name, counts, (56, 72), np.random.default_rng(seed))
        contents.append((tmp_path / name / "ultrasound.hdf5").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_splits_are_drawn_on_their_own(tmp_path, file):
    fetal.write(tmp_path, {"train": 1, "val": 3, "test": FRAMES["test"]}, SHAPE, np.random.default_rng(0))
    with h5py.File(tmp_path / "ultrasound.hdf5") as other:
        for key in ("x_test", "p_test", "box_test"):
            np.testing.assert_array_equal(other[key], file[key])


def test_no_two_frames_are_alike(file):
    frames = np.concatenate([file[f"x_{split}"][:].reshape(count, -1) for split, count in FRAMES.items()])
    assert len(np.unique(frames, axis=0)) == len(frames)


@pytest.mark.parametrize("name", TABLE_6)
def test_anatomy_scales_with_the_frame(name):
    """The same seed at twice the size: the same picture but for speckle, and twice the box."""
    (small, box), (large, twice) = (
        fetal.draw(name, shape, np.random.default_rng(3)) for shape in ((80, 100), (160, 200))
    )
    assert np.abs(2 * box - twice).max() <= 4 if name != "Background" else (twice == -1).all()
    halves = large.reshape(80, 2, 100, 2).mean((1, 3))
    first, second = (ndimage.gaussian_filter(image.astype(float), 2) for image in (small, halves))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9


# The probe


def test_pixels_and_beams_are_the_same_places():
    probe = Probe(radius=47.0, half=0.6, depth=83.0, scale=1.9, top=5.0)
    samples, beams, shape = 90, 70, (170, 221)
    x, y, along = probe.beams(samples, beams)
    angle = np.linspace(-0.6, 0.6, beams)
    np.testing.assert_allclose(along[:, 0], np.linspace(0, 83, samples), rtol=1e-6)
    np.testing.assert_allclose(x, np.outer(np.linspace(47, 130, samples), np.sin(angle)), atol=1e-4)
    np.testing.assert_allclose(y, np.outer(np.linspace(47, 130, samples), np.cos(angle)) - 47, atol=1e-4)
    places = probe.places(shape, samples, beams)
    rows, columns = 5 + 1.9 * y, 110 + 1.9 * x  # where samples appear in the frame
    seen = (rows > 0) & (rows < shape[0] - 1) & (columns > 0) & (columns < shape[1] - 1)
    expected = np.indices(x.shape)
    for found, index in zip(places, expected, strict=True):
        back = ndimage.map_coordinates(found, [rows[seen], columns[seen]], order=1)
        np.testing.assert_allclose(back, index[seen], atol=0.02)


def test_what_no_beam_reaches_is_black(monkeypatch):
    probe, shape = Probe(radius=40.0, half=0.62, depth=75.0, scale=1.4, top=3.0), (112, 144)
    monkeypatch.setattr(fetal, "_sample_probe", lambda *_: probe)
    monkeypatch.setattr(fetal, "_echoes", lambda level, *_: np.full(level.shape, 200.0))
    monkeypatch.setattr(fetal, "_ruler", lambda *_: None)
    frame, _ = fetal.draw("4CH", shape, np.random.default_rng(0))
    down, across = np.mgrid[:112, :144]
    beam = (down - 3 + 40 * 1.4) + 1j * (across - 71.5)  # from the centre of the probe's curvature, pixels
    reached = (np.abs(np.angle(beam)) <= 0.62) & (np.abs(beam) >= 56) & (np.abs(beam) <= 161)
    np.testing.assert_array_equal(frame, np.where(reached, 200, 0))
    assert 0.4 < reached.mean() < 0.9


def test_marks_of_depth_lie_beyond_the_papers_crop():
    for shape, crop in (((224, 288), (208, 272)), ((112, 144), (104, 136)), ((56, 72), (52, 68))):
        frame, probe = np.zeros(shape), Probe(50.0, 0.6, 80.0, shape[0] / 80, 0.04 * shape[0])
        fetal._ruler(frame, probe)
        top, left = ((whole - kept) // 2 for whole, kept in zip(shape, crop, strict=True))
        assert not frame[top : top + crop[0], left : left + crop[1]].any()
        marks = np.flatnonzero(frame.any(1))
        assert len(marks) == 8
        assert np.abs(np.diff(marks) - shape[0] / 8).max() <= 1


# Shapes


def test_placed_turns_moves_and_scales():
    rng = np.random.default_rng(0)
    pen, centre, turn, size = clean_pen(), rng.uniform(-9, 9, 2), 0.7, 1.3
    moved = pen.placed(tuple(centre), turn, size)
    rotation = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    places = np.stack([pen.space.x, pen.space.y], -1)
    expected = (places - centre) @ rotation / size
    np.testing.assert_allclose(np.stack([moved.space.x, moved.space.y], -1), expected, atol=1e-4)
    assert (moved.edge, moved.step) == (pen.edge / size, pen.step / size)


def test_reach_bounds_the_work_and_not_the_picture():
    whole, part = clean_pen(), clean_pen()
    for pen, reach in ((whole, np.inf), (part, 9)):
        own = pen.placed((6, -11), 0.9, size=1.2, reach=reach)
        own.cavity(own.ellipse((1, 0), (7, 4)), FLUID)
        own.mark(own.ellipse((1, 0), (7, 4)))
    assert own.layers.size < 0.2 * part.layers.size
    np.testing.assert_array_equal(part.landmark, whole.landmark)
    np.testing.assert_allclose(part.layers, whole.layers, atol=2)  # of the slope at the window's border
    assert (np.abs(part.layers - whole.layers) > 0.01).mean() < 1e-3


def test_nothing_within_reach_paints_nothing():
    pen = clean_pen()
    before = pen.layers.copy()
    far = pen.placed((200, 0), 0.3, reach=5)
    far.cavity(far.ellipse((0, 0), (3, 2)), FLUID)
    far.mark(far.tube([(0, 0), (1, 1)], 2))
    np.testing.assert_array_equal(pen.layers, before)
    assert not pen.landmark.any()


def test_ellipse_tube_and_dots_are_distances():
    pen = clean_pen(20, 0.5)
    places = np.stack([pen.space.x, pen.space.y], -1)
    turn = np.linspace(0, 2 * np.pi, 4000)
    ring = np.c_[9 * np.cos(turn), 5 * np.sin(turn)]
    cos, sin = np.cos(0.4), np.sin(0.4)
    ring = np.array([3, -2]) + ring @ np.array([(cos, sin), (-sin, cos)])
    found = pen.ellipse((3, -2), (9, 5), 0.4)
    away = cKDTree(ring).query(places)[0]
    near = away < 1
    np.testing.assert_allclose(np.abs(found[near]), away[near], atol=0.2)
    assert found[(places == (3, -2)).all(-1)] < 0 < found[0, 0]
    line = np.array([(-8, -3), (0, 4), (9, 2)])
    dense = np.concatenate([a + np.linspace(0, 1, 2000)[:, None] * (b - a) for a, b in itertools.pairwise(line)])
    np.testing.assert_allclose(pen.tube(line.tolist(), 1.5), cKDTree(dense).query(places)[0] - 1.5, atol=0.02)
    row = sonography.dots(pen.space.x, pen.space.y, 4, 1)
    centres = np.c_[np.arange(-42, 43, 4), np.zeros(22)]
    np.testing.assert_allclose(row, cKDTree(centres).query(places)[0] - 1, atol=1e-4)


def test_walls_are_bright_where_they_face_the_beams():
    pen = clean_pen(20)
    pen.wall(pen.ellipse((0, 0), (12, 12)), 1, (-5, 2), fall=20)
    assert at(pen, 0, -12) == pytest.approx(-5, abs=0.5)
    assert at(pen, 12, 0) == pytest.approx(-25, abs=1)
    assert at(pen, 12 * 0.5**0.5, -12 * 0.5**0.5) == pytest.approx(-15, abs=1.5)
    assert at(pen, 0, -12, layer=1) == at(pen, 12, 0, layer=1) == 2
    assert at(pen, 3, 0) == at(pen, 0, 15) == TISSUE[0]


def test_box_is_the_smallest():
    shown = np.zeros((9, 12), bool)
    assert fetal._box(shown).tolist() == [-1] * 4
    shown[2, 5] = shown[6, 3] = True
    assert fetal._box(shown).tolist() == [2, 3, 7, 6]
    shown[8, 11] = shown[0, 0] = True
    assert fetal._box(shown).tolist() == [0, 0, 9, 12]


# Anatomy


@pytest.mark.parametrize("name", PLANES)
def test_what_defines_the_plane_is_marked_only_in_the_plane(name):
    limits = {  # mm: width and height of what is marked
        **{brain: ((58, 62), (45, 50)) for brain in ("Brain (Cb.)", "Brain (Tv.)")},
        "Profile": ((38, 41), (15, 17)),
        "Lips": ((16, 20), (19, 23)),
        "Abdominal": ((47, 49), (44, 46)),
        "Kidneys": ((30, 35), (9, 15)),
        "Femur": ((34, 37), (3, 5)),
        "Spine (Cor.)": ((69, 71), (9, 12)),
        "Spine (Sag.)": ((71, 73), (9, 30)),
        "3VV": ((8, 18), (8, 18)),
        **{heart: ((20, 30), (20, 30)) for heart in ("4CH", "RVOT", "LVOT")},
    }
    for seed in range(4):
        pen = drawn(name, seed=seed)
        rows, columns = (np.flatnonzero(pen.landmark.any(axis)) for axis in (1, 0))
        for found, (low, high) in zip((np.ptp(columns), np.ptp(rows)), limits[name], strict=True):
            assert low <= (found + 1) * pen.step <= high
        assert not drawn(name, standard=False, seed=seed).landmark.any()


@pytest.mark.parametrize("name", PLANES)
def test_a_near_miss_differs_from_the_plane_where_it_counts(name):
    """Most of what is drawn stays; what defines the plane changes."""
    for seed in range(4):
        first, second = (drawn(name, standard, seed) for standard in (True, False))
        changed = np.abs(first.layers[0] - second.layers[0]) > 5
        assert changed[first.landmark > 0].mean() > 0.03
        assert changed.mean() < 0.3


def test_brains():
    cerebellum, ventricles = drawn("Brain (Cb.)"), drawn("Brain (Tv.)")
    for side in (-1, 1):
        assert at(cerebellum, -17.5, 5.4 * side) == pytest.approx(-40, abs=1)
        assert at(ventricles, -10, 8.5 * side) == pytest.approx(-15, abs=1)  # choroid plexus
        assert at(ventricles, -22.5, 9.5 * side) < -65  # fluid behind it
    assert at(cerebellum, -17, 0) > -18  # vermis
    assert at(cerebellum, -27, 0) < -75  # cisterna magna
    for pen in (cerebellum, ventricles):
        assert at(pen, 13, 0) < -75  # cavum septi pellucidi
        assert at(pen, 22, 0) > -15  # falx
        assert at(pen, 0, -23.5) > -5  # skull
    for seed in range(12):
        missed = drawn("Brain (Cb.)", False, seed), drawn("Brain (Tv.)", False, seed)
        assert at(missed[0], -17, 0) < -30
        assert max(at(missed[1], -10, 8.5 * side) for side in (-1, 1)) < -30


def test_faces():
    pen, missed = drawn("Profile"), drawn("Profile", False)
    assert at(pen, -0.5, -13) > -40 > at(missed, -0.5, -13)  # the nose, and fluid
    assert at(pen, -6, 1) > -50 > at(missed, -6, 1)  # an orbit
    pen = drawn("Lips")
    for side in (-1, 1):
        assert at(pen, 2.6 * side, -4.4) < -75
    assert at(pen, 0, 4.4) < -65
    assert min(at(pen, 3.2, 0.6), at(pen, 0, 7.2)) > -24
    noses = 0
    for seed in range(12):
        missed = drawn("Lips", False, seed)
        noses += at(missed, 0, -6.5) > -28
        assert min(at(missed, side * 2.6, -4.4) for side in (-1, 1)) > -50
        assert at(missed, 0, 4.4) > -40
    assert 1 <= noses <= 8


def test_abdomen_and_kidneys():
    for seed in range(6):
        pen = drawn("Abdominal", seed=seed)
        assert at(pen, -11, 1.5) < -75 and at(pen, 0.8, -8) < -60 and at(pen, 3.6, 7) < -60
        assert at(pen, 0, 14) > -5 and at(pen, 0, 14, layer=1) > 5  # vertebra
        pen = drawn("Kidneys", seed=seed)
        for side in (-1, 1):
            assert at(pen, 13 * side, 11.5) < -42
    both, single = 0, set()
    for seed in range(16):
        pen = drawn("Abdominal", False, seed)
        both += at(pen, -11, 1.5) < -75 and at(pen, 0.8, -6) < -60
        pen = drawn("Kidneys", False, seed)
        single.add(tuple(bool(at(pen, 13 * side, 11.5) < -42) for side in (-1, 1)))
    assert both == 0
    assert single == {(False, False), (True, False), (False, True)}


def test_femur_is_whole_or_not_a_femur():
    pen = drawn("Femur")
    along = [at(pen, x, y) for x, y in zip((-15, -8, 0, 8, 15), (0.9, -0.4, -0.8, -0.4, 0.9), strict=True)]
    assert min(along) > DENSE[0] - 0.5
    for seed in range(20):
        bones = ndimage.label(drawn("Femur", False, seed).layers[0] > -10)[0]
        lengths = [np.ptp(np.nonzero(bones == n)[1]) * 0.25 for n in range(1, bones.max() + 1)]
        assert len(lengths) == 2 or (len(lengths) == 1 and lengths[0] < 17.5)


@pytest.mark.parametrize("name", ["Spine (Cor.)", "Spine (Sag.)"])
def test_spines(name):
    """Two rows of bone, a vertebra every 4.4 mm; a near miss has no two such rows but for a short way."""
    pen = drawn(name)
    bone = (pen.layers[0] > -6) & (np.abs(pen.space.x) < 15) & (pen.landmark > 0)
    dots, count = ndimage.label(bone)
    across = np.array(ndimage.center_of_mass(bone, dots, np.arange(1, count + 1)))[:, 1] * pen.step
    gaps = np.diff(np.sort(across))
    gaps = gaps[gaps > 1][1:-1]  # the outermost are cut
    assert len(gaps) >= 4
    np.testing.assert_allclose(gaps, 4.4, atol=0.2)
    assert count == 2 * (len(gaps) + 3)
    for seed in range(12):
        whole, few = (drawn(name, standard, seed) for standard in (True, False))
        bones = [
            ndimage.label((one.layers[0] > -6) & (np.abs(one.space.x) > 13) & (whole.landmark > 0))[1]
            for one in (whole, few)
        ]
        assert bones[1] <= 0.6 * bones[0]
        assert (few.layers[0] > -6).any()


def heart_frame(pen, x, y):
    """What seed 0 has painted at a place in the heart's frame."""
    turn = 1.25 * np.pi + np.random.default_rng(0).normal(0, 0.15)
    cos, sin = np.cos(turn), np.sin(turn)
    return at(pen, -3.5 + 1.15 * (cos * x - sin * y), -3.5 + 1.15 * (sin * x + cos * y))


def test_hearts():
    four, left, right = (drawn(name) for name in ("4CH", "LVOT", "RVOT"))
    for side in (-1, 1):
        assert heart_frame(four, 4, 3.4 * side) == pytest.approx(BLOOD[0], abs=1)  # ventricles
        assert heart_frame(four, -6, 3.5 * side) == pytest.approx(BLOOD[0], abs=1)  # atria
        assert heart_frame(four, -2.2, 3 * side) > -20  # valves
    assert heart_frame(four, 2, 0) > -25  # septum
    for x, y in ((6, 2.4), (2, 1.6), (-5, -1.2), (-8, -3.4)):  # from the left ventricle into the aorta
        assert heart_frame(left, x, y) == pytest.approx(BLOOD[0], abs=1)
    for x, y in ((5, -4.3), (2, -4.7), (-5, -4.6), (-9.5, 0), (-4.4, 0.6), (-6, 5.4)):  # the right one; aorta, vein
        assert heart_frame(right, x, y) == pytest.approx(BLOOD[0], abs=1)
    for name, place in (("LVOT", (-5, -1.2)), ("RVOT", (-5, -4.6))):
        assert heart_frame(drawn(name, False), *place) > -40


def test_three_vessels_from_large_to_small():
    pen = drawn("3VV")
    sizes = np.sort(np.bincount(ndimage.label(pen.landmark)[0].ravel())[1:])
    assert len(sizes) == 3
    assert sizes[0] < 0.7 * sizes[1] < 0.3 * sizes[2]
    seen = set()
    for seed in range(12):
        whole, few = (drawn("3VV", standard, seed) for standard in (True, False))
        vessels, _ = ndimage.label(whole.landmark)
        dark = [(few.layers[0][vessels == number] < -50).mean() > 0.3 for number in (1, 2, 3)]
        assert sum(dark) <= 1
        assert not dark[np.bincount(vessels.ravel())[1:].argmax()]  # never the pulmonary artery
        seen.add(sum(dark))
    assert seen == {0, 1}


def test_hearts_lie_in_the_same_chest():
    """Beyond the heart the four views are one picture, and so are their near misses."""
    pens = [drawn(name, standard) for name in HEARTS for standard in (True, False)]
    x, y, _ = pens[0].space
    outside = (np.hypot(x, y) > 19) | (y > 12)
    for pen in pens[1:]:
        assert (np.abs(pen.layers - pens[0].layers)[:, outside] > 1).mean() < 0.01


def test_background_is_of_two_kinds(monkeypatch):
    """Near misses of every plane in about half of the frames, never a plane as the standard asks."""
    seen = []
    planes = {
        name: (lambda pen, standard, rng, name=name: seen.append((name, standard)), *rest)
        for name, (_, *rest) in PLANES.items()
    }
    monkeypatch.setattr(fetal, "PLANES", planes)
    for rng in np.random.default_rng(0).spawn(150):
        fetal.draw("Background", (56, 72), rng)
    assert not any(standard for _, standard in seen)
    assert 0.35 < len(seen) / 150 < 0.65
    assert {name for name, _ in seen} == set(PLANES)


def test_sections_are_mirrored_turned_and_moved():
    boxes = np.array([fetal.draw("Femur", (56, 72), rng)[1] for rng in np.random.default_rng(0).spawn(40)])
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert (middle.std(0) > (1, 2)).all()
    heights = boxes[:, 2] - boxes[:, 0]
    assert heights.max() > 2.5 * heights.min()
    seen = []
    record = lambda pen, standard, rng: seen.append(np.sign(np.diff(pen.space.x[40])).mean())  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fetal.PLANES, "Femur", (record, *PLANES["Femur"][1:]))
        for rng in np.random.default_rng(0).spawn(30):
            fetal.draw("Femur", (56, 72), rng)
    assert 5 < sum(sign > 0 for sign in seen) < 25


def test_fetuses_differ_in_size(monkeypatch):
    """Abdomens of 46.5 mm on average, on a screen of 2 pixels a mm."""
    monkeypatch.setattr(fetal, "_sample_probe", lambda *_: Probe(50.0, 0.6, 75.0, 2.0, 3.0))
    boxes = np.array([fetal.draw("Abdominal", (150, 200), rng)[1] for rng in np.random.default_rng(0).spawn(20)])
    sizes = (boxes[:, 2:] - boxes[:, :2]).mean(1) / 2 / 46.5
    assert sizes.mean() == pytest.approx(1, abs=0.05)
    assert 0.85 < sizes.min() < 0.95 and 1.05 < sizes.max() < 1.17


def test_boxes_stay_within_the_papers_crop():
    inside = []
    for number, rng in enumerate(np.random.default_rng(0).spawn(65)):
        _, (top, left, bottom, right) = fetal.draw(NAMES[number % 13], (56, 72), rng)
        height, width = min(bottom, 54) - max(top, 2), min(right, 70) - max(left, 2)
        inside.append(height * width / ((bottom - top) * (right - left)))
    assert min(inside) > 0.7
    assert np.mean(inside) > 0.97


# Image formation


def echoes(level, loss, seed=0, shape=(220, 160)):
    """Grey values, 255 for 50 to 60 dB, of a uniform block with what `level` and `loss` add to it."""
    level, loss = (np.broadcast_to(np.float32(layer), shape) for layer in (level, loss))
    return fetal._echoes(level, loss, np.zeros(shape, np.float32), 0.5, np.random.default_rng(seed))


def test_shadow_and_enhancement():
    """12 dB are taken, or 6 given, between samples 60 and 84 (12 mm) of some beams: all behind changes by that."""
    plain = echoes(-28, 0)
    for loss, expected in ((1.0, -12), (-0.5, 6)):
        block = np.zeros((220, 160), np.float32)
        block[60:84, 50:90] = loss
        change = (echoes(-28, block) - plain) / 255 * 55  # dB, but for the span's 10 %
        assert change[100:150, 56:84].mean() == pytest.approx(expected, rel=0.15)
        assert np.abs(change[:55]).max() < 0.5
        assert np.abs(change[:, :40]).max() < 0.5 and np.abs(change[:, 100:]).max() < 0.5


def test_speckle_is_rayleigh_and_finer_along_the_beams():
    """The logarithm of an exponential variable's power has a standard deviation of 5.57 dB."""
    found, along, across = [], [], []
    for seed in range(4):
        block = echoes(-28, 0, seed)[30:150]
        block = block - block.mean(1, keepdims=True)  # attenuation
        found.append(block.std() / 255)
        along.append(np.corrcoef(block[:-2].ravel(), block[2:].ravel())[0, 1])
        across.append(np.corrcoef(block[:, :-2].ravel(), block[:, 2:].ravel())[0, 1])
    assert 5.57 / 60 * 0.9 < np.mean(found) < 5.57 / 50 * 1.1
    assert np.mean(across) > 0.3 > np.mean(along) + 0.1


def test_gain_and_attenuation_vary_from_frame_to_frame():
    blocks = [echoes(-28, 0, seed) for seed in range(12)]
    brightness = [block[80:120].mean() for block in blocks]
    falls = [block[30:60].mean() - block[180:210].mean() for block in blocks]
    assert np.mean(brightness) == pytest.approx(255 * (1 - 30.5 / 55), abs=15)  # 2.5 dB: its logarithm
    assert np.std(brightness) > 8
    assert min(falls) > -6 and max(falls) > 25


def test_fluid_is_dark_and_bone_is_bright():
    for seed in range(5):
        level = np.full((220, 160), -28, np.float32)
        level[60:160, 20:60], level[60:160, 100:140] = FLUID[0], DENSE[0]
        block = echoes(level, 0, seed)
        fluid, tissue, bone = (block[80:140, part].mean() for part in (slice(30, 50), slice(70, 90), slice(110, 130)))
        assert fluid < 0.5 * tissue < tissue < 0.75 * bone
        assert block.min() >= 0 and block.max() <= 255


def test_bone_reflects_as_a_mirror_does():
    """Scatterers at random would leave 37 % of it 3.4 dB or more below its mean, which is 230 of 255 here."""
    assert np.mean([(echoes(-2, 0, seed)[60:120] < 230).mean() for seed in range(8)]) < 0.2


def test_poor_contact_darkens_whole_beams():
    texture = np.zeros((220, 160), np.float32)
    texture[0, 60:100] = 2.8  # 5 dB for each of what is above 0.8
    level, loss = np.full((220, 160), -20, np.float32), np.zeros((220, 160), np.float32)
    with_, without = (
        fetal._echoes(level, loss, layer, 0.5, np.random.default_rng(0)) for layer in (texture, 0 * texture)
    )
    change = (with_ - without)[5:150] / 255 * 55
    assert change[:, 66:94].mean() == pytest.approx(-10, rel=0.15)
    assert np.abs(change[:, :50]).max() < 0.5
