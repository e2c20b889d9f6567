"""A model's process that is killed, or stands still, while clients ask."""

import asyncio
import os
import signal
import threading
import time

import psutil
import pytest

from nexperia_tf.server.models import child, versions, worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals are POSIX"),
]
KILLS = 4


@pytest.fixture(scope="module")
def server(start, publish_tiny, tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "line"
    publish_tiny(base)
    server = start(base, "--deadline", 600).ready()
    server.base = base
    return server


def test_killing_a_models_process_costs_no_request_its_verdicts(server, pictures):
    right = server.predict(pictures)[1]["outputs"]
    wrong, answers, over = [], [], threading.Event()

    def client() -> None:
        while not over.is_set():
            status, answer = server.predict(pictures)
            found = answer.get("outputs", {})
            answers.append(status)
            same = found.get("label") == right["label"] and "problem" not in found
            if status != 200 or not same:
                wrong.append((status, answer))

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(KILLS):
        count = len(answers)
        server.wait_for(lambda: len(answers) > count + 20)  # noqa: B023
        for process in server.models():
            process.send_signal(signal.SIGKILL)
        count = len(answers)
        server.wait_for(lambda: len(answers) > count + 20)  # noqa: B023
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    restarts = server.said().count("its process has ended; it is started again")
    assert restarts == KILLS


def test_a_models_process_that_stands_still_is_ended_and_started_again(
    server, pictures, capsys
):
    async def scenario():
        patience = versions.Options(patience=2)
        version = versions.Version(1, server.base / "1", patience)
        await version.load()
        stopped = version.pid
        os.kill(stopped, signal.SIGSTOP)
        answer = await version.batcher.submit(child.Picture(pictures[0]))
        assert worker.PROBLEM not in answer and answer[worker.LABEL]
        assert version.pid != stopped and not psutil.pid_exists(stopped)
        await version.close()

    asyncio.run(asyncio.wait_for(scenario(), 300))
    assert capsys.readouterr().err.count("it is started again") == 1


@pytest.mark.parametrize("pause", [0, 0.05, 1])
def test_a_server_that_is_stopped_while_it_loads_leaves_no_process(
    start, server, pause, tmp_path
):
    other = start(server.base, "--history", tmp_path / "h.sqlite")
    time.sleep(pause)
    children = psutil.Process(other.process.pid).children()
    assert other.stop() == 0 and "Traceback" not in other.said()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
