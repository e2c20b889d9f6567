"""Drift, live: what is kept of pictures, when is looked, and what a look may cost."""

import asyncio
import contextlib
import dataclasses
import datetime
import json
import urllib.request

import numpy as np
import pytest

from nexperia_tf import files, preprocess, sizes
from nexperia_tf.drift import measure, reference
from nexperia_tf.server import drifting
from nexperia_tf.server.history import database, tables
from nexperia_tf.server.models import worker
from nexperia_tf.serving import version_folders

NAMES = measure.names(1)
START = datetime.datetime(2026, 11, 2, 6, tzinfo=datetime.UTC)


def looks(rng, lots, each):
    """Numbers of pictures, each lot with a look of its own."""
    of_lot = rng.normal(0, 0.02, (lots, 1, len(NAMES)))
    return of_lot + rng.normal(4, 0.05, (lots, each, len(NAMES)))


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """What a watch reads of a version: its facts and the pictures it brings."""
    folder = tmp_path_factory.mktemp("version")
    rng, lots, each = np.random.default_rng(0), 30, 20
    (folder / reference.EXPORTED).parent.mkdir()
    fine = reference.Reference(
        numbers=looks(rng, lots, each).reshape(-1, len(NAMES)).astype(np.float32),
        logit=rng.normal(-3, 0.5, lots * each).astype(np.float32),
        unfamiliar=np.full(lots * each, np.nan, np.float32),
        lot=np.repeat(np.arange(lots, dtype=np.int32), each),
        machine=np.full(lots * each, "", "U1"),
        trained_on=np.arange(lots * each) < 10 * each,
        thumbnails=rng.integers(0, 256, (2, 8, 8, 1), np.uint8),
    )
    reference.write(folder / reference.EXPORTED, fine)
    facts = {"image_size": 32, "channels": 1, "temperature": 1.0, "threshold": 0.5}
    files.write_json(folder / version_folders.FACTS, facts)
    return folder


@pytest.fixture
def history(tmp_path):
    opened = database.Database(str(tmp_path / "history.sqlite"))
    yield opened
    opened.close()


def entry(lot, i, hours, **changed):
    return tables.Entry(
        time=tables.stamp(START + datetime.timedelta(hours=hours)),
        station="s",
        source="watch",
        path=f"lot{lot}/{i}.png",
        picture_sha256=f"{lot}-{i}",
        model="line",
        version=1,
        score=0.05,
        threshold=0.5,
        label="good",
        verdict="good",
        **changed,
    )


def feed(watch, history, *, lots=12, each=45, shift=0.0, first=0, name=NAMES[0]):
    """Has a watch see lots, one every two hours; their verdicts are in the history."""
    numbers = looks(np.random.default_rng(first + 1), lots, each)
    numbers[..., NAMES.index(name)] += shift
    for lot in range(first, first + lots):
        entries = [entry(lot, i, 2 * lot, kept_as=f"{lot}-{i}") for i in range(each)]
        history.write(entries)
        watch.note(
            entries, [{worker.NUMBERS: n.tolist()} for n in numbers[lot - first]]
        )


def look(watch, version):
    asyncio.run(watch.look("line", 1, version))
    return watch.found("line")


def test_lots_like_the_training_are_steady(history, version):
    watch = drifting.Watch(history, "s")
    assert look(watch, version)["state"] == "unknown"
    feed(watch, history)
    watch = reopened(watch, history)
    found = look(watch, version)
    assert (found["state"], found["lots"], found["pictures"]) == ("steady", 12, 540)
    assert found["since"] == tables.stamp(START)
    assert found["false_alarms"] < 0.01


def reopened(watch, history):
    """The same server after a restart."""
    watch._flush()
    return drifting.Watch(history, "s")


def test_a_change_is_told_with_pictures_before_and_now(history, version):
    watch = drifting.Watch(history, "s")
    feed(watch, history, shift=0.3, name="fine detail 3 0")
    found = look(watch, version)
    assert found["state"] == "changed"
    change = found["changes"][0]
    assert change["place"] == [3, 0] and "lower left" in change["what"]
    assert change["reference_picture"].startswith(b"\x89PNG")
    rows = {row["id"]: row for row in history.rows()}
    assert len(change["now_pictures"]) == 6 and set(change["now_pictures"]) <= set(rows)
    told = json.loads(json.dumps(drifting.for_programs(found)))
    assert "reference_picture" not in told["changes"][0]


def test_what_was_found_outlasts_a_restart_and_is_not_looked_for_again(
    history, version
):
    watch = drifting.Watch(history, "s")
    feed(watch, history, shift=0.3)
    found = look(watch, version)
    again = drifting.Watch(history, "s")
    assert look(again, version) == found
    feed(again, history, first=12)  # within the pause nothing is looked at
    assert look(again, version) == found


def test_a_look_costs_what_has_passed_since_the_one_before(history, version):
    watch = drifting.Watch(history, "s", every=0.0, retry=0.0)
    feed(watch, history)
    first = look(watch, version)["false_alarms"]
    long = datetime.datetime.now(datetime.UTC) - START
    share = min(1, long.total_seconds() / drifting._YEAR)
    assert first == pytest.approx(0.01 * share, rel=0.01)
    feed(watch, history, first=12, lots=12)
    found = look(watch, version)
    # Seconds after the first look next to nothing may be spent, so nothing is told.
    assert found["false_alarms"] < 1e-8 and found["state"] == "too_little"


def test_an_alarm_stands_until_lots_are_as_before(history, version):
    watch = drifting.Watch(history, "s", every=0.0, retry=0.0)
    feed(watch, history, shift=0.3)
    assert look(watch, version)["state"] == "changed"
    feed(watch, history, first=12, shift=0.06)  # less than before
    assert look(watch, version)["state"] == "changed"
    feed(watch, history, first=24)
    assert look(watch, version)["state"] == "steady"


def test_few_lots_tell_too_little_and_cost_nothing(history, version):
    watch = drifting.Watch(history, "s", retry=0.0)
    feed(watch, history, lots=1, shift=2.0)
    found = look(watch, version)
    assert found["state"] == "too_little" and found["lots"] == 1
    assert "lots can tell" in found["said"]
    feed(watch, history, first=1, lots=11, shift=2.0)
    assert look(watch, version)["state"] == "changed"


def test_of_a_long_lot_some_pictures_of_each_hour_are_measured(history, version):
    watch = drifting.Watch(history, "s")
    feed(watch, history, lots=2, each=500)
    look(watch, version)
    with history.reading() as connection:
        query = tables.MEASURES.select()
        counts = {}
        for row in connection.execute(query).mappings():
            counts[row["lot"]] = counts.get(row["lot"], 0) + 1
    assert counts == {"lot0": 64, "lot1": 64}


def test_a_window_goes_back_to_eight_lots_and_five_hundred_pictures():
    rows = [{"lot": f"{i // 100}", "machine": ""} for i in range(2000)]
    assert len(drifting.last_lots(rows)) == 800
    rows = [{"lot": f"{i // 10}", "machine": ""} for i in range(2000)]
    assert len(drifting.last_lots(rows)) == 500


@pytest.mark.parametrize(
    ("path", "lot"),
    [
        ("WEE939001B0A_14-APG_ITIS_H20_1_374_4.bmp", ("WEE939001B0A", "20")),
        ("lot 7/a.png", ("lot 7", "")),
        ("a.png", ("day 2026-11-02", "")),
        (None, ("day 2026-11-02", "")),
    ],
)
def test_a_lot_is_told_by_name_folder_or_day(path, lot):
    assert drifting.lot_of(dataclasses.replace(entry(0, 0, 0), path=path)) == lot


def test_a_version_without_pictures_to_compare_with_is_not_watched(
    history, tmp_path, capsys
):
    watch = drifting.Watch(history, "s")
    asyncio.run(watch.look("line", 1, tmp_path))
    assert watch.found("line") is None
    assert drifting.for_programs(None)["state"] == "unknown"


def test_pictures_that_could_not_be_read_are_no_part_of_it(history):
    watch = drifting.Watch(history, "s")
    watch.note([entry(0, 0, 0)], [{worker.PROBLEM: "torn"}])
    watch._flush()
    with history.reading() as connection:
        assert not connection.execute(tables.MEASURES.select()).all()


def test_postgresql_keeps_numbers_and_results_too(postgres, version):
    with contextlib.closing(database.Database(postgres)) as history:
        watch = drifting.Watch(history, "s")
        feed(watch, history, shift=0.3, name="fine detail 3 0")
        found = look(watch, version)
        assert found["changes"][0]["place"] == [3, 0]
        assert len(found["changes"][0]["now_pictures"]) == 6
        assert look(drifting.Watch(history, "s"), version) == found
        history.set("drift:1:s:line", None)
        with history.writing() as connection:
            for table in (tables.MEASURES, tables.VERDICTS):
                connection.execute(table.delete())


def test_numbers_of_old_pictures_go_with_their_verdicts(history):
    watch = drifting.Watch(history, "s")
    feed(watch, history, lots=2, each=3)
    watch._flush()
    history.forget(tables.stamp(START + datetime.timedelta(hours=1)), unless=bool)
    with history.reading() as connection:
        left = connection.execute(tables.MEASURES.select()).mappings().all()
    assert [row["lot"] for row in left] == ["lot1"] * 3


def test_a_server_measures_what_it_scores(start, publish_tiny, pictures, tmp_path):
    version = publish_tiny(tmp_path / "models" / "line")
    rng = np.random.default_rng(0)
    fine = reference.Reference(
        numbers=looks(rng, 4, 6).reshape(-1, len(NAMES)).astype(np.float32),
        logit=np.full(24, -9, np.float32),
        unfamiliar=np.full(24, np.nan, np.float32),
        lot=np.repeat(np.arange(4, dtype=np.int32), 6),
        machine=np.full(24, "", "U1"),
        trained_on=np.zeros(24, bool),
        thumbnails=np.zeros((1, 8, 8, 1), np.uint8),
    )
    reference.write(version / reference.EXPORTED, fine)
    files.write_manifest(version)
    words = tmp_path / "models", "--history", tmp_path / "history.sqlite"
    server = start(*words).ready()
    assert server.predict(pictures)[0] == 200

    def told():
        status, found = server.get("/v1/models/line/drift")
        assert status == 200
        return found if found.get("pictures") == len(pictures) else None

    found = server.wait_for(told)
    assert found["state"] == "too_little" and found["lots"] == 1
    assert server.get("/v1/models/none/drift")[0] == 404
    with database.Database(str(words[-1]), must_exist=True).reading() as connection:
        row = connection.execute(tables.MEASURES.select()).mappings().first()
    numbers = np.frombuffer(row["numbers"], "<f4")
    canvas = preprocess.batch(pictures[:1], sizes.Size(32, 32), 1)[0]
    np.testing.assert_allclose(numbers, measure.of_canvas(canvas), atol=1e-4)
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{server.rest}/metrics")
    with metrics:
        assert b'nexperia_drift{model="line"} NaN' in metrics.read()
