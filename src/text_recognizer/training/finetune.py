"""Fine-tune the model on lines of your own: `text-recognizer train finetune`.

Some two hundred lines of a hand, cut from their pages as `evaluate` cuts them and varied each time they are shown,
teach the model that hand in minutes. A share of the pages is held out: it says when to stop, and whether the new model
reads better than the old one. Statistics of batch normalisation stay as they are: those of a small set would be rough.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from text_recognizer.bundle import Bundle, sha256
from text_recognizer.description import BaseModel, Licence, Run
from text_recognizer.errors import DataInvalid, ImageRejected, UsageError
from text_recognizer.evaluation.metrics import Rate, errors, rate
from text_recognizer.evaluation.sets import load_set
from text_recognizer.evaluation.truth import EvaluationSet
from text_recognizer.images import load_image
from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.line_image import line_polygon
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.recognition.recognizer import Recognizer
from text_recognizer.registry import resolve
from text_recognizer.synthesis.rendering.augment import augment
from text_recognizer.synthesis.sources.text import normalise_text
from text_recognizer.training import stage
from text_recognizer.training.data import Batch, Codec, LineRenderer, collate
from text_recognizer.training.lit import LitRecognizer, precision
from text_recognizer.training.models import recognizer as model

log = logging.getLogger(__name__)

MIN_LINES = 20
EXPORTED = "export.json"  # what `feedback export` says of the folder that it wrote
# Held-out lines from which a calibration of their own is worth more than that of thousands of rendered lines.
CALIBRATION_LINES = 300
PARITY_LINES = 64
POOL = 8  # batches whose lines are sorted by width together
# A run ends when the held-out lines have read no better for this share of it.
PATIENCE = 0.4
# Shares of what was learned that are tried, so that old hands are not forgotten, and on how many lines of those.
KEPT_SHARES = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)
OLD_LINES = 512

By = Literal["page", "writer"]


@dataclass(frozen=True)
class OwnLine:
    """A line as it was cut from its page: grey image (H, W) uint8, dark on light, and its text."""

    image: NDArray[np.uint8]
    text: str
    page: str
    writer: str


@dataclass
class OwnLines:
    """Lines of a set that can be trained on, and what of the set cannot."""

    lines: list[OwnLine] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)  # characters outside the alphabet


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune: usual values, fixed before anything was measured with them.

    Args:
        steps: batches shown at most.
        learning_rate: peak rate; a warm-up leads to it, a cosine from it.
        validate_every: steps between two looks at the held-out lines.
        strength: of the augmentation, 0 for none.
        replay: share of rendered lines among those shown, where there is something to render from.
        forgetting: by what share the errors on rendered lines of old hands may grow; more than that is unlearned.
        max_time: DD:HH:MM:SS after which the best weights so far are taken.
    """

    steps: int = 1000
    batch_size: int = 8
    learning_rate: float = 3e-4
    warmup_steps: int = 50
    validate_every: int = 50
    strength: float = 1.0
    replay: float = 0.3
    forgetting: float = 0.03
    max_time: str | None = "00:00:25:00"
    seed: int = 1


def cut_lines(data: EvaluationSet, height: int, alphabet: str, max_characters: int) -> OwnLines:
    """The lines of `data`, cut by their polygons (whole images where there are none) at `height` pixels.

    What cannot be trained on is named in `skipped`: images that are refused, pages whose lines have no place, lines
    without text or area. Characters outside `alphabet` are counted; their lines stay.
    """
    own = OwnLines(skipped=list(data.skipped))
    for page in data.pages:
        if not page.lines:
            own.skipped.append(f"{page.image.name}: a transcript whose lines have no place on the page")
            continue
        try:
            gray = load_image(page.image).gray
        except ImageRejected as error:
            own.skipped.append(f"{page.image.name}: {error}")
            continue
        for number, line in enumerate(page.lines, 1):
            text = normalise_text(line.text, alphabet)
            if not line.counts:
                continue
            if not 0 < len(text) <= max_characters:
                reason = f"more than {max_characters} characters" if text else "no text"
                own.skipped.append(f"{page.image.name}:{number}: {reason}")
                continue
            crop = crop_line(gray, line.polygon or line_polygon(gray), line.baseline, height)
            if crop.shape[1] < 2:
                own.skipped.append(f"{page.image.name}:{number}: no area within the page")
                continue
            own.unknown.update(c for c in text if c not in alphabet)
            own.lines.append(OwnLine(crop, text, str(page.image), page.writer))
    return own


def hold_out(
    lines: Sequence[OwnLine], share: float = 0.15, by: By = "page", seed: int = 1
) -> tuple[list[OwnLine], list[OwnLine]]:
    """Split into lines to train on and about `share` of them to validate on, whole pages (writers) to either side.

    Where the pages are too few or too large for that, single lines are drawn.
    """
    wanted = max(1, round(share * len(lines)))
    sizes = Counter(getattr(line, by) for line in lines)
    rng = np.random.default_rng(seed)
    held: set[str] = set()
    total = 0
    for name in rng.permutation(sorted(sizes)):
        if total + sizes[name] <= 1.5 * wanted and total < wanted:
            held.add(str(name))
            total += sizes[name]
    if total < 0.5 * wanted:
        drawn = set(rng.choice(len(lines), wanted, replace=False).tolist())
    else:
        drawn = {i for i, line in enumerate(lines) if getattr(line, by) in held}
    train = [line for i, line in enumerate(lines) if i not in drawn]
    return train, [line for i, line in enumerate(lines) if i in drawn]


class ShownLines(IterableDataset[Batch]):
    """Batches without end: every line once an epoch, varied anew, beside its like in width; rendered ones between."""

    def __init__(
        self, lines: Sequence[OwnLine], codec: Codec, height: int, recipe: Recipe, renderer: LineRenderer | None = None
    ) -> None:
        self.lines, self.codec, self.height, self.recipe, self.renderer = lines, codec, height, recipe, renderer

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)
        rng = np.random.default_rng(self.recipe.seed)
        size = self.recipe.batch_size
        stream = self._samples(rng)
        while True:
            pool = sorted((next(stream) for _ in range(POOL * size)), key=lambda sample: sample[0].shape[1])
            for i in rng.permutation(POOL).tolist():
                yield collate(pool[i * size : (i + 1) * size])

    def _samples(self, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.uint8], list[int]]]:
        while True:
            for i in rng.permutation(len(self.lines)).tolist():
                while self.renderer is not None and rng.random() < self.recipe.replay:
                    image, text = self.renderer.sample(rng)
                    yield normalise_line(image, self.height), self.codec.encode(text)
                line = self.lines[i]
                image = augment(line.image, rng, self.recipe.strength)
                yield normalise_line(image, self.height), self.codec.encode(line.text)


class LitFineTuning(LitRecognizer):
    """`LitRecognizer` with the statistics of batch normalisation as they were learned on a hundred thousand lines."""

    def train(self, mode: bool = True) -> LitFineTuning:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001  the base of all three
                module.eval()
        return self

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        heads = [rate for name, rate in self.trainer.callback_metrics.items() if name.startswith("val/cer_")]
        self.log("val/cer", torch.stack(heads).mean())


def fine_tune(
    base: Bundle,
    train: Sequence[OwnLine],
    validation: Sequence[OwnLine],
    folder: Path,
    recipe: Recipe | None = None,
    renderer: LineRenderer | None = None,
) -> tuple[model.Recognizer, Run]:
    """The network of `base` trained on `train` until `validation` reads no better, and its run.

    `folder` gets the checkpoint and readings of held-out lines (`samples.txt`).
    """
    recipe = recipe or Recipe()
    network = stage.bundle_network(base)
    codec = Codec(base.description.alphabet)
    height = network.config.height
    module = LitFineTuning(
        network.config, learning_rate=recipe.learning_rate, warmup_steps=recipe.warmup_steps,
        total_steps=recipe.steps, decay_share=1.0,
    )  # fmt: skip
    module.network, module.codec = network, codec
    module.train()
    held = sorted(
        ((normalise_line(line.image, height), codec.encode(line.text)) for line in validation),
        key=lambda sample: sample[0].shape[1],
    )
    fixed: Any = [collate(held[i : i + 16]) for i in range(0, len(held), 16)]
    best = ModelCheckpoint(folder, filename="best", monitor="val/cer", save_weights_only=True)
    every = min(recipe.validate_every, recipe.steps)
    patience = max(1, round(PATIENCE * recipe.steps / every))
    callbacks: list[L.Callback] = [best, EarlyStopping("val/cer", patience=patience)]
    watched = sys.stderr.isatty()
    trainer = L.Trainer(
        default_root_dir=folder,
        max_steps=recipe.steps,
        max_epochs=-1,
        max_time=recipe.max_time,
        precision=precision(),  # type: ignore[arg-type]
        devices=1,
        gradient_clip_val=2.0,
        val_check_interval=every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=watched,
        enable_model_summary=False,
        callbacks=[*callbacks, TQDMProgressBar(refresh_rate=5)] if watched else callbacks,
    )
    shown = ShownLines(train, codec, height, recipe, renderer)
    trainer.fit(module, DataLoader(shown, batch_size=None), DataLoader(fixed, batch_size=None))
    if not best.best_model_path:
        raise DataInvalid("time was up before the held-out lines were read once: give a longer --max-time.")
    tuned, run = stage.load_network(Path(best.best_model_path))
    if renderer is not None:
        old = old_batches(renderer, codec)
        run = replace(run, kept=unlearn(tuned, stage.bundle_network(base), codec, old, recipe.forgetting))
    return tuned, run


def old_batches(renderer: LineRenderer, codec: Codec, count: int = OLD_LINES) -> list[Batch]:
    """Rendered lines of the hands that the old model learned, other ones than those shown."""
    drawn = (renderer.sample(np.random.default_rng([20_000_001, number])) for number in range(count))
    samples = [(normalise_line(image, renderer.height), codec.encode(text)) for image, text in drawn]
    samples.sort(key=lambda sample: sample[0].shape[1])
    return [collate(samples[i : i + 16]) for i in range(0, len(samples), 16)]


def unlearn(
    tuned: model.Recognizer, base: model.Recognizer, codec: Codec, old: Sequence[Batch], forgetting: float
) -> float:
    """Move the weights of `tuned` back towards `base` until old lines read nearly as well; the share of change kept.

    Weights between two such networks read between them, and often better than both: Wortsman et al., "Robust
    fine-tuning of zero-shot models", CVPR 2022, arXiv:2109.01903. Old lines are read by the CTC head. The least of
    `KEPT_SHARES` is kept even where old lines read worse with it.
    """
    before, after = ({k: v.clone() for k, v in network.state_dict().items()} for network in (base, tuned))
    module = LitRecognizer(tuned.config)
    module.codec = codec

    def read_old(network: model.Recognizer) -> int:
        module.network = network.eval()
        return sum(
            errors(codec.decode(row), text).character_edits
            for batch in old
            for row, text in zip(batch.tokens.tolist(), module.read_ctc(batch), strict=True)
        )

    most = read_old(base) * (1 + forgetting)
    for share in KEPT_SHARES:
        tuned.load_state_dict(
            {k: torch.lerp(before[k], v, share) if v.is_floating_point() else v for k, v in after.items()}
        )
        if read_old(tuned) <= most:
            break
    return share


def read_rate(bundle: Bundle, lines: Sequence[OwnLine], threads: int | None = None) -> Rate:
    """CER of a bundle's accurate mode on `lines`, with its interval over pages."""
    readings = Recognizer(bundle, threads).read_lines([line.image for line in lines])
    found = [errors(line.text, got.text) for line, got in zip(lines, readings, strict=True)]
    edits, lengths = [e.character_edits for e in found], [e.characters for e in found]
    return rate(edits, lengths, [line.page for line in lines])


def tune_bundle(
    base: Bundle,
    train: Sequence[OwnLine],
    validation: Sequence[OwnLine],
    folder: Path,
    recipe: Recipe | None = None,
    renderer: LineRenderer | None = None,
    name: str | None = None,
    version: str | None = None,
    corrections: Path | None = None,
) -> Bundle:
    """Fine-tune and write the bundle to the empty folder `folder`. Raises DataInvalid if the export reads otherwise.

    `corrections`: the manifest of `feedback export` where the lines come from there; the bundle keeps its sha256.
    """
    recipe = recipe or Recipe()
    with tempfile.TemporaryDirectory() as scratch:
        network, run = fine_tune(base, train, validation, Path(scratch), recipe, renderer)
    weights = sha256(base.path / stage.WEIGHTS)
    about = replace(
        base.description,
        name=name or f"{base.name}-tuned",
        version=version or base.version,
        run=replace(
            run,
            base=BaseModel(name=base.name, version=base.version, weights_sha256=weights),
            lines={"train": len(train), "validation": len(validation)},
            recipe=asdict(recipe),
            corrections_sha256="" if corrections is None else sha256(corrections),
        ),
        data=(*base.description.data, "lines of the user's own"),
        licences=(*base.description.licences, Licence(data="lines of the user's own", licence="the user's")),
    )
    crops = [line.image for line in [*validation, *train][:PARITY_LINES]]
    # Lines that chose the checkpoint are a little too well read to calibrate on, unless they are many.
    calibration = [(line.image, line.text) for line in validation] if len(validation) >= CALIBRATION_LINES else []
    return stage.stage_tuned(network, base, folder, about, crops, calibration)


def report_omissions(own: OwnLines) -> None:
    """Say on standard error what of the set is left out or foreign."""
    if own.skipped:
        shown = "; ".join(own.skipped[:5]) + ("; …" if len(own.skipped) > 5 else "")
        print(f"skipped {len(own.skipped)}: {shown}", file=sys.stderr)
    if own.unknown:
        counts = ", ".join(f"{c!r} {n}×" for c, n in own.unknown.most_common(10))
        print(f"{own.unknown.total()} characters are outside the alphabet: {counts}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    defaults = Recipe()
    parser = argparse.ArgumentParser(
        prog="text-recognizer train finetune", description="Fine-tune the model on lines of your own."
    )
    parser.add_argument("set", type=Path, help="lines with their text, in any form that 'evaluate' reads")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle to write")
    parser.add_argument(
        "--base", help="bundle to start from: a folder, production, NAME or NAME@VERSION (default: the shipped one)"
    )
    parser.add_argument("--name", help="name of the new bundle (default: the old one's with '-tuned')")
    parser.add_argument("--version", help="its version (default: the old one's)")
    parser.add_argument(
        "--line-types", default="Handwritten", help="types of lines where the set names them, comma separated"
    )
    parser.add_argument("--validate-share", type=float, default=0.15, help="held out of training (%(default)s)")
    parser.add_argument("--hold-out", choices=("page", "writer"), default="page", help="what is held out whole")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="batches at most (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--max-time", default=defaults.max_time, help="DD:HH:MM:SS of training (%(default)s)")
    parser.add_argument("--unipen", type=Path, help="cache of 'data prepare': rendered lines between your own")
    parser.add_argument("--fonts", type=Path, help="folder of 'data fonts': the same from fonts")
    parser.add_argument("--texts", type=Path, help="folder of 'data texts': wording of the rendered lines")
    parser.add_argument("--replay", type=float, default=defaults.replay, help="share of rendered lines (%(default)s)")
    parser.add_argument(
        "--forgetting", type=float, default=defaults.forgetting,
        help="share by which errors on rendered lines may grow (%(default)s); what would cost more is unlearned",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, help="processor threads")
    parser.add_argument("--force", action="store_true", help="write the bundle even if it reads worse")
    return parser


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train finetune`."""
    parser = _parser()
    args = parser.parse_args(argv)
    if not 0 < args.validate_share <= 0.5:
        raise UsageError("--validate-share is the part held out: give more than 0 and at most 0.5.")
    if args.forgetting < 0:
        raise UsageError("--forgetting is a share: give 0 or more.")
    if not 0 <= args.replay < 1:
        raise UsageError("--replay is a share: give 0 or more and less than 1.")
    for number in (args.steps, args.batch_size):
        if number < 1:
            raise UsageError("--steps and --batch-size are counts: give 1 or more.")
    if args.texts and not (args.unipen or args.fonts):
        raise UsageError("--texts is the wording of rendered lines: give --unipen or --fonts too.")
    stage.check_replaceable(args.out)
    if args.threads:
        torch.set_num_threads(args.threads)
    quiet()
    base = Bundle.open(resolve(args.base), whole=True)
    config = stage.bundle_network(base).config
    data = load_set(args.set, tuple(args.line_types.split(",")))
    own = cut_lines(data, config.height, base.description.alphabet, config.max_tokens - 1)
    report_omissions(own)
    if len(own.lines) < MIN_LINES:
        raise DataInvalid(
            f"{args.set} gives {len(own.lines)} lines that can be trained on: {MIN_LINES} are the least, 200 do well."
        )
    train, validation = hold_out(own.lines, args.validate_share, args.hold_out, args.seed)
    renderer = None
    for path in (args.unipen, args.fonts, args.texts):
        if path is not None and not path.exists():
            raise DataInvalid(f"{path} is not there: give what 'text-recognizer train data' made.")
    if args.unipen or args.fonts:
        alphabet = base.description.alphabet
        renderer = LineRenderer(args.unipen, args.fonts, args.texts, height=config.height, alphabet=alphabet)
    recipe = Recipe(
        steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate, replay=args.replay,
        forgetting=args.forgetting, max_time=args.max_time, seed=args.seed,
        warmup_steps=min(Recipe.warmup_steps, args.steps // 4),
    )  # fmt: skip
    before = read_rate(base, validation, args.threads)
    print(f"{len(train)} lines to train on, {len(validation)} held out; CER before {before}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        exported = manifest if (manifest := args.set / EXPORTED).is_file() else None
        tuned = tune_bundle(base, train, validation, folder, recipe, renderer, args.name, args.version, exported)
        after = read_rate(tuned, validation, args.threads)
        run = tuned.description.run
        kept = "" if run.kept is None else f", {100 * run.kept:.0f} % of what was learned kept for old hands' sake"
        print(f"CER after {after}, after {run.steps} steps{kept}", flush=True)
        if after.value > before.value:
            if not args.force:
                raise DataInvalid(
                    "the held-out lines read worse than before: nothing was written; check the labels, give more "
                    "lines, or take it all the same with --force."
                )
            print("written although the held-out lines read worse than before (--force)", file=sys.stderr)
        metrics = {**tuned.description.metrics, "own": _figures(before, after, validation)}
        stage.describe(folder, replace(tuned.description, metrics=metrics))
        stage.install(folder, args.out)
    print(args.out)
    return 0


def _figures(before: Rate, after: Rate, validation: Sequence[OwnLine]) -> dict[str, Any]:
    return {"lines": len(validation), "cer_before": round(before.value, 4), "cer_after": round(after.value, 4)}


def quiet() -> None:
    """Silence what Lightning and the exporter tell their developers; a user of twenty lines can do nothing about it."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("lightning.pytorch", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in (r"torch\.", r"lightning\.", r"text_recognizer\.training\.stage", "copyreg"):
        warnings.filterwarnings("ignore", module=module)
