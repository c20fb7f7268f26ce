"""Makes src/text_recognizer/formats/unseen.ttf, the font of the text that a PDF hides behind its picture.

It has one glyph, a box from descent to ascent, for every character of Unicode's first plane: viewers tell lines and
words by the boxes of the characters, and in a font for reading those of “…”, “–” or “.” are low ones that they take for
another line's. `python tools/unseen_font.py`
"""

from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib.tables._c_m_a_p import CmapSubtable

UNITS, WIDTH, ASCENT, DESCENT = 1000, 500, 800, -200
TARGET = Path(__file__).parent.parent / "src" / "text_recognizer" / "formats" / "unseen.ttf"


def build() -> FontBuilder:
    """The font, the same each time."""
    pen = TTGlyphPen(None)
    for number, corner in enumerate(((0, DESCENT), (0, ASCENT), (WIDTH, ASCENT), (WIDTH, DESCENT))):
        (pen.lineTo if number else pen.moveTo)(corner)
    pen.closePath()
    box = pen.glyph()
    builder = FontBuilder(UNITS, isTTF=True)
    builder.setupGlyphOrder([".notdef", "box"])
    builder.setupCharacterMap({0x20: "box"})
    many_to_one = CmapSubtable.newSubtable(13)
    many_to_one.platformID, many_to_one.platEncID, many_to_one.language = 3, 10, 0
    many_to_one.cmap = {code: "box" for code in range(0x20, 0xFFFE) if not 0xD800 <= code < 0xE000}
    builder.font["cmap"].tables.append(many_to_one)
    builder.setupGlyf({".notdef": box, "box": box})
    builder.setupHorizontalMetrics({".notdef": (WIDTH, 0), "box": (WIDTH, 0)})
    builder.setupHorizontalHeader(ascent=ASCENT, descent=DESCENT)
    builder.setupNameTable({"familyName": "Unseen", "styleName": "Regular", "psName": "Unseen"})
    builder.setupOS2(sTypoAscender=ASCENT, sTypoDescender=DESCENT, usWinAscent=ASCENT, usWinDescent=-DESCENT)
    builder.setupPost()
    builder.updateHead(created=0, modified=0)
    builder.font.recalcTimestamp = False
    return builder


if __name__ == "__main__":
    build().save(TARGET)
