import numpy as np
import pytest
import tensorflow as tf

from nexperia_tf import sizes
from nexperia_tf.serving import servable


class Constant(tf.Module):
    """Answers every picture with the same score, and the same map if there is one."""

    def __init__(self, score, *, through_python=False, place=None):
        super().__init__()
        self.score = tf.Variable(score)
        self.through_python = through_python
        self.place = None if place is None else tf.Variable(place)

    def answer(self, count):
        score = tf.fill([count], self.score)
        if self.through_python:
            score = tf.numpy_function(lambda x: x, [score], tf.float32)
            score = tf.ensure_shape(score, [None])
        answer = {"score": score, "label": tf.where(score >= 0.5, "defect", "good")}
        if self.place is not None:
            answer["map"] = tf.fill([count, 2, 3], self.place)
        return answer


def saved(folder, model, *, names=servable.INPUTS):
    """A SavedModel with signatures `names`, and its warm-up requests."""
    kinds = {
        servable.BYTES: tf.TensorSpec([None], tf.string),
        servable.PIXELS: tf.TensorSpec([None, None, None, 1], tf.uint8),
    }
    answer = tf.function(lambda **named: model.answer(tf.shape(*named.values())[0]))
    signatures = {
        name: answer.get_concrete_function(**{given: kinds[name]})
        for name, given in names.items()
    }
    tf.saved_model.save(model, str(folder), signatures)
    (folder / servable.WARMUP).parent.mkdir(exist_ok=True)
    shown = servable.pictures(sizes.Size(16, 16), 1)
    servable.write_warmup(folder / servable.WARMUP, shown[0])
    return shown


def check(folder, shown, score, threshold=0.5, place=None):
    own = {"score": np.full(len(shown), score, np.float32)}
    if place is not None:
        own["map"] = np.full((len(shown), 2, 3), place, np.float32)
    servable.check(folder, shown, own, threshold=threshold)


def test_what_answers_as_the_model_does_may_be_served(tmp_path):
    shown = saved(tmp_path, Constant(0.75))
    check(tmp_path, shown, 0.75)
    with pytest.raises(servable.Unservable, match=r"answered with \[0.75\], not \[0.2"):
        check(tmp_path, shown, 0.25)
    with pytest.raises(servable.Unservable, match="answered with labels"):
        check(tmp_path, shown, 0.75, threshold=0.9)


def test_a_map_is_given_and_right_or_it_is_not_served(tmp_path):
    shown = saved(tmp_path / "map", Constant(0.75, place=0.25))
    check(tmp_path / "map", shown, 0.75, place=0.25)
    with pytest.raises(servable.Unservable, match="answered with another map"):
        check(tmp_path / "map", shown, 0.75, place=0.5)
    with pytest.raises(servable.Unservable, match="not image_bytes to score, label$"):
        check(tmp_path / "map", shown, 0.75)
    shown = saved(tmp_path / "none", Constant(0.75))
    with pytest.raises(servable.Unservable, match="to score, label, map$"):
        check(tmp_path / "none", shown, 0.75, place=0.25)


def test_a_missing_signature_and_a_call_of_python_are_refused(tmp_path):
    one = {servable.BYTES: servable.INPUTS[servable.BYTES]}
    shown = saved(tmp_path / "one", Constant(0.75), names=one)
    with pytest.raises(servable.Unservable, match="image_pixels"):
        check(tmp_path / "one", shown, 0.75)
    shown = saved(tmp_path / "python", Constant(0.75, through_python=True))
    with pytest.raises(servable.Unservable, match="it calls Python"):
        check(tmp_path / "python", shown, 0.75)
