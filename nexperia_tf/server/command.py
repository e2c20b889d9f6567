"""`nexperia serve`: exported models behind REST and gRPC, and a history of verdicts."""

import dataclasses
import os
import pathlib
import socket
from typing import Annotated

import tyro

from nexperia_tf import bounds, command, errors
from nexperia_tf.data import limits
from nexperia_tf.server import extra

_Count = Annotated[int, *bounds.within(ge=1, le=1_000_000)]
_Seconds = Annotated[float, *bounds.within(gt=0, le=86400)]
_Port = Annotated[int, *bounds.within(ge=0, le=65535)]


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Serves exported models as TensorFlow Serving does, and keeps every verdict."""

    models: tyro.conf.Positional[str]
    """Run folder, folder of versions (of nexperia export or ensemble), or folder of
    such folders."""

    history: str = "nexperia-history.sqlite"
    """Where verdicts are kept: a SQLite file, or
    postgresql://USER:PASSWORD@HOST/DATABASE."""

    station: str = ""
    """Name of this station in the history (default: that of the machine)."""

    keep: str = "none"
    """Pictures to keep beside the history: rejects, review, every:N (each N-th), or
    none; several with commas."""

    keep_dir: str = ""
    """Folder of kept pictures (default: nexperia-pictures, or beside a SQLite file)."""

    retain_days: Annotated[float, *bounds.within(ge=0, le=36500)] = 0.0
    """Days after which a verdict and its picture are removed; 0 keeps them all."""

    review: tuple[float, float] | None = None
    """Lowest and highest score of the verdict "review": a person has to look (default:
    from the guaranteed threshold to the score from which rejecting is guaranteed, too,
    where nexperia evaluate has stored both; 0 0 is no such band)."""

    watch: str = ""
    """Folder whose pictures are scored as they come."""

    watch_model: str = ""
    """Name of the model that scores them, where there are several."""

    watch_polling: bool = False
    """Look at the watched folder again and again, as a network drive needs it."""

    watch_still: _Seconds = 1.0
    """Seconds that a picture must not have changed before it is scored."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of this machine."""

    port: _Port = 8501
    """Port of REST; 0 takes a free one."""

    grpc_port: _Port = 8500
    """Port of gRPC; 0 takes a free one."""

    token_file: Annotated[str, *bounds.a_file()] = ""
    """File with the token that clients must bring: Authorization: Bearer TOKEN."""

    anyone: bool = False
    """Listen beyond this machine without a token."""

    tls_certificate: Annotated[str, *bounds.a_file()] = ""
    """Certificate for TLS, PEM."""

    tls_key: Annotated[str, *bounds.a_file()] = ""
    """Its key, PEM."""

    batch_size: Annotated[int, *bounds.within(ge=1, le=1024)] = 32
    """Pictures scored at once, at most."""

    queue: _Count = 1024
    """Pictures that may wait; more are refused."""

    max_items: _Count = 1024
    """Pictures of one request."""

    max_body: Annotated[int, *bounds.within(ge=1024, le=2**31 - 1)] = 1 << 26
    """Bytes of one request."""

    max_pixels: Annotated[int, *bounds.MAX_PIXELS] = limits.MAX_PIXELS
    """A picture with more pixels than this is not read."""

    deadline: _Seconds = 30.0
    """Seconds after which a request that has no verdict is given up."""

    load_patience: _Seconds = 600.0
    """Seconds that a version has to load before it is given up."""

    grace: _Seconds = 30.0
    """Seconds that requests have to end when the server is stopped."""

    keep_versions: Annotated[int, *bounds.within(ge=1, le=100)] = 2
    """Versions of a model that stay loaded, each in a process of its own."""

    poll: _Seconds = 1.0
    """Seconds between two looks for new versions."""


def main(arguments: Arguments) -> None:
    """Serves until it is stopped."""
    extra.require()
    token = _token(arguments.token_file)
    _check(arguments, token)
    from nexperia_tf.server import running
    from nexperia_tf.server.models import library

    models = library.models(arguments.models)
    watched_model = _watched_model(arguments, models)
    ports = running.Ports(
        host=arguments.host,
        rest=arguments.port,
        grpc=arguments.grpc_port,
        token=token,
        certificate=arguments.tls_certificate,
        key=arguments.tls_key,
        max_body=arguments.max_body,
    )
    habits = running.Habits(
        poll=arguments.poll,
        grace=arguments.grace,
        retain_days=arguments.retain_days,
        watched=pathlib.Path(arguments.watch).resolve() if arguments.watch else None,
        watched_model=watched_model,
        by_polling=arguments.watch_polling,
        still=arguments.watch_still,
    )
    running.run(_station(arguments, models), ports, habits)


def _station(arguments: Arguments, models: dict[str, pathlib.Path]):
    """The models and the history that were asked for."""
    from nexperia_tf.server import asking, station
    from nexperia_tf.server.history import database, keeping, opening
    from nexperia_tf.server.models import library, versions

    # What cannot be is refused before there is a new history.
    keeper = keeping.Keeper(keeping.Rule.of(arguments.keep), _kept_in(arguments))
    name = arguments.station or socket.gethostname()
    opening.refuse_long(name)
    history = database.Database(arguments.history)
    settings = {
        "name": name,
        "options": versions.Options(
            batch_size=arguments.batch_size,
            max_pixels=arguments.max_pixels,
            keep=arguments.keep_versions,
            patience=max(arguments.deadline, versions.Options.patience),
            load_patience=arguments.load_patience,
        ),
        "limits": asking.Limits(
            queue=arguments.queue,
            items=arguments.max_items,
            deadline=arguments.deadline,
            review=arguments.review,
        ),
        "keeper": keeper,
        "find": lambda: library.models(arguments.models),
    }
    try:
        return station.Station(models, history, **settings)
    except opening.Unwritable as error:
        history.close()
        raise errors.BadInput(
            f"{history.name}: {error}; mend it or name another."
        ) from None


def _kept_in(arguments: Arguments) -> pathlib.Path:
    if arguments.keep_dir:
        return pathlib.Path(arguments.keep_dir)
    if "://" in arguments.history:
        return pathlib.Path("nexperia-pictures")
    return pathlib.Path(arguments.history).with_suffix(".pictures")


def _check(arguments: Arguments, token: str) -> None:
    """Refuses what does not go together.

    Raises:
        errors.BadInput: one line on what, and what to do.
    """
    from nexperia_tf.server.front import gates

    if not (gates.is_here(arguments.host) or token or arguments.anyone):
        raise errors.BadInput(
            f"--host {arguments.host}: anyone in the network could ask; pass "
            "--token-file FILE, or --anyone if that is meant."
        )
    if bool(arguments.tls_certificate) != bool(arguments.tls_key):
        raise errors.BadInput(
            "--tls-certificate and --tls-key go together; pass both or none."
        )
    if arguments.review:
        low, high = arguments.review
        if not 0 <= low <= high <= 1:
            raise errors.BadInput(
                f"--review {low:g} {high:g}: two scores, 0 <= LOW <= HIGH <= 1."
            )
    if arguments.port and arguments.port == arguments.grpc_port:
        raise errors.BadInput(
            f"--port {arguments.port} --grpc-port {arguments.grpc_port}: REST and gRPC "
            "need a port each."
        )
    if arguments.watch and not os.path.isdir(arguments.watch):
        raise errors.BadInput(f"--watch {arguments.watch}: no such folder.")


def _token(file: str) -> str:
    """The token in a file, which `ps` does not show."""
    if not file:
        return ""
    try:
        token = pathlib.Path(file).read_text("utf-8").strip()
    except UnicodeDecodeError:
        raise errors.BadInput(
            f"--token-file {file}: is no text; write a token into it, in UTF-8."
        ) from None
    if not token:
        raise errors.BadInput(f"--token-file {file}: is empty; write a token into it.")
    return token


def _watched_model(arguments: Arguments, models: dict[str, pathlib.Path]) -> str:
    if not arguments.watch:
        return ""
    names = ", ".join(models)
    if arguments.watch_model:
        if arguments.watch_model not in models:
            raise errors.BadInput(
                f"--watch-model {arguments.watch_model}: no such model; one of "
                f"{names} is expected."
            )
        return arguments.watch_model
    if len(models) > 1:
        raise errors.BadInput(
            f"--watch {arguments.watch}: say which model with --watch-model: {names}."
        )
    return next(iter(models))
