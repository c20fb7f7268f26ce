"""Composed and rendered lines: the text is what was drawn, the same seed draws the same pixels."""

import numpy as np
import pytest

from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.synthesis.rendering.ink import Hand, compose_line, compose_words, vary
from text_recognizer.synthesis.rendering.line import render_line
from text_recognizer.synthesis.rendering.pen import Pen, draw_ink
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.unipen import Ink, Writer


def word(text: str) -> Ink:
    """A zigzag as wide as the word is long: ink of a known place."""
    x = np.arange(2 * len(text) + 1, dtype=np.float32) * 0.5
    y = np.where(np.arange(len(x)) % 2 == 0, 0.0, -1.0).astype(np.float32)
    return Ink(text, (np.stack([x, y], axis=1),))


@pytest.fixture
def writer() -> Writer:
    texts = ["the", "ship", "came", "in", "with", "morning", "tide", "a quiet sea", "over the old bridge"]
    return Writer(
        "xyz-0000000000", tuple(word(t) for t in texts), {c: (word(c),) for c in "abcdefghijklmnopqrstuvwxyz"}
    )


def test_composed_line_is_as_wide_as_its_words_and_gaps(writer: Writer) -> None:
    hand = Hand(writer)
    for seed in range(30):
        ink = compose_line(hand, np.random.default_rng(seed), (10, 40))
        letters = len(ink.text.replace(" ", ""))
        assert ink.text == ink.text.strip()
        assert "  " not in ink.text
        assert ink.width > 0.6 * letters
        assert all(np.isfinite(s).all() for s in ink.strokes)


def test_wording_is_followed_where_the_hand_can_print(writer: Writer) -> None:
    hand = Hand(Writer(writer.id, writer.inks[:7], writer.chars))
    assert hand.can_print
    texts = {
        compose_line(hand, np.random.default_rng(s), (9, 9), lambda *_: "quick (fox), no!").text for s in range(40)
    }
    assert any(t.startswith("quick (fox), no!") for t in texts)


def test_numbers_of_a_list_stand_in_rings_now_and_then(writer: Writer) -> None:
    """Inside the ring is the number alone, and the text says just that."""
    hand = Hand(Writer(writer.id, writer.inks, writer.chars | {"4": (word("4"),)}))
    found = {}
    for seed in range(60):
        first = compose_words(hand, "(4) morning tide", np.random.default_rng(seed))[0]
        found.setdefault(first.text, first)
    assert set(found) == {"4", "(4)"}
    *digits, ring = found["4"].strokes
    low, high = np.concatenate(digits).min(0), np.concatenate(digits).max(0)
    assert (ring.min(0) < low).all()
    assert (ring.max(0) > high).all()
    plain = (compose_words(hand, "tide 4", np.random.default_rng(s))[1] for s in range(60))
    assert {(ink.text, len(ink.strokes)) for ink in plain} == {("4", 1)}, "a number inside a line has no ring"


def test_same_seed_draws_the_same_pixels_and_another_seed_others(writer: Writer) -> None:
    def line(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return render_line(compose_line(Hand(writer), rng, (10, 30)), rng, 48, [word("under")])

    assert np.array_equal(line(5), line(5))
    assert line(5).shape != line(6).shape or not np.array_equal(line(5), line(6))


def test_rendered_lines_are_grey_images_of_the_height_asked_for(writer: Writer) -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        image = render_line(compose_line(Hand(writer), rng, (1, 40)), rng, 48)
        assert image.dtype == np.uint8
        assert image.shape[0] == 48
        ink = normalise_line(image, 48)
        assert 0.003 < (ink > 110).mean() < 0.6  # written on, not flooded


def test_variation_keeps_the_text_and_changes_the_ink() -> None:
    ink = word("bridge")
    other = vary(ink, np.random.default_rng(1))
    assert other.text == ink.text
    assert not np.allclose(other.strokes[0], ink.strokes[0])
    assert min(float(s[:, 0].min()) for s in other.strokes) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("width", [0.06, 0.125, 0.3])
def test_pen_draws_about_its_width(width: float) -> None:
    canvas = np.zeros((80, 200), np.uint8)
    draw_ink([np.float32([[0, 0], [4, 0]])], 40.0, (20, 40), canvas, Pen(width))
    thickness = canvas[:, 100].astype(float).sum() / 255
    assert thickness == pytest.approx(width * 40, abs=0.5)


def test_faint_noise_on_blank_paper_is_not_stretched_into_ink() -> None:
    paper = (230 + np.random.default_rng(0).normal(0, 2, (48, 300))).clip(0, 255).astype(np.uint8)
    assert (normalise_line(paper, 48) > 110).mean() < 0.001


ACCENTED = "ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÖÙÚÛÜáâãåëìíîïòóôõùúûÿéèêàçüöäñ"


def test_hand_writes_accents_ligatures_and_signs_that_it_never_wrote() -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    hand = Hand(Writer("xyz-0000000000", (), {c: (word(c),) for c in letters}))
    for char in set(ACCENTED) | set(ALPHABET[113:]):
        ink = hand.piece(char, np.random.default_rng(1), True)
        assert ink is not None, char
        assert ink.text == char
        points = np.concatenate(ink.strokes)
        assert np.isfinite(points).all()
        assert points[:, 1].min() > -3.2 and points[:, 1].max() < 1.2, char


@pytest.mark.parametrize(("accented", "plain"), [("é", "e"), ("Ü", "U"), ("ñ", "n")])
def test_accent_is_over_its_letter_and_a_cedilla_below(accented: str, plain: str) -> None:
    hand = Hand(Writer("xyz-0000000000", (), {c: (word(c),) for c in (plain, "c")}))
    letter, more = (hand.piece(c, np.random.default_rng(0), True) for c in (plain, accented))
    assert letter is not None and more is not None
    assert len(more.strokes) > len(letter.strokes)
    assert all(s[:, 1].max() < -1.0 for s in more.strokes[len(letter.strokes) :])
    cedilla = hand.piece("ç", np.random.default_rng(0), True)
    assert cedilla is not None and cedilla.strokes[-1][:, 1].max() > 0.2
