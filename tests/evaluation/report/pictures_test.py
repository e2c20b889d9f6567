from nexperia_tf.data.records import reading
from nexperia_tf.evaluation.report import pictures


def example(number, *, group="", lot=""):
    return reading.Example(f"d{number}", 1, "", group, lot, "", [])


def test_pointing_counts_lots_where_devices_share_them():
    alone = [example(n, group=f"d{n}") for n in range(4)]
    assert pictures.groups_of(alone) == {"groups": None, "word": "group"}
    lots = [example(n, group=f"L{n % 2}", lot=f"L{n % 2}") for n in range(4)]
    found = pictures.groups_of(lots)
    assert found["word"] == "lot" and list(found["groups"]) == ["L0", "L1", "L0", "L1"]
