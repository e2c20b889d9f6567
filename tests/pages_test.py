"""README and docs/: links lead somewhere, commands exist, README's first path runs."""

import ast
import contextlib
import functools
import importlib
import io
import pathlib
import re
import shlex
import textwrap

import pytest
from PIL import Image

import nexperia_tf
from nexperia_tf import api, cli, command
from nexperia_tf.sample import command as sample

ROOT = pathlib.Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
}
COMMAND = re.compile(r"^ {4,}nexperia (.+)$", re.MULTILINE)
FLAG = re.compile(r"--[a-z][a-z-]*")
TYPED = [(page, line) for page, text in PAGES.items() for line in COMMAND.findall(text)]


def _anchors(text: str) -> set[str]:
    """Names that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def _arguments(name: str) -> type:
    return importlib.import_module(cli.COMMANDS[name][0]).Arguments


@functools.cache
def _flags(name: str) -> set[str]:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
        command.parse(_arguments(name), ["--help"])
    return set(FLAG.findall(shown.getvalue()))


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page):
    text = " ".join(PAGES[page].split())  # a link may run over the end of a line
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.is_file(), link
        if anchor:
            assert anchor in _anchors(path.read_text("utf-8")), link


@pytest.mark.parametrize(("page", "line"), TYPED)
def test_documented_commands_are_understood(page, line):
    name, *words = shlex.split(line, comments=True)
    if name != "--help":
        command.parse(_arguments(name), words)


def test_flags_named_in_sentences_exist():
    known = {"--help", "--version"}.union(*map(_flags, cli.COMMANDS))
    for page in ("README.md", *(name for name in PAGES if name.startswith("docs/"))):
        sentences = re.sub(r"^ {4}.*$", "", PAGES[page], flags=re.MULTILINE)
        for words in re.findall(r"`([^`]*)`", sentences):
            assert set(FLAG.findall(words)) <= known, (page, words)


@pytest.mark.parametrize("page", ["README.md", "docs/training.md"])
def test_python_in_the_pages_names_what_there_is(page):
    code = re.search(r"^ {4}import nexperia_tf\n(\n| {4}.*\n)+", PAGES[page], re.M)
    for call in ast.walk(ast.parse(textwrap.dedent(code.group()))):
        if not isinstance(call, ast.Call):
            continue
        name, owner = call.func.attr, getattr(call.func.value, "id", "")
        assert hasattr(nexperia_tf if owner == "nexperia_tf" else api.Model, name)
        if name in ("train", "evaluate"):
            for setting in call.keywords:
                assert f"--{setting.arg.replace('_', '-')}" in _flags(name)


def test_every_command_has_its_place_in_the_pages():
    text = "".join(PAGES.values())
    assert [name for name in cli.COMMANDS if f"nexperia {name} " not in text] == []


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """The folders that README asks an inspection engineer for, and one to score."""
    monkeypatch.chdir(tmp_path)
    for folder, kind in {"good": None, "crack": "scratch", "dirt": "chipping"}.items():
        (tmp_path / "PATH" / folder).mkdir(parents=True)
        for index in range(60 if kind is None else 20):
            pixels, _ = sample.device(len(folder), index, kind)
            picture = Image.fromarray(pixels)
            picture.save(tmp_path / "PATH" / folder / f"{index}.png")
    (tmp_path / "FOLDER").mkdir()
    picture.save(tmp_path / "FOLDER" / "new.png")
    (tmp_path / "FOLDER" / "broken.png").write_bytes(b"no picture")
    return tmp_path


@pytest.mark.slow
def test_an_inspection_engineer_comes_from_pictures_to_scores(pictures, run_command):
    """README's commands as they stand, but for small pictures and an epoch a stage."""
    section = PAGES["README.md"].split("\n## ")[2]
    assert section.startswith("You inspect devices")
    for line in COMMAND.findall(section):
        words = shlex.split(line)
        if words[0] == "train":
            words += ["--image-size", "32", "--batch-size", "8"]
            words += ["--first-epochs", "1", "--epochs", "1", "--epoch-steps", "0"]
        # A guarantee is refused to so few defects, in one line.
        assert run_command(*words) == (2 if "--max-escape" in words else 0), line
    assert (pictures / "prepared" / "report.html").is_file()
    assert len(list(pictures.glob("runs/mine-*/report.html"))) == 1
    header, *rows = (pictures / "scores.csv").read_text().splitlines()
    assert header == "path,score,label,threshold,problem"
    assert len(rows) == 2
