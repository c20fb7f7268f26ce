"""An assistant reads below one folder over the SDK's own client on standard input and output, and nothing else."""

import asyncio
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from PIL import Image, ImageDraw, ImageFont

from text_recognizer import cli
from text_recognizer.reader import Reader


def word(text: str) -> Image.Image:
    """A small page with one printed word."""
    image = Image.new("L", (360, 160), 255)
    ImageDraw.Draw(image).text((80, 60), text, font=ImageFont.load_default(36), fill=0)
    return image


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    word("secret").save(outside / "secret.png")
    root = tmp_path_factory.mktemp("root")
    (root / "box").mkdir()
    word("letter").save(root / "box" / "page.png")
    Image.new("L", (200, 100), 255).save(root / "blank.png")
    word("letter").save(root / "notes.pdf", save_all=True, append_images=[word("paper"), word("house")], resolution=200)
    (root / "broken.png").write_bytes(b"rubbish")
    (root / "manifest.json").write_text('{"@context": "http://iiif.io/api/presentation/3/context.json"}')
    (root / "link.png").symlink_to(outside / "secret.png")
    (root / "way").symlink_to(outside)
    (root / "texts").mkdir()
    (root / "texts" / "1905.txt").write_text("Dear friend,\nwe met in the café\n", encoding="utf-8")
    lines = [{"text": "the quick fox", "alternatives": ["the quick box"]}, {"text": "jumps"}]
    (root / "texts" / "scans.jsonl").write_text(json.dumps({"source": "fox.jpg", "lines": lines}) + "\n[1]\n{\n")
    (root / "texts" / "out.txt").symlink_to("/etc/passwd")
    return root


def session(root, *calls, most=2):
    """The answers of one server, started for this, to calls of (tool, arguments); and the names of its tools."""
    arguments = ["-m", "text_recognizer", "mcp", "--root", str(root), "--mode", "fast", "--max-pages", str(most)]
    server = StdioServerParameters(command=sys.executable, args=[*arguments, "--threads", "1"], env=dict(os.environ))

    async def talk():
        async with Client(server) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            return tools, [await client.call_tool(name, given) for name, given in calls]

    return asyncio.run(talk())


def test_images_and_documents_are_read_with_their_places(root):
    tools, answers = session(
        root,
        ("read_image", {"path": "box/page.png"}),
        ("read_image", {"path": str(root / "box" / "page.png"), "mode": "accurate"}),
        ("read_image", {"path": "blank.png"}),
        ("read_document", {"path": "notes.pdf"}),
        ("read_document", {"path": "notes.pdf", "pages": "3"}),
    )
    assert sorted(tools) == ["read_document", "read_image", "search"]
    assert not any(answer.is_error for answer in answers)
    image, absolute, blank, document, rest = [answer.structured_content for answer in answers]
    page = Reader(threads=1).read(root / "box" / "page.png", "fast")
    assert image["text"] == absolute["text"] == page.text == "letter"
    (line,) = image["lines"]
    left, top, right, bottom = line["box"]
    assert 60 < left < right < 300
    assert 40 < top < bottom < 130
    assert line["confidence"] == round(page.lines[0].confidence, 3)
    assert (blank["text"], blank["lines"]) == ("", [])
    assert [(p["number"], p["text"]) for p in document["pages"]] == [(1, "letter"), (2, "paper")]
    assert (document["count"], document["next_pages"], document["failed"]) == (3, "3", [])
    assert [(p["number"], p["text"]) for p in rest["pages"]] == [(3, "house")]
    assert rest["next_pages"] is None


def test_nothing_outside_the_folder_is_read_and_errors_say_what_to_do(root):
    outside = "outside the folder"
    refused = {
        "../outside0/secret.png": outside, "/etc/passwd": outside, "link.png": outside, "way/secret.png": outside,
        "https://example.org/page.png": "not a file of that folder", "@texts/1905.txt": "not a file of that folder",
        "box": "not a file of that folder", "*.png": "not a file of that folder", "a\0b": "not a file of that folder",
        "x" * 5000: "not a file of that folder", "manifest.json": "not an image or document",
        "broken.png": "not an image", "notes.pdf": "use read_document",
    }  # fmt: skip
    calls = [("read_image", {"path": path}) for path in refused]
    calls += [
        ("read_document", {"path": "notes.pdf", "pages": "9-"}),
        ("read_document", {"path": "notes.pdf", "pages": "x"}),
    ]
    expected = [*refused.values(), "has no page 9-", "does not name pages"]
    _, answers = session(root, *calls)
    for (_, given), answer, reason in zip(calls, answers, expected, strict=True):
        assert answer.is_error, given
        assert reason in answer.content[0].text, given
        assert "secret" not in answer.content[0].text.replace(given["path"], "")


def test_search_finds_lines_of_results_whatever_their_case_and_accents(root):
    queries = ("CAFE met", "quick box", "jumps", "root", "nothing such", "  ")
    _, answers = session(root, *(("search", {"query": query}) for query in queries))
    found = [answer.structured_content for answer in answers[:-1]]
    hits = [[(m["file"], m["source"], m["line"], m["text"]) for m in one["matches"]] for one in found]
    assert hits == [
        [("texts/1905.txt", "texts/1905.txt", 2, "we met in the café")],
        [("texts/scans.jsonl", "fox.jpg", 1, "the quick fox")],
        [("texts/scans.jsonl", "fox.jpg", 2, "jumps")],
        [],
        [],
    ]
    assert answers[-1].is_error
    assert "query is empty" in answers[-1].content[0].text


def test_names_that_are_not_utf_8_end_no_answer(tmp_path):
    (tmp_path / os.fsdecode(b"bad\xff.txt")).write_text("dear friend")
    row = {"source": os.fsdecode(b"bad\xfe.png"), "lines": [{"text": "dear friend"}]}
    (tmp_path / "scans.jsonl").write_text(json.dumps(row))
    with zipfile.ZipFile(tmp_path / "box.zip", "w") as box:
        box.writestr("broken.png", b"rubbish")
    _, (found, broken) = session(tmp_path, ("search", {"query": "friend"}), ("read_document", {"path": "box.zip"}))
    assert {(m["file"], m["source"]) for m in found.structured_content["matches"]} == {
        ("bad\ufffd.txt", "bad\ufffd.txt"),
        ("scans.jsonl", "bad\ufffd.png"),
    }
    assert "not an image" in broken.content[0].text


def test_folder_that_is_not_there_ends_with_2(tmp_path, capsys):
    assert cli.main(["mcp", "--root", str(tmp_path / "none")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    assert cli.main(["mcp", "--root", str(tmp_path), "--max-pages", "0"]) == 2
