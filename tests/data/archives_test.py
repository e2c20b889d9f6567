"""Zip files are looked at before anything of them is unpacked."""

import zipfile

import pytest

from nexperia_tf import errors
from nexperia_tf.data import archives


@pytest.fixture
def archive(tmp_path):
    def write(**members: bytes):
        path = tmp_path / "model.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(name, content)
        return path

    return write


def test_sizes_are_those_of_the_members(archive):
    path = archive(config=b"abc", weights=b"\0" * 1000)
    assert archives.check(path) == {"config": 3, "weights": 1000}


def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused(archive):
    path = archive(weights=b"\0" * (archives.SMALL + 1))
    with pytest.raises(errors.BadInput, match=r"would unpack to 67,108,865"):
        archives.check(path)


def test_a_small_file_may_pack_well(archive):
    archives.check(archive(weights=b"\0" * archives.SMALL))


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "C:\\x", "a/../../b"])
def test_a_member_that_leaves_its_folder_is_refused(archive, name):
    with pytest.raises(errors.BadInput, match="not unpacked"):
        archives.check(archive(**{name: b"x"}))


def test_all_named_members_and_no_others_are_asked_for(archive):
    path = archive(config=b"a", weights=b"b")
    archives.check(path, names=["config", "weights"])
    with pytest.raises(errors.BadInput, match="holds 'weights'"):
        archives.check(path, names=["config"])
    with pytest.raises(errors.BadInput, match="holds no bias; it is damaged"):
        archives.check(path, names=["config", "weights", "bias"])


def test_one_member_twice_is_refused(tmp_path):
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("weights", b"a")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("weights", b"b")
    with pytest.raises(errors.BadInput, match="one member twice"):
        archives.check(path)


def test_what_is_no_zip_file_is_said_in_one_line(tmp_path):
    path = tmp_path / "model.keras"
    with pytest.raises(errors.BadInput, match="no such file"):
        archives.check(path)
    path.write_bytes(b"PK\3\4 and no more")
    with pytest.raises(errors.BadInput, match="is no zip file"):
        archives.check(path)
