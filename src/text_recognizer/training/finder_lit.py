"""Training of the line finder, and its rendered training pages. `text-recognizer train` runs it.

Pages are rendered once, at low resolution, into one flat file of bytes with the truth next to it. Training takes crops
of random scale, rotation, light and noise from it, so training never waits for the renderer.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from text_recognizer.images import load_image
from text_recognizer.layout.prepare import flatten_paper
from text_recognizer.synthesis.rendering.camera import as_jpeg, photograph
from text_recognizer.synthesis.rendering.clutter import Pictures, grid, scene
from text_recognizer.synthesis.rendering.ink import Hand
from text_recognizer.synthesis.rendering.page import RenderedPage, render_page
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.sources.fonts import HandFont, load_fonts
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import load_writers
from text_recognizer.training.models.line_finder import (
    STRIDE,
    X_HEIGHT_UNIT,
    LineFinderConfig,
    LineFinderNet,
    load_line_finder,
)

log = logging.getLogger(__name__)

Gray = NDArray[np.uint8]


# ------------------------------------------------------------------------------------------------------- pages


@dataclass(frozen=True)
class LineTruth:
    """The geometry of a line for training, in pixels of the cached page."""

    baseline: NDArray[np.float32]  # (n, 2)
    x_height: float


class PageCache:
    """Rendered gray pages in one flat file, `pages.u8`, with their truth in `pages.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = json.loads((folder / "pages.json").read_text())
        self.pages: list[dict[str, Any]] = index["pages"]
        self.bytes = np.memmap(folder / "pages.u8", np.uint8, "r")

    def __len__(self) -> int:
        return len(self.pages)

    def page(self, index: int) -> tuple[Gray, list[LineTruth]]:
        """The gray page (H, W) and its lines."""
        entry = self.pages[index]
        height, width, start = entry["height"], entry["width"], entry["start"]
        gray = np.asarray(self.bytes[start : start + height * width]).reshape(height, width)
        lines = [LineTruth(np.asarray(b, np.float32).reshape(-1, 2), x) for b, x in entry["lines"]]
        return gray, lines

    @staticmethod
    def render(
        folder: Path,
        unipen: Path,
        fonts: Path | None,
        texts: Path | None,
        pages: int,
        seed: int,
        font_share: float,
        blank_share: float = 0.05,
        scene_share: float = 0.0,
        pictures: Path | None = None,
        split: Literal["train", "heldout"] = "train",
    ) -> PageCache:
        """Render `pages` pages into `folder`; existing pages are reused.

        `blank_share` of them have paper and marks but no text. `scene_share` of them are not pages but textures and
        parts of the photographs in the folder `pictures`.
        """
        settings = {
            "pages": pages, "seed": seed, "split": split, "font_share": font_share, "blank_share": blank_share,
            "scene_share": scene_share, "pictures": str(pictures),
        }  # fmt: skip
        index = folder / "pages.json"
        if index.is_file() and json.loads(index.read_text())["settings"] == settings:
            return PageCache(folder)
        folder.mkdir(parents=True, exist_ok=True)
        hands = page_hands(unipen, split)
        all_fonts: list[HandFont] = load_fonts(fonts) if fonts is not None else []
        faces = [font for font in all_fonts if font.kind == "printed"]
        hand_fonts = [font for font in all_fonts if font.kind != "printed"]
        text = TextSource(texts)
        clutter = Pictures.of(pictures)
        entries: list[dict[str, Any]] = []
        start = 0
        with (folder / "pages.u8").open("wb") as out:
            for number in range(pages):
                rng = np.random.default_rng([seed, number])
                source: list[Any] = hands
                if all_fonts and rng.random() < font_share:
                    source = hand_fonts if rng.random() < 0.75 else faces
                hand = source[int(rng.integers(len(source)))]
                back = hands[int(rng.integers(len(hands)))] if rng.random() < 0.18 else None
                if rng.random() < scene_share:
                    page = _scene(rng, clutter)
                else:
                    style = PageStyle.sample(rng, float(rng.uniform(11, 18)))
                    page = render_page(
                        hand, rng, style, text, blank=rng.random() < blank_share, other_side=back, faces=faces,
                        clutter=clutter,
                    )  # fmt: skip
                gray = load_image(page.rgb).gray
                out.write(gray.tobytes())
                lines = [(np.round(line.baseline, 1).ravel().tolist(), round(line.x_height, 2)) for line in page.lines]
                entries.append({"height": gray.shape[0], "width": gray.shape[1], "start": start, "lines": lines})
                start += gray.size
                if number % 100 == 99:
                    log.info("%d of %d pages rendered", number + 1, pages)
        index.write_text(json.dumps({"settings": settings, "pages": entries}))
        return PageCache(folder)


def _scene(rng: np.random.Generator, pictures: Pictures) -> RenderedPage:
    """A picture without any writing, as from a camera or scanner."""
    height, width = (int(v) for v in rng.uniform(450, 1100, 2))
    rgb = scene(rng, height, width, pictures)
    if rng.random() < 0.15:
        grid(rgb, rng, float(rng.uniform(8, 20)))
    return RenderedPage(photograph(rgb, (), rng)[0], ())


def page_hands(unipen: Path, split: Literal["train", "heldout"]) -> list[Hand]:
    """Writers with enough words to fill a page."""
    # The phrases of donor "scr" span two lines, so their truth would be wrong.
    hands = [Hand(writer) for writer in load_writers(unipen, split) if not writer.id.startswith("scr-")]
    return [h for h in hands if len(h.word_list) >= 8 or h.can_print or len(h.phrases) >= 3]


# ----------------------------------------------------------------------------------------------------- targets

# Share of views with writing larger than one pass is meant for, and its largest x-height in pixels: a note of a few
# words fills its picture.
LARGE_SHARE, LARGEST = 0.12, 56.0
# Share of views with an enlarged picture of tiny writing, and the range of its original x-height in pixels.
TINY_SHARE, TINY = 0.08, (3.5, 6.5)


def draw_targets(
    lines: list[LineTruth], transform: NDArray[np.floating], scale: float, size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the network's target maps for a view of a page.

    Args:
        transform: (2, 3) affine from page pixels to view pixels.
        scale: its scale, in view pixels per page pixel.
        size: (height, width) of the view, multiples of 4.

    Returns:
        (4, H/4, W/4): baseline, core, ends in 0…1, ln(x-height / 10 px); and (H/4, W/4), a mask for the height.
    """
    half = 2  # drawn at half the view's size, then averaged down for soft edges
    height, width = size
    canvas = np.zeros((3, height // half, width // half), np.uint8)
    tall = np.zeros((height // STRIDE, width // STRIDE), np.float32)
    seen = np.zeros((height // STRIDE, width // STRIDE), np.uint8)
    for line in lines:
        x_height = line.x_height * scale
        base = line.baseline @ transform[:, :2].T + transform[:, 2]  # (n, 2) view pixels
        if base[:, 1].max() < -2 * x_height or base[:, 1].min() > height + 2 * x_height:
            continue
        along = base[-1] - base[0]
        along = along / max(1e-6, float(np.linalg.norm(along)))
        up = np.array([along[1], -along[0]])  # y grows downwards
        top = base + up * x_height

        def fixed(points: NDArray[np.floating], step: int) -> NDArray[np.int32]:
            return np.asarray(np.round(((points + 0.5) / step - 0.5) * 16), np.int32)

        core = np.concatenate([base, top[::-1]])
        cv2.fillPoly(canvas[1], [fixed(core, half)], 255, cv2.LINE_AA, 4)
        thick = max(2, round(0.3 * x_height / half))
        cv2.polylines(canvas[0], [fixed(base, half)], False, 255, thick, cv2.LINE_AA, 4)
        for at, side in ((base[0], -0.15), (base[-1], 0.15)):
            foot = at + along * side * x_height
            mark = np.stack([foot - up * 0.25 * x_height, foot + up * 1.25 * x_height])
            cv2.polylines(canvas[2], [fixed(mark, half)], False, 255, thick, cv2.LINE_AA, 4)
        cv2.fillPoly(tall, [fixed(core, STRIDE)], math.log(x_height / X_HEIGHT_UNIT), cv2.LINE_8, 4)
        cv2.fillPoly(seen, [fixed(core, STRIDE)], 1, cv2.LINE_8, 4)
    soft = [cv2.resize(c, (width // STRIDE, height // STRIDE), interpolation=cv2.INTER_AREA) for c in canvas]
    maps = np.stack([*(s.astype(np.float32) / 255 for s in soft), tall])
    return maps, seen.astype(np.float32)


def cut_view(
    gray: Gray, lines: list[LineTruth], rng: np.random.Generator, size: int
) -> tuple[Gray, NDArray[np.float32], NDArray[np.float32]]:
    """Take a crop of a page at a random scale and rotation, degraded like scans and photos, with its targets.

    Returns the view (size, size) uint8, which is the network's input, and the result of `draw_targets`.
    """
    # Within the range of scales that a single pass of the finder covers.
    usual = float(np.median([line.x_height for line in lines])) if lines else 14.0
    wanted = float(np.clip(rng.lognormal(np.log(10.5), 0.45), 4.5, 30))
    if rng.random() < LARGE_SHARE:
        wanted = float(rng.uniform(20, LARGEST))
    scale = float(np.clip(wanted / usual, 0.25, 4.0))
    height, width = max(8, round(gray.shape[0] * scale)), max(8, round(gray.shape[1] * scale))
    if rng.random() < TINY_SHARE:
        tiny = min(1.0, float(rng.uniform(*TINY)) / usual)
        size_then = max(8, round(gray.shape[1] * tiny)), max(8, round(gray.shape[0] * tiny))
        gray = np.asarray(cv2.resize(gray, size_then, interpolation=cv2.INTER_AREA), np.uint8)
    shrinks = width < gray.shape[1]
    image = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    angle = math.radians(float(rng.normal(0, 0.8) if rng.random() < 0.85 else rng.normal(0, 4.0)))
    cos, sin = math.cos(angle), math.sin(angle)
    # The view's centre is anywhere on the page; a page smaller than the view is anywhere inside it.
    middle = [float(rng.uniform(*_span(side, size))) for side in (width, height)]
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([size / 2, size / 2]) - turn @ np.array(middle)
    matrix = np.concatenate([turn, shift[:, None]], axis=1)
    outside = float(np.median(image)) if rng.random() < 0.7 else float(rng.uniform(0, 255))
    view = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=outside)
    view = _degrade(np.asarray(view, np.uint8), rng)
    whole = matrix @ np.array([[scale, 0, 0.5 * scale - 0.5], [0, scale, 0.5 * scale - 0.5], [0, 0, 1]])
    maps, seen = draw_targets(lines, whole, scale, (size, size))
    return flatten_paper(view), maps, seen


def _span(side: int, size: int) -> tuple[float, float]:
    if side > size:
        return 0.4 * size, side - 0.4 * size
    return side / 2 - (size - side) / 2, side / 2 + (size - side) / 2 + 1e-3


def _degrade(view: Gray, rng: np.random.Generator) -> Gray:
    """Contrast, uneven light, blur, noise, thresholds and JPEG."""
    image: NDArray[np.float32] = view.astype(np.float32)
    size = view.shape[0]
    paper, dark = (float(v) for v in np.percentile(image[::3, ::3], [80, 1]))
    contrast = max(20.0, paper - dark)
    if rng.random() < 0.5:
        # Not fainter than an eye can still read.
        factor = float(rng.uniform(min(1.0, max(0.25, 28 / contrast)), 1.2))
        image = paper - (paper - image) * factor
        contrast *= factor
    if rng.random() < 0.4:
        light = rng.normal(1, rng.uniform(0.02, 0.2), (4, 4)).astype(np.float32)
        image *= cv2.resize(light, (size, size), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.3:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.6))), np.float32)
    if rng.random() < 0.4:
        noise = rng.standard_normal((size, size), np.float32) * min(float(rng.uniform(2, 14)), 0.3 * contrast)
        image += cv2.GaussianBlur(noise, (0, 0), 0.7) * 2 if rng.random() < 0.3 else noise
    out = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < 0.1:
        local = cv2.blur(out, (61, 61)).astype(np.float32) - float(rng.uniform(0.25, 0.5)) * contrast
        out = np.where(out > local, 255, 0).astype(np.uint8)
    elif rng.random() < 0.2:
        out = as_jpeg(out, int(rng.integers(15, 75)))
    return out


@dataclass  # not frozen: Lightning moves its fields to the device in place
class Views:
    """A batch of views."""

    pages: Tensor  # (B, 1, S, S) uint8, 255 = paper
    maps: Tensor  # (B, 4, S/4, S/4)
    seen: Tensor  # (B, S/4, S/4)


class ViewStream(IterableDataset[Views]):
    """Batches from number `start` on. The same seed gives the same batches, so a run resumes exactly."""

    def __init__(self, cache: PageCache, crop: int, batch_size: int, seed: int, start: int = 0, step: int = 1) -> None:
        self.cache, self.crop, self.batch_size, self.seed = cache, crop, batch_size, seed
        self.start, self.step = start, step

    def batch(self, number: int) -> Views:
        views = []
        for row in range(self.batch_size):
            rng = np.random.default_rng([self.seed, 7, number, row])
            gray, lines = self.cache.page(int(rng.integers(len(self.cache))))
            views.append(cut_view(gray, lines, rng, self.crop))
        pages, maps, seen = (np.stack(part) for part in zip(*views, strict=True))
        return Views(torch.from_numpy(pages)[:, None], torch.from_numpy(maps), torch.from_numpy(seen))

    def __iter__(self) -> Iterator[Views]:
        cv2.setNumThreads(0)
        number = self.start
        # Workers alternate, so that batches come in the order of a single worker.
        worker = get_worker_info()
        if worker is not None:
            number += worker.id * self.step
        while True:
            yield self.batch(number)
            number += self.step * (worker.num_workers if worker is not None else 1)


class FinderPages(L.LightningDataModule):
    """Views of rendered pages of training writers; fixed views of held-out writers for validation.

    Args:
        unipen: the cache made by `text-recognizer train data prepare`.
        fonts: folder of fonts made by `text-recognizer train data fonts`, None for pen strokes only.
        texts: folder of texts, None for the built-in wording.
        folder: where the pages are stored, which are rendered once.
        scene_share: share of pictures that are not pages, in which there is nothing to find.
        pictures: folder of photographs (JPEG) and drawings (PNG) without writing, None for textures only.
        crop: pixels of a view's side.
        batch_size: views per step and process.
    """

    def __init__(
        self,
        unipen: Path,
        fonts: Path | None = None,
        texts: Path | None = None,
        folder: Path = Path("data/pages"),
        pages: int = 2000,
        blank_share: float = 0.05,
        scene_share: float = 0.15,
        pictures: Path | None = None,
        font_share: float = 0.3,
        crop: int = 512,
        batch_size: int = 8,
        workers: int = 0,
        seed: int = 1,
    ) -> None:
        super().__init__()
        self.unipen, self.fonts, self.texts, self.folder = unipen, fonts, texts, folder
        self.pages, self.blank_share, self.font_share = pages, blank_share, font_share
        self.scene_share, self.pictures = scene_share, Path(pictures) if pictures else None
        self.crop, self.batch_size, self.workers, self.seed = crop, batch_size, workers, seed

    def prepare_data(self) -> None:
        self._train()
        self._heldout()

    def _train(self) -> PageCache:
        return PageCache.render(
            self.folder / "train", self.unipen, self.fonts, self.texts, self.pages, self.seed, self.font_share,
            self.blank_share, self.scene_share, self.pictures,
        )  # fmt: skip

    def _heldout(self) -> PageCache:
        return PageCache.render(
            self.folder / "heldout", self.unipen, None, self.texts, max(8, self.pages // 25), self.seed + 1, 0.0,
            scene_share=self.scene_share, split="heldout",
        )  # fmt: skip

    def train_dataloader(self) -> Any:
        start, rank, world = (
            (self.trainer.global_step, self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 0, 1)
        )
        stream = ViewStream(self._train(), self.crop, self.batch_size, self.seed, start * world + rank, world)
        return DataLoader(stream, batch_size=None, num_workers=self.workers)

    def val_dataloader(self) -> Any:
        stream = ViewStream(self._heldout(), self.crop, self.batch_size, self.seed)
        views: Any = [stream.batch(10_000_000 + i) for i in range(5)]
        return DataLoader(views, batch_size=None)

    def test_dataloader(self) -> Any:
        stream = ViewStream(self._heldout(), self.crop, self.batch_size, self.seed)
        views: Any = [stream.batch(20_000_000 + i) for i in range(20)]
        return DataLoader(views, batch_size=None)


# ---------------------------------------------------------------------------------------------------- training


def dice_loss(probability: Tensor, target: Tensor) -> Tensor:
    """1 − Dice overlap of soft masks (B, H, W), over the whole batch, because lines are a small part of a page."""
    overlap = (probability * target).sum()
    return 1 - (2 * overlap + 1) / (probability.square().sum() + target.square().sum() + 1)


class LitLineFinder(L.LightningModule):
    """Binary cross-entropy and Dice on the three masks, L1 on ln x-height inside the cores.

    Args:
        config: sizes of the network.
        learning_rate: peak rate of AdamW, after a linear warm-up and before a cosine decay that ends at `total_steps`.
        weights: checkpoint of an earlier run, or line_finder.safetensors of a bundle, to start from; steps start at 0.
    """

    def __init__(
        self,
        config: LineFinderConfig,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.02,
        warmup_steps: int = 60,
        total_steps: int = 1400,
        weights: Path | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(
            {"network": asdict(config), "learning_rate": learning_rate, "total_steps": total_steps}, logger=False
        )
        self.network = LineFinderNet(config)
        if weights is not None:
            self.network.load_state_dict(load_line_finder(weights).state_dict())
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.warmup_steps, self.total_steps = warmup_steps, total_steps

    def losses(self, batch: Views) -> dict[str, Tensor]:
        ink = ((255.0 - batch.pages.float()) / 255.0).contiguous(memory_format=torch.channels_last)
        out = self.network(ink).float()  # (B, 4, S/4, S/4)
        masks, heights = out[:, :3], out[:, 3]
        truth = batch.maps[:, :3]
        # Targets are thin, so a missed baseline pixel weighs as much as four pixels of paper.
        weight = 1 + 3 * truth
        cross = F.binary_cross_entropy_with_logits(masks, truth, weight, reduction="none").mean((0, 2, 3))  # (3,)
        losses = {}
        for i, name in enumerate(("baseline", "core", "ends")):
            losses[f"bce_{name}"] = cross[i]
            losses[f"dice_{name}"] = dice_loss(masks[:, i].sigmoid(), truth[:, i])
        losses["x_height"] = ((heights - batch.maps[:, 3]).abs() * batch.seen).sum() / batch.seen.sum().clamp(min=1)
        return losses

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        weights = {"bce_baseline": 3.0, "bce_core": 1.5, "bce_ends": 3.0, "dice_ends": 0.3, "x_height": 0.7}
        return torch.stack([weights.get(name, 0.5) * value for name, value in losses.items()]).sum()

    def training_step(self, batch: Views, _: int) -> Tensor:
        losses = self.losses(batch)
        loss = self.total(losses)
        self.log("loss", loss, prog_bar=True, batch_size=len(batch.pages))
        self.log("dice", losses["dice_baseline"], prog_bar=True, batch_size=len(batch.pages))
        return loss

    def validation_step(self, batch: Views, _: int) -> None:
        self._log_losses("val", batch)

    def test_step(self, batch: Views, _: int) -> None:
        self._log_losses("test", batch)

    def _log_losses(self, stage: str, batch: Views) -> None:
        losses = self.losses(batch)
        size = len(batch.pages)
        self.log(f"{stage}/loss", self.total(losses), prog_bar=True, batch_size=size)
        for name in ("dice_baseline", "dice_core", "dice_ends", "x_height"):
            self.log(f"{stage}/{name}", losses[name], prog_bar=name == "dice_baseline", batch_size=size)

    def rate(self, step: int) -> float:
        """Learning rate factor: warm-up, then cosine decay to almost zero."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        x = min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * x))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in self.parameters() if p.ndim >= 2], "weight_decay": self.weight_decay},
                {"params": [p for p in self.parameters() if p.ndim < 2], "weight_decay": 0.0},
            ],
            lr=self.learning_rate,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self.rate), "interval": "step"},
        }
