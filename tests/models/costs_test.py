import pytest

from nexperia_tf.models import classifier, costs


@pytest.mark.parametrize(
    ("backbone", "parameters", "gmac"),
    [("resnext50_32x4d", 25_028_904, 4.23), ("wide_resnet50_2", 68_883_240, 11.40)],
)
def test_costs_are_those_that_timm_publishes(backbone, parameters, gmac):
    model = classifier.build(backbone, image_size=224, channels=3, classes=1000)
    assert costs.parameters(model) == parameters
    assert costs.multiplications(model) / 1e9 == pytest.approx(gmac, abs=0.03)


def test_a_cost_is_whole():
    found = costs.of(classifier.build("resnext26_32x4d", image_size=32, channels=1))
    assert found.parameters > 1e6 and found.gmac > 0.01 and found.ms > 0
