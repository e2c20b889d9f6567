import ast
import pathlib

import nexperia_tf

PACKAGE = pathlib.Path(nexperia_tf.__file__).parent


def test_every_message_for_a_person_is_one_line():
    messages = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and "BadInput" in ast.unparse(node.func):
                texts = [n for n in ast.walk(node) if isinstance(n, ast.Constant)]
                messages += [(path, t.value) for t in texts if type(t.value) is str]
    assert len(messages) > 100
    assert not [(path, text) for path, text in messages if "\n" in text]
