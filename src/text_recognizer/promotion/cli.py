"""`text-recognizer models`: list, show, trace, promote by the gate, roll back, push, pull and prune. Needs no torch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from text_recognizer.bundle import Bundle
from text_recognizer.errors import BundleInvalid, OutputFailed, UsageError
from text_recognizer.page import MODES
from text_recognizer.promotion.ancestry import FORMATS, ancestry, find_exports
from text_recognizer.promotion.lineage import lineage
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.registry import ALIASES, DEFAULT, resolve

_PLACES = "folder, s3://bucket/prefix, hf://OWNER/NAME or wandb:ENTITY/PROJECT/NAME[:ALIAS]"


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer models`."""
    args = _parser().parse_args(argv)
    registry = Registrar(args.folder)
    # As wide as the terminal; without a terminal, wide enough for programs that parse the table.
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    status: int | None = _COMMANDS[args.command](args, registry, console)
    return status or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="text-recognizer models", description=__doc__)
    parser.add_argument("--folder", type=Path, help="of the models (default: $TEXT_RECOGNIZER_MODELS, else ./models)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command = commands.add_parser("list", help="list models, and those in staging and production")
    command.add_argument("--json", action="store_true", help="one object a model on one line")
    command = commands.add_parser("show", help="show the origin of a model, and how to reproduce it")
    command.add_argument("model", nargs="?", default=DEFAULT, help="alias, NAME, NAME@VERSION or folder (the shipped)")
    command.add_argument("--json", action="store_true", help="the whole description")
    command = commands.add_parser("lineage", help="show the ancestry of a model, back to the first one")
    command.add_argument("model", nargs="?", default=DEFAULT, help="alias, NAME, NAME@VERSION or folder (the shipped)")
    command.add_argument("--format", choices=FORMATS, default="text", help="text (default), or a picture: svg, …")
    command.add_argument("--corrections", type=Path, nargs="+", default=[], help="folders of 'feedback export'")
    command.add_argument("--output", type=Path, metavar="FILE", help="write here (default: standard output)")
    command = commands.add_parser("add", help="register a bundle that 'stage' wrote")
    command.add_argument("bundle", type=Path, help="folder that 'train stage' or 'train finetune' wrote")
    command = commands.add_parser("promote", help="promote a model to staging or, through the gate, to production")
    command.add_argument("model", help="NAME@VERSION, NAME or 'staging'")
    command.add_argument("--to", choices=ALIASES, default="production", help="(%(default)s)")
    command.add_argument("--sets", type=Path, nargs="+", default=[], help="sets that the gate measures on")
    command.add_argument("--mode", choices=MODES, default="accurate", help="of reading (%(default)s)")
    command.add_argument("--by", choices=("line", "page"), default="line", help="how sets are read (%(default)s)")
    command.add_argument("--tolerance", type=float, default=0.0, help="allowed points of CER (%(default)s)")
    command.add_argument(
        "--slower", type=float, default=1.25, help="allowed multiple of production's seconds (%(default)s)"
    )
    command.add_argument("--threads", type=int, help="processor threads (default: all cores)")
    command.add_argument("--force", action="store_true", help="promote whatever the gate finds; needs --reason")
    command.add_argument("--reason", help="stored with the promotion")
    command = commands.add_parser("rollback", help="return to the previous model")
    command.add_argument("alias", nargs="?", choices=ALIASES, default="production", help="(%(default)s)")
    command.add_argument("--reason", help="stored with the rollback")
    command = commands.add_parser("push", help="copy a model to a folder, S3, Hugging Face or W&B")
    command.add_argument("model", help="alias, NAME or NAME@VERSION")
    command.add_argument("target", help=_PLACES)
    command = commands.add_parser("pull", help="copy a model from there into the registry")
    command.add_argument("source", help=_PLACES)
    command.add_argument("model", nargs="?", help="NAME@VERSION or NAME")
    command = commands.add_parser("prune", help="remove old models that no alias needs; without --yes only list them")
    command.add_argument("--keep", type=int, required=True, metavar="N", help="newest versions of each name to keep")
    command.add_argument("--yes", action="store_true", help="remove them")
    return parser


def _list(args: argparse.Namespace, registry: Registrar, console: Console) -> None:
    meant = {alias: entry for alias in ALIASES if (entry := registry.current(alias))}
    rows, faults = [], []
    for model in registry.models():
        try:
            description = Bundle.open(model.path).description
        except BundleInvalid as error:  # a damaged bundle must not hide the others
            faults.append(error)
            continue
        aliases = [alias for alias, entry in meant.items() if entry["model"] == str(model)]
        rows.append((model, aliases, description))
    if args.json:
        for model, aliases, description in rows:
            record = {"model": str(model), "path": str(model.path), "sha256": model.digest, "aliases": aliases}
            print(json.dumps(record | {"git_commit": description.git_commit, "metrics": description.metrics}))
    elif rows:
        table = Table("model", "alias", "steps", "commit", "size", box=None, pad_edge=False)
        for model, aliases, description in rows:
            size = sum(file.stat().st_size for file in model.path.iterdir()) / 1e6
            steps = str(description.run.steps or "")
            table.add_row(str(model), ", ".join(aliases), steps, description.git_commit[:10], f"{size:.0f} MB")
        console.print(table)
    elif not faults:
        console.print(f"no models in {registry.folder}; register one with 'text-recognizer models add BUNDLE'")
    if faults:
        others = f" (and {len(faults) - 1} more that cannot be used)" if len(faults) > 1 else ""
        raise BundleInvalid(f"{faults[0]}{others}")


def _open(name: str, registry: Registrar) -> Bundle:
    """Open the bundle of an alias or name in `registry`, of a folder, or the shipped one."""
    if name == DEFAULT or Path(name).is_dir() or len(Path(name).parts) != 1:
        return Bundle.open(resolve(name))
    return Bundle.open(registry.find(name).path)


def _show(args: argparse.Namespace, registry: Registrar, console: Console) -> None:
    bundle = _open(args.model, registry)
    if args.json:
        print(json.dumps(bundle.description.to_dict(), ensure_ascii=False, indent=1))
        return
    for head, lines in lineage(bundle).items():
        console.print(f"[bold]{head}[/bold]")
        for line in lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)
    name = f"{bundle.name}@{bundle.version}"
    for alias in ALIASES:
        for entry in registry.history(alias):
            if entry["model"] == name:
                what = "back to it" if entry.get("rollback") else "promoted"
                console.print(f"{alias}: {what} {entry['at']}" + (f", {entry['reason']}" if entry["reason"] else ""))
                if gate := entry.get("gate"):
                    _print_gate(gate, console)


def _lineage(args: argparse.Namespace, registry: Registrar, console: Console) -> None:
    shown = FORMATS[args.format](ancestry(_open(args.model, registry), registry, find_exports(args.corrections)))
    if args.output is None:
        print(shown, end="")
        return
    try:
        args.output.write_text(shown, encoding="utf-8")
    except OSError as error:
        raise OutputFailed(f"cannot write {args.output} ({error.strerror}); give another --output") from None


def _print_gate(report: dict[str, Any], console: Console) -> None:
    table = Table(
        "set", "samples", "CER", f"{report['production']}", "difference (95 %)", "s an image", "ratio",
        title=f"{report['candidate']} against {report['production']} · {report['mode']} · by {report['by']}",
        title_justify="left", box=None, pad_edge=False,
    )  # fmt: skip
    for c in report["comparisons"]:
        d = c["difference"]
        table.add_row(
            c["set"], str(c["samples"]), f"{100 * c['candidate']:.2f} %", f"{100 * c['production']:.2f} %",
            f"{100 * d['value']:+.2f} ({100 * d['low']:+.2f} to {100 * d['high']:+.2f})",
            f"{c['seconds'][0]:.2f} / {c['seconds'][1]:.2f}", f"{c['ratio']:.2f}",
        )  # fmt: skip
    console.print(table)


def _promote(args: argparse.Namespace, registry: Registrar, console: Console) -> None:
    from text_recognizer.promotion.promote import PromoteOptions, promote

    options = PromoteOptions(
        alias=args.to, sets=args.sets, mode=args.mode, by=args.by, tolerance=args.tolerance / 100, slower=args.slower,
        threads=args.threads, force=args.force, reason=args.reason,
    )  # fmt: skip
    model = registry.find(args.model)
    promote(registry, model, options, lambda verdict: _print_gate(verdict.as_dict(), console))
    console.print(f"{args.to} is {model}")


def _prune(args: argparse.Namespace, registry: Registrar, console: Console) -> None:
    if args.keep < 1:
        raise UsageError("--keep takes 1 or more")
    gone = registry.prune(args.keep) if args.yes else registry.prunable(args.keep)
    for model in gone:
        console.print(f"{'removed' if args.yes else 'would remove'} {model}")
    if not gone:
        console.print("nothing to remove")
    elif not args.yes:
        console.print("give --yes to remove them")


def _add(args: argparse.Namespace, registry: Registrar, console: Console) -> None:
    console.print(f"{registry.add(args.bundle)}")


def _rollback(args: argparse.Namespace, registry: Registrar, console: Console) -> None:
    console.print(f"{args.alias} is {registry.rollback(args.alias, args.reason)}")


def _push(args: argparse.Namespace, registry: Registrar, console: Console) -> None:
    from text_recognizer.promotion.transfer import push

    console.print(push(registry.find(args.model), args.target, registry), soft_wrap=True)


def _pull(args: argparse.Namespace, registry: Registrar, console: Console) -> None:
    from text_recognizer.promotion.transfer import pull

    console.print(f"{pull(args.source, args.model, registry)}")


_COMMANDS: dict[str, Any] = {
    "list": _list, "show": _show, "lineage": _lineage, "add": _add, "promote": _promote, "rollback": _rollback,
    "push": _push, "pull": _pull, "prune": _prune,
}  # fmt: skip
