"""Training of the recogniser: losses, learning rate, validation. `text-recognizer train` runs it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from text_recognizer.evaluation.metrics import edits
from text_recognizer.training.data import Batch, Codec
from text_recognizer.training.device_augment import augment_ink
from text_recognizer.training.growth import load_weights
from text_recognizer.training.models.recognizer import BLANK, FIRST_CHARACTER, PAD, Recognizer, RecognizerConfig
from text_recognizer.training.optim import Muon


@dataclass(frozen=True)
class Shown:
    """A validation image with its text and the reading of each head."""

    image: NDArray[np.uint8]  # (H, W), 255 = ink
    truth: str
    readings: dict[str, str]


class LitRecognizer(L.LightningModule):
    """Joint CTC and cross-entropy training.

    Args:
        config: sizes of the network.
        learning_rate: peak rate of AdamW.
        warmup_steps: linear warm-up.
        total_steps: end of the run. The rate stays at its peak and decays to zero over the last `decay_share`, so a
            run can be prolonged from any checkpoint before the decay.
        ctc_weight: share of the CTC loss in the sum of both losses.
        token_noise: share of the decoder's input tokens to replace at random, so that it does not rely only on the
            text.
        augment: strength of the augmentation on the training device; 0 for none, since a CPU has no time for it.
        weights: recognizer.safetensors of a bundle to start from; steps start at 0. `config` may have more attention
            layers, more blocks in its last stage and more channels than the bundle; they have no effect at first.
        muon: update matrices and kernels with `optim.Muon` instead of AdamW.
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
        augment: float = 0.0,
        weights: Path | None = None,
        muon: bool = False,
    ) -> None:
        super().__init__()
        # For the checkpoint; the trackers receive all arguments (`callbacks.RunRecord`).
        facts = {**asdict(config), "learning_rate": learning_rate, "total_steps": total_steps}
        self.save_hyperparameters(facts, logger=False)
        self.config = config
        self.network = self.make_network(config)
        if weights is not None:
            load_weights(self.network, weights)
        self.codec = Codec()
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.warmup_steps, self.total_steps, self.decay_share = warmup_steps, total_steps, decay_share
        self.ctc_weight, self.label_smoothing, self.token_noise = ctc_weight, label_smoothing, token_noise
        self.augment = augment
        self.muon = muon
        self._counts: dict[str, list[int]] = {}
        self.samples: list[Shown] = []
        self._seed = 0

    def make_network(self, config: RecognizerConfig) -> Recognizer:
        """The network to train."""
        return Recognizer(config)

    # ------------------------------------------------------------------------------------------------ training

    def on_fit_start(self) -> None:
        self._seed = torch.initial_seed()

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        # Seed dropout and token noise too, so that a resumed run draws the same.
        seed = np.random.SeedSequence([self._seed, self.global_rank, self.global_step])
        torch.manual_seed(int(seed.generate_state(1, np.uint64)[0]))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        if self.training and self.augment > 0:
            # Seeded by the step, so that a resumed run sees the same lines.
            images = augment_ink(batch.images, batch.widths, self.augment, seed=self.global_step)
            return replace(batch, images=images)
        return batch

    def losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Mean CTC and cross-entropy loss of a batch, both per character."""
        images = batch.inputs()
        inputs, targets = batch.tokens[:, :-1], batch.tokens[:, 1:]
        if self.training and self.token_noise > 0:
            noise = torch.rand(inputs.shape, device=inputs.device) < self.token_noise
            noise[:, 0] = False
            random = torch.randint_like(inputs, FIRST_CHARACTER, self.config.vocabulary)
            inputs = torch.where(noise & (inputs != PAD), random, inputs)
        ctc, logits, lengths = self.forward_lines(batch, images, inputs)
        ce_loss = F.cross_entropy(
            logits.float().flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=self.label_smoothing
        )
        log_probs = ctc.float().log_softmax(-1).transpose(0, 1)  # (T, B, V)
        ctc_loss = F.ctc_loss(
            log_probs, batch.tokens[:, 1:-1], lengths, batch.lengths, blank=BLANK, reduction="sum", zero_infinity=True
        ) / batch.lengths.sum().clamp(min=1)
        return ctc_loss, ce_loss

    def forward_lines(self, batch: Batch, images: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The result of the network's `forward` for the lines of `batch`."""
        return self.network(images, batch.widths, inputs)  # type: ignore[no-any-return]

    def training_step(self, batch: Batch, _: int) -> Tensor:
        ctc, ce = self.losses(batch)
        loss = self.ctc_weight * ctc + (1 - self.ctc_weight) * ce
        size = batch.images.shape[0]
        self.log("loss/ctc", ctc, prog_bar=True, batch_size=size)
        self.log("loss/ce", ce, prog_bar=True, batch_size=size)
        return loss

    def rate(self, step: int) -> float:
        """Learning rate factor: warm-up, plateau, cosine decay."""
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
        groups: list[dict[str, Any]] = [
            {"params": decay, "weight_decay": self.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        optimizer: torch.optim.Optimizer
        if self.muon:
            # Layers that look up or score characters have a row for each, which are not directions in one space.
            by_character = (m for m in self.modules() if isinstance(m, nn.Embedding | nn.Linear))
            rows = {m.weight for m in by_character if self.config.vocabulary in m.weight.shape}
            groups[0]["params"] = [p for p in decay if p in rows]
            matrices = [p for p in decay if p not in rows]
            groups.append({"params": matrices, "weight_decay": self.weight_decay, "orthogonal": True})
            products = torch.bfloat16 if precision() == "bf16-mixed" else torch.float32
            optimizer = Muon(groups, lr=self.learning_rate, dtype=products)
        else:
            optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, betas=(0.9, 0.98), foreach=True)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self.rate), "interval": "step"},
        }

    # ---------------------------------------------------------------------------------------------- validation

    @torch.no_grad()
    def read(self, batch: Batch) -> dict[str, list[str]]:
        """The greedy reading of each head for each image of `batch`."""
        images = batch.inputs()
        decoded = self.network.greedy(images, batch.widths, int(batch.lengths.max()) + 12)
        decoder = [self.codec.decode(row) for row in decoded]
        _, logits, mask = self.network.encoder(images, batch.widths)
        return {"ctc": self.best_path(logits, mask), "decoder": decoder}

    def best_path(self, logits: Tensor, mask: Tensor) -> list[str]:
        """Texts of the CTC logits (B, T, V) of encoded lines."""
        best = logits.float().argmax(-1)  # (B, T)
        best = best.masked_fill(mask[:, 0, 0] < 0, BLANK)
        return [self.codec.decode_ctc(row) for row in best.tolist()]

    def truths(self, batch: Batch) -> list[str]:
        """The text of each image of `batch`."""
        return [self.codec.decode(row) for row in batch.tokens.tolist()]

    def on_validation_epoch_start(self) -> None:
        self._counts, self.samples = {}, []

    def validation_step(self, batch: Batch, index: int) -> None:
        truths = self.truths(batch)
        read = self.read(batch)
        for name, texts in read.items():
            counts = self._counts.setdefault(name, [0, 0])
            counts[0] += sum(map(edits, truths, texts))
            counts[1] += sum(map(len, truths))
        row = index % len(truths)
        image = batch.images[row, 0, :, : int(batch.widths[row])].cpu().numpy()
        self.samples.append(Shown(image, truths[row], {name: texts[row] for name, texts in read.items()}))

    def on_validation_epoch_end(self) -> None:
        self._log_rates("val")
        if self.trainer.is_global_zero and not self.trainer.sanity_checking:
            lines = [f"step {self.global_step}"]
            for shown in self.samples[:6]:
                lines += [f"  {shown.truth}", *(f"  {name:7} {text}" for name, text in shown.readings.items())]
            with (Path(self.trainer.default_root_dir) / "samples.txt").open("a", encoding="utf-8") as out:
                out.write("\n".join(lines) + "\n")

    def on_test_epoch_start(self) -> None:
        self.on_validation_epoch_start()

    def test_step(self, batch: Batch, index: int) -> None:
        self.validation_step(batch, index)

    def on_test_epoch_end(self) -> None:
        self._log_rates("test")

    def _log_rates(self, stage: str) -> None:
        for name, counts in self._counts.items():
            errors, characters = self.trainer.strategy.reduce(  # over all processes
                torch.tensor(counts, dtype=torch.float64), reduce_op="sum"
            ).tolist()
            self.log(f"{stage}/cer_{name}", errors / max(1, characters), prog_bar=True)


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 natively; otherwise bf16 is slower than float32."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and "avx512_bf16" in _cpu_flags()  # noqa: SLF001


def _cpu_flags() -> str:
    try:
        return next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        return ""


def precision() -> str:
    """bf16 if the GPU, or without a GPU the CPU, computes it natively; otherwise float32.

    GPUs before Ampere (T4, V100) only emulate bf16, which is slower than float32.
    """
    gpu = torch.cuda.is_available()
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False) if gpu else cpu_has_bf16()
    return "bf16-mixed" if bf16 else "32-true"
