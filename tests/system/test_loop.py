"""Corrections make the model better: the whole loop by real commands, a real service, and a new hand."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.bundle import Bundle, sha256
from text_recognizer.synthesis.rendering.augment import augment
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.training.data import Codec, LineRenderer

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import loop

FACES = (
    "DejaVuSans.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSerif-Italic.ttf",
    "STIXGeneralItalic.ttf",
)


@pytest.fixture(scope="module")
def fonts(tmp_path_factory):
    """The faces that matplotlib brings: what the old model reads well, and must go on reading."""
    matplotlib = pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("fonts")
    for name in FACES:
        shutil.copy(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, folder)
    return folder


@pytest.fixture(scope="module")
def dev(fonts, tmp_path_factory):
    """The old set: lines in those faces, bent and small, so that some characters are misread before already."""
    folder = tmp_path_factory.mktemp("dev")
    renderer = LineRenderer(None, fonts, split="heldout")
    codec = Codec(Bundle.open().description.alphabet)
    with (folder / "lines.jsonl").open("w") as manifest:
        for number in range(150):
            rng = np.random.default_rng([7, number])
            image, text = renderer.sample(rng, short=0.1)
            if not text or not codec.covers(text):  # nothing that the shipped model has no character for
                continue
            small = cv2.resize(augment(image, rng), None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / f"{number}.png"), small)
            manifest.write(json.dumps({"image": f"{number}.png", "text": text}) + "\n")
    return folder


@pytest.fixture(scope="module")
def learned(fonts, dev, tmp_path_factory):
    """Where the loop went its way once, and what it found."""
    folder = tmp_path_factory.mktemp("loop")
    hand = loop.letter_forms(fonts / "DejaVuSans-Oblique.ttf", folder)
    text = TextSource(None)
    outcome = loop.loop(
        folder,
        "letters of its own",
        to_correct=loop.write_pages(hand, text, 10, seed=1),
        to_measure=loop.write_pages(hand, text, 3, seed=2),
        dev=dev,
        finetune=["--fonts", fonts, "--steps", "72", "--replay", "0.5", "--forgetting", "0", "--threads", "1"],
    )
    loop.show(outcome)
    return folder, outcome


def test_corrections_of_a_new_hand_are_learned_and_served_without_a_request_lost(learned):
    folder, outcome = learned
    assert outcome.corrected_lines > 40
    assert outcome.gain > 1 / 3, outcome
    assert outcome.asked > 5
    assert outcome.failed == 0
    assert len(outcome.models) == 2, outcome.models
    tuned = Bundle.open(folder / "tuned")
    assert tuned.description.run.corrections_sha256 == sha256(folder / "corrected" / "export.json")


def test_old_hands_are_not_forgotten(learned):
    _, outcome = learned
    assert outcome.loss < 0.05, outcome
