import keras
import pytest

from nexperia_tf import errors
from nexperia_tf.models import backbones, classifier, weights

PUBLISHED = {  # torchvision's and timm's counts, 1000 classes
    "resnet26": 15_995_176,
    "resnet50": 25_557_032,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    "resnext26_32x4d": 15_389_480,
}


def parameters(shape: backbones.Shape, classes: int) -> int:
    """Counts by the formula, without allocating the weights."""
    count = 7 * 7 * 3 * shape.stem + 2 * shape.stem
    channels = shape.stem
    for stage, blocks in enumerate(shape.blocks):
        inner, outer = shape.inner(stage), 4 * shape.planes[stage]
        count += channels * outer + 2 * outer  # shortcut
        for _ in range(blocks):
            count += channels * inner + 9 * inner * inner // shape.groups
            count += inner * outer + 4 * inner + 2 * outer
            channels = outer
    return count + channels * classes + classes


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_count_is_the_published_one(name):
    assert parameters(backbones.BACKBONES[name], classes=1000) == PUBLISHED[name]


@pytest.mark.parametrize("name", weights.IMAGENET)
def test_published_weights_are_as_large_as_said(name):
    size = 4 * PUBLISHED[name] / 1e6  # float32; batch norms' statistics come on top
    assert size < weights.IMAGENET[name].megabytes + 0.5 < 1.01 * size + 1


@pytest.mark.parametrize("name", ["resnext50_32x4d", "wide_resnet26_2"])
def test_built_model_has_as_many_parameters_as_the_formula(name):
    model = classifier.build(name, image_size=64, channels=3, classes=1000)
    found = sum(weight.value.shape.num_elements() for weight in model.trainable_weights)
    assert found == parameters(backbones.BACKBONES[name], classes=1000)


def test_stages_have_names_and_halve_the_side():
    model = classifier.build("resnext26_32x4d", image_size=64, channels=1)
    sides = {"scaling": 64, "stem": 16, "stage1": 16, "stage2": 8, "stage3": 4}
    for name, side in {**sides, "stage4": 2}.items():
        assert model.get_layer(name).output.shape[1:3] == (side, side)
    assert model.get_layer("features").output.shape == (None, 2048)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)


@pytest.mark.parametrize("alias,name", backbones.ALIASES.items())
def test_aliases_name_the_published_models(alias, name):
    assert backbones.full_name(alias) == name


def test_unknown_backbone_names_the_choices():
    with pytest.raises(errors.BadInput, match="resnext51: unknown; .*wide_resnet26_2"):
        backbones.full_name("resnext51")
