"""`text-recognizer train demo`: every step of making a model, in minutes and without data or network access.

It writes a page of a few words in Pillow's font, crops its lines with the shipped line finder, trains the config
`debug` on them, tracks the run, stages a bundle, passes the gate, promotes it in its own registry, and reads the page
with it. The model only knows this page: the demo shows that all steps work, and nothing more.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import SHIPPED, Bundle
from text_recognizer.evaluation.sets import load_set
from text_recognizer.promotion.promote import PromoteOptions, promote
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.reader import Reader
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.training import stage
from text_recognizer.training.data import Batch, Codec, RenderedLines, collate
from text_recognizer.training.own_lines import OwnLine, cut_lines
from text_recognizer.training.train import run

log = logging.getLogger(__name__)

MODEL = "demo"
PITCH = 100  # pixels between two lines of the page
WORDS = 8


def lines_of(manifest: Path, height: int = 48) -> list[OwnLine]:
    """The lines of a set, cropped as `evaluate` crops them."""
    codec = Codec()
    return cut_lines(load_set(manifest), height, codec.alphabet, 64).lines


class PageLines(RenderedLines):
    """The lines of a set as one batch, repeated.

    Args:
        manifest: JSONL of the set.
    """

    def __init__(
        self, manifest: Path, batch_size: int = WORDS, workers: int = 0, seed: int = 1, overfit_batches: int = 1
    ) -> None:
        super().__init__(batch_size=batch_size, workers=workers, seed=seed, overfit_batches=overfit_batches)
        self.manifest = manifest

    def _few(self) -> list[Batch]:
        codec = Codec()
        lines = lines_of(self.manifest, self.height)
        return [collate([(normalise_line(line.image, self.height), codec.encode(line.text)) for line in lines])]


def write_page(folder: Path, seed: int) -> Path:
    """Write `page.png`, with a word or short phrase per line, and the set of its lines as the finder finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    renderer = RenderedLines(seed=seed).train_pools().renderer
    rng = np.random.default_rng(seed)
    words: list[tuple[NDArray[np.uint8], str]] = []
    while len(words) < WORDS:
        image, text = renderer.sample(rng, short=1.0)
        if len(text) > 1:
            words.append((255 - normalise_line(image, renderer.height, width_scale=1.0), text))
    page = np.full((PITCH * (WORDS + 1), 200 + max(image.shape[1] for image, _ in words)), 255, np.uint8)
    for number, (image, _) in enumerate(words):
        top = PITCH // 2 + PITCH * number
        page[top : top + image.shape[0], 100 : 100 + image.shape[1]] = image
    cv2.imwrite(str(folder / "page.png"), page)
    entries = []
    for line in Reader(SHIPPED).read(folder / "page.png", "fast").lines:
        middle = float(np.mean([y for _, y in line.polygon]))
        text = words[min(WORDS - 1, max(0, int((middle - PITCH / 4) // PITCH)))][1]
        where = {"polygon": [list(p) for p in line.polygon], "baseline": [list(p) for p in line.baseline]}
        entries.append(json.dumps({"image": "page.png", "text": text, **where}, ensure_ascii=False))
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(entries) + "\n", encoding="utf-8")
    return manifest


def stage_page(run_folder: Path, manifest: Path, folder: Path) -> list[OwnLine]:
    """Write the bundle of a run on `manifest` to `folder`. Returns the lines that ONNX Runtime reads as torch does."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = lines_of(manifest)
    network, trained = stage.load_network(run_folder / "last.ckpt")
    base = Bundle.open(SHIPPED, whole=True)
    data, alphabet = ("a page set in Aileron",), Codec().alphabet
    trained = replace(trained, finder_sha256=base.description.run.finder_sha256)
    about = replace(base.description, name=MODEL, version="1", run=trained, data=data, licences=(), alphabet=alphabet)
    stage.stage_tuned(network, base, folder, about, [line.image for line in lines])
    return lines


def demo(out: Path, arguments: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Run every step in `out`, always from the start. Returns (text, reading) for each line of the page.

    `arguments` of `train fit` override the config `debug`. Raises GateRefused if the gate refuses the model.
    """
    run_folder, bundle_folder, registry = out / "run", out / "bundle", out / "models"
    for folder in (run_folder, bundle_folder, registry):
        shutil.rmtree(folder, ignore_errors=True)
    manifest = write_page(out / "data", seed=1)

    log.info("1. train and track: %s", run_folder)
    data = ["--data", f"{__name__}.{PageLines.__name__}", "--data.init_args.manifest", str(manifest)]
    run(["fit", "--config", "debug", "--trainer.default_root_dir", str(run_folder), *data, *arguments])

    log.info("2. stage: %s", bundle_folder)
    lines = stage_page(run_folder, manifest, bundle_folder)

    log.info("3. gate and promote: %s", registry)
    registrar = Registrar(registry)
    promote(registrar, registrar.add(bundle_folder), PromoteOptions(sets=[manifest], slower=4))

    model = registrar.find("production")
    log.info("4. read: %s with %s", out / "data" / "page.png", model)
    read = Reader(model.path).read(out / "data" / "page.png")
    return list(zip_longest([line.text for line in lines], [line.text for line in read.lines], fillvalue=""))


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train demo`."""
    parser = argparse.ArgumentParser(prog="text-recognizer train demo", description=__doc__, allow_abbrev=False)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="default: %(default)s")
    args, arguments = parser.parse_known_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for written, read in demo(args.out, arguments):
        print(f"{written!r:24} read as {read!r}")
    return 0
