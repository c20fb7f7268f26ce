"""A page as Markdown."""

import pytest

from text_recognizer import formats
from text_recognizer.page import Block, Line, Page

EXPECTED = r"""
## Minutes

we bought
- milk & eggs
- [ ] tea
1. call Anna

| Item | Qty | Price |
| --- | --- | --- |
| Apples |  | $0.50 |

Name: Mary\
Phone: 555

> see \*p. 3\*

left

right
"""


def write(page):
    return formats.get_format("md").write(page, "p.png").decode()


def written(*texts):
    lines = tuple(Line(text=text, polygon=(), baseline=(), confidence=0.9, words=()) for text in texts)
    return write(Page(width=9, height=9, lines=lines))


def test_blocks_are_headings_lists_tables_and_quotes(divided):
    assert write(divided) == EXPECTED.lstrip()


def test_blank_page_is_nothing_at_all(blank):
    assert write(blank) == ""


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("• one", "- one"), ("→ go", "- go"), ("☑ done", "- [x] done"), ("2) two", "2. two"), ("③ three", "3. three"),
    ],
)  # fmt: skip
def test_items_are_those_of_lists(text, item):
    assert written(text) == item + "\n"


def test_what_goes_on_under_an_item_belongs_to_it():
    assert written("- eggs", "from the farm", "- tea") == "- eggs\n  from the farm\n- tea\n"


@pytest.mark.parametrize(
    "text", ["# not a heading", "a*b*c", "x < y & z", "1905.", "-5 degrees", "=====", "[a](b)", "`code`", "a|b", "---"]
)
def test_prose_stays_prose(text):
    markdown = pytest.importorskip("markdown_it", reason="markdown-it-py, which rich brings, is not installed")
    rendered = markdown.MarkdownIt("commonmark").enable("table").render(written("so", text))
    plain = text.replace("&", "&amp;").replace("<", "&lt;")
    assert rendered == f"<p>so\n{plain}</p>\n"


def test_table_of_one_row_has_a_head():
    lines = tuple(
        Line(text=text, polygon=((x, 0), (x + 9, 0), (x + 9, 9)), baseline=(), confidence=0.9, words=())
        for x, text in ((0, "a|b"), (50, "c"))
    )
    row = Block(kind="row", start=0, stop=2)
    page = Page(width=99, height=9, lines=lines, blocks=(Block(kind="table", start=0, stop=2, blocks=(row,)),))
    assert write(page) == "| a\\|b | c |\n| --- | --- |\n"
