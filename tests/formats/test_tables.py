"""Lines and words as tables."""

import csv
import io

from text_recognizer import formats


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
    }


def test_csv_of_a_blank_page_is_its_head(blank):
    assert formats.get_format("csv").write(blank, "") == b"source,line,left,top,width,height,confidence,text\n"


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
