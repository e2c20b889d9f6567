"""What training prints, on a terminal and elsewhere."""

import io
import types

import pytest
import rich.console

from nexperia_tf.training import display, history

ROW = {"epoch": 1, "loss": 0.0412, "val_auc": 0.98123, "val_log_loss": 0.3}
ROW |= {"val_fpr_at_tpr_0.991": 0.042, "val_fpr_at_tpr_0.995": 0.098}


@pytest.fixture
def shown():
    """Shows one epoch of six steps, each of which takes 25 s; writes to a stream."""

    def show(stream):
        watched = types.SimpleNamespace(
            epoch=0,
            step=0,
            images_per_s=3.2,
            steps=types.SimpleNamespace(count=6),
            stopping=history.Stopping(epochs=20, patience=3),
            epoch_line="epoch  1/20  loss .0412",
        )
        clock = iter(range(0, 10_000, 25))
        console = rich.console.Console(file=stream, width=80)
        watcher = display.Display(watched, console=console, clock=lambda: next(clock))
        watcher.on_epoch_begin(0)
        for batch in range(6):
            watched.step += 1
            watcher.on_train_batch_end(batch, {"loss": 0.5})
        watcher.on_epoch_end(0)
        watcher.close()

    return show


def test_a_log_gets_a_line_a_minute_and_one_an_epoch(shown):
    shown(log := io.StringIO())
    assert log.getvalue().splitlines() == [
        "epoch  1/20  step 3/6  loss .5000  3.2 images/s",
        "epoch  1/20  step 6/6  loss .5000  3.2 images/s",
        "epoch  1/20  loss .0412",
    ]


def test_a_log_has_no_bar_even_where_colours_are_forced(shown, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown(log := io.StringIO())
    assert "━" not in log.getvalue() and "\x1b[" not in log.getvalue()


def test_a_terminal_gets_a_bar_within_the_epoch_and_its_cursor_back(
    shown, terminal, monkeypatch
):
    monkeypatch.setenv("TERM", "xterm")
    file, screen = terminal
    shown(file)
    text = screen()
    assert "━" in text and "validating" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert text.endswith("epoch  1/20  loss .0412\r\n")


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    shown, terminal, monkeypatch
):
    monkeypatch.setenv("TERM", "dumb")
    file, screen = terminal
    shown(file)
    assert screen().count("epoch  1/20  step") == 2
