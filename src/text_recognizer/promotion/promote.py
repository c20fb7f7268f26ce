"""Promote a model; production is guarded by the gate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from text_recognizer.bundle import Bundle
from text_recognizer.errors import GateRefused, UsageError
from text_recognizer.evaluation.evaluate import By
from text_recognizer.evaluation.gate import SLOWER, TOLERANCE, Verdict, gate
from text_recognizer.page import Mode
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.registry import DEFAULT, Model, resolve


@dataclass(frozen=True, kw_only=True)
class PromoteOptions:
    """How to promote a model.

    Args:
        alias: "staging", or "production", which the gate guards.
        sets: sets for the gate, in any form that `evaluate` reads.
        mode, by: how the gate reads.
        tolerance: CER, as a share, by which the lower bound of the difference may exceed 0.
        slower: allowed multiple of production's seconds per image.
        force: promote whatever the gate finds; requires a reason.
        reason: stored with the promotion.
    """

    alias: str = "production"
    sets: Sequence[Path] = ()
    mode: Mode = "accurate"
    by: By = "line"
    tolerance: float = TOLERANCE
    slower: float = SLOWER
    threads: int | None = None
    force: bool = False
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.force and not self.reason:
            raise UsageError("--force needs a --reason, which is stored with the promotion")
        if self.alias == "production" and not self.sets and not self.force:
            raise UsageError("give the sets that the gate measures on with --sets, or --force with a --reason")


def promote(
    registry: Registrar, model: Model, options: PromoteOptions, report: Callable[[Verdict], None] = lambda _: None
) -> Verdict | None:
    """Point an alias to `model`. The gate compares it with the model in production, or else with the shipped one.

    `report` receives the verdict before anything changes. Raises GateRefused, and then nothing changes.
    """
    verdict = None
    if options.alias == "production" and options.sets:
        production = registry.find("production").path if registry.current("production") else resolve(DEFAULT)
        verdict = gate(
            Bundle.open(model.path), Bundle.open(production), options.sets, options.mode, options.by,
            options.tolerance, options.slower, options.threads,
        )  # fmt: skip
        report(verdict)
        if verdict.faults and not options.force:
            raise GateRefused(f"{model} was not promoted: {'; '.join(verdict.faults)}")
    registry.promote(model, options.alias, options.reason, verdict.as_dict() if verdict else None)
    return verdict
