"""Fine-tune a model on your own lines: `fine_tune(FineTuneOptions(...))`, or `text-recognizer train finetune`.

About two hundred lines of a hand teach the model that hand in minutes. They are cropped from their pages as `evaluate`
crops them, with new augmentation each time. A share of the pages is held out: it decides when to stop, and whether the
new model reads better than the old one. Batch normalisation keeps its statistics, because a small set would give rough
ones. With `Recipe.rank`, all weights stay fixed, and low-rank factors are trained instead (`training.low_rank`).
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from text_recognizer.bundle import Bundle, sha256
from text_recognizer.description import BaseModel, Licence, Run
from text_recognizer.errors import DataInvalid, UsageError
from text_recognizer.evaluation.metrics import Rate, errors, rate
from text_recognizer.evaluation.sets import load_set
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.recognition.recognizer import Recognizer
from text_recognizer.registry import check_names, resolve
from text_recognizer.synthesis.rendering.augment import augment
from text_recognizer.training import stage
from text_recognizer.training.callbacks import LAST, TOLD_TO_END, RunRecord, SaveAtEnd, ended_at_once, interruptible
from text_recognizer.training.checkpoint import open_checkpoint
from text_recognizer.training.data import Batch, Codec, LineRenderer, collate
from text_recognizer.training.lit import LitRecognizer, precision
from text_recognizer.training.low_rank import add_factors, factors
from text_recognizer.training.models import recognizer as model
from text_recognizer.training.own_lines import By, OwnLine, OwnLines, cut_lines, hold_out
from text_recognizer.training.record import (
    RECORD,
    end_run,
    fingerprints,
    now,
    only_run,
    process,
    read_record,
    write_record,
)  # fmt: skip
from text_recognizer.training.tracking import check_trackers, open_loggers, parse_trackers
from text_recognizer.training.vocabulary import new_characters

log = logging.getLogger(__name__)

MIN_LINES = 20
MIN_OCCURRENCES = 5  # of a new character, so that it can be learned
FACTORS = "factors.safetensors"  # in the folder of a run that trained low-rank factors
EXPORTED = "export.json"  # written by `feedback export` next to the corrected lines
# With at least this many held-out lines, calibration on them is better than on thousands of rendered lines.
CALIBRATION_LINES = 300
PARITY_LINES = 64
POOL = 8  # batches whose lines are sorted together by width
# Training stops when the held-out lines have not improved for this share of the steps.
PATIENCE = 0.4
# Shares of the weight change to try against forgetting, and the number of rendered lines of old hands to test them on.
KEPT_SHARES = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)
OLD_LINES = 512
_FINGERPRINTS = {"data": "data", "model": "parents"}  # config section: record key for its files' SHA-256


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune. The defaults are common values, chosen before anything was measured with them.

    Args:
        steps: most batches.
        learning_rate: peak rate, after a warm-up and before a cosine decay.
        validate_every: steps between two validations on the held-out lines.
        strength: of the augmentation, 0 for none.
        replay: share of rendered lines among the training lines, if there is data to render from.
        rank: of the factors to train instead of the weights; 0 to train the weights themselves.
        forgetting: largest relative growth of the errors on rendered lines of old hands, see `unlearn`. These errors
            grow two to three times as much as errors on other people's lines.
        max_time: DD:HH:MM:SS of training; after that, the best weights so far are used.
    """

    steps: int = 1000
    batch_size: int = 8
    learning_rate: float = 3e-4
    warmup_steps: int = 50
    validate_every: int = 50
    strength: float = 1.0
    replay: float = 0.3
    rank: int = 0
    forgetting: float = 0.05
    max_time: str | None = "00:00:25:00"
    seed: int = 1


class ShownLines(IterableDataset[Batch]):
    """Endless batches: every line once per epoch, newly augmented, batched by width, with rendered lines in between.

    A resumed run begins at batch `start` and sees the same batches as without the interruption.
    """

    def __init__(
        self, lines: Sequence[OwnLine], codec: Codec, height: int, recipe: Recipe,
        renderer: LineRenderer | None = None, start: int = 0,
    ) -> None:  # fmt: skip
        self.lines, self.codec, self.height, self.recipe, self.renderer = lines, codec, height, recipe, renderer
        self.start = start

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)
        size = self.recipe.batch_size
        first, skip = divmod(self.start, POOL)
        turns = islice(enumerate(self._turns()), first * POOL * size, None)
        for pool in count(first):
            samples = sorted((self._sample(*next(turns)) for _ in range(POOL * size)), key=lambda s: s[0].shape[1])
            order = np.random.default_rng([self.recipe.seed, pool]).permutation(POOL).tolist()
            for i in order[skip:]:
                yield collate(samples[i * size : (i + 1) * size])
            skip = 0

    def _turns(self) -> Iterator[OwnLine | None]:
        """The next line, or None for a rendered one. This is cheap, so a resumed run soon finds its place."""
        rng = np.random.default_rng(self.recipe.seed)
        while True:
            for i in rng.permutation(len(self.lines)).tolist():
                while self.renderer is not None and rng.random() < self.recipe.replay:
                    yield None
                yield self.lines[i]

    def _sample(self, number: int, line: OwnLine | None) -> tuple[NDArray[np.uint8], list[int]]:
        rng = np.random.default_rng([self.recipe.seed, 1, number])
        if line is not None:
            image, text = augment(line.image, rng, self.recipe.strength), line.text
        else:
            assert self.renderer is not None
            image, text = self.renderer.sample(rng)
            # The renderer may use characters that an older model lacks, and the model must not learn to give up on
            # them.
            while not self.codec.covers(text):
                image, text = self.renderer.sample(rng)
        return normalise_line(image, self.height), self.codec.encode(text)


class LitFineTuning(LitRecognizer):
    """`LitRecognizer` that keeps the batch normalisation statistics, which come from a hundred thousand lines."""

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


class _Report(L.Callback):
    """Passes a line to `report` after each validation."""

    def __init__(self, report: Callable[[str], None], steps: int) -> None:
        self.report, self.steps = report, steps

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        cer = float(trainer.callback_metrics["val/cer"])
        self.report(f"step {trainer.global_step} of {self.steps}: CER {100 * cer:.1f} % on the held-out lines")


def train_network(
    base: Bundle,
    train: Sequence[OwnLine],
    validation: Sequence[OwnLine],
    folder: Path,
    recipe: Recipe,
    renderer: LineRenderer | None = None,
    *,
    alphabet: str | None = None,
    config: Mapping[str, Any] | None = None,
    trackers: Sequence[str] | None = (),
    more_follows: bool = False,
    report: Callable[[str], None] = log.info,
) -> tuple[model.Recognizer, Run]:
    """Train the network of `base` on `train` until `validation` stops improving. Returns the network and its run.

    Args:
        folder: of the run: checkpoints, record, metrics as CSV, and readings of held-out lines (`samples.txt`); with a
            rank, also the factors (`FACTORS`). An unfinished run there with the same `config`, recipe and data is
            continued from its last checkpoint, which was written at its last validation or when it was told to end. A
            run with complete training is not trained again.
        alphabet: of the new network if it is to learn further characters: the alphabet of `base` with these appended.
        config: the settings of the run, for its record and the trackers (see `callbacks.RunRecord`).
        trackers: as in `tracking.open_loggers`.
        more_follows: as in `callbacks.RunRecord`.

    Raises KeyboardInterrupt when the process is told to end, by Ctrl-C or SIGTERM.
    """
    torch.manual_seed(recipe.seed)
    alphabet = alphabet or base.description.alphabet
    network = stage.bundle_network(base, alphabet)
    if recipe.rank:
        add_factors(network, recipe.rank, grown=alphabet != base.description.alphabet)
    codec = Codec(alphabet)
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
    settings = json.loads(json.dumps({**(config or {}), "recipe": asdict(recipe)}, default=str))
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / f"{LAST}.ckpt"
    earlier = unfinished(folder, settings)
    chosen = folder / earlier.get("best", "none")
    if chosen.is_file():
        report(f"the run in {folder} is trained already")
        write_record(folder, {**earlier, **process(), "status": "running"})
    else:
        start = 0
        if earlier and last.is_file():
            start = int(open_checkpoint(last)["global_step"])
            report(f"continuing the run in {folder} at step {start}")
        else:
            for old in (*folder.glob("*.ckpt"), folder / RECORD):
                old.unlink(missing_ok=True)
        shown = ShownLines(train, codec, height, recipe, renderer, start)
        loaders = DataLoader(shown, batch_size=None), DataLoader(fixed, batch_size=None)
        logger = False if trackers == () else open_loggers(trackers, folder, experiment="finetune")
        callbacks = [RunRecord(settings, more_follows=more_follows), _Report(report, recipe.steps)]
        chosen = _fit(module, loaders, folder, recipe, callbacks, logger, last if start else None)
    tuned, run = stage.load_network(chosen)
    if recipe.rank:
        held = open_checkpoint(chosen)["state_dict"]
        save_file({k.removeprefix("network."): v.contiguous() for k, v in factors(held).items()}, folder / FACTORS)
    run = replace(run, record=stage.shipped_record(read_record(folder)))
    if renderer is not None:
        report("reading rendered lines of old hands, against forgetting")
        old_lines = old_batches(renderer, codec)
        first = stage.bundle_network(base, alphabet)
        run = replace(run, kept=unlearn(tuned, first, codec, old_lines, fixed, recipe.forgetting))
    return tuned, run


def _fit(
    module: LitFineTuning, loaders: tuple[Any, Any], folder: Path, recipe: Recipe, callbacks: Sequence[L.Callback],
    logger: Any, checkpoint: Path | None,
) -> Path:  # fmt: skip
    """Train `module` from `checkpoint` on. Returns its best checkpoint, which the record then names."""
    best = ModelCheckpoint(folder, filename="best", monitor="val/cer", save_weights_only=True)
    latest = ModelCheckpoint(
        folder, filename=LAST, save_on_train_epoch_end=False, every_n_epochs=1, enable_version_counter=False
    )
    every = min(recipe.validate_every, recipe.steps)
    patience = max(1, round(PATIENCE * recipe.steps / every))
    watched = sys.stderr.isatty()
    bar = [TQDMProgressBar(refresh_rate=5)] if watched else []
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
        logger=logger,
        log_every_n_steps=10,
        enable_progress_bar=watched,
        enable_model_summary=False,
        callbacks=[EarlyStopping("val/cer", patience=patience), *callbacks, SaveAtEnd(), *bar, best, latest],
    )
    with interruptible():
        trainer.fit(module, *loaders, ckpt_path=checkpoint, weights_only=True)
    if not best.best_model_path:
        raise DataInvalid("time was up before the held-out lines were read once: give a longer --max-time.")
    chosen = Path(best.best_model_path)
    write_record(folder, {**read_record(folder), "best": chosen.name})
    if trainer.received_sigterm:  # during the last step
        raise KeyboardInterrupt
    return chosen


def unfinished(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The record of the unfinished run in `folder` with the same settings and data; empty if there is none."""
    record = read_record(folder)
    if record.get("config") != settings or record.get("status") == "finished":
        return {}
    same = (record.get(held) == fingerprints(settings.get(part, {})) for part, held in _FINGERPRINTS.items())
    return record if all(same) else {}


@contextmanager
def _finished_when_written(folder: Path) -> Iterator[None]:
    """End the run in `folder` in the same way as this context: the work after the training belongs to it."""
    try:
        yield
    except BaseException as error:
        end_run(folder, "interrupted" if isinstance(error, TOLD_TO_END) else "failed")
        raise
    end_run(folder, "finished")


def old_batches(renderer: LineRenderer, codec: Codec, count: int = OLD_LINES) -> list[Batch]:
    """Rendered lines of the hands that the base model learned; they differ from the replay lines."""
    drawn = (renderer.sample(np.random.default_rng([20_000_001, number])) for number in range(count))
    samples = [
        (normalise_line(image, renderer.height), codec.encode(text)) for image, text in drawn if codec.covers(text)
    ]
    samples.sort(key=lambda sample: sample[0].shape[1])
    return [collate(samples[i : i + 16]) for i in range(0, len(samples), 16)]


def unlearn(
    tuned: model.Recognizer,
    base: model.Recognizer,
    codec: Codec,
    old: Sequence[Batch],
    own: Sequence[Batch],
    forgetting: float,
) -> float:
    """Move the weights of `tuned` back towards `base`, to the best point for old and own lines. Returns the share kept.

    Interpolated weights of two such networks read about as well as they do, and often better than both: Wortsman et
    al., "Robust fine-tuning of zero-shot models", CVPR 2022, arXiv:2109.01903. Errors on old lines may grow by the
    share
    `forgetting`. Among the `KEPT_SHARES` within this limit, it takes the one with the least sum of both errors, each
    relative to the errors of `base`. It counts the wrong characters of the CTC head, and the decoder's wrong tokens
    with teacher forcing, because one head may forget what the other still knows. If no share is within the limit, the
    least share is kept.

    Args:
        old: lines of old hands.
        own: held-out lines of the new hand.
    """
    before, after = ({k: v.clone() for k, v in network.state_dict().items()} for network in (base, tuned))
    module = LitRecognizer(tuned.config)
    module.codec = codec

    @torch.no_grad()
    def count_errors(network: model.Recognizer, batches: Sequence[Batch]) -> int:
        network.eval()
        wrong = 0
        for batch in batches:
            features, ctc, mask = network.encoder(batch.inputs(), batch.widths)
            texts = zip(batch.tokens.tolist(), module.best_path(ctc, mask), strict=True)
            wrong += sum(errors(codec.decode(row), text).character_edits for row, text in texts)
            lines = network.decoder.line_keys_values(features)
            logits, _ = network.decoder(batch.tokens[:, :-1], lines, mask)
            truth = batch.tokens[:, 1:]
            wrong += int(((logits.argmax(-1) != truth) & (truth != model.PAD)).sum())
        return wrong

    def keep(share: float) -> None:
        tuned.load_state_dict(
            {k: torch.lerp(before[k], v, share) if v.is_floating_point() else v for k, v in after.items()}
        )

    before_old, before_own = (max(1, count_errors(base, batches)) for batches in (old, own))
    kept, least = KEPT_SHARES[-1], float("inf")
    for share in KEPT_SHARES:
        keep(share)
        after_old = count_errors(tuned, old)
        if after_old > before_old * (1 + forgetting):
            continue
        both = after_old / before_old + count_errors(tuned, own) / before_own
        if both >= least:  # from here on, unlearning costs more than it gains
            break
        kept, least = share, both
    keep(kept)
    return kept


def read_rate(bundle: Bundle, lines: Sequence[OwnLine], threads: int | None = None) -> Rate:
    """CER of a bundle in accurate mode on `lines`, with its interval over pages."""
    readings = Recognizer(bundle, threads).read_lines([line.image for line in lines])
    found = [errors(line.text, got.text) for line, got in zip(lines, readings, strict=True)]
    edits, lengths = [e.character_edits for e in found], [e.characters for e in found]
    return rate(edits, lengths, [line.page for line in lines])


def tune_bundle(
    network: model.Recognizer,
    run: Run,
    base: Bundle,
    train: Sequence[OwnLine],
    validation: Sequence[OwnLine],
    folder: Path,
    recipe: Recipe,
    name: str | None = None,
    version: str | None = None,
    corrections: Path | None = None,
    new: Mapping[str, float] | None = None,
) -> Bundle:
    """Write the bundle of the result of `train_network` to the empty folder `folder`.

    `name`: default: the name of `base` with "-tuned". `version`: default: the version of `base` with the start time of
    the run. `corrections`: the manifest of `feedback export` if the lines come from there; the bundle stores its
    SHA-256.
    `new`: the characters that the network learned in addition to those of `base`, each with its share of all
    characters. Raises DataInvalid if the exported graphs read differently from torch.
    """
    new = new or {}
    started = re.sub(r"[^0-9T]", "", str(run.record.get("started") or now())[:19]).replace("T", "-")
    weights = sha256(base.path / stage.WEIGHTS)
    about = replace(
        base.description,
        name=name or f"{base.name}-tuned",
        version=version or f"{base.version}-{started}",
        alphabet=base.description.alphabet + "".join(new),
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
    # The checkpoint was chosen on the held-out lines, so they read a little too well for calibration, unless there are
    # many.
    calibration = [(line.image, line.text) for line in validation] if len(validation) >= CALIBRATION_LINES else []
    return stage.stage_tuned(network, base, folder, about, crops, calibration, list(new.values()))


def problems(own: OwnLines) -> list[str]:
    """The parts of a set that are left out or outside the alphabet, as lines for a person."""
    found = []
    if own.skipped:
        shown = "; ".join(own.skipped[:5]) + ("; …" if len(own.skipped) > 5 else "")
        found.append(f"skipped {len(own.skipped)}: {shown}")
    if own.unknown:
        counts = ", ".join(f"{c!r} {n}×" for c, n in own.unknown.most_common(10))
        advice = "--extend-alphabet learns frequent ones"
        found.append(f"{own.unknown.total()} characters are outside the alphabet: {counts}; {advice}")
    return found


@dataclass(frozen=True, kw_only=True)
class FineTuneOptions:
    """What to fine-tune, on which lines, and where the result goes.

    Args:
        data: lines with their text, in any form that `evaluate` reads.
        out: folder of the bundle to write.
        base: bundle to start from: a folder, an alias, NAME or NAME@VERSION; None for the shipped one.
        name, version: of the new bundle; None for the base's name with "-tuned" and its version with the time.
        line_types: types of lines to use, if the set has types.
        validation_share: share of the lines to hold out of training.
        hold_out: the unit that is held out as a whole: pages or writers.
        unipen, fonts, texts: made by `train data`, to render lines of other hands among your own.
        recipe: how to train.
        run: folder of the run; None for `runs/NAME`. The same options continue an interrupted run there.
        trackers: as in `tracking.open_loggers`, () for none.
        extend_alphabet: learn characters that the base model does not know, if they occur `MIN_OCCURRENCES` times.
        threads: CPU threads, None for torch's choice.
        force: write the bundle even if it reads the held-out lines worse than the base.
    """

    data: Path
    out: Path
    base: str | None = None
    name: str | None = None
    version: str | None = None
    line_types: tuple[str, ...] = ("Handwritten",)
    validation_share: float = 0.15
    hold_out: By = "page"
    unipen: Path | None = None
    fonts: Path | None = None
    texts: Path | None = None
    recipe: Recipe = field(default_factory=Recipe)
    run: Path | None = None
    trackers: Sequence[str] | None = None
    extend_alphabet: bool = False
    threads: int | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.validation_share <= 0.5:
            raise UsageError("the share held out (--validate-share) must be more than 0 and at most 0.5.")
        if self.recipe.forgetting < 0:
            raise UsageError("the share of forgetting (--forgetting) must be 0 or more.")
        if not 0 <= self.recipe.replay < 1:
            raise UsageError("the share of rendered lines (--replay) must be 0 or more and less than 1.")
        if self.recipe.rank < 0:
            raise UsageError("--rank must be 1 or more, or 0 to train the weights themselves.")
        if self.recipe.steps < 1 or self.recipe.batch_size < 1 or (self.threads or 1) < 1:
            raise UsageError("--steps, --batch-size and --threads must be 1 or more.")
        if self.recipe.learning_rate <= 0:
            raise UsageError("the learning rate (--learning-rate) must be more than 0.")
        if self.recipe.seed < 0:
            raise UsageError("--seed must be 0 or more.")
        if self.recipe.max_time is not None and not re.fullmatch(r"\d+:\d\d:\d\d:\d\d", self.recipe.max_time):
            raise UsageError("the time to train (--max-time) is DD:HH:MM:SS, such as 00:00:25:00.")
        if self.texts and not (self.unipen or self.fonts):
            raise UsageError("--texts is the wording of rendered lines: give --unipen or --fonts too.")
        check_trackers(self.trackers)
        check_names(*(part for part in (self.name, self.version) if part is not None))


@dataclass(frozen=True)
class FineTuned:
    """The new bundle, and the CER on the held-out lines before and after."""

    bundle: Bundle
    before: Rate
    after: Rate
    train: int  # lines
    validation: int  # lines
    run: Path


def fine_tune(options: FineTuneOptions, report: Callable[[str], None] = log.info) -> FineTuned:
    """Fine-tune a model on your own lines, and write it as a bundle.

    `report` receives a line at each step. Raises DataInvalid if there are too few lines or if the result reads the
    held-out lines worse than the base, OutputFailed if `out` contains anything but a bundle, and KeyboardInterrupt on
    Ctrl-C and SIGTERM.
    """
    stage.check_replaceable(options.out)
    for path in (options.unipen, options.fonts, options.texts):
        if path is not None and not path.exists():
            raise DataInvalid(f"{path} does not exist: give the files of 'text-recognizer train data'.")
    if options.threads:
        torch.set_num_threads(options.threads)
    base = Bundle.open(resolve(options.base), whole=True)
    name = options.name or f"{base.name}-tuned"
    run_folder = options.run or Path("runs") / name
    if run_folder.exists():
        with only_run(run_folder):  # refuse at once if another process runs there, not after reading the held-out lines
            pass
    sizes = stage.bundle_network(base).config
    alphabet = base.description.alphabet
    own = cut_lines(load_set(options.data, options.line_types), sizes.height, alphabet, sizes.max_tokens - 1)
    new: dict[str, float] = {}
    if options.extend_alphabet:
        new = _new_shares(own, alphabet)
        report(f"new characters: {' '.join(new) or f'none that occur {MIN_OCCURRENCES} times'}")
        for character in new:
            del own.unknown[character]
        alphabet += "".join(new)
    for problem in problems(own):
        report(problem)
    if len(own.lines) < MIN_LINES:
        raise DataInvalid(
            f"{options.data} has {len(own.lines)} lines that can be trained on: give at least {MIN_LINES}, better 200."
        )
    train, validation = hold_out(own.lines, options.validation_share, options.hold_out, options.recipe.seed)
    renderer = None
    if options.unipen or options.fonts:
        renderer = LineRenderer(options.unipen, options.fonts, options.texts, height=sizes.height, alphabet=alphabet)
    else:
        report("other hands may be read worse: --unipen and --fonts guard against that")
    report(f"reading {len(validation)} held-out lines with {base}")
    before = read_rate(base, validation, options.threads)
    report(f"{len(train)} lines to train on, {len(validation)} held out; CER before {before}")
    data = {key: getattr(options, key) for key in ("unipen", "fonts", "texts")}
    config = {
        "model": {"base": base.path / stage.WEIGHTS},
        "data": {"set": options.data, "train_lines": len(train), "validation_lines": len(validation), **data},
    } | ({"alphabet": {"new": "".join(new)}} if new else {})
    with (
        ended_at_once(),
        only_run(run_folder),
        _finished_when_written(run_folder),
        tempfile.TemporaryDirectory() as scratch,
    ):
        network, run = train_network(
            base, train, validation, run_folder, options.recipe, renderer, alphabet=alphabet, config=config,
            trackers=options.trackers, more_follows=True, report=report,
        )  # fmt: skip
        folder = Path(scratch)
        beside = options.data if options.data.is_dir() else options.data.parent
        corrections = manifest if (manifest := beside / EXPORTED).is_file() else None
        report("exporting the network to ONNX")
        tuned = tune_bundle(
            network, run, base, train, validation, folder, options.recipe, name, options.version, corrections, new
        )
        after = read_rate(tuned, validation, options.threads)
        report(f"CER after {after}, best at step {run.steps}{_kept(run)}")
        if after.value > before.value and not options.force:
            raise DataInvalid(
                "the held-out lines read worse than before: nothing was written; check the labels, give more lines, "
                "or write it all the same with --force."
            )
        metrics = {**tuned.description.metrics, "own": _figures(before, after, validation)}
        stage.describe(folder, replace(tuned.description, metrics=metrics))
        stage.install(folder, options.out)
    return FineTuned(Bundle.open(options.out), before, after, len(train), len(validation), run_folder)


def _new_shares(own: OwnLines, alphabet: str) -> dict[str, float]:
    """The new characters in the lines, each with its share of all characters."""
    characters = sum(len(line.text) for line in own.lines)
    found = new_characters(own.unknown, MIN_OCCURRENCES, alphabet)
    return {character: own.unknown[character] / characters for character in found}


def _kept(run: Run) -> str:
    return "" if run.kept is None else f", {100 * run.kept:.0f} % of the change kept, against forgetting"


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
    parser.add_argument("--version", help="its version (default: the old one's with the time)")
    parser.add_argument(
        "--run", type=Path,
        help="folder of the run (default: runs/NAME); the same command continues an interrupted run there",
    )  # fmt: skip
    parser.add_argument("--trackers", help="of csv, mlflow, wandb, tensorboard, comma separated; or 'none'")
    parser.add_argument(
        "--line-types", default="Handwritten", help="types of lines if the set names them, comma separated"
    )
    parser.add_argument("--validate-share", type=float, default=0.15, help="held out of training (%(default)s)")
    parser.add_argument("--hold-out", choices=("page", "writer"), default="page", help="what is held out as a whole")
    parser.add_argument("--steps", type=int, default=defaults.steps, help="most batches (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size, help="lines of each (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate, help="at its peak (%(default)s)")
    parser.add_argument(
        "--rank", type=int, default=defaults.rank,
        help="train factors of this rank, not the weights (LoRA), which forgets less; 0: the weights (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--max-time", default=defaults.max_time, help="DD:HH:MM:SS of training (%(default)s)")
    parser.add_argument("--unipen", type=Path, help="cache of 'train data prepare': rendered lines between your own")
    parser.add_argument("--fonts", type=Path, help="folder of 'train data fonts': the same from fonts")
    parser.add_argument("--texts", type=Path, help="folder of 'train data texts': wording of the rendered lines")
    parser.add_argument("--replay", type=float, default=defaults.replay, help="share of rendered lines (%(default)s)")
    parser.add_argument(
        "--forgetting", type=float, default=defaults.forgetting,
        help="share by which errors on rendered lines may grow at most (%(default)s); see docs/learn/finetuning.md",
    )  # fmt: skip
    parser.add_argument(
        "--extend-alphabet", action="store_true",
        help=f"learn characters that the base model does not know, if they occur at least {MIN_OCCURRENCES} times",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=defaults.seed, help="of all that is drawn (%(default)s)")
    parser.add_argument("--threads", type=int, help="processor threads")
    parser.add_argument("--force", action="store_true", help="write the bundle even if it reads worse")
    return parser


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train finetune`."""
    args = _parser().parse_args(argv)
    options = FineTuneOptions(
        data=args.set, out=args.out, base=args.base, name=args.name, version=args.version,
        line_types=tuple(args.line_types.split(",")), validation_share=args.validate_share, hold_out=args.hold_out,
        unipen=args.unipen, fonts=args.fonts, texts=args.texts, run=args.run, threads=args.threads, force=args.force,
        trackers=None if args.trackers is None else parse_trackers(args.trackers),
        extend_alphabet=args.extend_alphabet,
        recipe=Recipe(
            steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate, replay=args.replay,
            rank=args.rank, forgetting=args.forgetting, max_time=args.max_time, seed=args.seed,
            warmup_steps=min(Recipe.warmup_steps, args.steps // 4),
        ),
    )  # fmt: skip
    quiet()
    made = fine_tune(options, lambda line: print(line, file=sys.stderr, flush=True))
    print(f"CER on {made.validation} held-out lines: before {made.before}, after {made.after}")
    if made.after.value > made.before.value:
        print("written although the held-out lines read worse than before (--force)", file=sys.stderr)
    print(f"{made.bundle.path}: {made.bundle}; its run is in {made.run}")
    return 0


def _figures(before: Rate, after: Rate, validation: Sequence[OwnLine]) -> dict[str, Any]:
    return {"lines": len(validation), "cer_before": round(before.value, 4), "cer_after": round(after.value, 4)}


def quiet() -> None:
    """Silence messages from Lightning and the exporter that users cannot act on."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("lightning.pytorch", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for module in (r"torch\.", r"lightning\.", r"text_recognizer\.training\.stage", "copyreg"):
        warnings.filterwarnings("ignore", module=module)
