"""OCRmyPDF reads with this engine: turned and skewed pages, in order, as PDF/A, and without Tesseract's text."""

import importlib
import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from types import SimpleNamespace

import pikepdf
import pluggy
import pypdfium2
import pytest
from ocrmypdf import pluginspec
from ocrmypdf.cli import get_parser
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.bundle import Bundle
from text_recognizer.errors import ImageRejected
from text_recognizer.integrations import ocrmypdf_plugin
from text_recognizer.reader import Reader

PLUGIN = "text_recognizer.integrations.ocrmypdf_plugin"
LINES = ("the river was high in the spring", "and the house stood near the road", "we came home before the evening")
needs_tesseract = pytest.mark.skipif(not shutil.which("tesseract"), reason="OCRmyPDF wants Tesseract to be installed")


def sheet(number, turn=0, skew=0.0):
    """A page of four printed lines, turned by `turn` degrees counter-clockwise."""
    image = Image.new("L", (1000, 700), 255)
    for row, text in enumerate((f"page {number} begins with a letter", *LINES)):
        ImageDraw.Draw(image).text((90, 100 + 120 * row), text, font=ImageFont.load_default(34), fill=0)
    return image.rotate(skew, Image.Resampling.BICUBIC, fillcolor=255).rotate(turn, expand=True)


def scan(path, *pages):
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=150)
    return path


def run(*arguments):
    command = [sys.executable, "-m", "ocrmypdf", "--plugin", PLUGIN, "--text-recognizer-mode", "fast", *arguments]
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)


def texts(pdf):
    with pypdfium2.PdfDocument(pdf) as document:
        return [" ".join(page.get_textpage().get_text_range().split()) for page in document]


def expected(number):
    return " ".join((f"page {number} begins with a letter", *LINES))


def alike(read, text):
    return SequenceMatcher(None, read, text).ratio()


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """Five pages, turned every way and skewed, and what OCRmyPDF made of them."""
    folder = tmp_path_factory.mktemp("turned")
    pages = [sheet(1), sheet(2, 90), sheet(3, 180), sheet(4, 270), sheet(5, skew=4)]
    source = scan(folder / "in.pdf", *pages)
    done = run(
        "--rotate-pages", "--deskew", "--jobs", "2", "--output-type", "pdfa", "--sidecar", folder / "text", source,
        folder / "out.pdf",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@needs_tesseract
def test_turned_and_skewed_pages_become_upright_and_extract_in_order(turned):
    for number, text in enumerate(texts(turned / "out.pdf"), 1):
        assert alike(text, expected(number)) > 0.97, text
    reader = Reader(threads=1)
    with pypdfium2.PdfDocument(turned / "out.pdf") as document:
        for page in document:
            assert reader.orientation(page.render(scale=150 / 72).to_pil()).degrees == 0


@needs_tesseract
@pytest.mark.skipif(not shutil.which("pdftotext"), reason="needs poppler")
def test_poppler_extracts_the_same(turned):
    out = subprocess.run(["pdftotext", turned / "out.pdf", "-"], check=True, capture_output=True, text=True).stdout
    for number, text in enumerate(out.split("\f")[:5], 1):
        assert alike(" ".join(text.split()), expected(number)) > 0.97, text


@needs_tesseract
def test_sidecar_has_the_pages_and_the_document_is_a_sound_pdf_a(turned):
    pages = (turned / "text").read_text(encoding="utf-8").split("\f")
    assert len(pages) == 5
    for number, text in enumerate(pages, 1):
        assert alike(" ".join(text.split()), expected(number)) > 0.97
    with pikepdf.open(turned / "out.pdf") as document:
        assert document.check_pdf_syntax() == []
        meta = document.open_metadata()
        assert (meta["pdfaid:part"], meta["pdfaid:conformance"]) == ("2", "B")
        assert "text-recognizer" in meta["xmp:CreatorTool"]
        assert "Tesseract" not in meta["xmp:CreatorTool"]


@needs_tesseract
def test_upright_page_that_nobody_turns_reads_forwards(tmp_path):
    source = scan(tmp_path / "in.pdf", sheet(1))
    done = run("--output-type", "pdf", source, tmp_path / "out.pdf")
    assert done.returncode == 0, done.stderr
    assert alike(texts(tmp_path / "out.pdf")[0], expected(1)) > 0.97


@needs_tesseract
def test_pages_on_their_side_that_nobody_turns_read_forwards(tmp_path):
    source = scan(tmp_path / "in.pdf", sheet(2, 90), sheet(3, 270))
    done = run("--output-type", "pdf", "--jobs", "2", source, tmp_path / "out.pdf")
    assert done.returncode == 0, done.stderr
    for number, text in enumerate(texts(tmp_path / "out.pdf"), 2):
        assert alike(text, expected(number)) > 0.97, text


# What Paperless-ngx passes (`construct_ocrmypdf_parameters` of its parser) with PAPERLESS_OCR_MODE=force, since
# OCRmyPDF refuses its default, skip, with some versions of Ghostscript; PAPERLESS_OCR_USER_ARGS come last.
PAPERLESS = {
    "use_threads": True, "jobs": 2, "language": "eng", "output_type": "pdfa", "progress_bar": False,
    "color_conversion_strategy": "RGB", "force_ocr": True, "deskew": True, "rotate_pages": True,
    "rotate_pages_threshold": 12.0, "max_image_mpixels": 256.0, "clean": bool(shutil.which("unpaper")),
}  # fmt: skip


@needs_tesseract
@pytest.mark.parametrize("kind", ["pdf", "png"])
def test_call_from_python_reads_as_paperless_calls_it(tmp_path, kind):
    pages = [sheet(1), sheet(2, 90, 3)] if kind == "pdf" else [sheet(1)]
    source = tmp_path / f"in.{kind}"
    if kind == "pdf":
        scan(source, *pages)
    else:
        pages[0].save(source)
    own = {"plugins": [PLUGIN], "text_recognizer_mode": "fast"}
    files = {"input_file_or_options": str(source), "output_file": str(tmp_path / "out.pdf")}
    dots = {"image_dpi": 150} if kind == "png" else {}
    arguments = {**files, **PAPERLESS, "sidecar": str(tmp_path / "text"), **dots, **own}
    program = "import json, sys, ocrmypdf; ocrmypdf.ocr(**json.loads(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", program, json.dumps(arguments)], check=True)
    found = (tmp_path / "text").read_text().split("\f")[: len(pages)]
    for number, (inside, beside) in enumerate(zip(texts(tmp_path / "out.pdf"), found, strict=True), 1):
        assert alike(inside, expected(number)) > 0.97
        assert alike(" ".join(beside.split()), expected(number)) > 0.97


@needs_tesseract
def test_choices_that_cannot_work_are_refused_before_a_page_is_read(tmp_path):
    source = scan(tmp_path / "in.pdf", sheet(1))
    for arguments, reason in (
        (("--pdf-renderer", "sandwich"), "leave out --pdf-renderer sandwich"),
        (("--text-recognizer-device", "quantum"), "there is no device 'quantum'"),
        (("--text-recognizer-model", str(tmp_path)), "bundle.json"),
    ):
        done = run(*arguments, source, tmp_path / "out.pdf")
        assert done.returncode != 0
        assert reason in done.stderr
        assert "Traceback" not in done.stderr


def test_installed_it_is_offered_and_named_it_reads():
    manager = pluggy.PluginManager("ocrmypdf")
    manager.add_hookspecs(pluginspec)
    from ocrmypdf.builtin_plugins import tesseract_ocr

    def engine(choice):
        return type(manager.hook.get_ocr_engine(options=SimpleNamespace(ocr_engine=choice))).__name__

    manager.register(tesseract_ocr)
    manager.register(ocrmypdf_plugin.offered)
    assert [engine(c) for c in ("auto", "tesseract", "text-recognizer")] == ["TesseractOcrEngine"] * 2 + ["Engine"]
    manager.register(importlib.import_module(PLUGIN))  # both at once, as with --plugin where it is installed too
    assert [engine(c) for c in ("auto", "tesseract", "text-recognizer")] == ["Engine", "TesseractOcrEngine", "Engine"]
    parser = get_parser()
    manager.hook.add_options(parser=parser)
    given = parser.parse_args(["--ocr-engine", "text-recognizer", "--text-recognizer-mode", "fast", "a.pdf", "b.pdf"])
    assert (given.ocr_engine, given.text_recognizer_mode) == ("text-recognizer", "fast")
    assert parser.parse_args(["a.pdf", "b.pdf"]).ocr_engine == "auto"


def test_languages_are_those_of_the_model_by_the_names_of_ocrmypdf():
    codes = ocrmypdf_plugin.Engine.languages(SimpleNamespace())
    named = set(Bundle.open().description.languages) - {"und"}
    assert len(codes) == len(named)
    assert all(len(code) == 3 for code in codes)
    assert ("eng" in codes) == ("en" in named)


def test_page_that_cannot_be_read_is_left_empty(tmp_path, caplog):
    Image.new("L", (4, 4), 255).save(tmp_path / "tiny.png", dpi=(300, 300))
    options = SimpleNamespace(languages=["eng"])
    tree, text = ocrmypdf_plugin.Engine.generate_ocr(tmp_path / "tiny.png", options)
    assert (text, tree.lines, round(tree.dpi)) == ("", [], 300)
    assert "left without text" in caplog.text
    assert ocrmypdf_plugin.Engine.get_orientation(tmp_path / "tiny.png", options) == (0, 0)
    assert ocrmypdf_plugin.Engine.get_deskew(tmp_path / "tiny.png", options) == 0


def test_huge_page_is_scaled_down_for_reading_and_stays_in_its_place():
    page = SimpleNamespace(options=SimpleNamespace(ocr_engine="auto"))
    image = Image.new("1", (9000, 9000), 1)
    image.info["dpi"] = (600, 600)
    smaller = ocrmypdf_plugin.filter_ocr_image(page=page, image=image)
    assert smaller.width * smaller.height <= 64_000_000
    assert smaller.info["dpi"][0] == pytest.approx(600 * smaller.width / 9000, abs=1)


def test_pages_that_are_read_side_by_side_load_the_model_once(monkeypatch):
    made = []

    class Slow:
        def __init__(self, *given, **named):
            time.sleep(0.1)
            made.append(given)

        def orientation(self, image):
            raise ImageRejected("too small")

    monkeypatch.setattr(ocrmypdf_plugin, "Reader", Slow)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)
    options = SimpleNamespace(text_recognizer_model="a model of its own")
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ocrmypdf_plugin.Engine.get_orientation, [None] * 4, [options] * 4))
    assert len(made) == 1
