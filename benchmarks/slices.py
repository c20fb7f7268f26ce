"""What the model reads well and badly: error rates on slices that differ from a plain default in one thing each.

    python benchmarks/slices.py --unipen data/unipen.npz --texts data/texts
    python benchmarks/slices.py --unipen data/unipen.npz --texts data/texts --write docs/measure/model-card.md

Lines and pages are rendered from writers that no training sees. Within a group every slice shows the same texts in the
same hands, drawn with the same random numbers, so that a difference is due to the one thing; only the slices by strokes
a letter are of different writers. Seeds are fixed: the same data gives the same pixels.
"""

from __future__ import annotations

import argparse
import json
import struct
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import Bundle
from text_recognizer.errors import DataInvalid
from text_recognizer.evaluation.evaluate import By, Report, evaluate
from text_recognizer.evaluation.metrics import Rate, calibration, rate
from text_recognizer.evaluation.sets import load_set
from text_recognizer.page import Mode
from text_recognizer.reader import Reader
from text_recognizer.synthesis.rendering.ink import Hand, compose_line, join_strokes, smooth_strokes
from text_recognizer.synthesis.rendering.page import compose_page
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.rendering.paper import make_sheet, put_ink
from text_recognizer.synthesis.rendering.pen import Pen, draw_ink
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Ink, load_writers

Gray = NDArray[np.uint8]
Random = np.random.Generator

SEED = 20261125
HEIGHT = 96  # pixels of a line image: twice what the network sees
LINES, PAGES = 90, 8  # of a slice
DPI = 300  # of a page as it is drawn
MODES: tuple[Mode, ...] = ("accurate", "fast")
COMMAND = "python benchmarks/slices.py --unipen data/unipen.npz --texts data/texts"
BALLPOINT = Pen(0.125)  # x-heights


def generator(*place: int) -> Random:
    """The random numbers of one place: what is drawn there does not depend on what is drawn elsewhere."""
    return np.random.default_rng([SEED, *place])


# ------------------------------------------------------------------------------------------------------- lines


@dataclass(frozen=True)
class Look:
    """How a line is written and pictured; the defaults are the plain line that every slice is compared with."""

    hand: Callable[[Ink, Random], Ink] | None = None
    pen: Pen = BALLPOINT
    ink: str = "ballpoint_black"
    strength: float = 1.0  # share of the ink that the pen leaves
    paper: str = "plain"
    picture: Callable[[Gray, Random], Gray] | None = None


def slant(ink: Ink, lean: float) -> Ink:
    """Sheared to the right by `lean`: the tangent of the angle added to the writer's own slant."""
    strokes = [s - np.stack([lean * s[:, 1], np.zeros(len(s), np.float32)], axis=1) for s in ink.strokes]
    left = min(float(s[:, 0].min()) for s in strokes)
    return Ink(ink.text, tuple((s - np.float32([left, 0])).astype(np.float32) for s in strokes))


def uneven_light(gray: Gray, rng: Random) -> Gray:
    """A shadow with a soft edge over one half."""
    across = np.linspace(-1, 1, gray.shape[1], dtype=np.float32)
    shade = 1 - 0.6 / (1 + np.exp(-(across - np.float32(rng.uniform(-0.3, 0.3))) * 12))
    return np.asarray(gray * shade, np.uint8)


def noisy(gray: Gray, rng: Random) -> Gray:
    return np.asarray(np.clip(gray + rng.normal(0, 20, gray.shape), 0, 255), np.uint8)


def compressed(gray: Gray, _: Random) -> Gray:
    data = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def binarised(gray: Gray, _: Random) -> Gray:
    return np.asarray(cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1], np.uint8)


PLAIN = Look()
# group: (fields of Look that its slices may change, {slice: look})
LOOKS: dict[str, tuple[frozenset[str], dict[str, Look]]] = {
    "Hands, changed": (
        frozenset({"hand"}),
        {
            "as written": PLAIN,
            "joined up: pen lifts inside words drawn as joins": Look(hand=lambda ink, rng: join_strokes(ink, rng, 1.0)),
            "hurried: strokes smoothed over 0.2 x-heights": Look(hand=lambda ink, _: smooth_strokes(ink, 0.2)),
            "slanted 27° further to the right": Look(hand=lambda ink, _: slant(ink, 0.5)),
        },
    ),
    "Pen": (
        frozenset({"pen", "ink", "strength"}),
        {
            "ballpoint, 0.125 x-heights": PLAIN,
            "fineliner, 0.06 x-heights": Look(pen=Pen(0.06)),
            "pressure: down-strokes twice as heavy": Look(pen=Pen(0.125, pressure=0.7)),
            "broad nib, fountain-pen ink": Look(pen=Pen(0.15, nib=0.6), ink="fountain"),
            "pencil": Look(pen=Pen(0.1), ink="pencil"),
            "faint: a fifth of the ink": Look(strength=0.2),
            "thick felt tip, 0.3 x-heights": Look(pen=Pen(0.3), ink="felt"),
        },
    ),
    "Paper and picture": (
        frozenset({"paper", "picture"}),
        {
            "plain": PLAIN,
            "ruled": Look(paper="ruled"),
            "squared": Look(paper="squared"),
            "aged, stained": Look(paper="aged"),
            "dark: 35 % of the light": Look(picture=lambda gray, _: np.asarray(gray * 0.35, np.uint8)),
            "uneven light: one half at 40 %": Look(picture=uneven_light),
            "sensor noise, σ 20 of 255": Look(picture=noisy),
            "JPEG, quality 10": Look(picture=compressed),
            "binarised (Otsu)": Look(picture=binarised),
        },
    ),
}
# slice: strokes a letter, and below
HANDS = {"joined cursive: under 0.5": 0.5, "mixed: 0.5 to 0.85": 0.85, "print: over 0.85": np.inf}


def lifts(ink: Ink) -> float:
    """Strokes a letter: 1 where the pen is lifted for each."""
    return len(ink.strokes) / max(1, len(ink.text.replace(" ", "")))


@dataclass(frozen=True)
class Written:
    """A line before it is drawn, its writer and its number, which its random numbers go by."""

    ink: Ink
    writer: str
    number: int


def write_line(hands: Sequence[Hand], text: TextSource, number: int) -> Written:
    """Line `number`: writers take turns."""
    hand = hands[number % len(hands)]
    return Written(compose_line(hand, generator(1, number), (10, 50), text.line), hand.id, number)


def lines_by_lifts(hands: Sequence[Hand], text: TextSource, count: int) -> dict[str, list[Written]]:
    """`count` lines for each of HANDS, or as many as a hundred turns of the writers give; none of the first `count`."""
    found: dict[str, list[Written]] = {name: [] for name in HANDS}
    for number in range(count, count + 100 * len(hands)):
        line = write_line(hands, text, number)
        name = next(name for name, below in HANDS.items() if lifts(line.ink) < below)
        if len(found[name]) < count:
            found[name].append(line)
        if all(len(lines) == count for lines in found.values()):
            break
    return found


def draw(line: Written, look: Look = PLAIN) -> Gray:
    """A line image (HEIGHT, W), cut alike for every look."""
    ink = look.hand(line.ink, generator(2, line.number)) if look.hand else line.ink
    ys = np.concatenate(ink.strokes)[:, 1]
    above, below, side = max(2.2, -float(ys.min()) + 0.1), max(1.0, float(ys.max()) + 0.1), 0.6  # x-heights
    x_height = HEIGHT / (above + below)
    cover = np.zeros((HEIGHT, round((ink.width + 2 * side) * x_height)), np.uint8)
    draw_ink(ink.strokes, x_height, (side * x_height, above * x_height), cover, look.pen)
    cover = np.asarray(cover * look.strength, np.uint8)
    sheet = make_sheet(*cover.shape, generator(3, line.number), look.paper, line_spacing=0.8 * HEIGHT)
    rgb = put_ink(sheet.rgb, cover, generator(4, line.number), look.ink)
    gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return look.picture(gray, generator(5, line.number)) if look.picture else gray


# ------------------------------------------------------------------------------------------------------- pages


@dataclass(frozen=True)
class WrittenPage:
    """A plain page at 300 dpi: grey (H, W), the coverage of its ink (H, W), its lines in reading order."""

    gray: Gray
    cover: Gray
    lines: tuple[str, ...]
    writer: str
    number: int


STYLE = PageStyle(x_height=30, width=60, height=62, hyphens=0.0)  # 152 × 157 mm, an x-height of 2.5 mm


def write_page(hand: Hand, text: TextSource, number: int, style: PageStyle = STYLE) -> WrittenPage:
    """Page `number` in one hand on plain paper; `style` says how it is laid out."""
    written, printed, lines = compose_page(hand, generator(6, number), style, text, variation=0.0)
    cover = np.maximum(written, printed)
    sheet = make_sheet(*cover.shape, generator(7, number), "plain")
    rgb = put_ink(sheet.rgb, cover, generator(8, number), "ballpoint_black")
    gray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    return WrittenPage(gray, cover, tuple(line.text for line in lines), hand.id, number)


def fills_pages(hand: Hand) -> bool:
    """Whether this writer left words enough for a page."""
    # The phrases of donor "scr" run over two lines: their truth would be wrong.
    return not hand.id.startswith("scr-") and (len(hand.word_list) >= 8 or hand.can_print)


def pages_of(hands: Sequence[Hand], text: TextSource, count: int) -> list[WrittenPage]:
    """`count` pages of as many writers, drawn once at random; DataInvalid where nobody has words enough."""
    able = [hand for hand in hands if fills_pages(hand)]
    if not able:
        raise DataInvalid("no held-out writer has words enough to fill a page: prepare the whole of UNIPEN.")
    order = generator(9).permutation(len(able))
    return [write_page(able[int(order[k % len(able)])], text, k) for k in range(count)]


def inverted(page: WrittenPage) -> Gray:
    return np.asarray(255 - page.gray, np.uint8)


def blackboard(page: WrittenPage) -> Gray:
    """Chalk, uneven and grainy, on a dark board with traces of the sponge."""
    rng = generator(10, page.number)
    board = cv2.resize(rng.normal(55, 6, (12, 4)), page.gray.shape[::-1], interpolation=cv2.INTER_CUBIC)
    chalk = page.cover / 255 * np.clip(rng.normal(0.8, 0.15, page.cover.shape), 0, 1)
    return np.asarray(np.clip(board + (225 - board) * chalk, 0, 255), np.uint8)


def at_dpi(dpi: int) -> Callable[[WrittenPage], Gray]:
    """The page as a scanner of `dpi` gives it."""

    def change(page: WrittenPage) -> Gray:
        height, width = (round(side * dpi / DPI) for side in page.gray.shape)
        return np.asarray(cv2.resize(page.gray, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    return change


def turned(degrees: float) -> Callable[[WrittenPage], Gray]:
    """The page turned counter-clockwise on a ground of its paper's tone, large enough that nothing is cut."""

    def change(page: WrittenPage) -> Gray:
        height, width = page.gray.shape
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        c, s = np.abs(turn[0, :2])
        new_width, new_height = round(c * width + s * height), round(s * width + c * height)
        turn[:, 2] += (new_width - width) / 2, (new_height - height) / 2
        paper = float(np.median(page.gray))
        return np.asarray(
            cv2.warpAffine(page.gray, turn, (new_width, new_height), flags=cv2.INTER_LINEAR, borderValue=paper),
            np.uint8,
        )

    return change


def plain(page: WrittenPage) -> Gray:
    return page.gray


# group: {slice: view}, the plain page among them
VIEWS: dict[str, dict[str, Callable[[WrittenPage], Gray]]] = {
    "Polarity": {"dark on light": plain, "inverted": inverted, "blackboard: chalk on a dark ground": blackboard},
    "Resolution": {"300 dpi": plain} | {f"{dpi} dpi": at_dpi(dpi) for dpi in (200, 150, 100, 75)},
    "Rotation": {"0°": plain} | {f"{angle:+d}°".replace("-", "−"): turned(angle) for angle in (-10, -5, -2, 2, 5, 10)},
}


# -------------------------------------------------------------------------------------------------- measuring

Pictures = Iterable[tuple[Gray, Sequence[str], str]]  # image, its lines, its writer
Reports = dict[Mode, Report]


def store(folder: Path, pictures: Pictures) -> Path:
    """Write pictures as a set that `evaluate` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for number, (image, lines, writer) in enumerate(pictures):
            name = f"{number:04d}.png"
            cv2.imwrite(str(folder / name), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            for line in lines:
                manifest.write(json.dumps({"image": name, "text": line, "writer": writer}, ensure_ascii=False) + "\n")
    return folder


def against(report: Report, plain: Report) -> Rate:
    """CER of `report` less that of `plain`, both of the same texts: the interval is over the writers' differences.

    Raises DataInvalid where the texts are not the same.
    """
    if [s.truth for s in report.samples] != [s.truth for s in plain.samples]:
        raise DataInvalid("two slices do not hold the same texts: some image of one could not be read.")
    return rate(
        [
            s.errors.character_edits - p.errors.character_edits
            for s, p in zip(report.samples, plain.samples, strict=True)
        ],
        [s.errors.characters for s in report.samples],
        [s.writer for s in report.samples],
    )


def row(name: str, reports: Reports, plain: Reports | None) -> dict[str, Any]:
    """The figures of a slice; with `plain`, which holds the same texts, its distance from that too."""
    samples = reports["accurate"].samples
    free = reports["accurate"].cer_any_order()
    return {
        "slice": name,
        "samples": len(samples),
        "writers": len({s.writer for s in samples}),
        "characters": sum(s.errors.characters for s in samples),
        **{mode: _numbers(report.cer()) for mode, report in reports.items()},
        "against_plain": _numbers(against(reports["accurate"], plain["accurate"])) if plain else None,
        "any_order": _numbers(free) if free else None,
    }


def _numbers(found: Rate) -> list[float]:
    return [round(v, 5) for v in (found.value, found.low, found.high)]


def measure(
    hands: Sequence[Hand], text: TextSource, reader: Reader, keep: Path, lines: int, pages: int
) -> dict[str, Any]:
    """Read every slice in both modes; images and their manifests stay in `keep`.

    Returns what `--json` writes: `groups` {group: [row]}, and `calibration` of the words read in the accurate mode on
    the lines that are as written.
    """
    groups: dict[str, list[dict[str, Any]]] = {}

    def read(pictures: Pictures, by: By) -> Reports:
        data = load_set(store(keep / f"{len(list(keep.iterdir())):02d}", pictures))
        return {mode: evaluate(data, reader, mode, by) for mode in MODES}

    def add(group: str, name: str, reports: Reports, base: Reports | None = None) -> None:
        groups.setdefault(group, []).append(row(name, reports, base))
        print(f"{group} · {name}: CER " + ", ".join(f"{r.cer()} {mode}" for mode, r in reports.items()), flush=True)

    def drawn(written: Sequence[Written], look: Look) -> Pictures:
        return ((draw(line, look), [line.ink.text], line.writer) for line in written)

    keep.mkdir(parents=True, exist_ok=True)
    as_written = []
    for name, written in lines_by_lifts(hands, text, lines).items():
        if written:
            reports = read(drawn(written, PLAIN), "line")
            add("Hands, by strokes a letter", name, reports)
            as_written.append(reports["accurate"])

    written = [write_line(hands, text, number) for number in range(lines)]
    base = read(drawn(written, PLAIN), "line")
    as_written.append(base["accurate"])
    for group, (_, looks) in LOOKS.items():
        for name, look in looks.items():
            if look == PLAIN:
                add(group, name, base)
            else:
                add(group, name, read(drawn(written, look), "line"), base)

    sheets = pages_of(hands, text, pages)
    upright = read(((page.gray, page.lines, page.writer) for page in sheets), "page")
    for group, views in VIEWS.items():
        for name, view in views.items():
            if view is plain:
                add(group, name, upright)
            else:
                add(group, name, read(((view(p), p.lines, p.writer) for p in sheets), "page"), upright)

    words = [pair for report in as_written for sample in report.samples for pair in sample.confidences]
    return {
        "model": reader.model,
        "seed": SEED,
        "lines": lines,
        "pages": pages,
        "groups": groups,
        "calibration": calibration([c for c, _ in words], [right for _, right in words]) if words else [],
    }


# ------------------------------------------------------------------------------------------------------ tables


def tables(figures: dict[str, Any]) -> str:
    """The figures as they stand in the model card, under the command that makes them."""

    def percent(numbers: Sequence[float]) -> str:
        value, low, high = (100 * n for n in numbers)
        return f"{value:.1f} % ({low:.1f}–{high:.1f})"

    def points(numbers: Sequence[float] | None) -> str:
        if numbers is None:
            return "–"
        value, low, high = map(_signed, numbers)
        return f"{value} ({low} to {high})"

    sizes = (figures["lines"], figures["pages"])
    options = "" if sizes == (LINES, PAGES) else f" --lines {sizes[0]} --pages {sizes[1]}"
    out = [f"Model `{figures['model']}`, {sizes[0]} lines or {sizes[1]} pages a slice:", ""]
    out += [f"    {COMMAND}{options} --write docs/measure/model-card.md", "", summary(figures)]
    for group, rows in figures["groups"].items():
        by_page = rows[0]["any_order"] is not None
        compared = any(r["against_plain"] for r in rows)
        heads = [group, "CER, accurate"]
        heads += ["against the first row, points"] * compared + ["lines in any order"] * by_page
        heads += ["CER, fast", "writers", "characters"]
        out += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        for r in rows:
            cells = [r["slice"], percent(r["accurate"])]
            cells += [points(r["against_plain"])] * compared
            cells += [f"{100 * r['any_order'][0]:.1f} %"] if by_page else []
            cells += [percent(r["fast"]), f"{r['writers']}", f"{r['characters']:,}"]
            out.append(f"| {' | '.join(cells)} |")
    bins = figures["calibration"]
    out += ["", f"| confidence of a word | {' | '.join(f'{low:.1f}–{high:.1f}' for low, high, _, _ in bins)} |"]
    out.append("|---" * (len(bins) + 1) + "|")
    out.append(f"| words | {' | '.join(f'{n:,}' for _, _, n, _ in bins)} |")
    out.append(f"| right, % | {' | '.join(f'{100 * right:.0f}' for _, _, _, right in bins)} |")
    return "\n".join(out)


def _signed(share: float) -> str:
    """A difference of rates in percentage points."""
    return f"{100 * share:+.1f}".replace("-", "−")


def summary(figures: dict[str, Any]) -> str:
    """Which slices are read worse than the first of their table, the worst first, as far as the intervals tell."""
    rows = [row for rows in figures["groups"].values() for row in rows if row["against_plain"]]
    rows.sort(key=lambda row: -row["against_plain"][0])
    told: dict[str, list[str]] = {
        "Read worse than the first of their table, in points of CER": [],
        "Read better": [],
        "No difference shown": [],
    }
    worse, better, unclear = told.values()
    for row in rows:
        value, low, high = row["against_plain"]
        named = f"{row['slice']} ({_signed(value)})"
        (worse if low > 0 else better if high < 0 else unclear).append(named)
    return " ".join(f"{head}: {'; '.join(names)}." for head, names in told.items() if names)


def facts(bundle: Bundle) -> str:
    """What the bundle says of itself: name, steps, files with sizes and parameters."""
    description = bundle.description
    rows = [
        ("name and version", f"`{bundle.name}`, {bundle.version}"),
        ("training steps of the recogniser", f"{description.run.steps:,}"),
        ("alphabet", f"{len(description.alphabet)} characters"),
        ("height of a line", f"{description.line_height} pixels, width × {description.recognizer.width_scale}"),
        ("made from commit", f"`{(description.git_commit or 'unknown')[:12]}`"),
    ]
    for name in sorted(description.files):
        file = bundle.path / name
        what = f"{file.stat().st_size / 1e6:.1f} MB"
        if file.suffix == ".safetensors":
            what += f", {_parameters(file) / 1e6:.2f} million parameters"
        rows.append((f"`{name}`", what))
    return "\n".join(["| bundle | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _parameters(file: Path) -> int:
    """Numbers in a safetensors file, by its header: 8 bytes of length, then JSON."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return sum(int(np.prod(tensor["shape"])) for name, tensor in header.items() if name != "__metadata__")


def put_between(document: str, name: str, content: str) -> str:
    """`document` with what stands between `<!-- name:begin -->` and `<!-- name:end -->` replaced by `content`.

    Raises DataInvalid where the markers are not there exactly once, in this order.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    if document.count(begin) != 1 or document.count(end) != 1 or document.index(begin) > document.index(end):
        raise DataInvalid(f"the document needs the lines {begin} and {end}, once each and in this order.")
    head, rest = document.split(begin)
    return f"{head}{begin}\n{content}\n{end}{rest.split(end)[1]}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unipen", type=Path, required=True)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--bundle", type=Path, help="model folder (default: the shipped one)")
    parser.add_argument("--lines", type=int, default=LINES, help=f"lines a slice (default: {LINES})")
    parser.add_argument("--pages", type=int, default=PAGES, help=f"pages a slice (default: {PAGES})")
    parser.add_argument("--quick", action="store_true", help="three lines and one page a slice, to see that it works")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--keep", type=Path, help="an empty folder to leave the images in, to look at them")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", action="store_true", help="print the tables as they stand in the model card")
    parser.add_argument("--write", type=Path, help="replace the tables between the markers of this document")
    args = parser.parse_args(argv)
    lines, pages = (3, 1) if args.quick else (args.lines, args.pages)
    if min(lines, pages) < 1:
        parser.error("--lines and --pages must be at least 1")
    if args.write:  # a document without markers fails now, not after minutes
        for name in ("slices", "bundle"):
            put_between(args.write.read_text(encoding="utf-8"), name, "")
    hands = [hand for hand in map(Hand, load_writers(args.unipen, "heldout")) if hand.writable]
    reader = Reader(args.bundle, args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        figures = measure(hands, TextSource(args.texts), reader, args.keep or Path(scratch), lines, pages)
    if args.markdown:
        print(tables(figures))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if args.write:
        document = put_between(args.write.read_text(encoding="utf-8"), "slices", tables(figures))
        args.write.write_text(put_between(document, "bundle", facts(reader.bundle)), encoding="utf-8")


if __name__ == "__main__":
    main()
