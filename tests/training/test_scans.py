"""Training on scans: what a batch is, the step written plainly, losses in NumPy, equal bits, and that it learns."""

from copy import deepcopy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from equality import after, check_batches, check_resumes, same_bits
from whereabouts.data.scan import Scan
from whereabouts.losses.segmentation import dice_loss
from whereabouts.models.unet3d import AttentionUNet3D, InsideUNet3D, UNet3D
from whereabouts.training.augmentation import affine, warp
from whereabouts.training.loop import Schedule, batch_indices, build, run
from whereabouts.training.scans import Readings, Segmenting

pytestmark = pytest.mark.usefixtures("on_the_cpu")

SCHEDULE = Schedule(steps=6, batch=2, learning_rate=1e-2, validate_every=2, patience=9)
WINDOW = (16, 16, 16)
STILL = Readings(rotation=0, shift=0, zoom=(1, 1), flip=0)  # volumes are not moved
FILTERS = [4, 2, 2, 2, 2]


def scan(shape=WINDOW, seed=0):
    """A synthetic scan in which each of three classes has its own intensity, in blocks of 4 voxels."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 3, [-(-n // 4) for n in shape])
    labels = blocks.repeat(4, 0).repeat(4, 1).repeat(4, 2)[tuple(map(slice, shape))].astype(np.uint8)
    image = 300.0 * labels - 700 + rng.normal(0, 50, shape)
    return Scan(f"case {seed}", image.astype(np.float32), labels, (2.0, 2.0, 2.0))


TRAINING = [scan(shape, seed) for seed, shape in enumerate([(16, 16, 16), (20, 11, 18), (9, 17, 24)])]
VALIDATION = [scan((16, 15, 13), 8)]


class Local(nn.Module):
    """Convolutions without batch normalisation, so that images of a batch do not know of one another."""

    def __init__(self, classes=3, condition=0):
        super().__init__()
        layers = nn.Conv3d(1 + condition, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 8, 1), nn.ReLU()
        self.layers = nn.Sequential(*layers, nn.Conv3d(8, classes, 1))

    def levels(self, x, z=None):
        return self(x, z), []

    def forward(self, x, z=None):
        if z is not None:
            x = torch.cat([x, z[:, :, None, None, None].expand(-1, -1, *x.shape[2:])], 1)
        return self.layers(x)


def learner(seed=0, network=lambda: UNet3D(3, FILTERS), **changes):
    """A small learner. `changes` are arguments of it, such as only=(0, 2)."""
    arguments = {
        "model": build(network, seed),
        "training": TRAINING,
        "validation": VALIDATION,
        "structures": 2,
        "schedule": SCHEDULE,
        "seed": seed,
        "window": WINDOW,
    }
    return Segmenting(**arguments | changes)


def asked(seed=0, **changes):
    return learner(seed, lambda: InsideUNet3D(2, FILTERS, condition=2), asked=True, **changes)


def numpy_standardised(x):
    x = x.astype(np.float64)
    return (x - x.mean()) / x.std()


def numpy_dice_loss(logits, labels, twice=False):
    """Equation of section 3.2 over images and all classes, in float64."""
    logits = logits.detach().double().numpy()
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    scores = []
    for b in range(len(p)):
        for c in range(p.shape[1]):
            t = labels[b].numpy() == c
            scores.append((2 * (p[b, c] * t).sum() + 0.01 * (1 + twice)) / (p[b, c].sum() + t.sum() + 0.01))
    return 1 - np.mean(scores)


# -------------------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("make", [learner, asked])
def test_a_batch_is_a_function_of_seed_and_number(make):
    check_batches(make)


@pytest.mark.parametrize("shape", [(16, 16, 16), (3, 30, 21), (40, 17, 16), (1, 1, 1)])
@pytest.mark.parametrize("window", [(16, 16, 16), (32, 16, 48)])
def test_batches_have_the_shape_of_the_window(shape, window):
    trained = learner(training=[scan(shape)], window=window)
    x, labels, z = trained.batch(0)
    assert x.shape == (2, 1, *window) and x.dtype == torch.float32 and torch.isfinite(x).all()
    assert labels.shape == (2, *window) and labels.dtype == torch.int64
    assert set(labels.unique().tolist()) <= {0, 1, 2}
    assert z is None


def test_volumes_are_those_of_batch_indices_and_standardised():
    """Unmoved and as large as the window, so that they are seen as they are."""
    scans = [scan(seed=seed) for seed in range(5)]
    trained = learner(training=scans, readings=STILL, seed=3)
    for number in range(4):
        x, labels, _ = trained.batch(number)
        for k, image, truth in zip(batch_indices(3, number, 5, 2), x, labels, strict=True):
            np.testing.assert_allclose(image[0], numpy_standardised(scans[k].image), atol=1e-3)
            np.testing.assert_array_equal(truth, scans[k].labels)


def test_small_volumes_are_filled_up_with_their_minimum_and_with_background():
    """Before they are standardised (released)."""
    small = scan((7, 16, 12))
    x, labels, _ = learner(training=[small], readings=STILL).batch(0)
    margins = [(4, 5), (0, 0), (2, 2)]
    expected = numpy_standardised(np.pad(small.image, margins, constant_values=small.image.min()))
    for image, truth in zip(x, labels, strict=True):
        np.testing.assert_allclose(image[0], expected, atol=1e-3)
        np.testing.assert_array_equal(truth, np.pad(small.labels, margins))


def test_crops_are_everywhere_and_standardised_as_parts_of_the_whole():
    """In a volume whose intensities are places; labels are cropped at the same one."""
    shape = (18, 16, 19)
    places = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    labels = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
    trained = learner(training=[Scan("places", places, labels, (1.0, 1.0, 1.0))], readings=STILL)
    corners = set()
    for number in range(60):
        for image, truth in zip(*trained.batch(number)[:2], strict=True):
            first = image[0, 0, 0, 0].item() * places.std() + places.mean()
            corner = tuple(map(int, np.unravel_index(round(first), shape)))
            part = tuple(slice(n, n + 16) for n in corner)
            np.testing.assert_allclose(image[0], numpy_standardised(places)[part], atol=1e-3)
            np.testing.assert_array_equal(truth, labels[part])
            corners.add(corner)
    assert corners == {(i, 0, k) for i in range(3) for k in range(4)}


def test_image_and_labels_are_moved_alike():
    """An image that is 1 in the structure and 0 elsewhere; away from its border, labels say the same."""
    rng = np.random.default_rng(3)
    blobs = ndimage.gaussian_filter(rng.normal(size=(28, 24, 20)), 3) > 0
    trained = learner(training=[Scan("blobs", blobs.astype(np.float32), blobs.astype(np.uint8), (1.0, 1.0, 1.0))])
    shares, moved = [], []
    for number in range(10):
        x, labels, _ = trained.batch(number)
        for image, truth in zip(x[:, 0].numpy(), labels.numpy(), strict=True):
            inside = image > (image.min() + image.max()) / 2
            border = ndimage.maximum_filter(truth, (3, 3, 1)) != ndimage.minimum_filter(truth, (3, 3, 1))
            assert (inside != truth)[~border].mean() < 1e-3  # what lies between voxels may be thinner than they are
            shares.append(border.mean())
            moved.append(inside)
    assert max(shares) < 0.5
    assert np.mean([(a != b).mean() for a, b in pairwise(moved)]) > 0.3


def noise_of(trained, number):
    """The generator from which batch `number` is drawn."""
    state = np.random.SeedSequence((trained.seed, number)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> 1))


def test_movements_are_those_of_affine_in_the_plane():
    """One matrix a volume, drawn in turn, then the corner of the crop; every slice is moved alike."""
    readings = Readings(rotation=40, shift=0.2, zoom=(0.5, 1.5), flip=0.3)
    volumes = [scan((16, 18, 16), seed) for seed in range(2)]
    trained = learner(training=volumes, readings=readings)
    noise = noise_of(trained, 5)
    x, labels, _ = trained.batch(5)
    for k, image, truth in zip(batch_indices(0, 5, 2, 2), x, labels, strict=True):
        by = affine(1, noise, 40, 0.2, (0.5, 1.5), (0.3, 0.3))
        slices = torch.from_numpy(volumes[k].image).movedim(2, 0)[None]  # as channels of one image
        whole = warp(slices, by)[0].movedim(0, 2)
        masks = warp(torch.from_numpy(volumes[k].labels).float().movedim(2, 0)[None], by, "nearest")[0].movedim(0, 2)
        start = [int(torch.randint(room, (1,), generator=noise)) for room in (1, 3, 1)][1]
        np.testing.assert_allclose(image[0], numpy_standardised(whole.numpy())[:, start : start + 16], atol=1e-3)
        assert torch.equal(truth, masks[:, start : start + 16].long())


def test_flips_reverse_either_axis_of_the_plane_and_never_the_third():
    trained = learner(training=[scan()], readings=replace(STILL, flip=0.5))
    image = numpy_standardised(scan().image)
    found = dict.fromkeys([(), (0,), (1,), (0, 1)], 0)
    for number in range(40):
        for x, labels in zip(*trained.batch(number)[:2], strict=True):
            [axes] = [axes for axes in found if np.allclose(x[0], np.flip(image, axes), atol=1e-3)]
            np.testing.assert_array_equal(labels, np.flip(scan().labels, axes))
            found[axes] += 1
    assert all(8 <= count <= 32 for count in found.values())  # 20 expected, standard deviation 3.9


def test_along_the_third_axis_nothing_moves():
    ramp = np.broadcast_to(np.arange(16.0, dtype=np.float32), (24, 20, 16)).copy()
    x, _, _ = learner(training=[replace(scan((24, 20, 16)), image=ramp)]).batch(0)
    expected = np.broadcast_to(numpy_standardised(np.arange(16.0)), (2, 1, *WINDOW))
    np.testing.assert_allclose(x, expected, atol=1e-4)


def test_a_network_that_is_asked_for_one_structure():
    """The question is one-hot, drawn evenly, for each example by itself; labels are that structure's."""
    trained, plain = asked(readings=STILL, training=[scan()]), learner(readings=STILL, training=[scan()])
    pairs = []
    for number in range(60):
        x, labels, z = trained.batch(number)
        assert torch.equal(x, plain.batch(number)[0])
        assert z.shape == (2, 2) and z.dtype == torch.float32 and labels.dtype == torch.int64
        assert all(sorted(row) == [0, 1] for row in z.tolist())
        for truth, row in zip(labels, z, strict=True):
            np.testing.assert_array_equal(truth, scan().labels == row.argmax().item() + 1)
        pairs.append(tuple(z.argmax(1).tolist()))
    assert all(6 <= pairs.count(pair) <= 26 for pair in [(0, 0), (0, 1), (1, 0), (1, 1)])  # 15 expected, sd 3.4


# ----------------------------------------------------------------------------------------------------------------- loss


@pytest.mark.parametrize(("as_released", "auxiliary"), [(False, 0.3), (True, 0.0)])
@pytest.mark.parametrize("network", [UNet3D, AttentionUNet3D])
def test_the_loss_is_dice_over_all_classes(as_released, auxiliary, network):
    """Of the network's answer and, weighed, of each of the four decoder levels; here in NumPy."""
    readings = Readings(as_released=as_released, auxiliary=auxiliary)
    trained = learner(network=lambda: network(3, FILTERS), readings=readings)
    x, labels, _ = trained.batch(0)
    fused, levels = deepcopy(trained.model).train().levels(x)
    assert len(levels) == 4
    terms = [numpy_dice_loss(logits, labels, as_released) for logits in (fused, *levels)]
    loss = trained.step(0)
    assert not loss.requires_grad and loss.shape == ()
    assert loss.item() == pytest.approx(terms[0] + auxiliary * sum(terms[1:]), abs=1e-6)


@pytest.mark.parametrize("only", [(0, 2), (0, 1), (0, 2, 1)])
def test_the_loss_of_some_labels_only(only):
    """Others are background, and their logits are not looked at."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, 6, generator=rng, requires_grad=True)
    labels = torch.randint(0, 3, (2, 4, 5, 6), generator=rng)
    value = learner(only=only)._dice(logits, labels)
    position = {label: k for k, label in enumerate(only)}
    mapped = labels.clone().apply_(lambda label: position.get(label, 0))
    assert value.item() == pytest.approx(numpy_dice_loss(logits[:, list(only)], mapped), abs=1e-6)
    (gradient,) = torch.autograd.grad(value, logits)
    assert [part.any().item() for part in gradient.unbind(1)] == [label in only for label in range(3)]


def test_the_loss_of_fine_tuning_is_the_released_one_up_to_a_factor():
    """Which divides what it sums over two classes by all four of the network: half our gain, and half our gradient."""
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 4, 5, 6, generator=rng, dtype=torch.float64, requires_grad=True)
    labels = 2 * torch.randint(0, 2, (2, 4, 5, 6), generator=rng)  # the pancreas' scans have no other label
    ours = learner(network=lambda: UNet3D(4, FILTERS), only=(0, 2), readings=Readings(as_released=True))._dice
    e = logits[:, [0, 2]].exp()
    p = (e / e.sum(1, keepdim=True)).flatten(2)
    t = torch.stack([labels == 0, labels == 2], 1).flatten(2).double()
    theirs = 1 - (2 * ((p * t).sum(2) + 0.01) / (p.sum(2) + t.sum(2) + 0.01)).sum() / (2 * 4)
    value = ours(logits, labels)
    assert value.item() == pytest.approx(1 - 2 * (1 - theirs.item()), abs=1e-6)
    (gradient,), (released,) = (torch.autograd.grad(loss, logits) for loss in (value, theirs))
    torch.testing.assert_close(gradient, 2 * released, rtol=1e-4, atol=1e-8)


def test_outputs_of_other_labels_learn_nothing():
    """Of fine-tuning on one structure: the rows of the last convolution that judge the others stay as they were."""
    trained = learner(only=(0, 2), readings=Readings(weight_decay=0))
    before = deepcopy(trained.model.final.state_dict())
    after(trained, 3)
    for name, value in trained.model.final.state_dict().items():
        assert torch.equal(value[1], before[name][1])
        assert not torch.equal(value[0], before[name][0]) and not torch.equal(value[2], before[name][2])


def test_a_network_that_is_asked_is_told_what_for():
    trained = asked()
    calls = []
    levels = trained.model.levels
    trained.model.levels = lambda x, z: calls.append((x, z)) or levels(x, z)
    trained.step(0)
    x, _, z = trained.batch(0)
    [(given, facts)] = calls
    assert torch.equal(given, x) and torch.equal(facts, z)


# ----------------------------------------------------------------------------------------------------------- the step


def plain_steps(trained, steps):
    """Those of section 3.2, from the network, the loss and the optimiser alone, on the network of `trained`."""
    model, r = trained.model.train(), trained.readings
    if r.optimiser == "adam":
        optimiser = torch.optim.Adam(model.parameters(), 1e-2, (0.9, 0.999), weight_decay=r.weight_decay, fused=True)
    else:
        optimiser = torch.optim.SGD(model.parameters(), 1e-2, 0.9, weight_decay=r.weight_decay, nesterov=True)
    for number in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-2 / 2 ** (number // r.halve_every if r.halve_every else 0)
        optimiser.zero_grad()
        for part in range(r.accumulate):
            x, labels, z = trained.batch(number * r.accumulate + part)
            fused, levels = model.levels(x, z)
            loss = dice_loss(fused, labels, 0.01, background=True)
            if r.auxiliary:
                loss = loss + r.auxiliary * sum(dice_loss(level, labels, 0.01, background=True) for level in levels)
            (loss / r.accumulate).backward()
        optimiser.step()
    return dict(model.state_dict())


@pytest.mark.parametrize(
    ("make", "readings"),
    [
        (learner, Readings(weight_decay=0.1, auxiliary=0.5)),
        (learner, Readings(optimiser="sgd", weight_decay=0.1)),
        (learner, Readings(halve_every=2)),
        (learner, Readings(optimiser="sgd", halve_every=1, accumulate=2)),
        (asked, Readings()),
    ],
)
def test_the_same_steps_written_plainly(make, readings):
    state = after(make(readings=readings), 3)
    assert same_bits(dict(state["model"]), plain_steps(make(readings=readings), 3))


@pytest.mark.parametrize(("optimiser", "rate"), [("adam", 1e-2), ("sgd", 1.0)])
def test_accumulated_batches_are_one_large_batch(optimiser, rate):
    """Of a network without batch normalisation: gradients are averaged, and so is the loss that is reported."""
    scans = [scan(seed=seed) for seed in range(5)]

    def trained(batch, accumulate):
        schedule = replace(SCHEDULE, batch=batch, learning_rate=rate)
        readings = replace(STILL, optimiser=optimiser, accumulate=accumulate)
        return learner(network=Local, training=scans, schedule=schedule, readings=readings)

    large, parts, half = trained(4, 1), trained(2, 2), trained(2, 1)
    for number in range(3):
        expected = large.step(number)
        assert parts.step(number).item() == pytest.approx(expected.item(), abs=1e-5)
        half.step(number)
    a, b, other = (nn.utils.parameters_to_vector(who.model.parameters()).double() for who in (large, parts, half))
    assert (a - b).norm() < 1e-2 * (a - other).norm()


@pytest.mark.parametrize(
    ("halve_every", "factors"),
    [(0, [1, 1, 1, 1, 1]), (2, [1, 1, 0.5, 0.5, 0.25]), (1, [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16])],
)
@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_learning_rate(halve_every, factors, optimiser):
    trained = learner(network=Local, readings=Readings(optimiser=optimiser, halve_every=halve_every))
    for number, factor in enumerate(factors):
        trained.step(number)
        assert [group["lr"] for group in trained.optimiser.param_groups] == [1e-2 * factor]


def test_optimisers_are_the_papers():
    adam = learner().optimiser
    assert type(adam) is torch.optim.Adam and adam.defaults["betas"] == (0.9, 0.999)
    sgd = learner(readings=Readings(optimiser="sgd")).optimiser
    assert type(sgd) is torch.optim.SGD and sgd.defaults["nesterov"] and sgd.defaults["momentum"] == 0.9
    assert [group["weight_decay"] for group in (*adam.param_groups, *sgd.param_groups)] == [1e-6, 1e-6]
    gated = learner(network=lambda: AttentionUNet3D(3, FILTERS)).optimiser
    assert [group["weight_decay"] for group in gated.param_groups] == [1e-6, 0]  # open gates do not decay


# ------------------------------------------------------------------------------------------------------------ snapshots


def test_snapshots_are_the_weights_after_their_steps():
    """Copies, with running statistics; later steps leave them as they are, and no step is put aside unasked."""
    trained, alone, expected = learner(snapshots=(1, 3, 9)), learner(), {}
    for number in range(5):
        trained.step(number)
        alone.step(number)
        expected[number + 1] = deepcopy(dict(alone.model.state_dict()))
        assert list(trained.kept) == [step for step in (1, 3) if step <= number + 1]
    assert same_bits({step: dict(weights) for step, weights in trained.kept.items()}, {s: expected[s] for s in (1, 3)})
    assert not same_bits(expected[1], expected[3])
    assert same_bits(dict(trained.model.state_dict()), expected[5])
    assert learner().kept == {}


def test_snapshots_survive_the_choice_of_the_best_weights(monkeypatch):
    scores = iter([0.5, 0.25, 0.125])
    trained = learner(snapshots=(2, 4, 6))
    expected = after(learner(snapshots=(2, 4, 6)), 6)["kept"]
    monkeypatch.setattr(trained, "score", lambda: next(scores))
    run(trained, SCHEDULE)
    assert same_bits(dict(trained.model.state_dict()), dict(expected[2]))
    assert same_bits(trained.kept, expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda: learner(snapshots=(1, 4), readings=Readings(auxiliary=0.2)),
        lambda: learner(snapshots=(2,), readings=Readings(optimiser="sgd", halve_every=2, accumulate=2)),
        lambda: asked(snapshots=(3,)),
    ],
)
def test_resumed_in_the_middle_it_is_the_same_run(make, checkpoint):
    """With its snapshots, before and after."""
    check_resumes(make, checkpoint)


# -------------------------------------------------------------------------------------------------------------- learns


@pytest.mark.parametrize(("asked", "bound"), [(False, 0.6), (True, 0.75)])
def test_learns_two_tiny_scans_by_heart(asked, bound):
    """Who is asked and does not listen finds both structures, equally large, for either, and scores 2/3 at best.

    Other seeds score 0.73 and more, 0.92 and more when asked, whatever the rounding.
    """
    scans = [scan((16, 16, 16), 1), scan((16, 12, 20), 2)]
    schedule = Schedule(steps=60 if asked else 30, batch=2, learning_rate=2e-2, validate_every=30, patience=9)
    network = (lambda: Local(2, condition=2)) if asked else (lambda: UNet3D(3, [4, 4, 4, 4, 4]))
    parts = {"training": scans, "validation": scans, "schedule": schedule, "readings": replace(STILL, flip=0.5)}
    trained = learner(network=network, asked=asked, **parts)
    curve = run(trained, schedule)
    assert trained.score() == curve.dice.max() > bound


def numpy_dice(found, there):
    total = found.sum() + there.sum()
    return 2 * (found & there).sum() / total if total else 1.0


@pytest.mark.parametrize(("only", "values"), [((), (1, 2)), ((0, 2), (2,)), ((0, 2, 1), (1, 2))])
def test_score_is_dice_per_scan_and_structure(only, values):
    """Of the logits of whole volumes, which are as large as the window; a structure that is absent has weight too."""
    full, half = scan(seed=4), scan(seed=5)
    half = replace(half, labels=half.labels * (half.labels != 2))
    trained = learner(validation=[full, half], only=only)
    after(trained, 3)
    expected = []
    with torch.no_grad():
        for one in (full, half):
            x = torch.from_numpy(numpy_standardised(one.image)).float()[None, None]
            logits = trained.model.eval()(x)[0].numpy()
            labels = np.array(only or (0, 1, 2))[logits[list(only or (0, 1, 2))].argmax(0)]
            expected += [numpy_dice(labels == value, one.labels == value) for value in values]
    assert trained.score() == pytest.approx(np.mean(expected), abs=1e-3)
    assert isinstance(trained.score(), float) and trained.measure == "dice"


def test_score_where_a_structure_is_absent_from_both():
    """Dice is 1 there, as `metrics.overlap` has it; a network that finds nothing scores no more elsewhere."""
    empty = replace(scan(), labels=np.zeros(WINDOW, np.uint8))
    trained = learner(network=Local, validation=[empty, scan()])
    with torch.no_grad():
        trained.model.layers[-1].bias[:] = torch.tensor([1e3, 0.0, 0.0])
    assert trained.score() == 0.5


def test_score_of_a_network_that_is_asked():
    trained = asked(validation=[scan(seed=4)])
    after(trained, 3)
    x = torch.from_numpy(numpy_standardised(scan(seed=4).image)).float()[None, None]
    expected = []
    with torch.no_grad():
        for value in (1, 2):
            logits = trained.model.eval()(x, torch.eye(2)[[value - 1]])[0]
            expected.append(numpy_dice((logits[1] > logits[0]).numpy(), scan(seed=4).labels == value))
    assert trained.score() == pytest.approx(np.mean(expected), abs=1e-3)


def test_score_is_of_windows_and_leaves_training_alone():
    """Two for a scan that is larger than the window along one axis. The next step does what it would have done."""
    trained, seen = learner(validation=[scan((16, 20, 13)), scan()]), []
    trained.step(0)
    hook = trained.model.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    trained.score()
    hook.remove()
    assert seen == 3 * [(1, 1, *WINDOW)]
    trained.step(1)
    assert same_bits(trained.state(), after(learner(), 2))
