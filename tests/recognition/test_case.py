"""Whether a line begins with a capital is for the ink to say: language models do not know what stood before it."""

import numpy as np
import pytest

from text_recognizer.bundle import Bundle
from text_recognizer.recognition.recognizer import CASE, Recognizer


@pytest.fixture(scope="module")
def recognizer(bundle_dir) -> Recognizer:
    return Recognizer(Bundle.open(bundle_dir), 1)


def ids(recognizer: Recognizer, text: str) -> list[int]:
    known = {recognizer.text([n]): n for n in range(3, 3 + len(recognizer.alphabet))}
    return [known[character] for character in text]


def test_case_of_the_first_letter_counts_little(recognizer):
    texts = [ids(recognizer, text) for text in ("Please", "please", "Pleasc", "pLease")]
    scores = np.asarray([-52.0, -38.0, -60.0, -70.0])
    assert recognizer.case_capped(texts, scores).tolist() == [-38.0 - CASE, -38.0, -60.0, -70.0]
