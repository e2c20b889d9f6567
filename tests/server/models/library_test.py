"""Which models and versions are found, and which of them are whole."""

import os
import random
import shutil

import pytest

from nexperia_tf import errors, files
from nexperia_tf.server.models import library
from nexperia_tf.serving import version_folders


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """A version as far as its files tell: whether it loads is for its process."""
    folder = tmp_path_factory.mktemp("published") / "line" / "1"
    for name, content in {
        "saved_model.pb": b"graph" * 100,
        "fingerprint.pb": b"finger",
        "variables/variables.index": b"index" * 10,
        "variables/variables.data-00000-of-00001": bytes(range(256)) * 100,
        "assets.extra/tf_serving_warmup_requests": b"warm",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    facts = {"image_size": 32, "channels": 1, "depth_range": None}
    files.write_json(folder / version_folders.FACTS, facts)
    files.write_manifest(folder)
    return folder


def test_a_folder_of_versions_is_a_model_and_so_is_each_in_a_folder(version, tmp_path):
    assert library.models(version.parent) == {"line": version.parent}
    shutil.copytree(version.parent, tmp_path / "other")
    shutil.copytree(version.parent, tmp_path / "line")
    (tmp_path / "notes").mkdir()
    found = library.models(tmp_path)
    assert found == {name: tmp_path / name for name in ("line", "other")}


def test_what_holds_no_model_is_refused_in_one_line(version, tmp_path):
    for folder, said in (
        (tmp_path, "holds no exported model"),
        (tmp_path / "missing", "no such folder"),
        (version, "name the folder above it"),
    ):
        with pytest.raises(errors.BadInput, match=said):
            library.models(folder)


@pytest.mark.parametrize("seed", range(3))
def test_no_prefix_of_the_files_of_a_version_is_whole(version, tmp_path, seed):
    """Files come in the order of their names, of a disk, or of chance."""
    names = sorted(p.relative_to(version) for p in version.rglob("*") if p.is_file())
    random.Random(seed).shuffle(names) if seed else None
    base = tmp_path / "line"
    wholeness = library.Wholeness(base)
    (base / "7").mkdir(parents=True)
    assert wholeness.whole() == {}
    for count, name in enumerate(names, start=1):
        target = base / "7" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        content = (version / name).read_bytes()
        target.write_bytes(content[: len(content) // 2])
        assert wholeness.whole() == {}
        target.write_bytes(content)
        assert bool(wholeness.whole()) == (count == len(names)), name
    assert wholeness.whole() == {7: base / "7"}


def test_what_stays_damaged_is_named_until_it_is_whole_or_gone(version, tmp_path):
    base = tmp_path / "line"
    shutil.copytree(version, base / "1")
    graph = base / "1" / "saved_model.pb"
    content = graph.read_bytes()
    graph.write_bytes(content[:-1])
    wholeness = library.Wholeness(base)
    for look in range(1, library.STILL):
        assert wholeness.whole() == wholeness.damaged() == {}, look
    graph.write_bytes(content[:-2])  # somebody still works on it
    for _ in range(library.STILL):
        assert wholeness.damaged() == {}
        assert wholeness.whole() == {}
    ((number, (folder, problem)),) = wholeness.damaged().items()
    assert (number, folder) == (1, base / "1") and "saved_model.pb" in problem
    assert "--trust" not in problem and "\n" not in problem
    graph.write_bytes(content)
    assert list(wholeness.whole()) == [1] and wholeness.damaged() == {}
    shutil.rmtree(base / "1")
    assert wholeness.whole() == wholeness.damaged() == {}


def test_a_version_that_changes_is_looked_at_again_and_only_then(
    version, tmp_path, monkeypatch
):
    base = tmp_path / "line"
    shutil.copytree(version, base / "1")
    wholeness, read = library.Wholeness(base), []
    sha256 = files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path) or sha256(path))
    assert wholeness.whole() and read
    read.clear()
    assert wholeness.whole() and not read
    with open(base / "1" / "saved_model.pb", "r+b") as file:
        file.write(b"?")
    os.utime(base / "1" / "saved_model.pb", ns=(1, 1))
    assert not wholeness.whole() and "differs from its SHA-256" in wholeness.problem(
        base / "1"
    )
