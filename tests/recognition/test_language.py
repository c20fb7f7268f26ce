"""The character model: probabilities that add up, follow the text it saw, and steer the search."""

from pathlib import Path

import numpy as np
import pytest

from text_recognizer.errors import BundleInvalid, DataInvalid
from text_recognizer.recognition.decoding import BOS, EOS, FIRST_CHARACTER, log_softmax, prefix_beam
from text_recognizer.recognition.language import LanguageModel
from text_recognizer.training.data import Codec
from text_recognizer.training.language_model import bits_per_character, estimate, extend, wording, write

CODEC = Codec()
LINES = ["the quick brown fox", "the lazy dog", "then the other thing", "a quiet question"] * 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    file = tmp_path_factory.mktemp("lm") / "model.npz"
    write(estimate(LINES, order=5), file)
    return LanguageModel(file)


@pytest.mark.parametrize("before", ["", "t", "th", "the qu", "zzz", "the quick brown fox jumps"])
def test_probabilities_after_any_beginning_add_up_to_one(model: LanguageModel, before: str) -> None:
    p = np.exp(model.next(CODEC.encode(before)))
    assert p.sum() == pytest.approx(1.0, abs=1e-4)
    assert p.min() > 0, "a character never seen must stay possible"
    assert p[BOS] < 1e-6, "a line does not begin twice"


def test_what_followed_in_the_text_is_likely(model: LanguageModel) -> None:
    after_q = model.next(CODEC.encode("the q"))
    assert int(after_q.argmax()) == CODEC.encode("u")[0]
    assert model.next(CODEC.encode("the lazy dog")).argmax() == EOS
    assert int(model.next([]).argmax()) == CODEC.encode("t")[0]


def test_score_of_a_line_is_the_sum_over_its_characters_and_its_end(model: LanguageModel) -> None:
    ids = CODEC.encode("the other fox")
    stepwise = sum(float(model.next(ids[:i])[c]) for i, c in enumerate([*ids, EOS]))
    assert model.score(ids) == pytest.approx(stepwise, abs=1e-3)
    assert model.score(ids) > model.score(CODEC.encode("eht rehto xof"))


def test_text_like_that_seen_costs_fewer_bits(model: LanguageModel) -> None:
    assert bits_per_character(model, ["the lazy fox"]) < 3 < bits_per_character(model, ["Zürich 4711 &%"])


def test_wording_leaves_out_what_is_to_be_measured_on() -> None:
    lines = list(wording(None, 40))
    left_out = next(line for line in lines if len(line) >= 30)
    again = list(wording(None, 40, leave_out=[left_out]))
    assert all(left_out[i : i + 18].lower() not in line.lower() for line in again for i in range(len(left_out) - 17))


def test_wording_holds_each_text_once_and_whole(tmp_path: Path) -> None:
    words = [f"word{k}" for k in range(400)]
    (tmp_path / "stories.txt").write_text(" ".join(words) + "\n", encoding="utf-8")
    lines = list(wording(tmp_path, 0))
    assert " ".join(lines).lower().split() == words
    assert max(map(len, lines)) <= 90


def test_too_little_text_is_refused() -> None:
    with pytest.raises(DataInvalid, match="too few"):
        estimate(["hello"])


def test_damaged_file_is_refused(tmp_path: Path, model: LanguageModel) -> None:
    broken = tmp_path / "model.npz"
    broken.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(BundleInvalid, match="get the bundle again"):
        LanguageModel(broken)


def test_search_prefers_the_likely_word_where_ink_is_in_doubt(model: LanguageModel) -> None:
    """Ink between "the" and "tbe", a little more like "tbe": alone it reads so, with the language it does not."""
    steps = np.full((6, len(CODEC)), -8.0, np.float32)
    t, h, b, e = CODEC.encode("thbe")
    for step, best in ((0, t), (1, 0), (3, 0), (4, e), (5, 0)):
        steps[step, best] = 4.0
    steps[2, b], steps[2, h] = 2.0, 1.6
    log_probs = log_softmax(steps)
    assert CODEC.decode(prefix_beam(log_probs, 8)[0][0]) == "tbe"
    steered = prefix_beam(log_probs, 8, language=model, language_weight=0.5)
    assert CODEC.decode(steered[0][0]) == "the"
    assert steered[0][1] == pytest.approx({tuple(i): s for i, s in prefix_beam(log_probs, 8)}[(t, h, e)], abs=1e-3)
    assert min(steered[0][0]) >= FIRST_CHARACTER


def test_model_of_narrower_ids_is_read_as_before(model: LanguageModel, tmp_path: Path) -> None:
    arrays = estimate(LINES, order=5)
    narrow = dict(arrays)
    del narrow["id_bits"]  # as the files of pen 0.2 are: seven bits an id, and no word of it
    for k in range(2, 6):
        keys = np.cumsum(arrays[f"keys{k}"], dtype=np.uint64)
        ids = [(keys >> np.uint64(8 * i)) & np.uint64(255) for i in range(k - 1)]
        packed = np.asarray(sum((v << np.uint64(7 * i) for i, v in enumerate(ids)), np.uint64(0)), np.uint64)
        narrow[f"keys{k}"] = np.diff(packed, prepend=np.uint64(0))
    write(narrow, tmp_path / "narrow.npz")
    for text in ("the quick", "then", "a q"):
        ids_of = CODEC.encode(text)
        assert LanguageModel(tmp_path / "narrow.npz").score(ids_of) == pytest.approx(model.score(ids_of), abs=1e-5)


@pytest.mark.parametrize("bits", [7, 8])
def test_extended_model_knows_new_characters_and_the_old_ones_as_before(
    bits: int, model: LanguageModel, bundle_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "old.npz"
    if bits == 8:
        write(estimate(LINES, order=5), file)
        text, size = CODEC.encode("the quick"), len(CODEC)
    else:
        file = bundle_dir / "language_model.npz"  # seven bits an id
        if not file.is_file() or (old := LanguageModel(file)).id_bits != bits:
            pytest.skip("the shipped model has wider ids")
        text, size = CODEC.encode("the quick"), len(old.next(()))
    extend(file, tmp_path / "new.npz", [0.01, 0.02])
    old, new = LanguageModel(file), LanguageModel(tmp_path / "new.npz")
    assert new.id_bits == 8
    assert new.score(text) == pytest.approx(old.score(text), abs=0.3)
    after = np.exp(new.next(text[:3]))
    assert len(after) == size + 2
    assert after.sum() == pytest.approx(1, abs=0.01)
    assert 0 < after[-2] < after[-1] < 0.05


def test_smaller_model_keeps_what_tells_the_most(tmp_path: Path) -> None:
    lines = list(wording(None, 500))[:1500]
    sizes, bits = [], []
    for most in (None, 6000, 1500):
        arrays = estimate(lines, order=5, most=most)
        write(arrays, tmp_path / "m.npz")
        sizes.append(sum(len(arrays[f"symbols{k}"]) for k in range(2, 6)))
        smaller = LanguageModel(tmp_path / "m.npz")
        bits.append(bits_per_character(smaller, lines[:50]))
        ids = CODEC.encode("the lazy fox")
        one_by_one = [float(smaller.next(ids[:i])[c]) for i, c in enumerate([*ids, EOS])]
        assert smaller.likelihoods([ids]) == pytest.approx(one_by_one, abs=1e-4)
    assert sizes[0] > 2 * sizes[1] > 4 * sizes[2], sizes
    assert bits[0] < bits[1] < bits[2] < 4, bits
