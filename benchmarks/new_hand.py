"""What a new hand costs the hands that the model knows: the weights fine-tuned, or factors of low rank (LoRA).

    OMP_NUM_THREADS=1 python benchmarks/new_hand.py --unipen data/unipen.npz --texts data/texts --ranks 0 8

Of each of the two held-out writers of UNIPEN that are read worst, half of the words make the pages to learn, the other
half the lines to measure. Half of the lines shown are rendered ones of trained hands. The old set are lines of the
other held-out writers. All is read by the CTC head and by the decoder, greedily, without a search. "kept" is the share
of the change that `finetune` keeps against forgetting; the other shares of it are read too.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from text_recognizer.bundle import Bundle
from text_recognizer.evaluation.metrics import edits
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.synthesis.rendering.ink import Hand, compose_line
from text_recognizer.synthesis.rendering.line import render_line
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Writer, load_writers
from text_recognizer.training.data import Codec, LineRenderer, collate
from text_recognizer.training.finetune import Recipe, quiet, train_network
from text_recognizer.training.lit import LitRecognizer
from text_recognizer.training.models.recognizer import Recognizer
from text_recognizer.training.own_lines import OwnLine
from text_recognizer.training.stage import bundle_network

WORDS = 25  # at least, on each side
PAGES, PAGE_LINES, MEASURED = 20, 8, 128
SHARES = (1.0, 0.7)


def halves(writer: Writer) -> tuple[Hand, Hand]:
    """The hand with one half of its words, and with the other; letters by themselves are in both."""
    words = sorted({ink.text for ink in writer.inks})
    first = set(words[::2])
    return (
        Hand(replace(writer, inks=tuple(i for i in writer.inks if i.text in first))),
        Hand(replace(writer, inks=tuple(i for i in writer.inks if i.text not in first))),
    )


def lines_of(hand: Hand, count: int, seed: int) -> list[OwnLine]:
    """Rendered lines of `hand`, eight to a page."""
    drawn = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        ink = compose_line(hand, rng, (10, 40))
        image = render_line(ink, rng, 48, [], variation=0.0)
        drawn.append(OwnLine(image, ink.text, f"page {number // PAGE_LINES}", hand.id))
    return drawn


def rates(network: Recognizer, lines: Sequence[OwnLine], codec: Codec) -> tuple[float, float]:
    """CER of the CTC head and of the decoder."""
    module = LitRecognizer(network.config)
    module.network, module.codec = network.eval(), codec
    samples = [(normalise_line(line.image, network.config.height), codec.encode(line.text)) for line in lines]
    samples.sort(key=lambda sample: sample[0].shape[1])
    wrong, characters = [0, 0], 0
    for at in range(0, len(samples), 32):
        batch = collate(samples[at : at + 32])
        truths, read = module.truths(batch), module.read(batch)
        characters += sum(map(len, truths))
        for head, name in enumerate(("ctc", "decoder")):
            wrong[head] += sum(map(edits, truths, read[name]))
    return wrong[0] / characters, wrong[1] / characters


def _shown(both: tuple[float, float], before: tuple[float, float] | None = None) -> str:
    figures = " and ".join(f"{100 * value:.2f} %" for value in both)
    if before is None:
        return figures
    return f"{figures} ({', '.join(f'{100 * (a / b - 1):+.1f} %' for a, b in zip(both, before, strict=True))})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unipen", type=Path, required=True)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+", default=[0, 8], help="0 for the weights themselves")
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3], help="peak learning rate of each rank")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--skip", type=int, default=0, help="so many of the writers that are read worst")
    parser.add_argument("--old", type=int, default=300, help="lines of the old set")
    args = parser.parse_args()
    quiet()
    torch.set_num_threads(1)
    base = Bundle.open(None)
    network = bundle_network(base)
    codec = Codec(base.description.alphabet)

    writers = [w for w in load_writers(args.unipen, "heldout") if len({i.text for i in w.inks}) >= 2 * WORDS]
    hands = [(w.id, *halves(w)) for w in writers]
    hands = [(name, learn, measure) for name, learn, measure in hands if learn.writable and measure.writable]
    ranked = sorted(hands, key=lambda hand: -rates(network, lines_of(hand[2], 24, 11), codec)[1])[args.skip :]
    ranked = ranked[: args.writers]
    chosen = {name for name, _, _ in ranked}
    text = TextSource(args.texts)
    old = []
    others = [h for h in map(Hand, load_writers(args.unipen, "heldout")) if h.writable and h.id not in chosen]
    for number in range(args.old):
        rng = np.random.default_rng([12, number])
        ink = compose_line(others[number % len(others)], rng, (10, 60), text.line)
        old.append(OwnLine(render_line(ink, rng, 48, [], variation=0.0), ink.text, "old", "old"))
    old_before = rates(network, old, codec)
    renderer = LineRenderer(args.unipen, None, args.texts, alphabet=base.description.alphabet)
    for place, (_, learn, measure) in enumerate(ranked, 1):
        shown, held = lines_of(learn, PAGES * PAGE_LINES, 13), lines_of(measure, MEASURED, 14)
        validation, shown = shown[: 3 * PAGE_LINES], shown[3 * PAGE_LINES :]
        before = rates(network, held, codec)
        print(f"writer {place}: {_shown(before)}, old set {_shown(old_before)} (CTC head, decoder)", flush=True)
        for rank, rate in zip(args.ranks, args.rates, strict=True):
            start = time.process_time()
            recipe = Recipe(
                steps=args.steps, rank=rank, learning_rate=rate, replay=0.5, max_time=None,
                validate_every=max(1, args.steps // 4),
            )  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                tuned, run = train_network(base, shown, validation, Path(folder), recipe, renderer)
            spent = time.process_time() - start
            first, last = ({k: v.clone() for k, v in m.state_dict().items()} for m in (network, tuned))
            kept = run.kept or 1.0
            print(f"  rank {rank}, rate {rate:g}: {kept} kept, best step {run.steps}, {spent:.0f} s", flush=True)
            for share in sorted({kept, *SHARES}, reverse=True):
                tuned.load_state_dict(
                    {k: torch.lerp(first[k], v, share / kept) if v.is_floating_point() else v for k, v in last.items()}
                )
                after, old_after = rates(tuned, held, codec), rates(tuned, old, codec)
                print(
                    f"    {share} of the change: {_shown(after, before)}, old set {_shown(old_after, old_before)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
