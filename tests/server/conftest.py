import base64
import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import numpy as np
import psutil
import pytest
from PIL import Image

from nexperia_tf.server.history import database, tables

# Of PostgreSQL's programs.
WHERE = ("/usr/lib/postgresql", "/usr/local/bin", "/usr/bin")
PATIENCE = 300  # seconds, of a machine with other work


class Server:
    """`nexperia serve` in a process of its own, and a client of Python's library."""

    def __init__(self, folder: pathlib.Path, words: list):
        self.log = folder / f"log-{time.monotonic_ns()}.txt"
        argv = [sys.executable, "-m", "nexperia_tf", "serve", *map(str, words)]
        argv += ["--port", "0", "--grpc-port", "0"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder)
        told = self.wait_for(
            lambda: re.search(r"port (\d+), gRPC on port (\d+)", self.said())
        )
        self.rest, self.grpc = int(told[1]), int(told[2])

    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, condition):
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
            time.sleep(0.05)
        return found

    def ready(self) -> "Server":
        self.wait_for(lambda: self.get("/readyz")[0] == 200)
        return self

    def ask(self, path: str, body: bytes | None = None, **headers) -> tuple[int, dict]:
        """Status and JSON of an answer; a POST where there is a body."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.rest}{path}", body, headers
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except (urllib.error.URLError, ConnectionError):
            return 0, {}

    def get(self, path: str) -> tuple[int, dict]:
        return self.ask(path)

    def predict(self, contents: list[bytes], path: str = "line:predict", **headers):
        return self.ask(f"/v1/models/{path}", in_json(contents), **headers)

    def models(self) -> list[psutil.Process]:
        """The processes of its models."""
        found = []
        for process in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # one that is ending
                if "spawn_main" in str(process.cmdline()):
                    found.append(process)
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


def in_json(contents: list[bytes]) -> bytes:
    values = [{"b64": base64.b64encode(content).decode()} for content in contents]
    return json.dumps({"inputs": {"image_bytes": values}}).encode()


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts servers; what still runs when the module's tests end is killed."""
    started = []

    def start(*words) -> Server:
        server = Server(tmp_path_factory.mktemp("server"), list(words))
        started.append(server)
        return server

    yield start
    for server in started:
        with contextlib.suppress(OSError):
            server.process.kill()
        server.process.wait(timeout=PATIENCE)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> list[bytes]:
    """Eight small pictures of noise, as PNG, BMP and JPEG."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    found = []
    for i in range(8):
        path = folder / f"{i}.{('png', 'bmp', 'jpg')[i % 3]}"
        noise = rng.integers(0, 256, (24 + i, 40), np.uint8)
        Image.fromarray(noise).save(path)
        found.append(path.read_bytes())
    return found


@pytest.fixture(scope="session")
def torn(pictures) -> bytes:
    """A picture of which the end is missing."""
    return pictures[0][: len(pictures[0]) // 2]


posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


def _postgres() -> pathlib.Path | None:
    """The folder of PostgreSQL's programs, where there are some."""
    found = [p for top in WHERE[:1] for p in sorted(pathlib.Path(top).glob("*/bin"))]
    found += [pathlib.Path(each) for each in WHERE[1:]]
    return next((each for each in found if (each / "initdb").is_file()), None)


def _as_other() -> dict:
    """PostgreSQL refuses to run as root."""
    if os.name != "posix" or os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    return {}


@pytest.fixture(scope="module")
def postgres():
    """The URL of an empty database in a PostgreSQL of its own."""
    programs, other = _postgres(), _as_other()
    if programs is None:
        pytest.skip("no PostgreSQL is installed")
    place = pathlib.Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    if other:
        os.chown(place, other["user"], other["group"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = {"check": True, "capture_output": True, "cwd": place, **other}
    data = ["-D", place / "data"]
    try:
        initdb = [programs / "initdb", *data, "-U", "line", "-A", "trust", "--no-sync"]
        subprocess.run(initdb, **run)
        options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1"
        log = ["-l", place / "log"]
        begin = [programs / "pg_ctl", *data, *log, "-w", "-o", options, "start"]
        subprocess.run(begin, **run | {"capture_output": False})
        yield f"postgresql://line@127.0.0.1:{port}/postgres"
    finally:
        end = [programs / "pg_ctl", *data, "-m", "immediate", "stop"]
        subprocess.run(end, capture_output=True, cwd=place, check=False, **other)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
def history(request, tmp_path):
    if request.param == "sqlite":
        place = str(tmp_path / "history.sqlite")
    else:
        place = request.getfixturevalue("postgres")
    opened = database.Database(place)
    yield opened
    with opened.writing() as connection:
        for table in (tables.DECISIONS, tables.MEASURES, tables.VERDICTS):
            connection.execute(table.delete())
    opened.close()
