"""Which version answers, from processes that are none."""

import asyncio
import pathlib
import types
from unittest import mock

import pytest

from nexperia_tf.server import refusals
from nexperia_tf.server.models import child, versions

CHILD = child.Child


def pretended(version: pathlib.Path, max_pixels: int, on_end) -> mock.Mock:
    """Loads what does not say `bad`; never answers a picture of silence."""

    async def start():
        if (version / "slow").exists():
            await asyncio.sleep(3600)
        if (version / "bad").exists():
            raise child.Unloadable("cannot be loaded")

    async def ask(pictures):
        if pictures[0].content == b"silence":
            await asyncio.sleep(3600)
        return [{"from": int(version.name)} for _ in pictures]

    made = mock.create_autospec(CHILD, instance=True)  # has what that has alone
    made.start.side_effect, made.ask.side_effect = start, ask
    made.kill.side_effect = on_end
    return made


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model whose folders are whole as they are."""
    monkeypatch.setattr(versions.child, "Child", pretended)
    made = versions.Model(
        "line", tmp_path, versions.Options(patience=0.2, load_patience=0.2)
    )
    whole = lambda: {int(p.name): p for p in tmp_path.iterdir()}  # noqa: E731
    made._wholeness = types.SimpleNamespace(whole=whole, damaged=dict)
    return made


async def answers(model: versions.Model, number: int | None = None) -> int:
    submitted = model.version(number).batcher.submit(child.Picture(b""))
    return (await submitted)["from"]


def add(model_base: pathlib.Path, *numbers: int) -> None:
    for number in numbers:
        (model_base / str(number)).mkdir()


def test_the_newest_answers_and_the_one_before_stays(model, tmp_path):
    async def scenario():
        add(tmp_path, 1, 2)
        await model.refresh()
        assert model.available == [1, 2] and await answers(model) == 2
        add(tmp_path, 10)
        await model.refresh()
        assert model.available == [2, 10] and await answers(model) == 10
        assert await answers(model, 2) == 2
        with pytest.raises(refusals.Refused, match="not found for request: line / 1"):
            model.version(1)
        await model.close()

    asyncio.run(scenario())


def test_what_cannot_be_loaded_leaves_the_older_one_in_its_place(model, tmp_path):
    async def scenario():
        add(tmp_path, 1, 2)
        (tmp_path / "2" / "bad").touch()
        await model.refresh()
        assert await answers(model) == 1
        states = [(v.number, v.state, v.problem) for v in model.states()]
        assert states == [(2, "END", "cannot be loaded"), (1, "AVAILABLE", "")]
        (tmp_path / "2" / "bad").unlink()  # it is another folder now
        await model.refresh()
        assert await answers(model) == 2
        await model.close()

    asyncio.run(scenario())


def test_what_does_not_load_in_time_is_given_up(model, tmp_path):
    async def scenario():
        add(tmp_path, 1, 2)
        (tmp_path / "2" / "slow").touch()
        await model.refresh()
        assert await answers(model) == 1
        (late, _) = model.states()
        assert late.problem == "was not loaded within 0.2 seconds"
        await model.close()

    asyncio.run(scenario())


def test_a_pin_holds_when_newer_ones_come_and_while_its_folder_is_gone(
    model, tmp_path, capsys
):
    async def scenario():
        add(tmp_path, 1, 2)
        await model.refresh()
        assert model.earlier() == 1
        model.pinned = 1
        add(tmp_path, 3)
        await model.refresh()
        assert await answers(model) == 1 and model.available == [1, 3]
        with pytest.raises(refusals.Refused, match="no version before 1"):
            model.earlier()
        (tmp_path / "1").rmdir()
        await model.refresh()
        assert await answers(model) == 1
        await model.close()

    asyncio.run(scenario())
    assert "pinned but not there" not in capsys.readouterr().err


def test_a_pin_whose_version_is_gone_is_said_once(model, tmp_path, capsys):
    async def scenario():
        add(tmp_path, 2)
        model.pinned = 1
        await model.refresh()
        await model.refresh()
        assert await answers(model) == 2
        await model.close()

    asyncio.run(scenario())
    assert capsys.readouterr().err.count("version 1 is pinned but not there") == 1


def test_a_drive_that_is_away_takes_nothing_with_it(model, tmp_path):
    async def scenario():
        add(tmp_path, 1)
        await model.refresh()
        (tmp_path / "1").rmdir()
        await model.refresh()
        assert await answers(model) == 1
        await model.close()

    asyncio.run(scenario())


def test_a_process_that_hangs_is_ended_and_costs_that_picture_alone(model, tmp_path):
    async def scenario():
        add(tmp_path, 1)
        await model.refresh()
        silent = model.version().batcher.submit(child.Picture(b"silence"))
        other = model.version().batcher.submit(child.Picture(b""))
        assert (await other)["from"] == 1
        assert "no answer within 0.2 seconds" in (await silent)["problem"]
        await model.close()

    asyncio.run(scenario())
