"""The number format that a training computes in, and why it is that one."""

import dataclasses
import pathlib

import tensorflow as tf

from nexperia_tf import errors
from nexperia_tf.library_internals import tensorflow_internals

AUTO = "auto"
FLOAT32, FLOAT16, BFLOAT16 = "float32", "mixed_float16", "mixed_bfloat16"
NAMES = (FLOAT32, FLOAT16, BFLOAT16)  # of Keras' dtype policies
# Instructions by which bfloat16 is some ten times as fast as float32, and those by
# which it is up to 1.9 times, too little to be taken unasked; benchmarks/RESULTS.md.
FAST, FASTER = "amx_bf16", "avx512_bf16"
CPUINFO = pathlib.Path("/proc/cpuinfo")


@dataclasses.dataclass(frozen=True)
class Precision:
    """A number format with its reason.

    Attributes:
        policy: Keras' dtype policy, one of NAMES.
        reason: why it is that one.
    """

    policy: str
    reason: str

    def __str__(self) -> str:
        return f"precision {self.policy}: {self.reason}"


def decided(asked: str) -> Precision:
    """What `--precision` comes to on this machine.

    Args:
        asked: one of NAMES, or auto: float16 on a GPU; on a CPU bfloat16 where its
            processor has the instructions of FAST, else float32.

    Raises:
        errors.BadInput: mixed_float16 is asked of a CPU.
    """
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if asked == FLOAT16 and not has_gpu:
        raise errors.BadInput(
            "--precision mixed_float16: there is no GPU, and no CPU computes float16 "
            "faster than float32; pass --precision auto, mixed_bfloat16 or float32."
        )
    of_machine = Precision(FLOAT16, "there is a GPU") if has_gpu else _on_a_cpu()
    if asked in (AUTO, of_machine.policy):
        return of_machine
    return Precision(asked, "asked for")


def _on_a_cpu() -> Precision:
    known = processor_flags()
    if not known:
        return Precision(FLOAT32, "what this processor can do is not known")
    if FAST not in known:
        reason = f"this processor has no {FAST}"
        if FASTER in known:
            reason += f"; by its {FASTER} {BFLOAT16} is faster in large networks"
        return Precision(FLOAT32, reason)
    if not tensorflow_internals.computes_with_onednn(tf.bfloat16):
        return Precision(FLOAT32, "TensorFlow computes without oneDNN here")
    return Precision(BFLOAT16, f"this processor has {FAST}")


def processor_flags(cpuinfo: pathlib.Path = CPUINFO) -> frozenset[str]:
    """What the first processor can do, in the words of Linux; empty elsewhere."""
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    listed = (line.partition(":")[2] for line in lines if line.startswith("flags"))
    return frozenset(next(listed, "").split())
