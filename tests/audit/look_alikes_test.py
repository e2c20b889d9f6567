import numpy as np

from nexperia_tf.audit import look_alikes


def _space(seed=0):
    random = np.random.default_rng(seed)
    looks = random.normal(0, 1, (60, 5)).astype(np.float32)
    looks[7] = 40  # like nothing else
    looks[9] = looks[3] + 1e-3
    return look_alikes.Space.of(looks, np.arange(60) % 2)


def test_the_nearest_is_not_the_picture_itself():
    space = _space()
    (found,) = space.nearest([3], 1)
    assert found[0] == 9 and 3 not in found and len(found) == look_alikes.NEAREST
    assert all(place % 2 == 0 for place in space.nearest([3], 0)[0])


def test_the_picture_unlike_all_others_is_the_loneliest():
    times = _space().loneliness()
    assert times.argmax() == 7 and np.median(times) == 1


def test_pictures_that_are_all_alike_are_none_of_them_lonely():
    space = look_alikes.Space.of(np.ones((4, 3), np.float32), np.array([0, 0, 1, 1]))
    assert [len(found) for found in space.nearest([0], 0)] == [1]
    assert not space.loneliness().any()
