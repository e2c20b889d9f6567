"""Claim: a network that has seen other products learns a new one from fewer pictures.

Says nothing of ImageNet's weights: resnet26_quarter first learns drawn products (turned
brass parts and the sample's devices), then another one, woven cloth, of which there are
a few hundred pictures. At equal steps it starts from random weights, or from that
network by the recipe for fine-tuning, or from it at the settings of a fresh start. Each
is set up as `nexperia train` does (`model_setup`) and fitted to arrays, mirrored at
random; the AUC is that of pictures it has not seen, after the last step.

    python benchmarks/fine_tuning.py
    python benchmarks/fine_tuning.py --also learning_rate=1e-3
"""

import argparse
import json
import pathlib
import tempfile
from collections.abc import Callable, Iterator

import cv2
import first_hour
import numpy as np
import safetensors.numpy
from sklearn import metrics

from nexperia_tf import command, configs
from nexperia_tf.configs import fine_tuning as recipes
from nexperia_tf.sample import command as sample

SIDE, DRAWN_SIDE = 64, 96  # pixels, as seen and as cloth is drawn
FIRST = (600, 400)  # good ones and defects of each product that is learned first
CLOTH, NEW = (180, 80), (350, 150)
ALIKE = {"backbone": "resnet26_quarter", "image_size": SIDE, "batch_size": 16}
ON_DEVICES = ("chipping", "foreign_material", "scratch")

Product = Callable[[np.random.Generator, bool], np.ndarray]
Pictures = tuple[np.ndarray, np.ndarray]  # uint8 (n, SIDE, SIDE, 3), defect (n,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--first-epochs", type=int, default=10)
    parser.add_argument("--arms", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--file", default="", help="keep what is learned first there")
    parser.add_argument("--also", nargs="*", default=[], help="the recipe, changed")
    arguments = parser.parse_args()
    command.import_tensorflow()
    with tempfile.TemporaryDirectory() as place:
        file = arguments.file or f"{place}/before.safetensors"
        if not pathlib.Path(file).exists():
            learn_before(file, arguments.first_epochs)
        known, new = drawn([cloth], CLOTH, seed=1), drawn([cloth], NEW, seed=2)
        arms = [
            ("random weights", {"weights": "none"}),
            ("other products, recipe", {"weights": file}),
            ("other products, as if fresh", {"weights": file, "fine_tuning": False}),
        ]
        arms = [arms[number] for number in arguments.arms]
        for words in arguments.also:
            changed = dict(word.split("=") for word in words.split(","))
            changed = {name: json.loads(value) for name, value in changed.items()}
            recipe = recipes.FINE_TUNING | changed
            as_said = {"weights": file, "fine_tuning": False, **recipe}
            arms.append((f"recipe, but {words}", as_said))
        seeds = arguments.seeds
        print("| start | " + " | ".join(f"seed {s}" for s in seeds) + " | mean |")
        print("|---" * (len(seeds) + 2) + "|")
        for name, knobs in arms:
            aucs = [
                auc(fitted(known, seed=s, epochs=arguments.epochs, **knobs), new)
                for s in seeds
            ]
            cells = " | ".join(f"{each:.3f}" for each in (*aucs, np.mean(aucs)))
            print(f"| {name} | {cells} |", flush=True)


def learn_before(file: str, epochs: int) -> None:
    """Writes a torch-style file of the network that has learned the other products."""
    products = [brass, device]
    known = drawn(products, FIRST, seed=0)
    model = fitted(known, seed=0, epochs=epochs, batch_size=32, weights="none")
    fresh = auc(model, drawn(products, (150, 100), seed=3))
    print(f"other products, {len(known[1])} pictures: AUC of new ones {fresh:.3f}")
    safetensors.numpy.save_file(torch_state(model), file)


def fitted(pictures: Pictures, *, seed: int, epochs: int, **knobs):
    """A network set up as a run's and trained."""
    import keras

    from nexperia_tf.models import tensorflow_ops
    from nexperia_tf.training import model_setup

    keras.utils.clear_session()
    tensorflow_ops.forget_gradients()
    keras.utils.set_random_seed(seed)
    asked = configs.of(**ALIKE | {"epochs": epochs} | knobs)
    config, _ = model_setup.started(asked)
    size = config.optimisation.batch_size
    steps = len(pictures[1]) // size
    prior = float(np.mean(pictures[1]))
    model = model_setup.build(config, channels=3, prior=prior, steps=steps)
    batches = mirrored(pictures, size, np.random.default_rng(seed))
    model.fit(batches, steps_per_epoch=steps, epochs=epochs, shuffle=False, verbose=0)
    return model


def mirrored(
    pictures: Pictures, size: int, random: np.random.Generator
) -> Iterator[Pictures]:
    """Batches without end, in a new order and mirrored at random each time."""
    images, truth = pictures
    while True:
        order = random.permutation(len(truth))
        for start in range(0, len(truth) - size + 1, size):
            batch = order[start : start + size]
            flip = random.random((2, size, 1, 1, 1)) < 0.5
            chosen = np.where(flip[0], images[batch, ::-1], images[batch])
            yield np.where(flip[1], chosen[:, :, ::-1], chosen), truth[batch]


def auc(model, pictures: Pictures) -> float:
    """Of pictures that the model has not seen."""
    scores = model.predict(pictures[0], batch_size=100, verbose=0)
    return metrics.roc_auc_score(pictures[1], scores[:, 0])


def torch_state(model) -> dict[str, np.ndarray]:
    """A model's weights by torch's names and in its layout, without the head."""
    from nexperia_tf.models import pretrained

    state = {}
    for name, variable in pretrained.torch_named(model):
        values = np.asarray(variable)
        if values.ndim == 4:
            values = values.transpose(3, 2, 0, 1)
        if not name.startswith("fc."):
            state[name] = np.ascontiguousarray(values)
    return state


def drawn(products: list[Product], counts: tuple[int, int], *, seed: int) -> Pictures:
    """Good ones and defects of each product."""
    random = np.random.default_rng(seed)
    truth = np.repeat([0.0, 1.0], counts).astype("float32")
    images = [
        cv2.resize(
            product(random, bool(each)), (SIDE, SIDE), interpolation=cv2.INTER_AREA
        )
        for product in products
        for each in truth
    ]
    return np.stack(images), np.tile(truth, len(products))


def brass(random: np.random.Generator, defect: bool) -> np.ndarray:
    """A turned brass part, uint8 of shape `(240, 240, 3)`."""
    return first_hour.part(random, defect=defect)[:, 40:-40]


def device(random: np.random.Generator, defect: bool) -> np.ndarray:
    """A device of the sample, uint8 of shape `(267, 267, 3)`."""
    kind = str(random.choice(ON_DEVICES)) if defect else None
    pixels, _ = sample.device(9, int(random.integers(1 << 30)), kind)
    return np.repeat(pixels[:, 4:-4, np.newaxis], 3, axis=2)


def cloth(random: np.random.Generator, defect: bool) -> np.ndarray:
    """Woven cloth, with a pulled thread, a thin place or a knot if it is a defect."""
    y, x = np.mgrid[:DRAWN_SIDE, :DRAWN_SIDE].astype(np.float32)
    turn = random.uniform(-0.15, 0.15)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    pitch = random.uniform(5, 7)  # pixels
    weft = np.sin(2 * np.pi * u / pitch + random.uniform(0, 6))
    warp = np.sin(2 * np.pi * v / pitch + random.uniform(0, 6))
    level = random.uniform(110, 150) + 18 * weft * warp + 6 * (weft + warp)
    level += cv2.GaussianBlur(random.normal(0, 90, level.shape).astype("f"), (0, 0), 6)
    if defect:
        at_u, at_v = random.uniform(20, DRAWN_SIDE - 20, 2)
        kind = random.choice(["thread", "thin", "knot"])
        if kind == "thread":
            across, along = (u - at_u, v - at_v)[:: random.choice([1, -1])]
            shape = np.exp(-((across / 1.2) ** 2)) * (np.abs(along) < 22)
            level -= random.uniform(22, 40) * shape
        else:
            size = 7 if kind == "thin" else 2.5
            shape = np.exp(-((u - at_u) ** 2 + (v - at_v) ** 2) / (2 * size**2))
            level += random.uniform(24, 40) * shape * (1 if kind == "thin" else 1.4)
    tint = np.array([1.0, 0.97, 0.88]) * random.uniform(0.95, 1.05, 3)
    noisy = level[..., np.newaxis] * tint + random.normal(0, 5, (*level.shape, 3))
    return np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)


if __name__ == "__main__":
    main()
