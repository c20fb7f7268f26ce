"""`text-recognizer train language-model`: estimate a bundle's character n-gram model from the renderer's texts.

References
- Chen, Goodman, "An empirical study of smoothing techniques for language modeling", 1999: modified Kneser-Ney,
  interpolated, three discounts per order
- Seymore, Rosenfeld, "Scalable backoff language models", ICSLP 1996: the worth of an n-gram compared with the shorter
one
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from text_recognizer.errors import DataInvalid
from text_recognizer.recognition.decoding import BOS, EOS, FIRST_CHARACTER
from text_recognizer.recognition.language import ID_BITS, STEP, LanguageModel
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.everyday import EVERYDAY
from text_recognizer.synthesis.sources.text import TextSource

Keys = NDArray[np.uint64]
MASK = np.uint64((1 << ID_BITS) - 1)
_IDS = np.zeros(0x10000, np.uint8)  # token id by code point; 0 outside the alphabet
_IDS[[ord(character) for character in ALPHABET]] = np.arange(len(ALPHABET)) + FIRST_CHARACTER
# Least count of an n-gram, by order: rarer ones mostly reflect single texts of the corpus.
LEAST = {1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 2}


def estimate(lines: Iterable[str], order: int = 6, most: int | None = None) -> dict[str, NDArray[np.generic]]:
    """Estimate an interpolated Kneser-Ney model of `lines`. Returns the arrays that `LanguageModel` reads.

    `most`: keep about this many n-grams, those that matter most (about two bytes each in the file); None keeps all but
    the rarest. Raises DataInvalid if there is too little text.
    """
    ids = _ids(lines)
    if len(ids) < 1000:
        raise DataInvalid(f"{len(ids)} characters of text are too few for a language model: give more lines.")
    # Kneser-Ney counts: occurrences for the longest n-grams, distinct preceding characters for shorter ones.
    grams, counts = _grams(ids, order)
    tables: list[tuple[Keys, NDArray[np.int64]]] = []
    for k in range(order, 0, -1):
        tables.insert(0, (grams, counts))
        if k > 1:
            shorter, distinct = np.unique(grams & np.uint64((1 << ID_BITS * (k - 1)) - 1), return_counts=True)
            # Nothing precedes the beginning of a line, so use the count itself there.
            all_grams, all_counts = _grams(ids, k - 1)
            first = all_grams >> np.uint64(ID_BITS * (k - 2)) == BOS
            at = np.searchsorted(all_grams, shorter)
            grams = all_grams[first | np.isin(all_grams, shorter)]
            values = np.zeros(len(all_grams), np.int64)
            values[at] = distinct
            values[first] = all_counts[first]
            counts = values[first | np.isin(all_grams, shorter)]
    size = FIRST_CHARACTER + len(ALPHABET)
    unigrams = np.full(size, 0.05)
    symbols, n = tables[0][0].astype(np.int64), tables[0][1]
    unigrams[symbols] += n
    unigrams[[BOS, 0]] = 1e-9
    arrays: dict[str, NDArray[np.generic]] = {
        "unigrams": (unigrams / unigrams.sum()).astype(np.float32),
        "order": np.asarray(order),
        "id_bits": np.asarray(ID_BITS),
    }
    kept = [counts >= LEAST.get(k, 3) for k, (_, counts) in enumerate(tables, 1)]
    if most is not None:
        kept = _worth_most(tables, unigrams / unigrams.sum(), most)
    for k in range(2, order + 1):
        arrays |= _order(k, *tables[k - 1], kept[k - 1])
    return arrays


def _worth_most(
    tables: Sequence[tuple[Keys, NDArray[np.int64]]], unigrams: NDArray[np.float64], most: int
) -> list[NDArray[np.bool_]]:
    """Which n-grams of each order to keep: their probability differs most, and most often, from the shorter one's.

    The n-gram without its first character is always kept too, so that a lookup of a context finds its suffixes.
    """
    p = unigrams[tables[0][0].astype(np.int64)]
    worth: list[NDArray[np.float64]] = [np.zeros(len(p))]
    shorter: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]  # index of each n-gram's suffix in the order below
    for k in range(2, len(tables) + 1):
        grams, counts = tables[k - 1]
        _, starts = np.unique(grams >> np.uint64(ID_BITS), return_index=True)
        owner = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(grams))))
        mass = (counts - _discounts(counts)[np.minimum(counts, 3)]) / np.add.reduceat(counts, starts)[owner]
        backoff = 1.0 - np.add.reduceat(mass, starts)
        ends = np.searchsorted(tables[k - 2][0], grams & np.uint64((1 << ID_BITS * (k - 1)) - 1))
        below = p[ends]
        p = mass + backoff[owner] * below
        worth.append(np.asarray(counts * np.log(p / below), np.float64))
        shorter.append(ends)
    values = np.concatenate(worth[1:])
    least = float(np.partition(values, -most)[-most]) if most < len(values) else -math.inf
    kept = [value >= least for value in worth]
    for k in range(len(tables), 2, -1):
        kept[k - 2][shorter[k - 1][kept[k - 1]]] = True
    return kept


def _order(k: int, grams: Keys, counts: NDArray[np.int64], keep: NDArray[np.bool_]) -> dict[str, NDArray[np.generic]]:
    """Contexts, backoff weights and discounted probabilities of order `k`; the others fall back on order k - 1."""
    contexts = grams >> np.uint64(ID_BITS)
    keys, starts = np.unique(contexts, return_index=True)
    totals = np.add.reduceat(counts, starts)
    owner = np.repeat(np.arange(len(keys)), np.diff(np.append(starts, len(grams))))
    discount = _discounts(counts)[np.minimum(counts, 3)]
    mass = np.where(keep, (counts - discount) / totals[owner], 0.0)
    backoff = 1.0 - np.add.reduceat(mass, starts)
    kept_of = np.add.reduceat(keep.astype(np.int64), starts)
    alive = kept_of > 0
    return {
        f"keys{k}": np.diff(keys[alive], prepend=np.uint64(0)),
        f"backoffs{k}": _steps(backoff[alive]),
        f"counts{k}": kept_of[alive].astype(np.uint8),
        f"symbols{k}": (grams[keep] & MASK).astype(np.uint8),
        f"masses{k}": _steps(mass[keep]),
    }


def _discounts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The discounts for counts of 0, 1, 2, and 3 or more, which give mass to unseen n-grams."""
    n1, n2, n3, n4 = (max(1, int((counts == c).sum())) for c in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    found = [0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    return np.clip(found, [0, 0.1, 0.2, 0.3], [0, 0.95, 1.9, 2.7])


def _steps(p: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.round(-np.log(np.maximum(p, 1e-9)) / STEP), 0, 255).astype(np.uint8)


def character_ids(text: str) -> NDArray[np.uint8]:
    """Token ids of the characters of `text`; those outside the alphabet are left out."""
    ids = _IDS[np.frombuffer(text.encode("utf-16-le", "replace"), np.uint16)]
    return np.asarray(ids[ids > 0], np.uint8)


def _ids(lines: Iterable[str]) -> NDArray[np.uint64]:
    """Token ids of all lines, each between BOS and EOS."""
    parts = [np.concatenate([[BOS], character_ids(line), [EOS]]).astype(np.uint8) for line in lines]
    return np.concatenate(parts).astype(np.uint64) if parts else np.zeros(0, np.uint64)


def _grams(ids: NDArray[np.uint64], k: int) -> tuple[Keys, NDArray[np.int64]]:
    """All n-grams of `k` ids that do not cross the end of a line, sorted, with their counts."""
    n = len(ids) - k + 1
    keys = np.zeros(n, np.uint64)
    whole = np.ones(n, bool)
    for i in range(k):
        part = ids[i : i + n]
        keys = keys << np.uint64(ID_BITS) | part
        if i < k - 1:
            whole &= part != EOS
        if i == k - 1 and k == 1:
            whole &= part != BOS
    return np.unique(keys[whole], return_counts=True)


def wording(texts: Path | None, everyday: int, seed: int = 0, leave_out: Sequence[str] = ()) -> Iterator[str]:
    """Yield each running text once, and `everyday` lines of notes, sums and names, without the lines of `leave_out`.

    The texts are not sampled as in the renderer: the Kneser-Ney discounts are estimated from n-grams seen once, so a
    text must not be counted twice. A line that shares 18 consecutive characters with one of `leave_out` is left out.
    """
    source = TextSource(texts)
    rng = np.random.default_rng([seed, 99])
    known = {line[i : i + 18].lower() for line in leave_out for i in range(max(1, len(line) - 17))}
    notes = (EVERYDAY.line(rng) if k % 2 else source.line(rng, 20, 90) for k in range(everyday))
    for line in chain(source.lines_once(rng, 20, 90), notes):
        low = line.lower()
        if not known or not any(low[i : i + 18] in known for i in range(len(low) - 17)):
            yield line


def write(arrays: dict[str, NDArray[np.generic]], file: Path) -> None:
    """Write the model as a compressed .npz."""
    with file.open("wb") as out:
        np.savez_compressed(out, **arrays)  # type: ignore[arg-type]


def extend(file: Path, target: Path, shares: Sequence[float]) -> None:
    """Write the model `file` to `target` with further characters after its own.

    Args:
        shares: the share of each new character among all characters; the others stay in proportion.
    """
    bits = LanguageModel(file).id_bits  # raises for any other file
    with np.load(file, allow_pickle=False) as held:
        arrays: dict[str, NDArray[np.generic]] = {name: held[name] for name in held.files}
    unigrams = np.asarray(arrays["unigrams"], np.float32) * np.float32(1 - sum(shares))
    arrays["unigrams"] = np.concatenate([unigrams, np.asarray(shares, np.float32)])
    arrays["id_bits"] = np.asarray(ID_BITS)
    for k in range(2, int(arrays["order"]) + 1):
        packed = np.cumsum(arrays[f"keys{k}"], dtype=np.uint64)
        wide = np.zeros_like(packed)
        for place in range(k - 1):  # more bits per id do not change the order of the keys
            ids = packed >> np.uint64(bits * place) & np.uint64((1 << bits) - 1)
            wide |= ids << np.uint64(ID_BITS * place)
        arrays[f"keys{k}"] = np.diff(wide, prepend=np.uint64(0))
    write(arrays, target)


def bits_per_character(model: LanguageModel, lines: Sequence[str]) -> float:
    """Cross-entropy of `lines` under the model in bits per character, including line ends."""
    total = characters = 0.0
    for line in lines:
        ids = [int(i) for i in _ids([line])[1:-1]]
        total -= model.score(ids)
        characters += len(ids) + 1
    return total / max(1.0, characters) / math.log(2)


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train language-model`."""
    parser = argparse.ArgumentParser(prog="text-recognizer train language-model", description=__doc__)
    parser.add_argument("--texts", type=Path, help="folder made by 'text-recognizer train data texts'")
    parser.add_argument("--out", type=Path, required=True, help=".npz file to write")
    parser.add_argument(
        "--order", type=int, default=6, choices=range(2, 9), metavar="2…8", help="characters of an n-gram (6)"
    )
    parser.add_argument("--most", type=int, metavar="N", help="keep the N most informative n-grams; 2 bytes each")
    parser.add_argument("--everyday", type=int, default=150_000, help="lines of notes, sums, names and the like")
    parser.add_argument("--leave-out", type=Path, help="evaluation set whose wording is left out")
    parser.add_argument("--unipen", type=Path, help="cache of 'data prepare': the wording of calibration is left out")
    args = parser.parse_args(argv)
    leave_out: list[str] = []
    if args.leave_out is not None:
        from text_recognizer.evaluation.sets import load_set

        leave_out = [line.text for page in load_set(args.leave_out).pages for line in page.lines]
    if args.unipen is not None:
        from text_recognizer.training.data import calibration_lines

        leave_out += [text for _, text in calibration_lines(args.unipen, args.texts)]
    write(estimate(wording(args.texts, args.everyday, leave_out=leave_out), args.order, args.most), args.out)
    model = LanguageModel(args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")
    if leave_out:
        print(f"{bits_per_character(model, leave_out):.2f} bits a character on the wording left out")
    return 0
