"""Batches of many requests, from a model that answers without a network."""

import asyncio

import pytest

from nexperia_tf.server import refusals
from nexperia_tf.server.models import batching, child, worker


class Model:
    """Answers each picture with its content; dies of `poison`."""

    def __init__(self):
        self.asked: list[list[bytes]] = []
        self.go = asyncio.Event()

    async def ask(self, pictures):
        self.asked.append([picture.content for picture in pictures])
        await self.go.wait()
        if any(picture.content == b"poison" for picture in pictures):
            raise child.Died("its process has ended")
        return [{"content": picture.content} for picture in pictures]


def batcher(model: Model, **options) -> batching.Batcher:
    made = batching.Batcher(model.ask, **({"batch_size": 4} | options))
    made.open()
    return made


def submit(to: batching.Batcher, *contents: bytes) -> list[asyncio.Future]:
    return [to.submit(child.Picture(content)) for content in contents]


def test_what_comes_while_a_model_works_is_the_next_batch():
    async def scenario():
        model = Model()
        to = batcher(model)
        answers = submit(to, b"a")
        await asyncio.sleep(0)
        for content in (b"b", b"c", b"d"):  # three requests, no full batch
            answers += submit(to, content)
            await asyncio.sleep(0)
        assert model.asked == [[b"a"]]
        answers += submit(to, b"e", b"f")  # a full one is sent ahead
        await asyncio.sleep(0.01)
        assert model.asked == [[b"a"], [b"b", b"c", b"d", b"e"]]
        model.go.set()
        told = await asyncio.gather(*answers)
        assert [each["content"] for each in told] == [
            b"a",
            b"b",
            b"c",
            b"d",
            b"e",
            b"f",
        ]
        assert model.asked[2:] == [[b"f"]] and to.idle

    asyncio.run(scenario())


def test_a_picture_that_ends_the_process_costs_no_other_its_answer():
    async def scenario():
        model = Model()
        model.go.set()
        answers = submit(batcher(model), b"a", b"poison", b"b")
        told = await asyncio.gather(*answers)
        assert [each["content"] for each in (told[0], told[2])] == [b"a", b"b"]
        assert "failed at this picture, twice" in told[1][worker.PROBLEM]
        assert model.asked[0] == [b"a", b"poison", b"b"]
        assert sorted(map(tuple, model.asked[1:])) == [(b"a",), (b"b",), (b"poison",)]

    asyncio.run(scenario())


def test_what_nobody_waits_for_any_more_is_not_sent():
    async def scenario():
        model = Model()
        to = batcher(model)
        first, *others = submit(to, b"a", b"b", b"c", b"d", b"late", b"last")
        await asyncio.sleep(0.01)
        others[3].cancel()
        assert len(to) == 1
        model.go.set()
        await asyncio.gather(first, *others[:3], others[4])
        assert [b"late"] not in model.asked and model.asked[-1] == [b"last"]

    asyncio.run(scenario())


def test_nothing_is_sent_while_the_process_is_started_again():
    async def scenario():
        model = Model()
        model.go.set()
        to = batcher(model)
        to.pause()
        (answer,) = submit(to, b"a")
        await asyncio.sleep(0.01)
        assert model.asked == [] and not to.idle
        to.open()
        assert (await answer)["content"] == b"a"
        to.pause()
        (gone,) = submit(to, b"b")
        to.refuse(refusals.Refused(refusals.UNAVAILABLE, "is not served any more"))
        with pytest.raises(refusals.Refused, match="any more"):
            await gone

    asyncio.run(scenario())
