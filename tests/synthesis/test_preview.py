"""The contact sheet: made from whatever sources are there, beside real lines if asked, refused where there is none."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from text_recognizer.errors import DataInvalid
from text_recognizer.synthesis import preview
from text_recognizer.synthesis.sources.fonts import HandFont
from text_recognizer.synthesis.sources.unipen import Ink, Writer


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache file that stands for one writer of a few zigzag words."""
    stroke = np.array([[0, 0], [0.5, -1], [1, 0], [1.5, -1], [2, 0]], np.float32)
    inks = tuple(Ink(word, (stroke * np.array([len(word) / 4, 1], np.float32),)) for word in ("the", "ship", "morning"))
    monkeypatch.setattr(preview, "load_writers", lambda *_: [Writer("one", inks, {})])
    cache = tmp_path / "unipen.npz"
    cache.touch()
    return cache


def arguments(tmp_path: Path, unipen: Path, *more: str) -> list[str]:
    nowhere = str(tmp_path / "nowhere")
    fixed = ["--unipen", str(unipen), "--fonts", nowhere, "--texts", nowhere, "--lines", "3", "--pages", "1"]
    return [*fixed, "--output", str(tmp_path / "out" / "sheet.png"), *more]


def test_sheet_shows_lines_papers_and_pages(writers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert preview.main(arguments(tmp_path, writers)) == 0
    sheet = np.asarray(Image.open(tmp_path / "out" / "sheet.png"))
    assert sheet.shape[1] == 1760
    assert sheet.shape[0] > 900
    assert len(np.unique(sheet)) > 100
    assert "20 samples" in capsys.readouterr().out


def test_real_lines_stand_beside_the_rendered(
    writers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = tmp_path / "real"
    real.mkdir()
    Image.new("L", (400, 50), 77).save(real / "line.png")
    assert preview.main(arguments(tmp_path, writers, "--beside", str(real))) == 0
    assert "21 samples" in capsys.readouterr().out
    sheet = np.asarray(Image.open(tmp_path / "out" / "sheet.png"))
    assert ((sheet == 77).all(2)).sum() > 64 * 400


def test_a_folder_without_images_is_refused(writers: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataInvalid, match="holds no images"):
        preview.main(arguments(tmp_path, writers, "--beside", str(tmp_path / "empty")))


def test_without_any_source_it_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="data prepare"):
        preview.main(arguments(tmp_path, tmp_path / "none.npz"))


def test_a_font_of_few_characters_shows_those_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    font = HandFont("few", Path("few.ttf"), characters=frozenset("ab "))
    asked: list[str] = []

    def draw(_: HandFont, words: str, *__: object) -> tuple[np.ndarray, float]:
        asked.append(words)
        return np.full((40, 60), 255, np.uint8), 30.0

    monkeypatch.setattr(preview, "render_text", draw)
    coverage, words = preview.font_line([font], preview.TextSource(None), np.random.default_rng(0))
    assert set(words) <= set("ab ")
    assert asked == [words]
    assert coverage.shape[0] == 64


def test_sources_and_rendering_need_no_torch() -> None:
    code = (
        "import sys; import text_recognizer.synthesis.sources.fonts, text_recognizer.synthesis.sources.text, "
        "text_recognizer.synthesis.rendering.paper; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
