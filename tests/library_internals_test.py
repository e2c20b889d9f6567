"""Names that libraries do not promise: in one module each, one folder."""

import ast
import pathlib

import nexperia_tf

PACKAGE = pathlib.Path(nexperia_tf.__file__).parent
PRIVATE_MODULES = (
    "keras.src",
    "tensorflow.core",
    "tensorflow.python",
    "tensorflow_datasets.core",
    "tensorflow_datasets.public_api",
)


def parsed() -> dict[pathlib.Path, ast.Module]:
    files = sorted(PACKAGE.rglob("*.py"))
    return {path: ast.parse(path.read_text("utf-8")) for path in files}


def outside(tree: dict) -> dict[pathlib.Path, ast.Module]:
    return {p: t for p, t in tree.items() if p.parent.name != "library_internals"}


def imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_only_the_internals_import_what_is_private():
    tree = parsed()
    inside = set().union(
        *(imported(t) for p, t in tree.items() if p not in outside(tree))
    )
    assert any(name.startswith("tensorflow.python.") for name in inside)  # it is seen
    for path, module in outside(tree).items():
        found = [n for n in imported(module) if n.startswith(PRIVATE_MODULES)]
        assert not found, f"{path}: {found} belong into library_internals"


def test_every_private_attribute_is_one_of_ours():
    tree = outside(parsed())
    nodes = [node for module in tree.values() for node in ast.walk(module)]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    ours = {n.attr for n in attributes if isinstance(n.ctx, ast.Store)}
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    ours |= {n.name for n in nodes if isinstance(n, named)}
    ours |= {n.id for n in nodes if isinstance(n, ast.Name)}
    private = {n.attr for n in attributes if n.attr.startswith("_")}
    documented = {"_exit", "_asdict"}  # of os and of named tuples
    theirs = {n for n in private - ours - documented if not n.startswith("__")}
    assert not theirs, f"{theirs} belong into library_internals"
