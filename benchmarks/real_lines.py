"""Real lines of hands that were not trained on, each hand in the language that the model identifies for it.

    python benchmarks/real_lines.py data/real_lines --split dev

The folder has `lines.jsonl.xz` and `lines64.bin` (see `synthesis.sources.real_lines`). All lines of one hand count as
one page. "Folded" leaves accents and case out of account.
"""

from __future__ import annotations

import argparse
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

from text_recognizer.evaluation.metrics import Normalisation, errors
from text_recognizer.page import MODES
from text_recognizer.reader import Reader
from text_recognizer.synthesis.sources.real_lines import RealLines


def folded(text: str) -> str:
    """`text` in small letters without accents."""
    apart = unicodedata.normalize("NFD", text.lower())
    return "".join(character for character in apart if not unicodedata.combining(character))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--split", default="dev", help="dev or measure (%(default)s)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth line")
    parser.add_argument("--mode", action="append", choices=MODES, help="default: both")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    source = RealLines(args.folder, split=args.split)
    hands = defaultdict(list)
    for line in list(source.lines)[:: args.every]:
        hands[line.hand].append((source.image(line), line.text))
    recognizer = Reader(args.bundle, args.threads).recognizer
    clean = Normalisation()
    languages: Counter[str] = Counter()
    edits: Counter[str] = Counter()
    for lines in hands.values():
        crops = [image for image, _ in lines]
        language = recognizer.identify_language(crops)
        languages[language] += 1
        for mode in args.mode or MODES:
            readings = recognizer.in_language(language).read_lines(crops, mode)
            for reading, (_, text) in zip(readings, lines, strict=True):
                plain = errors(clean(text), clean(reading.text))
                edits[mode] += plain.character_edits
                edits["characters"] += plain.characters if mode == (args.mode or MODES)[0] else 0
                edits[f"{mode}, folded"] += errors(folded(clean(text)), folded(clean(reading.text))).character_edits
    total = edits.pop("characters")
    print(f"{sum(map(len, hands.values()))} lines of {len(hands)} hands; read as {dict(languages)}")
    for name, count in edits.items():
        print(f"{name}: CER {100 * count / total:.1f} %")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
