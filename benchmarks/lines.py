"""Lines found on rendered pages of held-out writers and on real letters: ours against RapidOCR's detector.

    python benchmarks/lines.py --unipen data/unipen.npz --letters data/letters --finder line_finder.onnx

A found line agrees with a true one when
- area: their polygons overlap by half (intersection over union at least 0.5). Says much about how tightly polygons are
  drawn around letters, which is a matter of convention;
- ink: the same, counting only pixels that are ink. Says which strokes a line holds, however wide it is drawn;
- baseline: 70 % of either baseline runs within half an x-height of the other. RapidOCR gives none.
Each found line counts once. "Order" is the share of rendered pages on which all matched lines come in the order of the
truth. RapidOCR finds runs of text; for the row "joined", boxes that stand on one height with a
gap of less than one and a half box heights between them are made one line; the row without is what it gives itself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from text_recognizer.images import load_image
from text_recognizer.layout.finder import LineFinder
from text_recognizer.layout.prepare import flatten_paper
from text_recognizer.training.line_match import Counts, baseline_matrix, match, overlap_matrix

RASTER = 1200  # overlap is measured on pages of this longer side


@dataclass
class TruePage:
    name: str
    rgb: np.ndarray
    polygons: list[np.ndarray]
    baselines: list[np.ndarray]
    x_heights: list[float]


@dataclass
class Found:
    polygons: list[np.ndarray]
    baselines: list[np.ndarray] | None = None


def rendered_pages(unipen: Path, texts: Path | None, count: int, seed: int = 77) -> Iterator[TruePage]:
    """Pages of held-out writers at the resolutions of scanners and phones."""
    from text_recognizer.synthesis.rendering.page import render_page
    from text_recognizer.synthesis.rendering.page_style import PageStyle
    from text_recognizer.synthesis.sources.text import TextSource
    from text_recognizer.training.finder_lit import page_hands

    hands = page_hands(unipen, "heldout")
    text = TextSource(texts)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        style = PageStyle.sample(rng, float(np.exp(rng.uniform(np.log(14), np.log(42)))))
        hand, back = (hands[int(rng.integers(len(hands)))] for _ in range(2))
        page = render_page(hand, rng, style, text, other_side=back if rng.random() < 0.1 else None)
        if page.lines:
            yield TruePage(
                f"rendered-{number}",
                page.rgb,
                [line.polygon for line in page.lines],
                [line.baseline for line in page.lines],
                [line.x_height for line in page.lines],
            )


def letters(folder: Path) -> Iterator[TruePage]:
    """Scanned letters with ALTO 4 transcripts; every line but signatures."""
    from defusedxml import ElementTree

    for path in sorted(folder.glob("*.xml")):
        root = ElementTree.parse(path).getroot()
        space = {"a": root.tag.split("}")[0].strip("{")}
        labels = {tag.get("ID"): tag.get("LABEL", "") for tag in root.iterfind(".//a:OtherTag", space)}
        page = TruePage(path.stem, load_image(path.with_suffix(".jpg")).rgb, [], [], [])
        for line in root.iterfind(".//a:TextLine", space):
            outline = line.find("a:Shape/a:Polygon", space)
            if outline is None or "Signature" in labels.get(line.get("TAGREFS"), ""):
                continue
            polygon = np.array(outline.get("POINTS").replace(",", " ").split(), float).reshape(-1, 2)
            baseline = np.array(line.get("BASELINE").replace(",", " ").split(), float).reshape(-1, 2)
            page.polygons.append(polygon)
            page.baselines.append(baseline)
            # The transcripts hold no x-height: a third of the median height of a tight polygon is close to it.
            xs = polygon[:, 0]
            cuts = [polygon[np.abs(xs - x) < 0.1 * np.ptp(xs) + 1][:, 1] for x in np.linspace(xs.min(), xs.max(), 9)]
            page.x_heights.append(float(np.median([np.ptp(c) for c in cuts if len(c) > 1] or [30.0])) / 2.2)
        yield page


def ours(finder: LineFinder) -> Callable[[np.ndarray], Found]:
    def find(rgb: np.ndarray) -> Found:
        lines = finder.find(load_image(rgb).gray)
        return Found([np.array(line.polygon) for line in lines], [np.array(line.baseline) for line in lines])

    return find


def rapidocr(threads: int) -> Callable[[np.ndarray], Found]:
    from rapidocr import RapidOCR

    engine = RapidOCR(params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": threads})

    def find(rgb: np.ndarray) -> Found:
        boxes = engine(rgb[..., ::-1], use_det=True, use_cls=False, use_rec=False).boxes
        return Found([] if boxes is None else [np.asarray(box, float) for box in boxes])

    return find


def joined(boxes: list[np.ndarray]) -> list[np.ndarray]:
    """Boxes (4, 2) on one height, close to one another, made into one polygon."""

    def middle(box: np.ndarray, x: float) -> float:
        """Height of a box's middle axis at `x`."""
        left, right = (box[0] + box[3]) / 2, (box[1] + box[2]) / 2
        slope = (right[1] - left[1]) / max(1.0, right[0] - left[0])
        return float(left[1] + slope * (x - left[0]))

    def height(box: np.ndarray) -> float:
        return float(np.linalg.norm(box[3] - box[0]) + np.linalg.norm(box[2] - box[1])) / 2

    groups: list[list[np.ndarray]] = []
    for box in sorted(boxes, key=lambda b: b[:, 0].min()):
        for group in groups:
            last = group[-1]
            unit = min(height(box), height(last))
            gap = box[:, 0].min() - last[:, 0].max()
            x = (box[:, 0].min() + last[:, 0].max()) / 2
            similar = unit > 0.5 * max(height(box), height(last))
            if similar and -0.5 * unit < gap < 1.5 * unit and abs(middle(box, x) - middle(last, x)) < 0.4 * unit:
                group.append(box)
                break
        else:
            groups.append([box])
    return [np.concatenate([*(b[:2] for b in g), *(b[2:] for b in reversed(g))]) for g in groups]


def score(page: TruePage, found: Found) -> dict[str, Counts]:
    height, width = page.rgb.shape[:2]
    scale = min(1.0, RASTER / max(height, width))
    small = cv2.resize(
        cv2.cvtColor(page.rgb, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    flat = flatten_paper(np.asarray(small, np.uint8))
    inside = np.zeros(flat.shape, np.uint8)
    for polygon in page.polygons:
        cv2.fillPoly(inside, [np.round(polygon * scale).astype(np.int32)], 1)
    threshold, _ = cv2.threshold(flat[inside > 0].reshape(1, -1), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    ink = ((flat <= threshold) * 255).astype(np.uint8)
    truth, total = len(page.polygons), len(found.polygons)
    pairs = match(overlap_matrix(page.polygons, found.polygons, scale=scale))
    places = [i for _, i in sorted((j, i) for i, j in pairs)]
    out = {
        "area": Counts(truth, total, len(pairs)),
        "order": Counts(1, 1, int(places == sorted(places))),
        "ink": Counts(truth, total, len(match(overlap_matrix(page.polygons, found.polygons, ink, scale)))),
    }
    if found.baselines is not None:
        close = baseline_matrix(page.baselines, found.baselines, page.x_heights)
        out["baseline"] = Counts(truth, total, len(match(close, 0.7)))
    return out


def overlay(page: TruePage, found: Found, path: Path) -> None:
    """The page with what was found (green, baselines red) and the true lines without a match (magenta)."""
    scale = min(1.0, 1400 / max(page.rgb.shape[:2]))
    image = cv2.resize(page.rgb[..., ::-1], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    pairs = match(overlap_matrix(page.polygons, found.polygons, scale=min(1.0, RASTER / max(page.rgb.shape[:2]))))
    for i, polygon in enumerate(page.polygons):
        if i not in {a for a, _ in pairs}:
            cv2.polylines(image, [np.round(polygon * scale).astype(np.int32)], True, (255, 0, 255), 2, cv2.LINE_AA)
    for number, polygon in enumerate(found.polygons):
        points = np.round(polygon * scale).astype(np.int32)
        cv2.polylines(image, [points], True, (0, 150, 0), 1, cv2.LINE_AA)
        place = (int(points[0, 0]), int(points[0, 1]) + 12)
        cv2.putText(image, str(number + 1), place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (200, 0, 0), 1, cv2.LINE_AA)
    for baseline in found.baselines or []:
        cv2.polylines(image, [np.round(baseline * scale).astype(np.int32)], False, (0, 0, 255), 1, cv2.LINE_AA)
    cv2.imwrite(str(path), image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unipen", type=Path, help="cache made by 'text-recognizer train data prepare'")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--pages", type=int, default=40, help="rendered pages")
    parser.add_argument("--letters", type=Path, help="folder of ALTO transcripts beside their images")
    parser.add_argument("--finder", type=Path, help="line_finder.onnx; that of the shipped bundle when left out")
    parser.add_argument("--no-rapidocr", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--overlays", type=Path, help="folder for pictures of what we found")
    args = parser.parse_args()
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    if args.finder is not None:
        finder = LineFinder(ort.InferenceSession(str(args.finder), options), {})
    else:
        from text_recognizer.bundle import Bundle

        bundle = Bundle.open()
        finder = LineFinder(bundle.session("line_finder", args.threads), bundle.description.line_finder)
    systems = {"ours": ours(finder)}
    if not args.no_rapidocr:
        systems["RapidOCR 3.10 detector"] = rapidocr(args.threads)
    sets: dict[str, Iterator[TruePage]] = {}
    if args.unipen:
        sets["rendered pages, held-out writers"] = rendered_pages(args.unipen, args.texts, args.pages)
    if args.letters:
        sets["letters of 1905"] = letters(args.letters)
    for set_name, pages in sets.items():
        totals: dict[str, dict[str, Counts]] = {}
        seconds: dict[str, list[float]] = {}
        for page in pages:
            for name, find in systems.items():
                start = time.perf_counter()
                found = find(page.rgb)
                seconds.setdefault(name, []).append(time.perf_counter() - start)
                rows = [(name, found)]
                if found.baselines is None:
                    rows.append((name + ", joined", Found(joined(found.polygons))))
                elif args.overlays:
                    args.overlays.mkdir(parents=True, exist_ok=True)
                    overlay(page, found, args.overlays / f"{page.name}.png")
                for row, result in rows:
                    counts = totals.setdefault(row, {})
                    scored = score(page, result)
                    for kind, value in scored.items():
                        counts[kind] = counts.get(kind, Counts()) + value
                    if row == "ours":
                        print(
                            page.name,
                            *(
                                f"{k} {v.matched}/{v.truth}, {v.found} found;"
                                for k, v in scored.items()
                                if k != "order"
                            ),
                            "" if scored["order"].matched else "not in order",
                            flush=True,
                        )
        print(f"\n### {set_name}: {totals['ours']['area'].truth} lines, {len(seconds['ours'])} pages\n")
        print(
            "| | area: recall | precision | ink: recall | precision | baseline: recall | precision | order | s a page |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for row, counts in totals.items():
            cells = [
                f"{100 * getattr(counts[kind], what):.1f} %" if kind in counts else "–"
                for kind in ("area", "ink", "baseline")
                for what in ("recall", "precision")
            ]
            timing = f"{np.median(seconds[row]):.2f}" if row in seconds else "–"
            # The transcripts of the letters are not in reading order.
            in_order = f"{100 * counts['order'].recall:.0f} %" if row == "ours" and "rendered" in set_name else "–"
            print(f"| {row} | {' | '.join(cells)} | {in_order} | {timing} |")
        print()


if __name__ == "__main__":
    main()
