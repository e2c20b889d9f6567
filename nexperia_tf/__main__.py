"""The program `nexperia`, in a checkout `python -m nexperia_tf COMMAND`."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command that the words of the process name, and exits."""
    # Until a command takes signals itself, Ctrl-C ends it as SIGTERM does: at once, and
    # without Python's traceback of some import. What is ignored, as under nohup, stays.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from nexperia_tf import cli

    cli.main()


if __name__ == "__main__":
    main()
