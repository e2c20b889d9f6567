"""Parts of the model card, from what runs and exports hold."""

import types

import pytest

from nexperia_tf import configs
from nexperia_tf.data import manifest
from nexperia_tf.promotion import card
from nexperia_tf.runs import run_folders


def row(name, label, split, kind="", group="", dropped=""):
    return manifest.Row(
        name,
        f"{name}.png",
        label=label,
        defect_type=kind,
        split=split,
        group=group,
        dropped_because=dropped,
    )


def test_counts_of_the_card_are_those_of_the_manifest():
    rows = [
        row("a", "good", "train", group="1"),
        row("b", "good", "train", group="1"),
        row("c", "defect", "train", "crack", "2"),
        row("d", "defect", "test", "crack", "3"),
        row("e", "defect", "test", group="4"),
        row("f", "good", "", dropped="duplicate"),
    ]
    lines = list(card._counts(rows))
    assert lines == [
        "| pictures | train | test |",
        "|---|---|---|",
        "| good | 2 | 0 |",
        "| crack | 1 | 1 |",
        "| defect | 0 | 1 |",
        "| lots or groups | 2 | 2 |",
        "",
        "Left out of all splits: 1 duplicate.",
    ]


def run_of(**changed):
    config = configs.of(backbone="resnet50", **changed)
    return run_folders.Run(None, config, {"weights_sha256": "ab12"})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"weights": "imagenet"}, "timm/resnet50.a1_in1k (Apache-2.0); SHA-256 ab12."),
        ({"weights": "none"}, "random ones; nobody else's licence holds for them."),
        ({"weights": "own.safetensors"}, "own.safetensors, licence not known to"),
        ({"init": "runs/before"}, "those of the run runs/before; its own card"),
    ],
)
def test_the_licence_of_the_starting_weights_is_named(changed, said):
    assert card._weights(run_of(**changed)).startswith(said)


def test_an_ensemble_is_described_by_its_members():
    members = [
        {"name": "a", "weight": 0.5, "backbone": "resnext50_32x4d"},
        {"name": "b", "weight": 0.5, "members": []},
    ]
    assert card._network({"members": members}) == (
        "an ensemble of a (resnext50_32x4d, weight 0.5), b (an ensemble, weight 0.5)"
    )
    assert card._network({"backbone": "tiny"}) == "tiny"


def test_kinds_that_were_only_tried_or_only_trained_on_are_named(monkeypatch):
    rows = [row("a", "defect", "train", "crack"), row("b", "defect", "test", "chip")]
    rows += [row("c", "defect", "train", "scratch"), row("d", "good", "train")]
    monkeypatch.setattr(card, "_rows", lambda run: rows)
    kinds = [types.SimpleNamespace(kind=name) for name in ("crack", "chip")]
    record = types.SimpleNamespace(
        new=types.SimpleNamespace(run="a run"),
        compared=types.SimpleNamespace(kinds=kinds),
    )
    assert card._one_sided(record) == ("chip", "scratch")
