"""Small files that promise or pack much: what may be used of memory, held by a limit.

Each check runs in a process of its own, which may get no more than `mib` MiB beyond
what its imports took.
"""

import inspect
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("resource", reason="Windows has no such limits")


def _within(mib: int, check, *arguments: str) -> str:
    """What a function prints in a process that gets `mib` MiB more after its imports.

    What stands before the line `# limited` is not counted.
    """
    body = textwrap.dedent("".join(inspect.getsourcelines(check)[0][1:]))
    imports, _, rest = body.partition("# limited\n")
    limit = f"""
import resource
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[0])
most = pages * resource.getpagesize() + {mib} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", imports + limit + rest, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


linux = pytest.mark.skipif(
    not pathlib.Path("/proc/self/statm").is_file(),
    reason="only Linux says what is used",
)


def _a_long_strip():
    import cv2
    import numpy as np
    from isal import isal_zlib  # noqa: F401

    from nexperia_tf import preprocess

    # limited
    content = cv2.imencode(".png", np.full((10, 40_000), 200, np.uint8))[1].tobytes()
    (boxed,) = preprocess.batch([content], 96, 1)
    print(len(content) < 1000, (boxed == 200).sum())


def _a_png_with_surplus():
    import zlib

    import cv2
    import numpy as np
    from isal import isal_zlib  # noqa: F401

    from nexperia_tf import preprocess

    # limited
    content = cv2.imencode(".png", np.full((20, 30), 200, np.uint8))[1].tobytes()
    start = content.index(b"IDAT") - 4
    size = int.from_bytes(content[start : start + 4])
    rows = zlib.decompress(content[start + 8 : start + 8 + size])
    packing = zlib.compressobj()
    packed = packing.compress(rows)
    for _ in range(300):
        packed += packing.compress(bytes(1_000_000))
    chunk = b"IDAT" + packed + packing.flush()
    chunk = (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
    surplus = content[:start] + chunk + content[start + 12 + size :]
    (boxed,) = preprocess.batch([surplus], 30, 1)
    print(len(surplus) < 500_000, (boxed == 200).sum())


@linux
@pytest.mark.parametrize(
    ("check", "shown"), [(_a_long_strip, "True 96"), (_a_png_with_surplus, "True 600")]
)
def test_training_reads_what_packs_much_in_128_mib(check, shown):
    assert _within(128, check) == shown
