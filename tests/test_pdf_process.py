"""PDFs made to take all memory or never to end break a process of their own, and cost nothing but themselves."""

import io
import os
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pikepdf
import pytest
from PIL import Image
from reportlab.pdfgen import canvas

import pdf_bombs
import small_process
from text_recognizer import pdf_process
from text_recognizer.documents import find_pages
from text_recognizer.errors import ImageRejected
from text_recognizer.pdf_pages import PdfPage
from text_recognizer.pdf_process import Here, PdfProcess

MOST = 450 * 2**10  # KiB of any process of the command; that of PDFs had 3 GB of the worst of these

# These take the memory of a process by Linux's count of it.
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited on Linux")

PAGES = [
    pdf_bombs.picture_in_the_drawing, pdf_bombs.profile_of_colours, pdf_bombs.palette, pdf_bombs.drawn_letter,
    pdf_bombs.names_of_letters, pdf_bombs.mesh, pdf_bombs.packed_twice, pdf_bombs.forms_by_doubling,
    pdf_bombs.picture_of_a_fax,
]  # fmt: skip


def command(folder, data, *options):
    """Status, messages, texts and the KiB of the largest process of `text-recognizer read`."""
    (folder / "a.pdf").write_bytes(data)
    run = [sys.executable, "-m", "text_recognizer", "read", str(folder / "a.pdf"), "--mode", "fast", "--threads", "1"]
    done, memory = small_process.run([*run, *options])
    return done.returncode, done.stderr, done.stdout, memory


@linux
@pytest.mark.parametrize("bomb", PAGES)
def test_page_that_takes_all_memory_costs_only_itself(bomb, tmp_path):
    status, said, _, memory = command(tmp_path, bomb())
    assert status == 3
    assert said.count("\n") == 1 and re.search(r"a\.pdf, page 1: a (damaged )?page .*export ", said), said
    assert memory < MOST


@linux
def test_pages_among_objects_that_take_all_memory_are_refused(tmp_path):
    """To find the second page, the first is looked at."""
    status, said, _, memory = command(tmp_path, pdf_bombs.packed_page())
    assert (status, said.count("takes too much time or memory; export it again")) == (3, 2)
    assert memory < MOST


@linux
def test_document_of_200_000_pages_in_one_list_is_refused_once():
    (refused,) = find_pages(pdf_bombs.pages_in_one_list(200_000))
    with pytest.raises(ImageRejected, match="takes too much time or memory to open"):
        refused.load()
    assert len(list(find_pages(pdf_bombs.pages_in_one_list(10_000)))) == 10_000


@linux
def test_index_of_all_objects_that_takes_all_memory_is_left_alone(tmp_path):
    status, said, _, memory = command(tmp_path, pdf_bombs.index_of_150_million())
    assert (status, memory < MOST) == (0, True), said


@linux
def test_picture_that_claims_a_huge_size_is_refused_and_not_left_out(tmp_path):
    bomb, _ = find_pages(pdf_bombs.picture_of_few_bytes())
    with pytest.raises(ImageRejected, match="claims a huge size"):
        bomb.load()


@linux
def test_metadata_that_take_all_memory_cost_the_document_and_no_memory(tmp_path):
    status, said, _, memory = command(
        tmp_path, pdf_bombs.metadata(), "--format", "pdf", "--output", str(tmp_path / "b.pdf")
    )
    assert memory < MOST, (status, said)


@linux
def test_document_that_cannot_be_copied_is_made_of_pictures(tmp_path):
    """An object that no page needs unpacks to 1 GiB, and copying would unpack it too."""
    made = tmp_path / "b.pdf"
    status, said, _, memory = command(tmp_path, pdf_bombs.packed_spare(), "--format", "pdf", "--output", str(made))
    assert (status, memory < MOST) == (0, True), said
    with pikepdf.open(made) as pdf:
        assert [len(page.get_images()) for page in pdf.pages] == [1, 1]


def test_large_scans_are_drawn_whole():
    """Of kinds that are decoded as a whole: each has as many bytes as scans have."""
    noise = np.random.default_rng(0).normal(128, 30, (400, 300, 3)).clip(0, 255).astype(np.uint8)
    scan = Image.fromarray(noise).resize((3000, 4000), Image.Resampling.BICUBIC)
    for kind, name, options in (
        ("JPEG2000", "JPX", {"quality_mode": "rates", "quality_layers": [80]}),
        ("JPEG", "DCT", {"progressive": True, "quality": 60}),
    ):
        out = io.BytesIO()
        scan.save(out, kind, **options)
        data = pdf_bombs.shown(f"/Width 3000 /Height 4000 /Filter /{name}Decode", out.getvalue(), "/DeviceRGB")
        data[3] = data[3].replace(b"200 100", b"1080 1440")
        data[4] = pdf_bombs.stream("", b"q 1080 0 0 1440 0 0 cm /I Do Q")
        page, _ = find_pages(pdf_bombs.written(data))
        assert abs(page.load().rgb.mean() - np.asarray(scan).mean()) < 3


# ------------------------------------------------------------------------------------------------ the process itself


def typed(pages=3):
    out = io.BytesIO()
    made = canvas.Canvas(out, pagesize=(200, 100))
    for number in range(1, pages + 1):
        made.drawString(20, 50, f"{number} We left the harbour early and sailed north until the ice began to close.")
        made.showPage()
    made.save()
    return out.getvalue()


def page(data, number=1):
    return PdfPage(data, None, number, 72.0, 10**6)


def test_a_process_answers_as_this_one_does(tmp_path):
    data = typed()
    (tmp_path / "ä b.pdf").write_bytes(data)
    with PdfProcess() as pdfs:
        for source in (data, tmp_path / "ä b.pdf"):
            assert pdfs.count(source, None) == Here().count(source, None) == 3
            there, here = pdfs.draw(page(source, 2)), Here().draw(page(source, 2))
            assert (there.width, there.height, there.dpi) == (here.width, here.height, here.dpi) == (200, 100, 72)
            assert bytes(there.data) == bytes(here.data)
            assert pdfs.embedded(page(source, 3)) == Here().embedded(page(source, 3))
            assert pdfs.printed(page(source, 3), 200, 100) == Here().printed(page(source, 3), 200, 100)
            assert pdfs.can_copy(source, None) and Here().can_copy(source, None)
        for pdf in (pdfs, Here()):
            assert not pdf.can_copy(data[:200], None)
            with pytest.raises(ImageRejected, match="damaged PDF"):
                pdf.count(data[:200], None)


def test_what_broke_the_process_costs_no_later_page():
    data = typed()
    with PdfProcess() as pdfs:
        assert pdfs.draw(page(data, 1)).width == 200
        pid = running(pdfs)
        os.kill(pid, signal.SIGKILL)
        assert pdfs.draw(page(data, 2)).width == 200
        assert running(pdfs) != pid
        os.kill(running(pdfs), signal.SIGINT)  # Ctrl-C goes to all processes of a terminal
        assert pdfs.draw(page(data, 3)).width == 200


def test_file_that_changed_is_opened_again(tmp_path):
    file = tmp_path / "a.pdf"
    with PdfProcess() as pdfs:
        for pages in (1, 3):
            file.write_bytes(typed(pages))
            assert pdfs.count(file, None) == pages


def test_threads_share_a_process():
    data = typed(8)
    with PdfProcess() as pdfs, ThreadPoolExecutor(4) as threads:
        drawn = threads.map(lambda number: bytes(pdfs.draw(page(data, number)).data), range(1, 9))
        assert len(set(drawn)) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_fork_starts_a_process_of_its_own():
    data = typed()
    shared = pdf_process.shared()
    assert shared.count(data, None) == 3
    pid = running(shared)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = int(shared.draw(page(data)).width != 200 or running(shared) == pid)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shared.draw(page(data)).width == 200
    assert running(shared) == pid


def test_no_module_of_the_current_folder_is_run(tmp_path, monkeypatch):
    """A folder of scans that somebody sent may hold one."""
    for name in ("pikepdf", "json", "pypdfium2", "struct"):
        (tmp_path / f"{name}.py").write_text("open('was-here', 'w').close(); raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", ".")])
    with PdfProcess(strict=True) as pdfs:
        assert pdfs.count(typed(), None) == 3
    assert not (tmp_path / "was-here").exists()


@pytest.mark.parametrize("executable", ["", "/nothing/python", "/bin/true"])
def test_where_no_process_can_be_started_this_one_opens_the_pdf(executable, monkeypatch):
    monkeypatch.setattr(sys, "executable", executable)
    data = typed()
    with PdfProcess() as pdfs:
        assert pdfs.count(data, None) == 3
        assert pdfs.draw(page(data)).width == 200
        assert pdfs.can_copy(data, None)
    with PdfProcess(strict=True) as pdfs, pytest.raises(ImageRejected, match="contact the operator"):
        pdfs.count(data, None)


def test_process_that_nobody_asks_ends(monkeypatch):
    monkeypatch.setattr(pdf_process, "IDLE", 0)
    data = typed()
    with PdfProcess() as pdfs:
        assert pdfs.count(data, None) == 3
        pid = running(pdfs)
        assert pdfs.count(data, None) == 3
        assert running(pdfs) != pid


def running(pdfs):
    assert pdfs.process_id is not None
    return pdfs.process_id
