"""Every network of the compendium with its number of parameters beside the paper's, where the paper gives one."""

import pandas as pd

from lib.methods import ARMS, METHOD_NAMES, POSITION_ARMS
from lib.models import parameters
from lib.models.arms import acdc_network, clevr_network
from lib.models.position_arms import position_network
from lib.models.sdnet.discriminator import MaskDiscriminator
from lib.models.sdnet.network import SDNet
from lib.models.sdnet.volume import AreaRegressor

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
}


def networks() -> dict[str, int]:
    """Name -> number of parameters, at paper scale (K = 4 facts on CLEVR-Seg; 1 or 2 on ACDC)."""
    clevr = {f"CLEVR-Seg, {method}": clevr_network(method, condition=4, size=200) for method in METHOD_NAMES}
    acdc = {f"ACDC U-Net, {arm}": acdc_network(arm, 2 if arm.endswith("phase") else 1, size=224) for arm in ARMS}
    arms = {name: POSITION_ARMS[name] for name in ("unet-0", "unet-256", "cnn-0", "cnn-256")}
    position = {f"position, {name}": position_network(arm.network, arm.scale) for name, arm in arms.items()}
    whole = SDNet()
    sdnet = {
        "SDNet, anatomy encoder": whole.anatomy,
        "SDNet, modality encoder": whole.modality,
        "SDNet, segmentor": whole.segmentor,
        "SDNet, decoder": whole.decoder,
        "SDNet, decoder with INSIDE": SDNet(modulation="inside").decoder,
        "SDNet, mask discriminator": MaskDiscriminator(),
        "SDNet, area regressor": AreaRegressor(),
    }
    return {name: parameters(model) for name, model in (clevr | acdc | position | sdnet).items()}


def table() -> pd.DataFrame:
    """Columns: network, ours, paper (blank where it gives no number)."""
    rows = [(name, f"{n:,}", f"{EXPECTED[name]:,}" if name in EXPECTED else "") for name, n in networks().items()]
    return pd.DataFrame(rows, columns=["network", "ours", "paper"])


if __name__ == "__main__":
    print(table().to_markdown(index=False, colalign=("left", "right", "right")))
