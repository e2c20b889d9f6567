import json

from nexperia_tf.training import command as train


def test_a_named_experiment_is_the_default_and_flags_win():
    given = train.defaults(["--config", "demo", "--epochs", "3"])
    assert (given.network.backbone, given.config) == ("resnext26_32x4d", "demo")
    assert train.defaults(["--config=demo"]) == given


def test_a_recipe_beside_a_config_decides_what_a_recipe_decides():
    plain = train.defaults(["--config", "elpv_drawn"])
    standard = train.defaults(["--config", "elpv_drawn", "--recipe", "standard"])
    assert standard.drawn.drawn is None and standard.optimisation.epochs is None
    assert standard.network.backbone == "auto" and standard.run.monitor == "auto"
    assert standard.run.deterministic and standard.drawn.drawn_only  # as they were
    assert train.defaults(["--config=elpv_drawn", "--recipe=plain"]) == plain
    searched = train.defaults(["--config", "elpv_drawn", "--recipe", "search"])
    assert searched.drawn.drawn is None and searched.recipe.recipe == "search"


def test_resume_takes_up_the_config_of_its_run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"schema": 1, "epochs": 7}))
    assert train.defaults(["--resume", "--out", str(tmp_path)]).optimisation.epochs == 7
    assert train.defaults([f"--out={tmp_path}", "--resume"]).optimisation.epochs == 7
    assert train.defaults(["--out", str(tmp_path)]).optimisation.epochs is None
