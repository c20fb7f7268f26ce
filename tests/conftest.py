"""What many tests share: the shipped model, the sample letter, and a page drawn on the spot."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent

# Machines that test also train: how long an example takes says nothing about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def bundle_dir() -> Path:
    """The model folder that ships with the package."""
    return ROOT / "src" / "text_recognizer" / "bundles" / "default"


@pytest.fixture(scope="session")
def letter() -> Path:
    """A handwritten letter of 1905: 13 lines, dark on light, RGB, 1280 × 1629."""
    return ROOT / "samples" / "letter-1905.jpg"


@pytest.fixture(scope="session")
def drawn() -> np.ndarray:
    """A small page with writing on it, gray uint8 (240, 480), dark on light."""
    page = np.full((240, 480), 235, np.uint8)
    for row, words in enumerate(("the quick brown fox", "jumps over the lazy", "dog near the bank")):
        cv2.putText(page, words, (30, 60 + 70 * row), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.3, 40, 2, cv2.LINE_AA)
    return page
