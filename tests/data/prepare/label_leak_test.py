import random

from nexperia_tf.data import manifest
from nexperia_tf.data.prepare import label_leak


def _rows(name_of, count: int = 600) -> list[manifest.Row]:
    draw = random.Random(0)
    rows = []
    for i in range(count):
        label = "defect" if draw.random() < 0.2 else "good"
        name = name_of(draw, label, i)
        row = manifest.Row(name, f"{name}.bmp", label=label, width=275, height=267)
        row.group = name
        rows.append(row)
    return rows


def _same_form(draw, label, i):
    return f"WEP{i % 40:06}A1A_14-APG_ITIS_H20_1_{draw.randrange(900)}_4"


def _named_by_label(draw, label, i):
    if label == "good":
        return f"WEP{i % 40:06}A1A_14-5CW-ITISA20-1_{i}_4"
    return _same_form(draw, label, i)


def test_names_that_give_the_label_away_raise_the_warning():
    found = label_leak.probe(_rows(_named_by_label))
    assert found.auc > 0.99 and found.warns
    assert found.by_field["name form"] > 0.99
    assert next(iter(found.by_field.values())) == max(found.by_field.values())


def test_names_without_a_leak_raise_none():
    found = label_leak.probe(_rows(_same_form))
    assert 0.4 < found.auc < 0.6 and not found.warns


def test_lots_of_one_and_the_same_rate_are_no_leak():
    rows = _rows(_same_form)
    for i, row in enumerate(rows):
        row.label = "defect" if i % 5 == 0 else "good"
        row.lot = f"lot{i // 30}"
    found = label_leak.probe(rows)
    assert found.by_field["lot"] < 0.5 and not found.warns


def test_lots_of_one_label_are_found():
    rows = _rows(_same_form)
    for i, row in enumerate(rows):
        row.lot = f"{row.label}{i % 25}"
    assert label_leak.probe(rows).by_field["lot"] > 0.9


def test_foreign_names_are_told_apart_by_their_shape():
    rows = _rows(lambda draw, label, i: f"{'a' if label == 'good' else 'a-'}{i}")
    assert label_leak.probe(rows).by_field["name form"] > 0.99


def test_the_folder_is_not_looked_at():
    def by_class(draw, label, i):
        return f"{label}/{_same_form(draw, label, i)}"

    assert not label_leak.probe(_rows(by_class)).warns


def test_too_few_images_of_a_class_are_not_judged():
    found = label_leak.probe(_rows(_same_form, count=20))
    assert found.auc is None and not found.warns


def test_groups_that_are_no_lots_are_called_groups():
    rows = _rows(_same_form)
    for i, row in enumerate(rows):
        row.group = f"{row.label} module {i % 25}"
    found = label_leak.probe(rows)
    assert found.by_field["group"] > 0.9 and "lot" not in found.by_field


def _looking(shade: float, name: str = "brightness") -> list[manifest.Row]:
    draw = random.Random(1)
    rows = _rows(_same_form)
    for row in rows:
        row.brightness = row.contrast = row.sharpness = 100.0
        off = shade if row.label == "defect" else 0.0
        setattr(row, name, draw.gauss(100 + off, 10))
    return rows


def test_darkness_alone_is_named_with_its_auc():
    found = label_leak.probe(_looking(-30))
    (name, auc), *others = found.by_look.items()
    assert name == "darkness" and auc > 0.95 and not others
    assert not found.warns  # a look is no paperwork
    assert list(label_leak.probe(_looking(30)).by_look) == ["brightness"]
    assert list(label_leak.probe(_looking(-30, "sharpness")).by_look) == ["blur"]


def test_a_look_that_says_nothing_is_near_one_half():
    (auc,) = label_leak.probe(_looking(0)).by_look.values()
    assert 0.4 < auc < 0.6
