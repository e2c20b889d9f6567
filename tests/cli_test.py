import dataclasses
import importlib
import pathlib
import subprocess
import sys

import pytest

from nexperia_tf import cli, command

ROOT = pathlib.Path(__file__).parents[1]


def program(*words, **options):
    argv = [sys.executable, *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, **options)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_command_has_arguments_with_a_help_and_a_main(name):
    module = importlib.import_module(cli.COMMANDS[name][0])
    assert issubclass(module.Arguments, command.Options)
    assert dataclasses.is_dataclass(module.Arguments) and module.Arguments.__doc__
    assert callable(module.main)


def test_help_lists_every_command_and_imports_none_of_them():
    asked = (
        "import sys\nfrom nexperia_tf import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'tyro'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    found = program("-c", asked)
    assert found.returncode == 0, found.stderr
    listed = [line.split()[0] for line in found.stdout.splitlines() if line[:2] == "  "]
    assert listed == list(cli.COMMANDS)


def test_a_command_shows_its_flags_under_the_name_it_was_called_by():
    for words, prog in (
        (("-m", "nexperia_tf", "prepare"), "python -m nexperia_tf prepare"),
        (("evaluate.py",), "evaluate.py"),
    ):
        found = program(*words, "--help")
        assert found.returncode == 0
        assert found.stdout.startswith(f"usage: {prog} ")
        found = program(*words, "--sise", "3")
        assert found.returncode == 2
        assert found.stderr.count("\n") == 1
        assert f"; {prog} --help shows every flag." in found.stderr


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["predikt", "x"], "nexperia predikt: no such command; did you mean predict?"),
        ([], "nexperia: name a command; nexperia --help lists them."),
    ],
)
def test_an_unknown_command_ends_in_one_line_and_2(run_command, capsys, argv, line):
    assert run_command(*argv) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {line}") and shown.count("\n") == 1
