"""SDNet with areas beside masks: the second update written plainly, what it looks at, equal bits, that it learns."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from equality import same_bits
from sdnet_examples import DRAWN, LABELLED, UNLABELLED, VALIDATION, WEIGHTS
from whereabouts.data.examples import Examples
from whereabouts.losses.sdnet import Weights
from whereabouts.methods.networks.sdnet import sdnet_network
from whereabouts.models.sdnet.discriminator import MaskDiscriminator
from whereabouts.models.sdnet.modality import sample
from whereabouts.models.sdnet.volume import AreaRegressor
from whereabouts.training.checkpoints import Checkpoint
from whereabouts.training.loop import Schedule, batch_indices, build, run
from whereabouts.training.multi_task import UNIT, WithArea, areas
from whereabouts.training.semi_supervised import Readings, SemiSupervised

pytestmark = pytest.mark.usefixtures("on_the_cpu")

SCHEDULE = Schedule(steps=3, batch=3, learning_rate=1e-2, validate_every=1, patience=9)
VENTRICLE = 3
NOTHING = Weights(kl=0, segmentation=0, adversarial=0, reconstruction=0, z_reconstruction=0)


def measured():
    """Synthetic slices of 16 blocks of 8 pixels: one of the ventricle among 15 of class 2, or 4 among 12 of class 1.

    The regressor starts near 1, between these areas, .625 and 2.5: of an absolute error the slope tells no more.
    """
    rng = np.random.default_rng(8)
    kinds = [VENTRICLE] + 15 * [2], 4 * [VENTRICLE] + 12 * [1]
    blocks = np.stack([rng.permutation(kinds[n % 2]).reshape(4, 4) for n in range(6)])
    labels = blocks.repeat(8, 1).repeat(8, 2)
    images = (labels / 2 - 0.75 + rng.normal(0, 0.1, labels.shape)).clip(-1, 1).astype(np.float32)
    return Examples.of(images, labels, np.zeros((6, 1)))


MEASURED = measured()


def arguments(seed=0, **changes):
    """Those of a small SDNet. `changes` are arguments, such as unlabelled=None."""
    options = {"side": 32, "channels": 3, "dimensions": 2, "segmentor_filters": 3}
    return {
        "model": build(lambda: sdnet_network("sdnet", 4, 2, **options), seed),
        "labelled": LABELLED,
        "validation": VALIDATION,
        "classes": 4,
        "schedule": SCHEDULE,
        "seed": seed,
        "weights_of": WEIGHTS,
        "readings": Readings(rotation=30),
    } | changes


def learner(seed=0, **changes):
    own = {"measured": MEASURED, "regressor": build(lambda: AreaRegressor(3, 4), seed + 2), "label": VENTRICLE}
    return WithArea(**arguments(seed, **own | changes))


def judged(seed=0):
    judge = build(lambda: MaskDiscriminator(3, 32, 2), seed + 1)
    return {"unlabelled": UNLABELLED, "drawn": DRAWN, "discriminator": judge}


def after(trained, steps=2):
    for number in range(steps):
        trained.step(number)
    return trained.state()


def relabelled(change):
    return replace(MEASURED, labels=change(MEASURED.labels))


# --------------------------------------------------------------------------------------------------------------- areas


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_areas_are_parts_of_the_image(dtype):
    labels = np.random.default_rng(0).integers(0, 4, (5, 7, 3))
    labels[1], labels[2] = 0, VENTRICLE
    ours = areas(torch.from_numpy(labels).to(dtype), VENTRICLE)
    expected = [np.count_nonzero(image == VENTRICLE) / (7 * 3) / 0.1 for image in labels]
    assert ours.shape == (5,) and ours.dtype == torch.float32
    np.testing.assert_allclose(ours, expected, rtol=1e-6)
    assert ours[1:3].tolist() == [0, 10] and UNIT == 0.1


# -------------------------------------------------------------------------------------------- the step written plainly


def plain_steps(steps, area, judge):
    """`SemiSupervised` as it is, then an update of model and regressor; their states, and the last loss and gradients.

    The model's Adam is the one of the other updates; the regressor has one of its own.
    """
    base, regressor = SemiSupervised(**arguments(**judge)), build(lambda: AreaRegressor(3, 4), 2)
    adam = torch.optim.Adam(regressor.parameters(), 1e-2, (0.5, 0.999), fused=True)
    model, w = base.model, WEIGHTS
    truth = [np.mean(image.numpy() == VENTRICLE) / UNIT for image in MEASURED.labels]
    for number in range(steps):
        loss, noise = base.step(number), base._generator(number, 1)
        index = batch_indices((0, 3), number, 6, 3)
        x = MEASURED.images[index].contiguous(memory_format=torch.channels_last)
        s = model.anatomy(x)
        mean, log_var = model.modality(x, s)
        cost = w.reconstruction * (model.decoder(s, sample(mean, log_var, noise)) - x).abs().mean()
        cost = cost + w.kl * 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean()
        z = torch.randn(3, 2, generator=noise)
        y = model.decoder(s.detach(), z)
        cost = cost + w.z_reconstruction * (sample(*model.modality(y, model.anatomy(y)), noise) - z).abs().mean()
        wrong = (regressor(s) - torch.tensor([truth[n] for n in index], dtype=torch.float32)).abs().mean()
        adam.zero_grad()
        base.optimisers[0].zero_grad()
        (cost + area * wrong).backward()
        adam.step()
        base.optimisers[0].step()
    parts = [*base.state()["parts"], regressor.state_dict()]
    return parts, loss


@pytest.mark.parametrize(("area", "with_judge"), [(1.0, False), (4.0, True)])
def test_the_same_steps_written_plainly(area, with_judge):
    """Within the first epoch, and but for the last bits of a mean; the loss is the labelled batch's."""
    trained = learner(area=area, **(judged() if with_judge else {}))
    losses = [trained.step(number) for number in range(2)]
    parts, loss = plain_steps(2, area, judged() if with_judge else {})
    assert len(parts) == len(trained.parts()) == len(trained.optimisers) == 2 + with_judge
    torch.testing.assert_close([dict(part) for part in trained.state()["parts"]], [dict(part) for part in parts])
    torch.testing.assert_close(losses[1], loss)
    assert not losses[1].requires_grad


# -------------------------------------------------------------------------------------------------- who learns of what


def gradients_of_the_last_update(trained):
    trained.step(0)
    return [{name: p.grad for name, p in part.named_parameters()} for part in trained.parts()]


def test_the_area_teaches_the_anatomy_encoder_and_the_regressor():
    """And with it alone, no other network."""
    model, regressor = gradients_of_the_last_update(learner(weights_of=NOTHING))
    assert model["anatomy.unet.head.weight"].any()
    assert all(gradient.any() for gradient in regressor.values())
    rest = [gradient for name, gradient in model.items() if not name.startswith("anatomy.")]
    assert rest and not any(gradient is not None and gradient.any() for gradient in rest)


def test_a_measured_image_is_explained_too():
    """By its factors: its cost reaches the decoder and the modality encoder, never the segmentor."""
    model, regressor = gradients_of_the_last_update(learner(area=0.0))
    assert all(model[name].any() for name in ("decoder.last.weight", "modality.mean.weight", "modality.log_var.weight"))
    assert not any(g is not None and g.any() for name, g in model.items() if name.startswith("segmentor"))
    assert not any(gradient.any() for gradient in regressor.values())


def test_the_discriminator_has_no_part_in_it():
    """After one step it is that of the same training without areas, to the last bit; the model is not."""
    with_area, without = learner(**judged()), SemiSupervised(**arguments(**judged()))
    a, b = after(with_area, 1), after(without, 1)
    assert same_bits(dict(a["parts"][1]), dict(b["parts"][1]))
    assert same_bits(a["optimisers"][1], b["optimisers"][1])
    assert not same_bits(dict(a["parts"][0]), dict(b["parts"][0]))


# --------------------------------------------------------------------------------------------------- what is looked at


def others_changed(labels):
    """0, 1 and 2 go round."""
    return torch.where(labels == VENTRICLE, labels, (labels + 1) % 3)


@pytest.mark.parametrize("change", [others_changed, lambda labels: labels.flip(1), lambda labels: labels.mT])
def test_of_measured_labels_the_area_only(change):
    """Neither where it lies nor what lies around it."""
    assert not torch.equal(change(MEASURED.labels), MEASURED.labels)
    assert same_bits(after(learner(measured=relabelled(change))), after(learner()))


def test_the_area_and_the_image_are_looked_at():
    expected = after(learner(), 1)
    none = relabelled(lambda labels: torch.where(labels == VENTRICLE, 0, labels))
    for other in (none, replace(MEASURED, images=-MEASURED.images)):
        assert not same_bits(after(learner(measured=other), 1), expected)
    assert not same_bits(after(learner(label=2), 1), expected)


# ----------------------------------------------------------------------------------------------------------- same bits


def test_cut_and_resumed_is_the_same_run(tmp_path):
    """A fresh learner, of other weights, takes everything from the checkpoint."""
    whole, again = (Checkpoint(tmp_path / name) for name in ("whole.pt", "again.pt"))
    first, second = learner(), learner()
    curve = run(first, SCHEDULE, whole, math.inf)
    run(second, replace(SCHEDULE, steps=1), again, math.inf)
    other = learner(seed=5)
    other.seed = 0  # of the order and the noise
    resumed = run(other, SCHEDULE, again, math.inf)
    assert again.load()["step"] == 3 and resumed.equals(curve)
    assert same_bits(again.load()["learner"], whole.load()["learner"])
    assert same_bits(other.weights(), first.weights())


@pytest.mark.parametrize("what", ["parts", "optimisers"])
def test_a_state_holds_the_regressor(what):
    """What the equality above would not see, were it never read."""
    state = after(learner(), 1)
    kept = state[what][-1]
    if what == "parts":
        kept["0.weight"] += 0.1
    else:
        kept["state"][0]["exp_avg"] *= 2
    other = learner()
    other.resume(state)
    other.step(1)
    expected = learner()
    after(expected, 2)
    assert not same_bits(dict(other.regressor.state_dict()), dict(expected.regressor.state_dict()))


def test_the_best_network_is_kept_with_its_regressor(monkeypatch):
    scores = iter([0.25, 0.5, 0.375])
    trained, expected = learner(), learner()
    monkeypatch.setattr(trained, "score", lambda: next(scores))
    assert run(trained, SCHEDULE).dice.tolist() == [0.25, 0.5, 0.375]
    after(expected, 2)
    assert set(trained.weights()) == {"model", "regressor"}
    assert same_bits(dict(trained.model.state_dict()), dict(expected.model.state_dict()))
    assert same_bits(dict(trained.regressor.state_dict()), dict(expected.regressor.state_dict()))


# --------------------------------------------------------------------------------------------------------------- learns


def discs(n, seed):
    """Synthetic slices with a bright disc of 3 to 13 pixels' radius on a dark ground: 2.8 % to 52 % of the image."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((32, 32))[:, None] - rng.uniform(13, 18, (2, n, 1, 1))
    labels = np.where(np.hypot(y, x) < rng.uniform(3, 13, (n, 1, 1)), VENTRICLE, 0)
    images = (labels / VENTRICLE - 0.5 + rng.normal(0, 0.1, labels.shape)).clip(-1, 1).astype(np.float32)
    return Examples.of(images, labels, np.zeros((n, 1)), np.arange(n))


class Seen(nn.Module):
    """An anatomy encoder without weights: what is bright, in each of three channels."""

    def forward(self, x):
        return (x > 0).float().expand(-1, 3, -1, -1)


def test_an_area_that_is_seen_is_learnt():
    """Of new images, when masks have taught nothing and the anatomy factor shows it.

    The regressor can but scale the part of the image that it sees, by w, and areas are counted in tenths: its error is
    |w - 10| times that part, and every update leads w towards 10.
    """
    regressor = AreaRegressor(3, 1).requires_grad_(False)
    for parameter in regressor.parameters():
        parameter.zero_()
    for layer in (regressor[0], regressor[2]):
        layer.weight[:, 0, 1, 1] = 1
    regressor[6].weight.fill_(1)
    w = regressor[8].weight.requires_grad_()
    w.data.fill_(1)
    model, measured, new = arguments()["model"], discs(16, 0), discs(20, 2)
    model.anatomy = Seen()
    only = {"weights_of": NOTHING, "readings": Readings(z_anatomy="given"), "regressor": regressor}
    trained = learner(model=model, measured=measured, schedule=replace(SCHEDULE, learning_rate=0.5), **only)
    after(trained, 5)
    assert w.item() == pytest.approx(1 + 5 * 0.5, abs=0.5)  # Adam's steps are as long as the learning rate
    for number in range(5, 40):
        trained.step(number)
    assert w.item() == pytest.approx(10, abs=1)
    truth = areas(new.labels, VENTRICLE)
    found = regressor(model.anatomy(new.images)).detach()
    assert (found - truth).abs().mean() < (truth - truth.median()).abs().mean() / 2


def test_an_area_leads_the_anatomy_encoder():
    """A small step along its gradient, with no rounding in the way, makes the measured images' areas less wrong."""
    options = {"side": 32, "channels": 3, "dimensions": 2, "segmentor_filters": 3, "discrete": "soft"}
    model = build(lambda: sdnet_network("sdnet", 4, 2, **options), 0)
    schedule = replace(SCHEDULE, batch=6, learning_rate=1e-3)
    trained = learner(model=model, weights_of=NOTHING, schedule=schedule)
    trained.regressor.requires_grad_(False)

    def error():
        with torch.no_grad():
            return (trained.regressor(model.train().anatomy(MEASURED.images)) - trained._areas).abs().mean().item()

    before = error()
    trained.step(0)
    assert error() < before
