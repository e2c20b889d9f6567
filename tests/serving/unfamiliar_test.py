"""The output `unfamiliar` of a SavedModel, alone and in an ensemble."""

import keras
import numpy as np
import pytest

from nexperia_tf.models import backbones, classifier
from nexperia_tf.runs import familiarity, run_folders
from nexperia_tf.serving import export

SHAPE = backbones.Shape((1, 1), planes=(8, 8), stem=8)
SIDE = 32


def pictures(count, seed):
    return np.random.default_rng(seed).integers(
        0, 256, (count, SIDE, SIDE, 1), np.uint8
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Two networks of noise, the second with a map, and what each finds familiar."""
    base, made = tmp_path_factory.mktemp("unfamiliar"), {}
    for seed, with_map in ((0, False), (1, True)):
        keras.utils.set_random_seed(seed)
        model = classifier.build(SHAPE, image_size=SIDE, channels=1)
        if with_map:
            model = classifier.with_map(model)
        part = classifier.stage_means(model)
        seen, held_out = (part(pictures(40, s), training=False) for s in (10, 11))
        known = familiarity.fit(seen.numpy(), held_out.numpy())
        version = export.publish(
            model,
            base / str(seed),
            backbone="tiny",
            calibration=run_folders.Calibration(),
            familiar=known,
        )
        made[seed] = export.load(version), known, part
    return made


@pytest.mark.parametrize("seed", (0, 1))
def test_a_served_picture_is_as_unlike_as_python_finds_it(published, seed):
    served, known, part = published[seed]
    assert served.gives("unfamiliar") and served.gives("map") == (seed == 1)
    assert served.facts["unfamiliar_false_alarm"] == known.false_alarm
    shown = pictures(5, 12)
    shown[0] = 0
    found = served.answers(shown)
    expected = known.unfamiliar(part(shown, training=False).numpy())
    assert found["unfamiliar"].shape == (5,) and found["unfamiliar"].dtype == np.float32
    np.testing.assert_allclose(found["unfamiliar"], expected, rtol=1e-4)
    assert found["unfamiliar"][0] > 1.5


def test_clients_that_know_score_and_label_get_them_as_before(published):
    served, *_ = published[0]
    shown = pictures(4, 13)
    scores, verdicts = served.score_pixels(shown)
    found = served.answers(shown)
    assert scores == pytest.approx(found["score"].tolist(), abs=1e-6)
    assert verdicts == [label.decode() for label in found["label"]]
    logits = served.logit(shown).numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), scores, atol=1e-6)


def test_an_ensemble_gives_the_mean_where_all_members_do(
    published, publish_tiny, tmp_path, run_command
):
    folders = [str(served.folder) for served, *_ in published.values()]
    assert run_command("ensemble", *folders, "--out", tmp_path / "both") == 0
    joined, shown = export.load(tmp_path / "both"), pictures(4, 14)
    assert joined.gives("unfamiliar") and not joined.gives("map")
    each = [served.answers(shown)["unfamiliar"] for served, *_ in published.values()]
    np.testing.assert_allclose(
        joined.answers(shown)["unfamiliar"], np.mean(each, axis=0), rtol=1e-5
    )
    older = str(publish_tiny(tmp_path / "older"))
    assert run_command("ensemble", folders[0], older, "--out", tmp_path / "mixed") == 0
    assert not export.load(tmp_path / "mixed").gives("unfamiliar")
