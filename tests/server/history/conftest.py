"""A history in SQLite and, where one is installed, in a real PostgreSQL."""

import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

import pytest

from nexperia_tf.server.history import database, tables

WHERE = ("/usr/lib/postgresql", "/usr/local/bin", "/usr/bin")


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
        for table in (tables.DECISIONS, tables.VERDICTS):
            connection.execute(table.delete())
    opened.close()
