"""What a long step shows, on a terminal and elsewhere."""

import io

import pytest
import rich.console
import rich.progress

from nexperia_tf.data import progress


def reported(stream, *, seconds_a_picture: float = 0.0) -> None:
    """Reports a hundred pictures, each of which takes so long."""
    now = 0.0
    console = rich.console.Console(file=stream, width=80)
    with progress.reporting(console=console, clock=lambda: now) as on_progress:
        for done in range(101):
            on_progress("Reading pictures", done, 100)
            now += seconds_a_picture


def test_a_log_gets_one_line_for_a_short_step():
    reported(log := io.StringIO())
    assert log.getvalue() == "Reading pictures: 100 in 0.0 s\n"


def test_a_log_gets_a_line_a_minute_for_a_long_step():
    reported(log := io.StringIO(), seconds_a_picture=1.5)
    assert log.getvalue().splitlines() == [
        "Reading pictures: 40 of 100",
        "Reading pictures: 80 of 100",
        "Reading pictures: 100 in 150.0 s",
    ]


def test_a_log_has_no_bar_even_where_colours_are_forced(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    reported(log := io.StringIO())
    assert "━" not in log.getvalue() and "\x1b" not in log.getvalue()


def test_a_terminal_gets_a_bar_that_goes_and_its_cursor_back(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    file, screen = terminal
    reported(file)
    text = screen()
    assert "━" in text and "Reading pictures" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert text.endswith("\x1b[2K")  # the bar's line is erased


def test_what_is_tracked_passes_unchanged_and_the_answer_stays_apart(capsys):
    pictures = (name for name in ("a.png", "b.png"))
    assert list(progress.track(pictures, "Scoring pictures", total=2)) == [
        "a.png",
        "b.png",
    ]
    written = capsys.readouterr()
    assert not written.out
    assert written.err.startswith("Scoring pictures: 2 in ")


def test_pictures_in_batches_are_counted_one_by_one(capsys):
    batches = [["a.png", "b.png"], ["c.png"]]
    list(progress.track(batches, "Decoding pictures", total=3, size=len))
    assert capsys.readouterr().err.startswith("Decoding pictures: 3 in ")


def test_a_step_that_fails_is_not_called_done(capsys):
    with pytest.raises(OSError, match="no disk"):
        for _ in progress.track(["a.png"], "Scoring pictures"):
            raise OSError("no disk")
    assert capsys.readouterr().err == ""


def test_the_time_left_is_by_the_pace_since_the_step_began():
    task = rich.progress.Task(
        rich.progress.TaskID(0), "", total=400, completed=100, _get_time=lambda: 50.0
    )
    task.start_time = 20.0
    assert str(progress._TimeLeft().render(task)) == "0:01:30"
    task.completed = 0
    assert str(progress._TimeLeft().render(task)) == "-:--:--"
