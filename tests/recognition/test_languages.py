"""A bundle of several languages: the language of a page is told from its text, or given, and its model takes part."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from text_recognizer.bundle import Bundle, sha256
from text_recognizer.description import LANGUAGE_TABLE, Description
from text_recognizer.errors import BundleInvalid, UsageError
from text_recognizer.reader import Reader
from text_recognizer.recognition.identify import LanguageTable, write_table

TEXTS = {
    "en": ["the cat is in the house and they think that this was what she would do with their other things"] * 20,
    "fr": ["le chat est dans la maison, elle était déjà là où les enfants jouaient avec leurs autres jouets"] * 20,
    "de": ["die Katze ist im Haus, und sie möchten, daß dies nicht das schöne große Zimmer für uns wäre"] * 20,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> LanguageTable:
    file = tmp_path_factory.mktemp("languages") / LANGUAGE_TABLE
    write_table(TEXTS, file)
    return LanguageTable(file)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("They would think of the other house", "en"),
        ("ELLE ÉTAIT DANS UNE AUTRE MAISON", "fr"),
        ("sie wäre nicht für das schöne Haus", "de"),
        ("s1e ware n1cht fur das schone Hans", "de"),  # misread
        ("", "en"),
        ("12/07 – 3.50", "en"),
    ],
)
def test_language_is_identified_by_words_and_the_first_where_there_are_none(
    table: LanguageTable, text: str, language: str
) -> None:
    assert table.choose([text]) == language


def test_several_lines_count_together(table: LanguageTable) -> None:
    one, two = "une maison", "leurs jouets"
    both = table.log_likelihoods([one, two])
    assert np.allclose(both, table.log_likelihoods([one]) + table.log_likelihoods([two]))


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / LANGUAGE_TABLE).write_bytes(b"PK nothing")
    with pytest.raises(BundleInvalid, match="get the bundle again"):
        LanguageTable(tmp_path / LANGUAGE_TABLE)


@pytest.fixture
def several(bundle_dir: Path, tmp_path: Path) -> Bundle:
    """The shipped bundle as one of English and French, which share a language model here."""
    folder = tmp_path / "several"
    shutil.copytree(bundle_dir, folder)
    description = Description.read(folder)
    models = {language: f"language_model.{language}.npz" for language in ("en", "fr")}
    source = next(name for name in description.languages.values() if name)
    for name in models.values():
        shutil.copy(bundle_dir / source, folder / name)
    write_table({language: TEXTS[language] for language in models}, folder / LANGUAGE_TABLE)
    files = {p.name: sha256(p) for p in folder.iterdir() if p.name != "bundle.json"}
    replace(description, files=files, language_models=models).write(folder)
    return Bundle.open(folder)


def test_languages_share_the_networks_and_have_their_own_model(several: Bundle) -> None:
    reader = Reader(several, threads=1)
    assert reader.languages == ("en", "fr")
    english, french = reader.recognizer, reader.recognizer.in_language("fr-CA")
    assert reader.recognizer.in_language(None) is english
    assert english.in_language("fr") is french
    assert french.in_language("en") is english
    assert french.language is not None
    assert french.language is not english.language
    assert pickle.loads(pickle.dumps(french)).language_tag == "fr"


def test_an_unknown_language_names_those_that_there_are(several: Bundle) -> None:
    reader = Reader(several, threads=1)
    with pytest.raises(UsageError, match="knows no language 'xx': give one of en, fr"):
        reader.read(np.full((60, 200), 255, np.uint8), language="xx")


def test_the_page_says_which_language_it_was_read_in(several: Bundle, letter: Path) -> None:
    reader = Reader(several, threads=1)
    assert reader.read(letter, "fast").language == "en"
    assert reader.read(letter, "fast", language="fr").language == "fr"
    assert reader.lay_out(letter).language == "en"


def test_a_bundle_that_names_no_language_says_none(bundle_dir: Path, tmp_path: Path, letter: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(bundle_dir, folder)
    description = Description.read(folder)
    source = next(name for name in description.languages.values() if name)
    (folder / source).rename(folder / "language_model.npz")
    (folder / LANGUAGE_TABLE).unlink(missing_ok=True)
    files = {p.name: sha256(p) for p in folder.iterdir() if p.name != "bundle.json"}
    replace(description, files=files, language_models={}).write(folder)
    reader = Reader(folder, threads=1)
    assert reader.recognizer.language is not None
    assert reader.read(letter, "fast").language == ""
