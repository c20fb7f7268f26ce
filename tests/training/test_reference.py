"""What staging adds for monitoring: numbers of pages that the model reads, and words; and it changes nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from text_recognizer.bundle import Bundle
from text_recognizer.description import DESCRIPTION
from text_recognizer.errors import DataInvalid
from text_recognizer.feedback.statistics import FEATURES, WORDS, read_words
from text_recognizer.monitoring.reference import REFERENCE, bundle_reference
from text_recognizer.synthesis.sources.fonts import write_builtin_font
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.training import reference, stage


@pytest.fixture(scope="module")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_builtin_font(tmp_path_factory.mktemp("fonts"))


def test_reference_is_added_and_weights_stay_as_they_are(
    unipen: Path, fonts: Path, bundle_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(bundle_dir, tmp_path / "bundle")
    before = Bundle.open(bundle_dir)
    arguments = ["--reference-only", str(tmp_path / "bundle"), "--unipen", str(unipen), "--fonts", str(fonts)]
    assert stage.main([*arguments, "--reference-pages", "2", "--version", "9.1"]) == 0
    after = Bundle.open(tmp_path / "bundle")
    assert (after.name, after.version) == (before.name, "9.1")
    added = {REFERENCE, WORDS}
    assert {n: d for n, d in after.description.files.items() if n not in added} == {
        n: d for n, d in before.description.files.items() if n not in added
    }
    assert added <= set(after.description.files)
    assert after.description.reference == {
        "how": "rendered pages of running text (training/reference.py), read by this model",
        "pages": 2,
        "writers": 2,
        "fonts": 1,
        "seed": reference.SEED,
    }
    window = bundle_reference(after)
    assert window is not None
    assert window.model == f"{before.name}@9.1"
    assert set(window.modes) == {"fast", "accurate"}
    assert window.pages == 2
    assert set(window.modes["fast"]) <= {feature.name for feature in FEATURES}
    assert len(read_words(after.path)) > 50


def test_bundle_without_pages_has_words_and_no_reference(unipen: Path, bundle_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle_dir, tmp_path / "bundle")
    made = stage.add_reference(tmp_path / "bundle", unipen, pages=0)
    assert made.version == Bundle.open(bundle_dir).version
    assert WORDS in made.description.files
    assert REFERENCE not in made.description.files
    assert made.description.reference is None
    assert bundle_reference(made) is None


def test_changed_reference_is_found_out(unipen: Path, bundle_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle_dir, tmp_path / "bundle")
    stage.add_reference(tmp_path / "bundle", unipen, pages=0)
    (tmp_path / "bundle" / WORDS).write_text("other words", encoding="utf-8")
    with pytest.raises(Exception, match="was changed"):
        Bundle.open(tmp_path / "bundle")


def test_missing_data_and_missing_arguments_are_reported(bundle_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"none\.npz"):
        stage.main(["--reference-only", str(bundle_dir), "--unipen", str(tmp_path / "none.npz")])
    with pytest.raises(SystemExit):
        stage.main(["--unipen", "u"])


def test_hands_of_the_reference_and_the_others_are_different_ones(unipen: Path, fonts: Path) -> None:
    ours = {id_ for kind in reference.reference_hands(unipen, fonts) for id_ in names(kind)}
    theirs = {id_ for kind in reference.reference_hands(unipen, fonts, others=True) for id_ in names(kind)}
    assert ours and theirs
    assert not ours & theirs


def names(kind: list[object]) -> list[str]:
    return [getattr(hand, "id", None) or getattr(hand, "name", "") for hand in kind]


def test_pages_are_the_same_each_time(unipen: Path, fonts: Path) -> None:
    kinds = reference.reference_hands(unipen, fonts)
    once = list(reference.render_pages(kinds, TextSource(None), 2))
    again = list(reference.render_pages(kinds, TextSource(None), 3))
    assert [name for name, _ in once] == [name for name, _ in again][:2]
    assert np.array_equal(once[1][1].rgb, again[1][1].rgb)


def test_words_are_frequent_and_in_lower_case(tmp_path: Path) -> None:
    text = "The cat sat. THE CAT’S hat! The dog sat; a cat, 12 3rd. cat's Cat’s rare"
    (tmp_path / "stories.txt").write_text(text, encoding="utf-8")
    (tmp_path / "bible.txt").write_text("lo " * 11 + "behold " * 12, encoding="utf-8")
    assert reference.frequent_words(tmp_path) == ["behold", "cat's", "the"]


def test_words_of_old_texts_leave_room_for_those_of_today(tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    (few / "stories.txt").write_text("".join(f"word{chr(97 + k // 26)}{chr(97 + k % 26)} " * 3 for k in range(600)))
    kept = reference.frequent_words(few)
    assert len(kept) == 600
    reference.write_words(few, kept)
    assert read_words(few) == frozenset(kept)


def test_shipped_bundle_carries_a_reference_and_says_how_it_was_made(bundle_dir: Path) -> None:
    bundle = Bundle.open(bundle_dir)
    window = bundle_reference(bundle)
    assert window is not None
    made = json.loads((bundle_dir / DESCRIPTION).read_text(encoding="utf-8"))["reference"]
    assert window.pages == made["pages"] >= 100
    assert len(read_words(bundle_dir)) > 10_000
    assert (bundle_dir / WORDS).stat().st_size <= 300_000
