"""A station with its page open, whose models answer without a network."""

import asyncio
import contextlib
import http.client
import io
import threading

import numpy as np
import pytest
import uvicorn
from PIL import Image

from nexperia_tf import sizes
from nexperia_tf.server import asking, station
from nexperia_tf.server.front import rest
from nexperia_tf.server.history import database, keeping
from nexperia_tf.server.models import batching, explaining, versions, worker

CANVAS = sizes.Size(64, 64)


class Model:
    """A version that calls dark pictures defects, surer the darker they are."""

    state, number, threshold, image_size = versions.AVAILABLE, 3, 0.5, CANVAS
    reject_from = None

    def __init__(self, *, alike: bool = True):
        self._alike = alike
        self.batcher = batching.Batcher(self._ask, batch_size=4)
        self.batcher.open()

    async def _ask(self, pictures):
        return [self._answer(picture) for picture in pictures]

    def _answer(self, picture) -> dict:
        try:
            pixels = np.asarray(Image.open(io.BytesIO(picture.content)).convert("L"))
        except OSError:
            return {worker.PROBLEM: "damaged PNG file"}
        score = 1 - float(pixels.mean()) / 255
        places = np.zeros((4, 4))
        places[1, 2] = 1.0
        more = {"map": places.tolist()} if self._alike else {}
        label = "defect" if score >= self.threshold else "good"
        answer = {worker.SCORE: score, worker.LABEL: label, worker.MORE: more}
        if picture.explained:
            answer[worker.ALIKE] = self._look_alikes()
        return answer

    def _look_alikes(self) -> dict:
        if not self._alike:
            return {explaining.PICTURES: [], explaining.WHY_NONE: "none lie with it"}
        png = explaining._png(np.zeros((8, 8, 1), np.uint8))
        shown = [
            {"name": f"lot7/<b>{i}", "label": "defect", "likeness": 0.9, "png": png}
            for i in range(explaining.COUNT)
        ]
        return {explaining.PICTURES: shown, explaining.WHY_NONE: ""}


class Served:
    """A station behind its port, and a client that is no browser."""

    def __init__(self, of: station.Station, port: int, loop):
        self.of, self.port, self._loop = of, port, loop
        self.address = f"http://127.0.0.1:{port}"

    def ask(self, method: str, path: str, body: bytes = b"", **headers):
        """Status, headers and body of an answer; nothing is followed."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        ) as client:
            client.request(method, path, body or None, names)
            answer = client.getresponse()
            return answer.status, answer.headers, answer.read()

    def get(self, path: str, **headers):
        return self.ask("GET", path, **headers)

    def judge(self, content: bytes, name: str, model: str = "line") -> None:
        """A verdict as by a watched folder."""
        asked = asking.Asked(
            source="watch",
            model=model,
            pictures=[versions.child.Picture(content)],
            paths=[name],
        )
        judged = asyncio.run_coroutine_threadsafe(self.of.judge(asked), self._loop)
        judged.result(60)

    def number(self, name: str) -> int:
        """Id of the last verdict on a picture of this name."""
        found = [row["id"] for row in self.of.history.rows() if row["path"] == name]
        return found[-1]


def drawn(grey: int, kind: str = "PNG", size: tuple[int, int] = (48, 32)) -> bytes:
    """A picture of one grey with a bright corner."""
    pixels = np.full(size[::-1], grey, np.uint8)
    pixels[:8, :8] = 255 - grey
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


async def _serve(place, token: str, rule: str, ready: list, stop: threading.Event):
    of = station.Station(
        {"line": place, "other": place},
        database.Database(str(place / "history.sqlite")),
        name="line-3",
        options=versions.Options(),
        limits=asking.Limits(review=(0.45, 0.55)),
        keeper=keeping.Keeper(keeping.Rule.of(rule), place / "pictures"),
    )
    of.models["line"].loaded[3] = Model()
    of.models["other"].loaded[3] = Model(alike=False)
    app = rest.app(of, token=token, max_body=1 << 20)
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # this is no main thread
    serving = asyncio.create_task(server.serve())
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        ready.append(Served(of, port, asyncio.get_running_loop()))
        while not stop.is_set():
            await asyncio.sleep(0.02)
    finally:
        server.should_exit = True
        await serving
        for model in of.models.values():
            model.loaded.clear()
        await of.close()


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Opens stations; they end with the tests of the module."""
    stop, threads = threading.Event(), []

    def serve(token: str = "", rule: str = "rejects,review") -> Served:
        place, ready = tmp_path_factory.mktemp("page"), []
        thread = threading.Thread(
            target=lambda: asyncio.run(_serve(place, token, rule, ready, stop))
        )
        thread.start()
        threads.append(thread)
        while not ready and thread.is_alive():
            stop.wait(0.01)
        return ready[0]

    yield serve
    stop.set()
    for thread in threads:
        thread.join(60)
