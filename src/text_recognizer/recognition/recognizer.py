"""Read line images: batches by width, CTC in one pass or the cached decoder beside it, words with confidences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import Bundle
from text_recognizer.page import Mode
from text_recognizer.recognition.decoding import (
    BLANK,
    BOS,
    EOS,
    Scores,
    align,
    best_path,
    ctc_scores,
    prefix_beam,
    to_text,
)
from text_recognizer.recognition.language import LanguageModel
from text_recognizer.recognition.normalise import normalise_line

LANGUAGE_MODEL = "language_model.npz"  # in a bundle

# Widths are padded to these multiples and batches bounded by their area: few shapes keep memory flat.
WIDTH_STEP = 128
# Blank columns that the convolutions see behind every line (half their field of view): with less, a line would read
# differently beside a wider one.
MARGIN = 48
BATCH_AREA = 16 * 1024
# Of the darkest-to-lightest range, what counts as a mark, and how many pixels of it make a line worth reading.
INK_LEVEL, INK_PIXELS = 110, 6
# A long reading repeats itself only when the decoder has lost its place: period up to this many characters.
LOOP_PERIOD, LOOP_TIMES = 8, 5
# Log-probability of the CTC head's best path over which nothing else is looked for.
SURE = -0.1


@dataclass(frozen=True, slots=True)
class WordReading:
    """A word of a line image; `start` and `end` are fractions of the image's width, 0…1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class LineReading:
    """What a line image says. Empty text on a blank image. `alternatives` are other readings, best first."""

    text: str
    confidence: float
    words: tuple[WordReading, ...]
    alternatives: tuple[str, ...] = ()


_NOTHING = LineReading("", 1.0, ())


@dataclass(frozen=True, slots=True)
class _Encoded:
    """One line after the encoder."""

    log_probs: Scores  # (T, V), T only over the image, not over padding
    line: NDArray[np.float32]  # (L, 2, 1, heads, T_padded, d_head)
    mask: NDArray[np.float32]  # (1, 1, 1, T_padded)


class Recognizer:
    """Reads line images with the encoder and decoder of a bundle. Safe to share between threads."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        settings: dict[str, Any] = bundle.info["recognizer"]
        self.alphabet: str = bundle.info["alphabet"]
        self.line_height = int(bundle.info["line_height"])
        self._width_scale = float(settings["width_scale"])
        self._stride = int(settings["stride"])
        self._layers, self._heads, self._d_head = (int(v) for v in settings["cache"])
        self._max_tokens = int(settings["max_tokens"])
        self._ctc_weight = float(settings["ctc_weight"])
        self._beam = int(settings["beam"])
        # Of both heads' log-probabilities, of the language model's, and what each character adds.
        self._language_weight = float(settings.get("language_weight", 0.0))
        self._length_bonus = float(settings.get("length_bonus", 0.0))
        # The accurate mode looks at each line again, wider or narrower by these factors.
        self._views = tuple(float(v) for v in settings.get("views", ()))
        self._calibration: dict[str, dict[str, list[float]]] = settings.get("calibration", {})
        self._bundle, self._threads = bundle, threads
        self._encoder = bundle.session("encoder", threads)
        self._decoder_session: Any = None
        self._language_model: LanguageModel | None = None

    # ------------------------------------------------------------------------------------------------- public

    def read_lines(self, crops: Sequence[NDArray[np.uint8]], mode: Mode = "accurate") -> list[LineReading]:
        """Read grey line images (H, W) uint8, dark on light, one reading each in the order given.

        fast: the CTC head, searched with the language model, its best path where the bundle has none. accurate: those
        texts, from several views of the line, and the decoder's reading, ranked by both heads and the language model.
        """
        if mode not in ("fast", "accurate"):
            raise ValueError(f"mode is {mode!r}: use 'fast' or 'accurate'.")
        images = self._normalised(crops)
        readings: list[LineReading] = [_NOTHING] * len(images)
        inked = [i for i, image in enumerate(images) if int((image > INK_LEVEL).sum()) >= INK_PIXELS]
        for rows in self._batches([images[i].shape[1] for i in inked]):
            members = [inked[r] for r in rows]
            encoded = self._encode([images[i] for i in members], mode)
            if mode == "fast":
                for i, line in zip(members, encoded, strict=True):
                    texts = [best_path(line.log_probs)] if self.language is None else self._search(line.log_probs)
                    readings[i] = self._reading(texts, line, None, images[i].shape[1], mode)
                continue
            decoded = self._decode(encoded, [images[i].shape[1] for i in members])
            views = [
                [line.log_probs for line in self._encode(self._normalised([crops[i] for i in members], factor), "fast")]
                for factor in self._views
            ]
            for row, (i, line, greedy) in enumerate(zip(members, encoded, decoded, strict=True)):
                ranked, probabilities = self._rank(line, greedy, [view[row] for view in views])
                readings[i] = self._reading(ranked, line, probabilities, images[i].shape[1], mode)
        return readings

    def decode_greedy(self, crops: Sequence[NDArray[np.uint8]]) -> list[list[int]]:
        """Token ids of cached greedy decoding alone, for parity checks and ablations."""
        images = self._normalised(crops)
        out: list[list[int]] = [[] for _ in images]
        for rows in self._batches([image.shape[1] for image in images]):
            encoded = self._encode([images[r] for r in rows], "accurate")
            for row, ids in zip(rows, self._decode(encoded, [images[r].shape[1] for r in rows], False), strict=True):
                out[row] = ids
        return out

    def sureness(self, crops: Sequence[NDArray[np.uint8]]) -> float:
        """Mean probability, 0…1, of what the CTC head sees where it sees a character; 0 where it sees none.

        Cheap, and low for writing that stands on its head: for telling which way up a page lies.
        """
        probabilities: list[Scores] = []
        images = self._normalised(crops)
        for rows in self._batches([image.shape[1] for image in images]):
            for line in self._encode([images[r] for r in rows], "fast"):
                best = line.log_probs.argmax(-1)
                probabilities.append(line.log_probs.max(-1)[best != BLANK])
        seen = np.concatenate(probabilities) if probabilities else np.zeros(0, np.float32)
        return float(np.exp(seen).mean()) if len(seen) else 0.0

    def text(self, ids: Sequence[int]) -> str:
        """Characters of token ids."""
        return to_text(ids, self.alphabet)

    # ------------------------------------------------------------------------------------------------ batches

    def _normalised(self, crops: Sequence[NDArray[np.uint8]], stretch: float = 1.0) -> list[NDArray[np.uint8]]:
        return [normalise_line(crop, self.line_height, self._width_scale * stretch) for crop in crops]

    def _batches(self, widths: Sequence[int]) -> list[list[int]]:
        """Indices grouped so that neighbours in width share a batch of bounded area."""
        order = sorted(range(len(widths)), key=lambda i: widths[i])
        groups: list[list[int]] = []
        for index in order:
            padded = -(-(widths[index] + MARGIN) // WIDTH_STEP) * WIDTH_STEP
            if groups and padded * (len(groups[-1]) + 1) <= BATCH_AREA:
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups

    def _encode(self, images: list[NDArray[np.uint8]], mode: Mode) -> list[_Encoded]:
        width = -(-(max(image.shape[1] for image in images) + MARGIN) // WIDTH_STEP) * WIDTH_STEP
        batch = np.zeros((len(images), 1, self.line_height, width), np.uint8)
        for row, image in enumerate(images):
            batch[row, 0, :, : image.shape[1]] = image
        widths = np.asarray([image.shape[1] for image in images], np.int64)
        names = ["log_probs"] if mode == "fast" else ["log_probs", "line", "mask"]
        outputs = self._encoder.run(names, {"images": batch, "widths": widths})
        steps = -(-widths // self._stride)
        empty = np.zeros((0,), np.float32)
        return [
            _Encoded(
                outputs[0][row, : steps[row]],
                outputs[1][:, :, row : row + 1] if len(outputs) > 1 else empty,
                outputs[2][row : row + 1] if len(outputs) > 1 else empty,
            )
            for row in range(len(images))
        ]

    # ----------------------------------------------------------------------------------------------- decoding

    @property
    def _decoder(self) -> Any:
        if self._decoder_session is None:
            self._decoder_session = self._bundle.session("decoder", self._threads)
        return self._decoder_session

    @property
    def language(self) -> LanguageModel | None:
        """The bundle's language model, None where it has none or reads without it."""
        if self._language_model is None and self._language_weight > 0 and LANGUAGE_MODEL in self._bundle.info["files"]:
            self._language_model = LanguageModel(self._bundle.path / LANGUAGE_MODEL)
        return self._language_model

    def _budget(self, width: int) -> int:
        """Most tokens that ink of `width` pixels can hold: no script here puts a letter on two pixels."""
        return min(self._max_tokens - 1, 8 + width // 2)

    def _decode(self, lines: list[_Encoded], widths: list[int], stop_loops: bool = True) -> list[list[int]]:
        """Greedy decoding of a batch with cached keys and values; finished lines leave the batch."""
        line = np.concatenate([e.line for e in lines], axis=2)
        mask = np.concatenate([e.mask for e in lines], axis=0)
        past = np.zeros((self._layers, 2, len(lines), self._heads, 0, self._d_head), np.float32)
        tokens = np.full((len(lines), 1), BOS, np.int64)
        texts: list[list[int]] = [[] for _ in lines]
        alive = list(range(len(lines)))
        while alive:
            log_probs, past = self._decoder.run(
                ["log_probs", "cache"], {"tokens": tokens, "line": line, "mask": mask, "past": past}
            )
            best = log_probs[:, -1].argmax(-1)
            keep = []
            for row, index in enumerate(alive):
                token = int(best[row])
                if token == EOS:
                    continue
                texts[index].append(token)
                if len(texts[index]) >= self._budget(widths[index]) or (stop_loops and _loops(texts[index])):
                    continue
                keep.append(row)
            if len(keep) < len(alive):
                alive = [alive[row] for row in keep]
                line, mask, past, best = line[:, :, keep], mask[keep], past[:, :, keep], best[keep]
            tokens = best.astype(np.int64)[:, None]
        return texts

    def _score(self, line: _Encoded, texts: list[list[int]]) -> list[Scores]:
        """Decoder log-probability of each token of each text and of its end, one pass for all: N × (len + 1,)."""
        n, longest = len(texts), max(len(t) for t in texts)
        tokens = np.zeros((n, longest + 1), np.int64)
        tokens[:, 0] = BOS
        for row, text in enumerate(texts):
            tokens[row, 1 : len(text) + 1] = text
        past = np.zeros((self._layers, 2, n, self._heads, 0, self._d_head), np.float32)
        log_probs, _ = self._decoder.run(
            ["log_probs", "cache"],
            {
                "tokens": tokens,
                "line": np.repeat(line.line, n, axis=2),
                "mask": np.repeat(line.mask, n, axis=0),
                "past": past,
            },
        )
        return [log_probs[row, np.arange(len(text) + 1), [*text, EOS]] for row, text in enumerate(texts)]

    def _search(self, log_probs: Scores) -> list[list[int]]:
        """Best texts of the CTC head and the language model, best first."""
        if float(log_probs.max(-1).sum()) > SURE:
            return [best_path(log_probs)]
        found = prefix_beam(
            log_probs,
            self._beam,
            language=self.language,
            language_weight=self._language_weight,
            length_bonus=self._length_bonus,
        )
        return [ids for ids, _ in found]

    def _rank(self, line: _Encoded, greedy: list[int], views: list[Scores]) -> tuple[list[list[int]], Scores]:
        """Texts best first by all that is known, and the decoder's probability of each token of the first."""
        looks = [line.log_probs, *views]
        found = [t for log_probs in looks for t in (*self._search(log_probs), best_path(log_probs))]
        different = {tuple(t): t for t in (*found, greedy)}
        texts = [t for t in different.values() if len(t) < self._max_tokens] or [[]]
        decoder = self._score(line, texts)
        if len(texts) > 1:
            ctc = np.mean([ctc_scores(log_probs, texts) for log_probs in looks], axis=0)
            joint = self._ctc_weight * ctc + (1 - self._ctc_weight) * np.asarray([d.sum() for d in decoder])
            if self.language is not None:
                joint += self._language_weight * np.asarray([self.language.score(t) for t in texts])
                joint += self._length_bonus * np.asarray([len(t) for t in texts])
            order = [int(i) for i in np.argsort(-joint)]
        else:
            order = [0]
        return [texts[i] for i in order], np.exp(decoder[order[0]][:-1])

    # ------------------------------------------------------------------------------------------------ readings

    def _reading(
        self, texts: list[list[int]], line: _Encoded, decoder: Scores | None, width: int, mode: Mode
    ) -> LineReading:
        ids = texts[0]
        text = self.text(ids)
        if not text.strip():
            return _NOTHING
        spans, probabilities = align(line.log_probs, ids)
        if decoder is not None:
            # Each head alone is too sure of itself; where they differ, the doubt is real.
            probabilities = np.sqrt(np.clip(probabilities, 0, 1) * np.clip(decoder, 0, 1))
        words = []
        begin = 0
        for position in range(len(text) + 1):
            if position < len(text) and text[position] != " ":
                continue
            if position > begin:
                raw = float(probabilities[begin:position].min())
                start = spans[begin][0] * self._stride / width
                end = (spans[position - 1][1] + 1) * self._stride / width
                words.append(
                    WordReading(text[begin:position], min(start, 1.0), min(end, 1.0), self._calibrated(raw, mode))
                )
            begin = position + 1
        confidence = float(np.mean([w.confidence for w in words])) if words else 1.0
        stripped = " ".join(w.text for w in words)
        others = tuple(dict.fromkeys(t for t in (self.text(i).strip() for i in texts[1:]) if t and t != stripped))[:3]
        return LineReading(stripped, confidence, tuple(words), others)

    def _calibrated(self, raw: float, mode: Mode) -> float:
        """Share of words with this raw confidence that were right on held-out lines (isotonic table)."""
        table = self._calibration.get(mode)
        value = float(np.interp(raw, table["raw"], table["right"])) if table else raw
        return round(min(1.0, max(0.0, value)), 4)


def _loops(ids: list[int]) -> bool:
    """True if the end of `ids` repeats itself more often than writing does."""
    for period in range(1, LOOP_PERIOD + 1):
        need = period * LOOP_TIMES + (10 if period == 1 else 0)
        if len(ids) >= need and all(ids[-k] == ids[-k - period] for k in range(1, need - period + 1)):
            return True
    return False
