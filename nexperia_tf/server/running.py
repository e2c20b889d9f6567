"""A station with its ports open, from the first line it prints to its graceful end."""

import asyncio
import contextlib
import dataclasses
import math
import pathlib
import signal
import socket
import ssl
import sys
from collections.abc import Iterator

import grpc
import uvicorn

from nexperia_tf import errors
from nexperia_tf.server import station, watching
from nexperia_tf.server.front import gates, grpc_service, rest

_KEEP_ALIVE = 30  # seconds that an idle connection stays open


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ports:
    """Where and to whom a station answers.

    Attributes:
        host: address to listen on.
        rest, grpc: ports; 0 takes a free one.
        token: what clients must bring, or "".
        certificate, key: PEM files for TLS, or "".
        max_body: bytes of a request, at most.
    """

    host: str = "127.0.0.1"
    rest: int = 8501
    grpc: int = 8500
    token: str = ""
    certificate: str = ""
    key: str = ""
    max_body: int = 1 << 26


@dataclasses.dataclass(frozen=True, kw_only=True)
class Habits:
    """What a station does by itself.

    Attributes:
        poll: seconds between two looks for new versions.
        grace: seconds that requests have to end when the server is stopped.
        retain_days: days after which verdicts are removed; 0 for never.
        watched: the folder that is watched, or None.
        watched_model: the name of the model that scores it.
        by_polling, still: see `watching.Watch`.
    """

    poll: float = 1.0
    grace: float = 30.0
    retain_days: float = 0.0
    watched: pathlib.Path | None = None
    watched_model: str = ""
    by_polling: bool = False
    still: float = 1.0


def run(of: station.Station, ports: Ports, habits: Habits) -> None:
    """Serves until SIGTERM or Ctrl-C; every request that was taken is answered.

    Raises:
        errors.BadInput: a port or a certificate cannot be used.
    """
    asyncio.run(_run(of, ports, habits))


async def _run(of: station.Station, ports: Ports, habits: Habits) -> None:
    try:
        with _listening(ports) as listening:
            asked = {"token": ports.token, "max_body": ports.max_body}
            app = rest.app(of, **asked, only_here=gates.is_here(ports.host))
            web = _Server(_config(app, ports, habits.grace))
            calls = grpc_service.server(of, **asked)
            grpc_port = _open_grpc(calls, ports)
            with _stopped_by_signals() as stopped:
                await _serve(of, web, calls, listening, grpc_port, habits, stopped)
    finally:
        await of.close()


async def _serve(
    of: station.Station,
    web: "_Server",
    calls: grpc.aio.Server,
    listening: socket.socket,
    grpc_port: int,
    habits: Habits,
    stopped: asyncio.Event,
) -> None:
    await calls.start()
    serving = asyncio.create_task(web.serve(sockets=[listening]))
    by_itself = [asyncio.create_task(each) for each in _habits(of, habits)]
    host, port = listening.getsockname()[:2]
    print(f"REST on port {port}, gRPC on port {grpc_port} of {host}.", flush=True)
    try:
        await _first_end(stopped, serving, by_itself)
    finally:
        print("Stopping: what was asked is answered first.", file=sys.stderr)
        for task in by_itself:
            task.cancel()
        await asyncio.gather(*by_itself, return_exceptions=True)
        await of.drain(habits.grace)
        await calls.stop(habits.grace)
        web.should_exit = True
        await serving


def _habits(of: station.Station, habits: Habits) -> Iterator:
    """What goes on beside answering."""
    yield of.follow(habits.poll)
    yield of.watch_drift()
    if habits.retain_days:
        keep = watching.keeps(habits.watched)
        yield of.forget(habits.retain_days, unless=keep)
    if habits.watched:
        watch = watching.Watch(
            of,
            habits.watched_model,
            habits.watched,
            by_polling=habits.by_polling,
            still=habits.still,
        )
        yield watch.run()


async def _first_end(
    stopped: asyncio.Event, serving: asyncio.Task, by_itself: list[asyncio.Task]
) -> None:
    """Returns when the server is asked to end; raises what ends it otherwise."""
    asked = asyncio.create_task(stopped.wait())
    done, _ = await asyncio.wait(
        [asked, serving, *by_itself], return_when=asyncio.FIRST_COMPLETED
    )
    asked.cancel()
    for task in done - {asked}:
        task.result()


class _Server(uvicorn.Server):
    """uvicorn without handlers of signals: one place here has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: object, ports: Ports, grace: float) -> uvicorn.Config:
    tls = {}
    if ports.certificate:
        tls = {"ssl_certfile": ports.certificate, "ssl_keyfile": ports.key}
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(grace),
        **tls,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise errors.BadInput(
            f"{ports.certificate}: cannot be used for TLS with {ports.key} ({error}); "
            "name a certificate and its key, both PEM."
        ) from None
    return config


@contextlib.contextmanager
def _listening(ports: Ports) -> Iterator[socket.socket]:
    with _bound(ports.host, ports.rest, "--port") as listening:
        with _bound(ports.host, ports.grpc, "--grpc-port"):
            pass  # gRPC would write lines of its own about a port that is taken
        yield listening


@contextlib.contextmanager
def _bound(host: str, port: int, flag: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except OSError as error:
            raise errors.BadInput(
                f"--host {host} {flag} {port}: cannot be listened on "
                f"({error.strerror}); name another port."
            ) from None
        yield bound


def _open_grpc(calls: grpc.aio.Server, ports: Ports) -> int:
    host = f"[{ports.host}]" if ":" in ports.host else ports.host
    place = f"{host}:{ports.grpc}"
    if not ports.certificate:
        return calls.add_insecure_port(place)
    pair = tuple(
        pathlib.Path(each).read_bytes() for each in (ports.key, ports.certificate)
    )
    return calls.add_secure_port(place, grpc.ssl_server_credentials([pair]))


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and Ctrl-C set."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    before = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(
            number, lambda *_: loop.call_soon_threadsafe(stopped.set)
        )
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
