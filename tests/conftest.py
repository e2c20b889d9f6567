import importlib.util
import os
import pathlib
import shutil
import socket
import sys
from types import ModuleType

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as command.import_tensorflow
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = pathlib.Path(__file__).parents[1]
HERE = ("localhost", "127.0.0.1", "::1")


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Measures of raw pictures are cached for this session only; no weights are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def script():
    """Loads a Python file of the checkout as a module."""
    return _script


@pytest.fixture(scope="session")
def run_command():
    """Runs a command in this process: `run_command("train", "--out", x)`.

    Returns the exit code.
    """
    from nexperia_tf import cli

    def run(*argv) -> int:
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in argv])
        return stop.value.code or 0

    return run


@pytest.fixture
def terminal():
    """A pseudo-terminal: a file to write to, and what gives all that it was shown."""
    end = "<end of what was written>"
    pty = pytest.importorskip("pty", reason="Windows has none")
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as file:

        def screen() -> str:
            print(end, end="", file=file, flush=True)
            shown = ""
            while not shown.endswith(end):  # it comes in pieces, some a moment later
                shown += os.read(ours, 100_000).decode()
            return shown.removesuffix(end)

        yield file, screen
    os.close(ours)


@pytest.fixture(scope="session")
def no_network():
    """Any attempt to leave the machine fails the test that made it.

    Whatever runs later in this process is held to it, too; it may reach itself.
    """

    def held(function, place):
        def call(*args, **knobs):
            address = args[place] if len(args) > place else knobs.get("host")
            host = address[0] if isinstance(address, tuple) else address
            here = not isinstance(host, str) or host in HERE or host[:1] in ("", "/")
            assert here, f"a connection to {address} was attempted"
            return function(*args, **knobs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", held(socket.socket.connect, 1))
        patch.setattr(socket.socket, "connect_ex", held(socket.socket.connect_ex, 1))
        patch.setattr(socket, "getaddrinfo", held(socket.getaddrinfo, 0))
        yield


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, driven by Playwright."""
    from playwright import sync_api

    found = (shutil.which(name) for name in ("chromium", "chromium-browser"))
    if not (chromium := next(filter(None, found), None)):
        pytest.skip("no Chromium is installed")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=sandbox)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def publish_tiny(tmp_path_factory):
    """Publishes an untrained network of one narrow block a stage: seconds, not hours.

    `publish_tiny(base, seed=1)` returns the version's folder. The first version below
    `base` is a copy where the same network has been published before.
    """
    import keras

    from nexperia_tf.models import backbones, classifier
    from nexperia_tf.runs import run_folders
    from nexperia_tf.serving import export

    shape = backbones.Shape((1, 1, 1, 1), planes=(8, 8, 8, 8), stem=8)

    published: dict[tuple, pathlib.Path] = {}

    def publish(
        base: pathlib.Path,
        *,
        seed: int = 0,
        image_size: int = 32,
        channels: int = 1,
        temperature: float = 1.0,
        offset: float = 0.0,
        threshold: float = 0.5,
        with_map: bool = False,
    ) -> pathlib.Path:
        key = (seed, image_size, channels, temperature, offset, threshold, with_map)
        if key in published and not (base / "1").exists():
            shutil.copytree(published[key], base / "1")
            return base / "1"
        keras.utils.set_random_seed(seed)
        model = classifier.build(shape, image_size=image_size, channels=channels)
        # As sure of itself as a trained one: scores are spread over 0..1.
        kernel, bias = model.get_layer("logit").get_weights()
        model.get_layer("logit").set_weights([100 * kernel, bias])
        if with_map:
            model = classifier.with_map(model)
        calibration = run_folders.Calibration(
            temperature=temperature, offset=offset, threshold=threshold
        )
        version = export.publish(model, base, backbone="tiny", calibration=calibration)
        if key not in published:  # tests change what they got
            kept = tmp_path_factory.mktemp("published") / version.name
            published[key] = shutil.copytree(version, kept)
        return version

    return publish


@pytest.fixture(scope="module")
def few_look_alikes():
    """Looks at 300 pairs of different pictures, not 3,000, where copies are no subject.

    With a hundred pictures these pairs are most of a preparation's work.
    """
    from nexperia_tf.data.duplicates import candidates

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "FEWEST_FALSE", 300)
        yield


@pytest.fixture(scope="module")
def small_backbone():
    """A known name with few layers, for tests that need no real network."""
    from nexperia_tf.models import backbones

    name = "resnext26_32x4d"
    with pytest.MonkeyPatch.context() as patch:
        shape = backbones.Shape((1, 1, 1, 1), planes=(8, 8, 8, 8), stem=8)
        patch.setitem(backbones.BACKBONES, name, shape)
        yield name
