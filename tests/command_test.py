import dataclasses
import errno
import os
from typing import Literal

import pytest

from nexperia_tf import command, errors


@dataclasses.dataclass(frozen=True)
class Arguments(command.Options):
    """Does something."""

    loss: Literal["focal", "bce"] = "focal"
    """Which loss."""

    size: int = 224
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
        (["--size", "big"], "--size: invalid literal for int() with base 10: 'big'"),
        (["--loss", "mse"], "invalid choice 'mse' for argument '--loss'"),
        (["--sise", "3"], "Unrecognized options: --sise, 3"),
    ],
)
def test_wrong_words_end_in_one_line_and_2(capsys, argv, words):
    assert _run(argv) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert words in shown
    assert "--help" in shown


def test_bad_input_ends_in_its_line_and_2(capsys):
    code = _run([], _raise(errors.BadInput("x.csv: is empty;\nname another.")))
    assert code == 2
    assert capsys.readouterr().err == "error: x.csv: is empty; name another.\n"


def test_a_full_disk_names_the_file(capsys):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/out/model.keras")
    assert _run([], _raise(full)) == 2
    shown = capsys.readouterr().err
    assert shown == "error: /out/model.keras: No space left on device.\n"


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
