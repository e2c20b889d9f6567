"""A table that grows: what is kept when its job dies, and what goes on from there."""

import csv
import os

import pytest

from nexperia_tf import errors, files
from nexperia_tf.serving import score_table

SETTINGS = {"model": "abc", "threshold": 0.5, "batch_size": 2}
NAMES = ["a.png", 'b "c"\n,d.png', "=cmd.bmp", "-1.bmp", "e.png"]


def row(path: str, score: float | str = 0.25, problem: str = "") -> dict:
    label = "" if problem else "good"
    values = (path, "" if problem else score, label, 0.5, problem)
    return dict(zip(score_table.COLUMNS, values))


ROWS = [row(name, 1 / 3 + i) for i, name in enumerate(NAMES)]


def write(out, rows, *, paths=NAMES, settings=SETTINGS, resume=False, die=None):
    """Appends the rows that are not there yet, in pairs; then dies, if asked to."""
    told = score_table.written(str(out), settings, paths, resume=resume)
    with told as table:
        todo = [row for row in rows if row["path"] not in table.seen]
        for start in range(0, len(todo), 2):
            table.append(todo[start : start + 2])
        if die:
            raise die
    return table


def read(path) -> list[dict]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def undisturbed(tmp_path):
    (tmp_path / "whole").mkdir()
    write(tmp_path / "whole" / "scores.csv", ROWS)
    return (tmp_path / "whole" / "scores.csv").read_bytes()


def test_a_finished_table_keeps_every_bit_and_stands_alone(tmp_path):
    out = tmp_path / "scores.csv"
    table = write(out, [*ROWS, row("z.png", problem="torn")])
    assert [float(r["score"]) for r in read(out)[:5]] == [r["score"] for r in ROWS]
    assert [r["path"] for r in read(out)[:5]] == NAMES
    assert os.listdir(tmp_path) == ["scores.csv"]
    assert (table.rows, table.problems) == (6, {"torn": 1})


@pytest.mark.parametrize("torn", [b"", b"x.p", b'"x.png\n', b"\0" * 64, b"\xff\n"])
def test_a_job_that_died_goes_on_from_its_whole_batches(tmp_path, undisturbed, torn):
    out = tmp_path / "scores.csv"
    with pytest.raises(KeyboardInterrupt) as died:
        write(out, ROWS[:4], die=KeyboardInterrupt())
    assert died.value.__notes__ == [
        f"4 rows are in {out}.partial; the same command with --resume goes on from "
        "there."
    ]
    assert not out.exists()
    with open(f"{out}.partial", "ab") as file:
        file.write(torn)
    table = write(out, ROWS, resume=True)
    assert list(table.seen) == NAMES[:4] and table.rows == 5
    assert out.read_bytes() == undisturbed
    assert sorted(os.listdir(tmp_path)) == ["scores.csv", "whole"]


def test_a_batch_that_is_not_whole_is_scored_again(tmp_path, undisturbed):
    out = tmp_path / "scores.csv"
    with pytest.raises(KeyboardInterrupt):
        write(out, ROWS[:3], die=KeyboardInterrupt())
    assert list(write(out, ROWS, resume=True).seen) == NAMES[:2]
    assert out.read_bytes() == undisturbed


def test_a_job_that_has_written_nothing_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt) as died:
        write(tmp_path / "scores.csv", [], die=KeyboardInterrupt())
    assert not os.listdir(tmp_path) and not hasattr(died.value, "__notes__")


def test_files_that_came_meanwhile_stand_in_order(tmp_path, undisturbed):
    out = tmp_path / "scores.csv"
    gone = row("gone.png")
    with pytest.raises(KeyboardInterrupt):
        write(out, [ROWS[4], gone, ROWS[1], ROWS[0]], die=KeyboardInterrupt())
    write(out, ROWS, resume=True)
    lines = out.read_bytes()
    assert lines.startswith(undisturbed) and b"gone.png" in lines[len(undisturbed) :]


def test_a_table_is_resumed_with_what_it_was_begun_with(tmp_path):
    out = tmp_path / "scores.csv"
    with pytest.raises(KeyboardInterrupt):
        write(out, ROWS[:2], die=KeyboardInterrupt())
    for name, value in {"threshold": 0.4, "model": "other", "batch_size": 3}.items():
        words = (
            f"partial: was begun with {name.replace('_', ' ')} {SETTINGS[name]}, not"
        )
        with pytest.raises(errors.BadInput, match=words):
            write(out, ROWS, settings=SETTINGS | {name: value}, resume=True)
    assert len(read(f"{out}.partial")) == 2


def test_resuming_where_nothing_is_begins(tmp_path, undisturbed):
    write(tmp_path / "scores.csv", ROWS, resume=True)
    assert (tmp_path / "scores.csv").read_bytes() == undisturbed


def test_two_jobs_do_not_write_one_table(tmp_path):
    out = tmp_path / "scores.csv"
    with (
        score_table.written(str(out), SETTINGS, NAMES, resume=False),
        pytest.raises(errors.BadInput, match="another process is at work"),
    ):
        _in_thread(lambda: write(out, ROWS))


def _in_thread(work):
    """Locks hold between threads as between processes."""
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def check(out, *, resume=False, force=False) -> str:
    """What is said against a place, or ""."""
    try:
        score_table.check(str(out), resume=resume, force=force)
    except errors.BadInput as error:
        return str(error)
    return ""


def test_a_place_is_checked_before_anything_is_scored(tmp_path):
    out = tmp_path / "scores.csv"
    assert not check(out) and not check(out, resume=True) and not check(out, force=True)
    assert "there is no folder" in check(tmp_path / "deep" / "scores.csv")
    assert "is no file" in check(tmp_path, force=True)
    assert "is no file" in check("/dev/null", force=True)
    files.write_text(f"{out}.partial", "rows")
    assert "a job that has not ended; pass --resume" in check(out)
    assert not check(out, resume=True) and not check(out, force=True)
    files.write_text(out, "precious")
    assert "exists already" in check(out) and "exists already" in check(
        out, resume=True
    )
    assert not check(out, force=True)
    assert not check("-") and "--resume: has no effect" in check("-", resume=True)


def test_a_full_disk_names_the_table_and_keeps_what_is_there(tmp_path, monkeypatch):
    out = tmp_path / "scores.csv"
    monkeypatch.setattr(score_table.os, "fsync", lambda _: None)
    with pytest.raises(OSError, match="No space left") as full:
        write(out, ROWS[:2], die=OSError(28, "No space left on device", str(out)))
    assert "2 rows are in" in full.value.__notes__[0]
    assert len(read(f"{out}.partial")) == 2
