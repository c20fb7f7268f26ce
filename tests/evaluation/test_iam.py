"""A copy of the IAM database, in the forms that its archives unpack to: small trees with images drawn here."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.errors import DataInvalid
from text_recognizer.evaluation.iam import is_iam, join_words
from text_recognizer.evaluation.sets import load_set
from text_recognizer.training.own_lines import cut_lines

FORM = """<?xml version="1.0" encoding="ISO-8859-1"?>
<form created="2003-12-18" height="400" id="{form}" version="0.1" width="600" writer-id="{writer}">
 <machine-printed-part><machine-print-line text="They said &amp;quot;no&amp;quot;."/></machine-printed-part>
 <handwritten-part>
  <line id="{form}-00" segmentation="ok" text="They said &amp;quot;no&amp;quot;," threshold="160">
   <word id="{form}-00-00" tag="PP3AS" text="They"><cmp height="30" width="60" x="40" y="100"/></word>
   <word id="{form}-00-01" tag="VBD" text="said"><cmp height="20" width="50" x="120" y="105"/>
    <cmp height="4" width="4" x="140" y="98"/></word>
   <word id="{form}-00-02" tag="," text=","><cmp height="6" width="4" x="180" y="120"/></word>
  </line>
  <line id="{form}-01" segmentation="err" text="again." threshold="160">
   <word id="{form}-01-00" tag="RB" text="again"><cmp height="30" width="90" x="40" y="180"/></word>
  </line>
 </handwritten-part>
</form>"""

LINES = """#--- lines.txt ---#
# format: a01-000u-00 ok 154 19 408 746 1661 89 A|MOVE|to|stop
a01-000u-00 ok 154 19 40 98 144 32 They|said|"|no|"|,|he|didn't|(|1905|)|.
a01-000u-01 err 154 19 40 180 90 30 again|.
a02-003-00 ok 154 19 40 98 144 32 1905
broken row
"""
FORMS = "# a01-000u 000 2 prt 7 5 52 36\na01-000u 000 2 prt 7 5 52 36\na02-003 017 2 prt 7 5 52 36\n"
WORDS = "a01-000u-00-00 ok 154 40 100 60 30 AT They\na01-000u-00-01 err 154 120 105 50 20 NN said\n"


def draw(path: Path, size: tuple[int, int] = (60, 200)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full(size, 235, np.uint8)
    cv2.putText(image, "They", (20, 40), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.0, 30, 2)
    cv2.imwrite(str(path), image)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """XML ground truth, images of lines and words, forms; three forms of two writers."""
    for form, writer in (("a01-000u", "000"), ("a01-000x", "000"), ("a02-003", "017")):
        xml = tmp_path / "xml" / f"{form}.xml"
        xml.parent.mkdir(exist_ok=True)
        xml.write_text(FORM.format(form=form, writer=writer), encoding="latin-1")
        for number in ("00", "01"):
            draw(tmp_path / "lines" / form.split("-")[0] / form / f"{form}-{number}.png")
            draw(tmp_path / "words" / form.split("-")[0] / form / f"{form}-{number}-00.png")
        draw(tmp_path / "formsA-D" / f"{form}.png", (400, 600))
    return tmp_path


@pytest.fixture
def ascii_database(tmp_path: Path) -> Path:
    (tmp_path / "ascii").mkdir()
    for name, text in (("lines", LINES), ("forms", FORMS), ("words", WORDS)):
        (tmp_path / "ascii" / f"{name}.txt").write_text(text, encoding="utf-8")
    for line in ("a01-000u-00", "a01-000u-01", "a02-003-00"):
        draw(tmp_path / "lines" / f"{line}.png")
    draw(tmp_path / "words" / "a01" / "a01-000u" / "a01-000u-00-00.png")
    return tmp_path


def texts(address: Path | str) -> list[str]:
    return [line.text for page in load_set(Path(address)).pages for line in page.lines]


def test_folder_is_known_by_its_structure(database: Path) -> None:
    assert is_iam(database)
    found = load_set(database)
    assert not found.skipped
    assert [page.image.name for page in found.pages][:2] == ["a01-000u-00.png", "a01-000u-01.png"]
    assert found.pages[0].lines[0].text == 'They said "no",'
    assert [page.writer for page in found.pages] == ["writer 000"] * 4 + ["writer 017"] * 2


def test_folders_of_other_kinds_are_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "xml").mkdir()
    (tmp_path / "xml" / "a.xml").write_text("<alto/>", encoding="utf-8")
    assert not is_iam(tmp_path)
    draw(tmp_path / "lines.png")
    (tmp_path / "lines.txt").write_text("These are lines of quite another kind, nine words long.", encoding="utf-8")
    assert not is_iam(tmp_path)
    assert texts(tmp_path) == ["These are lines of quite another kind, nine words long."]


def test_badly_segmented_lines_can_be_left_out(database: Path) -> None:
    assert len(texts(f"iam:{database}")) == 6
    assert set(texts(f"iam:{database}?segmentation=ok")) == {'They said "no",'}


def test_lines_are_cut_from_whole_forms_by_their_components(database: Path) -> None:
    found = load_set(Path(f"iam:{database}?unit=forms"))
    assert [page.image.name for page in found.pages] == ["a01-000u.png", "a01-000x.png", "a02-003.png"]
    first = found.pages[0].lines[0]
    xs, ys = zip(*(first.polygon or ()), strict=True)
    assert min(xs) <= 40 and max(xs) >= 184 and min(ys) <= 98 and max(ys) >= 130
    assert max(ys) - min(ys) < 50
    assert len(cut_lines(found, 48, "abc", 255).lines) == 6


def test_forms_whose_lines_lie_outside_their_image_are_named_and_left_out(database: Path) -> None:
    draw(database / "formsA-D" / "a01-000x.png", (200, 300))  # scaled to half its size
    found = load_set(Path(f"iam:{database}?unit=forms"))
    assert [page.image.name for page in found.pages] == ["a01-000u.png", "a02-003.png"]
    assert found.skipped == [
        "a01-000x: its lines reach from (40, 98) to (184, 210), but a01-000x.png has 300 × 200 pixels; use the images "
        "of the database as they are, neither scaled nor cropped"
    ]


def test_words_that_are_segmented_well(database: Path) -> None:
    found = load_set(Path(f"iam:{database}?unit=words"))
    assert {line.text for page in found.pages for line in page.lines} == {"They"}
    assert len(found.pages) == 3
    assert found.skipped[0].startswith("a01-000u-00-01: no image")


@pytest.mark.parametrize(("split", "forms"), [("train", {"a01-000u"}), ("validation", {"a01-000x", "a02-003"})])
def test_splits_of_the_large_writer_independent_task(database: Path, split: str, forms: set[str]) -> None:
    task = database / "largeWriterIndependentTextLineRecognitionTask"
    task.mkdir()
    (task / "trainset.txt").write_text("a01-000u-00\na01-000u-01\n", encoding="utf-8")
    (task / "validationset1.txt").write_text("a01-000x-00\n\n", encoding="utf-8")
    (task / "validationset2.txt").write_text("a02-003-00\n", encoding="utf-8")
    found = load_set(Path(f"iam:{database}?split={split}"))
    assert {page.image.stem.rsplit("-", 1)[0] for page in found.pages} == forms


@pytest.mark.parametrize(
    "rows", ["a01-000u\na02-003\n", "a01-000u.png\na02-003.png\n", "a01-000u-00 a01-000u-01\na02-003-00\n"]
)
def test_any_other_split_is_a_file_of_ids_such_as_the_aachen_split(database: Path, tmp_path: Path, rows: str) -> None:
    (tmp_path / "te.lst").write_text(rows, encoding="utf-8")
    for place in ("te.lst", tmp_path / "te.lst"):
        pages = load_set(Path(f"iam:{database}?split={place}")).pages
        assert {page.writer for page in pages} == {"writer 000", "writer 017"}
        assert not any("000x" in page.image.name for page in pages)


def test_ascii_ground_truth_with_its_punctuation_joined(ascii_database: Path) -> None:
    found = load_set(ascii_database)
    assert [page.lines[0].text for page in found.pages] == ['They said "no", he didn\'t (1905).', "again.", "1905"]
    assert [page.writer for page in found.pages] == ["writer 000", "writer 000", "writer 017"]
    assert found.skipped == ["lines.txt:6: not in the format of the file's header"]


def test_words_of_the_ascii_ground_truth(ascii_database: Path) -> None:
    assert texts(f"iam:{ascii_database}?unit=words") == ["They"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["Mr.", "Brown", ",", "M.P.", ";"], "Mr. Brown, M.P.;"),
        (['"', "Well", '"', "-", "he", "said"], '"Well" - he said'),
        (["'", "Yes", "!", "'", "she"], "'Yes!' she"),
        ([], ""),
    ],
)
def test_marks_are_joined_to_their_words(words: list[str], text: str) -> None:
    assert join_words(words) == text


def test_missing_images_and_damaged_forms_are_named_and_the_rest_is_read(database: Path) -> None:
    (database / "lines" / "a01" / "a01-000u" / "a01-000u-00.png").unlink()
    (database / "xml" / "a01-000x.xml").write_text("<form><handwritten-part>", encoding="utf-8")
    found = load_set(database)
    assert len(found.pages) == 3
    assert any(reason.startswith("a01-000u-00: no image") for reason in found.skipped)
    assert any(reason.startswith("a01-000x.xml") for reason in found.skipped)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("split=train", r"trainset\.txt is not in"),
        ("unit=pages", "unit is one of lines, forms, words"),
        ("shard=1", "shard is unknown"),
    ],
)
def test_what_is_missing_is_reported(database: Path, query: str, message: str) -> None:
    with pytest.raises(DataInvalid, match=message):
        load_set(Path(f"iam:{database}?{query}"))


def test_missing_folder_and_missing_ground_truth_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="does not exist"):
        load_set(Path(f"iam:{tmp_path}/nowhere"))
    with pytest.raises(DataInvalid, match="neither xml/ nor ascii"):
        load_set(Path(f"iam:{tmp_path}"))
