"""The network: both heads learn a batch by heart, caching changes nothing, padding does not leak."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from text_recognizer.errors import DataInvalid
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.training.data import Batch
from text_recognizer.training.growth import load_weights
from text_recognizer.training.lit import LitRecognizer
from text_recognizer.training.models.recognizer import BOS, EOS, FIRST_CHARACTER, Recognizer, RecognizerConfig

SMALL = RecognizerConfig(
    vocabulary=12, channels=(8, 16, 16, 32), blocks=(1, 1, 1), d_model=48, conv_layers=1, encoder_layers=1,
    decoder_layers=2, heads=4, d_ff=96, max_tokens=32, dropout=0.0,
)  # fmt: skip


def bars(texts: list[list[int]]) -> Batch:
    """Each symbol is a bar of its own height, 24 pixels apart."""
    images = torch.zeros(len(texts), 1, 48, 192, dtype=torch.uint8)
    tokens = torch.zeros(len(texts), 10, dtype=torch.long)
    for row, text in enumerate(texts):
        for place, symbol in enumerate(text):
            images[row, 0, 44 - 5 * (symbol - 3) : 44, 12 + 24 * place : 20 + 24 * place] = 255
        tokens[row, : len(text) + 2] = torch.tensor([BOS, *text, EOS])
    widths = torch.tensor([24 * len(t) + 12 for t in texts])
    return Batch(images, widths, tokens, torch.tensor([len(t) for t in texts]))


def grown_from(origin: Recognizer, folder: Path, **sizes: Any) -> Recognizer:
    """A network of larger `sizes` that begins with the weights of `origin`."""
    save_file({k: v.contiguous() for k, v in origin.state_dict().items()}, folder / "w.safetensors")
    grown = Recognizer(replace(SMALL, **sizes)).eval()
    load_weights(grown, folder / "w.safetensors")
    return grown


@torch.no_grad()
def read(network: Recognizer, batch: Batch) -> tuple[torch.Tensor, ...]:
    return network(batch.images.float() / 255, batch.widths, batch.tokens)  # type: ignore[no-any-return]


def learn(network: Recognizer, batch: Batch) -> None:
    """Give the weights of `network` their gradients."""
    network.train()(batch.images.float() / 255, batch.widths, batch.tokens)[1].sum().backward()


TEXTS = [[4, 5, 6], [7, 7, 4, 8], [9], [10, 4, 11, 5, 6, 7], [8, 9], [6, 6, 6]]


def test_network_learns_a_batch_by_heart_with_both_heads() -> None:
    torch.manual_seed(0)
    lit = LitRecognizer(SMALL, token_noise=0.0, label_smoothing=0.0)
    batch = bars(TEXTS)
    optimizer = torch.optim.AdamW(lit.parameters(), 3e-3)
    lit.train()
    for _ in range(150):
        ctc, ce = lit.losses(batch)
        optimizer.zero_grad()
        (ctc + ce).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    lit.eval()
    images = batch.images.float() / 255
    assert lit.network.greedy(images, batch.widths, 12) == TEXTS
    _, logits, mask = lit.network.encoder(images, batch.widths)
    best = logits.argmax(-1).masked_fill(mask[:, 0, 0] < 0, 0)
    merged = [[i for i, b in zip(p, [0, *p[:-1]], strict=True) if i != b and i != 0] for p in best.tolist()]
    assert merged == TEXTS


def test_cached_steps_give_the_scores_of_the_whole_text_at_once() -> None:
    torch.manual_seed(1)
    network = Recognizer(SMALL).eval()
    images, widths = torch.rand(2, 1, 48, 128), torch.tensor([128, 100])
    tokens = torch.randint(FIRST_CHARACTER, 12, (2, 7))
    features, _, mask = network.encoder(images, widths)
    line = network.decoder.line_keys_values(features)
    whole, _ = network.decoder(tokens, line, mask)
    past, steps = None, []
    for n in range(tokens.shape[1]):
        logits, past = network.decoder(tokens[:, n : n + 1], line, mask, past)
        steps.append(logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_what_a_line_is_padded_with_does_not_change_its_reading() -> None:
    torch.manual_seed(2)
    network = Recognizer(SMALL).eval()
    line = torch.rand(1, 1, 48, 96)
    alone = network.encoder(line, torch.tensor([96]))[1]
    padded = torch.nn.functional.pad(line, (0, 160))
    beside = network.encoder(padded, torch.tensor([96]))[1][:, :24]
    # The last feature sees a pixel or two of the padding through the convolutions, no more.
    torch.testing.assert_close(beside[:, :20].argmax(-1), alone[:, :20].argmax(-1))
    torch.testing.assert_close(beside[:, :12], alone[:, :12], rtol=0.15, atol=0.15)


def test_run_begins_with_the_weights_of_a_bundle_and_refuses_foreign_ones(tmp_path: Path) -> None:
    torch.manual_seed(3)
    saved, other = Recognizer(SMALL), Recognizer(SMALL)
    save_file({k: v.contiguous() for k, v in saved.state_dict().items()}, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(saved.parameters(), other.parameters(), strict=True))
    larger = Recognizer(replace(SMALL, d_ff=128))
    with pytest.raises(DataInvalid, match="same sizes"):
        load_weights(larger, tmp_path / "w.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"x")
    with pytest.raises(DataInvalid, match=r"broken\.safetensors"):
        load_weights(other, tmp_path / "broken.safetensors")


@pytest.mark.parametrize(("step", "factor"), [(0, 1 / 400), (399, 1.0), (5000, 1.0), (20_000, 0.02)])
def test_rate_warms_up_stays_and_falls_at_the_end(step: int, factor: float) -> None:
    assert LitRecognizer(SMALL).rate(step) == pytest.approx(factor)


def test_deeper_network_reads_as_the_weights_it_grew_from_and_learns_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    shallow, batch = Recognizer(SMALL).eval(), bars(TEXTS)
    deep = grown_from(shallow, tmp_path, blocks=(1, 1, 2), encoder_layers=2, decoder_layers=3)
    for ours, theirs in zip(read(deep, batch), read(shallow, batch), strict=True):
        assert torch.equal(ours, theirs)
    learn(deep, batch)
    out = deep.decoder.layers[2].feed[2].weight  # type: ignore[union-attr, index]
    scale = deep.encoder.stages[3].norm2.weight  # type: ignore[union-attr]
    for weight in (out, scale):
        assert weight.grad is not None and weight.grad.abs().sum() > 0


def test_wider_network_reads_as_the_weights_it_grew_from_and_learns_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    narrow, batch = Recognizer(SMALL).eval(), bars(TEXTS)
    *others, last = SMALL.channels
    wide = grown_from(narrow, tmp_path, channels=(*others, 2 * last), blocks=(1, 1, 2))
    for ours, theirs in zip(read(wide, batch), read(narrow, batch), strict=True):
        torch.testing.assert_close(ours, theirs)
    learn(wide, batch)
    collapse = wide.encoder.collapse.weight
    assert collapse.grad is not None and (collapse.grad[:, last:].abs().amax((0, 2, 3)) > 0).sum() > last / 2


def test_weights_of_other_sizes_are_not_a_deeper_network(tmp_path: Path) -> None:
    save_file(Recognizer(SMALL).state_dict(), tmp_path / "w.safetensors")
    for sizes in ({"conv_layers": 2}, {"encoder_layers": 0}, {"d_ff": 48, "encoder_layers": 2}):
        with pytest.raises(DataInvalid, match="weights of the same sizes"):
            load_weights(Recognizer(replace(SMALL, **sizes)), tmp_path / "w.safetensors")


def test_larger_alphabet_begins_with_the_weights_of_a_smaller_one(tmp_path: Path) -> None:
    torch.manual_seed(5)
    few, many = FIRST_CHARACTER + 113, FIRST_CHARACTER + len(ALPHABET)
    small, batch = Recognizer(replace(SMALL, vocabulary=few)).eval(), bars(TEXTS)
    large = grown_from(small, tmp_path, vocabulary=many)
    ours, theirs = read(large, batch), read(small, batch)
    for one, other in zip(ours[:2], theirs[:2], strict=True):  # what was known is scored as before
        torch.testing.assert_close(one[..., :few], other)
    old, new = small.decoder.embedding.weight, large.decoder.embedding.weight

    def nearest(character: str) -> str:
        row = new[FIRST_CHARACTER + ALPHABET.index(character)]
        return ALPHABET[int((old[FIRST_CHARACTER:] - row).norm(dim=1).argmin())]

    assert [nearest(c) for c in "ÀåÑœ«×"] == [*"AaNo“x"]
    box = new[FIRST_CHARACTER + ALPHABET.index("☐")]  # like no other: the mean of all
    torch.testing.assert_close(box, old[FIRST_CHARACTER:].mean(0))
    with pytest.raises(DataInvalid, match="same sizes"):
        load_weights(Recognizer(replace(SMALL, vocabulary=20)), tmp_path / "w.safetensors")
