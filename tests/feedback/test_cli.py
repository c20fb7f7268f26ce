"""The command `text-recognizer feedback`, and the training data that it makes."""

import hashlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from text_recognizer.cli import main
from text_recognizer.evaluation.sets import load_set
from text_recognizer.feedback.store import Store
from text_recognizer.formats.json_lines import to_dict
from text_recognizer.reader import Reader

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def encoded(pixels, kind="PNG"):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The store that the command finds by the environment."""
    monkeypatch.setenv("TEXT_RECOGNIZER_FEEDBACK", str(tmp_path / "feedback"))
    monkeypatch.delenv("TEXT_RECOGNIZER_FEEDBACK_IMAGES", raising=False)
    return Store.open(tmp_path / "feedback")


@pytest.fixture(scope="module")
def read_page(drawn):
    """A small page as it is really read: three lines."""
    page = Reader(threads=1).read(drawn, "fast")
    assert len(page.lines) == 3
    return to_dict(page)


@pytest.fixture
def keep(store, reading, said, drawn, read_page):
    """Keeps a page, drawn anew for each request, with what is said of it."""

    def keep(request_id, *feedback, image=None, page=read_page, minutes=0.0, model="pen@0.2"):
        if image is None:
            pixels = drawn.copy()
            pixels[:20, :20] = int(hashlib.sha256(request_id.encode()).hexdigest()[:2], 16)
            image = encoded(pixels)
        known = replace(reading(request_id, image, minutes), page=page, model=model)
        store.log([(known, image)])
        for number, what in enumerate(feedback):
            store.flag(replace(said(f"{request_id}-{number}", request_id, **what), at=NOW + timedelta(minutes=minutes)))
        return image

    return keep


def run(capsys, *arguments):
    status = main(["feedback", *map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


def lines_of(folder):
    return [json.loads(line) for line in (folder / "lines.jsonl").read_text(encoding="utf-8").splitlines()]


# ------------------------------------------------------------------------------------------------- looking, deleting


def test_list_shows_feedback_newest_first(capsys, keep):
    keep("r1", {"flag": "incorrect", "comment": "wrong \x1b[31m name", "lines": ("a", "b", "c"), "checked": True})
    keep("r2", minutes=5)
    keep("r3", {"flag": "offensive"}, minutes=10, model="other@1")
    status, out, _ = run(capsys, "list")
    assert (status, [line.split()[2] for line in out.splitlines()]) == (0, ["r3", "r1"])
    assert "incorrect,corrected,checked" in out
    assert "\x1b" not in out
    assert len(run(capsys, "list", "--all")[1].splitlines()) == 3
    assert len(run(capsys, "list", "--limit", 1)[1].splitlines()) == 1
    assert "r3" in run(capsys, "list", "--model", "other")[1]
    assert run(capsys, "list", "--since", "2026-11-24T12:30")[1] == ""
    found = [json.loads(line) for line in run(capsys, "list", "--json")[1].splitlines()]
    assert [record["request_id"] for record in found] == ["r3", "r1"]
    assert found[1]["feedback"][0]["lines"] == ["a", "b", "c"]
    assert found[1]["page"]["width"] == 480


def test_show_sets_what_was_read_beside_what_is_written_there(capsys, keep, read_page):
    texts = [line["text"] for line in read_page["lines"]]
    keep("r1", {"flag": "incorrect", "lines": (texts[0], "changed", "")})
    _, out, _ = run(capsys, "show", "r1")
    assert f"  {texts[0]}\n- {texts[1]}\n+ changed\n- {texts[2]}\n+\n" in out
    assert json.loads(run(capsys, "show", "r1", "--json")[1])["request_id"] == "r1"
    keep("r2", {"text": "whole\ntext"})
    assert "+ whole\n+ text\n" in run(capsys, "show", "r2")[1]


def test_image_is_written_as_it_came(capsys, keep, tmp_path):
    image = keep("r1")
    assert run(capsys, "image", "r1", "-o", tmp_path / "page.png")[0] == 0
    assert (tmp_path / "page.png").read_bytes() == image


def test_delete_and_expire(capsys, keep, store, files, tmp_path):
    keep("r1", {"flag": "other"})
    keep("r2", minutes=-60 * 24 * 40)
    keep("r3", {"flag": "other"}, minutes=-60 * 24 * 40)
    status, out, _ = run(capsys, "expire", "--days", (datetime.now(UTC) - NOW).days + 30)
    assert (status, out.split()[0]) == (0, "1")
    assert store.get("r2") is None
    assert run(capsys, "delete", "r1", "r3")[0] == 0
    assert list(store.records()) == []
    assert files(tmp_path / "feedback" / "images") == []


def test_unknown_request_is_reported(capsys, store, keep, tmp_path):
    keep("r1")
    for arguments in (("show", "r9"), ("image", "r9", "-o", tmp_path / "x"), ("delete", "r1", "r9")):
        status, _, err = run(capsys, *arguments)
        assert (status, "no reading r9 is stored" in err) == (7, True)
    assert store.get("r1") is None


def test_store_that_cannot_be_used_ends_with_its_status(capsys, store, tmp_path, monkeypatch):
    (tmp_path / "feedback").mkdir()
    (tmp_path / "feedback" / "feedback.db").write_bytes(b"no database " * 1000)
    assert run(capsys, "list")[0] == 9
    monkeypatch.setenv("TEXT_RECOGNIZER_FEEDBACK", "off")
    assert run(capsys, "list")[0] == 2
    assert run(capsys, "list", "--store", tmp_path / "nothing")[0] == 0
    monkeypatch.setenv("TEXT_RECOGNIZER_RETENTION_DAYS", "0")
    assert run(capsys, "expire", "--store", tmp_path / "nothing")[0] == 2


# ------------------------------------------------------------------------------------------------------------ export


def test_changed_lines_are_exported_and_unchanged_ones_only_where_all_were_looked_at(capsys, keep, read_page, tmp_path):
    texts = [line["text"] for line in read_page["lines"]]
    keep("changed", {"flag": "incorrect", "lines": ("the quick", texts[1], "")})
    keep("checked", {"lines": ("the quick", texts[1], ""), "checked": True}, minutes=1)
    keep("right", {"checked": True}, minutes=2)
    keep("flagged", {"flag": "incorrect"}, minutes=3)
    keep("untouched", {"lines": tuple(texts)}, minutes=4)
    folder = tmp_path / "corrections"
    status, out, err = run(capsys, "export", folder)
    assert status == 0
    assert "6 lines (2 corrected, 4 right as they were read)" in out
    assert "nobody checked them all" in err
    rows = lines_of(folder)
    assert [(row["request_id"], row["text"]) for row in rows] == [
        ("changed", "the quick"),
        ("checked", "the quick"),
        ("checked", texts[1]),
        *(("right", text) for text in texts),
    ]
    assert rows[0]["polygon"] == read_page["lines"][0]["polygon"]
    assert rows[0]["baseline"] == read_page["lines"][0]["baseline"]
    manifest = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    assert (manifest["lines"], manifest["corrected"], manifest["unchanged"], manifest["removed"]) == (6, 2, 4, 2)
    assert manifest["request_ids"] == ["changed", "checked", "right"]
    assert manifest["models"] == {"pen@0.2": 3}
    assert [skipped["request_id"] for skipped in manifest["skipped"]] == ["untouched"]
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert len(manifest["files"]) == 4


def test_export_is_read_by_training_and_by_evaluate(capsys, keep, tmp_path):
    truth = ("the quick brown fox", "jumps over the lazy", "dog near the bank")
    keep("r1", {"lines": truth, "checked": True})
    keep("r2", {"text": "\n".join(truth), "checked": True}, minutes=1)
    keep("r3", {"text": "the whole page\nin two lines"}, minutes=2)
    folder = tmp_path / "corrections"
    run(capsys, "export", folder, "--writer", "me")
    found = load_set(folder)
    assert not found.skipped
    assert [(page.writer, len(page.lines)) for page in found.pages] == [("me", 3), ("me", 3)]
    assert [line.text for line in found.pages[0].lines] == list(truth)
    [page] = load_set(folder / "pages").pages
    assert page.text == "the whole page\nin two lines"
    assert main(["evaluate", str(folder), "--mode", "fast", "--json", str(tmp_path / "report.json")]) == 0
    assert "samples 6" in capsys.readouterr().out
    assert main(["evaluate", str(folder / "pages"), "--by", "page", "--mode", "fast"]) == 0


def test_same_store_gives_the_same_bytes_and_an_export_is_replaced(capsys, keep, tmp_path, files):
    keep("r1", {"lines": ("a", "b", "c")})
    keep("r2", {"text": "x\ny"}, minutes=1)
    first, second = tmp_path / "first", tmp_path / "second"
    run(capsys, "export", first)
    run(capsys, "export", second)
    assert {name: (first / name).read_bytes() for name in files(first)} == {
        name: (second / name).read_bytes() for name in files(second)
    }
    keep("r3", {"lines": ("d", "e", "f")}, minutes=2)
    run(capsys, "export", first)
    assert len(lines_of(first)) == 6
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["feedback", "first", "second"]


def test_what_is_left_out_is_reported(capsys, keep, store, drawn, tmp_path):
    keep("rude", {"lines": ("a", "b", "c")}, {"flag": "offensive"})
    keep("other", {"lines": ("a", "b", "c")}, model="other@1", minutes=1)
    twice = keep("twice", {"lines": ("a", "b", "c")}, minutes=2)
    keep("again", {"lines": ("d", "e", "f")}, image=twice, minutes=3)
    keep("empty", {"text": "  \n"}, minutes=4)
    keep("gone", {"lines": ("a", "b", "c")}, minutes=5)
    (tmp_path / "feedback" / "images" / store.get("gone").reading.image).unlink()
    folder = tmp_path / "corrections"
    _, _, err = run(capsys, "export", folder, "--model", "pen")
    assert [row["request_id"] for row in lines_of(folder)] == ["again"] * 3
    assert "offensive" in err
    assert "corrected again" in err
    assert "no text" in err
    assert "missing" in err
    run(capsys, "export", folder, "--offensive")
    assert {"rude", "other"} <= {row["request_id"] for row in lines_of(folder)}


def test_formats_that_sets_do_not_know_become_png(capsys, keep, drawn, tmp_path):
    keep("gif", {"lines": ("a", "b", "c")}, image=encoded(drawn, "GIF"))
    keep("jpeg", {"lines": ("a", "b", "c")}, image=encoded(drawn, "JPEG"), minutes=1)
    run(capsys, "export", tmp_path / "corrections")
    assert sorted({row["image"].rpartition(".")[2] for row in lines_of(tmp_path / "corrections")}) == ["jpg", "png"]
    assert len(load_set(tmp_path / "corrections").pages) == 2


def test_folder_that_holds_something_else_is_left_alone(capsys, keep, tmp_path):
    keep("r1", {"lines": ("a", "b", "c")})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    status, _, err = run(capsys, "export", tmp_path / "mine")
    assert (status, "something other" in err) == (2, True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    assert run(capsys, "export", "/proc/corrections")[0] == 5


def test_nothing_to_export_is_reported(capsys, store, keep, tmp_path):
    assert run(capsys, "export", tmp_path / "corrections")[0] == 7
    keep("r1", {"flag": "incorrect"})
    assert run(capsys, "export", tmp_path / "corrections")[0] == 7
    assert not (tmp_path / "corrections").exists()
