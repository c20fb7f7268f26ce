"""Texts for rendered lines: free texts in several languages, and dates, sums, names, lists and signs of notes."""

from __future__ import annotations

import gzip
import html
import json
import logging
import re
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from text_recognizer.errors import DataInvalid
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.download import read_lock, unpack
from text_recognizer.synthesis.sources.everyday import EVERYDAY, built_in_prose, foreign_word, list_mark

log = logging.getLogger(__name__)

LOCK = Path(__file__).with_name("texts.lock.json")

# Corpus files made by `fetch_texts`, and how often a line comes from each: modern plain English first. Weights are
# relative to the available files, so a folder without some of them keeps the proportions of the rest.
WEIGHTS = {
    "speeches": 0.45,
    "phrases": 0.30,
    "older": 0.11,
    "novel": 0.09,
    "bible": 0.05,
    "stories": 0.25,
    "manners": 0.15,
    "facts": 0.12,
    "banter": 0.08,
}
# Any other text in the folder has the language that its name begins with (`de.txt`, `en_letters.txt`), or else English.
# English gets this share of the lines, and the other languages share the rest equally.
LANGUAGES = ("en", "fr", "de", "es", "it", "pt", "nl", "da", "sv", "nb")
ENGLISH_SHARE = 0.6
_OTHER_WEIGHT = 0.5  # of an English text that is not in the lock file, relative to `WEIGHTS`

_MAP = str.maketrans(
    {
        **dict.fromkeys("‘‛′´‹›", "'"),
        **dict.fromkeys("„‟", "“"),
        **dict.fromkeys("‐‑−", "-"),
        **dict.fromkeys("\u00ad\ufeff\u200b\u200c\u200d\u2060\ufe0f"),  # soft hyphens and marks without width
        **dict.fromkeys("˚∘", "°"),
        **dict.fromkeys("●∙▪■◦○", "•"),
        **dict.fromkeys("□❏❑▢", "☐"),
        **dict.fromkeys("☒🗹✅", "☑"),
        **dict.fromkeys("✔🗸", "✓"),
        **dict.fromkeys("⇒⟶➔➜➝➞", "→"),
        **dict.fromkeys("⇐⟵", "←"),
        **dict.fromkeys("⁄∕", "/"),
        "ʼ": "’",
        "‚": ",",
        "″": '"',
        "‒": "–",
        "―": "—",
        "‥": "..",
        "ﬁ": "fi",
        "ﬂ": "fl",
        "ﬀ": "ff",
        "ﬃ": "ffi",
        "ﬄ": "ffl",
        "ﬅ": "st",
        "ﬆ": "st",
        "ĳ": "ij",
        "ſ": "s",
    }
)

# Replacements for an alphabet that lacks the character itself, such as the alphabet of pen 0.2.
_INSTEAD = {"«": "“", "»": "“", "º": "°", "×": "x"}


def normalise_text(text: str, alphabet: str = ALPHABET) -> str:
    """Convert `text` to the recogniser's form: composed characters, single spaces, one form for each look-alike.

    Every run of white space (tabs, line ends, non-breaking spaces) becomes one space; at the ends it is removed.
    Characters outside `alphabet` without a look-alike in it stay as they are; the recogniser reads them as U+FFFD.
    """
    if text.isascii():
        return " ".join(text.split())
    text = unicodedata.normalize("NFC", text).translate(_MAP)
    for char, instead in _INSTEAD.items():
        if char not in alphabet:
            text = text.replace(char, instead)
    return " ".join(text.split())


def fetch_texts(folder: Path, report: Callable[[str], None] = lambda m: print(m, file=sys.stderr)) -> None:
    """Fetch the corpora in the lock file into `folder`, one text file each, one paragraph a line.

    A corpus that cannot be fetched is reported and skipped. Raises ValueError if there are none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = 0
    for package in read_lock(LOCK):
        with tempfile.TemporaryDirectory() as scratch:
            try:
                corpora = _EXTRACT[package.about["form"]](unpack(package, Path(scratch)))
            except ValueError as error:
                report(f"skipped: {error}")
                continue
        for name, paragraphs in corpora.items():
            clean = [p for p in map(normalise_text, paragraphs) if p and set(p) <= _KNOWN]
            (folder / f"{name}.txt").write_text("\n".join(clean) + "\n", encoding="utf-8")
            kept += len(clean)
            report(f"{name}: {len(clean)} paragraphs from {package.package} {package.version} ({package.licence})")
    if not kept:
        raise ValueError(
            "no corpus could be fetched; training also works with no folder of texts, from built-in wording"
        )


_KNOWN = frozenset(ALPHABET)


def _speeches(folder: Path) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {"speeches": [], "older": []}
    for path in sorted((folder / "package" / "data").glob("*.txt")):
        text = re.sub(
            r"[\[(](?:applause|laughter)[^\])]*[\])]", "", path.read_text(encoding="utf-8"), flags=re.IGNORECASE
        )
        out["speeches" if int(path.name[:4]) >= 1934 else "older"] += text.split("\n")
    return out


def _novel(folder: Path) -> dict[str, list[str]]:
    chapters = sorted((folder / "package" / "data").glob("chapter_*.txt"), key=lambda p: int(p.stem.split("_")[1]))
    return {"novel": [p for c in chapters for p in c.read_text(encoding="utf-8").split("\n\n")[1:]]}


def _bible(folder: Path) -> dict[str, list[str]]:
    lines = next(folder.rglob("kjv.jsonl")).read_text(encoding="utf-8").splitlines()
    return {"bible": [re.sub(r"[\[\]{}]", "", json.loads(line)["text"]) for line in lines if line]}


def _phrases(folder: Path) -> dict[str, list[str]]:
    """WordNet's example phrases in quotation marks, except quotations from a named author."""
    text = gzip.decompress(next(folder.rglob("wn.dict.dz")).read_bytes()).decode("utf-8", "replace")
    found = re.findall(r'"([^"`{}]{4,160})"(?!\s*-)', re.sub(r"\n[^ \n].*", "\n", text))
    return {"phrases": list(dict.fromkeys(" ".join(html.unescape(p).split()).strip(" ;") for p in found))}


# The Project Gutenberg books in each corpus: fiction of 1908-1914, and older fiction with much dialogue and letters.
# Left out: verse and plays, texts in other corpora, and authors who are not in the public domain everywhere.
BOOKS = {
    "stories": ("chesterton-ball", "chesterton-brown", "chesterton-thursday"),
    "manners": ("austen-emma", "austen-persuasion", "austen-sense", "carroll-alice", "edgeworth-parents"),
}


def _books(folder: Path) -> dict[str, list[str]]:
    texts = folder / "package" / "gutenberg"
    return {
        name: [p for book in books for p in _book((texts / f"{book}.txt").read_text(encoding="cp1252"))]
        for name, books in BOOKS.items()
    }


def _book(text: str) -> list[str]:
    """The prose paragraphs of a Project Gutenberg text: no header, licence, heading, contents, verse or underscores."""
    text = re.split(r"(?im)^[ *]*end of (?:the )?project gutenberg|^\*+ ?START\b.*SMALL PRINT", text)[0]
    text = re.sub(r"_([^_]*)_", r"\1", text.replace("\r\n", "\n"))
    prose = []
    for block in re.split(r"\n(?:[ \t]*\n)+", text):
        lines = block.split("\n")
        verse = len(lines) > 1 and all(line.startswith("  ") for line in lines)
        if not verse and re.search(r"[a-z]['\"-]*[.!?:;,-][\s'\")-]*$", block) and not block.lstrip().startswith("["):
            prose.append(block)
    return prose


# Fields of a country profile with whole sentences; the others have key words and figures.
_PROSE = ("Background", "Economy - overview", "Disputes - international", "Demographic profile", "current situation")


def _facts(folder: Path) -> dict[str, list[str]]:
    def walk(node: object, field: str) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                yield from walk(value, field if key == "text" else key)
        elif isinstance(node, str) and field in _PROSE and ". " in node:
            yield node

    files = sorted((folder / "package").glob("*/*.json"))
    found = (text for file in files for text in walk(json.loads(file.read_text(encoding="utf-8")), ""))
    return {"facts": list(dict.fromkeys(found))}


def _banter(folder: Path) -> dict[str, list[str]]:
    """Sentences of the Jargon File's entries, without headwords, cross-reference braces and displayed code."""
    text = gzip.decompress(next(folder.rglob("jargon.dict.dz")).read_bytes()).decode("utf-8", "replace")
    text = re.sub(r"\s*\bSee(?: also)? \{[^.]*\.|[{}]", "", text).replace("‘", "'").replace("’", "'")
    # Running text is indented by four spaces; numbered senses, code and dialogue are not.
    return {
        "banter": [b for b in re.split(r"\n\s*\n", text) if re.match(r" {4}[A-Z“].*\n.*[a-z][.!?)'”]+\s*$", b, re.S)]
    }


_EXTRACT: dict[str, Callable[[Path], dict[str, list[str]]]] = {
    "speeches": _speeches,
    "novel": _novel,
    "bible": _bible,
    "phrases": _phrases,
    "books": _books,
    "facts": _facts,
    "banter": _banter,
}


class TextSource:
    """Lines and paragraphs to write: running text wrapped as on a page, and everyday notes.

    Args:
        folder: made by `fetch_texts`, possibly with the user's own texts in UTF-8, one paragraph a line, named by
            language (`LANGUAGES`). With None or an empty folder, sentences are made from a built-in vocabulary.

    Raises DataInvalid if there is no such folder or a text in it cannot be read.
    """

    def __init__(self, folder: Path | None) -> None:
        texts, weights = _read(folder) if folder is not None else ((), ())
        if not texts:
            if folder is not None:
                log.warning("%s holds no text (NAME.txt): made-up sentences are written", folder)
            texts, weights = (built_in_prose(),), (1.0,)
        self._texts = texts
        self._cumulative = (np.cumsum(weights) / sum(weights)).tolist()

    def line(self, rng: np.random.Generator, min_chars: int, max_chars: int) -> str:
        """A line of `min_chars` to `max_chars` characters of the alphabet, with single spaces and none at the ends."""
        max_chars = max(1, max_chars)
        min_chars = min(max(1, min_chars), max_chars)
        pick, style, marks, where = rng.random(4).tolist()
        wanted = min_chars + int(rng.integers(max_chars - min_chars + 1))
        if pick < 0.17:
            text = EVERYDAY.line(rng)
            if len(text) < min_chars:
                more = self._cut(rng, max(1, wanted - len(text) - 1), False)
                text = f"{text} {more}" if rng.random() < 0.5 else f"{more} {text}"
        elif pick < 0.19:
            text = _signs(rng, wanted)
        else:
            text = self._cut(rng, wanted, pick < 0.30)
            if where < 0.07 and wanted > 12:
                text = _insert(text, EVERYDAY.word(rng), rng)
            elif where < 0.10 and wanted > 12:
                text = _insert(text, foreign_word(rng), rng)
            elif where < 0.18:
                text = list_mark(rng) + text
        text = _dress(text, style, marks)
        return self._fit(text, rng, min_chars, max_chars)

    def lines_once(self, rng: np.random.Generator, min_chars: int, max_chars: int) -> Iterator[str]:
        """Yield all running text from beginning to end, wrapped at words, and styled as in `line`."""
        for text in self._texts:
            at = 0
            while at < len(text):
                wanted = int(rng.integers(min_chars, max_chars + 1))
                end = len(text) if at + wanted >= len(text) else text.rfind(" ", at, at + wanted + 1)
                if end <= at:  # a word longer than a line
                    end = at + wanted
                style, marks = rng.random(2).tolist()
                if line := _dress(text[at:end].strip(), style, marks).strip():
                    yield line
                at = end + 1

    def paragraph(self, rng: np.random.Generator, n_chars: int) -> str:
        """About `n_chars` characters of running text, from the start of a sentence to the end of one if possible."""
        text = self._texts[self._which(rng)]
        start = self._sentence_start(text, rng, n_chars + 400)
        piece = text[start : start + n_chars + 200]
        ends = [m.end() for m in re.finditer(r'[.!?]["”)]?(?= |$)', piece)]
        near = [e for e in ends if 0.6 * n_chars <= e <= n_chars + 200]
        if near:
            piece = piece[: min(near, key=lambda e: abs(e - n_chars))]
        else:
            piece = piece[: max(piece.rfind(" ", 0, n_chars + 1), 0) or n_chars]
        if rng.random() < 0.2:
            piece = _insert(piece, EVERYDAY.word(rng), rng)
        return _dress(piece, 1.0, float(rng.random())).strip()

    def _which(self, rng: np.random.Generator) -> int:
        r = rng.random()
        return next((i for i, edge in enumerate(self._cumulative) if r < edge), 0)

    @staticmethod
    def _sentence_start(text: str, rng: np.random.Generator, room: int) -> int:
        start = int(rng.integers(max(1, len(text) - room)))
        for _ in range(4):
            start = text.find(". ", start, start + 400)
            if start < 0:
                break
            start += 2
            if text[start : start + 1].isupper() or text[start : start + 1] in '"“':
                return start
        return text.find(" ", int(rng.integers(max(1, len(text) - room)))) + 1

    def _cut(self, rng: np.random.Generator, wanted: int, sentence: bool) -> str:
        """About `wanted` characters of running text, cut between words like lines, and sometimes inside a word."""
        text = self._texts[self._which(rng)]
        if sentence:
            start = self._sentence_start(text, rng, wanted + 500)
        else:
            start = text.find(" ", int(rng.integers(max(1, len(text) - wanted - 100)))) + 1
        end = start + wanted
        left, right, ending = rng.random(3).tolist()
        if left < 0.03 and not sentence:
            # The previous line ended with a hyphen, so this one begins inside a word.
            word_end = text.find(" ", start)
            point = _division(text[start:word_end], rng) if word_end > 0 else 0
            start += point
        piece = text[start:end]
        if end < len(text) and text[end] != " " and " " in piece.strip():
            cut = piece.rfind(" ")
            if right < 0.35 and wanted >= 12:
                word = text[start + cut + 1 : text.find(" ", start + cut + 1)]
                point = _division(word, rng, len(piece) - cut - 2)
                if point:
                    return piece[: cut + 1 + point].strip() + "-"
            piece = piece[:cut]
        if ending < 0.12:
            # The last line of a paragraph.
            stop = max(piece.rfind(". "), piece.rfind("! "), piece.rfind("? "))
            if stop > 0.3 * wanted:
                piece = piece[: stop + 1]
        return piece.strip()

    def _fit(self, text: str, rng: np.random.Generator, low: int, high: int) -> str:
        text = " ".join(text.split())
        while len(text) < low:
            text = f"{text} {self._cut(rng, max(3, low - len(text)) + 4, False)}".strip()
        if len(text) > high:
            cut = text.rfind(" ", 0, high + 1)
            text = text[:cut].rstrip() if cut >= low else text[:high].rstrip()
            if len(text) < low:
                text += "."
        return text


def lines_by_language(folder: Path, most: int = 1_500_000) -> dict[str, list[str]]:
    """Lines of the texts in `folder` for each language (`LANGUAGES`), about `most` characters each."""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.txt")):
        lines = found.setdefault(language_of(path), [])
        with path.open(encoding="utf-8") as file:
            length = sum(map(len, lines))
            for line in file:
                length += len(line)
                lines.append(line.rstrip("\n"))
                if length > most:
                    break
    return found


def language_of(path: Path) -> str:
    """The language (BCP 47) of the texts in the file `path`, from its name; English if it names none."""
    language = re.split(r"[_.-]", path.stem)[0].lower()
    return "en" if path.stem in WEIGHTS or language not in LANGUAGES else language


@lru_cache(maxsize=2)
def _read(folder: Path) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """The running texts of a folder, and the probability of each."""
    if not folder.is_dir():
        raise DataInvalid(
            f"{folder} is not a folder of texts: make one with 'text-recognizer train data texts FOLDER'."
        )
    found: list[tuple[str, float, str]] = []
    known = list(WEIGHTS)
    for path in sorted(folder.glob("*.txt"), key=lambda p: (known.index(p.stem) if p.stem in known else len(known), p)):
        try:
            paragraphs = path.read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError) as error:
            raise DataInvalid(f"{path} can't be read ({type(error).__name__}): it must be a text in UTF-8.") from error
        if path.stem in WEIGHTS:
            text = _running([p for p in paragraphs if p]) if path.stem == "phrases" else " ".join(paragraphs).strip()
            found.append(("en", WEIGHTS[path.stem], text))
        else:
            clean = (p for p in map(normalise_text, paragraphs) if p and set(p) <= _KNOWN)
            found.append((language_of(path), _OTHER_WEIGHT, " ".join(clean)))
    found = [entry for entry in found if entry[2]]
    total: dict[str, float] = {}
    for language, weight, _ in found:
        total[language] = total.get(language, 0.0) + weight
    others = len(total) - ("en" in total)
    share = {k: ENGLISH_SHARE if k == "en" else (1 - ENGLISH_SHARE) / max(1, others) for k in total}
    return tuple(f[2] for f in found), tuple(share[f[0]] * f[1] / total[f[0]] for f in found)


def _running(phrases: list[str]) -> str:
    """Turn example phrases into prose: most become sentences, some stay notes."""
    out = []
    for i, phrase in enumerate(phrases):
        turn = (i * 2654435761) >> 7 & 15  # fixed, and evenly distributed over the phrases
        body = phrase[:1].upper() + phrase[1:] if turn < 11 else phrase
        out.append(body + ("" if body[-1] in ".!?,;" else "." if turn < 12 else "," if turn < 14 else ";"))
    # Neighbours in a dictionary begin alike, so shuffle them.
    order = np.random.default_rng(0).permutation(len(out))
    return " ".join(out[i] for i in order)


def _division(word: str, rng: np.random.Generator, most: int = 99) -> int:
    """Where a writer would divide `word` at a line end: after a vowel or between consonants; 0 for nowhere."""
    points = []
    for i in range(2, min(len(word) - 2, most + 1)):
        if not word[i - 2 : i + 2].isalpha():
            continue
        before, after = word[i - 1].lower() in "aeiouy", word[i].lower() in "aeiouy"
        if (before and not after) or (not before and not after and word[i - 2].lower() in "aeiouy"):
            points.append(i)
    return points[int(rng.integers(len(points)))] if points else 0


def _insert(text: str, extra: str, rng: np.random.Generator) -> str:
    words = text.split(" ")
    words.insert(int(rng.integers(len(words) + 1)), extra)
    return " ".join(words)


def _dress(text: str, style: float, marks: float) -> str:
    """Vary case, quotes and dashes as different people write them; `style` and `marks` in 0…1 choose."""
    if style < 0.025:
        upper = text.upper()
        text = upper if set(upper) <= _KNOWN else text
    elif style < 0.045:
        text = re.sub(r"(?<![\w'’])[a-z]", lambda m: m.group().upper(), text)
    elif style < 0.06:
        text = text.lower()
    if marks < 0.35:
        text = text.replace("'", "’")
        text = re.sub(r'(?:(?<=[\s(—–-])|^)"', "“", text).replace('"', "”")
    elif marks < 0.6:
        text = text.replace("’", "'").replace("“", '"').replace("”", '"')
    if "--" in text or "—" in text:
        dash = "—" if marks < 0.25 else " – " if marks < 0.45 else " - " if marks < 0.7 else "--"
        text = re.sub(r"\s*(?:--|—)\s*", dash, text)
    if marks > 0.97:
        text = text.replace("...", "…")
    elif marks > 0.94 and text.endswith("."):
        text = text[:-1] + ("…" if marks > 0.955 else "!")
    if marks > 0.9 and " and " in text:
        text = text.replace(" and ", " & " if marks > 0.93 else " + ", 1)
    return text


def _signs(rng: np.random.Generator, wanted: int) -> str:
    """Words and characters in random order: every sign of the alphabet occurs, and nothing can be guessed."""
    chars = []
    for kind, index in zip(rng.random(wanted).tolist(), rng.integers(1 << 30, size=wanted).tolist(), strict=True):
        pool = _POOLS[0] if kind < 0.35 else _POOLS[1] if kind < 0.55 else _POOLS[2] if kind < 0.85 else " "
        chars.append(pool[index % len(pool)])
    return "".join(chars).strip() or "&"


_POOLS = ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789", ALPHABET[1:])
