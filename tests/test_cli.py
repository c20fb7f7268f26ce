"""The command line: what it prints, where it writes, and how it ends."""

import argparse
import csv
import errno
import io
import json
import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from text_recognizer import errors, formats
from text_recognizer.cli import COMMANDS, EXIT_STATUSES, main
from text_recognizer.training import cli as train


@pytest.fixture(scope="module")
def line_image(letter, tmp_path_factory) -> Path:
    """One line of the letter: 'must extend to you, who knew'."""
    path = tmp_path_factory.mktemp("lines") / "line.png"
    with Image.open(letter) as image:
        image.crop((30, 610, 1280, 740)).save(path)
    return path


@pytest.fixture
def blank(tmp_path) -> Path:
    path = tmp_path / "blank.png"
    Image.new("L", (300, 200), 255).save(path)
    return path


@pytest.fixture
def broken(tmp_path, letter) -> Path:
    path = tmp_path / "broken.jpg"
    path.write_bytes(letter.read_bytes()[:20_000])
    return path


def run(capsysbinary, *arguments) -> tuple[int, str, list[str]]:
    """Exit status, standard output, lines of standard error."""
    status = main([str(argument) for argument in arguments])
    out, err = capsysbinary.readouterr()
    return status, out.decode(), err.decode().splitlines()


def process(*arguments, **options) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "text_recognizer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **options)


# What it prints


def test_page_is_printed_as_text(capsysbinary, letter):
    status, out, err = run(capsysbinary, "read", "--mode", "fast", letter)
    assert status == 0
    assert len(out.splitlines()) >= 8
    assert err == []


def test_blank_page_prints_nothing_and_succeeds(capsysbinary, blank):
    assert run(capsysbinary, "read", blank) == (0, "", [])


def test_json_is_one_object_a_page_with_its_source(capsysbinary, letter, blank):
    status, out, _ = run(capsysbinary, "read", "--mode", "fast", "--format", "json", letter, blank)
    assert status == 0
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["source"] == str(letter)
    assert first["lines"][0]["words"][0]["polygon"]
    assert second["lines"] == []


def test_several_texts_are_headed_by_their_names(capsysbinary, line_image, blank):
    status, out, _ = run(capsysbinary, "read", "--mode", "fast", blank, line_image)
    assert status == 0
    assert out.startswith(f"==> {blank} <==\n\n==> {line_image} <==\n")


def test_lines_only_prints_one_line_for_each_image(capsysbinary, line_image, blank):
    status, out, _ = run(capsysbinary, "read", "--mode", "fast", "--lines-only", line_image, blank, line_image)
    first, second, third, rest = out.split("\n")
    assert status == 0
    assert first == third != ""
    assert second == rest == ""


def test_standard_input_is_an_image_too(capsysbinary, monkeypatch, line_image):
    _, expected, _ = run(capsysbinary, "read", "--mode", "fast", line_image)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line_image.read_bytes())))
    status, out, _ = run(capsysbinary, "read", "--mode", "fast", "-")
    assert (status, out) == (0, expected)


# What goes wrong


@pytest.mark.parametrize("first", ["broken", "blank"])
def test_others_are_still_read_when_one_fails(capsysbinary, line_image, blank, broken, first):
    order = [broken, line_image, blank] if first == "broken" else [blank, line_image, broken]
    status, out, err = run(capsysbinary, "read", "--mode", "fast", "--format", "json", *order)
    assert status == 3
    assert [json.loads(line)["source"] for line in out.splitlines()] == [str(p) for p in order if p != broken]
    assert len(err) == 1
    assert err[0].startswith(f"text-recognizer: {broken}: ")


def with_right_checksum(png: bytearray) -> bytes:
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    return bytes(png)


def refused_files() -> dict[str, bytes]:
    tiff = io.BytesIO()
    Image.effect_noise((200, 100), 50).save(tiff, "TIFF", compression="tiff_lzw")
    pages = io.BytesIO()
    Image.new("L", (50, 50)).save(pages, "TIFF", save_all=True, append_images=[Image.new("L", (50, 50))])
    thin = io.BytesIO()
    Image.new("L", (1, 400)).save(thin, "PNG")
    bomb, large = bytearray(thin.getvalue()), bytearray(thin.getvalue())
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    large[16:24] = (12_000).to_bytes(4, "big") * 2
    return {
        "empty.png": b"",
        "letter.txt": b"Dear Sir",
        "scan.pdf": b"%PDF-1.4",
        "cut.tif": tiff.getvalue()[:-3000],
        "pages.tif": pages.getvalue(),
        "thin.png": thin.getvalue(),
        "bomb.png": with_right_checksum(bomb),
        "large.png": with_right_checksum(large),
    }


def test_each_refusal_is_one_line_that_names_the_file(tmp_path):
    files = {name: data for name, data in refused_files().items() if name != "pages.tif"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "empty").mkdir()
    done = process("read", *files, "missing.png", "empty", cwd=tmp_path)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 3
    assert done.stdout == b""
    assert [line.split(": ")[1] for line in lines] == [*files, "missing.png", "empty"]
    assert [name for name, line in zip(files, lines, strict=False) if "million pixels" in line] == [
        "bomb.png",
        "large.png",
    ]


def test_missing_and_foreign_bundles_end_with_4(capsysbinary, tmp_path, blank):
    for folder in (tmp_path, tmp_path / "nothing"):
        status, out, err = run(capsysbinary, "read", "--bundle", folder, blank)
        assert (status, out, len(err)) == (4, "", 1)


@pytest.mark.parametrize(
    "arguments", [[], ["read"], ["read", "--format", "odt", "x.png"], ["read", "--threads", "0", "x.png"], ["write"]]
)
def test_wrong_arguments_end_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage: text-recognizer" in capsys.readouterr().err


def test_help_lists_the_exit_statuses(capsys):
    with pytest.raises(SystemExit) as end:
        main(["read", "--help"])
    assert end.value.code == 0
    assert EXIT_STATUSES in capsys.readouterr().out


def test_documentation_has_the_same_table_of_exit_statuses():
    documented = (Path(__file__).parent.parent / "docs" / "cli.md").read_text()
    assert f"\n\n{errors.table()}\n" in documented


def test_each_error_has_a_row_of_its_own():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    rows = [row for row in errors.exit_statuses() if row[1]]
    assert sorted(rows) == sorted((kind.exit_status, kind.code, kind.meaning, kind.advice) for kind in kinds)
    for place in (1, 2, 3):
        assert len({row[place] for row in rows}) == len(rows)


def test_reader_that_leaves_early_leaves_no_traceback(line_image):
    images = f"{line_image} " * 3
    command = f"{sys.executable} -m text_recognizer read --mode fast --format json {images} | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.stderr == b""


@pytest.mark.parametrize("command", ["fit", "stage"])
def test_missing_extra_says_what_to_install(command):
    code = (
        "import sys\nsys.modules['torch'] = None\n"
        f"from text_recognizer.cli import main\nsys.exit(main(['train', {command!r}, '--help']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 6
    assert b"run in the repository: pip install --editable '.[train]' -c constraints.txt" in done.stderr


def test_missing_module_of_the_package_is_not_taken_for_an_extra(monkeypatch):
    monkeypatch.setitem(COMMANDS, "doctor", ("text_recognizer.not_there", "review", ""))
    with pytest.raises(ModuleNotFoundError):
        main(["doctor"])


def test_advice_never_replaces_a_checkout_by_a_wheel_that_lacks_weights(monkeypatch, tmp_path):
    module = tmp_path / "lib" / "text_recognizer" / "errors.py"
    monkeypatch.setattr(errors, "__file__", str(module))
    assert errors.install_hint("mlflow").endswith("pip install '.[mlflow]'")
    (tmp_path / "pyproject.toml").touch()
    assert errors.install_hint("mlflow").endswith("pip install --editable '.[mlflow]'")


def test_every_argument_says_what_it_is_for(monkeypatch, capsys):
    shown: list[argparse.ArgumentParser] = []
    monkeypatch.setattr(argparse.ArgumentParser, "print_help", lambda parser, file=None: shown.append(parser))
    training = [["train", name] for name in train.COMMANDS]
    for command in [[], *([name] for name in COMMANDS), *training]:
        with pytest.raises(SystemExit):
            main([*command, "--help"])
    for parser in shown:
        for action in parser._actions:  # noqa: SLF001  argparse has no public list of them
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
                shown += action.choices.values()
            else:
                assert action.help, (parser.prog, action.option_strings or action.dest)
    assert len(shown) > 40


def test_missing_data_ends_with_7(capsysbinary, tmp_path):
    archive, cache = tmp_path / "nothing.tar.xz", tmp_path / "x.npz"
    status, _, err = run(capsysbinary, "train", "data", "prepare", archive, "--output", cache)
    assert (status, len(err)) == (7, 1)


# Where it writes


def test_output_to_a_file(capsysbinary, tmp_path, line_image):
    _, expected, _ = run(capsysbinary, "read", "--mode", "fast", line_image)
    target = tmp_path / "line.txt"
    status, out, _ = run(capsysbinary, "read", "--mode", "fast", "--output", target, line_image)
    assert (status, out) == (0, "")
    assert target.read_text(encoding="utf-8") == expected


def test_output_to_a_dash_is_standard_output(capsysbinary, tmp_path, line_image, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ("read", "--mode", "fast", line_image)
    assert run(capsysbinary, *given, "--output", "-") == run(capsysbinary, *given)
    assert not (tmp_path / "-").exists()


def test_output_of_several_goes_to_a_folder_that_is_made(capsysbinary, tmp_path, line_image, blank):
    folder = tmp_path / "new" / "texts"
    status, *_ = run(capsysbinary, "read", "--mode", "fast", "--format", "json", "--output", folder, line_image, blank)
    assert status == 0
    assert sorted(path.name for path in folder.iterdir()) == ["blank.json", "line.json"]


def test_output_of_one_goes_to_a_folder_that_is_there(capsysbinary, tmp_path, blank):
    status, *_ = run(capsysbinary, "read", "--output", tmp_path, blank)
    assert status == 0
    assert (tmp_path / "blank.txt").read_bytes() == b""


def test_two_images_for_one_output_file_are_refused_before_reading(capsysbinary, tmp_path):
    status, _, err = run(capsysbinary, "read", "--output", tmp_path / "out", "a/page.png", "b/page.jpg")
    assert (status, len(err)) == (2, 1)
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_written_ends_with_5(capsysbinary, tmp_path, blank):
    (tmp_path / "file").write_text("")
    for target in (tmp_path / "missing" / "x.txt", tmp_path / "file" / "x.txt", f"{tmp_path}/file/"):
        status, _, err = run(capsysbinary, "read", "--output", target, blank)
        assert (status, len(err)) == (5, 1)


def test_pdf_shows_the_image_that_came_over_standard_input(line_image, tmp_path):
    scan = tmp_path / "scan.jpg"
    with Image.open(line_image) as image:
        image.convert("RGB").save(scan)
    done = process("read", "--mode", "fast", "--format", "pdf", "-", input=scan.read_bytes())
    assert done.returncode == 0
    assert done.stdout.startswith(b"%PDF-")
    assert scan.read_bytes() in done.stdout


@pytest.mark.parametrize("name", ["alto", "page", "hocr", "pdf", "tsv"])
def test_documents_of_several_images_go_to_a_folder_each_in_its_file(capsysbinary, tmp_path, line_image, blank, name):
    arguments = ("read", "--mode", "fast", "--format", name, line_image, blank)
    status, out, err = run(capsysbinary, *arguments)
    assert (status, out, len(err)) == (2, "", 1)
    assert "--output" in err[0]
    assert run(capsysbinary, *arguments, "--output", tmp_path / "out")[0] == 0
    suffix = formats.get_format(name).suffix
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"blank{suffix}", f"line{suffix}"]


def test_csv_of_several_images_is_one_table(capsysbinary, broken, line_image, blank):
    status, out, _ = run(
        capsysbinary, "read", "--mode", "fast", "--format", "csv", broken, line_image, line_image, blank
    )
    assert status == 3
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {row["source"] for row in rows} == {str(line_image)}
    assert out.count("source,line,") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")
def test_pdf_is_not_written_to_a_terminal(blank):
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "text_recognizer", "read", "--format", "pdf", str(blank)]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"--output" in done.stderr


# How it starts


def test_reading_never_imports_what_only_training_needs(blank):
    code = (
        "import sys\nfrom text_recognizer.cli import main\n"
        f"status = main(['read', {str(blank)!r}])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\nsys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    modules = set(done.stdout.decode().split())
    assert "onnxruntime" in modules
    assert not modules & {"torch", "lightning", "scipy", "onnx", "safetensors", "rich", "matplotlib", "pandas"}


def test_help_loads_no_numpy():
    code = (
        "import sys\nfrom text_recognizer.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout.decode().splitlines()[-1] == "False"


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are of Unix")
def test_progress_bar_shows_on_a_terminal_and_leaves_standard_output_alone(blank, tmp_path):
    import pty

    other = tmp_path / "other.png"
    Image.fromarray(np.full((100, 100), 200, np.uint8)).save(other)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "text_recognizer", "read", "--format", "json", str(blank), str(other)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=60, check=True)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert b"2/2" in shown
    assert [json.loads(line)["width"] for line in done.stdout.splitlines()] == [300, 100]


def test_pages_of_a_document_are_read_one_after_the_other(capsysbinary, tmp_path, line_image):
    with Image.open(line_image) as image:
        image.convert("L").save(tmp_path / "two.tif", save_all=True, append_images=[image.convert("L")])
    status, out, err = run(capsysbinary, "read", "--mode", "fast", tmp_path / "two.tif")
    headings = [line for line in out.splitlines() if line.startswith("==>")]
    assert (status, err, len(headings)) == (0, [], 2)
    assert headings[1].endswith("two.tif, page 2 <==")
    status, _, err = run(
        capsysbinary, "read", "--mode", "fast", "--output", f"{tmp_path}/out/", "--pages", "2", tmp_path
    )
    assert (status, err) == (0, [])
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["two.txt"]


def scan(path, line_image, pages=2, **options):
    """A document of that many pages, each of one line."""
    with Image.open(line_image) as image:
        gray = image.convert("L")
        gray.save(path, save_all=True, append_images=[gray] * (pages - 1), **options)
    return path


def test_several_formats_come_of_one_reading_each_document_in_its_file(capsysbinary, tmp_path, line_image, blank):
    scan(tmp_path / "two.pdf", line_image)
    arguments = ("read", "--mode", "fast", "--format", "text,json,pdf,alto", tmp_path / "two.pdf", blank)
    status, _, err = run(capsysbinary, *arguments)
    assert (status, len(err)) == (2, 1)
    assert run(capsysbinary, *arguments, "--output", tmp_path / "out")[0] == 0
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "blank.json", "blank.pdf", "blank.txt", "blank.xml",
        "two-001.xml", "two-002.xml", "two.jsonl", "two.mets.xml", "two.pdf", "two.txt",
    ]  # fmt: skip
    first, second = (tmp_path / "out" / "two.txt").read_text(encoding="utf-8").split("\f")
    assert first == second != ""
    assert [json.loads(line)["page"] for line in (tmp_path / "out" / "two.jsonl").open()] == [1, 2]


def test_pdf_keeps_the_pages_of_a_pdf_and_gets_their_text(capsysbinary, tmp_path, line_image):
    source = scan(tmp_path / "two.pdf", line_image, title="Parish register")
    target = tmp_path / "searchable.pdf"
    status, out, err = run(capsysbinary, "read", "--mode", "fast", "--format", "pdf", source, "--output", target)
    assert (status, out, err) == (0, "", [])
    pdfium = pytest.importorskip("pypdfium2")
    document = pdfium.PdfDocument(target)
    assert document.get_metadata_dict()["Title"] == "Parish register"
    texts = [page.get_textpage().get_text_range() for page in document]
    assert texts[0] == texts[1]
    assert "must extend" in texts[0]
    archived = tmp_path / "archived.pdf"
    status, *_ = run(
        capsysbinary,
        "read",
        "--mode",
        "fast",
        "--format",
        "pdf",
        "--pages",
        "2",
        "--pdfa",
        source,
        "--output",
        archived,
    )
    assert status == 0
    assert b"<pdfaid:part>2</pdfaid:part>" in archived.read_bytes()
    assert len(pdfium.PdfDocument(archived)) == 1


@pytest.mark.parametrize(("name", "begin"), [("pdf", "%PDF-"), ("hocr", "<?xml")])
def test_document_of_several_pages_can_go_to_standard_output(tmp_path, line_image, name, begin):
    source = scan(tmp_path / "two.tif", line_image)
    done = process("read", "--mode", "fast", "--format", name, source)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(begin.encode())


def test_name_with_the_ending_of_a_format_joins_all_pages(capsysbinary, tmp_path, line_image, blank):
    arguments = ("read", "--mode", "fast", "--format", "pdf,text", line_image, blank, line_image)
    assert run(capsysbinary, *arguments, "--output", tmp_path / "all.pdf")[0] == 0
    text = (tmp_path / "all.txt").read_text(encoding="utf-8").split("\f")
    assert text[0] == text[2] != text[1] == ""
    pdfium = pytest.importorskip("pypdfium2")
    assert len(pdfium.PdfDocument(tmp_path / "all.pdf")) == 3


def test_page_that_fails_leaves_the_other_pages_in_the_document(capsysbinary, tmp_path, line_image, broken):
    arguments = ("read", "--mode", "fast", "--format", "text,pdf", line_image, broken, line_image)
    status, _, err = run(capsysbinary, *arguments, "--output", tmp_path / "all.txt")
    assert (status, len(err)) == (3, 1)
    assert len((tmp_path / "all.txt").read_text(encoding="utf-8").split("\f")) == 2
    assert run(capsysbinary, "read", broken, "--output", tmp_path / "none.txt")[0] == 3
    assert not (tmp_path / "none.txt").exists()


def test_unknown_format_among_several_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        main(["read", "--format", "text,odt", "x.png"])
    assert end.value.code == 2
    assert "'odt'" in capsys.readouterr().err


def test_result_never_replaces_the_image(capsysbinary, tmp_path, line_image):
    copy = tmp_path / "c.png"
    copy.write_bytes(Path(line_image).read_bytes())
    status, _, err = run(capsysbinary, "read", copy, "--output", copy)
    assert status == 2
    assert "would replace" in err[0]
    assert copy.read_bytes() == Path(line_image).read_bytes()
    listed, linked, hard = tmp_path / "list.txt", tmp_path / "link.txt", tmp_path / "hard.txt"
    listed.write_text("c.png")
    linked.symlink_to(copy)
    hard.hardlink_to(copy)
    for source, output in ((f"@{listed}", listed), (copy, linked), (copy, hard)):
        status, _, err = run(capsysbinary, "read", source, "--output", output)
        assert (status, len(err)) == (2, 1)
        assert "would replace" in err[0]
    assert listed.read_text() == "c.png"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["text", "pdf"])
def test_output_to_a_pipe_or_device_does_not_replace_it(capsysbinary, tmp_path, line_image, name):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as beside:
        taken = beside.submit(pipe.read_bytes)
        source = scan(tmp_path / "two.tif", line_image)
        status, *_ = run(capsysbinary, "read", "--mode", "fast", "--format", name, source, "--output", pipe)
        assert status == 0
        assert taken.result(10).startswith(b"%PDF-") if name == "pdf" else b"\f" in taken.result(10)
    assert pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "two.tif"]


def test_pages_that_no_document_has_are_an_error(capsysbinary, tmp_path, line_image):
    status, out, err = run(capsysbinary, "read", scan(tmp_path / "two.tif", line_image), "--pages", "3-")
    assert (status, out, len(err)) == (2, "", 1)
    assert "--pages 3- names no page" in err[0]


def test_names_that_are_too_long_are_one_line(capsysbinary, blank):
    for arguments, expected in (((f"{'a' * 300}.png",), 3), ((blank, "--output", f"{'a' * 300}.txt"), 5)):
        status, _, err = run(capsysbinary, "read", *arguments)
        assert (status, len(err)) == (expected, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_output_ends_with_5(line_image):
    command = [sys.executable, "-m", "text_recognizer", "read", "--mode", "fast", str(line_image)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=120, check=False)
    assert done.returncode == 5
    assert b"cannot write the output" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_fault_of_the_machine_is_one_line_wherever_it_comes_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/log")

    monkeypatch.setattr(train, "main", full)
    assert main(["train", "stage"]) == errors.OutputFailed.exit_status
    assert (
        capsys.readouterr().err == "text-recognizer: runs/log: No space left on device; make room, or get permission\n"
    )
