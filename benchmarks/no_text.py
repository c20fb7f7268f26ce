"""What is read on pictures without text: how many give some, and how many characters in all.

    pip download --no-deps --dest wheels scikit-image scikit-learn
    python benchmarks/no_text.py wheels

`folder` holds images, or wheels of packages that hold some. Pictures that show text are left out by name.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from text_recognizer.errors import ImageRejected
from text_recognizer.reader import Reader

IMAGES = (".jpg", ".png")
WITH_TEXT = ("text.png", "page.png", "logo.png", "color.png")


def pictures(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each picture without text in `folder` and in the wheels in it."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                for name in sorted(wheel.namelist()):
                    inner = PurePosixPath(name)
                    if inner.suffix in IMAGES and "tests" not in inner.parts and inner.name not in WITH_TEXT:
                        yield inner.name, wheel.read(name)
        elif path.suffix in IMAGES and path.name not in WITH_TEXT:
            yield path.name, path.read_bytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mode", choices=("fast", "accurate"), default="fast")
    args = parser.parse_args()
    reader, texts = Reader(), {}
    for name, content in pictures(args.folder):
        try:
            texts[name] = reader.read(content, args.mode).text
        except ImageRejected as error:
            print(f"{name}: {error}")
            continue
        if texts[name]:
            print(f"{name}: {texts[name][:60]!r}", flush=True)
    with_text = sum(bool(text) for text in texts.values())
    print(f"{len(texts)} pictures, {with_text} with text, {sum(map(len, texts.values()))} characters")


if __name__ == "__main__":
    main()
