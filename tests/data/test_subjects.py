"""Images of subjects with and without labels, on a small synthetic prepared set whose pixels tell their row."""

import tracemalloc
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest

from whereabouts.data import prepared
from whereabouts.data.subjects import WORDS, share, subject_examples, unlabelled, volumes
from whereabouts.errors import InputError

TRAIN, REST = ["s3", "s1", "s4", "s2"], ["s5", "s6"]  # REST are of validation and test
MODALITY = {"s1": "MR", "s2": "CT", "s3": "MR", "s4": "MR", "s5": "CT", "s6": "MR"}
FRAMES = (("ED", True), ("ES", True), ("f2", False))


def write(folder, frames_of=(*TRAIN, *REST)):
    """Two slices of 4 x 3 pixels in each of two labelled volumes a subject and, for `frames_of`, of a frame without.

    Rows come in no order. Pixels are the row's number over the number of rows, but for a pixel each of 0 and 1.
    """
    rows = [
        {"subject": subject, "modality": MODALITY[subject], "volume": f"{subject}-{phase}", "labelled": labelled}
        for subject, (phase, labelled), _ in product(MODALITY, FRAMES, range(2))
        if labelled or subject in frames_of
    ]
    table = pd.DataFrame(rows).sample(frac=1, random_state=3).reset_index(drop=True)
    images = np.empty((len(table), 4, 3), np.float32)
    images[...] = (np.arange(len(table), dtype=np.float32) / len(table))[:, None, None]
    images[:, 0, 0], images[:, 0, 1] = 0, 1
    labels = np.random.default_rng(4).integers(1, 4, images.shape, dtype=np.uint8)
    prepared.write(folder, {"images": images, "labels": labels}, table, {"folds": []}, "synthetic")
    return table, labels


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subjects")
    return folder, *write(folder)


def row_numbers(examples, table):
    """Which rows of the table `examples` are, from their pixels."""
    return np.rint((examples.images[:, 0, 2, 2].double().numpy() + 1) / 2 * len(table)).astype(int).tolist()


def rows_of(table, subjects, labelled):
    """The same from the table, by a loop."""
    return [n for n, row in table.iterrows() if row.subject in subjects and bool(row.labelled) is labelled]


# ----------------------------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize("subjects", [["s2"], ["s6", "s1", "s3"], TRAIN + REST])
@pytest.mark.parametrize("labelled", [True, False])
def test_images_of_subjects_with_or_without_labels(subjects, labelled, written):
    folder, table, labels = written
    examples, rows = subject_examples(folder, subjects, labelled)
    expected = rows_of(table, subjects, labelled)
    assert len(expected) == len(subjects) * (4 if labelled else 2)
    assert row_numbers(examples, table) == expected
    assert rows.equals(table.iloc[expected].reset_index(drop=True))
    np.testing.assert_array_equal(examples.labels, labels[expected])
    assert examples.z.tolist() == [[0]] * len(expected)


def test_labelled_ones_are_the_default(written):
    folder, _, _ = written
    rows = subject_examples(folder, ["s1"])[1]
    assert rows.labelled.all() and len(rows) == 4


def test_images_run_from_minus_one_to_one(written):
    folder, table, _ = written
    examples, _ = subject_examples(folder, TRAIN)
    images = examples.images.numpy()
    assert images.shape == (16, 1, 4, 3) and images.dtype == np.float32
    assert (images[:, 0, 0, 0] == -1).all() and (images[:, 0, 0, 1] == 1).all()
    stored = np.load(folder / "images.npy")[rows_of(table, TRAIN, True)]
    np.testing.assert_allclose(images[:, 0], 2 * stored.astype(np.float64) - 1, atol=1e-7)


def test_volumes_are_numbered_as_they_appear(written):
    folder, _, _ = written
    examples, rows = subject_examples(folder, TRAIN)
    seen = list(dict.fromkeys(rows.volume))
    assert seen != sorted(seen) and len(seen) == 8
    assert examples.volume.tolist() == [seen.index(name) for name in rows.volume] == volumes(rows).tolist()


def test_subjects_that_are_not_there_have_no_images(written):
    examples, rows = subject_examples(written[0], ["s7"])
    assert len(examples) == len(rows) == 0 and examples.images.shape == (0, 1, 4, 3)


# -------------------------------------------------------------------------------------------------------------- shares

MANY = [f"p{n:02d}" for n in np.random.default_rng(1).permutation(20)]
KINDS = {name: "CT" if int(name[1:]) % 4 == 0 else "MR" for name in MANY}  # 5 of CT, 15 of MR


def of(kind):
    return [name for name in MANY if KINDS[name] == kind]


@pytest.mark.parametrize(
    ("percents", "ct", "mr"),
    [
        ({"CT": 100, "MR": 100}, 5, 15),
        ({"CT": 100, "MR": 0}, 5, 0),
        ({"CT": 0, "MR": 50.0}, 0, 7),  # of 7.5
        ({"CT": 25, "MR": 100}, 1, 15),
        ({"CT": 1, "MR": 1}, 1, 1),  # at least one
        ({"MR": 20}, 0, 3),
    ],
)
def test_a_share_of_each_modality(percents, ct, mr):
    """The first of each, in the order of the folds, which is not that of names."""
    chosen = share(MANY, percents, KINDS)
    assert [name for name in chosen if KINDS[name] == "CT"] == of("CT")[:ct]
    assert [name for name in chosen if KINDS[name] == "MR"] == of("MR")[:mr]
    assert len(chosen) == ct + mr
    assert of("MR") != sorted(of("MR"))


def test_shares_are_nested():
    chosen = [set(share(MANY, {"CT": 40, "MR": percent}, KINDS)) for percent in (1.5, 6, 25, 50, 100)]
    assert all(a <= b for a, b in pairwise(chosen))
    assert [len(part) for part in chosen] == [3, 3, 5, 9, 17]


@pytest.mark.parametrize("percents", [{"CT": 0, "MR": 0}, {"MR": 0.0}, {}])
def test_a_share_of_nothing(percents):
    with pytest.raises(InputError) as caught:
        share(MANY, percents, KINDS)
    assert caught.value.problems == [
        f"percents: {percents} leave no training subject; give one of them more than 0",
    ]


@pytest.mark.parametrize(
    ("percents", "message"),
    [
        ({"CT": 100, "MR": 101}, "labelled: 101 % of 15 patients; give 0 < percent <= 100 and patients"),
        ({"MR": -1}, "labelled: -1 % of 15 patients; give 0 < percent <= 100 and patients"),
        ({"US": 50}, "labelled: 50 % of 0 patients; give 0 < percent <= 100 and patients"),
    ],
)
def test_a_share_that_there_is_not(percents, message):
    with pytest.raises(InputError) as caught:
        share(MANY, percents, KINDS)
    assert caught.value.problems == [message]


# --------------------------------------------------------------------------------------------------- without labels

LABELLED = ["s3", "s4"]


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("origin", "subjects", "labelled"),
    [("frames", TRAIN, False), ("others", ["s1", "s2"], True), ("same", LABELLED, True)],
)
def test_each_origin(origin, subjects, labelled, written):
    """All that there are, with their labels 0 although 1 to 3 are stored."""
    folder, table, labels = written
    assert origin in WORDS and (labels > 0).all()
    examples, said = unlabelled(folder, TRAIN, LABELLED, 1200, rng(), origin)
    expected = rows_of(table, subjects, labelled)
    assert said == origin
    assert row_numbers(examples, table) == expected
    assert examples.labels.shape == (len(expected), 4, 3) and not examples.labels.any()
    assert examples.images.min() == -1 and examples.images.max() == 1
    assert len(set(examples.volume.tolist())) == len(expected) / 2


@pytest.mark.parametrize(
    ("frames_of", "with_labels", "origin"),
    [
        ((*TRAIN, *REST), LABELLED, "frames"),
        ((*TRAIN, *REST), TRAIN, "frames"),
        (["s3"], LABELLED, "frames"),  # also of a labelled subject alone
        ([], LABELLED, "others"),
        (REST, LABELLED, "others"),  # frames of validation and test are none to train on
        ([], TRAIN, "same"),
        (REST, TRAIN, "same"),
    ],
)
def test_origin_where_none_is_asked_for(frames_of, with_labels, origin, tmp_path):
    table, _ = write(tmp_path, frames_of)
    examples, said = unlabelled(tmp_path, TRAIN, with_labels, 1200, rng())
    assert said == origin
    asked, _ = unlabelled(tmp_path, TRAIN, with_labels, 1200, rng(), origin)
    assert row_numbers(examples, table) == row_numbers(asked, table)
    assert set(table.subject[row_numbers(examples, table)]) <= set(TRAIN)


@pytest.mark.parametrize("origin", WORDS)
@pytest.mark.parametrize("number", [1, 3, 8, 9])
def test_no_more_than_asked_for_and_none_twice(origin, number, written):
    folder, table, _ = written
    pool = {"frames": rows_of(table, TRAIN, False)}.get(origin) or rows_of(
        table, LABELLED if origin == "same" else ["s1", "s2"], True
    )
    assert len(pool) == 8
    drawn = row_numbers(unlabelled(folder, TRAIN, LABELLED, number, rng(), origin)[0], table)
    assert len(drawn) == len(set(drawn)) == min(number, 8) and set(drawn) <= set(pool)
    assert drawn == sorted(drawn)  # as in the table


def test_the_generator_alone_decides_which(written):
    folder, table, _ = written

    def drawn(seed):
        np.random.seed(seed % 7)
        return tuple(row_numbers(unlabelled(folder, TRAIN, LABELLED, 2, rng(seed), "frames")[0], table))

    draws = [drawn(seed) for seed in range(60)]
    assert draws == [drawn(seed) for seed in range(60)]
    assert len(set(draws)) > 15  # of 28 pairs
    assert set().union(*draws) == set(rows_of(table, TRAIN, False))


def test_images_that_are_not_drawn_take_no_memory(tmp_path):
    def peak(subjects):
        names = [f"s{number}" for number in range(subjects)]
        table = pd.DataFrame({"subject": names, "modality": "MR", "volume": names, "labelled": False})
        images = np.zeros((subjects, 64, 64), np.float32)
        arrays = {"images": images, "labels": images.astype(np.uint8)}
        prepared.write(tmp_path / str(subjects), arrays, table, {}, "")
        tracemalloc.start()
        assert len(unlabelled(tmp_path / str(subjects), names, names[:1], 20, rng(), "frames")[0]) == 20
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(30)
    assert peak(300) < 1.5 * peak(30)


def test_shares_and_unlabelled_images_never_meet_validation_or_test(written):
    folder, table, _ = written
    for percent, origin in product((25, 50, 75), WORDS):
        with_labels = share(TRAIN, {"MR": percent, "CT": 0}, MODALITY)
        chosen = row_numbers(unlabelled(folder, TRAIN, with_labels, 1200, rng(), origin)[0], table)
        subjects = set(table.subject[chosen])
        assert subjects and not subjects & set(REST)
        if origin == "others":
            assert not subjects & set(with_labels)


@pytest.mark.parametrize(
    ("with_labels", "number", "origin", "found"),
    [
        (TRAIN, 1200, "others", "1200 of 0 images of 0 subjects (others)"),
        (TRAIN, 5, "frames", "5 of 0 images of 4 subjects (frames)"),
        ([], 5, "same", "5 of 0 images of 0 subjects (same)"),
        (LABELLED, 0, "", "0 of 8 images of 2 subjects (others)"),
        (LABELLED, -1, "same", "-1 of 8 images of 2 subjects (same)"),
    ],
)
def test_nothing_to_learn_from_without_labels(with_labels, number, origin, found, tmp_path):
    """Such as an unlabelled fraction that leaves no patient, or none asked for."""
    write(tmp_path, frames_of=())
    with pytest.raises(InputError) as caught:
        unlabelled(tmp_path, TRAIN, with_labels, number, rng(), origin)
    assert caught.value.problems == [
        f"unlabelled: {found}; label fewer subjects, add frames without labels, or choose another origin"
    ]
