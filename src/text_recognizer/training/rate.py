"""`text-recognizer train rate`: try increasing learning rates for some steps, and suggest one.

Reference: Smith, "Cyclical learning rates for training neural networks", WACV 2017, arXiv:1506.01186, section 3.3.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lightning.pytorch.tuner.tuning import Tuner

from text_recognizer.errors import DataInvalid, OutputFailed, UsageError
from text_recognizer.training.train import TrainCLI, parsed

ROWS = 12  # in the printed table
LEAST_STEPS = 20


@dataclass(frozen=True)
class Rates:
    """Learning rates in the order of trial, with the smoothed loss at each, and the suggested rate.

    `suggestion` is the rate at which the loss falls most steeply; None if it never falls.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float | None


class _RateCLI(TrainCLI):
    """The parser and objects of `fit`, with a range test instead of training."""

    found: Rates

    def __init__(self, arguments: Sequence[str], least: float, most: float, steps: int) -> None:
        self.least, self.most, self.steps = least, most, steps
        super().__init__(arguments)

    def _run_subcommand(self, subcommand: str) -> None:
        finder = Tuner(self.trainer).lr_find(
            self.model, datamodule=self.datamodule, min_lr=self.least, max_lr=self.most, num_training=self.steps,
            update_attr=False,
        )  # fmt: skip
        if finder is None:
            raise UsageError("--trainer.fast_dev_run trains too little to compare learning rates; leave it out")
        rates, losses = finder.results["lr"], finder.results["loss"]
        count = min(len(rates), len(losses))
        suggestion = finder.suggestion() if any(b < a for a, b in pairwise(losses)) else None
        self.found = Rates(tuple(map(float, rates[:count])), tuple(map(float, losses[:count])), suggestion)


def find_rate(arguments: Sequence[str], least: float = 1e-6, most: float = 1.0, steps: int = 100) -> Rates:
    """Train `steps` steps with learning rates that rise from `least` to `most`. No files are kept.

    Args:
        arguments: of `train fit`, such as `["--config", "line-small"]`.

    The test ends early when the loss is four times its minimum. Raises UsageError and DataInvalid like `train.run`.
    """
    if not 0 < least < most or steps < LEAST_STEPS:
        raise UsageError(f"give --from less than --to, both above 0, and --steps of {LEAST_STEPS} or more")
    with tempfile.TemporaryDirectory() as scratch:
        quiet = ["--trainer.default_root_dir", scratch, "--trainer.logger", "false", "--ckpt_path", "null"]
        cli = parsed(lambda: _RateCLI(["fit", *arguments, *quiet], least, most, steps), ["fit", *arguments])
    if not cli.found.rates:
        raise DataInvalid("no step was made: give --steps more, or data with lines.")
    return cli.found


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train rate`; unknown arguments are passed to `fit`."""
    parser = argparse.ArgumentParser(prog="text-recognizer train rate", description=__doc__, allow_abbrev=False)
    parser.add_argument("--from", dest="least", type=float, default=1e-6, help="lowest rate (%(default)s)")
    parser.add_argument("--to", dest="most", type=float, default=1.0, help="highest rate (%(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="number of rates to try (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rates and losses here")
    args, arguments = parser.parse_known_args(argv)
    found = find_rate(arguments, args.least, args.most, args.steps)
    highest = max(filter(math.isfinite, found.losses), default=1.0)
    for number in range(0, len(found.rates), max(1, len(found.rates) // ROWS)):
        loss = found.losses[number]
        bar = "█" * round(40 * loss / highest) if math.isfinite(loss) else ""
        print(f"{found.rates[number]:10.2e}  {loss:9.3f}  {bar}")
    if args.json:
        held = {"rates": found.rates, "losses": found.losses, "suggestion": found.suggestion}
        try:
            args.json.write_text(json.dumps(held) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputFailed(f"cannot write {args.json} ({error.strerror}); give another file") from None
    if found.suggestion is None:
        print("the loss never fell: try --from lower, or more --steps")
    else:
        print(f"suggested: --model.learning_rate {found.suggestion:.1e}")
    return 0
