import pytest

from nexperia_tf import errors, labels


@pytest.mark.parametrize("text", ["defect", " Defect ", "DEFECT", "1"])
def test_defect_is_the_positive_class_however_it_is_written(text):
    assert labels.parse(text, where="a.csv:2") == labels.POSITIVE == 1


@pytest.mark.parametrize("text", ["good", "0"])
def test_good_is_zero(text):
    assert labels.parse(text, where="a.csv:2") == 0


@pytest.mark.parametrize("text", ["", "2", "-1", "true", "bad"])
def test_any_other_word_is_refused_with_its_place(text):
    with pytest.raises(errors.BadInput, match=f"a.csv:2: label '{text}' is unknown"):
        labels.parse(text, where="a.csv:2")
