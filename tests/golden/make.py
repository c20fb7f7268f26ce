"""Record what reading returns: readings of the samples, documents in each format, exit statuses of bad input.

    python tests/golden/make.py

Rewrites the recorded files beside this script. tests/test_golden.py compares the code with them; record them anew
only when a change of what is read is intended, and review the difference.
"""

import contextlib
import io
import json
import os
import re
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from text_recognizer import formats
from text_recognizer.cli import main
from text_recognizer.formats.json_lines import from_dict, to_dict
from text_recognizer.images import to_picture
from text_recognizer.page import Page
from text_recognizer.reader import Reader
from text_recognizer.version import __version__

FOLDER = Path(__file__).parent
SAMPLES = FOLDER.parent.parent / "samples"
IMAGES = ("letter-1905.jpg", "page.png")


def document_file(image: str, name: str) -> Path:
    """Where the document `name` of `image` is recorded; "fast" is the fast mode's texts, the rest is accurate."""
    return FOLDER / f"{Path(image).stem}.{name}.txt"


def recorded(image: str) -> Page:
    """The page as the accurate mode read it when it was recorded."""
    return from_dict(json.loads(document_file(image, "json").read_text(encoding="utf-8")))


def recorded_fast(image: str) -> list[tuple[float, str]]:
    """Confidence and text of each line as the fast mode read it when it was recorded."""
    rows = document_file(image, "fast").read_text(encoding="utf-8").splitlines()
    return [(float(confidence), text) for confidence, text in (row.split("\t") for row in rows)]


def document(page: Page, image: str, name: str) -> str:
    """The text of a document of `page`, dates and the program's version masked; of a PDF, what a viewer can copy."""
    content = (SAMPLES / image).read_bytes()
    chosen = formats.get_format(name)
    written = chosen.write(page, image, to_picture(content) if chosen.needs_picture else None)
    if name == "pdf":
        import pypdfium2

        pdf = pypdfium2.PdfDocument(written)
        return "\n".join(pdf[i].get_textpage().get_text_bounded() for i in range(len(pdf))).replace("\r\n", "\n")
    if name == "docx":
        import docx

        return "\n".join(paragraph.text for paragraph in docx.Document(io.BytesIO(written)).paragraphs)
    masked = re.sub(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(Z|\+00:00)", "DATE", written.decode("utf-8"))
    return (
        masked.replace(f"<softwareVersion>{__version__}<", "<softwareVersion>VERSION<")
        .replace(f"text-recognizer {__version__}", "text-recognizer VERSION")
        .replace(f'version="{__version__}"', 'version="VERSION"')
    )


def bad_inputs(folder: Path) -> dict[str, list[str]]:
    """Arguments of `text-recognizer` by the name of the case; what they name is written to `folder`."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 200), np.uint8)
    jpeg, tiff, pages, thin = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.fromarray(noise).save(jpeg, "JPEG")
    Image.fromarray(noise).save(tiff, "TIFF", compression="tiff_lzw")
    Image.new("L", (50, 50)).save(pages, "TIFF", save_all=True, append_images=[Image.new("L", (50, 50))])
    Image.new("L", (1, 400)).save(thin, "PNG")
    bomb, large = bytearray(thin.getvalue()), bytearray(thin.getvalue())
    for png, side in ((bomb, 30_000), (large, 12_000)):
        png[16:24] = side.to_bytes(4, "big") * 2
        png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    files = {
        "empty.png": b"",
        "letter.txt": b"Dear Sir",
        "scan.pdf": b"%PDF-1.4",
        "page.html": b"<!DOCTYPE html>",
        "drawing.svg": b"<svg></svg>",
        "cut.jpg": jpeg.getvalue()[:-3000],
        "cut.tif": tiff.getvalue()[:-3000],
        "pages.tif": pages.getvalue(),
        "thin.png": thin.getvalue(),
        "bomb.png": bytes(bomb),
        "large.png": bytes(large),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    blank = folder / "blank.png"
    Image.new("L", (300, 200), 255).save(blank)
    (folder / "bundle").mkdir()
    (folder / "bundle" / "bundle.json").write_text("{}")

    def read(*arguments: object) -> list[str]:
        return ["read", *map(str, arguments)]

    return {
        **{name: read(folder / name) for name in files},
        "blank page": read(blank),
        "blank line": read("--lines-only", blank),
        "missing image": read(folder / "missing.png"),
        "folder for an image": read(folder),
        "empty URL": read("data:,"),
        "URL of this machine": read("http://127.0.0.1/page.png"),
        "first of two fails": read("--format", "json", folder / "empty.png", blank),
        "second of two fails": read("--format", "json", blank, folder / "empty.png"),
        "missing bundle": read("--bundle", folder / "nothing", blank),
        "foreign bundle": read("--bundle", folder / "bundle", blank),
        "unknown model": read("--model", "nothing@1", blank),
        "no command": [],
        "unknown command": ["write"],
        "no image": read(),
        "unknown format": read("--format", "odt", blank),
        "unknown mode": read("--mode", "best", blank),
        "zero threads": read("--threads", 0, blank),
        "bundle and model": read("--bundle", folder, "--model", "x", blank),
        "two XML documents in one stream": read("--format", "alto", blank, blank),
        "two images for one file": read("--output", folder / "out", "a/page.png", "b/page.jpg"),
        "output in a missing folder": read("--output", folder / "missing" / "x.txt", blank),
        "output below a file": read("--output", folder / "letter.txt" / "x.txt", blank),
        "evaluation set that is missing": ["evaluate", str(folder / "nothing.jsonl")],
        "model to show that is missing": ["models", "show", "nothing@1"],
        "help": ["--help"],
        "version": ["--version"],
    }


def statuses() -> dict[str, int]:
    """The exit status of each case of `bad_inputs`."""
    found = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for case, arguments in bad_inputs(Path(folder)).items():
            with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.redirect_stderr(io.StringIO()):
                try:
                    found[case] = main(arguments)
                except SystemExit as end:
                    found[case] = int(end.code or 0)
    return found


def record() -> None:
    os.environ.pop("TEXT_RECOGNIZER_MODELS", None)
    reader = Reader()
    for image in IMAGES:
        fast = reader.read(SAMPLES / image, "fast")
        documents = {"fast": "".join(f"{line.confidence:.2f}\t{line.text}\n" for line in fast.lines)}
        page = from_dict(to_dict(reader.read(SAMPLES / image, "accurate")))
        documents |= {name: document(page, image, name) for name in formats.NAMES}
        for name, text in documents.items():
            document_file(image, name).write_bytes(text.encode("utf-8"))
    (FOLDER / "statuses.json").write_text(json.dumps(statuses(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(record())
