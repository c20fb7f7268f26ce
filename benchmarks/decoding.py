"""Weigh the two heads and the language model of a bundle against each other on its calibration lines.

    python benchmarks/decoding.py BUNDLE --unipen data/unipen.npz --texts data/texts [--lines 300] [--views 1.2 0.85]

The lines are those of held-out writers on which confidence is tabulated: other renderings than the evaluation sets,
and their wording is not in the language model. For each weight of the language model and each bonus a character, the
texts that the search finds are ranked with each weight of the CTC head; what is printed is the CER, the best settings
last. The best of all texts found ("oracle") bounds what any ranking could reach. Give the chosen settings to
`text-recognizer train stage`.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein

from text_recognizer.bundle import Bundle
from text_recognizer.recognition.decoding import best_path, ctc_scores
from text_recognizer.recognition.recognizer import Recognizer
from text_recognizer.training.stage import calibration_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--unipen", type=Path, required=True)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--lines", type=int, default=300)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--views", type=float, nargs="*", default=[1.2, 0.85])
    parser.add_argument("--beams", type=int, nargs="*", default=[8])
    parser.add_argument("--language-weights", type=float, nargs="*", default=[0.35, 0.5, 0.65])
    parser.add_argument("--length-bonuses", type=float, nargs="*", default=[1.0, 1.5, 2.0])
    parser.add_argument("--ctc-weights", type=float, nargs="*", default=[0.3, 0.4, 0.5, 0.6])
    args = parser.parse_args()

    recognizer = Recognizer(Bundle.open(args.bundle), args.threads)
    lines = calibration_lines(args.unipen, args.texts)[: args.lines]
    truths = [text for _, text in lines]
    characters = sum(map(len, truths))
    encoded, views, greedy = [], [], []
    for image, _ in lines:
        normal = recognizer._normalised([image])
        encoded.append(recognizer._encode(normal, "accurate")[0])
        greedy.append(recognizer._decode(encoded[-1:], [normal[0].shape[1]])[0])
        looks = [recognizer._encode(recognizer._normalised([image], v), "fast")[0].log_probs for v in args.views]
        views.append([encoded[-1].log_probs, *looks])

    def rate(texts: list[list[int]]) -> str:
        return f"{100 * sum(map(distance, texts, truths)) / characters:5.2f} %"

    def distance(ids: list[int], truth: str) -> int:
        return Levenshtein.distance(recognizer.text(ids).strip(), truth)

    print(f"{len(lines)} lines: best path {rate([best_path(e.log_probs) for e in encoded])}, decoder {rate(greedy)}")
    results = []
    for beam, weight, bonus in product(args.beams, args.language_weights, args.length_bonuses):
        recognizer._beam, recognizer.language_weight, recognizer._length_bonus = beam, weight, bonus
        fast, oracle, scored = [], [], []
        for line, looks, own in zip(encoded, views, greedy, strict=True):
            found = [recognizer._search(look) for look in looks]
            fast.append(found[0][0])
            candidates = [t for texts, look in zip(found, looks, strict=True) for t in (*texts, best_path(look))]
            texts = [list(t) for t in dict.fromkeys(map(tuple, [*candidates, own]))]
            decoder = np.asarray([s.sum() for s in recognizer._score(line, texts)])
            ctc = np.asarray([ctc_scores(look, texts) for look in looks])  # (views, N)
            assert recognizer.language is not None
            language = np.asarray([weight * recognizer.language.score(t) + bonus * len(t) for t in texts])
            scored.append((texts, decoder, ctc, language))
        for (texts, *_), truth in zip(scored, truths, strict=True):
            oracle.append(min(texts, key=lambda t, truth=truth: distance(t, truth)))
        print(f"beam {beam}, language {weight}, bonus {bonus}: fast {rate(fast)}, oracle {rate(oracle)}", flush=True)
        for share in args.ctc_weights:
            ranked = [
                texts[int((share * ctc.mean(0) + (1 - share) * decoder + language).argmax())]
                for texts, decoder, ctc, language in scored
            ]
            results.append((rate(ranked), f"beam {beam}, language {weight}, bonus {bonus}, CTC {share}"))
    for shown, settings in sorted(results, reverse=True):
        print(shown, settings)


if __name__ == "__main__":
    main()
