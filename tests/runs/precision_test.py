import pathlib

import pytest
import tensorflow as tf

from nexperia_tf import errors
from nexperia_tf.library_internals import tensorflow_internals
from nexperia_tf.runs import precision

flags_in = precision.processor_flags  # below, something else stands in its place


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Pretends a machine: what its /proc/cpuinfo says, its GPUs, its TensorFlow."""

    def pretend(flags: str | None, *, gpus: int = 0, onednn: bool = True) -> None:
        path = tmp_path / "cpuinfo"
        if flags is not None:
            one = f"processor\t: 0\nmodel name\t: Some\nflags\t\t: {flags}\n\n"
            path.write_text(one * 2)
        known = flags_in(path)
        monkeypatch.setattr(precision, "processor_flags", lambda: known)
        monkeypatch.setattr(
            tf.config, "list_physical_devices", lambda kind=None: ["GPU"] * gpus
        )
        monkeypatch.setattr(
            tensorflow_internals, "computes_with_onednn", lambda *_: onednn
        )

    return pretend


@pytest.mark.parametrize(
    ("flags", "knobs", "said"),
    [
        ("fpu avx512_bf16 amx_bf16", {}, "mixed_bfloat16: this processor has amx_bf16"),
        (
            "fpu avx512_bf16",
            {},
            "float32: this processor has no amx_bf16; by its avx512_bf16",
        ),
        ("fpu avx512f amx_bf16x", {}, "float32: this processor has no amx_bf16"),
        ("amx_bf16", {"onednn": False}, "float32: TensorFlow computes without oneDNN"),
        (None, {}, "float32: what this processor can do is not known"),
        ("", {}, "float32: what this processor can do is not known"),
        ("amx_bf16", {"gpus": 2}, "mixed_float16: there is a GPU"),
    ],
)
def test_auto_takes_what_is_fast_here_and_says_why(machine, flags, knobs, said):
    machine(flags, **knobs)
    assert str(precision.decided("auto")).startswith(f"precision {said}")


@pytest.mark.parametrize("asked", ["float32", "mixed_bfloat16"])
def test_what_is_asked_for_is_taken_anywhere(machine, asked):
    machine("fpu avx512f")
    assert precision.decided(asked).policy == asked
    assert precision.decided("mixed_bfloat16").reason == "asked for"


def test_float16_is_refused_without_a_gpu(machine):
    machine("amx_bf16")
    with pytest.raises(errors.BadInput, match="there is no GPU.* pass --precision"):
        precision.decided("mixed_float16")
    machine("amx_bf16", gpus=1)
    assert precision.decided("mixed_float16").reason == "there is a GPU"


@pytest.mark.skipif(not precision.CPUINFO.is_file(), reason="Linux alone has it")
def test_the_flags_are_those_of_this_processor():
    flags = precision.processor_flags()
    if not flags:
        pytest.skip("this processor lists no flags, as ARM's do not")
    text = precision.CPUINFO.read_text()
    assert all(f" {flag} " in text.replace("\n", " ") for flag in flags)
    assert precision.processor_flags(pathlib.Path("/no/such/file")) == frozenset()
