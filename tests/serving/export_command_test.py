import pytest


@pytest.mark.parametrize("run", ["", "nowhere", "no_run"])
def test_what_is_no_run_is_refused_and_left_as_it_was(
    run, tmp_path, monkeypatch, run_command, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no_run").mkdir()
    assert run_command("export", "--run", run) == 2
    shown = capsys.readouterr().err.strip()
    assert shown.startswith("error: ") and "\n" not in shown
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["no_run"]
