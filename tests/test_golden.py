"""Texts, documents and exit statuses are those that tests/golden/make.py recorded."""

import importlib.util
import json

import numpy as np
import pytest

from golden import make
from text_recognizer import formats
from text_recognizer.reader import Reader


@pytest.fixture(scope="module")
def reader():
    return Reader()


@pytest.mark.parametrize("image", make.IMAGES)
def test_samples_read_as_recorded(reader, image):
    page, expected = reader.read(make.SAMPLES / image, "accurate"), make.recorded(image)
    assert (page.width, page.height, page.model) == (expected.width, expected.height, expected.model)
    assert page.text == expected.text
    for line, before in zip(page.lines, expected.lines, strict=True):
        assert line.alternatives == before.alternatives
        assert line.confidence == pytest.approx(before.confidence, abs=0.02)
        np.testing.assert_allclose(line.polygon, before.polygon, atol=0.5)
        np.testing.assert_allclose(line.baseline, before.baseline, atol=0.5)
        for word, earlier in zip(line.words, before.words, strict=True):
            assert word.text == earlier.text
            assert word.confidence == pytest.approx(earlier.confidence, abs=0.05)
            np.testing.assert_allclose(word.polygon, earlier.polygon, atol=0.5)


@pytest.mark.parametrize("image", make.IMAGES)
def test_fast_mode_reads_as_recorded(reader, image):
    lines, expected = reader.read(make.SAMPLES / image, "fast").lines, make.recorded_fast(image)
    assert [line.text for line in lines] == [text for _, text in expected]
    assert [line.confidence for line in lines] == pytest.approx([confidence for confidence, _ in expected], abs=0.02)


@pytest.mark.parametrize("name", formats.NAMES)
@pytest.mark.parametrize("image", make.IMAGES)
def test_documents_are_written_as_recorded(image, name):
    if name == "pdf" and not (importlib.util.find_spec("pypdfium2") and name in formats.NAMES):
        pytest.skip("reading a PDF back needs reportlab and pypdfium2")
    expected = make.document_file(image, name).read_bytes().decode("utf-8")
    assert make.document(make.recorded(image), image, name) == expected


def test_bad_input_ends_with_the_recorded_statuses(monkeypatch):
    monkeypatch.delenv("TEXT_RECOGNIZER_MODELS", raising=False)
    assert make.statuses() == json.loads((make.FOLDER / "statuses.json").read_text(encoding="utf-8"))
