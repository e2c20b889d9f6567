"""Two processes never write one folder, and what a kill left goes with the next."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from nexperia_tf import errors, files, locks
from nexperia_tf.models import backbones, classifier
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import export

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
WRITER = """
import sys, time
from nexperia_tf import files
with files.new_folder(sys.argv[1]) as beside:
    (beside / "half").write_text("half")
    print("begun", flush=True)
    sys.stdin.read()
"""
TINY = ("--backbone", "resnet26_quarter", "--image-size", "32", "--batch-size", "8")
PLAIN = (*TINY, "--recipe", "plain")


def _start(*words, cwd=None, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


@contextlib.contextmanager
def writer(path):
    """A process that has begun to write `path`; killed in the end."""
    process = _start("-c", WRITER, path, stdin=subprocess.PIPE)
    try:
        assert process.stdout.readline() == "begun\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def _killed(path) -> pathlib.Path:
    """What a writer leaves that was killed while it wrote `path`."""
    with writer(path):
        pass
    (left,) = path.parent.glob(f".{path.name}.*.partial")
    return left


def _until(true, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while not true():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < until
        time.sleep(0.01)


def _ended(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("locks") / "raw"
    rng = np.random.default_rng(0)
    for name, low in (("good", 0), ("defect", 60)):
        (folder / name).mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(low, 196 + low, (32, 32)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def _listing(folder: pathlib.Path) -> dict:
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_a_folder_has_one_writer(tmp_path):
    with writer(tmp_path / "x"):
        refusal = pytest.raises(errors.BadInput, match="x: another process is at work")
        with refusal, files.new_folder(tmp_path / "x"):
            pass
        with files.new_folder(tmp_path / "y"):  # others are free
            pass
    with files.new_folder(tmp_path / "x"):  # at once: the lock died with its process
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "y"]


def test_a_partial_folder_is_swept_when_its_writer_is_dead(tmp_path):
    with writer(tmp_path / "live"):
        dead = _killed(tmp_path / "dead")
        with locks.held(tmp_path / "other"):
            (live,) = tmp_path.glob(".live.*.partial")
            assert (live / "half").is_file()
            assert not dead.exists()


def test_locks_that_nobody_holds_are_swept_and_no_others(tmp_path):
    _killed(tmp_path / "dead")
    (tmp_path / ".somebodys.lock").write_text("not ours")
    kept = tmp_path / ".own.lock", tmp_path / ".live.lock", tmp_path / ".other.lock"
    with writer(tmp_path / "live"), locks.held(tmp_path / "own"):
        assert not (tmp_path / ".dead.lock").exists()
        with locks.held(tmp_path / "other"):
            assert all(file.exists() for file in kept)
            refusal = pytest.raises(errors.BadInput, match="another process is at work")
            with refusal, files.new_folder(tmp_path / "live"):
                pass
    with locks.held(tmp_path / "live"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == [".somebodys.lock"]


def test_a_lock_that_is_being_swept_can_be_had(tmp_path):
    # Sweepers and writers of one name, all at once: no writer is refused for a sweep.
    code = (
        "import pathlib, sys; from nexperia_tf import locks\n"
        "place = pathlib.Path(sys.argv[1])\n"
        "for i in range(300):\n"
        "    (place.parent / '.b.lock').touch()\n"
        "    with locks.held(place): pass\n"
    )
    others = [_start("-c", code, tmp_path / name) for name in ("b", "a", "c")]
    for process in others:
        _ended(process)
    assert list(tmp_path.iterdir()) in ([], [tmp_path / ".b.lock"])


def test_one_process_may_hold_a_folder_twice_and_below(tmp_path):
    with locks.held(tmp_path / "x"), locks.held(tmp_path / "x"):
        with files.new_folder(tmp_path / "x"):
            pass
        with files.new_folder(tmp_path / "x" / "below"):
            pass
        files.write_manifest(tmp_path)
        listed = (tmp_path / files.MANIFEST).read_text()
        assert ".lock" not in listed


def test_a_lock_holds_whatever_way_leads_to_the_folder(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    with writer(tmp_path / "real" / "x"):
        for path in ("real/x", "link/x", "link/../real/x"):
            refusal = pytest.raises(errors.BadInput, match="another process is at work")
            with refusal, locks.held(path):
                pass


def test_a_run_in_training_is_left_alone(raw, run_command, tmp_path, capsys):
    out = tmp_path / "runs" / "mine"
    argv = ["--data", raw, "--data-dir", tmp_path / "data", "--out", out, *PLAIN]
    argv += ["--epochs", "2"]
    live = _start(ROOT / "train.py", *argv)
    try:
        _until((out / "config.json").is_file, live)
        live.send_signal(signal.SIGSTOP)
        before = _listing(tmp_path)
        for words in (argv, ["--resume", "--out", out], ["--out", out, *PLAIN]):
            assert run_command("train", *words) == 2
            shown = capsys.readouterr().err.strip()
            assert shown.startswith("error: ") and "\n" not in shown
            assert "another process is at work on it" in shown
        assert _listing(tmp_path) == before
        (partial := out / "checkpoints" / ".epoch-0009.0a0b0c0d.partial").mkdir(
            parents=True
        )
    finally:
        live.kill()
        live.communicate()
    assert run_command("train", "--resume", "--out", out) == 0
    assert not partial.exists()
    assert not list(tmp_path.rglob("*.lock")) + list(tmp_path.rglob(".*.partial"))
    files.verify_manifest(out)


def test_records_are_built_by_one_and_used_by_both(raw, tmp_path):
    data = tmp_path / "data"
    words = ["-m", "nexperia_tf", "features", "--weights", "none", "--data", raw]
    words += ["--data-dir", data, *TINY, "--out"]
    first = _start(*words, tmp_path / "features" / "first")
    _until(lambda: list(data.glob(".raw-*.partial")), first)
    first.send_signal(signal.SIGSTOP)
    second = _start(*words, tmp_path / "features" / "second")
    said = ""
    while "waiting" not in said:
        said = second.stdout.readline()
        assert said, second.wait()
    assert "another process builds these records" in said
    first.send_signal(signal.SIGCONT)
    _ended(first)
    _ended(second)
    (folder,) = data.iterdir()
    assert folder.name.startswith("raw-")
    for name in ("first", "second"):
        files.verify_manifest(tmp_path / "features" / name)


def _as_run(folder: pathlib.Path) -> pathlib.Path:
    """A run folder as far as an export reads it."""
    folder.mkdir()
    shape = backbones.Shape((1,), planes=(4,), stem=4)
    classifier.build(shape, image_size=32, channels=1).save(folder / run_folders.MODEL)
    config = {"backbone": "tiny", "image_size": 32, "run": {"channels": 1}}
    files.write_json(folder / run_folders.CONFIG, config)
    run_folders.write_calibration(
        folder / run_folders.CALIBRATION, run_folders.Calibration()
    )
    files.write_manifest(folder)
    return folder


def test_two_exports_into_one_base_are_two_versions(tmp_path):
    run, base = _as_run(tmp_path / "run"), tmp_path / "models" / "line"
    left = _killed(base / "1")
    words = ("-m", "nexperia_tf", "export", "--run", run, "--out", base)
    for process in [_start(*words) for _ in range(2)]:
        _ended(process)
    assert [path.name for path in export.versions(base)] == ["1", "2"]
    for version in export.versions(base):
        files.verify_manifest(version)
    assert not left.exists()
    assert sorted(path.name for path in base.iterdir()) == ["1", "2"]


def _table(path: pathlib.Path) -> pathlib.Path:
    rng = np.random.default_rng(0)
    rows = [f"d{i},{i % 2},{rng.random():.6f}" for i in range(200)]
    path.write_text("\n".join(["image_id,label,score", *rows]))
    return path


def test_reports_of_one_name_wait_for_each_other(tmp_path):
    table = _table(tmp_path / "scores.csv")
    left = _killed(tmp_path / "scores-report")
    with writer(tmp_path / "scores-report") as before:
        assert not left.exists()
        process = _start(ROOT / "evaluate.py", table)
        said = ""
        while "waiting" not in said:
            said = process.stdout.readline()
            assert said, process.wait()
        assert "another process writes a report there" in said
        before.kill()
        _ended(process)
    report = json.loads((tmp_path / "scores-report" / "report.json").read_text())
    assert report["n"] == 200
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "scores-report",
        "scores.csv",
    ]


def test_two_reports_of_one_name_do_not_mix(tmp_path):
    table = _table(tmp_path / "scores.csv")
    targets = (".01", ".3")
    started = [
        _start(ROOT / "evaluate.py", table, "--max-escape", target)
        for target in targets
    ]
    for process in started:
        process.communicate(timeout=300)
    folder = tmp_path / "scores-report"
    target = json.loads((folder / "report.json").read_text())["settings"]["max_escape"]
    html = (folder / "report.html").read_text()
    said = {0.01: "1 %", 0.3: "30 %"}
    shown = html.replace("\N{NO-BREAK SPACE}", " ")
    assert f"--max-escape {target}" in shown or said[target] in shown
    assert sorted(path.name for path in folder.iterdir()) == [
        "misses.csv",
        "report.html",
        "report.json",
    ]
