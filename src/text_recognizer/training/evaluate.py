"""Measure reading on a set: CER and WER with intervals, slices, calibration, seconds, and the worst lines."""

from __future__ import annotations

import argparse
import base64
import html
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.errors import ImageRejected
from text_recognizer.images import load_image
from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.line_image import line_polygon
from text_recognizer.reader import Mode, Reader
from text_recognizer.training.metrics import Errors, Normalisation, Rate, calibration, errors, rate, words_right
from text_recognizer.training.sets import EvaluationSet, load_set

By = Literal["line", "page"]


@dataclass(frozen=True)
class Sample:
    """One text that was read: a line, or a page."""

    name: str
    writer: str
    slice: str
    truth: str
    read: str
    errors: Errors
    confidences: tuple[tuple[float, bool], ...] = ()  # of words: confidence, right or not
    crop: NDArray[np.uint8] | None = None


@dataclass
class Report:
    """What an evaluation found."""

    samples: list[Sample] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # a page

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

    def slices(self) -> dict[str, list[Sample]]:
        groups: dict[str, list[Sample]] = defaultdict(list)
        for sample in self.samples:
            if sample.slice:
                groups[sample.slice].append(sample)
        return dict(sorted(groups.items()))

    def table(self) -> list[tuple[float, float, int, float]]:
        """Calibration of word confidences."""
        pairs = [p for s in self.samples for p in s.confidences]
        return calibration([p[0] for p in pairs], [p[1] for p in pairs]) if pairs else []

    def as_dict(self) -> dict[str, Any]:
        cer, wer = self.cer(), self.wer()
        return {
            "samples": len(self.samples),
            "characters": sum(s.errors.characters for s in self.samples),
            "cer": [cer.value, cer.low, cer.high],
            "wer": [wer.value, wer.low, wer.high],
            "slices": {
                k: {"samples": len(v), "cer": self.cer(v).value, "wer": self.wer(v).value}
                for k, v in self.slices().items()
            },
            "seconds_a_page": float(np.median(self.seconds)) if self.seconds else None,
            "calibration": self.table(),
            "skipped": self.skipped,
        }


def evaluate(
    data: EvaluationSet,
    reader: Reader,
    mode: Mode = "accurate",
    by: By = "line",
    normalise: Normalisation | None = None,
) -> Report:
    """Read every line (cut by its polygon) or every page (from the whole image) of `data`.

    By page, the texts of all lines are joined by blanks in reading order, on both sides: a line found out of order or
    not at all counts in full.
    """
    normalise = normalise or Normalisation()
    report = Report(skipped=list(data.skipped))
    for page in data.pages:
        try:
            gray = load_image(page.image).gray
        except ImageRejected as error:
            report.skipped.append(f"{page.image.name}: {error}")
            continue
        start = time.perf_counter()
        if by == "page" or not page.lines:
            read = reader.read(page.image, mode)
            report.seconds.append(time.perf_counter() - start)
            truth = page.text or " ".join(line.text for line in page.lines)
            words = [w for line in read.lines for w in line.words]
            right = words_right(normalise(truth), [normalise(w.text) for w in words])
            pairs = tuple(zip((w.confidence for w in words), right, strict=True))
            joined = " ".join(line.text for line in read.lines)
            report.samples.append(
                Sample(page.image.name, page.writer, "", truth, joined, errors(truth, joined, normalise), pairs)
            )
            continue
        lines = [line for line in page.lines if line.counts]
        height = reader.recognizer.line_height
        crops = [crop_line(gray, line.polygon or line_polygon(gray), line.baseline, height) for line in lines]
        readings = reader.recognizer.read_lines(crops, mode)
        report.seconds.append(time.perf_counter() - start)
        for number, (line, crop, got) in enumerate(zip(lines, crops, readings, strict=True), 1):
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
    """The same measure for any reader of whole images: path → text."""
    normalise = normalise or Normalisation()
    report = Report(skipped=list(data.skipped))
    for page in data.pages:
        start = time.perf_counter()
        text = read(page.image)
        report.seconds.append(time.perf_counter() - start)
        truth = page.text or " ".join(line.text for line in page.lines)
        report.samples.append(Sample(page.image.name, page.writer, "", truth, text, errors(truth, text, normalise)))
    return report


def show(report: Report, title: str) -> str:
    """The report as text for a terminal."""
    lines = [
        title,
        f"  samples {len(report.samples)}, characters {sum(s.errors.characters for s in report.samples)}, "
        f"writers {len({s.writer for s in report.samples})}",
        f"  CER {report.cer()}   WER {report.wer()}   (95 % interval over writers)",
    ]
    if report.seconds:
        lines.append(f"  seconds a page: median {np.median(report.seconds):.2f}")
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
    """A self-contained HTML page of the samples with most edits a character."""
    ranked = sorted(report.samples, key=lambda s: -s.errors.character_edits / max(1, s.errors.characters))[:count]
    rows = []
    for s in ranked:
        picture = ""
        if s.crop is not None:
            data = base64.b64encode(cv2.imencode(".png", s.crop)[1].tobytes()).decode()
            picture = f'<img alt="{html.escape(s.name)}" src="data:image/png;base64,{data}">'
        share = 100 * s.errors.character_edits / max(1, s.errors.characters)
        rows.append(
            f"<article><header>{html.escape(s.name)} · {share:.0f} %</header>{picture}"
            f"<p class=truth>{html.escape(s.truth)}</p><p class=read>{html.escape(s.read) or '—'}</p></article>"
        )
    return (
        "<!doctype html><meta charset=utf-8><title>Worst lines</title><style>"
        "body{font:16px/1.4 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "article{border-top:1px solid #ccc;padding:.6rem 0}header{color:#666;font-size:.8rem}img{max-width:100%}"
        "p{margin:.2rem 0}.truth::before{content:'truth ';color:#666}.read::before{content:'read ';color:#666}"
        f"</style><h1>Worst lines</h1><pre>{html.escape(show(report, ''))}</pre>" + "\n".join(rows)
    )


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer evaluate`."""
    parser = argparse.ArgumentParser(prog="text-recognizer evaluate", description=__doc__)
    parser.add_argument("set", type=Path, help="folder of ALTO/PAGE, paragraphs or line images; or a .jsonl manifest")
    parser.add_argument("--mode", choices=("fast", "accurate"), default="accurate")
    parser.add_argument(
        "--by", choices=("line", "page"), default="line", help="cut by the truth's polygons, or end to end"
    )
    parser.add_argument("--bundle", type=Path, help="model folder (default: the shipped one)")
    parser.add_argument(
        "--line-types", default="Handwritten", help="ALTO line types, comma separated (default: %(default)s)"
    )
    parser.add_argument("--ignore-case", action="store_true")
    parser.add_argument("--ignore-punctuation", action="store_true")
    parser.add_argument("--exact-quotes", action="store_true", help="curly and straight quotes and dashes differ")
    parser.add_argument("--html", type=Path, help="write the worst lines here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(argv)
    data = load_set(args.set, tuple(args.line_types.split(",")))
    normalise = Normalisation(not args.exact_quotes, args.ignore_case, args.ignore_punctuation)
    report = evaluate(data, Reader(args.bundle, args.threads), args.mode, args.by, normalise)
    print(show(report, f"{args.set} · {args.mode} · by {args.by}"))
    if args.html:
        args.html.write_text(worst_page(report), encoding="utf-8")
    if args.json:
        args.json.write_text(json.dumps(report.as_dict(), indent=1) + "\n", encoding="utf-8")
    return 0
