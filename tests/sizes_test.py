import pytest

from nexperia_tf import command, configs, errors, sizes
from nexperia_tf.training import command as train

WRONG = ["320x", "0x32", "8x9000", "31", "4097", "1.5", "-3", "32x32x3", "", "x", "a"]


@pytest.mark.parametrize("word", WRONG)
def test_what_is_no_size_is_one_line_and_exit_2(word, run_command, tmp_path, capsys):
    argv = ("--image-size", word, "--out", tmp_path / "run")
    assert run_command("train", *argv) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"--image-size {word}: auto, one side or HEIGHTxWIDTH in [32, 4096]" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("word", "held", "size"),
    [
        ("64", 64, (64, 64)),
        ("320x128", "320x128", (320, 128)),
        ("32x4096", "32x4096", (32, 4096)),
    ],
)
def test_a_size_is_written_as_it_is_read(word, held, size):
    parsed = command.parse(train.Arguments, ["--image-size", word])
    assert parsed.pictures.image_size == held
    assert sizes.Size.of(held) == size and sizes.Size.of(held).plain == held
    stored = configs.to_json(configs.of(image_size=held), {})
    assert stored["pictures"]["image_size"] == held
    assert configs.from_json(stored, where="").pictures.image_size == held


def test_a_square_in_two_numbers_is_one_number():
    assert sizes.Size.of("64x64").plain == 64


@pytest.mark.parametrize("value", [True, None, 1.5, [32, 32], "auto", "9" * 5000])
def test_nothing_else_is_a_size(value):
    assert sizes.problem(value)
    with pytest.raises(errors.BadInput, match=r"image_size .*in \[32, 4096\]"):
        sizes.Size.of(value)
