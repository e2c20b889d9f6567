"""`nexperia COMMAND ...`: one table of commands, each imported when it is called."""

import difflib
import importlib
import pathlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from nexperia_tf import command, errors, version

# Each module has a dataclass `Arguments`, a function `main` and, where values may come
# from a file, a function `defaults`.
COMMANDS = {
    "sample": (
        "nexperia_tf.sample.command",
        "draw look-alike devices, to try everything on",
    ),
    "prepare": (
        "nexperia_tf.data.prepare.command",
        "clean, deduplicate and split a raw folder, and say why",
    ),
    "baseline": (
        "nexperia_tf.baseline.command",
        "what simple numbers reach without a network, in seconds",
    ),
    "audit": (
        "nexperia_tf.audit.command",
        "find what is labelled wrongly, and decide on it in a browser",
    ),
    "train": (
        "nexperia_tf.training.command",
        "train a classifier; writes a run folder",
    ),
    "evaluate": (
        "nexperia_tf.evaluation.command",
        "judge runs: report, comparison, safe threshold",
    ),
    "predict": ("nexperia_tf.serving.predict", "score a folder of pictures"),
    "repeat": (
        "nexperia_tf.evaluation.repeat",
        "how many verdicts flip when pictures change a little",
    ),
    "explain": (
        "nexperia_tf.evaluation.explain",
        "one page on one picture: verdict, map, look-alikes",
    ),
    "golden": (
        "nexperia_tf.promotion.golden_command",
        "keep pictures whose verdict must never change, check a model by them",
    ),
    "drift": (
        "nexperia_tf.evaluation.drift",
        "whether pictures have changed since training, and how",
    ),
    "promote": (
        "nexperia_tf.promotion.command",
        "publish a newer model if it is no worse, and record why",
    ),
    "rollback": (
        "nexperia_tf.promotion.rollback",
        "publish an older version again",
    ),
    "serve": (
        "nexperia_tf.server.command",
        "answer over REST and gRPC, watch a folder, keep every verdict",
    ),
    "history": (
        "nexperia_tf.server.history.command",
        "the verdicts of a server as a table",
    ),
    "export": (
        "nexperia_tf.serving.export_command",
        "write a run's SavedModel again",
    ),
    "ensemble": ("nexperia_tf.serving.ensemble", "several models as one SavedModel"),
    "features": ("nexperia_tf.study.features", "a network stage's output as a table"),
    "forest": ("nexperia_tf.study.forest", "a random forest on features"),
    "study": (
        "nexperia_tf.study.command",
        "train and compare what the study compared, as tables",
    ),
    "weights": ("nexperia_tf.models.weights", "fetch published ImageNet weights"),
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command that the first word names, and exits."""
    argv = list(sys.argv[1:] if argv is None else argv)
    prog = typed()
    with command.errors_in_one_line():
        if argv[:1] in (["--help"], ["-h"], ["--version"]):
            print(version.__version__ if "--version" in argv else listed(prog))
            sys.exit()
        name = _known(argv[0] if argv else "", prog)
    run(name, argv[1:], prog=f"{prog} {name}")


def run(
    name: str, argv: Sequence[str] | None = None, *, prog: str | None = None
) -> NoReturn:
    """Runs one command with the words behind its name, and exits.

    Args:
        name: a key of `COMMANDS`.
        argv: those of the process by default.
        prog: how the command was typed, for its help and errors.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    with command.errors_in_one_line(debug="--debug" in argv):
        module = importlib.import_module(COMMANDS[name][0])
        command.run(
            module.main,
            module.Arguments,
            argv=argv,
            prog=prog or f"nexperia {name}",
            defaults=getattr(module, "defaults", None),
        )


def typed() -> str:
    """How the program was called: `nexperia`, or from a checkout by Python."""
    if pathlib.PurePath(sys.argv[0]).parts[-2:] == ("nexperia_tf", "__main__.py"):
        return "python -m nexperia_tf"
    return "nexperia"


def listed(prog: str = "nexperia") -> str:
    """The help: every command with what it does."""
    width = max(map(len, COMMANDS))
    lines = (f"  {name:{width}}  {does}" for name, (_, does) in COMMANDS.items())
    return "\n".join(
        (
            f"usage: {prog} COMMAND ...",
            "",
            "Tells good semiconductor devices from defective ones by photographs.",
            "",
            *lines,
            "",
            f"{prog} COMMAND --help shows the flags of a command.",
        )
    )


def _known(name: str, prog: str) -> str:
    if name in COMMANDS:
        return name
    if not name:
        raise errors.BadInput(f"{prog}: name a command; {prog} --help lists them.")
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.0)
    raise errors.BadInput(
        f"{prog} {name}: no such command; did you mean {near[0]}? {prog} --help lists "
        "all."
    )
