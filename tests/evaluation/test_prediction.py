"""Networks from end to end: what they predict, where they run, and that they learn."""

import numpy as np
import pytest
import torch
from torch import nn

from whereabouts.data.examples import Examples
from whereabouts.inference import device
from whereabouts.inference.slices import class_logits, predict, predict_logits
from whereabouts.losses.segmentation import inside_loss
from whereabouts.methods.networks.inside import acdc_network, clevr_network
from whereabouts.metrics import overlap
from whereabouts.training.loop import Schedule, build
from whereabouts.training.supervised import fit

pytestmark = pytest.mark.usefixtures("on_the_cpu")


def loss(model, logits, labels, z):
    return inside_loss(model, logits, labels, z, focal=0.1, gamma=0.5, eta=1e-4)


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_prediction_is_the_most_probable_class(batch):
    rng = np.random.default_rng(0)
    data = Examples.of(rng.random((7, 16, 16), dtype=np.float32), np.zeros((7, 16, 16)), rng.normal(size=(7, 2)))
    model = build(lambda: acdc_network("film-phase", 2, 16, filters=4), 0)
    logits, labels = predict_logits(model.train(), data, batch), predict(model.train(), data, batch)
    expected = model.eval()(data.images, data.z).detach()
    torch.testing.assert_close(logits, expected)
    probabilities = torch.softmax(expected, 1).numpy()
    assert labels.dtype == torch.uint8
    assert np.array_equal(labels, probabilities.argmax(1))
    assert not model.training


def test_prediction_of_one_logit_is_a_sigmoid_above_one_half():
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    data = Examples.of(images, np.zeros((5, 16, 16)), np.eye(5)[:, :4])
    model = build(lambda: clevr_network("film", 4, 16, filters=4), 0)
    with torch.no_grad():
        logit = model(data.batch(torch.arange(5))[0], data.z)
        model.head.bias -= logit.median()  # as many pixels above as below
        logit = logit - logit.median()
    p = 1 / (1 + np.exp(-logit[:, 0].double().numpy()))
    sure = np.abs(p - 0.5) > 1e-4
    assert np.array_equal(predict(model, data).numpy()[sure], (p > 0.5)[sure])
    assert 0.1 < (p > 0.5)[sure].mean() < 0.9


def asked(n, seed):
    """A red and a green square on black; the fact says which of the two is the foreground."""
    rng = np.random.default_rng(seed)
    images, labels = np.zeros((n, 16, 16, 3), np.uint8), np.zeros((n, 16, 16), np.uint8)
    z = rng.integers(0, 2, n)
    for i, channel in ((i, channel) for i in range(n) for channel in (0, 1)):
        x, y = rng.integers(0, 11), rng.integers(0, 4)
        square = (i, slice(y + 8 * channel, y + 8 * channel + 5), slice(x, x + 5))
        images[square] = np.eye(3)[channel] * 255
        labels[square] = channel == z[i]
    return Examples.of(images, labels, np.eye(2)[z])


@pytest.mark.parametrize(("method", "learns"), [("film", True), ("baseline", False)])
def test_a_small_network_learns_to_answer_if_it_is_told_the_question(method, learns):
    """Without the fact, both squares is the best answer: Dice 2/3."""
    model = build(lambda: clevr_network(method, 2, 16, filters=8), 0)
    schedule = Schedule(steps=120, batch=16, learning_rate=1e-2, validate_every=20, patience=9)
    curve = fit(model, asked(64, 0), asked(32, 1), loss, schedule, seed=0, classes=2)
    test = asked(32, 2)
    dice = overlap.dice(predict(model, test), test.labels, 2).mean()
    assert dice > 0.9 if learns else dice < 0.75
    assert curve.loss.iloc[-1] < curve.loss.iloc[0]


def test_device_is_asked_for_and_not_fixed_at_import(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.device() == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.device() == torch.device("cpu")


def test_one_logit_becomes_two_classes():
    class Constant(nn.Module):
        def forward(self, images, z):
            return images.new_full((len(images), 1, 2, 2), 0.7)

    logits = class_logits(Constant(), torch.zeros(3, 3, 2, 2), torch.zeros(3, 1))
    assert logits.shape == (3, 2, 2, 2)
    np.testing.assert_allclose(torch.softmax(logits, 1)[:, 1], 1 / (1 + np.exp(-0.7)), rtol=1e-6)
