"""Names of device pictures, those of the sample among them."""

import numpy as np
import pytest

from nexperia_tf.data.raw import file_names
from nexperia_tf.sample import plan


@pytest.fixture(scope="module")
def planned():
    return plan.plan(400, seed=3)


def test_the_lot_and_machine_of_every_drawn_name_are_found(planned):
    by_pattern = {}
    for file in planned.files:
        fields, lot = file_names.parse(file.name), planned.lots[file.lot]
        by_pattern.setdefault(fields["pattern"], []).append(fields)
        assert fields.get("lot", lot.name) == lot.name
        assert int(fields.get("machine", lot.machine)) == lot.machine
    counts = {name: len(fields) for name, fields in by_pattern.items()}
    assert set(counts) == {"pass", "defect", "short", "no_lot"}
    assert counts["pass"] > counts["defect"] > counts["short"]
    assert all("lot" in fields for fields in by_pattern["pass"])
    assert not any("lot" in fields for fields in by_pattern["no_lot"])


@pytest.mark.parametrize("copy", [" - Copy", " - Copy (2)"])
def test_a_copied_file_keeps_its_fields(copy):
    name = "WEE939001B0A_14-APG_ITIS_H20_1_374_4"
    assert file_names.parse(name + copy) == file_names.parse(name)


def test_one_letter_more_or_less_is_a_foreign_name():
    name = "WEE939001B0A_14-APG_ITIS_H20_1_374_4"
    for place in np.flatnonzero([letter in "_-" for letter in name]):
        assert file_names.parse(name[:place] + name[place + 1 :])["pattern"] == "other"
    assert file_names.parse(f"x{name}") == {"pattern": "other"}
