"""How every command starts and ends: arguments in, one clear line on bad input."""

import atexit
import contextlib
import dataclasses
import difflib
import errno
import gc
import io
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

from nexperia_tf import errors, locks

if typing.TYPE_CHECKING:
    import tyro

BAD_INPUT = 2
CLOSED_PIPE = 141  # as of a program that SIGPIPE ends: 128 + 13
_AGAIN = 1.0  # seconds; `timeout` sends each signal twice, to a process and its group
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_received: list[int] = []  # signals that came while a command ran
# A whole command up to the end of its clause, or a flag alone.
_COMMAND_OR_FLAG = re.compile(
    r"\b(?:nexperia|python\S*|\w+\.py)\s[^;,()]*|(?<![\w-])--(?P<flag>[a-z][a-z-]*)"
)


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
    argv = list(sys.argv[1:] if argv is None else argv)

    from nexperia_tf import bounds

    def in_own_words(message: str) -> str:
        typed = [word.removeprefix("--").partition("=")[0] for word in argv]
        return with_own_flags(message, {*flags(arguments), "help", *typed})

    with errors_in_one_line(debug="--debug" in argv, in_own_words=in_own_words):
        _give_a_home()
        default = defaults(argv) if defaults else None
        parsed = parse(arguments, argv, prog=prog, default=default)
        bounds.check_files(parsed)
        code = function(parsed)
        sys.stdout.flush()  # a full disk is said here, not while Python shuts down
        sys.exit(code)


@contextlib.contextmanager
def errors_in_one_line(
    *, debug: bool = False, in_own_words: Callable[[str], str] = str
) -> Iterator[None]:
    """Ends the process with one line and an exit code where an error comes through.

    Args:
        debug: show the traceback, too.
        in_own_words: what a command makes of a message, such as its own flags.
    """
    _prepare_streams()
    with _signals_raise():
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            # Importing C code can turn a signal's exception into another one.
            if _received or isinstance(error, KeyboardInterrupt):
                number = _received[0] if _received else signal.SIGINT
                _fail(_stopped(number, error), 128 + number, debug=False)
            message, code = _told(error)
            if code == BAD_INPUT:
                message = in_own_words(message)
            _fail(locks.published(message), code, debug=debug)


def _told(error: Exception) -> tuple[str, int]:
    """What is said of an error, and the exit code."""
    if isinstance(error, errors.BadInput):
        return _with_notes(str(error), error), BAD_INPUT
    if full := _full(error):
        return _with_notes(f"{full}; free some space or name another disk.", error), 2
    if isinstance(error, OSError):
        message = f"{error.filename or 'file system'}: {error.strerror or error}."
        return _with_notes(message, error), BAD_INPUT
    # A defect of ours: still one line, and how to see more.
    return f"{type(error).__name__}: {error} (--debug shows where)", 1


def _with_notes(message: str, error: BaseException) -> str:
    """The message with what was noted on its way up, such as what is kept."""
    return " ".join([message, *getattr(error, "__notes__", ())])


def _full(error: BaseException | None) -> str:
    """`FILE: No space left on device` if that is behind an error, else "".

    TensorFlow, HDF5 and zipfile say so in exceptions of their own.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return f"{error.filename or 'file system'}: {error.strerror}"
        for said in map(os.strerror, _FULL):
            if said in str(error):
                # As TensorFlow names the file, and as HDF5 does.
                file = re.search(rf"(/\S+); {said}|filename = '(.+?)'", str(error))
                name = (file[1] or file[2]) if file else "file system"
                return f"{name}: {said}"
        error = error.__cause__ or error.__context__
    return ""


def _stopped(number: int, error: BaseException) -> str:
    """What is said of a process that was asked to end."""
    is_typed = number == signal.SIGINT
    by = "the keyboard" if is_typed else signal.Signals(number).name
    return ": ".join([f"stopped by {by}", *getattr(error, "__notes__", ())])


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """SIGTERM and a closed terminal unwind a command as Ctrl-C does.

    What the caller has set to be ignored, as nohup does, stays so.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            free = (signal.SIG_DFL, signal.default_int_handler)
            if number and signal.getsignal(number) in free:
                before[number] = signal.signal(number, _stop())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if before:
            _received.clear()


def _stop() -> Callable[[int, object], None]:
    """What a signal does: it raises, but not again while that unwinds."""
    last = -_AGAIN

    def stop(number: int, frame: object) -> None:
        nonlocal last
        is_same, last = time.monotonic() - last < _AGAIN, time.monotonic()
        if not is_same:
            _received.append(number)
            raise errors.Stopped(number)

    return stop


def parse(
    arguments: type,
    argv: Sequence[str],
    *,
    prog: str | None = None,
    default: object | None = None,
):
    """An instance of `arguments` from command-line words and a default instance.

    Raises:
        errors.BadInput: the words do not fit, or a value breaks the bounds that are
            declared beside its field.
        SystemExit: `--help` was asked for.
    """
    import tyro

    from nexperia_tf import bounds

    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            parsed = tyro.cli(
                arguments,
                args=list(argv),
                prog=prog,
                default=default,
                config=(tyro.conf.OmitArgPrefixes,),
                registry=_lenient(),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        known = {field.replace("_", "-") for field in flags(arguments)}
        said = _misspelt(argv, known) or _without_box(box.getvalue())
        help_of = f"{prog} --help" if prog else "--help"
        raise errors.BadInput(f"{said}; {help_of} shows every flag.") from None
    bounds.check(parsed)
    return parsed


def flags(arguments: type) -> list[str]:
    """Names of all fields of a dataclass, of those in it, too."""
    from nexperia_tf import bounds

    names = []
    for name, kind in bounds.declared(arguments).items():
        names += flags(kind) if dataclasses.is_dataclass(kind) else [name]
    return names


def with_own_flags(message: str, own: set[str]) -> str:
    """The message of a module that several commands use, with the flags of this one.

    What another command calls a flag is named as the option it is; whole commands, such
    as `nexperia train --resume`, stay.

    >>> with_own_flags("pass a smaller --batch-size, or --debug", {"debug"})
    'pass a smaller batch_size, or --debug'
    """

    def renamed(match: re.Match) -> str:
        flag = match["flag"] or ""
        is_own = {flag, flag.replace("-", "_"), flag.removeprefix("no-")} & own
        return match[0] if is_own or not flag else flag.replace("-", "_")

    return _COMMAND_OR_FLAG.sub(renamed, message)


def _lenient() -> "tyro.constructors.ConstructorRegistry":
    """Has tyro pass on numbers and choices that do not fit, for `bounds` to refuse.

    One place checks values then, those of a config.json, too, and in the same words.
    """
    import tyro

    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def rule(kind: tyro.constructors.PrimitiveTypeInfo):
        if kind.type_origin is typing.Literal:
            return _spec("{" + ",".join(typing.get_args(kind.type)) + "}", str)
        if kind.type in (int, float):
            return _spec(kind.type.__name__.upper(), kind.type)
        return None

    return registry


def _spec(metavar: str, kind: type) -> "tyro.constructors.PrimitiveConstructorSpec":
    import tyro

    def parsed(words: list[str]):
        try:
            return kind(words[0])
        except ValueError:
            return words[0]

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=parsed,
        is_instance=lambda value: isinstance(value, kind),
        str_from_instance=lambda value: [str(value)],
    )


def _misspelt(argv: Sequence[str], known: set[str]) -> str:
    """The first flag that is not known, with the name that is nearest to it."""
    for word in argv:
        name = word.removeprefix("--").partition("=")[0].replace("_", "-")
        if word.startswith("--") and name.removeprefix("no-") not in known | {"help"}:
            near = difflib.get_close_matches(name, known, n=1)
            return f"--{name}: no such flag" + "".join(
                f" (did you mean --{each}?)" for each in near
            )
    return ""


def _without_box(text: str) -> str:
    """The sentence of tyro's message, which stands between its title and a rule.

    Boxes and rules are of ASCII where the console is not of UTF-8.
    """
    lines = [line.strip("╭╮╰╯│─ ") for line in text.splitlines()]
    rules = [i for i, line in enumerate(lines) if not line.strip("-")]
    start = 2 if 1 in rules else 1
    stop = next((i for i in rules if i > start), len(lines))
    return " ".join(lines[start:stop]).rstrip(".") or "the arguments do not fit"


def _fail(message: str, code: int, *, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    # Neither a full disk nor a closed pipe must have the last word.
    with contextlib.suppress(OSError):
        print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    sys.exit(code)


class _Lasting(io.FileIO):
    """A standard stream that goes nowhere once its pipe is closed at the other end.

    Otherwise `nexperia train | head` would end a training at its second epoch.
    """

    def write(self, content) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(content)


def _prepare_streams() -> None:
    """Has the standard streams take any character, and outlast a closed pipe."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # Arrows and boxes of progress bars are not in every console's code page.
        if stream is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
        is_own = stream is not None and stream is getattr(sys, f"__{name}__")
        if is_own and not stream.isatty():
            stream.flush()
            raw = _Lasting(stream.fileno(), "w", closefd=False)
            lasting = io.TextIOWrapper(
                io.BufferedWriter(raw),
                stream.encoding,
                "replace",
                line_buffering=stream.line_buffering,
            )
            setattr(sys, name, lasting)


def _give_a_home() -> None:
    """Has libraries keep their caches apart for a user who has no home.

    They would make a folder called ~ where they are.
    """
    if os.path.expanduser("~") == "~":
        home = tempfile.mkdtemp(prefix="nexperia-home-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        os.environ["HOME"] = home


def import_tensorflow() -> None:
    """Imports TensorFlow, fast on any CPU and without its start-up notes.

    They are written before any log level applies, straight to the error stream; they
    are shown when the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Off by default on processors without AVX-512, where it trains three times faster.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with _notes() as notes, _uncollected():
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()  # looks for GPUs, and complains
            if _received:  # some module took the exception for a missing one
                raise errors.Stopped(_received[0])
        except Exception:
            notes.seek(0)
            os.write(kept, b"" if _received else notes.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Spares what is made in the block from the garbage collector, then and later.

    The 400,000 objects of TensorFlow stay for good; each search for garbage among them
    takes a quarter of a second. Where it has been imported before, the collector is
    left alone: what it has not found yet, such as a network of before, would stay, too.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _notes() -> io.IOBase:
    """A file to forget; where there is no place for one, nowhere."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.devnull, "w+b")
