"""How every command starts and ends: arguments in, one clear line on bad input."""

import contextlib
import dataclasses
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from nexperia_tf import errors

BAD_INPUT = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Flags that every command has."""

    debug: bool = False
    """Show the traceback of an error."""


def run(
    function: Callable,
    arguments: type,
    *,
    argv: Sequence[str] | None = None,
    prog: str | None = None,
    defaults: Callable[[list[str]], object] | None = None,
) -> NoReturn:
    """Parses the command line into `arguments`, calls `function` and exits.

    Args:
        function: takes one instance of `arguments`; returns None, or an exit code.
        arguments: a frozen dataclass below `Options`; its docstrings are the help.
        argv: the words behind the command's name, those of the process by default.
        prog: the command's name in its help.
        defaults: gives, from the words, the `arguments` that stand where no flag is.
    """
    # Arrows and boxes of progress bars are not in every console's code page.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    argv = list(sys.argv[1:] if argv is None else argv)
    with errors_in_one_line(debug="--debug" in argv):
        default = defaults(argv) if defaults else None
        sys.exit(function(parse(arguments, argv, prog=prog, default=default)))


@contextlib.contextmanager
def errors_in_one_line(*, debug: bool = False) -> Iterator[None]:
    """Ends the process with one line and an exit code where an error comes through."""
    try:
        yield
    except errors.BadInput as error:
        _fail(str(error), BAD_INPUT, debug=debug)
    except KeyboardInterrupt:
        _fail("stopped by the keyboard", 130, debug=False)
    except OSError as error:
        message = f"{error.filename or 'file system'}: {error.strerror or error}."
        _fail(message, BAD_INPUT, debug=debug)
    except Exception as error:  # a defect of ours: still one line, and how to see more
        message = f"{type(error).__name__}: {error} (--debug shows where)"
        _fail(message, 1, debug=debug)


def parse(
    arguments: type,
    argv: Sequence[str],
    *,
    prog: str | None = None,
    default: object | None = None,
):
    """An instance of `arguments` from command-line words and a default instance.

    Raises:
        errors.BadInput: the words do not fit; tyro's box shortened to one line.
        SystemExit: `--help` was asked for.
    """
    import tyro

    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(
                arguments,
                args=list(argv),
                prog=prog,
                default=default,
                config=(tyro.conf.OmitArgPrefixes,),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise errors.BadInput(_without_box(box.getvalue(), prog)) from None


def _without_box(text: str, prog: str | None) -> str:
    lines = [line.strip("╭╮╰╯│─ ") for line in text.splitlines()]
    body = lines[1:]  # the first line is the box's title
    rule = next((i for i, line in enumerate(body) if not line), len(body))
    sentence = " ".join(body[:rule]).rstrip(".")
    help_of = f"{prog} --help" if prog else "--help"
    return f"{sentence or 'the arguments do not fit'}; {help_of} shows every flag."


def _fail(message: str, code: int, *, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    # A pipe that was closed at the other end must not fail again while flushing.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    sys.exit(code)


def import_tensorflow() -> None:
    """Imports TensorFlow, fast on any CPU and without its start-up notes.

    They are written before any log level applies, straight to the error stream; they
    are shown when the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Off by default on processors without AVX-512, where it trains three times faster.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with tempfile.TemporaryFile() as notes:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # looks for GPUs, and complains
        except BaseException:
            notes.seek(0)
            os.write(kept, notes.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
