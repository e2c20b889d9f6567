"""`nexperia predict` as a job, in processes of its own that are struck."""

import csv
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals are POSIX"),
]
PATIENCE = 120  # seconds, of a machine with other work
PICTURES = 600  # at one a batch: half a second of work


@pytest.fixture(scope="module")
def place(publish_tiny, run_command, tmp_path_factory):
    """A model, a folder of pictures, and the table of a job that nothing disturbs."""
    place = tmp_path_factory.mktemp("job")
    publish_tiny(place / "model")
    rng = np.random.default_rng(0)
    (place / "raw").mkdir()
    for i in range(40):
        noise = rng.integers(0, 256, (24, 24), np.uint8)
        Image.fromarray(noise).save(place / "raw" / f"{i:04}.png")
    for i in range(40, PICTURES):
        os.link(place / "raw" / f"{i % 40:04}.png", place / "raw" / f"{i:04}.png")
    (place / "raw" / "=cmd.bmp").write_text("no picture")
    assert run_command(*words(place, place / "whole.csv")) == 0
    return place


def words(place: pathlib.Path, out: pathlib.Path | str, *more) -> list:
    return [
        *("predict", place / "model", place / "raw"),
        *("--batch-size", 1, "--out", out, *more),
    ]


def start(place: pathlib.Path, out, *more, **options) -> subprocess.Popen:
    argv = [sys.executable, "-m", "nexperia_tf", *words(place, out, *more)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        list(map(str, argv)), stdout=pipe, stderr=pipe, text=True, **options
    )


def rows_in(path: pathlib.Path) -> int:
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


def struck(process: subprocess.Popen, number: int, partial: pathlib.Path, rows: int):
    """Sends a signal when there are so many rows; gives code and last line."""
    end = time.monotonic() + PATIENCE
    while rows_in(partial) < rows:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.001)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said.splitlines()


def test_a_job_that_is_stopped_and_killed_and_resumed_ends_as_it_would_have(
    place, tmp_path, run_command, capfd
):
    out = tmp_path / "scores.csv"
    partial = tmp_path / "scores.csv.partial"
    code, said = struck(start(place, out), signal.SIGTERM, partial, 20)
    kept = rows_in(partial)
    assert code == 143 and not out.exists() and kept >= 20
    assert said[-1].startswith("error: stopped by SIGTERM")
    assert f"{kept} rows are in {partial}" in said[-1] and "--resume" in said[-1]
    assert run_command(*words(place, out)) == 2  # not over what is there
    assert "pass --resume" in capfd.readouterr().err

    process = start(place, out, "--resume")
    assert struck(process, signal.SIGKILL, partial, kept + 20) == (-9, [])
    assert not out.exists() and rows_in(partial) >= kept + 20
    left = PICTURES + 1 - rows_in(partial)
    assert run_command(*words(place, out, "--resume")) == 0
    assert f"Scored {left} pictures in" in capfd.readouterr().out
    assert out.read_bytes() == (place / "whole.csv").read_bytes()
    assert os.listdir(tmp_path) == ["scores.csv"]


def test_rows_on_standard_output_end_quietly_with_their_reader(place):
    process = start(place, "-")
    first = [process.stdout.readline() for _ in range(3)]
    process.stdout.close()
    with process.stderr as said:
        assert said.read() == ""
    assert process.wait(timeout=PATIENCE) == 141
    with open(place / "whole.csv") as file:
        assert first == [file.readline() for _ in range(3)]


def test_a_table_without_room_is_one_line_and_goes_on_where_there_is(
    place, tmp_path, run_command
):
    out = tmp_path / "scores.csv"

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    process = start(place, out, preexec_fn=little)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2 and not out.exists()
    assert f"{out}.partial: File too large; free some space" in said.splitlines()[-1]
    assert 20 < rows_in(pathlib.Path(f"{out}.partial")) < PICTURES
    assert run_command(*words(place, out, "--resume")) == 0
    assert out.read_bytes() == (place / "whole.csv").read_bytes()


def test_a_path_that_looks_like_a_formula_is_what_it_is(place):
    with open(place / "whole.csv", newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows["=cmd.bmp"]["problem"] and not rows["0000.png"]["problem"]
    assert (place / "raw" / "=cmd.bmp").is_file()
