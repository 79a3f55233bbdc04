"""The training step against the same step written plainly, what it looks at, and equal bits whatever happens."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from equality import after, check_resumes, same_bits
from sdnet_examples import DRAWN, LABELLED, UNLABELLED, VALIDATION, WEIGHTS
from whereabouts.inference.slices import predict
from whereabouts.losses import sdnet as costs
from whereabouts.losses.sdnet import Weights
from whereabouts.methods.networks.sdnet import sdnet_network
from whereabouts.models.sdnet.discriminator import MaskDiscriminator
from whereabouts.models.sdnet.modality import sample
from whereabouts.models.sdnet.network import SDNet
from whereabouts.training import semi_supervised
from whereabouts.training.augmentation import angles, rotate
from whereabouts.training.loop import Schedule, batch_indices, build, run
from whereabouts.training.semi_supervised import Readings, SelfTraining, SemiSupervised

pytestmark = pytest.mark.usefixtures("on_the_cpu")

SCHEDULE = Schedule(steps=6, batch=3, learning_rate=1e-2, validate_every=2, patience=9)


def learner(method, seed=0, **changes):
    """A learner of the chapter, small. `changes` are arguments of it, such as discriminator=None."""
    options = {"side": 32, "channels": 3, "dimensions": 2, "segmentor_filters": 3} if method == "sdnet" else {}
    arguments = {
        "model": build(lambda: sdnet_network(method, 4, 2, **options), seed),
        "labelled": LABELLED,
        "validation": VALIDATION,
        "classes": 4,
        "schedule": SCHEDULE,
        "seed": seed,
        "weights_of": WEIGHTS,
        "readings": Readings(rotation=30),
    }
    if method != "unet":
        arguments["unlabelled"] = UNLABELLED
    if method in ("gan", "sdnet"):
        arguments |= {"discriminator": build(lambda: MaskDiscriminator(3, 32, 2), seed + 1), "drawn": DRAWN}
    if method == "self_train":
        return SelfTraining(**arguments | {"rounds": 1} | changes)
    return SemiSupervised(**arguments | changes)


def changed(data, **parts):
    """`data` with other tensors."""
    return replace(data, **{name: change(getattr(data, name)) for name, change in parts.items()})


def watch_updates(trained, which):
    """The gradients of model and discriminator (None where there is none), as each update of `which` finds them."""
    found = []

    def record(*_):
        parts = [part for part in (trained.model, trained.discriminator) if part is not None]
        found.append([{n: deepcopy(p.grad) for n, p in part.named_parameters()} for part in parts])

    trained.optimisers[which].register_step_pre_hook(record)
    return found


# ------------------------------------------------------------------------------------------- the step written plainly


def plain_batch(trained, data, role, number, noise):
    index = torch.from_numpy(batch_indices((trained.seed, role), number, len(data), 3))
    x, m = data.images[index], costs.masks(data.labels[index], 4)
    if trained.readings.rotation:
        by = angles(3, trained.readings.rotation, noise)
        x, m = rotate(x, by), rotate(m, by, "bilinear" if trained.readings.soft_masks else "nearest")
    return x.contiguous(memory_format=torch.channels_last), m


def plain_view(model, x, noise, z_anatomy):
    """Masks, and L_KL, L_rec and L_z_rec, of which a U-Net has none."""
    if not isinstance(model, SDNet):
        return costs.foreground(model(x)), ()
    s = model.anatomy(x)
    mean, log_var = model.modality(x, s)
    rec = costs.absolute_error(model.decoder(s, sample(mean, log_var, noise)), x)
    kl, constant = costs.kl_divergence(mean, log_var), s.detach()
    z = torch.randn(3, 2, generator=noise)
    y = model.decoder(constant, z)
    z_rec = costs.absolute_error(z, sample(*model.modality(y, model.anatomy(y) if z_anatomy else constant), noise))
    return costs.foreground(model.segmentor(s)), (kl, rec, z_rec)


def plain_steps(trained, steps):
    """Those of section 4.2, from the networks, the losses and Adam alone, on the networks of `trained` themselves."""
    model, judge, w, read = trained.model.train(), trained.discriminator, trained.weights_of, trained.readings
    beta1 = read.beta1 if judge is not None or isinstance(model, SDNet) else 0.9
    adam = [
        torch.optim.Adam(part.parameters(), 1e-2, (beta1, 0.999), fused=True)
        for part in (model, judge)
        if part is not None
    ]

    def update(which, loss):
        adam[which].zero_grad()
        loss.backward()
        adam[which].step()

    def explanation(kl, rec, z_rec):
        return w.reconstruction * rec + w.kl * kl + w.z_reconstruction * z_rec

    for number in range(steps):
        noise = trained._generator(number)
        x, m = plain_batch(trained, trained.labelled, 0, number, noise)
        predicted, terms = plain_view(model, x, noise, read.z_anatomy == "reencoded")
        loss = w.segmentation * costs.segmentation_loss(predicted, m, as_printed=read.as_printed)
        update(0, loss + explanation(*terms) if terms else loss)
        if trained.unlabelled is None:
            continue
        u, _ = plain_batch(trained, trained.unlabelled, 1, number, noise)
        predicted, terms = plain_view(model, u, noise, read.z_anatomy == "reencoded")
        if judge is None:
            update(0, explanation(*terms))
            continue
        loss = w.adversarial * costs.adversarial_loss(judge(predicted), read.as_printed)
        update(0, loss + explanation(*terms) if terms else loss)
        m = plain_batch(trained, trained.drawn, 2, number, noise)[1]
        scores = judge(torch.cat([m, predicted.detach()]))
        loss = costs.discriminator_loss(scores[:3], scores[3:])
        update(1, loss + read.spectral * judge.spectral_penalty() if read.spectral else loss)
    return [dict(part.state_dict()) for part in (model, judge) if part is not None]


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("unet", {}),
        ("unet", {"readings": Readings()}),
        ("gan", {}),
        ("gan", {"readings": Readings(as_printed=True, spectral=10, soft_masks=True, rotation=90, beta1=0.7)}),
        ("sdnet", {}),
        ("sdnet", {"readings": Readings(z_anatomy="given")}),
        ("sdnet", {"discriminator": None}),
        ("sdnet", {"discriminator": None, "unlabelled": None}),
    ],
)
def test_the_same_steps_written_plainly(method, changes):
    """Within the first epoch, where the learning rate is what it was at the start."""
    if method == "sdnet":  # s is not 0 everywhere, with room: the mean is 0.11 here
        assert learner(method).model.anatomy(LABELLED.images).mean() > 1e-3
    state = after(learner(method, **changes))
    assert same_bits([dict(part) for part in state["parts"]], plain_steps(learner(method, **changes), 2))


def test_the_loss_that_is_reported_is_that_of_the_labelled_batch():
    trained, model = learner("unet"), learner("unet").model.train()
    x, m = plain_batch(trained, LABELLED, 0, 0, trained._generator(0))
    loss = trained.step(0)
    assert not loss.requires_grad
    assert torch.equal(loss, 7 * costs.segmentation_loss(costs.foreground(model(x)), m).detach())


@pytest.mark.parametrize(("method", "beta1"), [("unet", 0.9), ("self_train", 0.9), ("gan", 0.5), ("sdnet", 0.5)])
def test_beta1_is_the_released_codes(method, beta1):
    """Of both optimisers where there are two; SDNet's own also without a discriminator."""
    trained = learner(method)
    assert {optimiser.defaults["betas"] for optimiser in trained.optimisers} == {(beta1, 0.999)}
    assert len(trained.optimisers) == 1 + (trained.discriminator is not None)
    assert learner("sdnet", discriminator=None).optimisers[0].defaults["betas"] == (0.5, 0.999)


@pytest.mark.parametrize("per", ["epoch", "update"])
@pytest.mark.parametrize(("unlabelled", "per_epoch"), [(None, 2), (UNLABELLED, 3)])
def test_learning_rate(per, unlabelled, per_epoch):
    """lr / (1 + decay t); an epoch is as many batches as the larger set fills."""
    discriminator = {} if unlabelled is not None else {"discriminator": None}
    readings = Readings(decay=0.25, decay_per=per)
    trained = learner("gan", unlabelled=unlabelled, readings=readings, **discriminator)
    for number in (0, 1, 2, 3, 5, 6, 100):
        trained.step(number)
        t = number if per == "update" else number // per_epoch
        rates = [optimiser.param_groups[0]["lr"] for optimiser in trained.optimisers]
        assert rates == pytest.approx([1e-2 / (1 + 0.25 * t)] * len(rates), rel=1e-12)


# -------------------------------------------------------------------------------------------------- who learns of what


def test_gradients_are_linear_in_the_weights():
    """The gradient of the labelled update is the sum of those of its terms alone, times lambda."""

    def gradient(weights):
        trained = learner("sdnet", weights_of=weights)
        found = watch_updates(trained, 0)
        trained.step(0)
        return torch.cat([gradient.flatten() for gradient in found[0][0].values()]).double()

    alone = {
        name: gradient(Weights(**dict.fromkeys(vars(WEIGHTS), 0.0) | {name: 1.0}))
        for name in ("kl", "segmentation", "reconstruction", "z_reconstruction")
    }
    together, parts = gradient(WEIGHTS), sum(getattr(WEIGHTS, term) * alone[term] for term in alone)
    assert all(part.norm() > 1e-3 for part in alone.values())
    assert (together - parts).norm() < 1e-4 * together.norm()


def test_without_adversarial_weight_the_discriminator_teaches_nothing():
    """All but the segmentor moves as if there were no discriminator. (Adam's momentum goes on for a gradient of 0.)"""
    weights = replace(WEIGHTS, adversarial=0.0)
    with_judge, without = learner("sdnet", weights_of=weights), learner("sdnet", weights_of=weights, discriminator=None)
    a, b = after(with_judge, 1)["parts"][0], after(without, 1)["parts"][0]
    explaining = [name for name in a if not name.startswith("segmentor")]
    assert all(torch.equal(a[name], b[name]) for name in explaining)
    other = after(learner("sdnet"), 1)["parts"][0]
    assert not all(torch.equal(a[name], other[name]) for name in explaining)


@pytest.mark.parametrize("method", ["gan", "sdnet"])
def test_neither_opponent_learns_from_the_others_update(method):
    trained = learner(method)
    generator, judge = watch_updates(trained, 0), watch_updates(trained, 1)
    trained.step(0)
    assert (len(generator), len(judge)) == (2, 1)
    labelled, unlabelled = generator
    for _, of_judge in (labelled, unlabelled):
        assert all(gradient is None for gradient in of_judge.values())
    assert same_bits(judge[0][0], unlabelled[0])  # the model's gradients are still those of its own update
    assert not same_bits(labelled[0], unlabelled[0])
    assert all(gradient.any() for gradient in judge[0][1].values())
    assert any(gradient.any() for gradient in unlabelled[0].values())
    assert all(parameter.requires_grad for parameter in trained.discriminator.parameters())


@pytest.mark.parametrize(("reading", "learns"), [("given", False), ("reencoded", True)])
def test_what_the_anatomy_encoder_learns_from_a_painting(reading, learns):
    """Of L_z_rec alone. As released, the anatomy is a constant that the synthetic image is made from."""
    only = Weights(kl=0, segmentation=0, adversarial=0, reconstruction=0, z_reconstruction=1)
    trained = learner("sdnet", weights_of=only, readings=Readings(z_anatomy=reading))
    found = watch_updates(trained, 0)
    trained.step(0)
    for gradients, _ in found:
        assert any(g.any() for n, g in gradients.items() if n.startswith("anatomy.")) == learns
        assert all(g.any() for n, g in gradients.items() if n.startswith(("decoder.last", "modality.mean")))
        assert not any(g is not None and g.any() for n, g in gradients.items() if n.startswith("segmentor"))


# --------------------------------------------------------------------------------------------------- what is looked at


def other_labels(labels):
    return 3 - labels


@pytest.mark.parametrize(("method", "steps"), [("gan", 2), ("sdnet", 1), ("self_train", 4)])
def test_labels_of_unlabelled_images_are_not_looked_at(method, steps):
    """Their images are. Self-training has labelled them itself before step 3."""
    expected = after(learner(method), steps)
    blind = learner(method, unlabelled=changed(UNLABELLED, labels=other_labels))
    assert same_bits(after(blind, steps), expected)
    shown = learner(method, unlabelled=changed(UNLABELLED, images=torch.neg))
    assert not same_bits(after(shown, steps), expected)


def test_of_drawn_examples_the_labels_only():
    expected = after(learner("gan"))
    assert same_bits(after(learner("gan", drawn=changed(DRAWN, images=torch.neg))), expected)
    assert not same_bits(after(learner("gan", drawn=changed(DRAWN, labels=other_labels))), expected)


@pytest.mark.parametrize(("soft_masks", "rotation"), [(False, 0.0), (False, 40.0), (True, 40.0)])
def test_real_masks_are_the_drawn_ones(soft_masks, rotation):
    """The discriminator's two calls: predicted masks, then drawn ones beside the same predicted ones."""
    trained = learner("gan", readings=Readings(soft_masks=soft_masks, rotation=rotation))
    calls = []
    trained.discriminator.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].detach().clone()))
    trained.step(0)
    predicted, both = calls
    assert torch.equal(both[3:], predicted)
    real = both[:3]
    values = real.unique().tolist()
    assert (set(values) == {0, 1}) != soft_masks
    if not rotation:
        index = torch.from_numpy(batch_indices((0, 2), 0, 4, 3))
        assert torch.equal(real, costs.masks(DRAWN.labels[index], 4))
    if not soft_masks:
        assert real.sum(1).max() <= 1
    assert not torch.equal(predicted, predicted.round())


def test_every_example_is_seen_once_an_epoch_and_batches_of_different_kinds_are_drawn_apart():
    rows = [np.concatenate([batch_indices((0, role), t, 7, 3) for t in range(7)]) for role in range(3)]
    for row in rows:
        assert all(sorted(row[k : k + 7]) == list(range(7)) for k in (0, 7, 14))
    assert not any(np.array_equal(a, b) for a, b in ((rows[0], rows[1]), (rows[0], rows[2]), (rows[1], rows[2])))


# ------------------------------------------------------------------------------------------------------------ same bits


@pytest.mark.parametrize(
    ("method", "at"), [("unet", 2), ("gan", 2), ("self_train", 2), ("self_train", 4), ("sdnet", 2)]
)
def test_resumed_in_the_middle_it_is_the_same_run(method, at, checkpoint):
    """Self-training labels its images at step 3: before, and in the middle of a round."""
    check_resumes(lambda: learner(method), checkpoint, at, at + 2)


def test_every_step_of_every_seed_has_its_own_noise():
    """Modality factors are sampled and images turned by it; the same step, asked twice, has the same."""
    trained, other = learner("unet"), learner("unet", seed=1)
    draws = [tuple(torch.randn(3, generator=who._generator(t)).tolist()) for who in (trained, other) for t in range(50)]
    assert len(set(draws)) == 100
    assert torch.randn(3, generator=trained._generator(7)).tolist() == list(draws[7])


# ------------------------------------------------------------------------------------------------------- self-training


def self_training(steps, rounds, **changes):
    return learner("self_train", schedule=replace(SCHEDULE, steps=steps), rounds=rounds, **changes)


def test_before_its_first_round_it_is_the_unet():
    """With as many unlabelled images as labelled ones: the learning rate falls with the epochs of the larger set."""
    same = {"unlabelled": UNLABELLED[:5]}
    a, b = after(self_training(8, 1, **same), 4), after(learner("unet"), 4)
    assert same_bits(a["parts"], b["parts"])
    assert same_bits(a["optimisers"], b["optimisers"])
    assert a["pseudo"] is None
    assert not same_bits(after(self_training(8, 1, **same), 5)["parts"], after(learner("unet"), 5)["parts"])


def test_a_round_written_plainly():
    """Two steps with labels, then the network labels all others, and each step has two updates."""
    trained, plain = self_training(4, 1, readings=Readings()), learner("unet", readings=Readings())
    model, adam = plain.model, torch.optim.Adam(plain.model.parameters(), 1e-2, fused=True)
    guesses = None
    for number in range(4):
        if number == 2:
            guesses = replace(UNLABELLED, labels=predict(model, UNLABELLED))
        model.train()
        for role, data in enumerate([LABELLED] if guesses is None else [LABELLED, guesses]):
            x, m = plain_batch(plain, data, role, number, None)
            adam.param_groups[0]["lr"] = 1e-2 / (1 + 1e-4 * (number // 3))
            adam.zero_grad()
            (7 * costs.segmentation_loss(costs.foreground(model(x)), m)).backward()
            adam.step()
    state = after(trained, 4)
    assert torch.equal(state["pseudo"], guesses.labels)
    assert same_bits(dict(state["parts"][0]), dict(model.state_dict()))


@pytest.mark.parametrize(("steps", "rounds"), [(8, 3), (6, 1), (3, 0), (11, 3), (5, 3), (7, 5), (2, 3), (1, 1)])
def test_images_are_labelled_anew_at_the_start_of_each_round(steps, rounds, monkeypatch):
    """A schedule that `rounds` + 1 does not divide has parts that differ by a step, and no round more.

    One of fewer steps than rounds starts a round with every step but the first.
    """
    trained, starts = self_training(steps, rounds), []

    def labels(model, data):
        starts.append(number)
        assert len(data) == 7
        return predict(model, data)

    monkeypatch.setattr(semi_supervised, "predict", labels)
    for number in range(steps):
        trained.step(number)
        assert (trained.state()["pseudo"] is not None) == bool(starts)
    assert len(starts) == min(rounds, steps - 1)
    lengths = np.diff([0, *starts, steps])
    assert lengths.max() - lengths.min() <= 1


def test_weights_from_before_the_first_labels_are_not_kept(monkeypatch):
    """However well they score; nor does patience begin before, which would end training after step 4.

    Validated after every step of 8, of which the fifth is the first to learn from labels of its own.
    """
    schedule = Schedule(steps=8, batch=3, learning_rate=1e-2, validate_every=1, patience=3)
    scores = [0.9, 0.8, 0.7, 0.6, 0.3, 0.5, 0.4, 0.5]

    def trained(steps=8):
        found = learner("self_train", schedule=schedule)
        monkeypatch.setattr(found, "score", iter(scores).__next__)
        return found, run(found, schedule) if steps == 8 else after(found, steps)

    kept, curve = trained()
    assert curve.dice.tolist() == scores
    assert same_bits(dict(kept.model.state_dict()), dict(trained(6)[1]["parts"][0]))
    unlike = learner("unet", schedule=schedule)
    monkeypatch.setattr(unlike, "score", iter(scores).__next__)
    assert run(unlike, schedule).dice.tolist() == scores[:4]  # the first is best, and three validations pass


def test_without_rounds_all_weights_may_be_kept(monkeypatch):
    trained = self_training(4, 0, validation=VALIDATION)
    assert trained.counts() and not self_training(4, 1).counts()


# ----------------------------------------------------------------------------------------------------------- selection


def selected(method, scores, monkeypatch, patience=2):
    """A learner that was trained as released while it scored so at each step, and the steps that it took."""
    schedule = Schedule(steps=len(scores), batch=3, learning_rate=1e-2, validate_every=1, patience=patience)
    trained = learner(method, schedule=schedule, readings=Readings(selection="released"))
    monkeypatch.setattr(trained, "score", iter(scores).__next__)
    return trained, len(run(trained, schedule))


@pytest.mark.parametrize(("method", "least"), [("unet", 0.001), ("self_train", 0.001), ("gan", 0.01), ("sdnet", 0.01)])
def test_the_released_selection_ends_where_gains_are_small_and_keeps_the_last_weights(method, least, monkeypatch):
    """Gains add up until they count: the third score is 1.4 of the least above the first, the fourth .7 above that."""
    rising = [0.5 + step * 0.7 * least for step in range(4)]
    trained, steps = selected(method, rising, monkeypatch)
    assert steps == 4
    assert selected(method, [0.5, *[0.5 + 0.9 * least] * 5], monkeypatch)[1] == (3 if method != "self_train" else 6)
    expected = learner(method, schedule=trained.schedule, readings=Readings(selection="released"))
    assert same_bits(dict(trained.model.state_dict()), dict(after(expected, 4)["parts"][0]))


def test_the_released_selection_looks_at_soft_slices_with_classes_pooled():
    trained = learner("unet", readings=Readings(selection="released"))
    p = torch.softmax(trained.model.eval()(VALIDATION.images), 1)[:, 1:].detach().double().numpy()
    m = costs.masks(VALIDATION.labels, 4).double().numpy()
    scores = [(2 * (a * b).sum() + 0.1) / (a.sum() + b.sum() + 0.1) for a, b in zip(p, m, strict=True)]
    assert trained.score() == pytest.approx(np.mean(scores), rel=1e-5)
    assert trained.score() != pytest.approx(learner("unet").score(), rel=0.01)


def test_resumed_labels_are_where_the_images_are():
    """A checkpoint is read to the CPU. (The device "meta" stands for an accelerator.)"""
    kept = after(learner("self_train"), 4)
    assert kept["pseudo"].shape == (7, 32, 32)
    trained = learner("self_train", unlabelled=UNLABELLED.to(torch.device("meta")))
    trained.resume(kept)
    assert trained.state()["pseudo"].device.type == "meta"


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Readings(z_anatomy="own"), "z_anatomy='own': unknown; choose one of reencoded, given"),
        (lambda: Readings(decay_per="step"), "decay_per='step': unknown; choose one of epoch, update"),
        (lambda: Readings(selection="last"), "selection='last': unknown; choose one of best, released"),
    ],
)
def test_unknown_readings(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message
