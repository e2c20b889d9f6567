"""A watched folder, with a station that answers without a network."""

import asyncio
import contextlib
import os
import pathlib
import shutil

import pytest

from nexperia_tf.server import asking, refusals, station, watching
from nexperia_tf.server.history import database, opening
from nexperia_tf.server.models import child, worker

STILL = 0.08  # seconds
PATIENCE = 60


class Model:
    """Calls defect what begins with D; reads what ends with a full stop."""

    def __init__(self):
        self.number, self.threshold, self.asked = 1, 0.5, []
        self.reject_from = None
        self.batcher = self

    def __len__(self):
        return 0

    def submit(self, picture: child.Picture) -> asyncio.Future:
        self.asked.append(picture.content)
        answer = asyncio.get_running_loop().create_future()
        if not picture.content.endswith(b"."):
            answer.set_result({worker.PROBLEM: "is truncated"})
        else:
            defect = picture.content.startswith(b"D")
            label = "defect" if defect else "good"
            answer.set_result({worker.SCORE: float(defect), worker.LABEL: label})
        return answer


class Station(station.Station):
    """A station of one model that needs no process."""

    def __init__(self, place: pathlib.Path):
        from nexperia_tf.server.history import keeping
        from nexperia_tf.server.models import versions

        super().__init__(
            {"line": place},
            database.Database(str(place / "history.sqlite")),
            name="s",
            options=versions.Options(),
            limits=asking.Limits(),
            keeper=keeping.Keeper(keeping.Rule.of("none"), place),
        )
        self.answering = Model()
        self.models["line"].version = lambda number=None: self.answering
        self.models["line"].serving = lambda: self.loaded
        self.loaded: int | None = 1
        self.fails = self.asked = 0

    async def judge(self, asked: asking.Asked) -> asking.Judged:
        self.asked += 1
        if self.fails:
            self.fails -= 1
            raise refusals.Refused(refusals.FULL, "try again later")
        return await super().judge(asked)

    def verdicts(self) -> list[tuple[str, str]]:
        return [(row["path"], row["verdict"]) for row in self.history.rows()]


@contextlib.asynccontextmanager
async def watched(place: pathlib.Path, folder: pathlib.Path, **options):
    of = Station(place)
    watch = watching.Watch(of, "line", folder, still=STILL, **options)
    running = asyncio.create_task(watch.run())
    await asyncio.sleep(0)
    try:
        yield of
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await of.close()


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(STILL / 4)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.mark.parametrize("by_polling", [False, True])
def test_each_whole_picture_gets_one_verdict(tmp_path, folder, by_polling):
    (folder / "before.png").write_bytes(b"good.")

    async def scenario():
        async with watched(tmp_path, folder, by_polling=by_polling) as of:
            await until(lambda: len(of.verdicts()) == 1)
            (folder / "lot").mkdir()
            (folder / "lot" / "1.png").write_bytes(b"Defect.")
            (tmp_path / "2.png").write_bytes(b"good.")
            os.rename(tmp_path / "2.png", folder / "2.png")
            await until(lambda: len(of.verdicts()) == 3)
            await asyncio.sleep(4 * STILL)
            assert sorted(of.verdicts()) == [
                ("2.png", "good"),
                ("before.png", "good"),
                ("lot/1.png", "defect"),
            ]

    asyncio.run(scenario())


def test_a_picture_is_scored_when_it_has_stopped_growing(tmp_path, folder):
    async def scenario():
        async with watched(tmp_path, folder) as of:
            with open(folder / "slow.png", "wb", buffering=0) as file:
                for _ in range(12):
                    file.write(b"x.")  # readable at any time, but not all of it
                    await asyncio.sleep(STILL / 3)
            await until(lambda: of.verdicts())
            assert of.answering.asked == [b"x." * 12]

    asyncio.run(scenario())


def test_what_cannot_be_read_is_waited_for_before_it_is_called_so(tmp_path, folder):
    async def scenario():
        async with watched(tmp_path, folder) as of:
            (folder / "paused.png").write_bytes(b"ha")
            (folder / "torn.png").write_bytes(b"ha")
            await until(lambda: of.answering.asked)
            assert of.verdicts() == []
            (folder / "paused.png").write_bytes(b"half.")
            await until(lambda: len(of.verdicts()) == 2)
            assert sorted(of.verdicts()) == [("paused.png", "good"), ("torn.png", "")]

    asyncio.run(scenario())


def test_a_restart_neither_loses_nor_repeats(tmp_path, folder):
    (folder / "a.png").write_bytes(b"good.")

    async def scenario():
        async with watched(tmp_path, folder) as of:
            await until(lambda: of.verdicts())
        (folder / "while-off.png").write_bytes(b"Defect.")
        shutil.copystat(folder / "a.png", folder / "while-off.png")  # an old time
        async with watched(tmp_path, folder) as of:
            await until(lambda: len(of.verdicts()) == 2)
            assert of.answering.asked == [b"Defect."]
            os.utime(folder / "a.png")  # touched, but the same picture
            await asyncio.sleep(6 * STILL)
            assert len(of.verdicts()) == 2
            (folder / "a.png").write_bytes(b"Defect, of the next device.")
            await until(lambda: len(of.verdicts()) == 3)
            assert of.verdicts()[-1] == ("a.png", "defect")

    asyncio.run(scenario())


def test_a_full_queue_or_a_history_away_only_delays_a_verdict(tmp_path, folder):
    async def scenario():
        async with watched(tmp_path, folder) as of:
            of.fails = 2
            (folder / "a.png").write_bytes(b"good.")
            await until(lambda: of.verdicts())
            assert of.fails == 0 and of.verdicts() == [("a.png", "good")]

    asyncio.run(scenario())


def test_nothing_is_asked_or_said_until_a_model_is_loaded(tmp_path, folder, capsys):
    async def scenario():
        async with watched(tmp_path, folder) as of:
            of.loaded = None
            (folder / "a.png").write_bytes(b"good.")
            await asyncio.sleep(6 * STILL)
            assert of.asked == 0
            of.loaded = 1
            await until(lambda: of.verdicts())

    asyncio.run(scenario())
    assert capsys.readouterr().err == ""


def test_a_history_that_cannot_be_read_at_the_start_only_delays_it(
    tmp_path, folder, capsys, monkeypatch
):
    reads, read = [], database.Database.watched_files

    def fails_first(self, name):
        reads.append(name)
        if len(reads) < 3:
            raise opening.Unwritable("the history cannot be used (is away)")
        return read(self, name)

    async def scenario():
        monkeypatch.setattr(database.Database, "watched_files", fails_first)
        monkeypatch.setattr(watching, "_TRY_AGAIN", STILL)
        async with watched(tmp_path, folder) as of:
            (folder / "a.png").write_bytes(b"D.")
            await until(lambda: of.verdicts() == [("a.png", "defect")])

    asyncio.run(scenario())
    assert capsys.readouterr().err.count("not watched yet") == 1


def test_what_delays_a_verdict_is_said_once(tmp_path, folder, capsys):
    async def scenario():
        async with watched(tmp_path, folder) as of:
            of.fails = 3
            (folder / "a.png").write_bytes(b"good.")
            await until(lambda: of.verdicts())

    asyncio.run(scenario())
    assert capsys.readouterr().err.count("try again later") == 1


def test_a_watched_folder_that_is_gone_is_said_once(
    tmp_path, folder, capsys, monkeypatch
):
    monkeypatch.setattr(watching, "_LOOK_AGAIN", STILL)
    said = []

    def heard() -> str:
        said.append(capsys.readouterr().err)
        return "".join(said)

    async def scenario():
        async with watched(tmp_path, folder):
            for times in (1, 2):
                await asyncio.sleep(3 * STILL)
                folder.rename(tmp_path / "away")
                await until(lambda: heard().count(f"{folder}: the folder") == times)  # noqa: B023
                await asyncio.sleep(6 * STILL)
                assert heard().count("\n") == times
                (tmp_path / "away").rename(folder)

    asyncio.run(scenario())


def test_no_link_is_followed_out_of_the_watched_folder(tmp_path, folder, capsys):
    (tmp_path / "secret.png").write_bytes(b"Defect.")
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "a.png").write_bytes(b"good.")
    (folder / "in.png").symlink_to(folder / "a.png")

    async def scenario():
        async with watched(tmp_path, folder) as of:
            await until(lambda: len(of.verdicts()) == 2)
            await asyncio.sleep(4 * STILL)
            assert sorted(of.verdicts()) == [("a.png", "good"), ("in.png", "good")]

    asyncio.run(scenario())
    assert capsys.readouterr().err.count("leads out of the watched folder") == 1


def test_what_is_not_finished_or_no_picture_by_its_name_is_left_alone(tmp_path, folder):
    async def scenario():
        async with watched(tmp_path, folder) as of:
            for name in ("a.png.part", ".b.png.x7", "c.tmp", "notes.csv", "Thumbs.db"):
                (folder / name).write_bytes(b"good.")
            (folder / "d.png").write_bytes(b"good.")
            await until(lambda: of.verdicts())
            await asyncio.sleep(4 * STILL)
            assert of.verdicts() == [("d.png", "good")]
            os.rename(folder / "a.png.part", folder / "a.png")
            await until(lambda: len(of.verdicts()) == 2)

    asyncio.run(scenario())


def test_old_verdicts_of_files_that_are_still_there_stay(folder):
    (folder / "there.png").touch()
    keep = watching.keeps(folder)
    row = {"source": "watch", "path": "there.png"}
    assert keep(row) and not keep(row | {"path": "gone.png"})
    assert not keep(row | {"source": "rest"})
    folder.joinpath("there.png").unlink()
    folder.rmdir()
    assert keep(row | {"path": "gone.png"})  # the drive is away
    assert not watching.keeps(None)(row)
