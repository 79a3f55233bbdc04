"""CLEVR-Seg scenes rendered with Mitsuba, in the layout of the data set that INSIDE (Jacenków 2020, section 4.1) used.

As Fig. 4 says of the original: CLEVR with a bird's-eye view, a triangular prism in place of the cone, and no
reflections. Every image holds three to five objects and at least one of each colour, shape and size.

Written below `root`: `images/<name>.png` (RGB), `scenes/<name>.json` (as CLEVR's generator writes it), and
`segmentations/<name>/<kk>.png`, one RGB image per object in the order of the scene, 64 background, 255 object.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import mitsuba as mi
import numpy as np
from PIL import Image

from whereabouts.pipeline import progress

mi.set_variant("scalar_rgb")

BACKGROUND, OBJECT = 64, 255  # grey values of the segmentations
COLOURS = {"alizarin": "e74c3c", "nephritis": "27ae60", "orange": "f39c12"}  # sRGB; red, green, yellow in the paper
SHAPES = ("cube", "sphere", "triangle")
SIZES = {"small": 0.35, "medium": 0.5, "large": 0.7}  # radius of the circle around the base; CLEVR's, medium added

CAMERA_HEIGHT = 20.0  # far above a field of 6.4, so that a cube's sides hardly show
FIELD = 6.4  # width of the ground that is seen: a large sphere is 45 px wide in 200, a small cube 5 px in 64
GAP = 0.15  # least distance between two objects, and from an object to the border, on the ground


@dataclass(frozen=True)
class SceneObject:
    """One object, standing on the ground z = 0.

    Args:
        shape, colour, size: keys of `SHAPES`, `COLOURS`, `SIZES`.
        x, y: centre of the base, world units; x points right and y up in the image, the camera is above (0, 0).
        rotation: about the vertical, degrees.
    """

    shape: str
    colour: str
    size: str
    x: float
    y: float
    rotation: float

    @property
    def radius(self) -> float:
        """Radius of the circle around the base; CLEVR too shrinks its cube's half edge to radius / sqrt(2)."""
        return SIZES[self.size]

    @property
    def height(self) -> float:
        """Height: a sphere's diameter, a cube's edge; the prism is as tall as the cube."""
        return self.radius * (2.0 if self.shape == "sphere" else 2.0**0.5)

    @property
    def centre(self) -> tuple[float, float, float]:
        """Centre in world units."""
        return self.x, self.y, self.height / 2

    def corners(self) -> np.ndarray:
        """(6, 3) corners of a prism, world units: three on the ground, then the three above them."""
        angles = np.radians(self.rotation + np.array([90.0, 210.0, 330.0]))
        base = np.stack([self.x + self.radius * np.cos(angles), self.y + self.radius * np.sin(angles)], axis=1)
        return np.concatenate([np.c_[base, np.zeros(3)], np.c_[base, np.full(3, self.height)]])


def project(point: tuple[float, float, float], size: int) -> tuple[float, float, float]:
    """Pinhole projection of a world point.

    Returns:
        x (right) and y (down) in pixels from the image's top left corner, and the depth along the camera's axis.
    """
    depth = CAMERA_HEIGHT - point[2]
    scale = size / FIELD * CAMERA_HEIGHT / depth  # px per world unit at this depth
    return size / 2 + scale * point[0], size / 2 - scale * point[1], depth


def sample_scene(rng: np.random.Generator) -> list[SceneObject]:
    """Three to five objects, one at least of each colour, shape and size, uniform over the layouts without overlap."""
    count = int(rng.integers(3, 6))
    shapes, colours, sizes = (_cover(list(values), count, rng) for values in (SHAPES, COLOURS, SIZES))
    rotations = rng.uniform(0, 360, count)
    radii = np.array([SIZES[size] for size in sizes])
    while True:
        reach = FIELD / 2 - radii
        x, y = rng.uniform(-reach, reach), rng.uniform(-reach, reach)
        objects = [
            SceneObject(*attributes)
            for attributes in zip(shapes, colours, sizes, x.tolist(), y.tolist(), rotations.tolist(), strict=True)
        ]
        if _apart(objects):
            return objects


def _cover(values: list[str], count: int, rng: np.random.Generator) -> list[str]:
    """`count` values in random order, each of `values` at least once."""
    chosen = values + [values[k] for k in rng.integers(len(values), size=count - len(values))]
    return [chosen[k] for k in rng.permutation(count)]


def _apart(objects: list[SceneObject]) -> bool:
    """Whether all objects lie inside the image and none hides any of another.

    An object stands inside an upright cylinder. Seen from above its base is the disc (c, r) and its top, nearer to
    the camera, the disc (m c, m r) with m = H / (H - height); one disc around both stands for the object here.
    """
    centre = np.array([[thing.x, thing.y] for thing in objects])  # (n, 2)
    top = CAMERA_HEIGHT / (CAMERA_HEIGHT - np.array([thing.height for thing in objects]))  # m, (n,)
    radius = top * [thing.radius for thing in objects] + (top - 1) / 2 * np.linalg.norm(centre, axis=1)
    centre = centre * (1 + top[:, None]) / 2
    if (np.abs(centre).max(axis=1) + radius + GAP > FIELD / 2).any():
        return False
    first, second = np.triu_indices(len(objects), 1)
    distance = np.linalg.norm(centre[first] - centre[second], axis=1)
    return bool((distance > radius[first] + radius[second] + GAP).all())


def render(objects: list[SceneObject], size: int, samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Colour image and masks of a scene.

    Args:
        objects: what stands on the ground.
        size: height and width, px.
        samples: rays per pixel from what is seen towards the lights, and as many the way a matte surface scatters.
        seed: of Mitsuba's sampler.

    Returns:
        Image, uint8 (size, size, 3), and masks, bool (n_objects, size, size): what is seen at each pixel's centre.
    """
    lit = mi.load_dict(
        {
            "type": "scene",
            "ground": {
                "type": "rectangle",
                "to_world": mi.ScalarTransform4f().scale(10 * FIELD),
                "bsdf": _matte((0.5, 0.5, 0.5)),
            },
            "sky": {"type": "constant", "radiance": {"type": "rgb", "value": 0.35}},
            "lamp": {  # large and from the upper left, as CLEVR's key light: soft shadows
                "type": "rectangle",
                "to_world": mi.ScalarTransform4f()
                .look_at(origin=[-5.0, 6.0, 9.0], target=[0.0, 0.0, 0.0], up=[0.0, 0.0, 1.0])
                .scale(1.5),
                "emitter": {"type": "area", "radiance": {"type": "rgb", "value": 26.0}},
            },
            **{f"object_{k}": _shape(thing, "bsdf", _matte(_linear(thing.colour))) for k, thing in enumerate(objects)},
        }
    )
    # Camera rays cost as much as two of the others, so two of either kind for each: least noise for the time.
    # One block size whatever the number of cores: Mitsuba seeds its sampler by block.
    direct = mi.load_dict({"type": "direct", "shading_samples": 2, "block_size": 32})
    sampler = {"type": "multijitter", "sample_count": max(1, samples // 2)}
    image = np.array(direct.render(lit, sensor=_camera(size, sampler), seed=seed))  # (size, size, 3)

    # In the dark every object glows with its number: eight times as fast as Mitsuba's own index of shapes. One ray
    # through each pixel's centre, as a number averaged over several would be none.
    glowing = {
        f"object_{k}": _shape(thing, "emitter", {"type": "area", "radiance": {"type": "rgb", "value": float(k)}})
        for k, thing in enumerate(objects, start=1)
    }
    sampler = {"type": "stratified", "sample_count": 1, "jitter": False}
    emission = mi.load_dict({"type": "path", "max_depth": 1})
    number = np.array(emission.render(mi.load_dict({"type": "scene", **glowing}), sensor=_camera(size, sampler)))
    return _srgb(image), np.round(number[..., 0]) == np.arange(1, len(objects) + 1)[:, None, None]


def _camera(size: int, sampler: dict) -> mi.Sensor:
    """A camera that looks straight down; the box filter keeps pixels independent of each other."""
    return mi.load_dict(
        {
            "type": "perspective",
            "fov": float(2 * np.degrees(np.arctan(FIELD / 2 / CAMERA_HEIGHT))),
            "to_world": mi.ScalarTransform4f().look_at(
                origin=[0.0, 0.0, CAMERA_HEIGHT], target=[0.0, 0.0, 0.0], up=[0.0, 1.0, 0.0]
            ),
            "film": {
                "type": "hdrfilm",
                "width": size,
                "height": size,
                "pixel_format": "rgb",
                "component_format": "float32",
                "rfilter": {"type": "box"},
            },
            "sampler": sampler,
        }
    )


def _shape(thing: SceneObject, role: str, surface: dict) -> dict | mi.Mesh:
    """Mitsuba's shape for one object, with `surface` as its "bsdf" or "emitter"."""
    if thing.shape == "sphere":
        return {"type": "sphere", "center": list(thing.centre), "radius": thing.radius, role: surface}
    if thing.shape == "cube":
        upright = mi.ScalarTransform4f().translate(list(thing.centre)).rotate([0, 0, 1], thing.rotation)
        return {"type": "cube", "to_world": upright.scale(thing.height / 2), role: surface}
    properties = mi.Properties()
    properties[role] = mi.load_dict(surface)
    mesh = mi.Mesh("prism", 6, 8, props=properties)  # without normals at its corners, hence flat faces
    sides = [k for a, b in ((0, 1), (1, 2), (2, 0)) for k in (a, b, b + 3, a, b + 3, a + 3)]
    parameters = mi.traverse(mesh)
    parameters["vertex_positions"] = thing.corners().ravel().tolist()
    parameters["faces"] = [2, 1, 0, 3, 4, 5, *sides]
    parameters.update()
    return mesh


def _matte(reflectance: tuple[float, float, float] | list[float]) -> dict:
    """A diffuse surface of the given linear RGB reflectance."""
    return {"type": "diffuse", "reflectance": {"type": "rgb", "value": list(reflectance)}}


def _linear(colour: str) -> list[float]:
    """Linear RGB of a colour's name (inverse of `_srgb`)."""
    srgb = np.frombuffer(bytes.fromhex(COLOURS[colour]), np.uint8) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).tolist()


def _srgb(linear: np.ndarray) -> np.ndarray:
    """Linear radiance, 1 for white, to 8-bit sRGB (IEC 61966-2-1)."""
    linear = np.clip(linear, 0, 1)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(255 * curve).astype(np.uint8)


def describe(objects: list[SceneObject], name: str, size: int) -> dict:
    """The scene as CLEVR's generator writes it; `pixel_coords` are whole pixels and the depth."""
    described = []
    for thing in objects:
        x, y, depth = project(thing.centre, size)
        described.append(
            {
                "3d_coords": list(thing.centre),
                "pixel_coords": [round(x), round(y), depth],
                "rotation": thing.rotation,
                "color": thing.colour,
                "shape": thing.shape,
                "size": thing.size,
                "material": "rubber",
            }
        )
    return {"image_filename": f"{name}.png", "objects": described}


def write(root: Path, images: int, size: int, rng: np.random.Generator, samples: int = 12) -> None:
    """Render a data set; image k is the same whatever the number of images.

    Args:
        root: folder to write to.
        images: how many images.
        size: height and width of an image, px; the paper's are 200.
        rng: source of every scene and of the renderer's noise.
        samples: rays per pixel from what is seen towards the lights, and as many the way a matte surface scatters.
    """
    root = Path(root)
    for folder in ("images", "scenes", "segmentations"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for k, child in enumerate(progress.bar(rng.spawn(images), desc="render CLEVR-Seg", unit="image")):
        name = f"CLEVR_seg_{k:06d}"
        objects = sample_scene(child)
        image, masks = render(objects, size, samples, seed=int(child.integers(2**31)))
        # Level 3 is faster than the usual 6 and, on a renderer's noise, smaller.
        Image.fromarray(image).save(root / "images" / f"{name}.png", compress_level=3)
        (root / "scenes" / f"{name}.json").write_text(
            json.dumps(describe(objects, name, size), indent=1) + "\n", encoding="utf-8"
        )
        (root / "segmentations" / name).mkdir(exist_ok=True)
        for j, mask in enumerate(masks):
            grey = np.where(mask, OBJECT, BACKGROUND).astype(np.uint8)
            Image.fromarray(grey).convert("RGB").save(root / "segmentations" / name / f"{j:02d}.png")
