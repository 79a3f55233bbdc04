"""SDNet's factors: loops in place of batches, NumPy in place of torch, closed forms in place of scikit-learn."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.ndimage import center_of_mass

from whereabouts.errors import InputError
from whereabouts.evaluation import latent

C, K = 5, 3


@pytest.fixture
def rng():
    return np.random.default_rng(8)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(8)


def anatomy(generator, batch=1, channels=C, height=6, width=9):
    """Binary s, at most one channel on in a pixel, none in some, and the channel's number (channels: none)."""
    index = torch.randint(channels + 1, (batch, height, width), generator=generator)
    return torch.stack([index == c for c in range(channels)], dim=1).float(), index


class Decoder:
    """A closed form: tanh of a sum over channels and dimensions; counts its calls, keeps what it was given."""

    def __init__(self, generator, channels=C, dimensions=K):
        self.weight = torch.randn(channels, dimensions, generator=generator)
        self.seen = []

    def __call__(self, s, z):
        self.seen.append((s, z))
        return torch.tanh(torch.einsum("bchw,ck,bk->bhw", s, self.weight, z))[:, None]


class Encoder:
    """Each image's own numbers in place of factors."""

    def __init__(self):
        self.seen = []

    def encode(self, x):
        self.seen.append(len(x))
        return 2 * x, x.flatten(1)[:, :3], -x.flatten(1)[:, :3]


@pytest.mark.usefixtures("on_the_cpu")
def test_images_are_encoded_a_batch_at_a_time_and_none_is_lost(generator):
    images, network = torch.randn(7, 1, 4, 4, generator=generator), Encoder()
    for found, expected in zip(latent.encoded(network, images, batch=3), Encoder().encode(images), strict=True):
        assert torch.equal(found, expected)
    assert network.seen == [3, 3, 1]


# ------------------------------------------------------------------------------------------- arithmetic on z (Figure 8)


@pytest.mark.parametrize(("steps", "reach"), [(7, 3.0), (4, 1.5), (2, 3.0)])
def test_traversal_is_a_loop_over_images(steps, reach, generator):
    decode, (s, _), z = Decoder(generator), anatomy(generator), torch.randn(1, K, generator=generator)
    before = s.clone(), z.clone()
    grid = latent.traversal(decode, s, z, steps, reach)
    assert grid.shape == (K, steps, 6, 9)
    assert torch.equal(s, before[0]) and torch.equal(z, before[1])
    for i in range(K):
        for j in range(1, steps + 1):
            changed = z.clone()
            changed[0, i] = -reach + 2 * reach * (j - 1) / (steps - 1)
            torch.testing.assert_close(grid[i, j - 1], decode(s, changed)[0, 0])


def test_traversal_decodes_once_and_copies_no_anatomy(generator):
    decode, (s, _), z = Decoder(generator), anatomy(generator), torch.randn(1, K, generator=generator)
    latent.traversal(decode, s, z)
    [(given, values)] = decode.seen
    assert given.shape == (7 * K, C, 6, 9) and given.data_ptr() == s.data_ptr() and given.stride(0) == 0
    assert values[:7, 0].tolist() == [-3, -2, -1, 0, 1, 2, 3]  # not the paper's -3, 3, 9, ...
    assert torch.equal(values[:7, 1:], z[:, 1:].expand(7, -1))


def test_traversal_of_a_network_keeps_no_graph(generator):
    decode, (s, _) = Decoder(generator), anatomy(generator)
    decode.weight.requires_grad_()
    assert not latent.traversal(decode, s, torch.zeros(1, K)).requires_grad


@pytest.mark.parametrize("steps", [2, 3, 7])
def test_correlation_image_is_numpys_pixel_by_pixel(steps, generator):
    grid = torch.rand(2, steps, 3, 5, generator=generator) * 2 - 1
    ours = latent.correlation_image(grid)
    assert ours.shape == (2, 3, 5)
    delta = np.linspace(-3, 3, steps)
    for i, h, w in np.ndindex(2, 3, 5):
        assert ours[i, h, w].item() == pytest.approx(np.corrcoef(delta, grid[i, :, h, w].numpy())[0, 1], abs=1e-9)


def test_what_does_not_change_has_no_correlation():
    """Equal, equal but for a float32's last bits, saturated at either end, and just seen to change."""
    j = torch.arange(7)
    grid = torch.stack(
        [torch.full((7,), 0.1), 0.3 + 6e-8 * (j > 3), torch.ones(7), -torch.ones(7), 0.1 + 1e-5 * j, -0.1 * j], dim=1
    )
    assert latent.correlation_image(grid[None, :, None])[0, 0].tolist() == pytest.approx([0, 0, 0, 0, 1, -1], abs=1e-6)


def test_correlation_images_of_a_decoder(generator):
    """Within the channels, the sign is that of the weight; where no channel is on, the decoder ignores z."""
    decode, (s, index) = Decoder(generator), anatomy(generator)
    grid = latent.traversal(decode, s, torch.zeros(1, K))
    rho = latent.correlation_image(grid)
    sign = torch.cat([decode.weight.sign(), torch.zeros(1, K)])[index[0]]  # (H, W, K)
    assert (index == C).any() and (rho.abs() <= 1).all()
    assert torch.equal(rho.sign().float(), sign.permute(2, 0, 1))
    assert (rho[rho != 0].abs() > 0.9).all()


def test_following_is_the_share_of_pixels_the_mean_over_dimensions():
    """Of four pixels one goes up and one down with the first dimension, three with the second; others go to and fro."""
    up, to_and_fro = torch.arange(5.0), torch.tensor([1.0, -1, 0, -1, 1])
    rows = [[up, -up, to_and_fro, 0 * up], [up, 2 * up, up + 3, to_and_fro]]
    grid = torch.stack([torch.stack(row, dim=1).reshape(5, 2, 2) for row in rows])
    assert latent.following(grid) == pytest.approx((2 / 4 + 3 / 4) / 2)


def test_difference_image(generator):
    grid = torch.rand(K, 7, 4, 3, generator=generator) * 2 - 1
    rescaled = (grid + 1) / 2
    torch.testing.assert_close(latent.difference_image(grid), rescaled[:, 6] - rescaled[:, 0])
    extremes = torch.stack([-torch.ones(1, 2, 2), torch.zeros(1, 2, 2), torch.ones(1, 2, 2)], dim=1)
    assert torch.equal(latent.difference_image(extremes), torch.ones(1, 2, 2))


# ------------------------------------------------------------------------------------------- arithmetic on s (Figure 7)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_roles_are_found_under_noise(generator):
    s, index = anatomy(generator, batch=4, height=12)
    labels = torch.zeros_like(index)
    for c, channel in ((1, 3), (2, 0), (3, 4)):
        labels[index == channel] = c
    noisy = torch.rand(labels.shape, generator=generator) < 0.3
    labels[noisy] = torch.randint(4, labels.shape, generator=generator)[noisy]
    assert latent.roles(s, labels, 4) == [3, 0, 4]
    assert latent.roles(s, labels.to(torch.uint8), 4) == [3, 0, 4]


@pytest.mark.parametrize("channels", [3, 4, 5])
def test_roles_are_the_best_of_all_assignments(channels, generator):
    for _ in range(10):
        s, _ = anatomy(generator, batch=2, channels=channels)
        labels = torch.randint(4, (2, 6, 9), generator=generator)
        on, mask = s.bool().numpy(), [(labels == c).numpy() for c in (1, 2, 3)]
        scores = [[dice(on[:, channel], of_class) for channel in range(channels)] for of_class in mask]
        total = {chosen: sum(scores[c][chosen[c]] for c in range(3)) for chosen in permutations(range(channels), 3)}
        assert latent.roles(s, labels, 4) == list(max(total, key=total.get))


def test_a_channel_has_one_role(generator):
    """Channel 1 covers both classes; the one with less of it takes what is left, though its Dice there is lower."""
    s = torch.zeros(1, 3, 1, 10)
    s[0, 1, 0, :8] = 1
    s[0, 2, 0, 8:] = 1
    labels = torch.tensor([[[2, 2, 2, 2, 2, 1, 1, 0, 1, 0]]])
    on, mask = s[0, :, 0].bool(), labels[0, 0] == 1
    assert dice(on[1], mask) < dice(on[1], labels[0, 0] == 2) and dice(on[2], mask) > 0
    assert latent.roles(s, labels, 3) == [2, 1]
    labels[0, 0, 8] = 0  # now class 1 is in channel 1 only
    assert latent.roles(s, labels, 3)[1] == 1 and latent.roles(s, labels, 3)[0] != 1


def test_roles_pool_the_batch():
    """By the mean of the images' Dice, channel 1 would win: 1 and 0 against 0 and 0.89."""
    s = torch.zeros(2, 2, 1, 10)
    labels = torch.zeros(2, 1, 10, dtype=torch.long)
    labels[0, 0, 0] = s[0, 1, 0, 0] = 1
    labels[1, 0] = 1
    s[1, 0, 0, :8] = 1
    assert latent.roles(s, labels, 2) == [0]


def test_roles_say_all_that_is_wrong():
    with pytest.raises(InputError) as caught:
        latent.roles(torch.zeros(2, 2, 3, 3), torch.full((2, 3, 3), 2), 4)
    assert caught.value.problems == [
        "labels: class 1 is in no image; add images that show it",
        "labels: class 3 is in no image; add images that show it",
        "s: 2 channels for 3 foreground classes; train with as many or more",
    ]


def test_merge(generator):
    s, index = anatomy(generator, batch=2)
    merged = latent.merge(s, source=3, target=1)
    expected = index.clone()
    expected[index == 3] = 1
    assert torch.equal(merged, torch.stack([expected == c for c in range(C)], dim=1).float())
    assert torch.equal(latent.merge(s, 2, 2), s)
    assert torch.equal(s, anatomy(torch.Generator().manual_seed(8), batch=2)[0])  # as it was


def test_swap(generator):
    s, _ = anatomy(generator, batch=2)
    swapped = latent.swap(s, 4, 1)
    assert torch.equal(swapped, s[:, [0, 4, 2, 3, 1]]) and not torch.equal(swapped, s)
    assert torch.equal(latent.swap(swapped, 1, 4), s)
    assert torch.equal(latent.swap(s, 2, 2), s)
    assert torch.equal(s, anatomy(torch.Generator().manual_seed(8), batch=2)[0])  # as it was


def test_repainted_looks_at_the_pixels_of_the_two_channels(generator):
    """A decoder that paints each channel in a colour of its own: .5, -.25 and 0, on what is in none -1."""
    colours = torch.tensor([0.5, -0.25, 0.0])

    def decode(s, z):
        return torch.einsum("bchw,c->bhw", s, colours)[:, None] - (1 - s.sum(1, keepdim=True)) + z[:, :1, None, None]

    s, _ = anatomy(generator, batch=2, channels=3)
    found = latent.repainted(decode, s, torch.zeros(2, 1), 0, 1)
    assert found == pytest.approx(
        {
            "myocardium": 0.5,
            "ventricle": -0.25,
            "merged_myocardium": -0.25,
            "swapped_myocardium": -0.25,
            "swapped_ventricle": 0.5,
        }
    )
    s[:, 1] = 0
    found = latent.repainted(decode, s, torch.zeros(2, 1), 0, 1)
    assert np.isnan(found["ventricle"]) and found["myocardium"] == 0.5


@pytest.mark.parametrize("soft", [True, False])
def test_explained_is_r2_of_a_linear_regression_over_all_pixels(soft, generator):
    """Binary channels that fill the image add up to the constant: the least squares have no single answer, R² has."""
    s = torch.rand(3, C, 6, 9, generator=generator)
    s = s if soft else torch.nn.functional.one_hot(s.argmax(1), C).permute(0, 3, 1, 2).float()
    images = torch.einsum("nchw,c->nhw", s, torch.arange(1.0, C + 1))[:, None]
    images += torch.randn(images.shape, generator=generator)
    x = np.column_stack([s.numpy().transpose(0, 2, 3, 1).reshape(-1, C), np.ones(3 * 6 * 9)])
    y = images.numpy().ravel()
    rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    assert latent.explained(images, s) == pytest.approx(1 - rest.var() / y.var(), abs=1e-6)


def test_permute_draws_every_derangement_alike(generator):
    """9 of the 24 orders of four channels leave none in place."""
    s = torch.arange(4.0).reshape(1, 4, 1, 1)
    drawn = [tuple(latent.permute(s, generator).flatten().int().tolist()) for _ in range(1800)]
    expected = {order for order in permutations(range(4)) if all(order[c] != c for c in range(4))}
    assert set(drawn) == expected
    assert all(drawn.count(order) == pytest.approx(200, abs=60) for order in expected)  # more than four deviations
    assert s.flatten().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("channels", [2, 3, 16])
def test_permute_moves_whole_channels(channels, generator):
    s = torch.rand(3, channels, 2, 5, generator=generator)
    one, again = (latent.permute(s, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(one, again)
    order = [next(c for c in range(channels) if torch.equal(one[:, new], s[:, c])) for new in range(channels)]
    assert sorted(order) == list(range(channels)) and all(order[c] != c for c in range(channels))


def test_one_channel_cannot_be_permuted(generator):
    with pytest.raises(InputError, match=r"^s: 1 channel cannot change places; give at least 2$"):
        latent.permute(torch.ones(1, 1, 2, 2), generator)


def test_shared_channels():
    """0 to 10 pixels of 1000 are on; the images of b are fewer and larger."""
    a, b = torch.zeros(5, 4, 10, 20), torch.zeros(2, 4, 25, 20)
    for channel, (in_a, in_b) in enumerate([(10, 3), (2, 1), (0, 5), (1, 0)]):
        for s, count in ((a, in_a), (b, in_b)):
            flat = torch.zeros(1000)
            flat[torch.linspace(0, 999, count).long()] = 1
            s[:, channel] = flat.reshape(s[:, channel].shape)
    table = latent.shared_channels(a, b)
    assert list(table.columns) == ["channel", "share_a", "share_b", "kind"]
    assert table.channel.tolist() == [0, 1, 2, 3]
    assert table.share_a.tolist() == [0.01, 0.002, 0, 0.001]
    assert table.share_b.tolist() == [0.003, 0.001, 0.005, 0]
    assert table.kind.tolist() == ["shared", "a only", "b only", "unused"]
    assert latent.shared_channels(a, b, threshold=0).kind.tolist() == ["shared", "shared", "b only", "a only"]
    assert latent.shared_channels(a, b, threshold=0.004).kind[0] == "a only"


# --------------------------------------------------------------------------------------------------------- what z says


def images(rng, n, shift):
    """z of n images of which every second is CT, whose dimension 1 lies `shift` higher; a constant dimension too."""
    modality = np.array(["MR", "CT"] * (n // 2))
    z = rng.normal(size=(n, 4))
    z[:, 1] += shift * (modality == "CT")
    z[:, 3] = 0.7
    return z, modality


def test_modality_that_one_dimension_separates(rng):
    table = latent.modality_accuracy(*images(rng, 400, 30), *images(rng, 200, 30))
    assert list(table.columns) == ["dimension", "accuracy"]
    assert table.dimension.tolist() == ["all", 0, 1, 2, 3, "chance"]
    accuracy = table.set_index("dimension").accuracy
    assert accuracy["all"] == accuracy[1] == 1
    assert accuracy[[0, 2, 3]].between(0.38, 0.62).all() and accuracy["chance"] == 0.5


def test_accuracy_is_that_of_the_best_threshold(rng):
    """Two unit normals 2 apart: the best rule errs with Phi(-1) = 0.1587."""
    accuracy = latent.modality_accuracy(*images(rng, 4000, 2), *images(rng, 20000, 2)).set_index("dimension").accuracy
    assert accuracy[1] == pytest.approx(0.8413, abs=0.01) and accuracy["all"] == pytest.approx(0.8413, abs=0.01)


def test_modality_that_no_dimension_tells(rng):
    table = latent.modality_accuracy(*images(rng, 2000, 0), *images(rng, 2000, 0))
    assert table.accuracy.between(0.45, 0.55).all()


def test_modality_that_only_all_dimensions_tell(rng):
    """Half of the signal along each of two dimensions, which share a large nuisance."""
    modality = rng.integers(2, size=3000)
    nuisance = 20 * rng.normal(size=3000)
    z = np.stack([nuisance + 2 * modality, nuisance - 2 * modality], axis=1) + 0.1 * rng.normal(size=(3000, 2))
    accuracy = latent.modality_accuracy(z[:2000], modality[:2000], z[2000:], modality[2000:]).accuracy
    assert accuracy[0] == 1 and (accuracy[1:3] < 0.65).all()


def test_scale_of_z_does_not_matter(rng):
    train, test = images(rng, 60, 1.5), images(rng, 400, 1.5)
    scale, shift = np.array([1e-3, 500, 2, 1]), np.array([5, -3000, 0, 1])
    table = latent.modality_accuracy(*train, *test)
    other = latent.modality_accuracy(train[0] * scale + shift, train[1], test[0] * scale + shift, test[1])
    np.testing.assert_allclose(other.accuracy, table.accuracy, atol=0.01)  # rounding may turn the odd one of 400


def test_chance_answers_what_is_common_in_training(rng):
    z = rng.normal(size=(10, 2))
    train, test = np.array([0] * 7 + [1] * 3), np.array([0] * 2 + [1] * 8)
    assert latent.modality_accuracy(z, train, z, test).accuracy.iloc[-1] == 0.2


def test_one_modality_cannot_be_told_from_another(rng):
    z = rng.normal(size=(6, 2))
    with pytest.raises(InputError, match=r"^modality_train: nothing but MR; give images of two modalities$"):
        latent.modality_accuracy(z, np.array(["MR"] * 6), z, np.array(["MR", "CT"] * 3))


def test_informativeness(rng):
    """The mean of variances, not the exponential of the mean: for log_var ~ N(m, v), exp(m + v / 2)."""
    log_var = torch.tensor([[1.0, 0.2], [1.0, 0.6]]).log()
    torch.testing.assert_close(latent.informativeness(log_var), torch.tensor([1.0, 0.4]))
    many = torch.from_numpy(rng.normal(-1, 0.8, size=(40000, 1)))
    assert latent.informativeness(many).item() == pytest.approx(np.exp(-1 + 0.8**2 / 2), rel=0.03)


def r2(z_train, y_train, z_test, y_test):
    """Ridge on standardised z in closed form: least squares with the identity appended to z and zeros to y."""
    mean, sd = z_train.mean(0), z_train.std(0)
    a, b = (z_train - mean) / sd, y_train - y_train.mean(0)
    k = a.shape[1]
    weights = np.linalg.lstsq(np.vstack([a, np.eye(k)]), np.vstack([b, np.zeros((k, b.shape[1]))]), rcond=None)[0]
    predicted = (z_test - mean) / sd @ weights + y_train.mean(0)
    return 1 - ((y_test - predicted) ** 2).sum(0) / ((y_test - y_test.mean(0)) ** 2).sum(0)


@pytest.mark.parametrize(("train", "columns"), [(12, 1), (12, 3), (200, 3)])
def test_linear_probe_is_ridge_regression(train, columns, rng):
    z = rng.normal(2, [1, 5, 0.1, 3, 1], size=(train + 50, 5))
    y = z @ rng.normal(size=(5, columns)) + rng.normal(size=(train + 50, columns)) + 40
    parts = z[:train], y[:train], z[train:], y[train:]
    ours = latent.linear_probe(*parts)
    assert ours.shape == (columns,)
    np.testing.assert_allclose(ours, r2(*parts), rtol=1e-9)


def test_linear_probe_tells_leak_from_none(rng):
    """y that z fixes, y of which z explains 3/4 of the variance, and y that z says nothing of."""
    z, noise = rng.normal(size=(6000, 2)), rng.normal(size=(6000, 2))
    y = np.stack([3 * z[:, 0] - z[:, 1], np.sqrt(3) * z[:, 0] + noise[:, 0], noise[:, 1]], axis=1)
    parts = z[:3000], y[:3000], z[3000:], y[3000:]
    np.testing.assert_allclose(latent.linear_probe(*parts), [1, 0.75, 0], atol=0.03)


def test_linear_probe_may_be_worse_than_the_mean(rng):
    z = np.linspace(-1, 1, 20)[:, None]
    assert latent.linear_probe(z, z, z, -z)[0] < -2
    assert latent.linear_probe(z, z, z, np.ones((20, 1)))[0] == 0  # nothing to explain


def test_anatomy_is_scipys(rng):
    labels = rng.integers(4, size=(6, 5, 8)).astype(np.uint8)
    labels[2][labels[2] == 3] = 0
    before = labels.copy()
    found = latent.anatomy_of(labels, 3)
    assert found.shape == (6, 3) and np.array_equal(labels, before)
    for n, (row, column, area) in enumerate(found):
        assert area == np.count_nonzero(labels[n] == 3)
        if n == 2:
            assert np.isnan(row) and np.isnan(column) and area == 0
        else:
            assert (row, column) == pytest.approx(center_of_mass(labels[n] == 3))


def test_anatomy_of_a_large_mask():
    """A whole image, whose moments a byte could not hold."""
    labels = np.ones((1, 300, 500), dtype=np.uint8)
    assert latent.anatomy_of(labels, 1).tolist() == [[149.5, 249.5, 150000]]
