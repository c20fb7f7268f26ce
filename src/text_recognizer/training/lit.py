"""Train the line recogniser with Lightning: `text-recognizer train`."""

from __future__ import annotations

import argparse
import math
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import (
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.loggers import CSVLogger
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from text_recognizer.errors import DataInvalid
from text_recognizer.training.data import Batch, Codec, RenderedLines
from text_recognizer.training.models.recognizer import BLANK, FIRST_CHARACTER, PAD, Recognizer, RecognizerConfig


class LitRecognizer(L.LightningModule):
    """Joint CTC and cross-entropy training.

    Args:
        config: sizes of the network.
        learning_rate: peak rate of AdamW.
        warmup_steps: linear warm-up.
        total_steps: end of the run; the rate stays at its peak and falls to zero over the last `decay_share`, so that
            a run can be prolonged from any checkpoint before the fall.
        ctc_weight: share of the CTC loss in the sum of both.
        token_noise: share of the decoder's input tokens replaced at random, against leaning on the text alone.
    """

    def __init__(
        self,
        config: RecognizerConfig,
        learning_rate: float = 1.2e-3,
        weight_decay: float = 0.02,
        warmup_steps: int = 400,
        total_steps: int = 20_000,
        decay_share: float = 0.3,
        ctc_weight: float = 0.5,
        label_smoothing: float = 0.05,
        token_noise: float = 0.08,
    ) -> None:
        super().__init__()
        self.save_hyperparameters({**asdict(config), "learning_rate": learning_rate, "total_steps": total_steps})
        self.config = config
        self.network = Recognizer(config)
        self.codec = Codec()
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.warmup_steps, self.total_steps, self.decay_share = warmup_steps, total_steps, decay_share
        self.ctc_weight, self.label_smoothing, self.token_noise = ctc_weight, label_smoothing, token_noise
        self._counts: dict[str, list[int]] = {}
        self.samples: list[tuple[str, str, str]] = []

    # ------------------------------------------------------------------------------------------------ training

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean CTC and cross-entropy loss of a batch, each a character."""
        images = batch.images.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)
        inputs, targets = batch.tokens[:, :-1], batch.tokens[:, 1:]
        if self.training and self.token_noise > 0:
            noise = torch.rand(inputs.shape, device=inputs.device) < self.token_noise
            noise[:, 0] = False
            random = torch.randint_like(inputs, FIRST_CHARACTER, self.config.vocabulary)
            inputs = torch.where(noise & (inputs != PAD), random, inputs)
        ctc, logits, lengths = self.network(images, batch.widths, inputs)
        log_probs = ctc.float().log_softmax(-1).transpose(0, 1)  # (T, B, V)
        ctc_loss = F.ctc_loss(
            log_probs, batch.tokens[:, 1:-1], lengths, batch.lengths, blank=BLANK, reduction="sum", zero_infinity=True
        ) / batch.lengths.sum().clamp(min=1)
        ce_loss = F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=self.label_smoothing
        )
        return ctc_loss, ce_loss

    def training_step(self, batch: Batch, _: int) -> Tensor:
        ctc, ce = self.losses(batch)
        loss = self.ctc_weight * ctc + (1 - self.ctc_weight) * ce
        size = batch.images.shape[0]
        self.log("loss/ctc", ctc, prog_bar=True, batch_size=size)
        self.log("loss/ce", ce, prog_bar=True, batch_size=size)
        return loss

    def rate(self, step: int) -> float:
        """Learning rate factor: warm-up, plateau, cosine fall."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        fall = self.total_steps * (1 - self.decay_share)
        if step < fall:
            return 1.0
        x = min(1.0, (step - fall) / max(1.0, self.total_steps - fall))
        return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * x))

    def configure_optimizers(self) -> Any:
        decay = [p for p in self.parameters() if p.ndim >= 2]
        rest = [p for p in self.parameters() if p.ndim < 2]
        optimizer = torch.optim.AdamW(
            [{"params": decay, "weight_decay": self.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=self.learning_rate,
            betas=(0.9, 0.98),
            foreach=True,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self.rate), "interval": "step"},
        }

    # ---------------------------------------------------------------------------------------------- validation

    def on_validation_epoch_start(self) -> None:
        self._counts = {"ctc": [0, 0], "decoder": [0, 0]}
        self.samples = []

    def validation_step(self, batch: Batch, index: int) -> None:
        images = batch.images.to(torch.float32).div(255).contiguous(memory_format=torch.channels_last)
        _, logits, mask = self.network.encoder(images, batch.widths)
        best = logits.float().argmax(-1)  # (B, T)
        best = best.masked_fill(mask[:, 0, 0] < 0, BLANK)
        limit = int(batch.lengths.max()) + 12
        decoded = self.network.greedy(images, batch.widths, limit)
        for row in range(images.shape[0]):
            truth = self.codec.decode(batch.tokens[row].tolist())
            read = {"ctc": self.codec.decode_ctc(best[row].tolist()), "decoder": self.codec.decode(decoded[row])}
            for name, text in read.items():
                self._counts[name][0] += Levenshtein.distance(truth, text)
                self._counts[name][1] += len(truth)
            if row == index % images.shape[0]:
                self.samples.append((truth, read["ctc"], read["decoder"]))

    def on_validation_epoch_end(self) -> None:
        for name, counts in self._counts.items():
            errors, characters = self.trainer.strategy.reduce(  # over all processes
                torch.tensor(counts, dtype=torch.float64), reduce_op="sum"
            ).tolist()
            self.log(f"val/cer_{name}", errors / max(1, characters), prog_bar=True)
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            lines = [f"step {self.global_step}"]
            lines += [f"  {truth}\n  ctc     {ctc}\n  decoder {dec}" for truth, ctc, dec in self.samples[:6]]
            with (Path(self.trainer.default_root_dir) / "samples.txt").open("a", encoding="utf-8") as out:
                out.write("\n".join(lines) + "\n")


def cpu_has_bf16() -> bool:
    """True where the processor multiplies bf16 natively; elsewhere it is slower than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and "avx512_bf16" in _cpu_flags()


def _cpu_flags() -> str:
    try:
        return next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return ""


def precision() -> str:
    return "bf16-mixed" if torch.cuda.is_available() or cpu_has_bf16() else "32-true"


def load_weights(network: Recognizer, file: Path) -> None:
    """Fill `network` with the weights of a bundle. Raises DataInvalid if they are of another network."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataInvalid(f"{file} does not fit this network ({reason}): give weights of the same sizes.") from error


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train`."""
    parser = argparse.ArgumentParser(prog="text-recognizer train", description=__doc__)
    parser.add_argument("--unipen", type=Path, required=True, help="cache made by 'text-recognizer data prepare'")
    parser.add_argument("--fonts", type=Path, help="folder made by 'text-recognizer data fonts'")
    parser.add_argument("--texts", type=Path, help="folder made by 'text-recognizer data texts'")
    parser.add_argument("--out", type=Path, default=Path("runs/recognizer"))
    parser.add_argument("--total-steps", type=int, default=20_000)
    parser.add_argument("--decay-share", type=float, default=0.3)
    parser.add_argument("--max-time", help="DD:HH:MM:SS")
    parser.add_argument("--learning-rate", type=float, default=1.2e-3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--font-share", type=float, default=0.25)
    parser.add_argument("--max-chars", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--validate-every", type=int, default=1000)
    parser.add_argument(
        "--resume", type=Path, help="checkpoint to go on from ('last.ckpt' in --out is found by itself)"
    )
    parser.add_argument(
        "--weights", type=Path, help="recognizer.safetensors of a bundle to begin with; steps start at 0"
    )
    parser.add_argument("--threads", type=int, default=0, help="threads of each process, 0 for torch's own choice")
    parser.add_argument(
        "--devices", type=int, default=1,
        help="processes: GPUs, or on a CPU processes of --threads each; they share the lines of --batch-size",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    L.seed_everything(args.seed)
    warnings.filterwarnings("ignore", ".*(num_workers|isinstance|sync_dist|many workers).*")
    codec = Codec()
    config = RecognizerConfig(vocabulary=len(codec))
    module = LitRecognizer(
        config, learning_rate=args.learning_rate, total_steps=args.total_steps, decay_share=args.decay_share
    )
    module.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if args.weights:
        load_weights(module.network, args.weights)
    data = RenderedLines(
        args.unipen, args.fonts, args.texts, batch_size=args.batch_size, workers=args.workers, seed=args.seed,
        font_share=args.font_share, max_chars=args.max_chars,
    )  # fmt: skip
    checkpoints = ModelCheckpoint(
        args.out, filename="best-{step}", monitor="val/cer_decoder", save_top_k=2,
        auto_insert_metric_name=False,
    )  # fmt: skip
    # A machine that is taken away costs at most this many steps.
    latest = ModelCheckpoint(
        args.out, filename="last", every_n_train_steps=250, save_top_k=1, enable_version_counter=False
    )
    trainer = L.Trainer(
        default_root_dir=args.out,
        max_steps=args.total_steps,
        max_epochs=-1,
        max_time=args.max_time,
        precision=precision(),  # type: ignore[arg-type]
        devices=args.devices,
        strategy="ddp" if args.devices > 1 else "auto",
        use_distributed_sampler=False,  # RenderedLines shares the lines out itself
        gradient_clip_val=2.0,
        val_check_interval=args.validate_every,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        log_every_n_steps=50,
        logger=CSVLogger(args.out, name="log"),
        callbacks=[
            checkpoints,
            latest,
            EMAWeightAveraging(decay=0.999, update_starting_at_step=800),
            LearningRateMonitor("step"),
            TQDMProgressBar(refresh_rate=50),
        ],
    )
    last = args.out / "last.ckpt"
    resume = args.resume or (last if last.is_file() else None)
    trainer.fit(module, data, ckpt_path=resume, weights_only=False if resume else None)
    trainer.save_checkpoint(last)  # the end of the run, which is seldom a multiple of the steps between checkpoints
    return 0
