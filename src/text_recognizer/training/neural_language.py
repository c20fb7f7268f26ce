"""`text-recognizer train neural-language-model`: train the character Transformer that decides between close readings.

It learns running text as it appears on pages: wrapped to lines of one width, sometimes hyphenated or in capitals, mixed
with everyday notes. A killed run resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from text_recognizer.errors import DataInvalid
from text_recognizer.recognition.decoding import BLANK, EOS, FIRST_CHARACTER
from text_recognizer.recognition.neural import gram_buckets
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.everyday import EVERYDAY
from text_recognizer.synthesis.sources.text import ENGLISH_SHARE, language_of, normalise_text
from text_recognizer.training.checkpoint import open_checkpoint
from text_recognizer.training.language_model import character_ids
from text_recognizer.training.models.neural_language import NeuralLanguageConfig, NeuralLanguageNetwork
from text_recognizer.training.optim import Muon

LENGTH = 192  # characters of a window
EVERYDAY_SHARE, EVERYDAY_LINES = 0.06, 60_000
HELD_OUT = 0.005  # share of each text, from its end
CAPITALS, SMALL = 0.04, 0.02  # share of windows in upper case, and in lower case
WRAPPED, WIDTHS = 0.85, (12, 85)  # share of windows wrapped to lines, and the range of characters in a line
HYPHENATED = 0.15  # share of windows with hyphenated words
NOISY, NOISE = 0.2, 0.03  # share of windows with wrong characters in the context, and share of wrong characters
WARM_UP = 60  # steps
CHECKPOINT_EVERY = 200  # steps

Ids = NDArray[np.uint8]


def _table(convert: Callable[[str], str]) -> Ids:
    """Map each token id to the id of its character after `convert`, or to itself if that is not in the alphabet."""
    table = np.arange(256, dtype=np.uint8)
    for i, character in enumerate(ALPHABET):
        if len(other := convert(character)) == 1 and other in ALPHABET:
            table[i + FIRST_CHARACTER] = ALPHABET.index(other) + FIRST_CHARACTER
    return table


_UPPER, _LOWER = _table(str.upper), _table(str.lower)
_SPACE, _HYPHEN = (ALPHABET.index(character) + FIRST_CHARACTER for character in " -")
_LETTERS = frozenset(i + FIRST_CHARACTER for i, character in enumerate(ALPHABET) if character.isalpha())


class Windows:
    """Windows of running text for training.

    Args:
        folder: of texts in UTF-8, one paragraph a line, named by language as for `TextSource`. English has the same
            share as of the rendered lines, and the other languages have the rest. Within a language, a text counts by
            the square root of its length.

    Raises DataInvalid if there is no text.
    """

    def __init__(self, folder: Path) -> None:
        notes = np.random.default_rng(5)
        texts, weights = [_ids([EVERYDAY.line(notes) for _ in range(EVERYDAY_LINES)])], [EVERYDAY_SHARE]
        found: dict[str, list[Ids]] = {}
        for file in sorted(folder.glob("*.txt")):
            ids = _ids(map(normalise_text, file.read_text(encoding="utf-8").split("\n")))
            if HELD_OUT * len(ids) > LENGTH + 2:
                found.setdefault(language_of(file), []).append(ids)
        if not found:
            least = int((LENGTH + 2) / HELD_OUT)
            raise DataInvalid(f"no text in {folder} has {least} characters: fetch some with 'train data texts'.")
        others = len(found) - ("en" in found)
        for language, members in found.items():
            english = language == "en"
            share = 1.0 if len(found) == 1 else ENGLISH_SHARE if english else (1 - ENGLISH_SHARE) / others
            roots = np.sqrt([len(ids) for ids in members])
            texts += members
            weights += list((1 - EVERYDAY_SHARE) * share * roots / roots.sum())
        self._texts, self._weights = texts, np.asarray(weights) / sum(weights)

    def batch(self, rng: np.random.Generator, size: int, *, held_out: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """ids (N, L) int64, their n-grams (N, L, orders) int64, and the id that follows each (N, L), 0 for none."""
        rows = np.stack([self._window(rng, held_out) for _ in range(size)]).astype(np.int64)
        ids, following = rows[:, :-1].copy(), rows[:, 1:].copy()
        if not held_out:
            wrong = (rng.random(ids.shape) < NOISE) & (rng.random((size, 1)) < NOISY)
            ids[wrong] = rng.integers(FIRST_CHARACTER, FIRST_CHARACTER + len(ALPHABET), int(wrong.sum()))
        return torch.from_numpy(ids), torch.from_numpy(gram_buckets(ids)), torch.from_numpy(following)

    def _window(self, rng: np.random.Generator, held_out: bool) -> Ids:
        ids = self._texts[rng.choice(len(self._texts), p=self._weights)]
        last = len(ids) - 2 * LENGTH - 2
        border = int(len(ids) * (1 - HELD_OUT)) - LENGTH
        at = int(rng.integers(border, max(last, border + 1)) if held_out else rng.integers(max(1, border)))
        part = ids[at : at + 2 * LENGTH]
        spaces = np.flatnonzero((part == _SPACE) | (part == EOS))
        part = part[spaces[0] + 1 if len(spaces) else 0 :][: LENGTH + 1]
        case = rng.random()
        if case < CAPITALS + SMALL:
            part = (_UPPER if case < CAPITALS else _LOWER)[part]
        width = int(rng.integers(*WIDTHS)) if rng.random() < WRAPPED else LENGTH + 1
        begun = int(rng.integers(30)) if rng.random() < 0.3 else 0  # characters of its first line that precede it
        lines = np.asarray([EOS, *_wrapped(part.tolist(), width, begun, rng)][: LENGTH + 1], np.uint8)
        return np.pad(lines, (0, LENGTH + 1 - len(lines)), constant_values=BLANK)


def _wrapped(text: list[int], width: int, begun: int, rng: np.random.Generator) -> Iterator[int]:
    """The ids of `text`, with spaces replaced by line ends so that no line is longer than `width`."""
    hyphens = rng.random() < HYPHENATED
    length, word, gap = begun, [], -1
    for symbol in (*text, EOS):
        if symbol not in (_SPACE, EOS):
            word.append(symbol)
            continue
        room = width - length - 1
        if length and len(word) > room:
            divided = hyphens and len(word) >= 6 and room >= 3 and _LETTERS.issuperset(word) and rng.random() < 0.5
            if divided:
                head = min(room - 1, len(word) - 2)
                yield from (*([gap] if gap >= 0 else []), *word[:head], _HYPHEN, EOS)
                word = word[head:]
            elif gap >= 0:
                yield EOS
            length = 0
        elif gap >= 0:
            yield gap
        yield from word
        length = 0 if symbol == EOS else length + len(word) + 1
        word, gap = [], symbol


def _ids(lines: Iterator[str] | list[str]) -> Ids:
    """Token ids of all lines with their ends; characters outside the alphabet are left out."""
    end = np.asarray([EOS], np.uint8)
    return np.concatenate([end[:0], *(part for line in lines if line for part in (character_ids(line), end))])


@dataclass(frozen=True, kw_only=True)
class NeuralLanguageOptions:
    """How to train a neural language model.

    Args:
        texts: folder made by `train data texts`, possibly with further texts in it.
        out: ONNX file to write. The checkpoint is next to it; if one exists, the run resumes from it.
        steps: total number of batches.
        batch: windows per step.
        rate: peak learning rate; it decays to zero over the second half.
        seed: of the weights and the windows.
        start: ONNX file of a model written by `export`, such as a bundle's, to start from instead of random weights.
    """

    texts: Path
    out: Path
    start: Path | None = None
    steps: int = 4000
    batch: int = 64
    rate: float = 4e-3
    seed: int = 0


def fit(options: NeuralLanguageOptions, report: Callable[[str], None] = print) -> float:
    """Train, write the graph, and return the cross-entropy on held-out text in bits per character.

    Raises DataInvalid if there is no text, or if `options.start` is another network.
    """
    windows = Windows(options.texts)
    torch.manual_seed(options.seed)
    network = NeuralLanguageNetwork(NeuralLanguageConfig(vocabulary=FIRST_CHARACTER + len(ALPHABET)))
    optimizer = _optimizer(network, options.rate)
    checkpoint = options.out.with_suffix(".ckpt")
    step = 0
    if checkpoint.is_file():
        state = open_checkpoint(checkpoint, "network", "optimizer", "step")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
        report(f"going on from step {step} of {checkpoint}")
    elif options.start is not None:
        load_weights(network, options.start)
    held_out = windows.batch(np.random.default_rng(1), 96, held_out=True)
    began, first, bits = time.monotonic(), step, math.inf
    while step < options.steps:
        share = min(1.0, (step + 1) / WARM_UP, 2 * (1 - step / options.steps))
        for group in optimizer.param_groups:
            group["lr"] = options.rate * share
        loss = _loss(network, *windows.batch(np.random.default_rng([options.seed, 7, step]), options.batch))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % CHECKPOINT_EVERY == 0 or step == options.steps:
            with torch.no_grad():
                bits = float(_loss(network, *held_out)) / math.log(2)
            speed = (step - first) * options.batch * LENGTH / (time.monotonic() - began)
            _save(checkpoint, network, optimizer, step)
            report(f"step {step}: {bits:.3f} bits a character on held-out text, {speed:.0f} characters a second")
    export(network, options.out)
    return bits


def _optimizer(network: NeuralLanguageNetwork, rate: float) -> Muon:
    """Muon for the matrices of the layers, AdamW for embeddings, the head and vectors."""
    matrices = [p for p in network.layers.parameters() if p.ndim == 2]
    chosen = set(matrices)
    groups = [
        {"params": [p for p in network.parameters() if p not in chosen], "weight_decay": 0.0},
        {"params": matrices, "weight_decay": 0.01, "orthogonal": True},
    ]
    return Muon(groups, lr=rate, betas=(0.9, 0.95), dtype=torch.bfloat16)  # as the losses


def _loss(network: NeuralLanguageNetwork, ids: Tensor, grams: Tensor, following: Tensor) -> Tensor:
    """Mean cross-entropy in nats."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(ids, grams)
    return F.cross_entropy(logits.flatten(0, 1).float(), following.flatten(), ignore_index=BLANK)


def _save(file: Path, network: nn.Module, optimizer: Muon, step: int) -> None:
    whole = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    unfinished = file.with_suffix(".unfinished")
    torch.save(whole, unfinished)
    unfinished.replace(file)


def export(network: NeuralLanguageNetwork, file: Path) -> None:
    """Write the graph to `file` with 8-bit weights: ids (N, L), grams (N, L, orders) → log_probs (N, L, V)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Tensor, grams: Tensor) -> Tensor:
            return torch.log_softmax(self.network(ids, grams), -1)

    ids = np.full((2, 7), EOS, np.int64)
    n, length = torch.export.Dim("texts"), torch.export.Dim("length", min=2)
    whole = file.with_suffix(".float.onnx")
    torch.onnx.export(
        Graph().eval(), (torch.from_numpy(ids), torch.from_numpy(gram_buckets(ids))), str(whole), dynamo=True,
        external_data=False, input_names=["ids", "grams"], output_names=["log_probs"],
        dynamic_shapes={"ids": {0: n, 1: length}, "grams": {0: n, 1: length}}, verbose=False,
    )  # fmt: skip
    quantize_dynamic(
        whole, file, op_types_to_quantize=["MatMul", "Gather"], per_channel=True, weight_type=QuantType.QInt8
    )
    whole.unlink()


def load_weights(network: NeuralLanguageNetwork, file: Path) -> None:
    """Load the weights of a graph written by `export` into `network`, to the precision of their 8 bits.

    Raises DataInvalid if they belong to another network.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        graph = onnx.load(file).graph
        held = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}

        def exact(name: str) -> NDArray[np.float32]:
            """The tensor `name`, dequantised."""
            if name in held:
                return np.array(held[name], np.float32)
            steps = held[f"{name}_quantized"].astype(np.float32) - held[f"{name}_zero_point"]
            return np.asarray(steps * held[f"{name}_scale"], np.float32)

        # The exporter transposes matrices and renames them to numbers, but uses them in the network's order.
        products = (node.input[1] for node in graph.node if node.op_type == "MatMulInteger")
        weights = {}
        for key, parameter in network.named_parameters():
            named = f"network.{key}"
            known = named in held or f"{named}_quantized" in held
            weights[key] = torch.from_numpy(
                exact(named) if known else exact(next(products).removesuffix("_quantized")).T
            )
            if weights[key].shape != parameter.shape:
                raise ValueError(f"{key} has the sizes {tuple(weights[key].shape)}")
        network.load_state_dict(weights)
    except (OSError, DecodeError, KeyError, ValueError, StopIteration) as error:
        reason = str(error).splitlines()[0] if str(error) else "it holds fewer layers"
        raise DataInvalid(f"{file} does not fit this network ({reason}): give the model of a bundle.") from error


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train neural-language-model`."""
    parser = argparse.ArgumentParser(prog="text-recognizer train neural-language-model", description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="folder made by 'text-recognizer train data texts'")
    parser.add_argument("--out", type=Path, required=True, help=".onnx file to write; its checkpoint is next to it")
    parser.add_argument("--steps", type=int, default=NeuralLanguageOptions.steps, help="%(default)s")
    parser.add_argument("--batch", type=int, default=NeuralLanguageOptions.batch, help="windows a step, %(default)s")
    parser.add_argument("--rate", type=float, default=NeuralLanguageOptions.rate, help="learning rate, %(default)s")
    parser.add_argument("--seed", type=int, default=NeuralLanguageOptions.seed, help="(%(default)s)")
    parser.add_argument("--start", type=Path, metavar="ONNX", help="start from this model, such as a bundle's")
    parser.add_argument("--threads", type=int, help="of the processor (default: all cores)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    options = NeuralLanguageOptions(
        texts=args.texts,
        out=args.out,
        steps=args.steps,
        batch=args.batch,
        rate=args.rate,
        seed=args.seed,
        start=args.start,
    )
    bits = fit(options, report=lambda line: print(line, file=sys.stderr, flush=True))
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB, {bits:.2f} bits a character on held-out text")
    return 0
