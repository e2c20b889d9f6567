"""What the study's tests share."""

import pytest

from nexperia_tf.study import results


@pytest.fixture(scope="session")
def study_of():
    """`study_of(judged)` is a study of these tables, without any training."""

    def make(judged, **known) -> results.Study:
        devices = judged[0].rows[0]
        return results.Study(
            data="any/folder",
            scale="small",
            seeds=1,
            extended=False,
            labels="",
            image_size=32,
            epochs=1,
            n=devices.n,
            n_defect=devices.n_defect,
            tables=judged,
            runs=(),
            weights={},
            **{"notes": (), "time": results.Time("today", 3, 60.0)} | known,
        )

    return make
