"""The SDNet chapter: a training step against the passes that it is made of, and a grid decoded at once."""

import torch

from whereabouts.data.examples import Examples
from whereabouts.evaluation.latent import traversal
from whereabouts.evaluation.timing import seconds
from whereabouts.inference.device import device
from whereabouts.methods.networks.sdnet import sdnet_network
from whereabouts.models.sdnet.discriminator import MaskDiscriminator
from whereabouts.models.sdnet.network import SDNet
from whereabouts.training.loop import Schedule, build
from whereabouts.training.semi_supervised import Readings, SemiSupervised

SIDE, CLASSES, BATCH, FILTERS = 96, 4, 4, 16
DEMO = 48  # side of the demo's images; at the paper's 224 a CPU's memory sets the pace, and a batch gains nothing


def network() -> SDNet:
    return build(lambda: sdnet_network("sdnet", CLASSES, FILTERS, side=SIDE, segmentor_filters=FILTERS), 1)


def learner() -> SemiSupervised:
    """SDNet with everything switched on but rotations, as the text has it."""
    rng = torch.Generator().manual_seed(0)
    images = 2 * torch.rand(8, 1, SIDE, SIDE, generator=rng) - 1
    labels = torch.randint(CLASSES, (8, SIDE, SIDE), generator=rng).byte()
    given = Examples(images, labels, torch.zeros(8, 1), torch.arange(8)).to(device())
    judge = build(lambda: MaskDiscriminator(CLASSES - 1, SIDE, FILTERS), 2)
    schedule, readings = Schedule(1, BATCH, 1e-4, 1, 1), Readings()
    extra = {"unlabelled": given, "discriminator": judge, "drawn": given, "readings": readings}
    return SemiSupervised(network(), given, given, CLASSES, schedule, 1, **extra)


def passes(one: SemiSupervised) -> None:
    """Forward and backward of each network on its own, as often as one step needs it, and the optimisers."""
    model, judge = one.model.train(), one.discriminator
    x = one.labelled.batch(torch.arange(BATCH, device=device()))[0]
    s = torch.rand(BATCH, 8, SIDE, SIDE, device=device()).contiguous(memory_format=torch.channels_last)
    m, z = s[:, : CLASSES - 1].contiguous(memory_format=torch.channels_last), torch.randn(BATCH, 8, device=device())
    s.requires_grad_(), m.requires_grad_(), z.requires_grad_()
    y = x.clone().requires_grad_()  # a painted image, through which a gradient passes
    for _ in range(2):  # labelled, unlabelled
        one.optimisers[0].zero_grad()
        for image in (x, y):  # the image, and one painted with a random z
            model.anatomy(image).sum().backward()
            sum(model.modality(image, s)).sum().backward()
            model.decoder(s, z).sum().backward()
        model.segmentor(s).sum().backward()
        one.optimisers[0].step()
    judge.requires_grad_(False)
    judge(m).sum().backward()
    judge.requires_grad_(True)
    one.optimisers[1].zero_grad()
    judge(torch.cat([m.detach(), m.detach()])).sum().backward()
    one.optimisers[1].step()


def benchmarks() -> list[tuple[str, float, str, bool]]:
    """Name, ratio, target, whether it is met."""
    one, other = learner(), learner()
    whole, parts = seconds(lambda: one.step(0), lambda: passes(other))
    model = network().eval()
    s = torch.rand(1, 8, DEMO, DEMO, device=device()).round()
    z = torch.randn(1, 8, device=device())
    values = torch.linspace(-3, 3, 7).tolist()

    @torch.no_grad()
    def singly() -> None:
        for i in range(8):
            for value in values:
                changed = z.clone()
                changed[0, i] = value
                model.decoder(s, changed)

    at_once, one_by_one = seconds(lambda: traversal(model.decoder, s, z), singly)
    return [
        ("SDNet step, time over its networks' own passes", whole / parts, "<= 1.15", whole / parts <= 1.15),
        ("8 x 7 grid of 48 px, at once over one at a time", one_by_one / at_once, ">= 3", one_by_one / at_once >= 3),
    ]
