"""The whole of monitoring on real readings, small: pages are drawn, read, and compared; each change fires its rule.

benchmarks/drift.py does the same with hundreds of pages in hands of real writers.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.feedback.record import Reading, Record
from text_recognizer.feedback.statistics import Wording
from text_recognizer.monitoring.monitor import look
from text_recognizer.monitoring.reference import Window, window_of
from text_recognizer.monitoring.rules import check, read_rules
from text_recognizer.reader import Reader
from text_recognizer.synthesis.rendering.page import render_page
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.sources.fonts import HandFont, load_fonts, write_builtin_font
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.training.reference import numbers_of

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PAGES = 32
GERMAN = (
    "Am Morgen ging der Schreiber noch vor dem Regen in den Hafen. Auf dem Tisch lagen drei Briefe, und keiner davon "
    "war an ihn gerichtet. Er nahm den ersten, legte ihn wieder hin und sah lange aus dem Fenster. Unten wurden Fische "
    "verkauft, ein Kind lief einem Hund nach, und die Frau mit dem roten Tuch rief den Preis der Heringe."
)
Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Record]]:
    """Readings of small pages that were drawn with a seed, a wording, and a change of the picture."""
    font: HandFont = load_fonts(write_builtin_font(tmp_path_factory.mktemp("font")))[0]
    reader = Reader(threads=1)
    wording = Wording.of(reader.bundle, reader.recognizer.language)

    def week(seed: int, text: TextSource | None = None, change: Change = lambda rgb: rgb) -> list[Record]:
        records = []
        for i in range(PAGES):
            rng = np.random.default_rng([seed, i])
            style = PageStyle(
                x_height=float(rng.uniform(18, 24)), width=24, height=12, margins=(1, 1, 2, 1), furniture=0
            )
            rgb = render_page(font, rng, style, text or TextSource(None), variation=0.0, camera="scan").rgb
            numbers = numbers_of(reader, wording, change(rgb), ["fast"])["fast"]
            reading = Reading(
                request_id=f"{seed}-{i}",
                at=NOW - timedelta(hours=i + 1),
                model=reader.model,
                mode="fast",
                image_sha256="",
                statistics=numbers,
                timings={"total": 0.3},
            )
            records.append(Record(reading=reading))
        return records

    return week


@pytest.fixture(scope="module")
def reference(read: Callable[..., list[Record]]) -> Window:
    return window_of(read(1), "pages of the same kind")


def fired(records: list[Record], reference: Window) -> set[str]:
    rules = [replace(rule, least=min(rule.least, 30)) for rule in read_rules()]
    found = look(records, NOW - timedelta(days=7), NOW, reference, 1)
    return {outcome.rule for outcome in check(rules, found) if outcome.fired}


def test_other_pages_of_the_same_kind_are_not_an_alarm(read: Callable[..., list[Record]], reference: Window) -> None:
    assert fired(read(2), reference) == set()


def test_dark_pages_fire_light(read: Callable[..., list[Record]], reference: Window) -> None:
    assert "light" in fired(read(2, change=lambda rgb: (rgb * 0.35).astype(np.uint8)), reference)


def test_blurred_pages_fire_sharpness(read: Callable[..., list[Record]], reference: Window) -> None:
    rules = fired(read(2, change=lambda rgb: cv2.GaussianBlur(rgb, (0, 0), 2.5)), reference)
    assert "sharpness" in rules
    assert "language" not in rules


def test_another_language_fires_language(read: Callable[..., list[Record]], reference: Window, tmp_path: Path) -> None:
    (tmp_path / "stories.txt").write_text("\n".join([GERMAN] * 12), encoding="utf-8")
    rules = fired(read(3, TextSource(tmp_path)), reference)
    assert "language" in rules
    assert not rules & {"light", "sharpness", "size"}
