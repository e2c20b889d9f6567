"""Windows of pictures that are as before, that changed, and that say too little."""

import dataclasses

import numpy as np
import pytest

from nexperia_tf.drift import judging, measure, page, pictures, results, words

NAMES = measure.names(1)


def drawn(rng, lots, *, each=30, machines=3, trained_on=False, prefix="k", defects=0.1):
    """Pictures of so many lots, each lot and machine with a look of its own."""
    count, numbers = lots * each, len(NAMES)
    lot = np.repeat(np.arange(lots), each)
    machine = lot % machines
    look = machine[:, None] * np.linspace(0.1, 0.3, numbers)
    look = look + rng.normal(0, 0.02, (lots, numbers))[lot]
    look[:, 0] += 4
    is_defect = rng.random(count) < defects
    look = look + is_defect[:, None] * 3.0  # defects look otherwise
    return pictures.Pictures(
        numbers=(look + rng.normal(0, 0.05, (count, numbers))).astype(np.float32),
        score=np.where(is_defect, 0.9, rng.beta(1, 20, count)).astype(np.float32),
        unfamiliar=rng.lognormal(-1, 0.2, count).astype(np.float32),
        lot=np.array([f"{prefix}{number}" for number in lot]),
        machine=machine.astype(str),
        trained_on=np.full(count, trained_on),
    )


@pytest.fixture(scope="module")
def known():
    rng = np.random.default_rng(0)
    parts = drawn(rng, 24, trained_on=True), drawn(rng, 12, prefix="v")
    return pictures.Pictures(
        **{
            name: np.concatenate([vars(part)[name] for part in parts])
            for name in vars(parts[0])
        }
    )


def judged(known, new, **changes):
    return judging.judge(known, new, threshold=0.5, channels=1, **changes)


def with_numbers(window, **shifts):
    numbers = window.numbers.copy()
    for name, shift in shifts.items():
        numbers[:, NAMES.index(name.replace("_", " "))] += shift
    return dataclasses.replace(window, numbers=numbers)


@pytest.fixture
def window():
    return drawn(np.random.default_rng(1), 8, prefix="w")


def test_pictures_as_before_are_steady_and_it_says_what_would_be_seen(known, window):
    found = judged(known, window)
    assert (found.state, found.lots, found.known) == ("steady", 8, 36)
    assert found.machines and not found.changes
    said = words.said(found)
    assert said.startswith("No change found: 240 pictures of 8 lots beside 36 lots")
    assert "brightness by" in said


def test_a_change_is_found_in_all_lots_and_said_in_words(known, window):
    found = judged(known, with_numbers(window, brightness=0.15))
    assert found.state == "changed" and found.changes[0].name == "brightness"
    assert (found.changes[0].lots, found.changes[0].of) == (8, 8)
    assert words.said(found).startswith("Changed: pictures are 1")
    assert "brighter than when the model was trained, in 8 of 8 lots (p " in words.said(
        found
    )


def test_a_smudge_is_said_with_its_place(known, window):
    smudged = with_numbers(window, fine_detail_3_0=-0.4)
    found = judged(known, smudged)
    assert found.changes[0].place == (3, 0)
    assert "the picture's lower left is blurred" in words.said(found)
    assert "lens" in words.check(found.changes[0])
    payload = results.as_json(found, than="before")
    assert payload["changes"][0]["place"] == [3, 0]


def test_more_defects_are_no_other_camera_but_more_called_defect(known):
    found = judged(known, drawn(np.random.default_rng(2), 8, defects=0.4, prefix="w"))
    assert [change.name for change in found.changes] == ["called defect"]
    assert "are called defect" in words.said(found)


def test_fewer_defects_than_the_training_had_are_no_change(known):
    found = judged(known, drawn(np.random.default_rng(3), 8, defects=0.0, prefix="w"))
    assert found.state == "steady"


def test_a_window_that_is_all_called_defect_is_still_looked_at(known, window):
    ruined = dataclasses.replace(
        with_numbers(window, brightness=0.5), score=np.ones_like(window.score)
    )
    found = judged(known, ruined)
    assert {"called defect", "brightness"} <= {each.name for each in found.changes}


def test_two_lots_are_too_few_and_it_says_how_many_are_not(known):
    few = drawn(np.random.default_rng(4), 1, each=250, prefix="w")
    found = judged(known, with_numbers(few, brightness=3.0))
    assert found.state == "too_little" and 2 <= found.lots_needed <= 4
    assert "Too little to tell: 1 lot beside" in words.said(found)


def test_pictures_whose_lots_nothing_tells_are_too_little(known, window):
    nameless = dataclasses.replace(window, lot=np.full(len(window), ""))
    found = judged(known, nameless)
    assert (found.state, found.lots, found.unlotted) == ("too_little", 0, len(window))
    assert "nothing tells their lots" in words.said(found)


def test_pictures_that_were_taken_alone_count_one_by_one(known, window):
    nameless = dataclasses.replace(window, lot=np.full(len(window), ""))
    found = judged(known, with_numbers(nameless, brightness=0.3), each_alone=True)
    assert found.lots == len(window) and found.changes[0].name == "brightness"


def test_unknown_machines_are_compared_with_all_others_or_left_out(known, window):
    other = dataclasses.replace(window, machine=np.full(len(window), "99"))
    assert not judged(known, other).machines
    assert judged(known, other).lots == 8
    some = dataclasses.replace(
        window, machine=np.where(window.lot == "w0", "99", window.machine)
    )
    assert judged(known, some).left_out == 1
    assert judged(known, some).numbers[0].of == 7


def test_a_network_that_answers_otherwise_is_told_by_held_out_lots_alone(known, window):
    scores = np.where(
        known.trained_on, known.score / 50, known.score
    )  # learned by heart
    overfitted = dataclasses.replace(known, score=scores.astype(np.float32))
    assert judged(overfitted, window).state == "steady"
    higher = dataclasses.replace(window, score=np.minimum(window.score * 3, 0.49))
    found = judged(overfitted, higher)
    assert [change.name for change in found.changes] == ["score"]


def test_models_that_do_not_say_what_is_unfamiliar_are_judged_by_the_rest(
    known, window
):
    blind = dataclasses.replace(known, unfamiliar=np.full(len(known), np.nan))
    found = judged(blind, window)
    assert "unfamiliar" not in {each.name for each in found.numbers}
    assert found.state == "steady"


def test_a_lot_of_two_machines_is_two_and_one_of_four_pictures_none(window):
    assert len(list(window.lots())) == 8
    split = dataclasses.replace(
        window, machine=np.where(np.arange(len(window)) % 30 < 4, "9", window.machine)
    )
    assert len(list(split.lots())) == 8
    assert len(list(split.lots(fewest=4))) == 16


def test_the_page_shows_changes_places_and_pictures(known, window, tmp_path):
    found = judged(known, with_numbers(window, fine_detail_3_0=-0.4))
    canvas = np.random.default_rng(0).integers(0, 256, (48, 64, 1), np.uint8)
    page.write(
        tmp_path / "drift.html",
        found,
        than="before",
        title="Drift of <shift>",
        before=[canvas],
        now=[("a.png", canvas)],
    )
    html = (tmp_path / "drift.html").read_text("utf-8")
    assert "Drift of &lt;shift&gt;" in html and html.count("data:image/jpeg") == 2
    assert "lower left is blurred" in html
    assert html.count('<td class="certain"') == len(
        [each for each in found.changes if each.place]
    )
    assert "top:75.0%;left:0.0%" in html


def test_numbers_of_all_names_have_words():
    for name in (*measure.names(3), *judging.NETWORK):
        for now in (0.2, 0.8):
            change = judging.Change(name, 0.5, now, 0.001, 8, 8, 0.1)
            assert "{" not in words.of_change(change, than="before")
            assert words.check(change)
