"""What fine-tuning gains on lines it has not seen: cross-validation over the pages of a set.

    OMP_NUM_THREADS=2 python benchmarks/finetune.py data/letters --results letters.json

Every fold fine-tunes the shipped model on the other folds' pages, with the settings of `text-recognizer train
finetune` as they stand (nothing is chosen by the set), and reads its own pages before and after in the accurate mode.
A share of the training pages, never of the fold's own, says when to stop. Finished folds are kept in --results, and
an interrupted run goes on after them. Weights are thrown away.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from text_recognizer.bundle import Bundle, sha256
from text_recognizer.errors import DataInvalid
from text_recognizer.evaluation.metrics import errors, rate
from text_recognizer.evaluation.sets import load_set
from text_recognizer.recognition.recognizer import Recognizer
from text_recognizer.training.finetune import Recipe, quiet, train_network, tune_bundle
from text_recognizer.training.own_lines import OwnLine, cut_lines, hold_out
from text_recognizer.training.stage import WEIGHTS, bundle_network


def deal(lines: Sequence[OwnLine], by: str, folds: int) -> list[list[str]]:
    """Pages (writers) dealt to folds of about as many lines each, the largest first."""
    sizes = Counter(getattr(line, by) for line in lines)
    if len(sizes) < folds:
        raise SystemExit(f"the set has {len(sizes)} {by}s: give --folds {len(sizes)} or fewer.")
    dealt: list[list[str]] = [[] for _ in range(folds)]
    for name, _ in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        min(dealt, key=lambda fold: sum(sizes[n] for n in fold)).append(name)
    return dealt


def edits(bundle: Bundle, lines: Sequence[OwnLine]) -> list[int]:
    """Character edits of the accurate mode, line by line."""
    readings = Recognizer(bundle).read_lines([line.image for line in lines])
    return [errors(line.text, got.text).character_edits for line, got in zip(lines, readings, strict=True)]


def run_fold(base: Bundle, lines: Sequence[OwnLine], names: Sequence[str], by: str, recipe: Recipe) -> dict[str, Any]:
    test = [line for line in lines if getattr(line, by) in names]
    train, validation = hold_out([line for line in lines if getattr(line, by) not in names], seed=recipe.seed)
    start, work = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as run_folder, tempfile.TemporaryDirectory() as scratch:
        network, run = train_network(base, train, validation, Path(run_folder), recipe)
        tuned = tune_bundle(network, run, base, train, validation, Path(scratch), recipe)
        seconds, work = time.perf_counter() - start, time.process_time() - work
        before, after = edits(base, test), edits(tuned, test)
        steps = tuned.description.run.steps
    return {
        "names": sorted(Path(name).name for name in names),
        "train": len(train),
        "validation": len(validation),
        "steps": steps,
        "seconds": round(seconds, 1),
        "processor_seconds": round(work, 1),
        "load": round(os.getloadavg()[0], 1),
        "lines": [
            {
                "group": Path(getattr(line, by)).name,
                "characters": errors(line.text, "").characters,
                "before": b,
                "after": a,
            }
            for line, b, a in zip(test, before, after, strict=True)
        ],
    }


def show(done: dict[str, Any], what: str) -> None:
    print("| fold | trained on + to stop by | read | best step | CER before | after | seconds | processor | load |")
    print("|---|---|---|---|---|---|---|---|---|")
    for number, fold in sorted(done.items(), key=lambda item: int(item[0])):
        characters = sum(line["characters"] for line in fold["lines"])
        before, after = (100 * sum(line[k] for line in fold["lines"]) / characters for k in ("before", "after"))
        print(
            f"| {int(number) + 1} | {fold['train']} + {fold['validation']} | {len(fold['lines'])} | {fold['steps']} "
            f"| {before:.1f} % | {after:.1f} % | {fold['seconds']:.0f} "
            f"| {fold['processor_seconds']:.0f} | {fold['load']} |"
        )
    lines = [line for fold in done.values() for line in fold["lines"]]
    lengths, groups = [line["characters"] for line in lines], [line["group"] for line in lines]
    print(f"\n{len(lines)} lines, {sum(lengths)} characters, intervals over {len(set(groups))} {what}s")
    print(f"CER before {rate([line['before'] for line in lines], lengths, groups)}")
    print(f"CER after  {rate([line['after'] for line in lines], lengths, groups)}")
    # The same bootstrap on the difference: a page that is hard is hard before and after.
    gain = rate([line["before"] - line["after"] for line in lines], lengths, groups)
    print(f"gain       {100 * gain.value:.1f} points ({100 * gain.low:.1f} to {100 * gain.high:.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path, help="lines with their text, in any form that 'evaluate' reads")
    parser.add_argument("--base", type=Path, help="bundle to start from (default: the shipped one)")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--first", type=int, help="run only so many folds now")
    parser.add_argument("--by", choices=("page", "writer"), default="page", help="what a fold holds whole")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--results", type=Path, help="JSON of finished folds, read and written")
    args = parser.parse_args()
    quiet()
    base = Bundle.open(args.base)
    config = bundle_network(base).config
    own = cut_lines(load_set(args.set), config.height, base.description.alphabet, config.max_tokens - 1)
    if args.by == "writer" and {line.writer for line in own.lines} <= {Path(line.page).stem for line in own.lines}:
        raise SystemExit("the set names no writers: only folds by page can be made.")
    recipe = replace(Recipe(), steps=args.steps)
    made_by = {
        "set": args.set.name,
        "lines": len(own.lines),
        "weights_sha256": sha256(base.path / WEIGHTS),
        "folds": args.folds,
        "by": args.by,
        "recipe": asdict(recipe),
    }
    done: dict[str, Any] = {}
    if args.results and args.results.is_file():
        kept = json.loads(args.results.read_text(encoding="utf-8"))
        if kept["made_by"] != made_by:
            raise DataInvalid(f"{args.results} is of another run (set, weights or settings differ): give another file.")
        done = kept["done"]
    for number, names in enumerate(deal(own.lines, args.by, args.folds)):
        if str(number) in done or (args.first is not None and number >= args.first):
            continue
        done[str(number)] = run_fold(base, own.lines, names, args.by, recipe)
        if args.results:
            args.results.write_text(json.dumps({"made_by": made_by, "done": done}, indent=1), encoding="utf-8")
        print(f"fold {number + 1} of {args.folds}: {done[str(number)]['seconds']:.0f} s", flush=True)
    show(done, args.by)


if __name__ == "__main__":
    main()
