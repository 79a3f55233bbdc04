"""Tables, curves and verdicts of the positional-encoding chapter, from scores made by hand."""

import numpy as np
import pandas as pd
import pytest

from verdicts import lacking, verdicts, wrong_effects
from whereabouts.chapters import position
from whereabouts.errors import InputError
from whereabouts.evaluation.degradations import KINDS
from whereabouts.methods.position import POSITION_ARMS_ON, POSITION_NAMES, arms_of, prepared_on
from whereabouts.models.averaged_mask import averaged_mask
from whereabouts.paths import ROOT
from whereabouts.reporting import claims

CONTENT = claims.read(ROOT / "claims" / "position.yaml")
VOLUMES = 12
LABELS = {"chest": "Films (real, 0123, CC BY 4.0)", "acdc": "ACDC (synthetic, 4567)"}


def rows(arm, kind, level, dice, seed=0):
    """Scores of one training."""
    facts = {"arm": arm, "seed": seed, "kind": kind, "level": level}
    return [facts | {"volume": f"v{i:02d}", "dice": value} for i, value in enumerate(dice)]


def both(arm, kind, level, mean):
    """Of seeds that lie .01 to either side of `mean`, with a spread over volumes that is the same for all."""
    spread = np.linspace(-0.02, 0.02, VOLUMES)
    return [row for s in (1, 2) for row in rows(arm, kind, level, mean + (s - 1.5) / 50 + spread, s)]


def scores(means):
    """arm -> clean Dice; each degraded level costs .1 without PE and .05 with it, each shift .02 and .04."""
    found = []
    for arm, mean in means.items():
        told = arm.split("-")[1] != "0"
        found += both(arm, "clean", 0.0, mean)
        for kind, degradation in KINDS.items():
            for step, level in enumerate(degradation.levels, 1):
                found += both(arm, kind, level, mean - step * (0.05 if told else 0.1))
        for part in (-0.25, 0.25):
            found += both(arm, "shift", part, mean - (0.04 if told else 0.02))
    return pd.DataFrame(found + rows("averaged_mask", "clean", 0.0, 0.75 + np.arange(VOLUMES) / 100))


def test_the_averaged_mask_is_the_most_frequent_label_of_each_pixel():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (9, 5, 7))
    expected = [[np.bincount(labels[:, i, j], minlength=4).argmax() for j in range(7)] for i in range(5)]
    found = averaged_mask(labels)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.uint8


def test_table1_has_ours_beside_the_papers_and_never_prefers_the_mask():
    chest = scores({"unet-0": 0.6, "unet-256": 0.5})
    table = position.table1({"chest": chest, "acdc": chest}, CONTENT["tables"]["table1"], LABELS).set_index("Model")
    assert (
        table.loc["Averaged mask", "Films (real), ours"] == "80.5"
        and table.loc["Averaged mask", "JSRT, paper"] == "81.24"
    )
    assert table.loc[POSITION_NAMES["unet-0"], "Films (real), ours"] == "⟦60.0 ± 1.4⟧"  # sd of 59 and 61
    assert table.loc[POSITION_NAMES["unet-256"], "ACDC, paper"] == "83.47 ± 1.61"
    assert table.loc[POSITION_NAMES["unet-10"], "Films (real), ours"] == ""


def test_table2_counts_the_training_images_that_there_are():
    few = scores({"unet-0": 0.9, "unet-256": 0.9, "unet-0-10": 0.7, "unet-256-10": 0.8})
    table = position.table2(few, CONTENT["tables"]["table2"], training_images=45).set_index("Training data")
    assert list(table.index) == ["45 images (156 in the paper)", "10 images", "5 images"]
    assert table.loc["10 images", "W/ PE, ours"] == "⟦80.0 ± 1.4⟧"
    assert table.loc["5 images", "W/ PE, ours"] == "" and table.loc["5 images", "W/ PE, paper"] == "87.74 ± 0.55"
    longer = pd.concat([few, scores({"unet-256-10-long": 0.9})])
    row = position.table2(longer, CONTENT["tables"]["table2"], training_images=45).iloc[2].tolist()
    assert row[:3] == ["10 images, as many steps as for all", "", "⟦90.0 ± 1.4⟧"] and row[4] == "90.2 ± 0.27"


@pytest.mark.parametrize("kind", list(KINDS))
def test_curves_start_clean_and_follow_the_severity(kind):
    found = position.curves(scores({"unet-0": 0.9, "unet-256": 0.9}), kind).set_index(["arm", "step"])
    for step in range(6):
        assert found.loc[("unet-0", step), "mean"] == pytest.approx(90 - 10 * step)
        assert found.loc[("unet-256", step), "sd"] == pytest.approx(np.std([1, -1], ddof=1))
    assert (found.loc["averaged_mask"].sd == 0).all()


def test_curves_of_shifts_have_the_shift_as_their_step():
    found = position.curves(scores({"unet-0": 0.9}), "shift")
    found = found[found.arm == "unet-0"].set_index("step")["mean"]
    assert found.to_dict() == pytest.approx({-0.25: 88, 0: 90, 0.25: 88})


def test_a_data_set_or_network_that_there_is_not_is_named_with_those_that_there_are():
    assert not any("long" in name for name in arms_of("chest", ["all"]))
    assert arms_of("acdc", ["all"]) == POSITION_ARMS_ON["acdc"] and arms_of("acdc", ["cnn-0"]) == ["cnn-0"]
    with pytest.raises(InputError, match=r"(?s)arm=cnn: no such network; choose one of all, unet-0.*arm=unet: no"):
        arms_of("chest", ["cnn", "unet-0", "unet"])
    with pytest.raises(InputError, match="dataset=jsrt: no such data set; choose one of chest, acdc"):
        prepared_on("jsrt")


def test_claim_table_has_means_over_levels_the_strongest_level_and_the_mask_for_every_seed():
    table = position.claim_table(scores({"unet-0": 0.9, "unet-256": 0.9}))
    assert sorted(table.index.get_level_values(0).unique()) == [1, 2] and len(table) == 2 * VOLUMES
    of = table.groupby(level=0).mean().mean()
    assert of.unet_0_gaussian_noise == pytest.approx(60) and of.unet_0_gaussian_noise_5 == pytest.approx(40)
    assert of.unet_256_shot_noise == pytest.approx(75) and of.unet_0_shift == pytest.approx(88)
    assert table.loc[1, "averaged_mask_clean"].tolist() == pytest.approx([75 + i for i in range(VOLUMES)])


def test_far_shifts_are_the_farthest_to_either_side_and_means_over_images_are_one_row_a_seed():
    some = scores({"unet-0": 0.9})
    near = some[some.kind == "shift"].assign(level=lambda rows: rows.level / 2, dice=0.1)
    tables = position.claim_tables({"chest": pd.concat([some, near]), "acdc": some, "inside": some})
    of = tables["chest"].groupby(level=0).mean().mean()
    assert of.unet_0_far_shift == pytest.approx(88) and of.unet_0_shift == pytest.approx((88 + 10) / 2)
    together = tables["together"]
    assert list(together.index) == [(1, "all"), (2, "all")]
    assert together.chest_unet_0_clean.tolist() == together.acdc_unet_0_clean.tolist() == pytest.approx([89, 91])


def test_both_phases_of_a_heart_are_one_unit_and_films_are_what_they_are():
    some = scores({"unet-0": 0.9})
    phases = pd.concat(
        some.assign(volume=some.volume + end, dice=some.dice + shift) for end, shift in (("-ED", 0.02), ("-ES", -0.02))
    )
    found = position.claim_tables({"chest": phases, "acdc": phases, "inside": phases})
    expected = position.claim_table(some)
    for name in ("acdc", "inside"):
        pd.testing.assert_frame_equal(found[name], expected)
    assert len(found["chest"]) == 2 * len(expected)


def test_verdicts_follow_from_the_scores_and_every_claim_speaks_of_what_a_full_run_has():
    means = {arm: 0.95 - 0.01 * number for number, arm in enumerate(POSITION_ARMS_ON["chest"])}
    full, steered = scores(means | {"cnn-0": 0.5}), scores({"baseline-0": 0.8, "inside-1": 0.8})
    steered["arm"] = steered.arm.str.replace(r"-[01]$", "", regex=True)
    tables = position.claim_tables({"chest": full, "acdc": full, "inside": steered})
    assert {claim["table"] for claim in CONTENT["claims"]} == tables.keys() and lacking(CONTENT, tables) == set()
    assert 3 <= sum(claim.get("central", False) for claim in CONTENT["claims"]) <= 8
    verdict = verdicts(CONTENT, tables)
    assert not any("not run" in text for text in verdict.values())
    assert verdict["same-clean-acdc"] == "reproduced" and verdict["padding-does-not-matter-clean"] == "contradicted"
    assert verdict["pe-mitigates-noise-chest"] == verdict["worse-under-shift-acdc"] == "reproduced"
    assert verdict["small-cnn-needs-pe-chest"] == verdict["steering-survives-degradation"] == "reproduced"
    assert verdict["helps-with-10-images"] == "contradicted"  # each arm is made worse than the one before


def test_effects_are_the_papers_numbers():
    of = CONTENT["tables"]
    paper = {
        name: {f"{arm.replace('-', '_')}_clean": cell for arm, cell in of["table1"][name].items()} for name in LABELS
    }
    few = {images: cells for images, cells in of["table2"].items() if images < 156}
    paper["chest"] |= {
        f"{arm.replace('-', '_')}_{images}_clean": cell for images, cells in few.items() for arm, cell in cells.items()
    }
    paper["together"] = {f"{name}_{column}": cell for name in LABELS for column, cell in paper[name].items()}
    assert wrong_effects(CONTENT, paper, without_sd=[claim["id"] for claim in CONTENT["claims"]]) == []


def test_what_a_scale_does_not_run_is_not_judged():
    found = verdicts(
        CONTENT, position.claim_tables(dict.fromkeys(("chest", "acdc", "inside"), scores({"unet-0": 0.9})))
    )
    assert sum(text.startswith("not run: this run has no ") for text in found.values()) > 20
