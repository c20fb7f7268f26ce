"""Evaluate a model on a set: CER and WER with intervals, slices, calibration, seconds, and the worst lines.

When it evaluates by page, it joins the lines of truth and reading by blanks in reading order, so a line that is missed
or read out of order counts in full. The CER in any order pairs lines first (`metrics.any_order`), with the parts of a
split line joined; the difference between the two is the cost of wrong order. `line_alignment` counts lines that were
split, merged, lost or invented.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.devices import CPU, DEVICE_HELP
from text_recognizer.errors import DataInvalid, ImageRejected
from text_recognizer.evaluation.confusions import FORMS, confusions, summary, write
from text_recognizer.evaluation.line_alignment import ILLEGIBLE, LineAlignment, align_lines
from text_recognizer.evaluation.metrics import (
    Errors,
    Normalisation,
    Rate,
    any_order,
    calibration,
    errors,
    rate,
    words_right,
)
from text_recognizer.evaluation.overlay import LEGEND, STYLE, PageLines, overlay
from text_recognizer.evaluation.sets import LINE_TYPES, load_set
from text_recognizer.evaluation.truth import EvaluationSet, TruthPage
from text_recognizer.images import load_image
from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.line_image import line_polygon
from text_recognizer.page import MODES, Mode, Page, Polygon
from text_recognizer.reader import Reader

By = Literal["line", "page"]
PICTURE = 1000  # pixels: longer side of a page's picture in the HTML report


@dataclass(frozen=True)
class Sample:
    """A text that was read: a line or a page."""

    name: str
    writer: str
    slice: str
    truth: str
    read: str
    errors: Errors
    confidences: tuple[tuple[float, bool], ...] = ()  # for each word: its confidence, and whether it is right
    crop: NDArray[np.uint8] | None = None
    any_order: tuple[int, int] | None = None  # for a page: character edits, characters
    lines: PageLines | None = None  # for a page


@dataclass
class Report:
    """The results of an evaluation."""

    samples: list[Sample] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # per image, which is a page or a line

    def cer(self, samples: Sequence[Sample] | None = None) -> Rate:
        chosen = self.samples if samples is None else samples
        return rate(
            [s.errors.character_edits for s in chosen],
            [s.errors.characters for s in chosen],
            [s.writer for s in chosen],
        )

    def wer(self, samples: Sequence[Sample] | None = None) -> Rate:
        chosen = self.samples if samples is None else samples
        return rate([s.errors.word_edits for s in chosen], [s.errors.words for s in chosen], [s.writer for s in chosen])

    def cer_any_order(self) -> Rate | None:
        """CER of pages with lines paired before the comparison; None if no page was read as a whole."""
        pages = [(s.any_order, s.writer) for s in self.samples if s.any_order]
        if not pages:
            return None
        return rate([p[0] for p, _ in pages], [p[1] for p, _ in pages], [w for _, w in pages])

    def line_faults(self) -> dict[str, tuple[int, Rate]]:
        """The number of split, merged, lost and invented lines of pages, each also as a rate per line of the truth."""
        pages = [(s.lines.alignment, s.writer) for s in self.samples if s.lines]
        lengths, writers = [a.truth for a, _ in pages], [w for _, w in pages]
        counts = {
            "split": [len(a.split) for a, _ in pages],
            "merged": [len(a.merged) for a, _ in pages],
            "lost": [len(a.lost) for a, _ in pages],
            "invented": [len(a.invented) for a, _ in pages],
        }
        return {kind: (sum(c), rate(c, lengths, writers)) for kind, c in counts.items()} if pages else {}

    def slices(self) -> dict[str, list[Sample]]:
        groups: dict[str, list[Sample]] = defaultdict(list)
        for sample in self.samples:
            if sample.slice:
                groups[sample.slice].append(sample)
        return dict(sorted(groups.items()))

    def table(self) -> list[tuple[float, float, int, float]]:
        """The calibration of word confidences."""
        pairs = [p for s in self.samples for p in s.confidences]
        return calibration([p[0] for p in pairs], [p[1] for p in pairs]) if pairs else []

    def as_dict(self) -> dict[str, Any]:
        cer, wer, free = self.cer(), self.wer(), self.cer_any_order()
        return {
            "samples": len(self.samples),
            "writers": len({s.writer for s in self.samples}),
            "characters": sum(s.errors.characters for s in self.samples),
            "cer": [cer.value, cer.low, cer.high],
            "wer": [wer.value, wer.low, wer.high],
            "cer_any_order": [free.value, free.low, free.high] if free else None,
            "lines": {
                kind: {"count": count, "share": [share.value, share.low, share.high]}
                for kind, (count, share) in self.line_faults().items()
            },
            "pages": [_page_dict(s) for s in self.samples if s.lines],
            "slices": {
                k: {"samples": len(v), "cer": self.cer(v).value, "wer": self.wer(v).value}
                for k, v in self.slices().items()
            },
            "seconds_an_image": float(np.median(self.seconds)) if self.seconds else None,
            "calibration": self.table(),
            "skipped": self.skipped,
        }


def evaluate(
    data: EvaluationSet,
    reader: Reader,
    mode: Mode = "accurate",
    by: By = "line",
    normalise: Normalisation | None = None,
    language: str | None = None,
) -> Report:
    """Read every line (cropped by its polygon) or every page (from the whole image) of `data`.

    A rejected image, or a line outside its page, is listed in `skipped`. `language`: as for `Reader.read`.
    """
    normalise = normalise or Normalisation()
    report = Report(skipped=list(data.skipped))
    for page in _progress(data.pages):
        try:
            gray = load_image(page.image).gray
        except ImageRejected as error:
            report.skipped.append(f"{page.image.name}: {error}")
            continue
        start = time.perf_counter()
        if by == "page" or not page.lines:
            read = reader.read(page.image, mode, language=language)
            report.seconds.append(time.perf_counter() - start)
            truth = _truth_lines(page)
            words = [w for line in read.lines for w in line.words]
            right = words_right(normalise(" ".join(truth)), [normalise(w.text) for w in words])
            pairs = tuple(zip((w.confidence for w in words), right, strict=True))
            sample = _page_sample(page, [text for text, _, _ in read.rows()], normalise)
            assert sample.lines
            sample = replace(sample, lines=replace(sample.lines, outlines=_outlines(read)))
            report.samples.append(replace(sample, confidences=pairs, crop=_picture(gray)))
            continue
        height = reader.recognizer.line_height
        lines, crops = [], []
        for number, line in enumerate(page.lines, 1):
            if line.counts:
                crop = crop_line(gray, line.polygon or line_polygon(gray), line.baseline, height)
                if crop.shape[1] > 1:
                    lines.append((number, line))
                    crops.append(crop)
                else:
                    report.skipped.append(f"{page.image.name}:{number}: no area within the page")
        spoken = language or reader.recognizer.identify_language(crops)
        readings = reader.recognizer.in_language(spoken).read_lines(crops, mode)
        report.seconds.append(time.perf_counter() - start)
        for (number, line), crop, got in zip(lines, crops, readings, strict=True):
            right = words_right(normalise(line.text), [normalise(w.text) for w in got.words])
            pairs = tuple(zip((w.confidence for w in got.words), right, strict=True))
            report.samples.append(
                Sample(
                    f"{page.image.name}:{number}",
                    page.writer,
                    line.slice,
                    line.text,
                    got.text,
                    errors(line.text, got.text, normalise),
                    pairs,
                    crop,
                )
            )
    return report


def evaluate_peer(data: EvaluationSet, read: Callable[[Path], str], normalise: Normalisation | None = None) -> Report:
    """The same evaluation for any function from an image path to lines of text; a failure counts as an empty text."""
    normalise = normalise or Normalisation()
    report = Report(skipped=list(data.skipped))
    for page in _progress(data.pages):
        start = time.perf_counter()
        try:
            text = read(page.image)
        except Exception as error:
            text = ""
            report.skipped.append(f"{page.image.name}: counted as empty: {error}")
        report.seconds.append(time.perf_counter() - start)
        report.samples.append(_page_sample(page, text.splitlines(), normalise))
    return report


def _truth_lines(page: TruthPage) -> list[str]:
    return page.text.splitlines() if page.text else [line.text for line in page.lines]


def _page_sample(page: TruthPage, read: Sequence[str], normalise: Normalisation) -> Sample:
    truth = _truth_lines(page)
    alignment = align_lines(truth, read, normalise)
    legible = [ILLEGIBLE.sub(" ", line) for line in truth]
    text, joined = " ".join(legible), " ".join(read)
    found = errors(text, joined, normalise)
    # A line read in parts is not an error of order, and the cost of order is never negative.
    edits, characters = any_order(legible, _parts_joined(read, alignment), normalise)
    free = min(edits, found.character_edits), characters
    lines = PageLines(tuple(truth), tuple(read), alignment)
    return Sample(page.image.name, page.writer, "", text, joined, found, any_order=free, lines=lines)


def _parts_joined(read: Sequence[str], alignment: LineAlignment) -> list[str]:
    """The lines read, with those joined that contain only parts of the same line of the truth."""
    texts = dict(enumerate(read))
    for i in alignment.split:
        parts = sorted(j for a, j in alignment.links if a == i and j not in alignment.merged)
        if parts:
            texts[parts[0]] = " ".join(texts.pop(j) for j in parts)
    return list(texts.values())


def _outlines(page: Page) -> tuple[tuple[Polygon, ...], ...]:
    size = (max(1, page.width), max(1, page.height))
    return tuple(
        tuple(tuple((x / size[0], y / size[1]) for x, y in line.polygon) for line in page.lines[start:stop])
        for _, start, stop in page.rows()
    )


def _page_dict(sample: Sample) -> dict[str, Any]:
    assert sample.lines and sample.any_order
    found = sample.lines.alignment
    characters = max(1, sample.errors.characters)
    return {
        "name": sample.name,
        "cer": sample.errors.character_edits / characters,
        "cer_any_order": sample.any_order[0] / characters,
        "lines": found.truth,
        "split": len(found.split),
        "merged": len(found.merged),
        "lost": len(found.lost),
        "invented": len(found.invented),
    }


def _picture(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = min(1.0, PICTURE / max(gray.shape))
    return np.asarray(cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _progress(pages: Sequence[TruthPage]) -> Iterable[TruthPage]:
    if not sys.stderr.isatty():
        return pages
    from rich.console import Console
    from rich.progress import track

    return track(pages, "Reading", console=Console(stderr=True), transient=True)


def only_slices(data: EvaluationSet, names: Collection[str]) -> EvaluationSet:
    """The lines of `data` that belong to one of the slices `names`."""
    kept = [replace(p, lines=tuple(line for line in p.lines if line.slice in names)) for p in data.pages]
    return EvaluationSet([p for p in kept if p.lines], data.skipped)


def show(report: Report, title: str) -> str:
    """The report as text for a terminal."""
    lines = [
        title,
        f"  samples {len(report.samples)}, characters {sum(s.errors.characters for s in report.samples)}",
        f"  CER {report.cer()}   WER {report.wer()}",
        f"  95 % intervals over {len({s.writer for s in report.samples})} writers; "
        "an image whose writer is unknown counts as one",
    ]
    if free := report.cer_any_order():
        lines.append(f"  CER with lines in any order {free}")
    if faults := report.line_faults():
        lines.append("  lines " + ", ".join(f"{kind} {count}: {share}" for kind, (count, share) in faults.items()))
    if report.seconds:
        lines.append(f"  seconds an image: median {np.median(report.seconds):.2f}")
    for name, samples in report.slices().items():
        lines.append(f"  {name:<16} {len(samples):>5} samples   CER {report.cer(samples)}   WER {report.wer(samples)}")
    if table := report.table():
        lines.append("  confidence of words   words   right")
        lines += [
            f"    {low:.1f}–{high:.1f}             {n:>6}   {100 * right:5.1f} %" for low, high, n, right in table
        ]
    if report.skipped:
        lines.append(f"  skipped {len(report.skipped)}: " + "; ".join(report.skipped[:5]))
    return "\n".join(lines)


def worst_page(report: Report, count: int = 60) -> str:
    """A self-contained HTML page of the samples with the most edits per character; pages show their lines."""
    ranked = sorted(report.samples, key=lambda s: -s.errors.character_edits / max(1, s.errors.characters))[:count]
    legend = LEGEND if report.line_faults() else ""
    rows = []
    for s in ranked:
        picture = ""
        if s.crop is not None and s.lines is not None:
            picture = overlay(s.crop, s.lines)
        elif s.crop is not None:
            data = base64.b64encode(cv2.imencode(".png", s.crop)[1].tobytes()).decode()
            picture = f'<img alt="{html.escape(s.name)}" src="data:image/png;base64,{data}">'
        share = 100 * s.errors.character_edits / max(1, s.errors.characters)
        rows.append(
            f"<article><header>{html.escape(s.name)} · {share:.0f} %</header>{picture}"
            f"<p class=truth>{html.escape(s.truth)}</p><p class=read>{html.escape(s.read) or '—'}</p></article>"
        )
    return (
        "<!doctype html><meta charset=utf-8><title>Worst lines</title><style>"
        "body{font:16px/1.4 system-ui,sans-serif;max-width:90rem;margin:2rem auto;padding:0 1rem}"
        "article{border-top:1px solid #ccc;padding:.6rem 0}header{color:#666;font-size:.8rem}img{max-width:100%}"
        "p{margin:.2rem 0}.truth::before{content:'truth ';color:#666}.read::before{content:'read ';color:#666}"
        f"{STYLE}</style><h1>Worst lines</h1>{legend}<pre>{html.escape(show(report, ''))}</pre>" + "\n".join(rows)
    )


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer evaluate`."""
    parser = argparse.ArgumentParser(prog="text-recognizer evaluate", description=__doc__)
    parser.add_argument("set", type=Path, help="folder of ALTO/PAGE, paragraphs or line images; or a .jsonl manifest")
    parser.add_argument("--mode", choices=MODES, default="accurate", help="of reading (%(default)s)")
    parser.add_argument("--language", metavar="TAG", help="of the text, such as fr (default: chosen for each page)")
    parser.add_argument(
        "--by",
        choices=("line", "page"),
        default="line",
        help="line: cut by the truth's polygons; page: end to end",
    )
    parser.add_argument("--bundle", type=Path, help="model folder (default: the shipped one)")
    parser.add_argument(
        "--line-types",
        help=f"types of lines if the set names them, comma separated (default: Handwritten; by page all of "
        f"{','.join(LINE_TYPES)}, since a page is read as a whole)",
    )
    parser.add_argument("--slice", action="append", help="only lines of this slice; may be given several times")
    parser.add_argument("--ignore-case", action="store_true", help="capitals and small letters are the same")
    parser.add_argument("--ignore-punctuation", action="store_true", help="compare letters, digits and blanks alone")
    parser.add_argument("--exact-quotes", action="store_true", help="curly and straight quotes and dashes differ")
    parser.add_argument(
        "--html", type=Path, help="write the worst lines here; by page, the worst pages with their lines"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--characters", type=Path, metavar="FILE",
        help="write the confusion matrix and each character's precision and recall here: .html, .json or .csv",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, help="processor threads (default: all cores)")
    parser.add_argument("--device", default=CPU, help=DEVICE_HELP)
    args = parser.parse_args(argv)
    by: By = args.by
    if args.characters and args.characters.suffix not in FORMS:
        parser.error(f"--characters takes a file that ends in {', '.join(FORMS)}")
    types = tuple(args.line_types.split(",")) if args.line_types else LINE_TYPES if by == "page" else ("Handwritten",)
    data = load_set(args.set, types)
    if args.slice:
        if by == "page":
            parser.error("--slice selects lines, but --by page reads whole pages; use --by line")
        data = only_slices(data, args.slice)
    normalise = Normalisation(not args.exact_quotes, args.ignore_case, args.ignore_punctuation)
    reader = Reader(args.bundle, args.threads, device=args.device)
    report = evaluate(data, reader, args.mode, by, normalise, args.language)
    if not report.samples:
        reason = f" ({report.skipped[0]})" if report.skipped else ""
        raise DataInvalid(f"{args.set}: nothing of it could be measured{reason}.")
    print(show(report, f"{args.set} · {args.mode} · by {args.by}"))
    if args.characters:
        found = confusions(((s.truth, s.read) for s in report.samples), normalise)
        print(f"  most frequent errors: {summary(found) or 'none'}")
        write(found, args.characters)
    if args.html:
        args.html.write_text(worst_page(report), encoding="utf-8")
    if args.json:
        made = {"set": str(args.set), "model": reader.model, "mode": args.mode, "by": by}
        figures = made | {"normalisation": asdict(normalise)} | report.as_dict()
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0
