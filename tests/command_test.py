import dataclasses
import errno
import gc
import os
from typing import Annotated, Literal

import pytest

from nexperia_tf import bounds, command, errors


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Does something."""

    loss: Literal["focal", "bce"] = "focal"
    """Which loss."""

    size: Annotated[int, *bounds.within(ge=1)] = 224
    """How large."""


def _run(argv, function=lambda arguments: None, **options):
    with pytest.raises(SystemExit) as stop:
        command.run(function, Arguments, argv=argv, **options)
    return stop.value.code


def _raise(error):
    def function(arguments):
        raise error

    return function


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--size", "big"], "--size big: a whole number from 1 on is expected."),
        (["--size", "0"], "--size 0: a whole number from 1 on is expected."),
        (["--loss", "focus"], "--loss focus: unknown; did you mean focal?"),
        (["--sise", "3"], "--sise: no such flag (did you mean --size?); --help shows"),
        (["--size"], "Missing value for argument '--size'. Expected 1 values; --help"),
    ],
)
def test_wrong_words_end_in_one_line_and_2(capsys, argv, words):
    assert _run(argv) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert words in shown


def test_bad_input_ends_in_its_line_and_2(capsys):
    code = _run([], _raise(errors.BadInput("x.csv: is empty;\nname another.")))
    assert code == 2
    assert capsys.readouterr().err == "error: x.csv: is empty; name another.\n"


def test_a_full_disk_names_the_file(capsys):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/model.keras")
    assert _run([], _raise(full)) == 2
    shown = capsys.readouterr().err
    assert shown == (
        "error: /out/model.keras: No space left on device; free some space or name "
        "another disk.\n"
    )


@pytest.mark.parametrize(
    "said",
    [
        "{{node Save}} on /job:localhost/cpu:0 /out/records-0; No space left on device "
        "[Op:SaveV2]",
        "Can't write data (file write failed: filename = '/out/records-0', errno = 28, "
        "error message = 'No space left on device')",
    ],
)
def test_a_full_disk_is_seen_in_the_words_of_libraries(capsys, said):
    error = RuntimeError("the export failed")
    error.__cause__ = RuntimeError(said)
    assert _run([], _raise(error)) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: /out/records-0: No space left on device; free")
    assert shown.count("\n") == 1


def test_what_is_noted_on_an_errors_way_up_is_in_its_line(capsys):
    stopped = KeyboardInterrupt()
    stopped.add_note("4 rows are kept.")
    assert _run([], _raise(stopped)) == 130
    assert capsys.readouterr().err == (
        "error: stopped by the keyboard: 4 rows are kept.\n"
    )


def test_a_partial_file_is_called_what_it_was_to_become(capsys):
    full = OSError(errno.ENOSPC, "No room", "/out/.run.0123abcd.partial/model.keras")
    assert _run([], _raise(full)) == 2
    assert "error: /out/run/model.keras: No room" in capsys.readouterr().err


def test_a_defect_of_ours_is_one_line_and_a_traceback_on_request(capsys):
    assert _run([], _raise(ZeroDivisionError("by zero"))) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert _run(["--debug"], _raise(ZeroDivisionError("by zero"))) == 1
    assert "Traceback" in capsys.readouterr().err


def test_success_is_0_and_flags_reach_the_function():
    seen = []
    assert _run(["--size", "96"], seen.append) in (0, None)
    assert seen == [Arguments(size=96)]


def test_flags_win_over_defaults():
    seen = []
    _run(
        ["--loss", "focal"],
        seen.append,
        defaults=lambda argv: Arguments(loss="bce", size=64),
    )
    assert seen == [Arguments(loss="focal", size=64)]


def test_help_shows_every_flag_with_its_default(capsys):
    assert _run(["--help"]) in (0, None)
    shown = capsys.readouterr().out
    assert "--size" in shown and "224" in shown and "--debug" in shown


def test_an_error_names_only_flags_of_the_command_that_prints_it(capsys):
    text = "x: say --good NAME or a --size, or see `nexperia train --good NAME`."
    assert _run([], _raise(errors.BadInput(text))) == 2
    shown = capsys.readouterr().err
    assert shown == (
        "error: x: say good NAME or a --size, or see `nexperia train --good NAME`.\n"
    )


def test_garbage_between_two_commands_of_one_process_is_still_found():
    command.import_tensorflow()
    before = gc.get_freeze_count()
    command.import_tensorflow()
    assert gc.get_freeze_count() == before and gc.isenabled()
