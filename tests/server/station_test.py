"""What all ways in share, with a model that answers when it is told to."""

import asyncio
import contextlib
import sqlite3

import pytest

from nexperia_tf import errors
from nexperia_tf.server import asking, refusals, station
from nexperia_tf.server.front import json_form
from nexperia_tf.server.history import database, keeping, opening
from nexperia_tf.server.models import batching, child, versions, worker


class Slow:
    """A version whose model answers once `go` is set."""

    def __init__(self):
        self.number, self.threshold, self.go = 3, 0.5, asyncio.Event()
        self.reject_from, self.more = None, {"map": [[0.5]]}
        self.batcher = batching.Batcher(self.ask, batch_size=4)
        self.batcher.open()

    async def ask(self, pictures):
        await self.go.wait()
        score = {worker.SCORE: 0.55, worker.LABEL: "defect"}
        return [score | {worker.MORE: self.more} for _ in pictures]


@contextlib.asynccontextmanager
async def opened(place, find=dict, **limits):
    of = station.Station(
        {"line": place},
        database.Database(str(place / "history.sqlite")),
        name="s",
        options=versions.Options(),
        limits=asking.Limits(**limits),
        keeper=keeping.Keeper(keeping.Rule.of("none"), place),
        find=find,
    )
    slow = Slow()
    of.models["line"].loaded[3] = slow
    slow.state = versions.AVAILABLE
    try:
        yield of, slow
    finally:
        of.models["line"].loaded.clear()
        await of.close()


@contextlib.contextmanager
def full(place):
    """Has the database itself refuse every new row, as on a full disk."""
    tables = ("verdicts", "settings")
    with contextlib.closing(sqlite3.connect(place / "history.sqlite")) as other:
        for table in tables:
            other.execute(
                f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table} "
                "BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
            )
        yield
        for table in tables:
            other.execute(f"DROP TRIGGER full_{table}")


def asked(count: int = 1, **changed) -> asking.Asked:
    pictures = [child.Picture(bytes([i])) for i in range(count)]
    return asking.Asked(
        **{"source": "rest", "model": "line", "pictures": pictures} | changed
    )


def code_of(error: pytest.ExceptionInfo) -> tuple[str, int]:
    return error.value.code, error.value.http


def test_a_full_queue_is_said_at_once_and_a_late_verdict_is_none(tmp_path):
    async def scenario():
        async with opened(tmp_path, queue=8, deadline=0.5) as (of, slow):
            waiting = []
            for _ in range(4):  # two batches under way, eight pictures wait
                waiting.append(asyncio.create_task(of.judge(asked(4))))
                await asyncio.sleep(0.01)
            with pytest.raises(
                refusals.Refused, match="8 pictures are waiting"
            ) as told:
                await of.judge(asked(1))
            assert code_of(told) == ("RESOURCE_EXHAUSTED", 429)
            late = await asyncio.gather(*waiting, return_exceptions=True)
            assert {(each.code, each.http) for each in late} == {
                ("DEADLINE_EXCEEDED", 504)
            }
            slow.go.set()
            assert (await of.judge(asked(2))).version == 3
            assert len(list(of.history.rows())) == 2  # of what got no verdict, nothing

    asyncio.run(scenario())


def test_bytes_that_wait_are_counted_too(tmp_path):
    async def scenario():
        async with opened(tmp_path, memory=10) as (of, slow):
            slow.go.set()
            large = [child.Picture(b"x" * 11)]
            with pytest.raises(refusals.Refused) as told:
                await of.judge(asked(pictures=large))
            assert code_of(told) == ("RESOURCE_EXHAUSTED", 429)
            assert await of.judge(asked(9))

    asyncio.run(scenario())


def test_a_station_that_ends_takes_no_more_and_answers_what_it_has(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (of, slow):
            waiting = asyncio.create_task(of.judge(asked(3)))
            await asyncio.sleep(0.05)
            ending = asyncio.create_task(of.drain(10))
            await asyncio.sleep(0.05)
            assert of.why_not_ready() == ["the server is being stopped"]
            assert not of.ready and not ending.done()
            with pytest.raises(refusals.Refused) as told:
                await of.judge(asked())
            assert code_of(told) == ("UNAVAILABLE", 503)
            slow.go.set()
            assert len((await waiting).entries) == 3
            await ending

    asyncio.run(scenario())


def test_no_verdict_is_told_that_the_history_does_not_take(tmp_path, monkeypatch):
    def fail(self, entries):
        raise opening.Unwritable("the history cannot be used (disk full)")

    async def scenario():
        async with opened(tmp_path) as (of, slow):
            slow.go.set()
            monkeypatch.setattr(database.Database, "write", fail)
            with pytest.raises(refusals.Refused, match="disk full") as told:
                await of.judge(asked())
            assert code_of(told) == ("UNAVAILABLE", 503)

    asyncio.run(scenario())


def test_a_history_that_fails_leaves_the_station_not_ready_until_it_works(
    tmp_path, capsys
):
    async def scenario():
        async with opened(tmp_path) as (of, slow):
            slow.go.set()
            with full(tmp_path):
                for _ in range(2):
                    with pytest.raises(refusals.Refused, match="disk is full"):
                        await of.judge(asked())
                    await of.refresh()
                    assert not of.ready
            await of.refresh()  # nobody has asked it for a verdict
            assert of.ready and (await of.judge(asked())).version == 3

    asyncio.run(scenario())
    bad, good = capsys.readouterr().err.splitlines()
    assert "disk is full); not ready until it can be" in bad
    assert good == "the history is written again"


def test_who_is_not_ready_says_what_is_missing(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (of, slow):
            assert of.ready and of.why_not_ready() == []
            del of.models["line"].loaded[3]
            assert of.why_not_ready() == ["line: no whole version is there"]
            of.models["line"].loaded[3] = slow
            slow.state, slow.problem = versions.LOADING, ""
            assert of.why_not_ready() == ["line: version 3 is LOADING"]
            slow.state, slow.problem = versions.END, "is torn"
            assert of.why_not_ready() == ["line: version 3 is END (is torn)"]
            assert not of.ready

    asyncio.run(scenario())


def test_a_model_that_comes_later_is_found_with_its_pin(tmp_path, capsys):
    found = {}

    def find():
        if not found:
            raise errors.BadInput("a run is torn.")
        return found

    async def scenario():
        async with opened(tmp_path, find) as (of, _):
            for _ in range(2):
                await of.refresh()
            of.history.set("pin:s:other", "7")
            found["other"] = tmp_path / "other"
            await of.refresh()
            assert list(of.models) == ["line", "other"]
            assert of.models["other"].pinned == 7
            assert of.model("other").serving() is None
            # Who comes while others answer may be half copied: that stops nobody.
            assert of.ready
            of.models["other"].is_needed = True  # as it is once it has been loaded
            assert of.why_not_ready() == ["other: no whole version is there"]

    asyncio.run(scenario())
    said = capsys.readouterr().err
    assert said.count("new models are not looked for: a run is torn.") == 1


def test_a_request_that_its_client_cancels_is_counted_as_such(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (of, _):
            waiting = asyncio.create_task(of.judge(asked()))
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            counted = of.metrics.registry.get_sample_value
            codes = {
                code: counted(
                    "nexperia_requests_total", {"source": "rest", "code": code}
                )
                for code in ("CANCELLED", "INTERNAL")
            }
            assert codes == {"CANCELLED": 1, "INTERNAL": None}

    asyncio.run(scenario())


def test_no_version_is_pinned_that_the_history_does_not_take(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (of, _):
            said = pytest.raises(refusals.Refused, match="disk is full")
            with full(tmp_path), said as told:
                await of.pin("line", 3)
            assert code_of(told) == ("UNAVAILABLE", 503)
            assert "\n" not in str(told.value) and of.models["line"].pinned is None
            assert await of.pin("line", 3) == 3

    asyncio.run(scenario())


def test_scores_in_a_band_are_for_a_person_and_maps_come_once(tmp_path):
    async def scenario():
        async with opened(tmp_path, review=(0.5, 0.6)) as (of, slow):
            slow.go.set()
            first = await of.judge(asked(request_id="r"))
            again = await of.judge(asked(request_id="r"))
            assert first.entries == again.entries
            assert (first.more, again.more) == ([{"map": [[0.5]]}], [{}])
            (entry,) = first.entries
            assert (entry.label, entry.verdict) == ("defect", "review")

    asyncio.run(scenario())


def test_between_what_may_pass_and_what_may_be_rejected_a_person_looks(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (of, slow):
            slow.go.set()
            plain = await of.judge(asked())
            assert (plain.entries[0].verdict, plain.with_verdict) == ("defect", False)
            for reject_from, verdict in ((0.56, "review"), (0.55, "defect")):
                slow.reject_from = reject_from
                judged = await of.judge(asked(request_id=verdict))
                again = await of.judge(asked(request_id=verdict))
                assert judged.entries[0].verdict == verdict
                assert judged.with_verdict and again.with_verdict
        async with opened(tmp_path, review=(0, 0)) as (of, slow):
            slow.go.set()
            slow.reject_from = 0.56
            assert (await of.judge(asked())).entries[0].verdict == "defect"

    asyncio.run(scenario())


def test_a_retry_that_is_given_up_leaves_the_others_their_verdicts(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (of, slow):
            first, second, third = (
                asyncio.create_task(of.judge(asked(request_id="r"))) for _ in range(3)
            )
            await asyncio.sleep(0.05)
            second.cancel()
            await asyncio.sleep(0.05)
            slow.go.set()
            assert (await first).entries == (await third).entries
            assert second.cancelled() and len(list(of.history.rows())) == 1

    asyncio.run(scenario())


def test_a_retry_is_told_again_what_is_unfamiliar_and_all_but_the_map(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (of, slow):
            slow.go.set()
            for number, more in enumerate(({"unfamiliar": 1.5}, {"unfamiliar": 0.0})):
                slow.more = more | {"map": [[0.5]]}
                first = await of.judge(asked(2, request_id=f"{number}"))
                again = await of.judge(asked(2, request_id=f"{number}"))
                assert again.more == [more, more]
                rows = json_form.rows_of(first)
                for row in rows:
                    del row["map"]
                assert rows == json_form.rows_of(again)

    asyncio.run(scenario())


def test_what_is_unfamiliar_to_the_model_is_for_a_person(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (of, slow):
            slow.go.set()
            for far, verdict in ((0.99, "defect"), (1.0, "review")):
                slow.more = {"unfamiliar": far}
                (entry,) = (await of.judge(asked())).entries
                assert (entry.label, entry.verdict) == ("defect", verdict)
                assert entry.unfamiliar == far

    asyncio.run(scenario())


def test_a_pin_outlasts_a_restart_and_is_of_one_station(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (of, _):
            assert await of.pin("line", 3) == 3
        async with opened(tmp_path) as (of, _):
            assert of.models["line"].pinned == 3
            await of.pin("line", None)
        async with opened(tmp_path) as (of, _):
            assert of.models["line"].pinned is None

    asyncio.run(scenario())


def test_old_verdicts_are_removed_with_their_pictures(tmp_path):
    async def scenario():
        async with opened(tmp_path) as (of, slow):
            slow.go.set()
            await of.judge(asked(2))
            forgetting = asyncio.create_task(of.forget(1e-9, unless=lambda row: False))
            async with asyncio.timeout(60):
                while list(of.history.rows()):
                    await asyncio.sleep(0.01)
            forgetting.cancel()

    asyncio.run(scenario())
