import dataclasses

from nexperia_tf import bounds, configs
from nexperia_tf.configs import checks, groups
from nexperia_tf.data.input import changes
from nexperia_tf.data.raw import layouts


def test_no_field_stands_in_two_groups():
    fields = [
        field.name
        for group in dataclasses.fields(configs.Config)
        for field in dataclasses.fields(bounds.declared(configs.Config)[group.name])
    ]
    assert len(set(fields)) == len(fields)


def test_names_that_stand_in_two_places_are_the_same():
    kind = bounds.declared(groups.Pictures)["augment"]
    assert set(bounds.choices_of(kind)) == set(changes.AUGMENTS)
    assert checks.LAYOUTS == layouts.NAMES
