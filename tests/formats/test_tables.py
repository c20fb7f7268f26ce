"""Lines and words as tables."""

import csv
import io
import re
from dataclasses import replace

import pytest

from text_recognizer import formats
from text_recognizer.formats.tables import LINE_COLUMNS, harmless
from text_recognizer.page import Line, Page


def test_csv_has_a_row_a_line(page):
    rows = list(csv.DictReader(io.StringIO(formats.get_format("csv").write(page, "a, b.png").decode())))
    assert [row["text"] for row in rows] == [line.text for line in page.lines]
    assert rows[0] == {
        "source": "a, b.png",
        "line": "1",
        "left": "50",
        "top": "78",
        "width": "300",
        "height": "30",
        "confidence": "0.8765",
        "text": "Café – “5 £”",
        "kind": "paragraph",
        "block": "1",
        "script": "",
    }


def test_csv_of_a_blank_page_is_its_head(blank):
    assert formats.get_format("csv").write(blank, "") == (",".join(LINE_COLUMNS) + "\n").encode()


def test_tsv_has_tesseract_s_columns_and_levels(page):
    head, *rows = [row.split("\t") for row in formats.get_format("tsv").write(page, "p.png").decode().splitlines()]
    assert " ".join(head) == ("level page_num block_num par_num line_num word_num left top width height conf text")
    assert {len(row) for row in rows} == {12}
    assert rows[0] == ["1", "1", "0", "0", "0", "0", "0", "0", "640", "480", "-1", ""]
    words = [row for row in rows if row[0] == "5"]
    assert [row[11] for row in words if row[4] == "1"] == ["Café", "–", "“5", "£”"]
    assert [row[11] for row in words if row[4] == "3"] == ['a "quoted\\" line']
    assert words[0][10] == "87.65"
    assert sum(row[0] == "4" for row in rows) == 3


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"), ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"), ("@SUM(A1)", "'@SUM(A1)"),
        ("+HYPERLINK(1)", "'+HYPERLINK(1)"), ("-2+cmd", "'-2+cmd"), ("- milk", "'- milk"),
        ("-5", "-5"), ("+3.50", "+3.50"), ("-", "-"), ("a=b", "a=b"), ("", ""), ("\t=1", "'\t=1"), ("-1-1", "'-1-1"),
    ],
)  # fmt: skip
def test_cells_that_a_spreadsheet_would_compute_are_made_text(text, cell):
    assert harmless(text) == cell


def test_formulas_in_either_table_are_text():
    box = ((1, 1), (9, 1), (9, 9), (1, 9))
    line = Line(text="=A1", polygon=box, baseline=(), confidence=1.0, words=())
    page = Page(width=10, height=10, lines=(line,))
    for name in ("csv", "tsv"):
        last = formats.get_format(name).write(page, "@x.png").decode().splitlines()[-1]
        assert "'=A1" in re.split(r"[,\t]", last)
        assert "@x.png" not in last or last.startswith("'@x.png")


def test_tables_and_forms_are_rows_of_cells(divided, page, blank):
    write = formats.get_format("tables").write
    assert write(divided).decode() == "Item,Qty,Price\nApples,,$0.50\n\nName:,Mary\nPhone:,555\n"
    assert write(page) == write(blank) == b""


def test_cells_stand_in_their_columns_on_a_page_on_its_side(divided):
    def turned(points):
        return tuple((y, 640 - x) for x, y in points)  # a quarter turn counter-clockwise

    lines = tuple(replace(line, polygon=turned(line.polygon), baseline=turned(line.baseline)) for line in divided.lines)
    written = formats.get_format("tables").write(replace(divided, lines=lines)).decode()
    assert written.splitlines()[1] == "Apples,,$0.50"


def test_tsv_counts_blocks_paragraphs_and_their_lines(divided):
    rows = [row.split("\t") for row in formats.get_format("tsv").write(divided, "p.png").decode().splitlines()[1:]]
    assert [row[2] for row in rows if row[0] == "2"] == [str(n) for n in range(1, 9)]
    table = [tuple(map(int, row[3:5])) for row in rows if row[0] == "4" and row[2] == "3"]
    assert table == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
