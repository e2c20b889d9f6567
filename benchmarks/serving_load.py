"""`nexperia serve` under load: is any answer wrong, lost, doubled or slow?

    python benchmarks/serving_load.py load    # corrupt pictures among many clients
    python benchmarks/serving_load.py swaps   # new versions meanwhile
    python benchmarks/serving_load.py kills   # kill -9, restart, ask again
    python benchmarks/serving_load.py speed   # beside the bare SavedModel

Every part publishes untrained networks, starts a server and clients in threads of this
process, prints what it counted and ends with 1 where anything was wrong. A verdict is
right if the SavedModel itself, in a process of its own, says the same of the same bytes
(score to 1e-5, and label).
"""

import argparse
import atexit
import base64
import contextlib
import http.client
import io
import json
import os
import pathlib
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import psutil
from PIL import Image

PATIENCE = 300  # seconds
PUBLISH = """
import pathlib, sys
from nexperia_tf import command; command.import_tensorflow()
import keras
from nexperia_tf.models import backbones, classifier
from nexperia_tf.runs import run_folders
from nexperia_tf.serving import export
base, backbone, side, *seeds = sys.argv[1:]
tiny = backbones.Shape((1, 1, 1, 1), planes=(8, 8, 8, 8), stem=8)
for seed in map(int, seeds):
    keras.utils.set_random_seed(seed)
    shape = backbones.BACKBONES.get(backbone, tiny)
    model = classifier.build(shape, image_size=int(side), channels=1)
    kernel, bias = model.get_layer("logit").get_weights()
    model.get_layer("logit").set_weights([100 * kernel, bias])
    export.publish(model, pathlib.Path(base) / str(seed), backbone=backbone,
                   calibration=run_folders.Calibration())
"""
SCORE = """
import json, pathlib, sys, time
from nexperia_tf import command; command.import_tensorflow()
from nexperia_tf.serving import export
served = export.load(sys.argv[1])
contents = [p.read_bytes() for p in sorted(pathlib.Path(sys.argv[2]).iterdir())]
batch, seconds = int(sys.argv[3]), float(sys.argv[4])
scores, labels = [], []
for i in range(0, len(contents), batch):
    found = served.score_bytes(contents[i:i + batch])
    scores += found[0]; labels += found[1]
done, start = 0, time.perf_counter()
while time.perf_counter() - start < seconds:
    served.score_bytes((contents * batch)[:batch]); done += batch
rate = done / (time.perf_counter() - start)
print(json.dumps([scores, labels, rate]))
"""


class Server:
    def __init__(self, place: pathlib.Path, *words: object):
        self.log = place / "log.txt"
        argv = ["-m", "nexperia_tf", "serve", *map(str, words)]
        argv = [sys.executable, *argv, "--port", "0", "--grpc-port", "0"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        atexit.register(self.process.kill)
        self.started = time.monotonic()
        self.port = int(
            self.wait(lambda: re.search(r"REST on port (\d+)", self.said()))[1]
        )

    def said(self) -> str:
        return self.log.read_text()

    def wait(self, condition):
        end = time.monotonic() + PATIENCE
        while not (found := condition()):
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the server does not answer:\n{self.said()}")
            time.sleep(0.02)
        return found

    def ready(self) -> "Server":
        self.wait(lambda: self.serving() is not None)
        return self

    def serving(self) -> int | None:
        """The version that answers."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            connection.request("GET", "/readyz")
            return json.load(connection.getresponse())["serving"]["line"]
        return None

    def megabytes(self) -> tuple[float, float, int]:
        """Of the server, of its models together, and how many these are."""
        front = psutil.Process(self.process.pid)
        sizes = []
        for process in front.children():
            with contextlib.suppress(psutil.Error):  # one that is ending
                if "spawn_main" in str(process.cmdline()):
                    sizes.append(process.memory_info().rss / 2**20)
        return front.memory_info().rss / 2**20, sum(sizes), len(sizes)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


class Client(threading.Thread):
    """Sends requests one after the other on one connection."""

    def __init__(self, server: Server, requests, check):
        super().__init__()
        self._server, self._requests, self._check = server, requests, check
        self.seconds: list[float] = []
        self.failed: list[str] = []

    def run(self) -> None:
        port = self._server.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        for request in self._requests:
            start = time.perf_counter()
            try:
                body = in_json([content for _, content in request])
                connection.request("POST", "/v1/models/line:predict", body)
                answer = connection.getresponse()
                said = self._check(request, answer.status, json.load(answer))
            except (OSError, http.client.HTTPException) as error:
                said = repr(error)
            self.seconds.append(time.perf_counter() - start)
            if said:
                self.failed.append(said)


def in_json(contents: list[bytes]) -> bytes:
    values = [{"b64": base64.b64encode(content).decode()} for content in contents]
    return json.dumps({"instances": values}).encode()


def draw(folder: pathlib.Path, count: int, side: int) -> list[bytes]:
    """Pictures of noise, smooth in places, as PNG."""
    folder.mkdir()
    rng, contents = np.random.default_rng(0), []
    for i in range(count):
        small = rng.integers(0, 256, (side // 8, side // 8), np.uint8)
        file = io.BytesIO()
        Image.fromarray(small).resize((side, side), Image.BICUBIC).save(file, "PNG")
        contents.append(file.getvalue())
        (folder / f"{i:05}.png").write_bytes(file.getvalue())
    return contents


def publish(place: pathlib.Path, backbone: str, side: int, *seeds: int) -> None:
    words = [place / "published", backbone, side, *seeds]
    subprocess.run([sys.executable, "-c", PUBLISH, *map(str, words)], check=True)


def line(place: pathlib.Path, backbone: str, side: int) -> None:
    publish(place, backbone, side, 0)
    shutil.move(place / "published" / "0", place / "line")


def scored(model: pathlib.Path, folder: pathlib.Path, batch: int, seconds: float):
    """Scores and labels by the SavedModel itself, and pictures a second."""
    words = [sys.executable, "-c", SCORE, model, folder, batch, seconds]
    run = subprocess.run([*map(str, words)], check=True, capture_output=True)
    return json.loads(run.stdout.splitlines()[-1])


def corrupted(content: bytes, rng: random.Random) -> bytes:
    """What no longer is a picture."""
    middle = rng.randrange(20, len(content) - 20)
    damaged = bytearray(content)
    damaged[middle] ^= 0xFF
    return rng.choice([content[:middle], bytes(damaged), b"", b"no picture", b"BM"])


def checker(expected: list):
    """A function that says what is wrong with an answer; several models may be right.

    Args:
        expected: for each model, its scores and labels.
    """

    def check(request, status: int, answer: dict) -> str:
        if all(index is None for index, _ in request):
            return "" if status == 400 else f"corrupt alone: {status}"
        rows = answer.get("predictions", ())
        if status != 200 or len(rows) != len(request):
            return f"{status}: {answer}"
        right = [_is_right(model, request, rows) for model in expected]
        return "" if any(right) else f"wrong: {rows}"

    return check


def _is_right(model, request, rows) -> bool:
    scores, labels, *_ = model
    for (index, _), row in zip(request, rows):
        if index is None:
            if row["score"] is not None or not row.get("problem"):
                return False
        elif row["label"] != labels[index] or abs(row["score"] - scores[index]) > 1e-5:
            return False
    return True


def load(place: pathlib.Path, options: argparse.Namespace) -> int:
    """Many requests, some pictures corrupt."""
    line(place, "tiny", 32)
    contents = draw(place / "pictures", 200, 64)
    expected = scored(place / "line", place / "pictures", 32, 0)
    server = Server(place, place / "line", "--history", place / "h.sqlite").ready()
    rng, corrupt = random.Random(0), 0

    def one() -> list:
        nonlocal corrupt
        request = []
        for _ in range(rng.randint(1, 4)):
            index = rng.randrange(len(contents))
            if rng.random() < options.corrupt:
                corrupt += 1
                request.append((None, corrupted(contents[index], rng)))
            else:
                request.append((index, contents[index]))
        return request

    requests = [one() for _ in range(options.requests)]
    clients = [
        Client(server, requests[i :: options.clients], checker([expected]))
        for i in range(options.clients)
    ]
    memory, start = watched(server, clients)
    failed = [said for client in clients for said in client.failed]
    pictures = sum(map(len, requests))
    print(
        f"{options.requests} requests of {options.clients} clients, {pictures} "
        f"pictures, {corrupt} of them corrupt, in {time.monotonic() - start:.0f} s: "
        f"{len(failed)} failed or wrong"
    )
    print(*failed[:5], sep="\n", end="\n" * bool(failed))
    told(memory)
    wrong = len(failed) + server.end()
    with contextlib.closing(sqlite3.connect(place / "h.sqlite")) as history:
        count = "select count(*), sum(score is null) from verdicts"
        rows, unreadable = history.execute(count).fetchone()
    print(f"in the history: {rows} verdicts, {unreadable} of them unreadable")
    return wrong + abs(rows - pictures) + abs(unreadable - corrupt)


def watched(server: Server, clients: list[Client]) -> tuple[list, float]:
    """Memory while clients run, and when they began."""
    memory, start = [], time.monotonic()
    for client in clients:
        client.start()
    while any(client.is_alive() for client in clients):
        memory.append(server.megabytes())
        time.sleep(1)
    return memory, start


def told(memory: list) -> None:
    """Memory early and late, once all is warm."""
    tenth = max(len(memory) // 10, 1)
    early = np.mean(memory[tenth : 2 * tenth] or memory, axis=0)
    late = np.mean(memory[-tenth:], axis=0)
    print(
        f"memory: front {early[0]:.0f} MB early and {late[0]:.0f} MB late, models "
        f"{early[1]:.0f} and {late[1]:.0f} MB; at most "
        f"{max(count for *_, count in memory)} processes of models"
    )


def swaps(place: pathlib.Path, options: argparse.Namespace) -> int:
    """Versions come one after the other while clients ask."""
    publish(place, "tiny", 32, 0, 1)
    contents = draw(place / "pictures", 50, 64)
    models = [place / "published" / seed / "1" for seed in "01"]
    expected = [scored(model, place / "pictures", 32, 0) for model in models]
    (place / "line").mkdir()
    shutil.copytree(models[0], place / "line" / "1")
    words = ("--history", place / "h.sqlite", "--poll", ".2")
    server = Server(place, place / "line", *words).ready()
    over = threading.Event()

    def endless(seed: int):
        rng = random.Random(seed)
        while not over.is_set():
            index = rng.randrange(len(contents))
            yield [(index, contents[index])]
            time.sleep(options.pause)

    clients = [
        Client(server, endless(i), checker(expected)) for i in range(options.clients)
    ]
    for client in clients:
        client.start()
    memory, start = [], time.monotonic()
    for number in range(2, options.swaps + 2):
        shutil.copytree(models[number % 2], place / "line" / str(number))
        server.wait(lambda: server.serving() == number)  # noqa: B023
        memory.append(server.megabytes())
        if number > 4:  # not all of a hundred on the disk
            shutil.rmtree(place / "line" / str(number - 3))
    over.set()
    for client in clients:
        client.join()
    failed = [said for client in clients for said in client.failed]
    asked = sum(len(client.seconds) for client in clients)
    print(
        f"{options.swaps} swaps in {time.monotonic() - start:.0f} s under {asked} "
        f"requests of {options.clients} clients: {len(failed)} failed or wrong"
    )
    print(*failed[:5], sep="\n", end="\n" * bool(failed))
    told(memory)
    return len(failed) + server.end()


def kills(place: pathlib.Path, options: argparse.Namespace) -> int:
    """`kill -9` again and again; clients ask again with the same request id."""
    line(place, "tiny", 32)
    contents = draw(place / "pictures", 50, 64)
    (place / "in").mkdir()
    words = ("--history", place / "h.sqlite", "--watch", place / "in")
    words += ("--watch-still", ".2", "--station", "s")
    rng, told_of, over = random.Random(0), {}, threading.Event()
    holder, waits = {}, []
    holder["server"] = Server(place, place / "line", *words).ready()

    def client(name: str) -> None:
        number = 0
        while not over.is_set():
            number += 1
            body = in_json([contents[number % 50], contents[(7 * number) % 50]])
            request_id = f"{name}-{number}"
            told_of[request_id] = asked_until_told(holder, body, request_id)

    def camera() -> None:
        number = 0
        while not over.is_set():
            number += 1
            (place / "in" / f"{number:06}.png").write_bytes(contents[number % 50])
            time.sleep(0.05)

    threads = [threading.Thread(target=client, args=(f"c{i}",)) for i in range(4)]
    threads.append(threading.Thread(target=camera))
    for thread in threads:
        thread.start()
    for _ in range(options.kills):
        time.sleep(rng.uniform(0.5, 3))
        os.kill(holder["server"].process.pid, signal.SIGKILL)
        holder["server"].process.wait()
        server = Server(place, place / "line", *words)
        server.wait(lambda: "is loaded" in server.said())  # noqa: B023
        loaded = time.monotonic()
        server.ready()
        waits.append((loaded - server.started, time.monotonic() - loaded))
        holder["server"] = server
    over.set()
    for thread in threads:
        thread.join()
    files = len(list((place / "in").iterdir()))
    with contextlib.closing(sqlite3.connect(place / "h.sqlite")) as history:
        count = "select count(*) from verdicts where source = 'watch'"
        holder["server"].wait(lambda: history.execute(count).fetchone()[0] >= files)
        time.sleep(2)
        rows = history.execute("select request_id, item, score, path from verdicts")
        wrong = judge_history(list(rows), told_of, files)
    print(
        f"{options.kills} times kill -9: loaded after {max(w for w, _ in waits):.1f} s "
        f"at most, ready {max(w for _, w in waits):.2f} s after that"
    )
    return wrong + holder["server"].end()


def asked_until_told(holder: dict, body: bytes, request_id: str) -> list[float]:
    """The scores of a request, asked again until there is an answer."""
    while True:
        try:
            port = holder["server"].port
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {"X-Request-Id": request_id}
            connection.request("POST", "/v1/models/line:predict", body, headers)
            answer = connection.getresponse()
            found = json.load(answer)
            if answer.status == 200:
                return [row["score"] for row in found["predictions"]]
        except (OSError, http.client.HTTPException, ValueError):
            pass
        time.sleep(0.05)


def judge_history(rows: list, told_of: dict, files: int) -> int:
    """Prints and counts what is lost, doubled or other than what clients were told."""
    stored: dict[tuple, list] = {}
    for request_id, item, score, _ in rows:
        stored.setdefault((request_id, item), []).append(score)
    asked = [(i, n) for i, scores in told_of.items() for n in range(len(scores))]
    kept = [key for key in asked if key in stored]
    lost = len(asked) - len(kept)
    doubled = [key for key, scores in stored.items() if len(scores) > 1]
    other = sum(stored[i, n][0] != told_of[i][n] for i, n in kept)
    paths = [path for request_id, *_, path in rows if request_id.startswith("watch:")]
    print(
        f"{len(asked)} verdicts told to clients: {lost} lost, {other} other "
        f"than stored; {files} watched files: {files - len(set(paths))} lost; "
        f"{len(doubled)} doubled, {len(paths) - len(set(paths))} of them watched"
    )
    return lost + len(doubled) + other + abs(files - len(set(paths)))


def speed(place: pathlib.Path, options: argparse.Namespace) -> int:
    """Pictures a second and latency, beside the SavedModel in one process."""
    side = options.side
    if options.model:
        shutil.copytree(options.model, place / "line")
    else:
        line(place, options.backbone, side)
    contents = draw(place / "pictures", 64, side)
    wrong = 0
    for turn in range(options.turns):
        expected = scored(place / "line", place / "pictures", 32, options.seconds)
        server = Server(place, place / "line", "--history", place / f"{turn}.sqlite")
        server.ready()
        for clients, size in ((64, 1), (8, 8), (1, 1)):
            rate, seconds, failed = driven(
                server, contents, expected, clients, size, options.seconds
            )
            wrong += failed
            p50, p99 = np.percentile(seconds, (50, 99))
            print(
                f"turn {turn}: bare {expected[2]:.1f} pictures/s in batches of 32; "
                f"{clients} clients with {size} a request: {rate:.1f} "
                f"({rate / expected[2]:.0%}), latency {1000 * p50:.0f} ms median, "
                f"{1000 * p99:.0f} ms 99th percentile, {failed} failed",
                flush=True,
            )
        wrong += server.end()
    return wrong


def driven(server, contents, expected, clients: int, size: int, seconds: float):
    """Pictures a second, seconds of each request and how many failed."""
    end = time.monotonic() + seconds

    def endless(seed: int):
        rng = random.Random(seed)
        while time.monotonic() < end:
            indices = [rng.randrange(len(contents)) for _ in range(size)]
            yield [(index, contents[index]) for index in indices]

    threads = [Client(server, endless(i), checker([expected])) for i in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - start
    latencies = [each for thread in threads for each in thread.seconds]
    failed = sum(len(thread.failed) for thread in threads)
    return size * len(latencies) / spent, latencies, failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("load", "swaps", "kills", "speed"))
    defaults = {"requests": 10_000, "clients": 8, "corrupt": 0.01, "swaps": 100}
    defaults |= {"pause": 0.05, "kills": 10, "backbone": "resnext50_32x4d"}
    defaults |= {"side": 224, "seconds": 60.0, "turns": 2, "model": ""}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    place = pathlib.Path(tempfile.mkdtemp(prefix="serving-load-"))
    try:
        sys.exit(bool(globals()[options.part](place, options)))
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
