"""Training the line finder: pages rendered once are used again, and the run goes on where it stopped."""

import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from text_recognizer.registry import resolve
from text_recognizer.training import train
from text_recognizer.training.finder_lit import FinderPages, LitLineFinder, PageCache, ViewStream
from text_recognizer.training.models.line_finder import LineFinderConfig, load_line_finder

TINY = """
trainer: {val_check_interval: 2, log_every_n_steps: 2, enable_progress_bar: false, accelerator: cpu}
model: {init_args: {config: {channels: [16, 16, 16, 16, 16], pyramid: 16}}}
data: {init_args: {pages: 3, crop: 64, batch_size: 2}}
trackers: []
"""


def write_pages(folder: Path, pages: int, seed: int, split: str, font_share: float) -> None:
    """Pages with two black lines each, as `PageCache.render` would leave them."""
    folder.mkdir(parents=True)
    page = np.full((100, 90), 240, np.uint8)
    page[30:40, 10:80] = page[60:70, 10:80] = 20
    lines = [[[10.0, 40.0, 80.0, 40.0], 10.0], [[10.0, 70.0, 80.0, 70.0], 10.0]]
    (folder / "pages.u8").write_bytes(page.tobytes() * pages)
    entries = [{"height": 100, "width": 90, "start": i * page.size, "lines": lines} for i in range(pages)]
    settings = {
        "pages": pages, "seed": seed, "split": split, "font_share": font_share, "blank_share": 0.05,
        "scene_share": 0.15, "pictures": "None",
    }  # fmt: skip
    (folder / "pages.json").write_text(json.dumps({"settings": settings, "pages": entries}))


def test_batches_come_in_the_same_order_from_one_worker_or_two(tmp_path: Path) -> None:
    write_pages(tmp_path / "train", 3, 1, "train", 0.0)
    stream = ViewStream(PageCache(tmp_path / "train"), crop=64, batch_size=2, seed=1, start=3)
    alone = [stream.batch(number).pages for number in range(3, 7)]
    loader = iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=2))
    assert all(torch.equal(next(loader).pages, pages) for pages in alone)


def test_finder_trains_resumes_and_can_be_staged(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    write_pages(tmp_path / "pages" / "train", 3, 1, "train", 0.3)
    write_pages(tmp_path / "pages" / "heldout", 8, 2, "heldout", 0.0)
    (tmp_path / "tiny.yaml").write_text(TINY)
    arguments = ["fit", "--config", "lines-finder", "--config", str(tmp_path / "tiny.yaml"),
                 "--data.init_args.folder", str(tmp_path / "pages"), "--data.init_args.fonts", "null",
                 "--trainer.default_root_dir", str(tmp_path / "run")]  # fmt: skip
    train.run([*arguments, "--trainer.max_steps", "2"])
    cli = train.run([*arguments, "--trainer.max_steps", "4"])
    assert isinstance(cli.datamodule, FinderPages)
    assert cli.trainer.global_step == 4
    assert "val/loss" in cli.trainer.callback_metrics
    assert load_line_finder(tmp_path / "run" / "best.ckpt").config.pyramid == 16


def test_a_finder_begins_with_the_weights_of_a_bundle(tmp_path: Path) -> None:
    shipped = resolve(None) / "line_finder.safetensors"
    begun = LitLineFinder(LineFinderConfig(), weights=shipped).network.state_dict()
    for name, value in safetensors.torch.load_file(shipped).items():
        assert torch.equal(begun[name], value), name


def test_scenes_are_pages_without_lines(tmp_path: Path, unipen: Path) -> None:
    cache = PageCache.render(tmp_path, unipen, None, None, 4, 1, 0.0, scene_share=1.0, split="heldout")
    assert [cache.page(i)[1] for i in range(4)] == [[]] * 4
    assert all(np.ptp(cache.page(i)[0]) > 20 for i in range(4))
