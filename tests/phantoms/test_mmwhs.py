"""The synthetic MM-WHS: layout, orientation, anatomy, image formation and randomness."""

import itertools
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from equality import global_generators_untouched, hashes
from phantom_volumes import CODES, check_bad_arguments, check_pair, most_uniform
from whereabouts.phantoms import chest_volume, mmwhs
from whereabouts.phantoms.chest_volume import Chest
from whereabouts.phantoms.mmwhs import Grid
from whereabouts.phantoms.whole_heart import BASE, LABELS, Heart, Space, Tissue

CASES, STEP, SEED = 3, 3.4, 5
LV, RV, LA, RA, MYO, AORTA, PA = 500, 600, 420, 550, 205, 820, 850
VALUES = {LV, RV, LA, RA, MYO, AORTA, PA}
FACES = ndimage.generate_binary_structure(3, 1)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mmwhs")
    mmwhs.write(folder, CASES, STEP, np.random.default_rng(SEED))
    return folder


@pytest.fixture(scope="module")
def volumes(root):
    """Per name: image and label files, and both as (x, y, z) arrays in canonical orientation, strays mended."""
    found = {}
    for path in sorted(root.rglob("*_image.nii.gz")):
        image, label = nib.load(path), nib.load(path.with_name(path.name.replace("_image", "_label")))
        voxels, truth = (np.asarray(nib.as_closest_canonical(file).dataobj) for file in (image, label))
        found[path.name.removesuffix("_image.nii.gz")] = image, label, voxels, np.where(truth == 421, LA, truth)
    return found


def world(file, value):
    """(n, 3) mm, x to the right, y to the front, z upwards, of the voxels with a value, from the file as it is."""
    return nib.affines.apply_affine(file.affine, np.argwhere(np.asarray(file.dataobj) == value))


def contact(truth, one, other):
    """Number of voxels of `one` with a face neighbour of `other`."""
    return int((ndimage.binary_dilation(truth == other, FACES) & (truth == one)).sum())


# Layout


def test_layout(root):
    numbers = range(1001, 1001 + CASES)
    expected = {
        f"{m}_train/{m}_train_{n}_{k}.nii.gz" for m in ("ct", "mr") for n in numbers for k in ("image", "label")
    }
    assert set(hashes(root)) == expected


def test_types_and_grids(volumes):
    for image, label, _, _ in volumes.values():
        check_pair(image, label, np.int16, STEP, slices=2)


def test_field_of_view(volumes):
    for image, _, voxels, truth in volumes.values():
        zooms = nib.affines.voxel_sizes(nib.as_closest_canonical(image).affine)
        wide, deep, tall = voxels.shape * zooms
        assert 200 <= wide <= 230 + zooms[0]
        assert 200 <= deep <= 230 + zooms[1]
        assert 150 < tall < 260
        found = np.argwhere(truth)
        low, high = found.min(0) * zooms, (np.array(truth.shape) - 1 - found.max(0)) * zooms
        assert min(*low, *high) > 3
        assert min(low[2], high[2]) > 10  # mm; 15 but for voxels and for the warp of the tissues


def test_values_of_labels(volumes):
    assert set(LABELS.values()) == VALUES
    for _, label, _, truth in volumes.values():
        assert set(np.unique(truth)) == {0, *VALUES}
        assert set(np.unique(label.dataobj)) <= {0, 421, *VALUES}


def test_stray_value_of_the_released_files(tmp_path):
    mmwhs.write(tmp_path, 15, 8.0, np.random.default_rng(3))
    strays = 0
    for path in sorted(tmp_path.rglob("*_label.nii.gz")):
        truth = np.asarray(nib.load(path).dataobj)
        if (truth == 421).any():
            strays += 1
            assert (truth == 421).sum() == 4
            parts = ndimage.label(np.isin(truth, (LA, 421)), np.ones((3, 3, 3)))[0]
            assert np.bincount(parts[truth == 421]).max() == 4  # all in one, the left atrium
    assert 1 <= strays <= 8  # of 30


# Orientation


@pytest.mark.parametrize("axes", CODES)
def test_affine_says_where_voxels_are(axes):
    grid = Grid(axes, (3, 4, 5), (2.0, 2.0, 3.0), (10.0, -20.0, 30.0))
    isocentre = np.array([5.0, 6.0, 7.0])
    affine = mmwhs._affine(grid, isocentre)
    assert "".join(nib.aff2axcodes(affine)) == axes
    np.testing.assert_allclose(nib.affines.voxel_sizes(affine), grid.zooms)
    places = np.stack([np.broadcast_to(place, (5, 4, 3)).T for place in grid.positions()], -1)  # (3, 4, 5, xyz)
    found = nib.affines.apply_affine(affine, np.moveaxis(np.indices(grid.shape), 0, -1))
    np.testing.assert_allclose(found, (places - isocentre) * (-1, -1, 1), atol=1e-4)
    np.testing.assert_allclose(places.mean((0, 1, 2)), grid.centre, atol=1e-4)


def test_orientations_differ(volumes):
    codes = {name: "".join(nib.aff2axcodes(image.affine)) for name, (image, *_) in volumes.items()}
    assert {codes[name] for name in codes if name.startswith("ct")} <= set(mmwhs.AXES["ct"])
    several = {codes[name] for name in codes if name.startswith("mr")}
    assert several <= set(mmwhs.AXES["mr"])
    assert len(several) > 1
    assert all(code.endswith("S") for code in mmwhs.AXES["ct"])  # axial


# Anatomy


def test_everything_is_in_its_place(volumes):
    """World coordinates: the patient's right, front and head are positive."""
    right, front, up = range(3)
    for _, label, _, _ in volumes.values():
        centre = {value: world(label, value).mean(0) for value in VALUES}
        assert centre[RV][right] - centre[LV][right] > 15
        assert centre[RV][front] - centre[LV][front] > 10
        assert centre[RA][right] - centre[LA][right] > 20
        assert max(centre, key=lambda value: centre[value][right]) == RA
        assert min(centre, key=lambda value: centre[value][front]) == LA
        assert min(centre[AORTA][up], centre[PA][up]) - max(centre[LV][up], centre[RV][up]) > 35
        assert centre[AORTA][right] - centre[PA][right] > 10
        assert np.linalg.norm(centre[LV] - centre[MYO]) < 15
        cavity = world(label, LV)
        apex = cavity[np.linalg.norm(cavity - centre[LA], axis=1).argmax()]
        assert apex[right] - centre[LA][right] < -30
        assert apex[front] - centre[LA][front] > 40
        assert apex[up] - centre[LA][up] < -20


def test_volumes_are_physiological(volumes):
    limits = {LV: (65, 200), RV: (85, 260), LA: (35, 120), RA: (35, 125), MYO: (75, 220), AORTA: (25, 90), PA: (25, 80)}
    for image, _, _, truth in volumes.values():
        voxel = np.prod(image.header.get_zooms()) / 1000  # mL
        for value, (low, high) in limits.items():
            assert low < (truth == value).sum() * voxel < high


def test_structures_are_connected(volumes):
    for _, _, _, truth in volumes.values():
        for value in VALUES:
            parts = np.bincount(ndimage.label(truth == value, FACES)[0].ravel())[1:]
            assert parts.max() > 0.98 * parts.sum()


def test_neighbours_touch(volumes):
    for _, _, _, truth in volumes.values():
        for one, other in ((LV, LA), (LV, AORTA), (RV, RA), (RV, PA), (RV, MYO), (LA, MYO), (LA, RA)):
            assert contact(truth, one, other) >= 2, (one, other)
        assert contact(truth, RV, MYO) > 0.4 * (truth == RV).sum() ** (2 / 3)  # a crescent wrapped on the septum
        for one, other in ((LV, PA), (LV, RA), (LV, RV), (RV, LA), (RA, PA)):
            assert contact(truth, one, other) == 0, (one, other)


def test_wall_encloses_the_cavity_but_for_its_base(volumes):
    for _, label, _, _ in volumes.values():
        truth = np.asarray(label.dataobj)
        cavity = truth == LV
        around = ndimage.binary_dilation(cavity, FACES) & ~cavity
        axis = world(label, LV).mean(0) - world(label, LA).mean(0)  # from the base to the apex
        depth = nib.affines.apply_affine(label.affine, np.argwhere(around)) @ (axis / np.linalg.norm(axis))
        bare = truth[around] != MYO
        assert 0.05 < bare.mean() < 0.4
        assert np.quantile(depth[bare], 0.98) < np.quantile(depth, 0.5)
        assert np.ptp(depth) > 50


def test_thickness_of_the_wall():
    """Along a ray across the mid-ventricle, on a fine grid without warp."""
    for seed in range(5):
        heart = Heart.sample(np.random.default_rng(seed))
        radius, length = heart.cavity
        for across in (heart.axes[1], -heart.axes[2]):
            points = BASE + 0.28 * length * heart.axes[0] + np.arange(0, 60, 0.1)[:, None] * across
            found = heart.distances(Space(*np.float32(points.T)))
            assert (found["left ventricle"] < 0).sum() * 0.1 == pytest.approx(radius, abs=0.2)
            wall = (found["myocardium"] < 0) & (found["left ventricle"] >= 0)
            assert wall.sum() * 0.1 == pytest.approx(heart.wall, abs=0.2)


def test_patients_differ():
    hearts = [Heart.sample(rng) for rng in np.random.default_rng(0).spawn(60)]
    for values, low, high in (
        ([heart.cavity[0] for heart in hearts], 19, 31),
        ([heart.wall for heart in hearts], 6, 13),
        ([heart.aorta for heart in hearts], 12, 18),
    ):
        assert low < min(values) < max(values) < high
        assert np.std(values) > 0.05 * np.mean(values)
    long = np.array([heart.axes[0] for heart in hearts])
    assert 5 < np.degrees(np.arccos(long @ long.mean(0) / np.linalg.norm(long.mean(0)))).mean() < 15
    for heart in hearts:
        np.testing.assert_allclose(heart.axes @ heart.axes.T, np.eye(3), atol=1e-12)
        assert heart.axes[2] @ np.cross(heart.axes[1], heart.axes[0]) == pytest.approx(1)  # the third points upwards


def test_positions_grow_with_the_heart():
    heart = Heart.sample(np.random.default_rng(0))
    for scale in (0.9, 1.2):
        np.testing.assert_allclose(replace(heart, scale=scale).at(10, 0, -5), BASE + scale * heart.axes.T @ (10, 0, -5))


def test_tissues_are_warped():
    rng = np.random.default_rng(0)
    heart = Heart.sample(rng)
    chest, grid = Chest.sample(heart, rng), Grid("LPS", (50, 50, 40), (4.0, 4.0, 4.0), (15.0, -10.0, 10.0))
    first, second = (mmwhs._ct(heart, chest, grid, np.random.default_rng(seed), variety=0)[1] == MYO for seed in (0, 1))
    dice = 2 * (first & second).sum() / (first.sum() + second.sum())
    assert 0.5 < dice < 0.9


def test_position_in_the_volume_varies():
    rng = np.random.default_rng(0)
    heart = Heart.sample(rng)
    low, high = heart.extent()
    offsets = [
        np.array(mmwhs._sample_grid(heart, ("LPS",), 3.0, rng).centre) - (low + high) / 2 - (0, 8, 0) for _ in range(60)
    ]
    assert 11 < np.abs(offsets).max() <= 12
    assert (np.std(offsets, axis=0)[:2] > 5).all()


def test_extent_holds_what_is_labelled():
    axis = np.arange(-120, 120, 4, dtype=np.float32)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    for seed in range(3):
        heart = Heart.sample(np.random.default_rng(seed))
        found = np.minimum.reduce(list(heart.distances(Space(x, y, z)).values())) < 0
        low, high = heart.extent()
        places = axis[np.argwhere(found)]
        assert (places.min(0) >= low - 4).all() and (places.min(0) < low + 8).all()
        assert (places.max(0) <= high + 4).all() and (places.max(0) > high - 12).all()


# Shapes


def test_tube_is_the_distance_to_its_line():
    rng = np.random.default_rng(0)
    line = rng.normal(0, 20, (4, 3))
    points = rng.normal(0, 30, (500, 3))
    dense = np.concatenate([a + np.linspace(0, 1, 4000)[:, None] * (b - a) for a, b in itertools.pairwise(line)])
    expected = cKDTree(dense).query(points)[0] - 6
    np.testing.assert_allclose(Space(*np.float32(points.T)).tube(line, 6.0), expected, atol=2e-2)
    cone = Space(*np.float32([(0, 30, 15, 15), (5, 0, 8, 9), (0, 0, 0, 0)])).tube(
        np.array([(0, 0, 0), (30, 0, 0)]), np.array([4.0, 8.0])
    )
    np.testing.assert_allclose(cone, [1, -8, 2, 3], atol=1e-4)


def test_ellipsoid():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    centre, radii = np.array([3.0, -5.0, 8.0]), np.array([40.0, 25.0, 15.0])
    sphere = rng.normal(size=(300, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    surface = centre + (sphere * radii) @ axes
    outwards = sphere / radii @ axes
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    for off in (-0.5, 0, 0.5):
        found = Space(*np.float32((surface + off * outwards).T)).ellipsoid(centre, axes, radii)
        np.testing.assert_allclose(found, off, atol=0.05)
    assert Space(*np.float32(centre[:, None])).ellipsoid(centre, axes, radii) < 0


# Images


def test_tissues_are_where_they_belong():
    """Without warp and texture, at places that anatomy fixes."""
    tissue = Tissue(*range(100, 1100, 100), texture=0)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        heart = Heart.sample(rng)
        chest = Chest.sample(heart, rng)
        radius, length = heart.cavity
        (spine, back), (sternum, front) = chest.spine, chest.sternum
        vertebra = 25 * (0.5 - chest.phase)  # the middle of one
        bodies = heart.ellipsoids
        deep = (back + front) / 2
        line = heart.arch[:3].T  # the aorta, still rising; its label ends at `top`
        beyond, within = ([*(np.interp(z, line[2], axis) for axis in line)] for z in (heart.top + 5, heart.top - 5))
        places = [
            (within, tissue.left),
            (beyond, tissue.left),
            (BASE + 0.3 * length * heart.axes[0], tissue.left),
            (BASE + 0.3 * length * heart.axes[0] - (radius + heart.wall / 2) * heart.axes[2], tissue.myocardium),
            (bodies["left atrium"][0], tissue.left),
            (bodies["right atrium"][0], tissue.right),
            ((spine, back, vertebra), tissue.marrow),
            ((sternum, front, 30), tissue.marrow),
            ((22, 67, 20), tissue.left),  # descending aorta, left of the spine
            ((0, 36, 120), tissue.air),  # trachea
            ((100, deep, 60), tissue.lung),
            ((-100, deep, 60), tissue.lung),
            ((-75, 5, chest.domes[0] - 30), tissue.liver),
            ((0, front + 8 - chest.muscle - chest.fat / 2, 0), tissue.fat),
            ((0, front + 8 - chest.muscle - chest.fat - 2, 0), tissue.air),
        ]
        space = Space(*(part.reshape(-1, 1, 1) for part in np.float32([place for place, _ in places]).T))
        image, fields = np.zeros(space.x.shape, np.float32), np.ones((3, *space.x.shape), np.float32)
        labels = chest_volume.paint(image, space, heart, chest, tissue, fields, 1.0)
        np.testing.assert_allclose(image.ravel(), [value for _, value in places], atol=1e-2)
        assert labels.ravel().tolist() == [AORTA, 0, LV, MYO, LA, RA] + [0] * 9
        assert labels.dtype == np.int16
        assert spine < 22


def test_ct_is_in_hounsfield_units(volumes):
    contrasts = []
    for name, (_, _, voxels, truth) in volumes.items():
        if name.startswith("ct"):
            mean = {value: np.median(voxels[truth == value]) for value in VALUES}
            assert voxels.min() >= -1024
            assert ((voxels > -950) & (voxels < -750)).mean() > 0.15  # lung
            assert ((voxels > -140) & (voxels < -50)).mean() > 0.03  # fat
            assert (voxels > 500).mean() > 0.001  # bone
            assert 80 < mean[MYO] < 130
            assert all(320 < mean[value] < 460 for value in (LV, LA, AORTA))
            assert all(130 < mean[value] < 360 for value in (RV, RA, PA))
            inside = ndimage.binary_erosion(truth == LV, FACES, 2)
            assert 12 < voxels[inside].std() < 120
            contrasts.append(mean[RV])
    assert np.ptp(contrasts) > 30


def test_mr_shows_bright_blood_and_dark_lung(volumes):
    scales = []
    for name, (_, _, voxels, truth) in volumes.items():
        if name.startswith("mr"):
            mean = {value: np.median(voxels[truth == value]) for value in VALUES}
            assert voxels.min() >= 0
            lung = np.median(voxels[voxels < 0.6 * mean[MYO]])
            assert lung < 0.3 * mean[LV]
            assert mean[MYO] < 0.6 * mean[LV]
            assert all(0.6 < mean[value] / mean[LV] < 1.6 for value in (RV, LA, RA, AORTA, PA))
            bright = voxels[(truth == 0) & (voxels > 0.6 * mean[LV])].size / voxels.size
            assert bright > 0.03  # fat
            scales.append(mean[LV])
    assert max(scales) > 1.3 * min(scales)


def test_labels_agree_with_the_image(volumes):
    """The wall, thin between blood and fat, is most uniform in the image where its label lies, unshifted."""
    for _, _, voxels, truth in volumes.values():
        assert most_uniform(voxels, truth == MYO) == (0, 0, 0)


# Randomness


def test_same_seed_same_bytes(root, tmp_path):
    with global_generators_untouched():
        mmwhs.write(tmp_path / "few", 1, STEP, np.random.default_rng(SEED))
    mmwhs.write(tmp_path / "other", 1, STEP, np.random.default_rng(SEED + 1))
    many, few, other = hashes(root), hashes(tmp_path / "few"), hashes(tmp_path / "other")
    assert len(few) == 4
    assert few == {name: digest for name, digest in many.items() if "_1001_" in name}
    assert not set(other.values()) & set(many.values())
    assert len(set(many.values())) == len(many)


def test_variety_changes_images_and_no_label(root, tmp_path):
    mmwhs.write(tmp_path, 1, STEP, np.random.default_rng(SEED), variety=0.8)
    plain, other = hashes(root), hashes(tmp_path)
    assert {name for name in other if plain[name] == other[name]} == {name for name in other if "_label" in name}
    assert len(other) == 4


def test_contrast_medium_differs_above_plain_blood():
    """Each of three by a factor of its own, and nothing else; 45 HU is what blood has without."""
    tissue, rng, found = Tissue(*range(100, 1200, 100)), np.random.default_rng(4), []
    for _ in range(60):
        other = mmwhs._injection(tissue, 0.5, rng)
        assert [name for name in Tissue._fields if getattr(tissue, name) != getattr(other, name)] == [
            "myocardium",
            "left",
            "right",
        ]
        factors = [(getattr(other, n) - 45) / (getattr(tissue, n) - 45) for n in ("left", "right", "myocardium")]
        found.append(np.log(factors))
    assert np.abs(found).max() < 0.5
    assert (np.ptp(found, axis=0) > 0.8).all()
    assert np.abs(np.corrcoef(np.transpose(found)) - np.eye(3)).max() < 0.5


def test_bad_arguments_are_named_all_at_once(tmp_path):
    check_bad_arguments(mmwhs, tmp_path)
