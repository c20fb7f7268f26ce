"""Read line images: batch them by width, decode with CTC or with CTC and the decoder, return words with confidences."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import Bundle
from text_recognizer.description import (
    LANGUAGE_TABLE,
    LINE_MARKS,
    NEURAL_LANGUAGE_MODEL,
    PARAGRAPH_LINES,
    PARAGRAPH_ROWS,
    Calibration,
    Decoding,
)
from text_recognizer.devices import CPU
from text_recognizer.errors import UsageError
from text_recognizer.page import Mode, Script
from text_recognizer.recognition.decoding import (
    BLANK,
    BOS,
    EOS,
    Scores,
    align,
    best_path,
    ctc_scores,
    prefix_beam,
    repeats,
    to_text,
)
from text_recognizer.recognition.evidence import FEW, Evidence
from text_recognizer.recognition.identify import LanguageTable
from text_recognizer.recognition.language import LanguageModel
from text_recognizer.recognition.marks import LineMarks, read_marks
from text_recognizer.recognition.neural import NeuralLanguageModel
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.recognition.paragraph import ParagraphEncoder
from text_recognizer.recognition.pieces import LONG, piece_edges
from text_recognizer.recognition.recombine import apart, applied, differences

# Widths are padded to multiples of this, and the area of a batch is bounded: few shapes keep memory flat.
WIDTH_STEP = 128
# Blank columns after every line, half the field of view of the convolutions: with fewer, a line would read differently
# beside a wider one.
MARGIN = 48
BATCH_AREA = 16 * 1024
# Columns of padding that are accepted to save a call of the encoder: a call costs about as much.
SPARE = 192
# Level of normalised ink, 0…255, above which a pixel is a mark; number of such pixels that make a line worth reading.
INK_LEVEL, INK_PIXELS = 110, 6
# Log-probability of the CTC head's best path above which no other text is searched for.
CERTAIN = -0.1
STEPS = 2  # fewest steps at which a character is seen
ALTERNATIVES = 3  # most alternatives returned with a line
# Readings that are scored further: largest lag behind the best log-probability, and largest number. First those for the
# decoder, chosen by all other scores; then those for the neural language model. Others hardly ever win.
PROMISING, CLOSE = (6.0, 12), (5.0, 8)
RECOMBINED = 16  # most texts combined from others
CASE = 2.0  # nats that the case of a line's first letter counts at most
# Largest distance between characters of one word, in heights of the squeezed line: digits of a number nearly touch.
DIGITS_APART, LETTERS_APART = 0.62, 2.0
IDENTIFIED = 4  # lines of a page from which its language is identified

Gray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class WordReading:
    """A word of a line image; `start` and `end` are fractions of the image's width, 0…1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class LineReading:
    """The text of a line image, empty if it is blank. `alternatives` are other readings, best first.

    `script`: None if the bundle has no model for it. `struck`: words that are struck out; no other field contains them.
    """

    text: str
    confidence: float
    words: tuple[WordReading, ...]
    alternatives: tuple[str, ...] = ()
    script: Script | None = None
    struck: tuple[WordReading, ...] = ()


_BLANK = LineReading("", 1.0, ())


@dataclass(frozen=True, slots=True)
class _Judged:
    """Texts as token ids, best first, and the decoder's probability (len,) of each token of the first."""

    texts: list[list[int]]
    probabilities: Scores


@dataclass(frozen=True, slots=True)
class EncodedLine:
    """One line after the encoder."""

    width: int  # of the normalised image, pixels
    log_probs: Scores  # (T, V) of the CTC head, T only over the image, not over padding
    line: NDArray[np.float32]  # (L, 2, 1, heads, T_padded, d_head) keys and values for the decoder
    mask: NDArray[np.float32]  # (1, 1, 1, T_padded), added to the decoder's attention
    is_crop: bool = True  # False for a line of a whole paragraph: its crop shows less than the network saw


class Recognizer:
    """Reads line images with the encoder and decoder of a bundle. Safe to share between threads; can be pickled.

    `threads`: processor threads, None for all cores. `decoding` and `calibration` override those of the bundle;
    an empty `calibration` returns raw confidences. `device` as for `Reader`. It reads the bundle's default language;
    `in_language` returns recognisers for others.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        decoding: Decoding | None = None,
        calibration: Mapping[str, Calibration] | None = None,
        device: str = CPU,
    ) -> None:
        settings = bundle.description.recognizer
        self.bundle, self.threads, self.device = bundle, threads, device
        self.decoding = settings.decoding if decoding is None else decoding
        self.calibration = settings.calibration if calibration is None else calibration
        self.alphabet = bundle.description.alphabet
        self.line_height = bundle.description.line_height
        self._evidence = Evidence(self.alphabet)
        self._width_scale, self._stride = settings.width_scale, settings.stride
        self._layers, self._heads, self._d_head = settings.cache
        self._max_tokens = settings.max_tokens
        self.languages = tuple(bundle.description.languages)
        self.language_tag = self.languages[0]
        self._graphs = _Graphs(bundle, threads, device)
        self._graphs.siblings[self.language_tag] = self

    def __reduce__(self) -> tuple[Any, ...]:
        # Sessions cannot be pickled: they are loaded again.
        arguments = (self.bundle, self.threads, self.decoding, self.calibration, self.device)
        return _in_language, (Recognizer, arguments, self.language_tag)

    def in_language(self, language: str | None) -> Recognizer:
        """This recogniser with the language model of `language`, a BCP 47 tag; None for the default.

        The networks are shared. "pt-BR" means "pt" if the bundle does not distinguish regions. Raises UsageError.
        """
        tag = language or self.languages[0]
        if tag not in self.languages:
            tag = tag.split("-")[0].lower()
        if tag not in self.languages:
            raise UsageError(
                f"{self.bundle} knows no language '{language}': give one of {', '.join(self.languages)}, or none."
            )
        if tag == self.language_tag:
            return self
        siblings = self._graphs.siblings
        if tag not in siblings:
            other = Recognizer(self.bundle, self.threads, self.decoding, self.calibration, self.device)
            other._graphs, other.language_tag = self._graphs, tag
            siblings[tag] = other
        return siblings[tag]

    def identify_language(self, crops: Sequence[Gray]) -> str:
        """The language of the bundle in which `crops`, lines of one page, are most likely written."""
        if len(self.languages) == 1 or not crops:
            return self.languages[0]
        widest = sorted(crops, key=lambda crop: -crop.shape[1] / crop.shape[0])[:IDENTIFIED]
        return self._graphs.table.choose(self.text(best_path(log_probs)) for log_probs in self._ctc(widest))

    # ------------------------------------------------------------------------------------------------ reading

    def read_lines(
        self, crops: Sequence[Gray], mode: Mode = "accurate", *, only_writing: bool = False
    ) -> list[LineReading]:
        """Read grey line images (H, W) uint8, dark on light; one reading each, in the order of `crops`.

        "fast" and "accurate" as in `_read_fast` and `_read_accurate`. `only_writing`: for lines from a line finder;
        those that are not writing, judged by the CTC head, get an empty text. Raises ValueError for other modes.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"mode is {mode!r}: use {' or '.join(map(repr, get_args(Mode)))}.")
        cut = [self._pieces(crop) for crop in crops]
        least = self.decoding.least_confidence if only_writing else 0.0
        read = self._read([piece for pieces, _ in cut for piece in pieces], mode, least)
        readings, done = [], 0
        for pieces, edges in cut:
            readings.append(_joined(read[done : done + len(pieces)], edges))
            done += len(pieces)
        return readings

    def _pieces(self, crop: Gray) -> tuple[list[Gray], list[float]]:
        """A long line in pieces, and the fractions of its width where they begin and end; other lines in one piece."""
        if crop.shape[1] * self._width_scale <= LONG * crop.shape[0]:
            return [crop], [0.0, 1.0]
        edges = piece_edges(normalise_line(crop, self.line_height, self._width_scale) > INK_LEVEL)
        at = [round(edge * crop.shape[1]) for edge in edges]
        return [crop[:, start:end] for start, end in pairwise(at)], edges

    def _read(self, crops: Sequence[Gray], mode: Mode, least: float) -> list[LineReading]:
        """Readings of crops that are not too long for the decoder; `least` as for `Evidence`, 0 reads everything."""
        images = self.normalise(crops)
        readings = [_BLANK] * len(images)
        inked = [i for i, image in enumerate(images) if int((image > INK_LEVEL).sum()) >= INK_PIXELS]
        batches = []
        for rows in width_batches([images[i].shape[1] for i in inked]):
            members = [inked[row] for row in rows]
            encoded = self._encode_new([crops[i] for i in members], [images[i] for i in members])
            batches.append(list(zip(members, encoded, strict=True)))
        seen = [(line.log_probs, images[i]) for batch in batches for i, line in batch]
        is_writing = iter(self._evidence.are_writing(seen, least) if least else [True] * len(seen))
        for batch in batches:
            kept = [(i, line) for i, line in batch if next(is_writing)]
            lines = [line for _, line in kept]
            read = self._read_fast(lines) if mode == "fast" else self._read_accurate(lines, [crops[i] for i, _ in kept])
            marks = self._marks([images[i] for i, _ in kept])
            for (i, _), reading, mark in zip(kept, read, marks, strict=True):
                readings[i] = reading if mark is None else _marked(reading, mark)
        return readings

    def _encode_new(self, crops: Sequence[Gray], images: Sequence[Gray]) -> list[EncodedLine]:
        """Encode the normalised `images` of `crops`, except those that were encoded during layout."""
        lines = [self._graphs.seen.take(crop) for crop in crops]
        new = iter(self.encode([image for image, line in zip(images, lines, strict=True) if line is None]))
        return [next(new) if line is None else line for line in lines]

    def _marks(self, images: Sequence[Gray]) -> Sequence[LineMarks | None]:
        """Script and struck-out parts of normalised images of similar width; None if the bundle lacks the model."""
        if self._graphs.marks is None or not images:
            return [None] * len(images)
        return read_marks(self._graphs.marks, *self._batch(images))

    def _read_fast(self, encoded: Sequence[EncodedLine]) -> list[LineReading]:
        """One pass of the CTC head, with a language model search; only its best path if there is no language model."""
        readings = []
        for line in encoded:
            texts = [best_path(line.log_probs)] if self.language is None else self.search(line.log_probs)
            spans, probabilities = align(line.log_probs, texts[0])
            readings.append(self._reading(texts, spans, probabilities, line.width, "fast"))
        return readings

    def _read_accurate(self, encoded: Sequence[EncodedLine], crops: Sequence[Gray]) -> list[LineReading]:
        """Texts from the CTC head, for several views of the line, and from the decoder, ranked by all models.

        `crops` are the encoded lines before normalisation: each view squeezes them to another width.
        """
        if not encoded:
            return []
        decoded = self.decode_greedy(encoded)
        seen = [crop for crop, line in zip(crops, encoded, strict=True) if line.is_crop]
        views = [iter(self.encode(self.normalise(seen, width))) for width in self.decoding.views]
        readings = []
        for row, line in enumerate(encoded):
            looks = [line.log_probs, *(next(view).log_probs for view in views if line.is_crop)]
            texts, decoder = self.rank(line, looks, decoded[row])
            spans, ctc = align(line.log_probs, texts[0])
            # Each head alone is overconfident; where they differ, the doubt is real.
            probabilities = np.sqrt(np.clip(ctc, 0, 1) * np.clip(decoder, 0, 1))
            readings.append(self._reading(texts, spans, probabilities, line.width, "accurate"))
        return readings

    def ctc_probabilities(self, crops: Sequence[Gray]) -> NDArray[np.float32]:
        """Probability, 0…1, of each step at which the CTC head sees a character in `crops`: (n,).

        It is cheap, and low for lines that are upside down, cut into pieces or not writing. So layout uses it to choose
        between views of a page. For a few characters it is the probability of their shapes (`Evidence.probabilities`).
        """
        found = [np.zeros(0, np.float32)]
        for log_probs in self._ctc(crops):
            steps = log_probs.argmax(-1) != BLANK
            few = np.count_nonzero(steps) <= FEW * STEPS
            found.append(self._evidence.probabilities(log_probs) if few else np.exp(log_probs.max(-1)[steps]))
        return np.asarray(np.concatenate(found), np.float32)

    def ctc_confidence(self, crops: Sequence[Gray]) -> float:
        """Mean of `ctc_probabilities`, 0…1; 0 if there are no characters."""
        found = self.ctc_probabilities(crops)
        return float(found.mean()) if len(found) else 0.0

    def _ctc(self, crops: Sequence[Gray]) -> list[Scores]:
        """The CTC head's log-probabilities (T, V) of each crop. The encoded lines are kept to read the same crops."""
        seen = self._graphs.seen
        lines = [seen.get(crop) for crop in crops]
        new = [i for i, line in enumerate(lines) if line is None]
        for i, line in zip(new, self.encode(self.normalise([crops[i] for i in new])), strict=True):
            seen.add(crops[i], line)
            lines[i] = line
        return [line.log_probs for line in lines if line is not None]

    # ------------------------------------------------------------------------------------- steps of the reading

    @property
    def reads_paragraphs(self) -> bool:
        """Whether the bundle's network finds the lines of a paragraph itself."""
        return self._graphs.paragraph is not None

    def paragraph_lines(self, gray: Gray, crop: Callable[[float, float], Gray]) -> list[tuple[float, float, Gray]]:
        """Lines that the network finds in the picture of a paragraph (H, W) uint8, dark on light, cropped to its text.

        `crop`: returns the crop of the line between two fractions of the height. The encoding of the line is kept to
        read that crop.

        Returns:
            for each line the fractions of the height where it begins and ends, and its crop.
        """
        found = self._graphs.paragraph.encode(gray) if self._graphs.paragraph is not None else None
        lines: list[tuple[float, float, Gray]] = []
        if found is None:
            return lines
        for number, (top, bottom) in enumerate(pairwise(found.edges.tolist())):
            cut = crop(top, bottom)
            one = slice(number, number + 1)
            self._graphs.seen.add(
                cut, EncodedLine(found.width, found.log_probs[number], found.line[:, :, one], found.mask[one], False)
            )
            lines.append((top, bottom, cut))
        return lines

    def normalise(self, crops: Sequence[Gray], stretch: float = 1.0) -> list[Gray]:
        """Crops normalised for the encoder, `stretch` times as wide."""
        return [normalise_line(crop, self.line_height, self._width_scale * stretch) for crop in crops]

    def encode(self, images: Sequence[Gray]) -> list[EncodedLine]:
        """Encode normalised images, those of similar width together."""
        lines: list[EncodedLine | None] = [None] * len(images)
        for rows in width_batches([image.shape[1] for image in images], SPARE):
            batch, widths = self._batch([images[row] for row in rows])
            outputs = self._graphs.encoder.run(["log_probs", "line", "mask"], {"images": batch, "widths": widths})
            log_probs, line, mask = outputs
            for place, (row, width) in enumerate(zip(rows, widths.tolist(), strict=True)):
                lines[row] = EncodedLine(
                    width,
                    log_probs[place, : -(-width // self._stride)],
                    line[:, :, place : place + 1],
                    mask[place : place + 1],
                )
        return [line for line in lines if line is not None]

    def _batch(self, images: Sequence[Gray]) -> tuple[Gray, NDArray[np.int64]]:
        """Normalised images as one batch (B, 1, H, W), with blank columns after each, and their widths (B,)."""
        width = _padded(max(image.shape[1] for image in images))
        batch = np.zeros((len(images), 1, self.line_height, width), np.uint8)
        for row, image in enumerate(images):
            batch[row, 0, :, : image.shape[1]] = image
        return batch, np.asarray([image.shape[1] for image in images], np.int64)

    def search(self, log_probs: Scores) -> list[list[int]]:
        """Texts of the CTC scores (T, V) and the language model, as token ids, best first."""
        best = best_path(log_probs)
        # A language model of running text knows nothing about a lone character, such as a digit in a table.
        if float(log_probs.max(-1).sum()) > CERTAIN or len(best) == 1:
            return [best]
        found = prefix_beam(
            log_probs,
            self.decoding.beam,
            language=self.language,
            language_weight=self.decoding.language_weight,
            length_bonus=self.decoding.length_bonus,
        )
        return [ids for ids, _ in found]

    def max_length(self, width: int) -> int:
        """Most tokens that a normalised image of `width` pixels can hold: no letter is narrower than two pixels."""
        return min(self._max_tokens - 1, 8 + width // 2)

    def decode_greedy(self, lines: Sequence[EncodedLine], *, stop_repeats: bool = True) -> list[list[int]]:
        """Token ids from taking the decoder's most likely token at each step, with cached keys and values.

        Finished lines leave the batch. `stop_repeats`: end a line that repeats itself; without it, this is plain greedy
        decoding.
        """
        steps = max(encoded.mask.shape[3] for encoded in lines)
        line = np.concatenate([_lengthened(encoded.line, 4, steps) for encoded in lines], axis=2)
        mask = np.concatenate([_lengthened(encoded.mask, 3, steps) for encoded in lines], axis=0)
        past = self._no_past(len(lines))
        tokens = np.full((len(lines), 1), BOS, np.int64)
        texts: list[list[int]] = [[] for _ in lines]
        alive = list(range(len(lines)))
        while alive:
            log_probs, past = self._graphs.decoder.run(
                ["log_probs", "cache"], {"tokens": tokens, "line": line, "mask": mask, "past": past}
            )
            best = log_probs[:, -1].argmax(-1)
            keep = []
            for row, index in enumerate(alive):
                token = int(best[row])
                if token == EOS:
                    continue
                text = texts[index]
                text.append(token)
                if len(text) < self.max_length(lines[index].width) and not (stop_repeats and repeats(text)):
                    keep.append(row)
            if len(keep) < len(alive):
                alive = [alive[row] for row in keep]
                line, mask, past, best = line[:, :, keep], mask[keep], past[:, :, keep], best[keep]
            tokens = best.astype(np.int64)[:, None]
        return texts

    def decoder_scores(self, line: EncodedLine, texts: Sequence[Sequence[int]]) -> list[Scores]:
        """Decoder log-probability of each token of each text and of its end, in one pass: N × (len + 1,)."""
        n, longest = len(texts), max(len(text) for text in texts)
        tokens = np.zeros((n, longest + 1), np.int64)
        tokens[:, 0] = BOS
        for row, text in enumerate(texts):
            tokens[row, 1 : len(text) + 1] = text
        log_probs, _ = self._graphs.decoder.run(
            ["log_probs", "cache"],
            {
                "tokens": tokens,
                "line": np.repeat(line.line, n, axis=2),
                "mask": np.repeat(line.mask, n, axis=0),
                "past": self._no_past(n),
            },
        )
        return [log_probs[row, np.arange(len(text) + 1), [*text, EOS]] for row, text in enumerate(texts)]

    def candidates(self, looks: Sequence[Scores], greedy: list[int]) -> list[list[int]]:
        """Distinct texts, as token ids, from the CTC scores `looks` of each view and from the decoder (`greedy`).

        The decoder's text counts only if it is complete: a truncated text would win by what it omits.
        """
        found = [text for look in looks for text in (*self.search(look), best_path(look))]
        if len(greedy) < self._max_tokens - 1:
            found.append(greedy)
        return [list(text) for text in dict.fromkeys(map(tuple, found))]

    def rank(self, line: EncodedLine, looks: Sequence[Scores], greedy: list[int]) -> tuple[list[list[int]], Scores]:
        """Rank the candidates, and texts combined from them, by both heads and the language models.

        Returns:
            the promising texts as token ids, best first, and the probability (len,) 0…1 of each token of the best one.
        """
        found = self.candidates(looks, greedy)
        first = self._judged(line, looks, found)
        best = first.texts[0]
        edits = {edit: None for text in first.texts[1:] for edit in differences(best, text)}
        known = set(map(tuple, found))
        singles = {tuple(text): edit for edit in edits if tuple(text := applied(best, [edit])) not in known}
        if not singles:
            return first.texts, first.probabilities
        second = self._judged(line, looks, [best, *map(list, [*singles][:RECOMBINED])])
        better = second.texts[: second.texts.index(best)] if best in second.texts else second.texts
        if len(helpful := apart(singles[tuple(text)] for text in better)) > 1:
            second = self._judged(line, looks, [*second.texts[:2], applied(best, helpful)])
        rest = [text for text in first.texts if text not in second.texts]
        return [*second.texts, *rest], second.probabilities

    def _judged(self, line: EncodedLine, looks: Sequence[Scores], texts: Sequence[list[int]]) -> _Judged:
        """The promising ones of `texts`, best first, ranked by both heads and the language models."""
        weights = self.decoding
        ctc = np.mean([ctc_scores(look, texts) for look in looks], axis=0)
        language = np.zeros(len(texts))
        length = np.zeros(len(texts))
        if self.language is not None:
            language = np.asarray([self.language.score(text) for text in texts])
            language = self.case_capped(texts, language)
            length = weights.length_bonus * np.asarray([len(text) for text in texts])
        # The decoder is the slowest, so it only scores promising texts.
        first = _leading(ctc + weights.language_weight * language + length, *PROMISING)
        texts, ctc, language, length = [texts[i] for i in first], ctc[first], language[first], length[first]
        if max(map(len, texts)) < self._max_tokens:
            decoder = self.decoder_scores(line, texts)
        else:  # more characters than the decoder has positions: it has no say
            decoder = [np.zeros(len(text) + 1, np.float32) for text in texts]
        joint = weights.ctc_weight * ctc + (1 - weights.ctc_weight) * np.asarray([d.sum() for d in decoder])
        joint += weights.language_weight * language + length
        order = np.argsort(-joint)
        close = _leading(joint, *CLOSE)
        if self.neural is not None and len(close) > 1:
            nearest = [texts[i] for i in close]
            neural = self.case_capped(nearest, self.neural.scores(nearest))
            shared = weights.language_weight * weights.neural_share
            order[: len(close)] = close[np.argsort(-(joint[close] + shared * (neural - language[close])))]
        return _Judged([texts[i] for i in order], np.exp(decoder[order[0]][:-1]))

    def case_capped(self, texts: Sequence[list[int]], scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores (N,) of a language model, changed so that the case of the first letter counts at most `CASE`.

        A language model cannot know whether a line continues a sentence or begins a note.
        """
        keys = [(self.text(text[:1]).lower(), tuple(text[1:])) for text in texts]
        best: dict[tuple[str, tuple[int, ...]], float] = {}
        for key, score in zip(keys, scores.tolist(), strict=True):
            best[key] = max(score, best.get(key, score))
        return np.maximum(scores, [best[key] - CASE for key in keys])

    def text(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        return to_text(ids, self.alphabet)

    # ----------------------------------------------------------------------------------- models, loaded when needed

    @cached_property
    def language(self) -> LanguageModel | None:
        """The language model of this language; None if there is none or its weight is 0."""
        file = self.bundle.description.languages[self.language_tag]
        return None if file is None or self.decoding.language_weight <= 0 else LanguageModel(self.bundle.path / file)

    @property
    def neural(self) -> NeuralLanguageModel | None:
        """The neural language model for all languages; None if the bundle has none or its weight is 0."""
        return self._graphs.neural if self.decoding.neural_share > 0 else None

    def _no_past(self, n: int) -> NDArray[np.float32]:
        return np.zeros((self._layers, 2, n, self._heads, 0, self._d_head), np.float32)

    # ------------------------------------------------------------------------------------------------- words

    def _reading(
        self, texts: list[list[int]], spans: list[tuple[int, int]], probabilities: Scores, width: int, mode: Mode
    ) -> LineReading:
        """The first of `texts` as words, the others as alternatives.

        `spans`: first and last step of each token of the first text; `probabilities` (len,) 0…1.
        """
        text = self.text(texts[0])
        if not text.strip():
            return _BLANK
        words = []
        begin = 0
        for position in range(len(text) + 1):
            blank = position == len(text) or text[position] == " "
            apart = not blank and position > begin and self._apart(text, spans, position)
            if not blank and not apart:
                continue
            if position > begin:
                raw = float(probabilities[begin:position].min())
                start = spans[begin][0] * self._stride / width
                end = (spans[position - 1][1] + 1) * self._stride / width
                words.append(
                    WordReading(text[begin:position], min(start, 1.0), min(end, 1.0), self._calibrated(raw, mode))
                )
            begin = position if apart else position + 1
        confidence = float(np.mean([w.confidence for w in words])) if words else 1.0
        stripped = " ".join(w.text for w in words)
        others = dict.fromkeys(other for ids in texts[1:] if (other := self.text(ids).strip()) and other != stripped)
        return LineReading(stripped, confidence, tuple(words), tuple(others)[:ALTERNATIVES])

    def _apart(self, text: str, spans: list[tuple[int, int]], position: int) -> bool:
        """Whether the characters at `position` and before it are too far apart for one word, as in a row of cells."""
        digits = text[position].isdigit() and text[position - 1].isdigit()
        step = (sum(spans[position]) - sum(spans[position - 1])) / 2 * self._stride
        return step > (DIGITS_APART if digits else LETTERS_APART) * self.line_height

    def _calibrated(self, raw: float, mode: Mode) -> float:
        """Share of words with this raw confidence that were correct on held-out lines (isotonic table)."""
        table = self.calibration.get(mode)
        value = float(np.interp(raw, table.raw, table.right)) if table else raw
        return round(min(1.0, max(0.0, value)), 4)


class _Graphs:
    """Models and caches that the recognisers of one bundle share across languages; models are loaded when needed."""

    def __init__(self, bundle: Bundle, threads: int | None, device: str) -> None:
        self._bundle, self._threads, self._device = bundle, threads, device
        self.siblings: dict[str, Recognizer] = {}
        self.seen = _Seen()

    @cached_property
    def encoder(self) -> Any:
        return self._bundle.session("encoder", self._threads, self._device)

    @cached_property
    def decoder(self) -> Any:
        return self._bundle.session("decoder", self._threads, self._device)

    @cached_property
    def neural(self) -> NeuralLanguageModel | None:
        if not self._bundle.has(NEURAL_LANGUAGE_MODEL):
            return None
        return NeuralLanguageModel(self._bundle.session(NEURAL_LANGUAGE_MODEL, self._threads))

    @cached_property
    def marks(self) -> Any:
        """The graph of `recognition.marks`; None if the bundle has none."""
        if not self._bundle.has(LINE_MARKS):
            return None
        return self._bundle.session(LINE_MARKS, self._threads, self._device)

    @cached_property
    def paragraph(self) -> ParagraphEncoder | None:
        """The graphs of `recognition.paragraph`; None if the bundle has none."""
        if not self._bundle.has(PARAGRAPH_ROWS):
            return None
        rows, lines = (
            self._bundle.session(name, self._threads, self._device) for name in (PARAGRAPH_ROWS, PARAGRAPH_LINES)
        )
        settings = self._bundle.description.recognizer
        return ParagraphEncoder(rows, lines, settings.width_scale, settings.stride)

    @cached_property
    def table(self) -> LanguageTable:
        return LanguageTable(self._bundle.path / LANGUAGE_TABLE)


class _Seen:
    """Encoded lines whose crops still exist, so that lines encoded during layout are not encoded again for reading."""

    def __init__(self) -> None:
        self._lines: dict[int, tuple[weakref.ref[Gray], EncodedLine]] = {}

    def add(self, crop: Gray, line: EncodedLine) -> None:
        key = id(crop)
        self._lines[key] = weakref.ref(crop, lambda _: self._lines.pop(key, None)), line

    def get(self, crop: Gray) -> EncodedLine | None:
        of, line = self._lines.get(id(crop), (None, None))
        return line if of is not None and of() is crop else None

    def take(self, crop: Gray) -> EncodedLine | None:
        """`get`, then forget the line."""
        line = self.get(crop)
        self._lines.pop(id(crop), None)
        return line


def _in_language(kind: type[Recognizer], arguments: tuple[Any, ...], language: str) -> Recognizer:
    return kind(*arguments).in_language(language)


def _joined(readings: Sequence[LineReading], edges: Sequence[float]) -> LineReading:
    """Join the readings of a line's pieces, which lie between the fractions `edges` of its width."""
    if len(readings) == 1:
        return readings[0]

    def placed(words_of: Callable[[LineReading], Sequence[WordReading]]) -> tuple[WordReading, ...]:
        return tuple(
            replace(word, start=left + (right - left) * word.start, end=left + (right - left) * word.end)
            for reading, (left, right) in zip(readings, pairwise(edges), strict=True)
            for word in words_of(reading)
        )

    words = placed(lambda reading: reading.words)
    if not words:
        return _BLANK
    scripts = Counter(reading.script for reading in readings if reading.words)
    return LineReading(
        text=" ".join(w.text for w in words),
        confidence=float(np.mean([w.confidence for w in words])),
        words=words,
        script=scripts.most_common(1)[0][0],
        struck=placed(lambda reading: reading.struck),
    )


def _marked(reading: LineReading, marks: LineMarks) -> LineReading:
    """A reading with its script, and without the words that are struck out."""
    gone = [marks.is_struck(word.start, word.end) for word in reading.words]
    if not any(gone):
        return replace(reading, script=marks.script)
    words = tuple(word for word, out in zip(reading.words, gone, strict=True) if not out)
    return LineReading(
        text=" ".join(word.text for word in words),
        confidence=float(np.mean([word.confidence for word in words])) if words else 1.0,
        words=words,  # no alternatives: they contain the struck words
        script=marks.script,
        struck=tuple(word for word, out in zip(reading.words, gone, strict=True) if out),
    )


def _leading(scores: NDArray[np.floating], behind: float, most: int) -> NDArray[np.intp]:
    """Indices of at most `most` of the best `scores`, none more than `behind` below the first; best first."""
    order = np.argsort(-scores)[:most]
    return np.asarray(order[scores[order] >= scores[order[0]] - behind], np.intp)


def _lengthened(values: NDArray[np.float32], axis: int, steps: int) -> NDArray[np.float32]:
    """`values` with their last step along `axis`, which is blank, repeated to `steps`."""
    more = [(0, 0)] * values.ndim
    more[axis] = (0, steps - values.shape[axis])
    return np.pad(values, more, mode="edge")


def _padded(width: int) -> int:
    return -(-(width + MARGIN) // WIDTH_STEP) * WIDTH_STEP


def width_batches(widths: Sequence[int], spare: int = BATCH_AREA) -> list[list[int]]:
    """Group indices so that lines of similar width share a batch of bounded area.

    `spare`: most columns of padding in a batch beyond those that its lines would have alone.
    """
    groups: list[list[int]] = []
    alone = 0  # columns of the last group's lines, each padded separately
    for index in sorted(range(len(widths)), key=lambda i: widths[i]):
        width = _padded(widths[index])
        area = width * (len(groups[-1]) + 1) if groups else BATCH_AREA + 1
        if area <= BATCH_AREA and area - (alone + width) <= spare:
            groups[-1].append(index)
            alone += width
        else:
            groups.append([index])
            alone = width
    return groups
