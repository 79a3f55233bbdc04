"""CLEVR-Seg: rendered scenes against ray casting in NumPy, and the loader against data sets made by hand."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from whereabouts.data import clevr_seg as loader
from whereabouts.data.manifest import Manifest
from whereabouts.errors import InputError
from whereabouts.phantoms import clevr_seg as phantom

SIZES = {"small": 0.35, "medium": 0.5, "large": 0.7}  # CLEVR's radii, and one between
HEIGHT, FIELD = 20.0, 6.4  # of the camera, and width of the ground that it sees
RED_GREEN_YELLOW = {"alizarin": (231, 76, 60), "nephritis": (39, 174, 96), "orange": (243, 156, 18)}


# The renderer


def cast(thing: dict, size: int) -> np.ndarray:
    """Silhouette of a scene file's object, alone: whether the ray through each pixel's centre meets it."""
    across = ((np.arange(size) + 0.5) / size - 0.5) * FIELD
    x, y = np.meshgrid(across, -across)  # where the rays meet the ground; rows run down
    direction = np.stack([x, y, np.full_like(x, -HEIGHT)], axis=-1)  # (size, size, 3), from the camera
    radius, towards = SIZES[thing["size"]], np.array(thing["3d_coords"]) - [0, 0, HEIGHT]
    if thing["shape"] == "sphere":  # the distance of its centre from the ray
        return np.linalg.norm(np.cross(direction, towards), axis=-1) <= radius * np.linalg.norm(direction, axis=-1)
    turned = np.radians(thing["rotation"])
    if thing["shape"] == "cube":
        angles, inradius = turned + np.radians([0, 90, 180, 270]), radius / np.sqrt(2)
    else:  # an equilateral triangle, its first corner up when not rotated, its sides opposite the corners
        angles, inradius = turned + np.radians([270, 30, 150]), radius / 2
    sides = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=1)
    normals = np.concatenate([sides, [[0, 0, 1], [0, 0, -1]]])
    offsets = np.r_[np.full(len(angles), inradius), np.full(2, radius / np.sqrt(2))] + normals @ towards
    # The ray t * direction is inside where normal . t direction <= offset for every face.
    slope = direction @ normals.T
    with np.errstate(divide="ignore"):
        t = offsets / slope
    enter = np.where(slope < 0, t, -np.inf).max(axis=-1)
    leave = np.where(slope > 0, t, np.inf).min(axis=-1)
    outside = ((slope == 0) & (offsets < 0)).any(axis=-1)
    return (enter <= leave) & ~outside


def written(folder: Path, images: int, size: int, seed: int = 0) -> list[tuple[np.ndarray, dict, np.ndarray]]:
    """Image, scene and masks (n, size, size) of each image of a freshly rendered data set."""
    phantom.write(folder, images, size, np.random.default_rng(seed), samples=4)
    found = []
    for path in sorted((folder / "images").iterdir()):
        scene = json.loads((folder / "scenes" / f"{path.stem}.json").read_text(encoding="utf-8"))
        segmentations = sorted((folder / "segmentations" / path.stem).iterdir())
        found.append(
            (np.asarray(Image.open(path)), scene, np.stack([np.asarray(Image.open(p)) for p in segmentations]))
        )
    return found


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> tuple[Path, list]:
    folder = tmp_path_factory.mktemp("rendered")
    return folder, written(folder, images=8, size=64)


def test_layout(rendered):
    folder, images = rendered
    assert sorted(p.name for p in folder.iterdir()) == ["images", "scenes", "segmentations"]
    assert sorted(p.name for p in (folder / "images").iterdir()) == [f"CLEVR_seg_{k:06d}.png" for k in range(8)]
    for k, (image, scene, masks) in enumerate(images):
        count = len(scene["objects"])
        names = sorted(p.name for p in (folder / "segmentations" / f"CLEVR_seg_{k:06d}").iterdir())
        assert names == [f"{j:02d}.png" for j in range(count)]
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert masks.shape == (count, 64, 64, 3) and set(np.unique(masks)) == {64, 255}
        assert scene["image_filename"] == f"CLEVR_seg_{k:06d}.png"
        keys = {"3d_coords", "pixel_coords", "rotation", "color", "shape", "size", "material"}
        assert all(set(thing) == keys for thing in scene["objects"])


@pytest.mark.parametrize("size", [64, 101])
def test_masks_equal_cast_rays(tmp_path, size):
    """Oracle and renderer may differ at the silhouettes only, where the renderer's float32 rounds the other way."""
    wrong = pixels = 0
    for _, scene, masks in written(tmp_path, images=8, size=size, seed=3):
        for thing, mask in zip(scene["objects"], masks[..., 0] == 255, strict=True):
            expected = cast(thing, size)
            inner, outer = ndimage.binary_erosion(expected), ndimage.binary_dilation(expected)
            assert (mask & ~outer).sum() == 0 and (inner & ~mask).sum() == 0
            assert (mask & expected).sum() >= 0.97 * expected.sum()  # nothing is hidden by another object
            assert not (expected[[0, -1]].any() or expected[:, [0, -1]].any())  # nor cut off by the border
            wrong += (mask != expected).sum()
            pixels += expected.sum()
    assert pixels > 0 and wrong <= 0.002 * pixels


def test_masks_are_apart_and_5_px_across_at_64(rendered):
    for _, _, masks in rendered[1]:
        masks = masks[..., 0] == 255
        assert masks.sum(axis=0).max() == 1
        for mask in masks:
            y, x = np.nonzero(mask)
            assert np.ptp(y) + 1 >= 5 and np.ptp(x) + 1 >= 5


def test_colours_belong_to_the_masks(rendered):
    """Inside its mask an object has its colour's hue; the ground is light grey."""
    for image, scene, masks in rendered[1]:
        masks = masks[..., 0] == 255
        for thing, mask in zip(scene["objects"], masks, strict=True):
            seen = image[ndimage.binary_erosion(mask)].mean(axis=0)
            likeness = {
                name: np.dot(seen, colour) / np.linalg.norm(seen) / np.linalg.norm(colour)
                for name, colour in RED_GREEN_YELLOW.items()
            }
            assert max(likeness, key=likeness.get) == thing["color"]
        ground = image[~ndimage.binary_dilation(masks.any(axis=0), iterations=2)].astype(int)
        assert (ground.max(axis=1) == ground.min(axis=1)).all()
        assert 130 < np.median(ground) < 200


def test_shadows_fall_to_the_lower_right():
    """The lamp is at the upper left: the ground beside a sphere is darker there, and the shadow's edge is soft."""
    sphere = phantom.SceneObject("sphere", "orange", "large", 0.0, 0.0, 0.0)
    image, _ = phantom.render([sphere], size=96, samples=64, seed=0)
    steps = np.arange(14, 30)  # px along the diagonal, from the silhouette (radius 11 px) outwards
    dark, light = image[48 + steps, 48 + steps, 0].astype(int), image[48 - steps, 48 - steps, 0].astype(int)
    assert dark[0] < light[0] - 30
    between = (dark > dark.min() + 10) & (dark < dark.max() - 10)
    assert between.sum() >= 3


def test_scenes_hold_one_of_each_and_fill_the_field():
    rng = np.random.default_rng(5)
    scenes = [phantom.sample_scene(rng) for _ in range(300)]
    assert {len(objects) for objects in scenes} == {3, 4, 5}
    for objects in scenes:
        assert {thing.shape for thing in objects} == {"cube", "sphere", "triangle"}
        assert {thing.colour for thing in objects} == {"alizarin", "nephritis", "orange"}
        assert {thing.size for thing in objects} == {"small", "medium", "large"}
    table = pd.DataFrame([thing for objects in scenes for thing in objects])
    for first, second in (("shape", "colour"), ("shape", "size"), ("colour", "size")):  # independent of each other
        share = table.groupby([first, second]).size() / len(table)
        assert len(share) == 9 and (share - 1 / 9).abs().max() < 4 * np.sqrt(8 / 81 / len(table))
    places = np.array([[thing.x > 0, thing.y > 0] for objects in scenes for thing in objects])
    share = np.unique(places, axis=0, return_counts=True)[1] / len(places)
    assert len(share) == 4 and np.abs(share - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / len(places))
    small = np.array([abs(thing.x) for objects in scenes for thing in objects if thing.size == "small"])
    assert small.max() > 0.85 * (FIELD / 2 - SIZES["small"])  # up to the border


def test_pixel_coords_are_the_projected_centre(rendered):
    for _, scene, _ in rendered[1]:
        for thing in scene["objects"]:
            x, y, z = thing["3d_coords"]
            half = SIZES[thing["size"]] * (1 if thing["shape"] == "sphere" else 2**-0.5)
            assert z == pytest.approx(half)
            scale = HEIGHT / (HEIGHT - z) * 64 / FIELD
            expected = [round(32 + scale * x), round(32 - scale * y), HEIGHT - z]
            assert thing["pixel_coords"] == pytest.approx(expected)


def test_same_seed_same_bytes_whatever_the_number_of_images(tmp_path):
    for folder, images, seed in (("a", 2, 1), ("b", 3, 1), ("c", 2, 2)):
        phantom.write(tmp_path / folder, images, 32, np.random.default_rng(seed), samples=2)
    content = {
        folder: {p.relative_to(tmp_path / folder): p.read_bytes() for p in (tmp_path / folder).rglob("*.*")}
        for folder in "abc"
    }
    assert content["a"].items() < content["b"].items()
    image = Path("images/CLEVR_seg_000000.png")
    assert content["a"][image] != content["c"][image]
    assert content["a"][image] != content["a"][Path("images/CLEVR_seg_000001.png")]


# The loader

WIDTH = 20
BOXES = {  # (top, left, bottom, right) of each object, px, and what it is
    "one": [
        ((1, 2, 5, 6), "alizarin", "cube", "small"),
        ((12, 3, 18, 9), "nephritis", "sphere", "medium"),
        ((11, 12, 19, 20), "orange", "triangle", "large"),
    ],
    "two": [
        ((2, 12, 5, 15), "orange", "sphere", "small"),
        ((12, 12, 16, 16), "orange", "cube", "medium"),
        ((5, 15, 9, 19), "alizarin", "triangle", "large"),
        ((0, 0, 9, 9), "nephritis", "cube", "large"),
    ],
}


def segmentation(box: tuple[int, int, int, int], width: int = WIDTH, mode: str = "RGBA") -> Image.Image:
    pixels = np.full((width, width), 64, np.uint8)
    pixels[box[0] : box[2], box[1] : box[3]] = 255
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A data set by hand, RGBA as released."""
    rng = np.random.default_rng(0)
    for part in ("images", "scenes"):
        (tmp_path / part).mkdir()
    for name, boxes in BOXES.items():
        pixels = rng.integers(0, 256, (WIDTH, WIDTH, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
        (tmp_path / "segmentations" / name).mkdir(parents=True)
        objects = []
        for k, (box, colour, shape, size) in enumerate(boxes):
            segmentation(box).save(tmp_path / "segmentations" / name / f"{k:02d}.png")
            objects.append({"pixel_coords": [9, 9, 10.5], "color": colour, "shape": shape, "size": size})
        (tmp_path / "scenes" / f"{name}.json").write_text(json.dumps({"objects": objects}), encoding="utf-8")
    return tmp_path


def read(folder: Path, size: int = WIDTH, **options) -> loader.ClevrSeg:
    return loader.read(Manifest.of("CLEVR-Seg", "released", folder), size, **options)


def test_reads_released_layout(folder):
    data = read(folder)
    assert data.names == ["one", "two"]
    for k, name in enumerate(data.names):
        assert (data.images[k] == np.asarray(Image.open(folder / "images" / f"{name}.png"))[..., :3]).all()
        expected = np.zeros((len(BOXES[name]), WIDTH, WIDTH), bool)
        for mask, ((top, left, bottom, right), *_) in zip(expected, BOXES[name], strict=True):
            mask[top:bottom, left:right] = True
        assert data.masks[k].dtype == bool and (data.masks[k] == expected).all()
    table = data.attributes
    assert table["image"].tolist() == [0, 0, 0, 1, 1, 1, 1] and table["object"].tolist() == [0, 1, 2, 0, 1, 2, 3]
    flat = BOXES["one"] + BOXES["two"]
    for factor, column in (("colour", 1), ("shape", 2), ("size", 3)):
        assert table[factor].tolist() == [thing[column] for thing in flat]
    assert table["centre_x"].tolist() == [(box[1] + box[3]) / 2 for box, *_ in flat]
    assert table["centre_y"].tolist() == [(box[0] + box[2]) / 2 for box, *_ in flat]
    assert table["quadrant"].tolist() == [
        *("top_left", "bottom_left", "bottom_right"),
        *("top_right", "bottom_right", "top_right", "top_left"),
    ]


def test_reads_what_the_phantom_writes(rendered):
    root, images = rendered
    data = read(root, 64)
    assert data.names == [f"CLEVR_seg_{k:06d}" for k in range(8)]
    rows = data.attributes.groupby("image")
    for k, (image, scene, masks) in enumerate(images):
        assert (data.images[k] == image).all() and (data.masks[k] == (masks[..., 0] == 255)).all()
        group = rows.get_group(k)
        assert group["colour"].tolist() == [thing["color"] for thing in scene["objects"]]
        centres = np.array([thing["pixel_coords"][:2] for thing in scene["objects"]])
        assert np.abs(group[["centre_x", "centre_y"]].to_numpy() - centres).max() < 2  # leaning costs a pixel or so


def test_only_the_manifest_counts(folder):
    manifest = Manifest.of("CLEVR-Seg", "released", folder)
    kept = {name: entry for name, entry in manifest.files.items() if "two" not in name}
    data = loader.read(Manifest("CLEVR-Seg", "released", manifest.root, kept), WIDTH)
    assert data.names == ["one"] and len(data.attributes) == 3


@pytest.mark.parametrize(
    ("row", "column", "expected"), [(2, 2, "bottom_right"), (1, 2, "top_right"), (2, 1, "bottom_left")]
)
def test_the_middle_is_neither_left_nor_top(folder, row, column, expected):
    """Strict inequality: in 5 pixels the centre of pixel 2 is the middle, 2.5."""
    for path in [*folder.glob("images/*"), *folder.glob("segmentations/*/*")]:
        Image.open(path).crop((0, 0, 5, 5)).save(path)
    for path in folder.glob("segmentations/*/*"):
        segmentation((row, column, row + 1, column + 1), width=5).save(path)
    assert set(read(folder, 5).attributes["quadrant"]) == {expected}


@pytest.mark.parametrize(
    ("point", "expected"), [([9, 9], "top_left"), ([10, 9], "top_right"), ([9, 10], "bottom_left")]
)
def test_quadrant_of_the_released_code(folder, point, expected):
    """By the projected centre, strictly; wherever the masks are."""
    for path in folder.glob("scenes/*"):
        scene = json.loads(path.read_text(encoding="utf-8"))
        for thing in scene["objects"]:
            thing["pixel_coords"] = [*point, 1.0]
        path.write_text(json.dumps(scene), encoding="utf-8")
    table = read(folder, 10, quadrant="pixel_coords").attributes  # judged in the stored pixels, not in the returned
    assert set(table["quadrant"]) == {expected}
    assert table["centre_x"].tolist() == [(box[1] + box[3]) / 4 for box, *_ in BOXES["one"] + BOXES["two"]]


def averaged(pixels: np.ndarray, size: int) -> np.ndarray:
    """(WIDTH, WIDTH, ...) to (size, size, ...): every pixel becomes size x size, whose WIDTH x WIDTH blocks average."""
    fine = pixels.astype(float).repeat(size, axis=0).repeat(size, axis=1)
    return fine.reshape(size, WIDTH, size, WIDTH, *pixels.shape[2:]).mean(axis=(1, 3))


@pytest.mark.parametrize("size", [10, 7, 19])
def test_smaller_images_are_area_averages(folder, size):
    full, small = read(folder), read(folder, size)
    for k in range(2):
        assert np.abs(small.images[k] - averaged(full.images[k], size)).max() <= 0.5 + 1e-6
        for mask, reduced in zip(full.masks[k], small.masks[k], strict=True):
            assert reduced.shape == (size, size)
            assert (reduced == (averaged(mask, size) >= 0.5 - 1e-6)).all()
    centres = ["centre_x", "centre_y"]
    assert small.attributes.drop(columns=centres).equals(full.attributes.drop(columns=centres))
    assert small.attributes["centre_x"].to_numpy() == pytest.approx(full.attributes["centre_x"] * size / WIDTH)


def test_a_pixel_half_covered_is_object(folder):
    segmentation((2, 2, 4, 5)).save(folder / "segmentations/one/00.png")
    mask = read(folder, 10).masks[0][0]
    assert np.argwhere(mask).tolist() == [[1, 1], [1, 2]]


# Conditioning and splits


def labelled(quadrants: list[str], images: int) -> loader.ClevrSeg:
    """`images` copies of an image with an object in each of `quadrants`; object k is pixel k of the top row."""
    masks = np.zeros((len(quadrants), 8, 8), bool)
    masks[np.arange(len(quadrants)), 0, np.arange(len(quadrants))] = True
    rows = [{"image": i, "object": k, "quadrant": q} for i in range(images) for k, q in enumerate(quadrants)]
    pixels = np.zeros((images, 8, 8, 3), np.uint8)
    return loader.ClevrSeg([str(i) for i in range(images)], pixels, [masks] * images, pd.DataFrame(rows))


def test_values_are_drawn_uniformly_among_those_present():
    """Three objects in one quadrant count no more than one in another; empty quadrants are never asked for."""
    data = labelled(["top_left", "bottom_left", "top_left", "top_left"], images=2000)
    targets, z, value = loader.condition(data, "quadrant", np.random.default_rng(0))
    share = np.bincount(value, minlength=4) / 2000
    assert share[1] == share[2] == 0 and abs(share[0] - 0.5) < 4 * np.sqrt(0.25 / 2000)
    assert targets.shape == (2000, 8, 8) and targets.dtype == bool
    assert (targets[value == 0][:, 0, :5] == [True, False, True, True, False]).all()
    assert (targets[value == 3][:, 0, :5] == [False, True, False, False, False]).all()
    assert z.dtype == np.float32 and (z == np.eye(4)[value]).all()


@pytest.mark.parametrize("factor", ["quadrant", "colour", "shape", "size"])
def test_targets_are_unions_of_matching_masks(folder, factor):
    data = read(folder)
    seen = set()
    for seed in range(20):
        targets, z, value = loader.condition(data, factor, np.random.default_rng(seed))
        again = loader.condition(data, factor, np.random.default_rng(seed))
        assert all((a == b).all() for a, b in zip((targets, z, value), again, strict=True))
        assert z.shape == (2, len(loader.FACTORS[factor])) and z.sum() == 2
        for k in range(2):
            expected = np.zeros((WIDTH, WIDTH), bool)
            for row in data.attributes.query(f"image == {k}").itertuples():
                if getattr(row, factor) == loader.FACTORS[factor][value[k]]:
                    expected |= data.masks[k][row.object]
            assert expected.any() and (targets[k] == expected).all()
            seen.add((k, int(value[k])))
    assert seen == {
        (row.image, loader.FACTORS[factor].index(getattr(row, factor))) for row in data.attributes.itertuples()
    }


def test_codes_are_in_the_released_order():
    assert loader.FACTORS["quadrant"] == ("top_left", "top_right", "bottom_right", "bottom_left")  # clockwise
    assert loader.FACTORS["colour"] == tuple(RED_GREEN_YELLOW)


def test_split_is_in_sorted_order():
    parts = loader.split(4000, (2880, 320, 800))
    order = np.arange(4000)
    assert [order[parts[name]][[0, -1]].tolist() for name in ("train", "validation", "test")] == [
        [0, 2879],
        [2880, 3199],
        [3200, 3999],
    ]
    assert len(order[loader.split(10, (3, 0, 2))["validation"]]) == 0
    with pytest.raises(InputError, match=r"2880 \+ 320 \+ 801 = 4001 images asked for, the data set has 4000; ask"):
        loader.split(4000, (2880, 320, 801))


# Mistakes


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def edit(path: Path, **changes) -> None:
    """Change object 1 of a scene."""
    scene = json.loads(path.read_text(encoding="utf-8"))
    scene["objects"][1] |= changes
    path.write_text(json.dumps(scene), encoding="utf-8")


def grey(path: Path, value: int) -> None:
    pixels = np.array(Image.open(path))
    pixels[3, 4, 0] = value
    Image.fromarray(pixels).save(path)


def resize(path: Path, width: int, height: int) -> None:
    Image.open(path).resize((width, height), Image.Resampling.NEAREST).save(path)


MISTAKES: list[tuple[Callable[[Path], object], str]] = [
    (
        lambda f: (f / "segmentations/one/01.png").unlink(),
        "segmentations/one: 2 masks for 3 objects in the scene; ",
    ),
    (lambda f: cut(f / "images/one.png"), "images/one.png: damaged, cannot be read to its end (OSError); "),
    (
        lambda f: (f / "images/one.png").write_text("x", encoding="utf-8"),
        "images/one.png: is no PNG; replace it by one",
    ),
    (lambda f: cut(f / "segmentations/two/02.png"), "segmentations/two/02.png: damaged, cannot be read"),
    (
        lambda f: resize(f / "segmentations/two/02.png", 19, 20),
        "segmentations/two/02.png: 19 x 20 pixels where its image has 20 x 20; restore the file",
    ),
    (
        lambda f: grey(f / "segmentations/one/00.png", 65),
        "segmentations/one/00.png: red channel holds [65], not only 64 (background) and 255 (object); restore",
    ),
    (
        lambda f: segmentation((0, 0, 0, 0)).save(f / "segmentations/one/00.png"),
        "segmentations/one/00.png: no pixel is 255 (object); restore the file",
    ),
    (
        lambda f: Image.open(f / "images/one.png").convert("L").save(f / "images/one.png"),
        "images/one.png: is of mode L; save it as RGB or RGBA",
    ),
    (
        lambda f: resize(f / "images/one.png", 20, 21),
        "images/one.png: 20 x 21 pixels is not square; restore the file",
    ),
    (lambda f: cut(f / "scenes/two.json"), "scenes/two.json: is not a CLEVR scene (JSONDecodeError: "),
    (
        lambda f: (f / "scenes/two.json").write_text("{}", encoding="utf-8"),
        "scenes/two.json: is not a CLEVR scene (KeyError: 'objects')",
    ),
    (
        lambda f: (f / "scenes/two.json").write_text("[]", encoding="utf-8"),
        "scenes/two.json: is not a CLEVR scene (TypeError: ",
    ),
    (
        lambda f: edit(f / "scenes/one.json", color="purple"),
        "scenes/one.json: object 1 has color 'purple'; must be one of alizarin, nephritis, orange",
    ),
    (
        lambda f: edit(f / "scenes/one.json", shape="cone"),
        "scenes/one.json: object 1 has shape 'cone'; must be one of cube, sphere, triangle",
    ),
    (
        lambda f: edit(f / "scenes/one.json", size="huge"),
        "scenes/one.json: object 1 has size 'huge'; must be one of small, medium, large",
    ),
    (
        lambda f: edit(f / "scenes/one.json", pixel_coords=["7", 7]),
        "scenes/one.json: is not a CLEVR scene (TypeError: ",
    ),
    (lambda f: edit(f / "scenes/one.json", pixel_coords=[10**400, 7]), "is not a CLEVR scene (OverflowError: "),
    (
        lambda f: edit(f / "scenes/one.json", pixel_coords=[np.nan, 7]),
        "scenes/one.json: object 1 is nowhere, at nan, 7",
    ),
    (
        lambda f: edit(f / "scenes/one.json", color="purple" * 10**5),
        "scenes/one.json: object 1 has color 'purplepurple...epurplepurple'; must be one of",
    ),
    (
        lambda f: (f / "images/two.png").rename(f / "images/two.jpg"),
        "scenes/two.json: has no images/two.png; images/two.jpg may be it, save or rename it so",
    ),
    (
        lambda f: (f / "segmentations/one/01.png").rename(f / "segmentations/one/01.jpg"),
        "segmentations/one: 2 masks for 3 objects in the scene (segmentations/one/01.jpg is no PNG); ",
    ),
    (lambda f: edit(f / "scenes/one.json", pixel_coords=[3]), "scenes/one.json: is not a CLEVR scene (ValueError: "),
    (
        lambda f: (f / "scenes/two.json").unlink(),
        "images/two.png: has no scenes/two.json; restore that or remove this",
    ),
    (lambda f: (f / "images/two.png").unlink(), "scenes/two.json: has no images/two.png; restore that or remove this"),
    (
        lambda f: [(f / "images/two.png").unlink(), (f / "scenes/two.json").unlink()],
        "segmentations/two: has neither image nor scene; restore or remove it",
    ),
]


@pytest.mark.parametrize(("spoil", "line"), MISTAKES, ids=[line.split(";")[0] for _, line in MISTAKES])
def test_mistakes_are_named(folder, spoil, line):
    spoil(folder)
    with pytest.raises(InputError) as caught:
        read(folder)
    assert len([p for p in caught.value.problems if line in p]) == 1, caught.value
    expected = 4 if "not square" in line else 1  # its three masks are then of the wrong size, too
    assert len(caught.value.problems) == expected, caught.value
    assert all("; " in problem for problem in caught.value.problems)


def test_all_mistakes_at_once(folder):
    cut(folder / "images/one.png")
    edit(folder / "scenes/one.json", shape="cone", size="huge")
    grey(folder / "segmentations/two/00.png", 0)
    grey(folder / "segmentations/two/03.png", 254)
    with pytest.raises(InputError) as caught:
        read(folder)
    starts = [problem.removeprefix(f"{folder}/").split(":")[0] for problem in caught.value.problems]
    assert starts == [
        *("images/one.png", "scenes/one.json", "scenes/one.json"),
        *("segmentations/two/00.png", "segmentations/two/03.png"),
    ]


def test_images_of_different_widths(folder):
    for name in ("three", "four"):  # so that most are 20 wide
        for part, suffix in (("images", ".png"), ("scenes", ".json")):
            (folder / part / f"{name}{suffix}").write_bytes((folder / part / f"one{suffix}").read_bytes())
        (folder / "segmentations" / name).mkdir()
        for path in (folder / "segmentations/one").iterdir():
            (folder / "segmentations" / name / path.name).write_bytes(path.read_bytes())
    for path in [folder / "images/two.png", *folder.glob("segmentations/two/*")]:
        resize(path, 30, 30)
    with pytest.raises(InputError) as caught:
        read(folder)
    assert caught.value.problems == [
        f"{folder}/images/two.png: 30 pixels wide where the others have 20; restore or remove the file"
    ]


def test_size_larger_than_the_images(folder):
    with pytest.raises(InputError) as caught:
        read(folder, 21)
    assert caught.value.problems == ["size: 21 is more than the 20 pixels of the images; ask for 20 or fewer"]


def test_object_that_vanishes(folder):
    with pytest.raises(InputError, match=r"segmentations/two/00.png: its object vanishes at size 3; ask for a larger"):
        read(folder, 3)


def test_no_images(tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert caught.value.problems == [f"{tmp_path}/images: no images; render or download them as data/README.md says"]


def test_file_gone_since_the_manifest(folder):
    manifest = Manifest.of("CLEVR-Seg", "released", folder)
    (folder / "segmentations/one/00.png").unlink()
    with pytest.raises(InputError, match=r"segmentations/one/00.png: cannot be read \(No such file or directory\)"):
        loader.read(manifest, WIDTH)


def test_names_in_other_forms_and_capitals_are_the_same(folder):
    expected = read(folder)
    decomposed, composed = (unicodedata.normalize(form, "f\u00fcr") for form in ("NFD", "NFC"))
    (folder / "images/two.png").rename(folder / f"images/{decomposed}.PNG")
    (folder / "scenes/two.json").rename(folder / f"scenes/{composed}.json")
    (folder / "segmentations/two").rename(folder / f"segmentations/{decomposed}")
    found = read(folder)
    assert found.names == [composed, "one"]
    np.testing.assert_array_equal(found.images, expected.images[::-1])


def test_turned_pictures_are_read_upright_and_their_palettes_looked_up(folder):
    expected = read(folder)
    exif = Image.Exif()
    exif[274] = 6
    for path in [folder / "images/one.png", *folder.glob("segmentations/one/*")]:
        turned = Image.fromarray(np.rot90(np.asarray(Image.open(path).convert("RGB"))))
        turned = turned.quantize(4) if path.parent.name == "one" else turned
        turned.save(path, exif=exif)
    found = read(folder)
    np.testing.assert_array_equal(found.images[0], expected.images[0])
    np.testing.assert_array_equal(found.masks[0], expected.masks[0])


def test_unknown_quadrant_rule(folder):
    with pytest.raises(InputError, match="quadrant: 'middle' is unknown; use centre_of_mass or pixel_coords"):
        read(folder, quadrant="middle")
