"""`text-recognizer train demo`: the whole way of a model in minutes, without any data or network.

It renders eight words in the font that comes with Pillow, trains the config `debug` on them, tracks the run, stages a
bundle with the line finder that ships, gates it, promotes it in a registry of its own, and reads a page with it.
The model knows these words and nothing else: the demo shows that the way is open, not what a model can do.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import SHIPPED, Bundle
from text_recognizer.models import Registry
from text_recognizer.reader import Reader
from text_recognizer.recognition.normalise import WIDTH_SCALE
from text_recognizer.training import models_cli, stage
from text_recognizer.training.data import Batch, Codec
from text_recognizer.training.train import run

log = logging.getLogger(__name__)

MODEL = "demo"


def word_images(batch: Batch) -> list[tuple[NDArray[np.uint8], str]]:
    """Grey images (48, W) of a batch as they were before they were normalised, dark on light, and their texts."""
    codec = Codec()
    found = []
    for image, width, tokens in zip(batch.images.numpy(), batch.widths.tolist(), batch.tokens.tolist(), strict=True):
        gray = 255 - image[0, :, :width]
        wide = cv2.resize(gray, (round(width / WIDTH_SCALE), gray.shape[0]), interpolation=cv2.INTER_CUBIC)
        found.append((np.asarray(wide, np.uint8), codec.decode(tokens)))
    return [(image, text) for image, text in found if text]


def write_set(words: list[tuple[NDArray[np.uint8], str]], folder: Path) -> Path:
    """A set of line images that `evaluate` and the gate can read; returns its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number, (image, text) in enumerate(words):
        name = f"{number:02}.png"
        cv2.imwrite(str(folder / name), image)
        entries.append(json.dumps({"image": name, "text": text}, ensure_ascii=False))
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(entries) + "\n", encoding="utf-8")
    return manifest


def write_page(words: list[tuple[NDArray[np.uint8], str]], file: Path) -> None:
    """A white page with one word a line."""
    pitch = 100
    page = np.full((pitch * (len(words) + 1), 200 + max(image.shape[1] for image, _ in words)), 250, np.uint8)
    for number, (image, _) in enumerate(words):
        top = pitch // 2 + pitch * number
        page[top : top + image.shape[0], 100 : 100 + image.shape[1]] = np.minimum(image, 250)
    cv2.imwrite(str(file), page)


def demo(out: Path, arguments: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Go the whole way below `out`, anew each time; what stands on the page and what was read there, line by line.

    `arguments` go to `train fit` on top of the config `debug`. Raises GateRefused where the gate refuses the model.
    """
    run_folder, bundle_folder, registry = out / "run", out / "bundle", out / "models"
    for folder in (run_folder, bundle_folder, registry):
        shutil.rmtree(folder, ignore_errors=True)
    bundle_folder.mkdir(parents=True)

    log.info("1. train and track: %s", run_folder)
    cli = run(["fit", "--config", "debug", "--trainer.default_root_dir", str(run_folder), *arguments])
    words = word_images(next(iter(cli.datamodule.train_dataloader())))
    manifest = write_set(words, out / "words")

    log.info("2. stage: %s", bundle_folder)
    network, facts = stage.load_network(run_folder / "last.ckpt")
    about = {"name": MODEL, "version": "1", "run": facts, "data": ["eight words set in Aileron"]}
    stage.stage_tuned(network, Bundle.open(SHIPPED), bundle_folder, about, [image for image, _ in words])

    log.info("3. gate and promote: %s", registry)
    models_cli.main(["--folder", str(registry), "add", str(bundle_folder)])
    models_cli.main(["--folder", str(registry), "promote", MODEL, "--sets", str(manifest), "--slower", "4"])

    page = out / "page.png"
    write_page(words, page)
    model = Registry(registry).find("production")
    log.info("4. read: %s with %s", page, model)
    read = Reader(model.path).read(page)
    return list(zip_longest([text for _, text in words], [line.text for line in read.lines], fillvalue=""))


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train demo`."""
    parser = argparse.ArgumentParser(prog="text-recognizer train demo", description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="default: %(default)s")
    args, arguments = parser.parse_known_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for written, read in demo(args.out, arguments):
        print(f"{written!r:24} read as {read!r}")
    return 0
