"""Whole paragraphs: drawn, encoded with their line breaks, and learned by heart."""

from pathlib import Path

import numpy as np
import torch

from text_recognizer.training import train
from text_recognizer.training.data import ParagraphCodec
from text_recognizer.training.lit import LitRecognizer
from text_recognizer.training.models.recognizer import Recognizer, RecognizerConfig
from text_recognizer.training.paragraphs import RenderedParagraphs, paragraph

SMALL = RecognizerConfig(
    vocabulary=186, paragraph=True, channels=(16, 16, 32, 32), blocks=(1, 1, 1), d_model=64, encoder_layers=0,
    decoder_layers=2, heads=4, d_ff=128, max_tokens=96, dropout=0.0,
)  # fmt: skip


def small_paragraphs(**more: int) -> RenderedParagraphs:
    return RenderedParagraphs(batch_size=4, workers=0, max_chars=6, max_lines=3, overfit_batches=1, **more)


def test_codec_keeps_line_breaks_apart() -> None:
    codec = ParagraphCodec()
    assert len(codec) == SMALL.vocabulary
    text = "Dear Anna,\nall is well.\nYours"
    assert codec.decode(codec.encode(text)) == text


def test_paragraph_has_as_many_lines_as_asked_for() -> None:
    renderer = small_paragraphs().train_pools().renderer
    image, text = paragraph(renderer, np.random.default_rng(5), 3)
    assert text.count("\n") == 2
    assert image.shape[0] > 2 * 0.75 * 48
    assert image.max() > 200


def test_batches_are_the_same_for_the_same_seed() -> None:
    one, two = (next(iter(small_paragraphs(seed=7).train_dataloader())) for _ in range(2))
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.tokens, two.tokens)
    assert one.images.shape[2] % 48 == 0


def test_what_a_paragraph_is_padded_with_does_not_change_its_features() -> None:
    torch.manual_seed(0)
    network = Recognizer(SMALL).eval()
    image, widths = torch.rand(1, 1, 96, 64), torch.tensor([64])
    alone = network.encoder(image, widths)[0].view(1, 6, 16, -1)
    padded, _, mask = network.encoder(torch.nn.functional.pad(image, (0, 64)), widths)
    torch.testing.assert_close(padded.view(1, 6, 32, -1)[:, :, :10], alone[:, :, :10], rtol=1e-3, atol=1e-3)
    assert mask.view(6, 32)[:, :16].max() == 0
    assert mask.view(6, 32)[:, 16:].max() < -1e3


def test_network_learns_paragraphs_by_heart_and_reads_them_greedily() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    lit = LitRecognizer(SMALL, token_noise=0.0, label_smoothing=0.0)
    batch = next(iter(small_paragraphs().train_dataloader()))
    texts = [lit.codec.decode(row) for row in batch.tokens.tolist()]
    assert any("\n" in text for text in texts)
    optimizer = torch.optim.AdamW(lit.parameters(), 3e-3)
    lit.train()
    first = 0.0
    for step in range(120):
        ctc, ce = lit.losses(batch)
        first = first or float(ce.detach())
        optimizer.zero_grad()
        (ctc + ce).backward()
        optimizer.step()
        if step % 20 == 19 and ce < 0.02:
            break
    assert float(ctc.detach()) == 0
    assert float(ce.detach()) < 0.1 * first
    lit.eval()
    assert lit.read(batch) == {"decoder": texts}


def test_config_trains_and_validates_by_the_decoder_alone(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "trainer: {val_check_interval: 2, max_steps: 2, log_every_n_steps: 1, accelerator: cpu}\n"
        "model: {init_args: {config: {channels: [16, 16, 16, 16], d_model: 32, decoder_layers: 1}}}\n"
        "data: {init_args: {unipen: null, fonts: null, texts: null, batch_size: 2, workers: 0, max_chars: 6, "
        "validation_lines: 4}}\n"
        "trackers: []\n"
    )
    cli = train.run(["fit", "--config", "paragraph", "--config", str(tmp_path / "tiny.yaml"),
                     "--trainer.default_root_dir", str(tmp_path)])  # fmt: skip
    assert "val/cer_decoder" in cli.trainer.callback_metrics
    assert "val/cer_ctc" not in cli.trainer.callback_metrics
    assert (tmp_path / "best-2.ckpt").is_file()
