import concurrent.futures
import threading
import time

import numpy as np

from nexperia_tf.data.proof import memory


def test_the_arrays_asked_for_last_are_kept_up_to_their_bytes():
    made = []

    def array(key):
        return kept.get(key, lambda: made.append(key) or np.full(100, key, np.uint8))

    kept = memory.Kept(250)
    for key in (1, 2, 1, 3, 1, 2):
        assert (array(key) == key).all()
    assert made == [1, 2, 3, 2]  # 2 made way for 3
    kept.get(9, lambda: np.zeros(1000, np.uint8))
    assert len(kept.get(9, lambda: np.zeros(0))) == 1000  # one is kept, however large
    assert kept._bytes == 1000


def test_threads_share_what_is_free_and_a_picture_of_any_size_has_its_turn():
    shared, lock, now, most = memory.Shared(10), threading.Lock(), [0], [0]

    def look(pixels):
        with shared.taken(pixels):
            with lock:
                now[0] += pixels
                most[0] = max(most[0], now[0])
            time.sleep(0.002)
            with lock:
                now[0] -= pixels

    sizes = [3, 4, 25, 3, 10, 1, 40] * 4
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(look, sizes))
    assert most[0] == 40 and now[0] == 0


def test_small_pictures_are_looked_at_side_by_side_and_no_more_than_fit():
    shared, together = memory.Shared(10), threading.Barrier(2, timeout=10)

    def look(_):
        with shared.taken(5):
            together.wait()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(look, range(2)))
