"""Export of the recogniser in torch's own formats: TorchScript in one file, and torch.export.

Reading needs neither, since `Reader` runs the ONNX graphs: these are for programs that use torch. Positions are
computed, not stored, so the files contain little more than the weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from text_recognizer.errors import DataInvalid
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.training.data import collate
from text_recognizer.training.models.paragraph import ParagraphRecognizer
from text_recognizer.training.models.recognizer import BOS, EOS, PAD, Recognizer

Format = Literal["onnx", "torchscript", "export"]
FORMATS: tuple[Format, ...] = ("onnx", "torchscript", "export")
TORCHSCRIPT = "recognizer.torchscript.pt"
ENCODER, DECODER = "encoder.pt2", "decoder.pt2"

Greedy = Callable[[Tensor, Tensor, int], list[list[int]]]


class EncoderGraph(nn.Module):
    """Line images → CTC scores, and keys and values for the decoder."""

    def __init__(self, network: Recognizer) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images (B, 1, H, W) uint8, widths (B,) int64 → log_probs (B, T, V), line (L, 2, B, heads, T, d), mask."""
        features, ctc, mask = self.network.encoder(images.to(torch.float32) / 255, widths)
        return ctc.log_softmax(-1), self.network.decoder.line_keys_values(features), mask


class DecoderGraph(nn.Module):
    """One step or a whole text, with a cache of any length, including zero."""

    def __init__(self, network: Recognizer) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, line: Tensor, mask: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        logits, cache = self.network.decoder(tokens, line, mask, past)
        return logits.log_softmax(-1), cache


class ParagraphRowsGraph(nn.Module):
    """The first half of the paragraph encoder: an image → rows of features, and the share of a line in each."""

    def __init__(self, network: ParagraphRecognizer) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """images (B, 1, H, W) uint8, widths (B,) int64 → rows (B, d, R, T), shares (B, R)."""
        rows, shares = self.network.encoder.paragraph(images.to(torch.float32) / 255, widths)
        return rows, shares


class ParagraphLinesGraph(nn.Module):
    """The second half: the rows of one paragraph → its lines, with the outputs of `EncoderGraph`."""

    def __init__(self, network: ParagraphRecognizer) -> None:
        super().__init__()
        self.network = network

    def forward(self, rows: Tensor, weights: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """rows (1, d, R, T), weights (N, R) of each row in each line, widths (1,) int64 → as `EncoderGraph`."""
        _, d, r, t = rows.shape
        columns = (weights @ rows[0].permute(1, 0, 2).reshape(r, d * t)).reshape(-1, d, t)  # (N, d, T)
        features, ctc, mask = self.network.encoder.along(columns, widths.expand(columns.shape[0]))
        return ctc.log_softmax(-1), self.network.decoder.line_keys_values(features), mask


class ScriptedRecognizer(nn.Module):
    """The TorchScript file: images in, tokens out, with cached decoding inside."""

    def __init__(self, encoder: Any, decoder: Any, layers: int, heads: int, d_head: int) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.layers, self.heads, self.d_head = layers, heads, d_head
        self.bos, self.eos, self.pad = BOS, EOS, PAD

    def forward(self, images: Tensor, widths: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        """images (B, 1, H, W) uint8, ink high; widths (B,) int64; limit: most tokens.

        Returns CTC log-probabilities (B, T, V) and greedy tokens (B, N) int64, N <= limit, with PAD after EOS.
        """
        log_probs, line, mask = self.encoder(images, widths)
        b = images.shape[0]
        past = torch.zeros([self.layers, 2, b, self.heads, 0, self.d_head], device=images.device)
        tokens = torch.full([b, 1], self.bos, dtype=torch.int64, device=images.device)
        done = torch.zeros([b, 1], dtype=torch.bool, device=images.device)
        texts = [tokens]
        for _ in range(limit):
            scores, past = self.decoder(tokens, line, mask, past)
            tokens = scores[:, -1].argmax(-1, keepdim=True).masked_fill(done, self.pad)
            texts.append(tokens)
            done = done | (tokens == self.eos)
            if bool(done.all()):
                break
        return log_probs, torch.cat(texts, 1)[:, 1:]


def _examples(network: Recognizer) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Inputs of encoder and decoder with a different size for each dimension."""
    c = network.config
    d_head, t = c.d_model // c.heads, 64
    encoder = (torch.zeros(2, 1, c.height, 256, dtype=torch.uint8), torch.tensor([256, 200]))
    decoder = (
        torch.full((2, 3), BOS), torch.randn(c.decoder_layers, 2, 2, c.heads, t, d_head), torch.zeros(2, 1, 1, t),
        torch.randn(c.decoder_layers, 2, 2, c.heads, 5, d_head),
    )  # fmt: skip
    return encoder, decoder


def write_torchscript(network: Recognizer, file: Path) -> None:
    """Write `file`: `torch.jit.load(file)(images, widths, limit)`, see `ScriptedRecognizer.forward`."""
    c = network.config
    encoder, decoder = _examples(network)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and tracing warns about dynamic sizes
        traced = (
            torch.jit.trace(EncoderGraph(network), encoder, check_trace=False),  # type: ignore[no-untyped-call]
            torch.jit.trace(DecoderGraph(network), decoder, check_trace=False),  # type: ignore[no-untyped-call]
        )
        whole = ScriptedRecognizer(*traced, c.decoder_layers, c.heads, c.d_model // c.heads)
        torch.jit.save(torch.jit.script(whole.eval()), str(file))


def write_export(network: Recognizer, folder: Path) -> None:
    """Write encoder.pt2 and decoder.pt2: `torch.export.load(file).module()`."""
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    blocks, steps = torch.export.Dim("blocks", min=1, max=256), torch.export.Dim("steps", min=2)
    past = torch.export.Dim("past", min=0)
    encoder, decoder = _examples(network)
    with torch.no_grad():
        program = torch.export.export(
            EncoderGraph(network), encoder, dynamic_shapes=({0: batch, 3: 64 * blocks}, {0: batch})
        )
        torch.export.save(program, folder / ENCODER)
        shapes = ({0: batch, 1: tokens}, {2: batch, 4: steps}, {0: batch, 3: steps}, {2: batch, 4: past})
        torch.export.save(torch.export.export(DecoderGraph(network), decoder, dynamic_shapes=shapes), folder / DECODER)


def torchscript_greedy(file: Path) -> Greedy:
    """Greedy decoding with the TorchScript file: (images, widths, limit) → token ids of each line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(str(file))  # type: ignore[no-untyped-call]

    def greedy(images: Tensor, widths: Tensor, limit: int) -> list[list[int]]:
        with torch.no_grad():
            return [_until_end(row) for row in loaded(images, widths, limit)[1].tolist()]

    return greedy


def export_greedy(folder: Path, network: Recognizer) -> Greedy:
    """Greedy decoding with the two files of torch.export."""
    c = network.config
    loop = ScriptedRecognizer(
        torch.export.load(folder / ENCODER).module(), torch.export.load(folder / DECODER).module(),
        c.decoder_layers, c.heads, c.d_model // c.heads,
    )  # fmt: skip

    def greedy(images: Tensor, widths: Tensor, limit: int) -> list[list[int]]:
        with torch.no_grad():
            return [_until_end(row) for row in loop(images, widths, limit)[1].tolist()]

    return greedy


def _until_end(tokens: list[int]) -> list[int]:
    return tokens[: tokens.index(EOS)] if EOS in tokens else tokens


def write_formats(
    network: Recognizer, folder: Path, formats: Sequence[Format], crops: Sequence[NDArray[np.uint8]]
) -> dict[str, dict[str, int]]:
    """Write the formats other than ONNX to `folder`. Compare each with torch, token by token, on line images `crops`.

    Returns format → number of lines compared and of lines that agree. Raises DataInvalid if a line differs.
    """
    readers: dict[str, Greedy] = {}
    if "torchscript" in formats:
        write_torchscript(network, folder / TORCHSCRIPT)
        readers["torchscript"] = torchscript_greedy(folder / TORCHSCRIPT)
    if "export" in formats:
        write_export(network, folder)
        readers["export"] = export_greedy(folder, network)
    found = {}
    for name, greedy in readers.items():
        same = 0
        for crop in crops:
            batch = collate([(normalise_line(crop, network.config.height), [])])
            limit = min(network.config.max_tokens - 1, 8 + int(batch.widths[0]) // 2)
            theirs = greedy(batch.images, batch.widths, limit)
            same += theirs == network.greedy(batch.images.to(torch.float32) / 255, batch.widths, limit)
        if same < len(crops):
            raise DataInvalid(f"{name} and torch read {len(crops) - same} of {len(crops)} lines differently.")
        found[name] = {"lines": len(crops), "same": same}
    return found
