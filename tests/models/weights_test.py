import hashlib

import huggingface_hub
import pytest


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's cache, with one file for whatever is asked."""
    asked = []

    def download(repository, name):
        asked.append(repository)
        (tmp_path / name).write_bytes(b"weights")
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_weights_are_copied_and_named_by_their_hash(run_command, hub, tmp_path, capsys):
    out = tmp_path / "there.safetensors"
    assert run_command("weights", "resnext", "--fixed", "--out", out) == 0
    assert hub == ["timm/resnext50_32x4d.tv_in1k"]
    assert out.read_bytes() == b"weights"
    digest = hashlib.sha256(b"weights").hexdigest()
    assert capsys.readouterr().out == f"{out}: SHA-256 {digest}\n"
    assert run_command("weights", "resnext", "--out", out) == 2  # it is there


def test_a_backbone_without_published_weights_is_refused(run_command, hub, capsys):
    assert run_command("weights", "resnext26_32x4d") == 2
    assert "nothing is published for resnext26_32x4d" in capsys.readouterr().err
    assert run_command("weights", "resnext51") == 2
    assert not hub
