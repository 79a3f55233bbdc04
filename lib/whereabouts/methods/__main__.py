"""Every network of the compendium with its number of parameters beside the paper's, where the paper gives one."""

import pandas as pd
import torch
from torch import nn

from whereabouts.methods.inside import ARMS, METHOD_NAMES
from whereabouts.methods.networks.gates import plane_network, volume_network
from whereabouts.methods.networks.inside import acdc_network, clevr_network
from whereabouts.methods.networks.position import position_network
from whereabouts.methods.position import POSITION_ARMS
from whereabouts.models import parameters
from whereabouts.models.sdnet.discriminator import MaskDiscriminator
from whereabouts.models.sdnet.network import SDNet
from whereabouts.models.sdnet.volume import AreaRegressor

# The papers' own numbers, or those that follow from what they print (reading named in the module).
EXPECTED = {
    "CLEVR-Seg, baseline": 83_617,
    "CLEVR-Seg, film": 83_617 + 5_440,
    "CLEVR-Seg, guiding_block": 83_617 + 8_740,
    "CLEVR-Seg, inside": 83_617 + 13_888,
    "position, unet-0": 13_394_372,
    "position, unet-256": 13_395_524,
    "position, cnn-0": 75_140,
    "position, cnn-256": 76_292,
    "SDNet, anatomy encoder": 34_526_344,
    "SDNet, modality encoder": 95_552,
    "SDNet, segmentor": 42_116,
    "SDNet, decoder": 6_409,
    "SDNet, mask discriminator": 11_346_881,
    "3D U-Net": 5_888_004,
    "3D U-Net, 6.44 M": 6_444_328,
    "3D U-Net, 10.40 M": 10_403_190,
    "Attention U-Net, gated by the decoder": 6_473_322,
    "Attention U-Net, gated by the centre": 6_411_498,
    "Sononet-8": 162_954,
    "Sononet-16": 647_914,
    "Sononet-32": 2_583_978,
    "AG-Sononet-8, mean": 177_068,
    "AG-Sononet-16, mean": 700_716,
    "AG-Sononet-32, mean": 2_787_884,
}


def networks(narrower: int = 1, side: int | None = None) -> dict[str, nn.Module]:
    """Every network by its name in the table (K = 4 facts on CLEVR-Seg; 1 or 2 on ACDC).

    Args:
        narrower: divides the feature maps of the papers; 8, of which the narrowest Sononet keeps one, at most.
        side: of the images in pixels, a multiple of 16, at least 32; those of the papers if None.
    """
    n, facts = narrower, {arm: 2 if arm.endswith("phase") else 1 for arm in ARMS}
    clevr = {f"CLEVR-Seg, {name}": clevr_network(name, 4, side or 200, 16 // n) for name in METHOD_NAMES}
    acdc = {f"ACDC U-Net, {arm}": acdc_network(arm, facts[arm], side or 224, 64 // n) for arm in ARMS}
    arms = {name: POSITION_ARMS[name] for name in ("unet-0", "unet-256", "cnn-0", "cnn-256")}
    position = {
        f"position, {name}": position_network(arm.network, arm.scale, filters=64 // n) for name, arm in arms.items()
    }
    options = {"side": side or 224, "filters": 64 // n, "segmentor_filters": 64 // n}
    whole = SDNet(**options)
    sdnet = {
        "SDNet, anatomy encoder": whole.anatomy,
        "SDNet, modality encoder": whole.modality,
        "SDNet, segmentor": whole.segmentor,
        "SDNet, decoder": whole.decoder,
        "SDNet, decoder with INSIDE": SDNet(modulation="inside", **options).decoder,
        "SDNet, mask discriminator": MaskDiscriminator(side=side or 224, filters=64 // n),
        "SDNet, area regressor": AreaRegressor(),
    }
    gates = {
        "3D U-Net": volume_network("unet", 3, 4 * n),
        "3D U-Net, 6.44 M": volume_network("unet", 3, 3.82 * n),
        "3D U-Net, 10.40 M": volume_network("unet", 3, 3 * n),
        "Attention U-Net, gated by the decoder": volume_network("attention", 3, 4 * n),
        "Attention U-Net, gated by the centre": volume_network("attention", 3, 4 * n, gating="centre"),
        "Attention U-Net, asked by channels": volume_network("asked_attention", 3, 4 * n),
        "INSIDE U-Net, asked by facts": volume_network("asked_inside", 3, 4 * n),
    }
    for width in (8, 16, 32):
        scale = 64 * n / width
        gates[f"Sononet-{width}"] = plane_network("sononet", 14, scale)
        for how in ("mean", "deep_supervision", "fine_tuned"):
            gates[f"AG-Sononet-{width}, {how}"] = plane_network("ag_sononet", 14, scale, aggregation=how)
    return clevr | acdc | position | sdnet | gates


def table() -> pd.DataFrame:
    """Columns: network, ours, paper (blank where it gives no number)."""
    with torch.device("meta"):  # shapes without memory
        counts = {name: parameters(model) for name, model in networks().items()}
    rows = [(name, f"{n:,}", f"{EXPECTED[name]:,}" if name in EXPECTED else "") for name, n in counts.items()]
    return pd.DataFrame(rows, columns=["network", "ours", "paper"])


if __name__ == "__main__":
    print(table().to_markdown(index=False, colalign=("left", "right", "right")))
