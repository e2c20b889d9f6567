"""The classifier: raw pixels in, one logit out, as one flat functional graph."""

import math
import re

import keras

from nexperia_tf import preprocess, sizes
from nexperia_tf.models import backbones, blocks

LOGIT, MAP = "logit", "map"


def build(
    backbone: str | backbones.Shape,
    *,
    image_size: sizes.Size | int | str | None,
    channels: int,
    prior: float = 0.2,
    classes: int = 1,
    standardise: str = "imagenet",
) -> keras.Model:
    """Builds a classifier with fresh weights.

    Args:
        backbone: a name of `backbones.BACKBONES` or an alias, or a shape of your own.
        image_size: height and width, a number for a square; None leaves both open.
        channels: 1 for grey pictures, 3 for colour.
        prior: share of defects in training, in (0, 1); the untrained model answers it.
        classes: number of logits; 1 is defect against good.
        standardise: by whose mean and spread pixels are scaled: those of "imagenet", or
            of each "picture" itself, its letterbox's bars among it.

    Returns:
        model from `image`, pixels 0..255 of shape `(batch, height, width, channels)`
        and any number type, to `logit`, float32 of shape `(batch, classes)`. Its parts
        end in the layers `scaling`, `stem`, `stage1` ... `stage4` and `features`.

    Raises:
        errors.BadInput: there is no such backbone.
    """
    name = "backbone"
    shape = backbone
    if isinstance(backbone, str):
        name = backbones.full_name(backbone)
        shape = backbones.shape(name)
    sides = (None, None) if image_size is None else sizes.Size.of(image_size)
    image = keras.Input((*sides, channels), name="image")
    scale, offset = preprocess.scale_and_offset(channels)
    # float32 whatever the policy: eight bits of pixel do not survive bfloat16's offset.
    scaled = keras.layers.Rescaling(scale, offset, dtype="float32", name="scaling")(
        image
    )
    if standardise == "picture":
        scaled = keras.layers.LayerNormalization(
            axis=(1, 2, 3),
            center=False,
            scale=False,
            epsilon=1e-5,  # an evenly grey picture gives zeros
            dtype="float32",
            name="picture_scaling",
        )(scaled)
    features = blocks.backbone(scaled, shape)  # (batch, features)
    logit = keras.layers.Dense(
        classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        bias_initializer=_starting_bias(prior) if classes == 1 else "zeros",
        dtype="float32",  # a float16 logit loses the gradient of confident errors
        name=LOGIT,
    )(features)
    return keras.Model(image, logit, name=name)


def with_map(model: keras.Model) -> keras.Model:
    """The classifier with a second head, which says where the defect is.

    Args:
        model: a model of `build`; its layers are shared.

    Returns:
        model from `image` to a dict: `logit` as before, and `map`, float32 of shape
        `(batch, height / stride, width / stride, 1)`, rounded up: logits of a defect in
        each place of the last stage, as far apart as `Shape.stride` says.
    """
    places = keras.layers.Conv2D(
        1, 1, bias_initializer=_starting_bias(0.1), dtype="float32", name=MAP
    )(model.get_layer("features").input)
    outputs = {LOGIT: model.output, MAP: places}
    return keras.Model(model.input, outputs, name=model.name)


def has_map(model: keras.Model) -> bool:
    """Whether it has the second head of `with_map`."""
    return isinstance(model.output, dict)


def without_map(model: keras.Model) -> keras.Model:
    """The classifier alone, whose layers are shared; itself where it has no map."""
    if not has_map(model):
        return model
    return keras.Model(model.input, model.output[LOGIT], name=model.name)


def as_kept(model: keras.Model) -> keras.Model:
    """The classifier as model.keras holds it, whose layers are shared.

    Returns:
        itself where it has no map, else a model whose `map` has no axis of channels:
        logits of shape `(batch, rows, columns)`.
    """
    if not has_map(model) or len(model.output[MAP].shape) == 3:
        return model
    places = model.output[MAP]
    flat = keras.layers.Reshape(places.shape[1:3], dtype="float32", name="places")
    outputs = {LOGIT: model.output[LOGIT], MAP: flat(places)}
    return keras.Model(model.input, outputs, name=model.name)


def stage_means(model: keras.Model) -> keras.Model:
    """A model from the classifier's pictures to what describes them.

    Returns:
        model to float32 of shape `(batch, channels of all stages)`: the mean over the
            picture of each channel of `stage1`, `stage2` ...; layers are shared.
    """
    means = [
        keras.layers.GlobalAveragePooling2D(dtype="float32", name=f"{stage.name}_mean")(
            stage.output
        )
        for stage in model.layers
        if re.fullmatch(r"stage\d+", stage.name)
    ]
    described = keras.layers.Concatenate(dtype="float32", name="stage_means")(means)
    return keras.Model(model.input, described, name=f"{model.name}_described")


def take_map(model: keras.Model, source: keras.Model) -> None:
    """Gives the model's map the weights of another's, where both have one."""
    if has_map(model) and has_map(source):
        model.get_layer(MAP).set_weights(source.get_layer(MAP).get_weights())


def in_float32(model: keras.Model) -> keras.Model:
    """A copy that computes in float32, whatever policy the classifier trained in."""
    config = model.get_config()
    for layer in config["layers"]:
        layer["config"]["dtype"] = "float32"
        if "synchronized" in layer["config"]:  # it stands on one device
            layer["config"]["synchronized"] = False
    plain = keras.Model.from_config(config)
    plain.set_weights(model.get_weights())
    return plain


def _starting_bias(prior):
    """The logit of the prior, so that the first steps are not spent on learning it."""
    if not 0 < prior < 1:
        raise ValueError(f"prior must lie in (0, 1). Received prior={prior}.")
    return keras.initializers.Constant(math.log(prior / (1 - prior)))
