"""Weigh the two heads and the language model of a bundle against each other on its calibration lines.

    python benchmarks/decoding.py BUNDLE --unipen data/unipen.npz --texts data/texts [--lines 300] [--views 1.2 0.85]

The lines are those of held-out writers on which confidence is calibrated: other renderings than the evaluation sets,
and their wording is not in the language model. For each weight of the language model and each bonus a character, the
texts that the search finds are ranked with each weight of the CTC head. The CER of each setting is printed, the best
last. The best of all texts found ("oracle") bounds what any ranking could reach. Give the chosen settings to
`text-recognizer train stage`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import Bundle
from text_recognizer.description import Decoding
from text_recognizer.evaluation.metrics import edits
from text_recognizer.recognition.decoding import Scores, best_path, ctc_scores
from text_recognizer.recognition.recognizer import EncodedLine, Recognizer
from text_recognizer.training.data import calibration_lines


@dataclass(frozen=True)
class Encoded:
    """A line once encoded: scores of each view (T, V), and the decoder's own text as token ids."""

    line: EncodedLine
    looks: list[Scores]
    greedy: list[int]


@dataclass(frozen=True)
class Candidates:
    """Texts of a line with the log-probabilities (N,) that a ranking weighs."""

    first: list[int]  # of the fast mode
    texts: list[list[int]]
    decoder: NDArray[np.float64]
    ctc: NDArray[np.float64]
    language: NDArray[np.float64]  # weighted, the length bonus added

    def best(self, ctc_weight: float) -> list[int]:
        joint = ctc_weight * self.ctc + (1 - ctc_weight) * self.decoder + self.language
        return self.texts[int(joint.argmax())]


def encode(recognizer: Recognizer, image: NDArray[np.uint8], views: Sequence[float]) -> Encoded:
    lines = recognizer.encode(recognizer.normalise([image]))
    looks = [recognizer.encode(recognizer.normalise([image], v))[0].log_probs for v in views]
    return Encoded(lines[0], [lines[0].log_probs, *looks], recognizer.decode_greedy(lines)[0])


def search(recognizer: Recognizer, encoded: Encoded) -> Candidates:
    """What the search of `recognizer`, with its decoding, finds for a line."""
    decoding, language = recognizer.decoding, recognizer.language
    texts = recognizer.candidates(encoded.looks, encoded.greedy)
    spoken = np.asarray([0.0 if language is None else language.score(text) for text in texts])
    return Candidates(
        recognizer.search(encoded.looks[0])[0],
        texts,
        np.asarray([scores.sum() for scores in recognizer.decoder_scores(encoded.line, texts)]),
        np.mean([ctc_scores(look, texts) for look in encoded.looks], axis=0),
        decoding.language_weight * spoken + decoding.length_bonus * np.asarray([len(text) for text in texts]),
    )


def main() -> None:
    default = Decoding()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--unipen", type=Path, required=True)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--views", type=float, nargs="*", default=list(default.views))
    parser.add_argument("--beams", type=int, nargs="*", default=[default.beam])
    parser.add_argument("--language-weights", type=float, nargs="*", default=[0.35, 0.5, 0.65])
    parser.add_argument("--length-bonuses", type=float, nargs="*", default=[1.0, 1.5, 2.0])
    parser.add_argument("--ctc-weights", type=float, nargs="*", default=[0.3, 0.4, 0.5, 0.6])
    args = parser.parse_args()

    bundle = Bundle.open(args.bundle)
    recognizer = Recognizer(bundle, args.threads)
    lines = calibration_lines(args.unipen, args.texts)[: args.lines]
    truths = [text for _, text in lines]
    encoded = [encode(recognizer, image, args.views) for image, _ in lines]

    def distance(ids: list[int], truth: str) -> int:
        return edits(recognizer.text(ids).strip(), truth)

    def rate(texts: list[list[int]]) -> str:
        return f"{100 * sum(map(distance, texts, truths)) / sum(map(len, truths)):5.2f} %"

    best_paths = rate([best_path(e.line.log_probs) for e in encoded])
    print(f"{len(lines)} lines: best path {best_paths}, decoder {rate([e.greedy for e in encoded])}")
    results = []
    for beam, weight, bonus in product(args.beams, args.language_weights, args.length_bonuses):
        decoding = Decoding(beam=beam, language_weight=weight, length_bonus=bonus)
        setting = Recognizer(bundle, args.threads, decoding)
        found = [search(setting, line) for line in encoded]
        oracle = [
            min(f.texts, key=lambda t, truth=truth: distance(t, truth)) for f, truth in zip(found, truths, strict=True)
        ]
        named = f"beam {beam}, language {weight}, bonus {bonus}"
        print(f"{named}: fast {rate([f.first for f in found])}, oracle {rate(oracle)}", flush=True)
        results += [(rate([f.best(share) for f in found]), f"{named}, CTC {share}") for share in args.ctc_weights]
    for shown, settings in sorted(results, reverse=True):
        print(shown, settings)


if __name__ == "__main__":
    main()
