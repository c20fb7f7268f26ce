"""The README's picture: a sample page beside what was read, made by the shipped model.

python tools/picture.py samples/page.png docs/images/page.png
"""

import argparse
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from text_recognizer import Line, Page, read

HEIGHT = 900  # of the picture, pixels
LARGEST = 32  # letters, pixels
INK, DOUBT, FRAME = (20, 30, 60), (225, 95, 0), (70, 130, 230)


def picture(image: Image.Image, page: Page) -> Image.Image:
    """The page with its lines framed on the left; on the right each line's text at the same height."""
    scale = HEIGHT / page.height
    width = round(page.width * scale)
    canvas = Image.new("RGB", (2 * width, HEIGHT), "white")
    canvas.paste(image.convert("RGB").resize((width, HEIGHT), Image.Resampling.LANCZOS))
    draw = ImageDraw.Draw(canvas)
    for line in page.lines:
        outline = [(x * scale, y * scale) for x, y in line.polygon]
        draw.line([*outline, outline[0]], fill=FRAME, width=1)
    # The largest letters with which every line ends on the paper; indents are kept.
    size = min((font_size(draw, line.text, width - left(line) * scale - 15) for line in page.lines), default=LARGEST)
    for line in page.lines:
        write(draw, line, width + left(line) * scale, middle(line) * scale, ImageFont.load_default(size))
    return canvas


def font_size(draw: ImageDraw.ImageDraw, text: str, width: float) -> float:
    """The largest size, up to `LARGEST`, at which `text` is at most `width` pixels wide."""
    return min(LARGEST, LARGEST * width / draw.textlength(text, ImageFont.load_default(LARGEST)))


def write(draw: ImageDraw.ImageDraw, line: Line, x: float, y: float, font: ImageFont.FreeTypeFont) -> None:
    """A line's words, the doubtful ones in another colour."""
    for word in line.words:
        draw.text((x, y), word.text, fill=DOUBT if word.confidence < 0.7 else INK, font=font, anchor="lm")
        x += draw.textlength(word.text + " ", font)


def left(line: Line) -> float:
    """Where a line begins on the page, in pixels."""
    return min(x for x, _ in line.polygon)


def middle(line: Line) -> float:
    """Height of the middle of a line on the page, in pixels."""
    return sum(y for _, y in line.polygon) / len(line.polygon)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    with Image.open(options.page) as sample:
        made = picture(sample, read(options.page))
    made.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(options.picture, optimize=True)
