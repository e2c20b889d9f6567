"""Commands that are asked to end, or find no room, in processes of their own."""

import io
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
NEXPERIA = (sys.executable, "-m", "nexperia_tf")
PATIENCE = 120  # seconds, of a machine with other work


def start(*words, **options) -> subprocess.Popen:
    # A shell's background jobs ignore Ctrl-C, and so would what they start.
    undo = "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL)"
    become = "import os; os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    argv = [sys.executable, "-c", f"{undo}; {become}", *NEXPERIA[1:], *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True, **options)


def ended(process: subprocess.Popen) -> tuple[int, list[str]]:
    """Exit code, and the lines of the error stream."""
    _, said = process.communicate(timeout=PATIENCE)
    return process.returncode, said.splitlines()


def wait_for(condition) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Pictures that take many seconds to measure, in one folder a class."""
    folder = tmp_path_factory.mktemp("many") / "raw"
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (600, 600), np.uint8)
    Image.fromarray(noise).save(file, "BMP")
    for name in ("good", "defect"):
        (folder / name).mkdir(parents=True)
        (folder / name / "0.bmp").write_bytes(file.getvalue())
        for i in range(1, 800):  # one file under many names
            os.link(folder / name / "0.bmp", folder / name / f"{i}.bmp")
    return folder


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Forty small pictures, no two alike."""
    folder = tmp_path_factory.mktemp("few") / "raw"
    rng = np.random.default_rng(0)
    for name in ("good", "defect"):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            noise = rng.integers(0, 256, (24, 24), np.uint8)
            Image.fromarray(noise).save(folder / name / f"{i}.png")
    return folder


def left(place: pathlib.Path) -> list[str]:
    return sorted(os.listdir(place))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_stopped_takes_its_workers_along(raw, tmp_path, number):
    out = tmp_path / "prepared"
    words = ("prepare", raw, "--out", out, "--workers", 2, "--fresh")
    process = start(*words, start_new_session=True)
    parent = psutil.Process(process.pid)
    wait_for(lambda: len(workers := parent.children()) > 2 and _busy(workers))
    children = parent.children(recursive=True)
    if number == signal.SIGINT:  # a terminal sends it to all of them
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    code, said = ended(process)
    _, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert not alive
    assert not out.exists()
    if number == signal.SIGKILL:
        return
    name = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "the keyboard"}[number]
    assert (code, said) == (128 + number, [f"error: stopped by {name}"])
    assert left(tmp_path) == []


def _busy(processes: list[psutil.Process]) -> bool:
    """Whether at least two of them measure pictures by now."""
    return sum(sum(p.cpu_times()[:2]) > 0.6 for p in processes) >= 2


def _catches(number: int, process: int) -> bool:
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    mask = next(x for x in status.splitlines() if x.startswith("SigCgt")).split()[1]
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.skipif(
    not os.path.isdir("/proc/self"), reason="only Linux says what is caught"
)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_a_command_has_begun_ends_it_without_a_traceback(
    few, tmp_path, number
):
    def begin() -> None:  # as from a terminal, also in a shell's background job
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    argv = [*NEXPERIA, "prepare", few, "--out", tmp_path / "out"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        list(map(str, argv)), stdout=pipe, stderr=pipe, text=True, preexec_fn=begin
    )
    # Python catches Ctrl-C when it starts; this package is imported when it does not.
    wait_for(lambda: _catches(signal.SIGINT, process.pid))
    wait_for(lambda: not _catches(signal.SIGINT, process.pid))
    process.send_signal(number)
    name = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "the keyboard"}[number]
    # On a slow machine the command may have begun meanwhile.
    told = (128 + number, [f"error: stopped by {name}"])
    assert ended(process) in ((-number, []), told)
    assert left(tmp_path) == []


def test_a_signal_during_imports_is_one_line(tmp_path):
    process = start(
        "predict", tmp_path / "model", tmp_path, "--out", tmp_path / "s.csv"
    )
    (tmp_path / "a.png").touch()
    wait_for(lambda: _imports("tensorflow", process.pid))
    process.send_signal(signal.SIGTERM)
    assert ended(process) == (143, ["error: stopped by SIGTERM"])


def _imports(name: str, process: int) -> bool:
    return f"/{name}/" in pathlib.Path(f"/proc/{process}/maps").read_text()


def _files_of_at_most(size: int):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("command", ["sample", "prepare"])
def test_no_room_is_one_line_and_leaves_nothing(few, tmp_path, command):
    words = {
        "sample": ("sample", tmp_path / "out", "--devices", 30),
        "prepare": ("prepare", few, "--out", tmp_path / "out"),
    }[command]
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    code, said = ended(start(*words, preexec_fn=_files_of_at_most(10_000), env=env))
    assert code == 2
    assert "File too large; free some space or name another disk." in said[-1]
    assert str(tmp_path / "out") in said[-1]
    assert sum(line.startswith("error: ") for line in said) == 1
    assert "out" not in left(tmp_path)
    assert not [name for name in left(tmp_path) if "partial" in name]


def test_a_command_outlasts_a_closed_pipe(tmp_path):
    read, write = os.pipe()
    os.close(read)
    words = map(str, ("sample", tmp_path / "out", "--devices", 30))
    done = subprocess.run(
        [*NEXPERIA, *words], stdout=write, stderr=write, timeout=PATIENCE, check=False
    )
    os.close(write)
    assert done.returncode == 0
    assert (tmp_path / "out" / "summary.json").is_file()
