"""A batch on Ray reads each page once, whatever ends an actor, and goes on where it stopped."""

import contextlib
import json
import os
import pickle
import signal
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer import cli
from text_recognizer.batch.work import Options, Task
from text_recognizer.documents import find_pages

pytest.importorskip("ray", reason="751 MB: pip install '.[ray]'")
from text_recognizer.integrations.ray import Actor, Place, read_ray

WORDS = ("letter", "paper", "house", "river")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for number, text in enumerate(WORDS):
        image = Image.new("L", (360, 160), 255)
        ImageDraw.Draw(image).text((80, 60), text, font=ImageFont.load_default(36), fill=0)
        image.save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"rubbish")
    return folder


def run(scans, output, *arguments):
    common = ["batch", str(scans), "--output", str(output), "--mode", "fast", "--ray", "local", "--jobs", "2"]
    return cli.main([*common, *arguments])


def test_each_page_is_read_once_and_resumed_where_it_stopped(scans, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(scans, out, "--format", "text,json") == 3
    assert "4 pages read" in capsys.readouterr().err
    assert [(out / f"{n}.txt").read_text().strip() for n in range(4)] == list(WORDS)
    (failure,) = map(json.loads, (out / "errors.jsonl").read_text().splitlines())
    assert (failure["stem"], failure["error"]) == ("broken", "image-rejected")
    records = [json.loads(file.read_bytes()) for file in sorted((out / ".done").rglob("*.json"))]
    assert sorted(record["stem"] for record in records) == ["0", "1", "2", "3"]
    assert all((out / name).is_file() for record in records for name in record["files"])

    assert run(scans, out) == 2  # it would mix two batches
    written = {file: file.stat().st_mtime_ns for file in out.glob("*.txt")}
    next((out / ".done").rglob(f"{records[0]['key']}.json")).unlink()  # as if its actor had not come so far
    assert run(scans, out, "--format", "text,json", "--resume") == 3
    assert "1 pages read" in (err := capsys.readouterr().err)
    assert "3 had been read before" in err
    changed = {file.stem for file, time in written.items() if file.stat().st_mtime_ns != time}
    assert changed == {records[0]["stem"]}


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    """A document of two pages, a PDF, and an image."""
    folder = tmp_path_factory.mktemp("boxes")
    pages = []
    for text in WORDS[:3]:
        image = Image.new("L", (360, 160), 255)
        ImageDraw.Draw(image).text((80, 60), text, font=ImageFont.load_default(36), fill=0)
        pages.append(image)
    pages[0].save(folder / "box.tif", save_all=True, append_images=pages[1:2])
    pages[2].save(folder / "house.pdf", resolution=200)
    pages[0].save(folder / "letter.png")
    return folder


def test_documents_and_tables_are_those_of_a_batch_without_ray(boxes, tmp_path, capsys):
    common = ["batch", str(boxes), "--mode", "fast", "--jobs", "2", "--format", "text,pdf,page", "--table", "jsonl"]
    plain, spread = tmp_path / "plain", tmp_path / "ray"
    assert cli.main([*common, "--output", str(plain)]) == 0
    assert cli.main([*common, "--output", str(spread), "--ray", "local"]) == 0
    assert "4 pages read" in capsys.readouterr().err

    def results(folder):
        hidden = {file for name in (".pages", ".done") for file in (folder / name).rglob("*")}
        files = {file for file in folder.rglob("*") if file.is_file()} - hidden - {folder / "batch.jsonl"}
        return {
            file.name: file.read_text() if file.suffix in (".txt", ".jsonl") else file.stat().st_size > 100
            for file in files
        }

    assert results(spread) == results(plain)
    assert results(spread)["box.txt"] == "letter\n\fpaper\n"
    (spread / "pages.jsonl").unlink()
    assert cli.main([*common, "--output", str(spread), "--ray", "local", "--resume"]) == 0
    assert "0 pages read" in capsys.readouterr().err
    assert results(spread) == results(plain)


def test_document_is_put_together_at_an_address_of_fsspec(boxes):
    place = Place("memory://boxes")
    options = Options(output=Path(), formats=("text", "pdf"), mode="fast")
    actor = Actor(options, place)
    parts = tuple(Task(str(n) * 32, page) for n, page in enumerate(find_pages(boxes / "box.tif")))
    for task in (*parts, Task("d" * 32, parts[0].page, parts=parts)):
        record = json.loads(actor({"task": pickle.dumps(task)})["record"])
    assert record["files"] == ["box.txt", "box.pdf"]
    assert place.read("box.txt") == b"letter\n\fpaper\n"
    assert (place.read("box.pdf") or b"").startswith(b"%PDF-")


def reading_processes():
    """Process ids of the actors that Ray has started."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if (folder / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                found.append(int(folder.name))
    return found


def test_actor_that_is_killed_is_replaced_and_its_pages_are_read(scans, tmp_path):
    killed, records = [], []

    def kill_one(record):
        records.append(record)
        if not killed and (processes := reading_processes()):
            os.kill(processes[0], signal.SIGKILL)
            killed.append(processes[0])

    options = Options(output=tmp_path, formats=("text",), mode="fast", jobs=2)
    summary = read_ray(find_pages(sorted(scans.glob("[0-9].png"))), options, str(tmp_path / "out"), report=kill_one)
    assert killed
    assert (summary.read, summary.failed) == (4, 0)
    assert sorted(record["stem"] for record in records) == ["0", "1", "2", "3"]
    assert [(tmp_path / "out" / f"{n}.txt").read_text().strip() for n in range(4)] == list(WORDS)


@pytest.mark.parametrize(("times", "error"), [(0, None), (1, None), (2, "image-rejected")])
def test_page_that_keeps_ending_its_process_is_given_up(scans, times, error):
    place = Place(f"memory://batch-{times}")
    task = Task("a" * 32, next(find_pages(scans / "0.png")))
    place.write(f".begun/{task.key}", str(times).encode())
    options = Options(output=Path(), formats=("text",), mode="fast", retry=1)
    record = json.loads(Actor(options, place)({"task": pickle.dumps(task)})["record"])
    assert record.get("error") == error
    assert (place.read("0.txt") is None) == bool(error)
    if error:
        assert "its process was killed" in record["message"]
    else:  # at any address that fsspec knows
        assert place.read("0.txt") == b"letter\n"
        assert place.names(".done") == {f"{task.key}.json"}


def test_ray_that_is_not_there_is_a_usage_error(scans, tmp_path, capsys):
    common = ["batch", str(scans), "--output", str(tmp_path / "out"), "--mode", "fast"]
    assert cli.main([*common, "--ray", "nonsense://here"]) == 2
    assert "nonsense://here" in capsys.readouterr().err
    assert cli.main([*common, "--ray", "local", "--watch"]) == 2
