"""Whole paragraphs: drawn, told apart into lines by the network itself, and learned."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.nn import functional as F

from text_recognizer.bundle import Bundle
from text_recognizer.training import stage, train
from text_recognizer.training.data import Batch
from text_recognizer.training.growth import load_weights
from text_recognizer.training.models.paragraph import ParagraphEncoder, ParagraphRecognizer, line_counts
from text_recognizer.training.models.recognizer import RecognizerConfig
from text_recognizer.training.paragraphs import LitParagraphs, ParagraphBatch, RenderedParagraphs, paragraph

SMALL = RecognizerConfig(
    channels=(16, 16, 32, 32), blocks=(1, 1, 1), d_model=64, conv_layers=1, encoder_layers=0, decoder_layers=1,
    heads=4, d_ff=128, max_tokens=96, dropout=0.0,
)  # fmt: skip


def small_paragraphs(**more: int) -> RenderedParagraphs:
    return RenderedParagraphs(batch_size=4, workers=0, max_chars=6, max_lines=3, overfit_batches=1, **more)


def first_batch(**more: int) -> ParagraphBatch:
    batch = next(iter(small_paragraphs(**more).train_dataloader()))
    assert isinstance(batch, ParagraphBatch)
    return batch


def test_paragraph_has_as_many_lines_as_asked_for() -> None:
    renderer = small_paragraphs().train_pools().renderer
    image, text = paragraph(renderer, np.random.default_rng(5), 3)
    assert text.count("\n") == 2
    assert image.shape[0] > 2 * 0.75 * 48
    assert image.max() > 200


def test_batches_hold_lines_of_paragraphs_and_are_the_same_for_the_same_seed() -> None:
    one, two = first_batch(seed=7), first_batch(seed=7)
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.tokens, two.tokens)
    assert one.images.shape[2] % 48 == 0
    assert int(one.lines.sum()) == len(one.tokens) == len(one.lengths)
    texts = LitParagraphs(SMALL).truths(one)
    assert [text.count("\n") + 1 for text in texts] == one.lines.tolist()


def test_what_a_paragraph_is_padded_with_on_the_right_changes_neither_rows_nor_shares() -> None:
    torch.manual_seed(0)
    encoder = ParagraphEncoder(SMALL).eval()
    image, widths = torch.rand(1, 1, 96, 64), torch.tensor([64])
    with torch.no_grad():
        rows, shares = encoder.paragraph(image, widths)
        padded, same = encoder.paragraph(F.pad(image, (0, 64)), widths)
    torch.testing.assert_close(padded[..., :12], rows[..., :12], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(same, shares, rtol=0.02, atol=0.02)


def test_shares_that_add_up_to_lines_pick_their_rows(bundle_dir: Path) -> None:
    """With the right shares, a page of lines one below the other reads as the line recogniser reads each of them."""
    base = stage.bundle_network(Bundle.open(bundle_dir))
    network = ParagraphRecognizer(base.config).eval()
    load_weights(network, bundle_dir / stage.WEIGHTS)
    batch = first_batch(seed=3)
    lines = batch.images[:, :, :48].split(1)
    strips = [F.pad(line, (0, 0, 16, 32)) for line in lines[:2]]  # 96 pixels: each line fills rows 1 to 3
    tall = torch.cat(strips, dim=2).float() / 255
    widths = torch.tensor([tall.shape[3]])
    shares = torch.zeros(1, tall.shape[2] // 16)
    shares[0, [2, 8]] = 1.0
    assert line_counts(shares).tolist() == [2]
    with torch.no_grad():
        rows, _ = network.encoder.paragraph(tall, widths)
        features, logits, mask = network.encoder.lines(rows, shares, widths, torch.tensor([2]))
        alone = torch.cat(lines[:2]).float() / 255
        expected = base.encoder(alone, widths.expand(2))[1]
    assert features.shape[0] == mask.shape[0] == 2
    assert (logits.argmax(-1) == expected.argmax(-1)).float().mean() > 0.9


def test_counting_needs_no_marked_lines(bundle_dir: Path) -> None:
    """Some steps from the weights of the line recogniser teach the number of lines; only texts are given."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = Bundle.open(bundle_dir).description.run.config
    lit = LitParagraphs(RecognizerConfig.of_sizes(config), weights=bundle_dir / stage.WEIGHTS)
    batch = first_batch()
    assert int(batch.lines.max()) > 1
    still = lit.network.encoder.stages[0].conv1.weight.clone()
    means = {name: value.clone() for name, value in lit.state_dict().items() if "stages" in name}
    optimizer = torch.optim.AdamW([p for p in lit.parameters() if p.requires_grad], 1e-3)
    lit.train()
    missed = []
    for _ in range(80):
        ctc, ce = lit.losses(batch)
        missed.append(float(lit.miscounted.detach()))
        optimizer.zero_grad()
        (ctc + ce + lit.miscounted).backward()
        optimizer.step()
    assert missed[-1] < 0.3 * missed[0]
    assert torch.equal(still, lit.network.encoder.stages[0].conv1.weight)
    assert all(torch.equal(value, lit.state_dict()[name]) for name, value in means.items())
    read = lit.eval().read(batch)
    assert [text.count("\n") + 1 for text in read["ctc"]] == batch.lines.tolist()


def test_config_has_the_sizes_of_the_weights_it_begins_with(bundle_dir: Path) -> None:
    given = yaml.safe_load((train.CONFIGS / "paragraph.yaml").read_text())["model"]["init_args"]
    sizes = RecognizerConfig.of_sizes(given["config"])
    assert train.CONFIGS.parent / given["weights"] == bundle_dir / stage.WEIGHTS
    assert sizes == RecognizerConfig.of_sizes(Bundle.open(bundle_dir).description.run.config)
    load_weights(ParagraphRecognizer(sizes), bundle_dir / stage.WEIGHTS)


def test_config_trains_and_validates(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "trainer: {val_check_interval: 2, max_steps: 2, log_every_n_steps: 1, accelerator: cpu}\n"
        "model: {init_args: {weights: null, config: {channels: [16, 16, 16, 16], d_model: 32, decoder_layers: 1}}}\n"
        "data: {init_args: {unipen: null, fonts: null, texts: null, batch_size: 2, workers: 0, max_chars: 6, "
        "validation_lines: 4, pool: 1}}\n"
        "trackers: []\n"
    )
    cli = train.run(["fit", "--config", "paragraph", "--config", str(tmp_path / "tiny.yaml"),
                     "--trainer.default_root_dir", str(tmp_path)])  # fmt: skip
    assert {"val/cer_decoder", "val/cer_ctc", "loss/lines"} <= cli.trainer.callback_metrics.keys()
    assert (tmp_path / "best-2.ckpt").is_file()


def test_batches_of_lines_are_not_paragraphs() -> None:
    batch = Batch(*(torch.zeros(1, 1, 48, 64), torch.tensor([64]), torch.zeros(1, 3).long(), torch.tensor([1])))
    with pytest.raises(TypeError, match="ParagraphBatch"):
        LitParagraphs(SMALL).truths(batch)
