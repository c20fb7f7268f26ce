"""Pages of PDFs, TIFFs, archives, folders, lists, manifests: found one at a time, whatever is wrong with one."""

import base64
import io
import json
import os
import pickle
import struct
import tracemalloc
import unicodedata
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pikepdf
import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen import canvas

from small_heic import HEIC
from text_recognizer import Reader, read_pages
from text_recognizer.documents import Source, find_pages, iiif_images, page_numbers, tiff_directories
from text_recognizer.errors import ImageRejected, UsageError
from text_recognizer.images import load_image


def shade(page):
    """Which grey a page was given when it was made."""
    return round(float(np.median(page.load().rgb)))


def gray(value, size=(60, 40)):
    return Image.new("L", size, value)


def encoded(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pdf(pages, **options):
    """A PDF whose page n (from 1) has a box of grey 10 n and its number as text."""
    out = io.BytesIO()
    made = canvas.Canvas(out, pagesize=(200, 100), **options)
    for number in range(1, pages + 1):
        made.setFillGray(10 * number / 255)
        made.rect(0, 0, 200, 100, stroke=0, fill=1)
        made.setFillGray(1)
        made.drawString(20, 50, f"page {number}")
        made.showPage()
    made.save()
    return out.getvalue()


def tiff(shades, **options):
    first, *others = map(gray, shades)
    return encoded(first, "TIFF", save_all=True, append_images=others, **options)


def archive(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def test_member_of_an_archive_without_a_name_is_left_out():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(zipfile.ZipInfo(""), encoded(gray(50)))
        made.writestr("named.png", encoded(gray(60)))
    [page] = find_pages(out.getvalue())
    assert (page.name, shade(page)) == ("page/named.png", 60)


def problems(pages):
    found = []
    for page in pages:
        with pytest.raises(ImageRejected) as refused:
            page.load()
        found.append(str(refused.value))
    return found


def test_pages_of_a_pdf_are_drawn_one_by_one_at_the_resolution_asked_for(tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf(3))
    pages = list(find_pages(tmp_path / "a.pdf", dpi=144))
    assert [(p.number, p.count, p.stem.as_posix()) for p in pages] == [(n, 3, f"a-00{n}") for n in (1, 2, 3)]
    assert [shade(p) for p in pages] == [10, 20, 30]
    assert pages[0].load().rgb.shape == (200, 400, 3)


@pytest.mark.parametrize(("wanted", "numbers"), [("2", [2]), ("1-2,5-", [1, 2, 5, 6]), ("-3", [1, 2, 3]), ("9", [])])
def test_pages_are_chosen_by_range(wanted, numbers):
    assert [p.number for p in find_pages(pdf(6), pages=wanted)] == numbers


@pytest.mark.parametrize("wanted", ["0", "3-1", "a", "1,,2", "--"])
def test_malformed_ranges_are_refused(wanted):
    with pytest.raises(UsageError, match="1-3,7,10-"):
        page_numbers(wanted)


def test_encrypted_pdf_needs_its_password():
    document = pdf(1, encrypt=StandardEncryption("secret"))
    assert "encrypted PDF" in problems(find_pages(document))[0]
    assert "wrong password" in problems(find_pages(document, password="guess"))[0]
    assert [shade(p) for p in find_pages(document, password="secret")] == [10]


def test_poster_is_drawn_within_the_limit_of_pixels():
    out = io.BytesIO()
    made = canvas.Canvas(out, pagesize=(14_000, 14_000))
    made.showPage()
    made.save()
    (page,) = find_pages(out.getvalue())
    height, width, _ = page.load().rgb.shape
    assert min(height, width) > 7000
    assert height * width <= 64e6


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}], ids=str)
def test_each_directory_of_a_tiff_is_a_page(tmp_path, options):
    (tmp_path / "a.tif").write_bytes(tiff([10, 20, 30], **options))
    for source in (tmp_path / "a.tif", (tmp_path / "a.tif").read_bytes()):
        assert [shade(p) for p in find_pages(source)] == [10, 20, 30]
        assert [shade(p) for p in find_pages(source, pages="3")] == [30]


def test_tiff_of_very_many_directories_costs_a_look_at_each_and_no_more():
    # Each directory is empty and points to the next one.
    size = 6
    many = 19_000
    body = b"".join(struct.pack("<HI", 0, 8 + size * (n + 1)) for n in range(many - 1)) + struct.pack("<HI", 0, 0)
    assert len(tiff_directories(b"II*\0" + struct.pack("<I", 8) + body)) == many
    with pytest.raises(ImageRejected, match="split"):
        more = b"".join(struct.pack("<HI", 0, 8 + size * (n + 1)) for n in range(30_000))
        tiff_directories(b"II*\0" + struct.pack("<I", 8) + more)


def test_member_that_unpacks_to_far_more_than_it_has_is_not_unpacked():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("a.pdf", "w", force_zip64=True) as member:
            member.write(b"%PDF-1.7\n")
            for _ in range(100):
                member.write(bytes(2**20))
        archive.writestr("b.png", encoded(gray(30)))
    tracemalloc.start()
    bomb, good = find_pages(out.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert "100 MiB when unpacked" in problems([bomb])[0]
    assert shade(good) == 30


def test_page_whose_directory_names_far_more_than_there_is_is_refused():
    data = bytearray(tiff([10, 20]))
    struct.pack_into("<I", data, tiff_directories(bytes(data))[1] + 6, 0xFFFFFFF)  # how many values its first tag has
    good, bad = find_pages(bytes(data))
    assert shade(good) == 10
    assert "directory is damaged" in problems([bad])[0]


def test_directories_that_overlap_are_refused():
    """Each would be walked whole: the work would be the square of the size."""
    entries, many = 300, 700  # each directory begins four bytes behind the one before
    counts = struct.pack("<H", entries) * (1 + 6 * entries)
    pointers = b"".join(struct.pack("<I", 8 + 4 * (n + 1)) for n in range(many))
    with pytest.raises(ImageRejected, match="overlap"):
        tiff_directories(b"II*\0" + struct.pack("<I", 8) + counts + pointers)


def test_directories_in_a_circle_end():
    ring = b"II*\0" + struct.pack("<I", 8) + struct.pack("<HI", 0, 14) + struct.pack("<HI", 0, 8)
    assert tiff_directories(ring) == [8, 14]


@pytest.mark.parametrize("offset", [2**63 - 1, 2**63, 2**64 - 1])
def test_offsets_of_a_big_tiff_may_be_beyond_all_memory(offset):
    head = b"II+\0" + struct.pack("<HH", 8, 0)
    first = head + struct.pack("<Q", offset)
    second = head + struct.pack("<QQHHQQQ", 16, 1, 254, 4, 1, 0, offset)
    assert (tiff_directories(first), tiff_directories(second)) == ([], [16])
    for data in (first, second):
        with pytest.raises(ImageRejected):
            load_image(data)
        (page,) = find_pages(data)
        with pytest.raises(ImageRejected):
            page.load()


def test_frames_of_an_animation_are_pages_where_asked_for():
    first, *others = map(gray, (10, 100, 200))
    animation = encoded(first, "GIF", save_all=True, append_images=others)
    assert [shade(p) for p in find_pages(animation)] == [10]
    assert [shade(p) for p in find_pages(animation, frames=True)] == [10, 100, 200]


def test_heic_photograph_is_read():
    image = load_image(HEIC)
    assert image.rgb.shape == (48, 64, 3)
    assert abs(float(np.median(image.rgb)) - 90) < 6


def test_damaged_heic_is_refused():
    with pytest.raises(ImageRejected):
        load_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 100)


def test_members_of_an_archive_are_pages_and_nothing_leaves_it():
    members = {
        "b/2.png": encoded(gray(20)), "a/1.pdf": pdf(2), "notes.txt": b"no image",
        "../../up.png": encoded(gray(50)), "/etc/root.png": encoded(gray(60)), "inner.zip": archive({"x": b""}),
        "bad.png": b"rubbish", "c.tif": tiff([70, 80]),
    }  # fmt: skip
    pages = list(find_pages(archive(members)))
    stems = [p.stem for p in pages]
    assert all(not s.is_absolute() and ".." not in s.parts and s.parts[0] == "page" for s in stems)
    good = [p for p in pages if "bad" not in p.name and "inner" not in p.name]
    assert sorted(shade(p) for p in good) == [10, 20, 20, 50, 60, 70, 80]
    assert "archive inside an archive" in problems(p for p in pages if "inner" in p.name)[0]
    assert len(problems(p for p in pages if "bad" in p.name)) == 1


def test_pages_with_numbers_come_in_their_order(tmp_path):
    names = ["10.png", "2.png", "1.png", "b10/1.png", "b9/2.png", "01.png", f"{'9' * 100}.png"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(encoded(gray(10)))
    right = ["01", "1", "2", "10", "9" * 100, "b9/2", "b10/1"]
    assert [p.stem.as_posix() for p in find_pages(tmp_path / "in")] == right
    assert [p.stem.as_posix() for p in find_pages(f"{tmp_path}/in/**/*.png")] == right
    stems = [p.stem.as_posix() for p in find_pages(archive(dict.fromkeys(names, encoded(gray(10)))))]
    assert stems == [f"page/{stem}" for stem in right]


def test_hidden_files_of_a_folder_are_left_out_unless_the_folder_is_given(tmp_path):
    for name in ("1.png", "._1.png", ".trash/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(gray(10)) if "._" not in name else b"\0\5\x16\7")
    assert [p.stem.as_posix() for p in find_pages(tmp_path)] == ["1"]
    assert [p.stem.as_posix() for p in find_pages(tmp_path / ".trash")] == ["2"]


def test_names_in_an_archive_fit_into_a_file_system(tmp_path):
    data = encoded(gray(20))
    names = ["字" * 200 + ".png", "字" * 199 + "体.png", "a/" * 3000 + "x.png", "b/" + "a/" * 3000 + "x.png"]
    stems = [page.stem for page in find_pages(archive(dict.fromkeys(names, data)))]
    assert len(set(stems)) == 4
    for stem in stems:
        file = tmp_path / stem.with_name(stem.name + "-20000.tables.csv")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_archive_without_images_is_refused():
    for members in ({}, {"notes.txt": b"no image"}):
        assert problems(find_pages(archive(members))) == ["an archive without images or documents; name another"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipe_is_read_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as beside:
        for data, shades in ((encoded(gray(10)), [10]), (tiff([20, 30]), [20, 30])):
            written = beside.submit(pipe.write_bytes, data)
            assert [shade(page) for page in find_pages(pipe)] == shades
            assert written.result(10) == len(data)


def test_member_that_unpacks_to_far_more_is_refused_before_it_is_unpacked():
    (problem,) = problems(find_pages(archive({"bomb.png": b"\0" * (4 << 20)}), member_bytes=1 << 20))
    assert "unpacked" in problem


def test_folder_glob_and_list_give_the_same_pages(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "1.png").write_bytes(encoded(gray(10)))
    (tmp_path / "in" / "deep" / "2.png").write_bytes(encoded(gray(20)))
    (tmp_path / "in" / "read.me").write_text("no image")
    (tmp_path / "list.txt").write_text("# my pages\nin/1.png\n\nin/deep/2.png\n")
    for source in (tmp_path / "in", f"{tmp_path}/in/**/*.png", f"@{tmp_path}/list.txt"):
        assert sorted(shade(p) for p in find_pages(source)) == [10, 20]
    assert [p.stem.as_posix() for p in find_pages(tmp_path / "in")] == ["1", "deep/2"]


def test_stems_never_collide(tmp_path):
    for name in ("a.png", "a.jpg", "a.bmp", "a-2.png"):
        gray(10).save(tmp_path / name)
    stems = [p.stem for p in find_pages(tmp_path)]
    assert len(set(stems)) == len(stems) == 4


def test_what_cannot_be_opened_costs_no_other_page(tmp_path):
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nrubbish")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "good.png").write_bytes(encoded(gray(10)))
    sources = [tmp_path / "broken.pdf", tmp_path / "none.png", tmp_path / "empty.png", tmp_path / "good.png"]
    *bad, good = find_pages(sources)
    assert [s.split(";")[0].split(" (")[0] for s in problems(bad)] == [
        "a damaged PDF",
        "no such file",
        "empty, 0 bytes",
    ]
    assert shade(good) == 10


def test_references_travel_to_other_processes():
    page = pickle.loads(pickle.dumps(list(find_pages(pdf(2)))[1]))
    assert shade(page) == 20


def test_memory_is_that_of_one_page(tmp_path):
    """Of a long document nothing is kept between two pages."""
    (tmp_path / "long.pdf").write_bytes(pdf(25))
    tracemalloc.start()
    peaks = []
    for page in find_pages(tmp_path / "long.pdf"):
        page.load()
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peaks[-1] < 1.2 * peaks[1]


VERSION_2 = {
    "@context": "http://iiif.io/api/presentation/2/context.json",
    "sequences": [{"canvases": [
        {"images": [{"resource": {"@id": "https://x.org/1.jpg", "service": {"@id": "https://x.org/iiif/1"}}}]},
        {"images": [{"resource": {"@id": "https://x.org/2.jpg"}}]},
    ]}],
}  # fmt: skip
VERSION_3 = {
    "@context": "http://iiif.io/api/presentation/3/context.json",
    "items": [{"items": [{"items": [{"body": {
        "id": "https://x.org/1.jpg", "service": [{"id": "https://x.org/iiif/1", "type": "ImageService3"}],
    }}]}]}],
}  # fmt: skip


def test_images_of_a_manifest_are_asked_for_in_full():
    assert iiif_images(VERSION_2) == ["https://x.org/iiif/1/full/full/0/default.jpg", "https://x.org/2.jpg"]
    assert iiif_images(VERSION_3) == ["https://x.org/iiif/1/full/max/0/default.jpg"]


@pytest.mark.parametrize("manifest", [{}, [], {"items": []}, {"items": [{}]}, {"sequences": 3}, "x", None])
def test_what_is_not_a_manifest_is_refused(tmp_path, manifest):
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    assert "IIIF" in problems(find_pages(tmp_path / "m.json"))[0]


def manifest(*addresses):
    """A IIIF manifest of a canvas for each address, without an image where it is None."""
    canvases = [{"items": [{"items": [{"body": {"id": a}}]}]} if a is not None else {"items": []} for a in addresses]
    return json.dumps({"items": canvases})


def test_images_of_a_manifest_go_through_the_guarded_door(tmp_path):
    (tmp_path / "secret.png").write_bytes(encoded(gray(10)))
    here = str(tmp_path / "secret.png")
    addresses = ["http://127.0.0.1:1/x.png", here, "file://" + here, "@list.txt", "secret.png", "5"]
    (tmp_path / "m.json").write_text(manifest(*addresses))
    pages = list(find_pages(tmp_path / "m.json"))
    assert pages[0].name.endswith("m.json#1")
    found = problems(pages)
    assert "no public address" in found[0]
    assert all("no web address" in problem for problem in found[1:])


def test_canvas_without_an_image_does_not_cost_the_others(tmp_path):
    image = "data:image/png;base64," + base64.b64encode(encoded(gray(10))).decode()
    (tmp_path / "m.json").write_text(manifest(image, None, image))
    first, empty, last = find_pages(tmp_path / "m.json")
    assert (shade(first), shade(last)) == (10, 10)
    assert problems([empty]) == ["a canvas without an image"]


def test_manifest_that_claims_too_many_canvases_or_only_names_manifests_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("text_recognizer.documents.MAX_PAGES", 2)
    (tmp_path / "m.json").write_text(manifest(*["https://x.org/1.jpg"] * 5))
    pages = list(find_pages(tmp_path / "m.json"))
    assert [page.kind for page in pages] == ["image", "image", "refused"]
    assert "5 pages; only the first 2" in problems(pages[2:])[0]
    assert len(list(find_pages(tmp_path / "m.json", pages="1-2"))) == 2
    itself = {"type": "Collection", "items": [{"id": "https://x.org/m.json", "type": "Manifest"}]}
    (tmp_path / "c.json").write_text(json.dumps(itself))
    assert "collection" in problems(find_pages(tmp_path / "c.json"))[0]
    (tmp_path / "deep.json").write_text("[" * 100_000)
    assert "nested too deeply" in problems(find_pages(tmp_path / "deep.json"))[0]


def test_files_of_an_archive_with_the_same_name_are_each_read():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in (10, 20, 30):
            made.writestr("p.png", encoded(gray(value)))
    pages = list(find_pages(out.getvalue()))
    assert [shade(page) for page in pages] == [10, 20, 30]
    assert [page.stem.name for page in pages] == ["p", "p-2", "p-3"]


def test_frames_of_a_heic_and_of_an_avif_sequence(tmp_path):
    assert [page.load().rgb.shape for page in find_pages(HEIC, frames=True)] == [load_image(HEIC).rgb.shape]
    first, *others = (gray(value).convert("RGB") for value in (10, 100, 200))
    sequence = encoded(first, "AVIF", save_all=True, append_images=others, duration=100)
    assert [shade(p) for p in find_pages(sequence, frames=True)] == pytest.approx([10, 100, 200], abs=3)
    assert [shade(p) for p in find_pages(sequence)] == pytest.approx([10], abs=3)


@pytest.mark.parametrize("size", [(60_000, 60_000), (0, 0), (37, 9_999)])
def test_heic_that_lies_about_its_size_is_refused(size):
    data = bytearray(HEIC)
    struct.pack_into(">II", data, data.index(b"ispe") + 8, *size)
    for frames in (False, True):
        assert len(problems(find_pages(bytes(data), frames=frames))) == 1


def test_animation_of_very_many_frames_is_bounded(monkeypatch):
    monkeypatch.setattr("text_recognizer.documents.MAX_FRAMES", 2)
    animation = encoded(gray(10), "GIF", save_all=True, append_images=[gray(50), gray(90)])
    assert [page.kind for page in find_pages(animation, frames=True)] == ["frame", "frame", "refused"]


@pytest.mark.parametrize("size", [(14_400, 14_400), (2_880, 30), (1, 1)])
def test_pages_of_a_pdf_of_any_size_are_drawn_within_limits_or_refused(size):
    out = io.BytesIO()
    made = canvas.Canvas(out, pagesize=size)
    made.showPage()
    made.save()
    (page,) = find_pages(out.getvalue())
    if size == (1, 1):
        assert "too small" in problems([page])[0]
    else:
        height, width = page.load(max_pixels=4_000_000).gray.shape
        assert height * width <= 4_000_000
        assert max(height, width) <= 32_000


def test_names_that_no_file_has_are_refused_one_by_one(tmp_path):
    (tmp_path / "list.txt").write_text("good.png\n\0\n@list.txt\nlist.txt\nnot\0this.png\nmissing.png\n")
    (tmp_path / "good.png").write_bytes(encoded(gray(10)))
    good, *others = find_pages("@" + str(tmp_path / "list.txt"))
    assert shade(good) == 10
    assert len(problems(others)) == 4
    for name in ("", "\0", "a**b*", str(tmp_path / "*.nothing"), "@", "@" + str(tmp_path / "nothing.txt")):
        assert len(problems(find_pages(name))) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_list_is_read_however_an_editor_or_a_shell_wrote_it(tmp_path, encoding):
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "list.txt").write_bytes(f"{mark}ä.png\r\n\r\nb.png\r\n".encode(encoding))
    for name, value in (("ä.png", 10), ("b.png", 20)):
        (tmp_path / name).write_bytes(encoded(gray(value)))
    assert [shade(page) for page in find_pages(f"@{tmp_path / 'list.txt'}")] == [10, 20]


def test_list_may_name_files_whose_names_are_not_utf8(tmp_path):
    name = os.fsdecode(b"\xe9.png")
    try:
        (tmp_path / name).write_bytes(encoded(gray(10)))
    except OSError:
        pytest.skip("names are UTF-8 here")
    (tmp_path / "list.txt").write_bytes(b"\xe9.png\n")
    assert [shade(page) for page in find_pages(f"@{tmp_path / 'list.txt'}")] == [10]


def test_list_of_nothing_is_refused_and_a_list_for_an_image_is_told(tmp_path):
    (tmp_path / "list.txt").write_text("# scans\n\n@list.txt\n")
    assert "names nothing" in problems(find_pages(f"@{tmp_path / 'list.txt'}"))[0]
    assert "@FILE" in problems(find_pages(tmp_path / "list.txt"))[0]


def test_address_of_another_kind_is_told_what_to_do(tmp_path):
    (tmp_path / "list.txt").write_text("s3://bucket/a.png\n")
    for source in ("file:///a.png", "ftp://host/a.png", f"@{tmp_path / 'list.txt'}"):
        assert "give a path, or an http or https address" in problems(find_pages(source))[0]


def test_what_is_no_document_is_refused_once(tmp_path):
    closed = (tmp_path / "a.png").open("wb")
    closed.close()
    for source in (None, 5, np.zeros((40, 40), np.uint8), gray(10), closed, [None]):
        assert len(problems(find_pages(source))) == 1


def test_names_that_some_file_systems_take_for_one_stay_apart():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("A.png", "a.png", "caf\u00e9.png", "cafe\u0301.png", "sub/B.png", "SUB/b.png"):
            archive.writestr(name, encoded(gray(10)))
    stems = [page.stem.as_posix().casefold() for page in find_pages(out.getvalue())]
    assert len({unicodedata.normalize("NFC", stem) for stem in stems}) == 6


def test_name_that_is_too_long_is_told_once():
    name = "a" * 5000
    assert "aaa" not in problems(find_pages(name))[0]


def test_links_in_a_circle_give_each_file_once(tmp_path):
    (tmp_path / "p.png").write_bytes(encoded(gray(10)))
    for name in ("again", "once-more"):  # glob.glob would take 2 ** 40 ways
        (tmp_path / name).symlink_to(tmp_path)
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "gone.png").symlink_to("nothing.png")
    assert [page.stem.name for page in find_pages(tmp_path)] == ["p"]
    assert [page.stem.as_posix() for page in find_pages(str(tmp_path / "**" / "*.png"))] == ["p"]
    assert len(problems(find_pages(tmp_path / "circle.png"))) == 1


@pytest.mark.parametrize("name", ["new\nline.png", "-dash.png", "n" * 240 + ".png", "tab\t.png"])
def test_odd_file_names_are_names(tmp_path, name):
    (tmp_path / name).write_bytes(encoded(gray(10)))
    (page,) = find_pages(tmp_path)
    assert shade(page) == 10
    assert page.stem.name == Path(name).stem


def test_reader_yields_the_pages_of_a_document_and_reports_those_that_fail(tmp_path):
    page = Image.new("L", (360, 160), 255)
    ImageDraw.Draw(page).text((80, 60), "letter", font=ImageFont.load_default(36), fill=0)
    (tmp_path / "book.zip").write_bytes(archive({"1.png": encoded(page), "2.png": b"rubbish", "3.png": encoded(page)}))
    failed = []
    read = Reader().read_pages(tmp_path / "book.zip", "fast", on_error=lambda page, error: failed.append(page.name))
    assert [page.text for page in read] == ["letter", "letter"]
    assert [Path(name).name for name in failed] == ["2.png"]
    with pytest.raises(ImageRejected, match=r"2\.png"):
        list(read_pages(tmp_path / "book.zip", "fast"))


def test_printed_text_is_found_where_it_is_seen_and_unseen_text_is_not():
    out = io.BytesIO()
    made = canvas.Canvas(out, pagesize=(200, 100))
    made.setPageRotation(90)  # and so its own space is 100 × 200
    made.drawString(20, 50, "printed")
    hidden = made.beginText(20, 10)
    hidden.setTextRenderMode(3)
    hidden.textLine("unseen")
    made.drawText(hidden)
    made.showPage()
    made.save()
    (page,) = find_pages(out.getvalue())
    (area,) = page.printed_text(1000, 500)
    left, top, right, bottom = area
    assert (left + right) / 2 == pytest.approx(5 * 53, abs=15)
    assert top == pytest.approx(5 * 20, abs=5)
    assert bottom > 5 * 40
    (image,) = find_pages(encoded(gray(10)))
    assert image.printed_text(10, 10) == ()


def test_pages_know_their_document(tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf(2))
    (tmp_path / "a.tif").write_bytes(tiff([10, 20]))
    gray(30).save(tmp_path / "b.png")
    pages = list(find_pages(tmp_path))
    assert [page.document for page in pages] == [0, 0, 1, 1, 2]
    assert [str(page.whole) for page in pages] == ["a", "a", "a-2", "a-2", "b"]
    assert [page.document for page in find_pages([pdf(2), pdf(2)])] == [0, 0, 1, 1]


def test_pdf_of_very_many_pages_is_known_at_once_and_read_anywhere():
    with pikepdf.new() as made:
        made.add_blank_page(page_size=(100, 100))
        for _ in range(4_999):
            made.pages.append(made.pages[0])
        out = io.BytesIO()
        made.save(out)
    pages = list(find_pages(out.getvalue(), pages="4999-"))
    assert [(page.number, page.count) for page in pages] == [(4999, 5000), (5000, 5000)]
    assert pages[-1].load().rgb.shape == (278, 278, 3)


def test_javascript_of_a_pdf_is_not_run():
    with pikepdf.open(io.BytesIO(pdf(1))) as made:
        made.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS=pikepdf.String("while (true) {}"))
        out = io.BytesIO()
        made.save(out)
    assert [shade(page) for page in find_pages(out.getvalue())] == [10]


def test_file_in_an_archive_is_limited_in_size():
    box = archive({"a.png": encoded(gray(10)), "big.png": bytes(2**20)})
    good, bad = find_pages(box, member_bytes=2**19)
    assert shade(good) == 10
    assert "when unpacked" in problems([bad])[0]


def test_document_in_an_archive_is_not_unpacked_for_each_of_its_pages(tmp_path, monkeypatch):
    (tmp_path / "box.zip").write_bytes(archive({"a.pdf": pdf(5), "b.tif": tiff([10, 20, 30])}))
    read, count = Source.read, []
    monkeypatch.setattr(Source, "read", lambda self, *rest: count.append(self.member) or read(self, *rest))
    assert [shade(page) for page in find_pages(tmp_path / "box.zip")] == [10, 20, 30, 40, 50, 10, 20, 30]
    assert len(count) <= 5
    (tmp_path / "box.zip").write_bytes(archive({"a.pdf": pdf(2)}))
    assert [shade(page) for page in find_pages(tmp_path / "box.zip")] == [10, 20]
