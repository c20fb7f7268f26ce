"""`text-recognizer train COMMAND`: train models and prepare their data."""

from __future__ import annotations

import argparse
from importlib import import_module

# Command: module with `main(argv) -> int`, and its purpose.
COMMANDS = {
    "finetune": ("text_recognizer.training.finetune", "fine-tune the model on lines of your own"),
    "stage": ("text_recognizer.training.stage", "turn a training run into a bundle"),
    "data": ("text_recognizer.synthesis.cli", "prepare and preview training data"),
    "runs": ("text_recognizer.training.runs", "list and compare training runs"),
    "sweep": ("text_recognizer.training.sweep", "search a space of settings with many short runs"),
    "rate": ("text_recognizer.training.rate", "find a learning rate by a range test"),
    "language-model": ("text_recognizer.training.language_model", "estimate the language model of a bundle"),
    "neural-language-model": ("text_recognizer.training.neural_language", "train the model that judges close readings"),
    "marks": ("text_recognizer.training.marks", "train what tells print from handwriting and finds struck-out words"),
    "demo": ("text_recognizer.training.demo", "run every step of making a model in minutes, without data"),
}
# Commands of LightningCLI, which share one parser.
LIGHTNING = {
    "fit": "train a network by a config",
    "validate": "measure a checkpoint on the validation lines",
    "test": "measure a checkpoint on lines that never chose one",
}


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train`."""
    if argv and argv[0] in COMMANDS:
        status: int = import_module(COMMANDS[argv[0]][0]).main(argv[1:])
        return status
    if not argv or argv[0] not in LIGHTNING:
        _parser().parse_args(argv)
    from text_recognizer.training.train import run

    run(argv)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="text-recognizer train", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, purpose in {**LIGHTNING, **{name: purpose for name, (_, purpose) in COMMANDS.items()}}.items():
        commands.add_parser(name, help=purpose, add_help=False)
    return parser
