"""Runs one line of TensorFlow's saved_model_cli in several folders, in one process.

    python command_line.py LINE FOLDER...

Starting TensorFlow takes seconds, so its program is called as the console script calls
it, once a folder. Prints what it said in each, as a JSON list of texts.
"""

import contextlib
import importlib.metadata
import io
import json
import os
import shlex
import sys


def said(main, line, folder):
    os.chdir(folder)
    sys.argv = shlex.split(line)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        try:
            main()
        except SystemExit as stop:
            assert not stop.code, (folder, stop.code)
    return shown.getvalue()


if __name__ == "__main__":
    _, line, *folders = sys.argv
    (script,) = importlib.metadata.entry_points(
        group="console_scripts", name=shlex.split(line)[0]
    )
    main = script.load()
    print(json.dumps([said(main, line, folder) for folder in folders]))
    assert not [name for name in sys.modules if name.startswith("nexperia")]
