"""A batch reads each page once, whatever ends it in the middle, and mirrors its input."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer import cli
from text_recognizer.batch.cli import main
from text_recognizer.batch.journal import ERRORS, JOURNAL, Journal
from text_recognizer.batch.read import Folder, read_batch
from text_recognizer.batch.work import PAGES, Options, put_together, read_page, tasks
from text_recognizer.documents import Source, find_pages
from text_recognizer.errors import OutputFailed, UsageError
from text_recognizer.reader import Reader


def word(path: Path, text: str) -> None:
    """A small page with one printed word."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("L", (360, 160), 255)
    ImageDraw.Draw(image).text((80, 60), text, font=ImageFont.load_default(36), fill=0)
    image.save(path)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        word(folder / name, "letter")
    (folder / "b" / "broken.png").write_bytes(b"rubbish")
    return folder


def records(output):
    return [json.loads(line) for line in (output / JOURNAL).read_text().splitlines()]


def run(*arguments):
    return main([*map(str, arguments), "--mode", "fast", "--jobs", "1"])


def test_output_mirrors_the_input_and_failures_are_listed(scans, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(scans, "--output", out, "--format", "text,json,pdf") == 3
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    stems = ("a/1", "a/2", "b/1")
    assert files == sorted([*(s + e for s in stems for e in (".json", ".pdf", ".txt")), JOURNAL, ERRORS])
    assert (out / "a" / "1.txt").read_text().strip() == "letter"
    (failure,) = [json.loads(line) for line in (out / ERRORS).read_text().splitlines()]
    assert (failure["stem"], failure["error"]) == ("b/broken", "image-rejected")
    err = capsys.readouterr().err
    assert "b/broken.png: not an image" in err
    assert "3 pages read" in err


def test_formats_that_share_a_suffix_get_files_of_their_own(scans, tmp_path):
    out = tmp_path / "out"
    assert run(scans / "a" / "1.png", "--output", out, "--format", "alto,page,text") == 0
    assert sorted(p.name for p in out.glob("1.*")) == ["1.alto.xml", "1.page.xml", "1.txt"]


def test_second_batch_into_the_same_folder_needs_resume_and_reads_what_is_missing(scans, tmp_path):
    out = tmp_path / "out"
    assert run(scans / "a", "--output", out) == 0
    with pytest.raises(UsageError, match="--resume"):
        run(scans / "a", "--output", out)
    before = (out / "1.txt").stat().st_mtime_ns
    (out / "2.txt").unlink()
    assert run(scans / "a", "--output", out, "--resume") == 0
    assert (out / "1.txt").stat().st_mtime_ns == before
    assert (out / "2.txt").exists()
    assert [r["stem"] for r in records(out)] == ["1", "2", "2"]


def test_changed_page_or_options_are_read_again(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    word(source / "1.png", "letter")
    run(source, "--output", out)
    word(source / "1.png", "paper")
    run(source, "--output", out, "--resume")
    assert (out / "1.txt").read_text().strip() == "paper"
    run(source, "--output", out, "--resume", "--format", "text,csv")
    assert (out / "1.csv").exists()
    assert len(records(out)) == 3


def test_line_that_a_kill_cut_off_is_dropped(tmp_path):
    with Journal(tmp_path, resume=False) as journal:
        journal.add({"key": "1", "files": []})
        journal.add({"key": "2", "files": []})
    whole = (tmp_path / JOURNAL).read_bytes()
    (tmp_path / JOURNAL).write_bytes(whole + b'{"key": "3", "fi')
    with Journal(tmp_path, resume=True) as journal:
        assert set(journal.done) == {"1", "2"}
        journal.add({"key": "4", "files": []})
    assert [r["key"] for r in records(tmp_path)] == ["1", "2", "4"]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_batch_that_was_ended_in_the_middle_loses_and_doubles_nothing(tmp_path, end):
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(12):
        word(source / f"{number:02}.png", f"page {number}")
    command = [sys.executable, "-m", "text_recognizer", "batch", str(source), "--output", str(out), "--jobs", "2"]
    process = subprocess.Popen([*command, "--mode", "fast"], stderr=subprocess.PIPE, start_new_session=True)
    while not (out / JOURNAL).exists() or (out / JOURNAL).read_bytes().count(b"\n") < 2:
        assert process.poll() is None
        time.sleep(0.02)
    if end == signal.SIGKILL:
        os.killpg(process.pid, end)
    else:
        process.send_signal(end)
    _, err = process.communicate(timeout=120)
    done = {r["stem"] for r in records(out)} if end == signal.SIGTERM else set()
    if end == signal.SIGTERM:
        assert process.returncode == 0
        assert b"--resume" in err
        assert all((out / f"{stem}.txt").is_file() for stem in done)
        assert 2 <= len(done) < 12
    assert run(source, "--output", out, "--resume") == 0
    stems = [r["stem"] for r in records(out)]
    assert sorted(stems) == [f"{n:02}" for n in range(12)]
    assert sorted(p.name for p in out.glob("*.txt")) == [f"{n:02}.txt" for n in range(12)]
    assert not list(out.rglob(".*"))


def test_page_that_ends_its_process_costs_no_other(tmp_path):
    """A decoder that is killed (out of memory) takes its pool along; the other pages in hand are read all the same."""
    for name in ("1.png", "2.png", "3.png"):
        word(tmp_path / "in" / name, "letter")
    killer = tmp_path / "killer.py"
    killer.write_text(
        "import os, signal\nfrom text_recognizer.reader import Reader\nread = Reader.read\n"
        "def deadly(self, image, mode='accurate', lines=None, **options):\n"
        "    page = read(self, image, mode, lines, **options)\n"
        "    if page.text.strip() == 'bad':\n        os.kill(os.getpid(), signal.SIGKILL)\n    return page\n"
        "Reader.read = deadly\n"
    )
    word(tmp_path / "in" / "bad.png", "bad")
    (tmp_path / "sitecustomize.py").write_text("import killer\n")
    where = os.pathsep.join([str(tmp_path), *sys.path])
    command = [
        sys.executable,
        "-m",
        "text_recognizer",
        "batch",
        "in",
        "--output",
        "out",
        "--jobs",
        "2",
        "--mode",
        "fast",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": where}, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "its process was killed" in done.stderr
    assert sorted(p.name for p in (tmp_path / "out").glob("*.txt")) == ["1.txt", "2.txt", "3.txt"]


def test_folder_that_cannot_be_written_is_one_error(scans, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFailed, match="choose another"):
        run(scans, "--output", tmp_path / "file" / "out")


def test_watched_folder_gets_its_results_as_files_come(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    command = [sys.executable, "-m", "text_recognizer", "batch", str(source), "--output", str(out), "--jobs", "1"]
    process = subprocess.Popen([*command, "--mode", "fast", "--watch"], stderr=subprocess.PIPE)
    try:
        for name in ("1", "2"):
            word(source / f"{name}.png", "letter")
            end = time.monotonic() + 120
            while not (out / f"{name}.txt").exists():
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def box(path, *texts):
    """A document of several pages with a word each."""
    pages = []
    for text in texts:
        word(path.with_name("page.png"), text)
        with Image.open(path.with_name("page.png")) as image:
            pages.append(image.convert("L"))
    path.with_name("page.png").unlink()
    pages[0].save(path, save_all=True, append_images=pages[1:])


def test_documents_are_put_together_when_all_their_pages_are_read(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    box(source / "letters.tif", "letter", "paper", "page")
    box(source / "scan.pdf", "first", "second")
    word(source / "z.png", "alone")
    assert run(source, "--output", out, "--format", "text,pdf,alto") == 0
    assert sorted(p.name for p in out.iterdir() if not p.name.startswith(".")) == sorted(
        [JOURNAL, "z.txt", "z.pdf", "z.xml", "letters.txt", "letters.pdf", "letters.mets.xml", "scan.txt", "scan.pdf",
         "scan.mets.xml", *(f"letters-00{n}.xml" for n in (1, 2, 3)), "scan-001.xml", "scan-002.xml"]
    )  # fmt: skip
    assert [text.strip() for text in (out / "letters.txt").read_text().split("\f")] == ["letter", "paper", "page"]
    pdfium = pytest.importorskip("pypdfium2")
    texts = [page.get_textpage().get_text_range().split() for page in pdfium.PdfDocument(out / "scan.pdf")]
    assert texts == [text.split() for text in (out / "scan.txt").read_text().split("\f")]
    assert len(texts) == 2


def test_resume_puts_a_document_together_again_only_where_something_is_missing(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    box(source / "letters.tif", "letter", "paper")
    assert run(source, "--output", out) == 0
    before = (out / "letters.txt").stat().st_mtime_ns
    assert run(source, "--output", out, "--resume") == 0
    assert (out / "letters.txt").stat().st_mtime_ns == before
    assert len(records(out)) == 3  # two pages and the document
    (out / "letters.txt").unlink()
    assert run(source, "--output", out, "--resume") == 0
    assert (out / "letters.txt").read_text().count("\f") == 1
    assert len(records(out)) == 4
    next((out / PAGES).rglob("*.json")).unlink()
    assert run(source, "--output", out, "--resume") == 0
    assert [("document" in record) for record in records(out)] == [False, False, True, True, False, True]


def test_table_has_a_row_for_each_page_also_of_an_earlier_run(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    word(source / "1.png", "letter")
    box(source / "two.tif", "paper", "page")
    (source / "broken.png").write_bytes(b"rubbish")
    assert run(source, "--output", out, "--table", "jsonl") == 3
    rows = [json.loads(line) for line in (out / "pages.jsonl").read_text().splitlines()]
    assert [(Path(row["source"]).name, row["page"], row["text"]) for row in rows] == [
        ("1.png", 1, "letter"), ("two.tif", 1, "paper"), ("two.tif", 2, "page"),
    ]  # fmt: skip
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow, of the extra `parquet`, is not installed")
    assert run(source, "--output", out, "--table", "parquet", "--resume") == 3
    table = parquet.read_table(out / "pages.parquet")
    assert table.column("text").to_pylist() == ["letter", "paper", "page"]
    assert table.column("lines").to_pylist()[0][0]["words"][0]["text"] == "letter"
    # Three pages, their document and the broken page; only that one is tried again.
    assert len(records(out)) == 5 + 1


def test_images_of_a_manifest_are_fetched_once(tmp_path, monkeypatch):
    fetched = []
    word(tmp_path / "a.png", "letter")

    def fetch(url, max_bytes, *_, **__):
        fetched.append(url)
        return (tmp_path / "a.png").read_bytes()

    monkeypatch.setattr("text_recognizer.web.fetch", fetch)
    pages = [replace(page, source=Source(url="https://example.org/a.png")) for page in find_pages(tmp_path / "a.png")]
    monkeypatch.setattr("text_recognizer.batch.read.ProcessPoolExecutor", InThisProcess)
    summary = read_batch(pages, Options(output=tmp_path / "out", formats=("text", "pdf"), mode="fast", jobs=1))
    assert (summary.read, fetched) == (1, ["https://example.org/a.png"])


class InThisProcess:
    """A pool of no processes, in which what tests replace is seen."""

    def __init__(self, jobs, *, mp_context, initializer, initargs):
        initializer(*initargs)

    def submit(self, work, task):
        future = Future()
        future.set_result(work(task))
        return future

    def shutdown(self, **_):
        pass


def test_names_that_are_not_utf8_are_read_and_resumed(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    word(source / "new\nline.png", "letter")
    (source / os.fsdecode(b"caf\xe9.png")).write_bytes((source / "new\nline.png").read_bytes())
    for _ in range(2):
        assert run(source, "--output", out, "--format", "text,json,alto", "--table", "parquet", "--resume") == 0
        assert len(records(out)) == 2
        texts = sorted(os.fsencode(path.name) for path in out.glob("*.txt"))
        assert texts == [b"caf\xe9.txt", b"new\nline.txt"]


def test_results_inside_the_input_are_not_read_and_inputs_are_not_replaced(tmp_path, capsys):
    source = tmp_path / "in"
    word(source / "1.png", "letter")
    box(source / "2.pdf", "first", "second")
    for _ in range(2):
        assert run(source, "--output", source / "out", "--format", "pdf", "--resume") == 0
    assert "0 pages read; 3 had been read before" in capsys.readouterr().err
    before = (source / "2.pdf").read_bytes()
    for output in (source, tmp_path):
        with pytest.raises(UsageError, match="lies in the output folder"):
            run(source, "--output", output, "--format", "pdf")
    assert (source / "2.pdf").read_bytes() == before


def test_documents_called_like_the_files_of_a_batch_replace_none_of_them(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("batch", "errors", "pages"):
        box(source / f"{name}.pdf", "first", "second")
    (source / "bad.png").write_bytes(b"rubbish")
    for _ in range(2):
        assert run(source, "--output", out, "--format", "json", "--table", "jsonl", "--resume") == 3
        assert {"key", "files"} <= records(out)[0].keys()
        assert len((out / "errors.jsonl").read_text().splitlines()) == 1
        assert len((out / "pages.jsonl").read_text().splitlines()) == 6
        for name in ("batch", "errors", "pages"):
            assert len((out / f"{name}.json.jsonl").read_text().splitlines()) == 2


def test_two_batches_do_not_write_to_one_folder(scans, tmp_path):
    with Journal(tmp_path, resume=False), pytest.raises(UsageError, match="another batch is writing"):
        run(scans / "a", "--output", tmp_path, "--resume")
    assert run(scans / "a", "--output", tmp_path, "--resume") == 0


def test_journal_that_was_damaged_or_is_of_another_program_is_read_as_far_as_it_goes(scans, tmp_path):
    assert run(scans / "a", "--output", tmp_path) == 0
    good = (tmp_path / JOURNAL).read_bytes().splitlines(keepends=True)
    odd = (
        b'garbage\n\xff\xfe\n{"key": 5}\n[]\nnull\n{"version": 9}\n{"key": "y", "files": 7}\n{"key": [], "files": []}\n'
    )
    (tmp_path / JOURNAL).write_bytes(good[0] + odd + b"[" * 100_000 + b"\n" + good[1] + b'{"key": "z", "fil')
    before = (tmp_path / "1.txt").stat().st_mtime_ns
    assert run(scans / "a", "--output", tmp_path, "--resume") == 0
    assert (tmp_path / "1.txt").stat().st_mtime_ns == before


def test_full_disk_ends_the_batch_with_what_to_do(scans, tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputFailed, match="No space left on device") as stopped:
        run(scans / "a", "--output", tmp_path)
    assert "--resume" in str(stopped.value)
    monkeypatch.undo()
    assert run(scans / "a", "--output", tmp_path, "--resume") == 0
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["1.txt", "2.txt"]


def test_images_of_a_manifest_are_fetched_once_also_for_a_pdf(tmp_path, monkeypatch):
    word(tmp_path / "1.png", "letter")
    fetched = []

    def fetch(url, most):
        fetched.append(url)
        return (tmp_path / "1.png").read_bytes()

    monkeypatch.setattr("text_recognizer.web.fetch", fetch)
    addresses = ["https://x.org/1.png", "https://x.org/2.png"]
    canvases = [{"items": [{"items": [{"body": {"id": address}}]}]} for address in addresses]
    (tmp_path / "m.json").write_text(json.dumps({"items": canvases}))
    options = Options(output=tmp_path, formats=("pdf", "text"), mode="fast")
    reader, place = Reader(threads=1), Folder(tmp_path)
    parts = tuple(task for task in tasks(find_pages(tmp_path / "m.json"), "") if task)
    for task in parts:
        read_page(task, reader, options, place)
    record = put_together(replace(parts[0], parts=parts), options, place)
    assert fetched == addresses
    assert (tmp_path / "m.txt").read_text() == "letter\n\fletter\n"
    assert record["files"] == ["m.pdf", "m.txt"]


def test_second_interrupt_ends_at_once_and_orphans_end_with_their_batch(tmp_path):
    """Pages that take for ever: nobody waits for them, and no process is left behind."""
    source = tmp_path / "in"
    for number in range(4):
        word(source / f"{number}.png", "letter")
    slow = "import time\nfrom text_recognizer.reader import Reader\nReader.read = lambda *_, **__: time.sleep(600)\n"
    (tmp_path / "sitecustomize.py").write_text(slow)
    where = os.pathsep.join([str(tmp_path), *sys.path])
    command = [sys.executable, "-m", "text_recognizer", "batch", "in", "--jobs", "2", "--mode", "fast"]
    for name, ends in (("twice", [signal.SIGINT, signal.SIGINT]), ("killed", [signal.SIGKILL])):
        process = subprocess.Popen(
            [*command, "--output", name], cwd=tmp_path, env={**os.environ, "PYTHONPATH": where},
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 120
        while len(children := of_parent(process.pid)) < 3:  # two readers and what multiprocessing starts beside them
            assert time.monotonic() < end
            time.sleep(0.1)
        time.sleep(2)
        for number in ends:
            process.send_signal(number)
            time.sleep(0.5)
        process.wait(timeout=30)
        end = time.monotonic() + 30
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < end
            time.sleep(0.1)


def of_parent(pid):
    """Ids of the processes that `pid` has started."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.add(stat.parent.name)
        except (OSError, ValueError):
            pass
    return found


def test_page_without_room_ends_the_batch_and_leaves_no_piece_of_a_file(scans, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    (out / "1.txt").mkdir(parents=True)  # where the result should go
    monkeypatch.setattr("text_recognizer.batch.read.FULL", 2**80)
    with pytest.raises(OutputFailed, match="no room is left"):
        run(scans / "a", "--output", out)
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]
    (out / "1.txt").rmdir()
    assert run(scans / "a", "--output", out, "--resume") == 0


def test_names_with_commands_for_a_terminal_are_escaped(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\x1b[2J\n.png").write_bytes(b"rubbish")
    assert run(tmp_path / "in", "--output", tmp_path / "out") == 3
    assert r"a\x1b[2J\x0a.png: not an image" in capsys.readouterr().err
    assert cli.main(["read", str(tmp_path / "in" / "a\x1b[2J\n.png")]) == 3
    assert r"a\x1b[2J\x0a.png: not an image" in capsys.readouterr().err
