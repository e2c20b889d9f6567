"""What a wheel takes along beside the code."""

import configparser
import fnmatch
import pathlib

ROOT = pathlib.Path(__file__).parents[1]


def test_every_file_beside_the_code_matches_a_pattern_of_setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options.package_data"]["*"].replace(",", " ").split()
    files = [p for p in (ROOT / "nexperia_tf").rglob("*") if p.is_file()]
    data = [p for p in files if p.suffix not in (".py", ".pyc")]
    assert {p.suffix for p in data} >= {".html", ".css", ".js"}
    for path in data:
        package = next(f for f in path.parents if (f / "__init__.py").is_file())
        inside = path.relative_to(package).as_posix()
        assert any(fnmatch.fnmatch(inside, pattern) for pattern in listed), path
