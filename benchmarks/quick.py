"""What `make bench` runs: a small version of each speed claim, in five minutes.

Two cores and the package are enough. Peers that are not installed are named, with what
brings them; the claims themselves are measured by the scripts that this one calls, with
more pictures and longer (`benchmarks/RESULTS.md`).
"""

import importlib.util
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
MISSING = {  # module of a peer: what is not compared without it
    "torch": "timm's training step and PyTorch's DataLoader "
    "(pip install torch timm; train_step.py and pipeline.py --torch-python)",
    "openvino": "OpenVINO's inference (pip install openvino; inference.py)",
    "imagededup": "imagededup's search for copies "
    "(pip install imagededup; dedupe.py --peer-python)",
}
NETWORK = ("--backbone", "resnext26_32x4d", "--size", "96")


def main() -> None:
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        raw = pathlib.Path(place, "raw")
        run("-m", "nexperia_tf", "sample", raw, "--devices", "1000")
        for title, script, *words in (
            (
                "A training step, beside Keras' own grouped convolution",
                "train_step.py",
                *(*NETWORK, "--batch", "8", "--rounds", "3", "--stock"),
            ),
            (
                "Pictures to batches, beside Keras' own pipeline",
                "pipeline.py",
                *(
                    "--devices",
                    "200",
                    "--seconds",
                    "2",
                    "--rounds",
                    "1",
                    "--steps",
                    "5",
                ),
            ),
            ("Preparing: copies found and planted", "dedupe.py", raw, "--sizes", "800"),
            (
                "From the command to its first step",
                "first_step.py",
                *("--rounds", "1", "--devices", "100"),
            ),
        ):
            print(f"\n{title}", flush=True)
            run(HERE / script, *words)
    print(f"\n{time.monotonic() - start:.0f} s in all. Not compared here:")
    for module, what in MISSING.items():
        there = importlib.util.find_spec(module) is not None
        print(f"  {what}{' - it is installed' if there else ''}")


def run(*words) -> None:
    """Runs Python with these words; a failure ends this process, too."""
    subprocess.run([sys.executable, *map(str, words)], check=True)


if __name__ == "__main__":
    main()
