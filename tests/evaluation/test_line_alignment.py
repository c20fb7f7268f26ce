"""Lines of known texts that were cut, joined, missed and made up."""

from hypothesis import given
from hypothesis import strategies as st

from text_recognizer.evaluation.line_alignment import align_lines

TRUTH = ["the cat sat on the mat", "a dog", "birds fly high"]


def test_lines_read_whole_are_not_faults_in_any_order():
    found = align_lines(TRUTH, ["birds fly hugh", "the cat sat on the nat", "a fog"])
    assert (found.truth, found.split, found.merged, found.lost, found.invented) == (3, (), (), (), ())
    assert found.links == {(0, 1), (1, 2), (2, 0)}


def test_line_read_in_two_is_split():
    found = align_lines(TRUTH, ["the cat sat", *TRUTH[1:], "on the mat"])
    assert (found.split, found.merged, found.lost, found.invented) == ((0,), (), (), ())


def test_two_lines_read_as_one_are_merged():
    found = align_lines(TRUTH, [TRUTH[0], "a fog birds fly hgh"])
    assert (found.split, found.merged, found.lost, found.invented) == ((), (1,), (), ())


def test_columns_read_across_are_both():
    found = align_lines(
        ["left one", "left two", "right six", "right ten"], ["left one right six", "left two right ten"]
    )
    assert (found.split, found.merged, found.lost) == ((), (0, 1), ())


def test_missing_and_made_up_lines():
    found = align_lines(TRUTH, [TRUTH[0], "qzx vvvvv", TRUTH[2], "qq"])
    assert (found.lost, found.invented) == ((1,), (1, 3))


def test_short_word_is_not_part_of_every_line_that_holds_its_letters():
    assert align_lines(["another matter altogether"], ["another matter altogether", "the", "a"]).invented == (1, 2)


def test_badly_read_line_is_neither_lost_nor_made_up():
    found = align_lines(["Raghubu was here", "and it goes on"], ["Rnqlivu urs heve", "and it goes on"])
    assert (found.lost, found.invented) == ((), ())


def test_readings_of_what_nobody_can_read_are_not_made_up():
    assert align_lines(["x = ⟦?⟧", "⟦?⟧"], ["x =", "qqq www", "vvv"]).invented == ()
    assert align_lines(["x = ⟦?⟧"], ["x =", "qqq www", "vvv"]).invented == (2,)


texts = st.text(alphabet="ab c", max_size=12)


@given(st.lists(texts, max_size=6), st.lists(texts, max_size=6))
def test_each_line_is_of_one_kind(truth: list[str], read: list[str]) -> None:
    found = align_lines(truth, read)
    assert found.truth == sum(bool(text.split()) for text in truth)
    assert {i for i, _ in found.links}.isdisjoint(found.lost)
    assert {j for _, j in found.links}.isdisjoint(found.invented)
    assert len({i for i, _ in found.links}) + len(found.lost) == found.truth
    own = align_lines(truth, truth)
    assert (own.split, own.merged, own.lost, own.invented) == ((), (), (), ())
