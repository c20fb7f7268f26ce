"""Pages to write down: a usual one, a blank one, one that lies slanted; and what documents are checked against."""

import io
import math
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from text_recognizer.page import Block, Line, Page, Word


def placed(text, start, length, degrees, height=30.0, confidence=0.9):
    """A line of words that begins at `start` and runs at `degrees` counterclockwise, a word's width by its letters."""
    along = (math.cos(math.radians(degrees)), -math.sin(math.radians(degrees)))
    down = (-along[1], along[0])

    def at(forth, below):
        return (start[0] + forth * along[0] + below * down[0], start[1] + forth * along[1] + below * down[1])

    def box(begin, end):
        return (at(begin, -0.75 * height), at(end, -0.75 * height), at(end, 0.25 * height), at(begin, 0.25 * height))

    words, unit, begin = [], length / len(text), 0
    for word in text.split(" "):
        words.append(Word(text=word, polygon=box(begin * unit, (begin + len(word)) * unit), confidence=confidence))
        begin += len(word) + 1
    return Line(
        text=text,
        polygon=box(0, length),
        baseline=(at(0, 0), at(length / 2, 0), at(length, 0)),
        confidence=confidence,
        words=tuple(words),
    )


@pytest.fixture(scope="session")
def page():
    """Two lines with a word's place each, of which one has another reading, and a line of unknown words."""
    first = placed("Café – “5 £”", (50, 100), 300, 0, confidence=0.87654321)
    first = Line(
        text=first.text,
        polygon=first.polygon,
        baseline=first.baseline,
        confidence=first.confidence,
        words=first.words,
        alternatives=("Cafe - 5 £", "Cafe – 5"),
    )
    second = placed("x < y & z's <i>", (50, 160), 400, 0, confidence=0.5)
    third = Line(
        text='a "quoted\\" line',
        polygon=((50, 200), (250.4, 200), (250.4, 230), (50, 230)),
        baseline=(),
        confidence=0.25,
        words=(),
    )
    return Page(width=640, height=480, lines=(first, second, third), model="pen@0.1")


@pytest.fixture(scope="session")
def divided():
    """A page with a block of each kind: a heading, a list, a table with an empty cell, a form, a note, two columns."""
    texts = [
        *[("Minutes", (50, 60), 40), ("we bought", (50, 120), 30), ("- milk & eggs", (50, 160), 30)],
        *[("☐ tea", (50, 200), 30), ("① call Anna", (50, 240), 30)],
        *[("Item", (50, 320), 30), ("Qty", (250, 320), 30), ("Price", (450, 320), 30)],
        *[("Apples", (50, 360), 30), ("$0.50", (450, 360), 30)],
        *[("Name:", (50, 440), 30), ("Mary", (250, 440), 30), ("Phone:", (50, 480), 30), ("555", (250, 480), 30)],
        *[("see *p. 3*", (520, 120), 20), ("left", (50, 560), 30), ("right", (350, 560), 30)],
    ]
    lines = tuple(placed(text, start, 0.5 * size * len(text), 0, size) for text, start, size in texts)

    def of(kind, *ends, blocks=()):
        return Block(kind=kind, start=ends[0], stop=ends[1], blocks=blocks)

    blocks = (
        *(of("heading", 0, 1), of("paragraph", 1, 5)),
        of("table", 5, 10, blocks=(of("row", 5, 8), of("row", 8, 10))),
        *(of("row", 10, 12), of("row", 12, 14), of("margin", 14, 15)),
        of("column", 15, 16, blocks=(of("paragraph", 15, 16),)),
        of("column", 16, 17, blocks=(of("paragraph", 16, 17),)),
    )
    return Page(width=640, height=640, lines=lines, model="pen@0.1", blocks=blocks)


@pytest.fixture(scope="session")
def marked():
    """A printed line, and two written ones: of the first, the second word and the last are struck out."""

    def striking(line, script, *gone):
        kept = tuple(word for number, word in enumerate(line.words) if number not in gone)
        struck = tuple(word for number, word in enumerate(line.words) if number in gone)
        return replace(line, text=" ".join(word.text for word in kept), words=kept, struck=struck, script=script)

    lines = (
        striking(placed("Name and place", (50, 100), 300, 0), "printed"),
        striking(placed("we never saw them again", (50, 160), 400, 10), "handwritten", 1, 4),
        striking(placed("in May", (50, 220), 120, 0), "handwritten"),
    )
    return Page(width=640, height=480, lines=lines, model="pen@0.1")


@pytest.fixture(scope="session")
def blank():
    return Page(width=640, height=480, lines=(), model="pen@0.1")


@pytest.fixture(scope="session")
def slanted():
    """Five lines that rise by ten degrees."""
    texts = (
        "we do not know how",
        "that change will come",
        "about “whether” by –",
        "decision … for 20 €",
        "by revolution — or",
    )
    lines = tuple(placed(text, (60, 200 + 70 * number), 420, 10) for number, text in enumerate(texts))
    return Page(width=640, height=640, lines=lines, model="pen@0.1")


def standards(name):
    """A file among what `make install` puts beside the environment."""
    folder = Path(os.environ.get("TEXT_RECOGNIZER_STANDARDS", Path(sys.prefix) / "standards"))
    found = next(folder.glob(name), None) if folder.is_dir() else None
    if found is None:
        missing = f"{name}, which documents are checked against, is not in {folder}; run: make install"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture(scope="session")
def schema(tmp_path_factory):
    """A check of a document by a schema, alto-4-3.xsd or pagecontent.xsd: it raises where the two do not fit."""
    folder = tmp_path_factory.mktemp("schemas")
    with tarfile.open(standards("kraken-*.tar.gz")) as archive:
        for member in archive.getmembers():
            if member.name.endswith(".xsd"):
                (folder / Path(member.name).name).write_bytes(archive.extractfile(member).read())
    parser = etree.XMLParser(no_network=True)
    known = {name: etree.XMLSchema(etree.parse(folder / name, parser)) for name in ("alto-4-3.xsd", "pagecontent.xsd")}
    return lambda name, document: known[name].assertValid(etree.parse(io.BytesIO(document)))


@pytest.fixture(scope="session")
def hocr_spec(tmp_path_factory):
    """A check of hOCR documents: what the specification's own program finds wrong with them."""
    folder = standards("hocr_spec").parent
    files = tmp_path_factory.mktemp("hocr")

    def check(*documents):
        for number, document in enumerate(documents):
            (files / f"{number}.hocr").write_bytes(document)
        code = (
            "import sys; from hocr_spec import HocrValidator\n"
            "for file in sys.argv[1:]: print(HocrValidator('standard').validate(file).format('text'))"
        )
        names = [str(files / f"{number}.hocr") for number in range(len(documents))]
        command = [sys.executable, "-W", "ignore", "-c", code, *names]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(folder)}, check=False
        )
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith(("[ERROR]", "[FATAL]"))]

    return check
