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


_SAYS_ITS_PEAK = """
import sys
from nexperia_tf import cli
try:
    cli.main(sys.argv[1:])
finally:
    with open("/proc/self/status") as file:
        print(next(line for line in file if line.startswith("VmHWM")).split()[1])
"""


def _draw_large(raw: pathlib.Path) -> None:
    """Three parts of 10 megapixels; of one a JPEG, of another a shifted copy."""
    import cv2
    import numpy as np

    height, width = 2600, 3900
    for seed in range(3):
        noise = np.random.default_rng(seed)
        coarse = noise.uniform(50, 170, (17, 26)).astype(np.float32)
        part = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        fine = noise.normal(0, 40, (height, width)).astype(np.float32)
        part += cv2.GaussianBlur(fine, (0, 0), 1.5) + noise.normal(0, 2.5, part.shape)
        pixels = np.clip(np.rint(part), 0, 255).astype(np.uint8)
        kind = raw / ("defect" if seed == 2 else "good")
        kind.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(kind / f"{seed}.png"), pixels)
        if seed == 0:
            quality = [cv2.IMWRITE_JPEG_QUALITY, 92]
            cv2.imwrite(str(kind / "saved.jpg"), pixels, quality)
        if seed == 1:
            cv2.imwrite(str(kind / "shifted.png"), np.roll(pixels, (7, -11), (0, 1)))


@linux
@pytest.mark.slow
def test_copies_among_pictures_of_10_megapixels_are_found_in_1100_mib(tmp_path):
    from nexperia_tf.data import manifest

    _draw_large(tmp_path / "raw")
    words = ("prepare", tmp_path / "raw", "--out", tmp_path / "out", "--workers", "1")
    done = subprocess.run(
        [sys.executable, "-c", _SAYS_ITS_PEAK, *map(str, words), "--fresh"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = manifest.read(tmp_path / "out" / "manifest.csv")
    dropped = {row.path: row.duplicate_of for row in rows if row.dropped_because}
    assert dropped.pop("good/saved.jpg") == "good/0"
    (shifted,) = dropped.items()  # the one or the other
    assert set(shifted) in (
        {"good/1.png", "good/shifted"},
        {"good/shifted.png", "good/1"},
    )
    assert int(done.stdout.split()[-1]) < 1100 * 1024  # KiB
