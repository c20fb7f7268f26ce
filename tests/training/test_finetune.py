"""Fine-tuning on drawn lines: it learns them, writes a bundle that reads, and refuses what would do harm."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import load_file

from text_recognizer import cli
from text_recognizer.bundle import Bundle, sha256
from text_recognizer.description import NEURAL_LANGUAGE_MODEL
from text_recognizer.errors import INTERRUPTED, DataInvalid, OutputFailed, UsageError
from text_recognizer.evaluation.sets import load_set
from text_recognizer.evaluation.truth import EvaluationSet, TruthLine, TruthPage
from text_recognizer.monitoring.reference import REFERENCE
from text_recognizer.promotion.lineage import lineage
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.reader import Reader
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.recognition.recognizer import Recognizer
from text_recognizer.synthesis.sources.fonts import write_builtin_font
from text_recognizer.training import finetune, stage
from text_recognizer.training.data import Codec, LineRenderer, collate
from text_recognizer.training.finetune import FineTuneOptions, LitFineTuning, Recipe, ShownLines, fine_tune
from text_recognizer.training.models.recognizer import Recognizer as RecognizerNetwork
from text_recognizer.training.own_lines import OwnLine, cut_lines, hold_out
from text_recognizer.training.record import fingerprints, read_record, write_record
from text_recognizer.training.vocabulary import MOST, new_characters

WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "1905", "Bath,", "yours", "truly")


def draw(text: str) -> np.ndarray:
    image = np.full((64, 24 * len(text) + 30), 235, np.uint8)
    cv2.putText(image, text, (8, 44), cv2.FONT_HERSHEY_COMPLEX, 1.1, 40, 2, cv2.LINE_AA)
    return image


def write_set(folder: Path, count: int = 24) -> Path:
    """A manifest of lines with an image each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    records = []
    for number in range(count):
        text = " ".join(rng.choice(WORDS, int(rng.integers(1, 4))))
        cv2.imwrite(str(folder / f"{number}.png"), draw(text))
        records.append({"image": f"{number}.png", "text": text})
    (folder / "lines.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return folder / "lines.jsonl"


@pytest.fixture(scope="module")
def base(bundle_dir: Path) -> Bundle:
    torch.set_num_threads(1)
    return Bundle.open(bundle_dir)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, base: Bundle) -> tuple[Bundle, list[OwnLine]]:
    """A bundle fine-tuned by the command, and the lines that it was given."""
    folder = tmp_path_factory.mktemp("own")
    manifest = write_set(folder / "set")
    exported = {
        "sha256": "5" * 64,
        "lines": 24,
        "corrected": 20,
        "unchanged": 4,
        "removed": 0,
        "transcripts": 0,
        "models": {str(base): 24},
    }
    (folder / "set" / "export.json").write_text(json.dumps({**exported, "request_ids": ["letter-0"]}))
    out = folder / "mine"
    arguments = [str(manifest), "--out", str(out), "--steps", "24", "--threads", "1", "--force"]
    assert finetune.main([*arguments, "--run", str(folder / "run"), "--trackers", "none"]) == 0
    own = cut_lines(load_set(manifest), 48, base.description.alphabet, 255)
    return Bundle.open(out), own.lines


def loss(bundle: Bundle, lines: list[OwnLine]) -> float:
    return loss_of(stage.bundle_network(bundle), bundle, lines)


def loss_of(network: RecognizerNetwork, bundle: Bundle, lines: list[OwnLine]) -> float:
    codec = Codec(bundle.description.alphabet)
    module = LitFineTuning(network.config)
    module.network = network
    module.eval()
    with torch.no_grad():
        batch = collate([(normalise_line(line.image, 48), codec.encode(line.text)) for line in lines])
        ctc, ce = module.losses(batch)
    return float(ctc + ce)


def test_lines_are_learned(base: Bundle, tuned: tuple[Bundle, list[OwnLine]]) -> None:
    bundle, lines = tuned
    assert loss(bundle, lines) < 0.97 * loss(base, lines)


def test_tuned_bundle_reads_and_says_where_it_comes_from(base: Bundle, tuned: tuple[Bundle, list[OwnLine]]) -> None:
    bundle, _ = tuned
    assert Reader(bundle.path, threads=1).read_line(draw("the quick brown fox")).text
    description, run = bundle.description, bundle.description.run
    assert description.name == f"{base.name}-tuned"
    assert run.base is not None
    assert run.base.name == base.name
    assert run.lines["train"] + run.lines["validation"] == 24
    assert description.metrics["parity"]["same"] == description.metrics["parity"]["lines"] == 24
    assert set(description.metrics["own"]) == {"lines", "cer_before", "cer_after"}
    assert description.version.startswith(f"{base.version}-20")  # its own, by the time
    facts = lineage(bundle)
    assert f"tuned from {base}, weights {base.description.files[stage.WEIGHTS]}" in facts["run"]
    assert f"corrections {sha256(bundle.path.parent / 'set' / 'export.json')}" in facts["run"]
    assert "text-recognizer" in facts["make it again"][1]  # the command of the run
    assert len(description.licences) == len(base.description.licences) + 1


def test_promoted_one_is_traced_back_in_one_command_and_as_a_picture(
    base: Bundle, tuned: tuple[Bundle, list[OwnLine]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bundle, _ = tuned
    monkeypatch.setenv("TEXT_RECOGNIZER_MODELS", str(tmp_path / "models"))
    registry = Registrar()
    registry.promote(registry.add(bundle.path), "production", "reads this hand")
    corrections = str(bundle.path.parent / "set")
    assert cli.main(["models", "lineage", "production", "--corrections", corrections]) == 0
    said = capsys.readouterr().out
    run, first = bundle.description.run, base.description.run
    for fact in (
        str(bundle), "without the gate: reads this hand", "fine-tuning", f"id: {run.record['id']}",
        "24 corrected lines", f"readings by {base}: 24", "letter-0", str(base),
        first.record["git_commit"], "sha256 of unipen",
    ):  # fmt: skip
        assert fact in said, fact
    picture = tmp_path / "lineage.svg"
    arguments = ["--corrections", corrections, "--format", "svg", "--output", str(picture)]
    assert cli.main(["models", "lineage", "production", *arguments]) == 0
    drawn = picture.read_text(encoding="utf-8")
    assert str(bundle) in drawn and str(base) in drawn and "24 corrected lines" in drawn


def test_all_but_the_recogniser_is_carried_over(base: Bundle, tuned: tuple[Bundle, list[OwnLine]]) -> None:
    bundle, _ = tuned
    tuned_one, old = bundle.description, base.description
    assert tuned_one.recognizer == old.recognizer
    # The reference holds numbers of the base model's readings.
    assert tuned_one.files.keys() == old.files.keys() - {REFERENCE}
    assert tuned_one.reference is None
    assert tuned_one.files["line_finder.onnx"] == old.files["line_finder.onnx"]
    assert tuned_one.files["encoder.onnx"] != old.files["encoder.onnx"]


def test_statistics_of_batch_normalisation_stay(base: Bundle, tuned: tuple[Bundle, list[OwnLine]]) -> None:
    before, after = (stage.bundle_network(b).state_dict() for b in (base, tuned[0]))
    means = [name for name in before if name.endswith("running_mean")]
    assert means
    assert all(torch.equal(before[name], after[name]) for name in means)
    assert not torch.equal(before["encoder.ctc.weight"], after["encoder.ctc.weight"])


def test_factors_of_low_rank_learn_the_lines_and_all_else_stays(base: Bundle, tmp_path: Path) -> None:
    manifest, run = write_set(tmp_path / "set"), tmp_path / "run"
    lines = cut_lines(load_set(manifest), 48, base.description.alphabet, 255).lines
    arguments = [str(manifest), "--out", str(tmp_path / "mine"), "--steps", "24", "--rank", "4", "--force"]
    more = ["--learning-rate", "5e-3", "--threads", "1", "--run", str(run), "--trackers", "none"]
    assert finetune.main([*arguments, *more]) == 0
    bundle = Bundle.open(tmp_path / "mine")
    assert bundle.description.run.recipe["rank"] == 4
    assert loss(bundle, lines) < 0.97 * loss(base, lines)
    before, after = (stage.bundle_network(b).state_dict() for b in (base, bundle))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert "decoder.layers.0.cross.query.weight" in changed
    assert all(before[name].ndim >= 2 for name in changed)  # no bias, scale or statistic
    # Weights of bundles are rounded to 16 bits: what is left behind the fourth direction is that rounding.
    for name in changed:
        spread = torch.linalg.svdvals((after[name] - before[name]).flatten(1))
        assert spread[4] < 0.1 * spread[0]
    factors = load_file(run / finetune.FACTORS)
    assert all(name.endswith((".up", ".down")) for name in factors)
    assert (run / finetune.FACTORS).stat().st_size < 0.1 * (bundle.path / stage.WEIGHTS).stat().st_size


def test_interrupted_run_continues_and_is_tracked_as_one_run(
    base: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = tmp_path / "runs" / "mine"
    options = FineTuneOptions(
        data=write_set(tmp_path / "set"), out=tmp_path / "mine", run=run, trackers=["mlflow"], threads=1, force=True,
        recipe=Recipe(steps=24, validate_every=8, warmup_steps=6),
    )  # fmt: skip
    monkeypatch.setattr(finetune, "PATIENCE", 9.0)  # these lines cannot read better
    real, calls = finetune.augment, count()

    def interrupted(*arguments: object) -> np.ndarray:
        if next(calls) > 16 * 8:
            raise RuntimeError("the machine was taken away")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(finetune, "augment", interrupted)
    with pytest.raises(RuntimeError, match="taken away"):
        fine_tune(options)
    first = read_record(run)
    assert first["status"] == "failed"
    assert not (tmp_path / "mine").exists()
    monkeypatch.setattr(finetune, "augment", real)
    lines: list[str] = []
    made = fine_tune(options, lines.append)
    assert any(line.startswith(f"continuing the run in {run} at step ") for line in lines)
    assert "step 24 of 24: CER" in "\n".join(lines)
    record = read_record(run)
    assert (record["id"], record["status"], record["step"]) == (first["id"], "finished", 24)
    assert record["parents"] == {"base": base.description.files[stage.WEIGHTS]}
    assert made.bundle.description.run.record["id"] == record["id"]
    assert (made.train + made.validation, made.run) == (24, run)
    assert cli.main(["train", "runs", "--folder", str(tmp_path / "runs"), "--json"]) == 0
    (listed,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (listed["name"], listed["status"], listed["params"]["recipe.steps"]) == ("mine", "finished", "24")


def told_to_end(arguments: list[str], told: signal.Signals, printed: Path, when: Callable[[], bool]) -> str:
    """What `train finetune` prints, to the file `printed` too, that is sent `told` as soon as `when` holds."""
    # The record is written at each step instead of once a minute; the rest is the command as users run it.
    program = "import sys; from text_recognizer import cli; from text_recognizer.training import callbacks\n"
    program += "callbacks.HEARTBEAT = 0.0; sys.exit(cli.main(['train', 'finetune', *sys.argv[1:]]))"
    with printed.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    deadline = time.monotonic() + 600
    while not when() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(told)
    assert process.wait(300) == INTERRUPTED, printed.read_text()
    return printed.read_text()


def test_run_told_to_end_loses_no_step_and_ends_like_an_undisturbed_one(
    base: Bundle, tuned: tuple[Bundle, list[OwnLine]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, out, printed = tmp_path / "run", tmp_path / "mine", tmp_path / "printed"
    options = ["--out", str(out), "--run", str(run), "--steps", "24", "--threads", "1", "--force", "--trackers", "none"]
    arguments = [str(write_set(tmp_path / "set")), *options]
    # Ctrl-C in the middle of the training, and the end of the machine while the bundle is made.
    output = told_to_end(arguments, signal.SIGINT, printed, lambda: read_record(run).get("step", 0) >= 3)
    record = read_record(run)
    assert record["status"] == "interrupted", output
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == record["step"] >= 3
    output = told_to_end(arguments, signal.SIGTERM, printed, lambda: "exporting the network" in printed.read_text())
    assert f"continuing the run in {run} at step {record['step']}" in output
    assert (read_record(run)["status"], read_record(run)["step"]) == ("interrupted", 24)
    assert not out.exists()
    assert finetune.main(arguments) == 0
    assert f"the run in {run} is trained already" in capfd.readouterr().err
    assert (read_record(run)["id"], read_record(run)["status"]) == (record["id"], "finished")
    ours, theirs = (stage.bundle_network(bundle).state_dict() for bundle in (Bundle.open(out), tuned[0]))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_corrected_labels_are_not_mistaken_for_those_of_the_interrupted_run(tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "set")
    settings = {"data": {"set": str(manifest)}, "recipe": {"steps": 24}}
    write_record(tmp_path, {"config": settings, "data": fingerprints(settings["data"]), "parents": {}})
    assert finetune.unfinished(tmp_path, settings)
    manifest.write_text(manifest.read_text().replace("fox", "cat"))
    assert not finetune.unfinished(tmp_path, settings)


def test_characters_that_the_base_does_not_know_are_learned(base: Bundle, tmp_path: Path) -> None:
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 36)

    def written(text: str) -> Image.Image:
        image = Image.new("L", (420, 64), 240)
        ImageDraw.Draw(image).text((10, 8), text, 30, font)
        return image

    rng = np.random.default_rng(5)
    records = []
    for number in range(24):
        text = " ".join(rng.choice(("дом", "жук", "the", "fox", "мир"), 3))
        written(text).save(tmp_path / f"{number}.png")
        records.append({"image": f"{number}.png", "text": text})
    records[0]["text"] += "ы"  # once: too seldom to learn
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    said: list[str] = []
    options = FineTuneOptions(
        data=tmp_path / "lines.jsonl", out=tmp_path / "mine", run=tmp_path / "run", trackers=(), threads=1,
        extend_alphabet=True, force=True, recipe=Recipe(steps=90, learning_rate=2e-3, warmup_steps=8),
    )  # fmt: skip
    made = fine_tune(options, said.append)
    learned = made.bundle.description.alphabet.removeprefix(base.description.alphabet)
    assert sorted(learned) == sorted("домжукир")
    assert any(line.startswith("1 characters are outside the alphabet: 'ы' 1×") for line in said)
    assert any("other hands may be read worse" in line for line in said)  # nothing is rendered here
    # The neural language model knows no further characters.
    left_out = {REFERENCE, f"{NEURAL_LANGUAGE_MODEL}.onnx"}
    assert made.bundle.description.files.keys() - {REFERENCE} == base.description.files.keys() - left_out
    assert read_record(tmp_path / "run")["config"]["alphabet"]["new"] == learned
    recognizer = Recognizer(made.bundle, 1)
    assert recognizer.language is not None  # it is still steered by the language model
    other = [np.asarray(written(text)) for text in ("жук дом", "мир fox жук", "the мир")]
    for mode in ("fast", "accurate"):
        read = [line.text for line in recognizer.read_lines(other, mode)]
        assert len(set("".join(read)) & set(learned)) >= 2, read  # they are read, after so short a training not all
        assert "fox" in read[1], read
    lines = cut_lines(load_set(options.data), 48, made.bundle.description.alphabet, 255).lines
    before = loss_of(stage.bundle_network(base, made.bundle.description.alphabet), made.bundle, lines)
    assert loss(made.bundle, lines) < 0.9 * before


def test_longer_alphabet_leaves_what_the_base_reads(base: Bundle) -> None:
    alphabet = base.description.alphabet
    grown, old = stage.bundle_network(base, alphabet + "ж日"), stage.bundle_network(base)
    codec = Codec(alphabet)
    batch = collate([(normalise_line(draw(word), 48), codec.encode(word)) for word in WORDS[:4]])
    with torch.no_grad():
        read = [network.greedy(batch.images.float() / 255, batch.widths, 12) for network in (grown, old)]
    assert read[0] == read[1]
    assert new_characters({"ж": 9, "a": 9, "\u200b": 9, "日": 4, "ы": 12}, 5, alphabet) == "ыж"
    assert new_characters({chr(0x4E00 + n): 9 for n in range(400)}, 5, alphabet).startswith("一")
    assert len(new_characters({chr(0x4E00 + n): 9 for n in range(400)}, 5, alphabet)) + len(alphabet) == MOST


def test_a_model_that_reads_worse_is_not_written(base: Bundle, tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "set")
    lines = cut_lines(load_set(manifest), 48, base.description.alphabet, 255).lines
    held = {Path(line.page).name for line in hold_out(lines)[1]}
    records = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    wrong = [r if r["image"] in held else {**r, "text": "zzz zzz"} for r in records]
    manifest.write_text("\n".join(map(json.dumps, wrong)), encoding="utf-8")
    out = tmp_path / "mine"
    with pytest.raises(DataInvalid, match="worse than before: nothing was written"):
        finetune.main([str(manifest), "--out", str(out), "--steps", "16", "--learning-rate", "0.003", "--threads", "1",
                       "--run", str(tmp_path / "run"), "--trackers", "none"])  # fmt: skip
    assert not out.exists()


def test_too_few_lines_are_refused_with_their_number(tmp_path: Path) -> None:
    manifest = write_set(tmp_path / "set", 19)
    with pytest.raises(DataInvalid, match="19 lines"):
        finetune.main([str(manifest), "--out", str(tmp_path / "mine")])


def test_run_of_another_process_is_left_alone(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from text_recognizer.training.record import only_run\n"
        "with only_run(Path(sys.argv[1])): print('here', flush=True); time.sleep(600)"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout
        assert other.stdout.readline() == "here\n"
        with pytest.raises(UsageError, match=r"another process trains in .*run: wait"):
            finetune.main(["no set", "--out", str(tmp_path / "mine"), "--run", str(tmp_path / "run")])
    finally:
        other.kill()
        other.communicate()


def test_run_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("notes")
    with pytest.raises(OutputFailed, match=r"cannot make .*run \(File exists\)"):
        finetune.main(["no set", "--out", str(tmp_path / "mine"), "--run", str(tmp_path / "run")])


def test_a_folder_of_other_things_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(OutputFailed, match="not a bundle"):
        finetune.main([str(tmp_path / "no set"), "--out", str(tmp_path)])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--validate-share", "0.9"],
        ["--steps", "0"],
        ["--texts", "t"],
        ["--replay", "1"],
        ["--forgetting", "-1"],
        ["--rank", "-1"],
        ["--threads", "-1"],
        ["--learning-rate", "0"],
        ["--seed", "-1"],
        ["--max-time", "25min"],
        ["--trackers", "mlfow"],
    ],
)
def test_arguments_without_sense_are_refused(arguments: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        finetune.main(["set", "--out", str(tmp_path / "mine"), *arguments])


def test_foreign_characters_are_counted_and_broken_images_named(
    base: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), draw("dla żony"))
    (tmp_path / "bad.png").write_bytes(b"no image")
    outside = ((900.0, 900.0), (990.0, 900.0), (990.0, 950.0))
    lines = (
        TruthLine("dla żony łż", None),
        TruthLine("  ", None),
        TruthLine("x" * 300, None),
        TruthLine("far away", outside),
        TruthLine("struck", None, counts=False),
    )
    pages = [
        TruthPage(tmp_path / "good.png", lines, "w"),
        TruthPage(tmp_path / "bad.png", lines, "w"),
        TruthPage(tmp_path / "good.png", (), "w", "a whole\ntranscript"),
    ]
    own = cut_lines(EvaluationSet(pages, ["a.xml: broken"]), 48, base.description.alphabet, 255)
    assert [line.text for line in own.lines] == ["dla żony łż"]
    assert own.lines[0].image.shape[0] == 48
    assert own.unknown == {"ż": 2, "ł": 1}
    assert len(own.skipped) == 6
    assert any(reason.startswith("bad.png:") for reason in own.skipped)
    skipped, unknown = finetune.problems(own)
    assert "skipped 6: a.xml: broken" in skipped
    assert unknown.startswith("3 characters are outside the alphabet: 'ż' 2×, 'ł' 1×; --extend-alphabet")


def some_lines(pages: int, each: int) -> list[OwnLine]:
    paper = np.full((48, 60), 200, np.uint8)
    return [OwnLine(paper, f"{n}", f"p{p}", f"w{p % 2}") for p in range(pages) for n in range(each)]


def test_whole_pages_are_held_out() -> None:
    train, held = hold_out(some_lines(10, 12))
    assert len(train) + len(held) == 120
    assert 12 <= len(held) <= 36
    assert not {line.page for line in train} & {line.page for line in held}


def test_lines_of_a_single_page_are_held_out_one_by_one() -> None:
    train, held = hold_out(some_lines(1, 40))
    assert (len(train), len(held)) == (34, 6)


def test_whole_writers_are_held_out() -> None:
    train, held = hold_out(some_lines(10, 12), share=0.5, by="writer")
    assert not {line.writer for line in train} & {line.writer for line in held}


def test_every_line_is_shown_once_an_epoch_and_varies() -> None:
    codec = Codec()
    lines = [OwnLine(draw(word), word, "p", "w") for word in WORDS[:8]]

    def epoch(seed: int) -> list[tuple[bytes, str]]:
        stream = iter(ShownLines(lines, codec, 48, Recipe(batch_size=1, seed=seed)))
        shown = [next(stream) for _ in range(16)]
        return [(b.images.numpy().tobytes(), codec.decode(b.tokens[0].tolist())) for b in shown]

    shown = epoch(1)
    assert sorted(text for _, text in shown[:8]) == sorted(text for _, text in shown[8:]) == sorted(WORDS[:8])
    assert len({image for image, _ in shown}) == 16
    assert shown == epoch(1)
    assert shown != epoch(2)


def test_resumed_run_shows_what_an_undisturbed_one_shows(base: Bundle, tmp_path: Path) -> None:
    codec = Codec(base.description.alphabet)
    lines = [OwnLine(draw(word), word, "p", "w") for word in WORDS]
    renderer = LineRenderer(None, write_builtin_font(tmp_path), alphabet=base.description.alphabet)

    def shown(start: int) -> list[bytes]:
        stream = iter(ShownLines(lines, codec, 48, Recipe(batch_size=2, replay=0.4), renderer, start))
        return [next(stream).images.numpy().tobytes() for _ in range(20 - start)]

    whole = shown(0)
    assert all(shown(start) == whole[start:] for start in (3, 8, 17))


def test_rendered_lines_stand_between_ones_own() -> None:
    class Rendered:
        def sample(self, rng: np.random.Generator) -> tuple[np.ndarray, str]:
            return draw("replayed"), "replayed"

    lines = [OwnLine(draw("own"), "own", "p", "w")]
    codec = Codec()
    stream = iter(ShownLines(lines, codec, 48, Recipe(replay=0.5), Rendered()))  # type: ignore[arg-type]
    texts = [codec.decode(row.tolist()) for _ in range(20) for row in next(stream).tokens]
    assert 0.3 < texts.count("replayed") / len(texts) < 0.7


def test_nothing_to_render_from_is_reported() -> None:
    with pytest.raises(DataInvalid, match="nothing to render from"):
        LineRenderer(None)


@pytest.fixture(scope="module")
def old_lines(base: Bundle, tmp_path_factory: pytest.TempPathFactory) -> list:
    """Lines that the old model reads, as they stand for the hands that it learned."""
    renderer = LineRenderer(None, write_builtin_font(tmp_path_factory.mktemp("font")))
    return finetune.old_batches(renderer, Codec(base.description.alphabet), count=32)


def test_what_would_cost_old_hands_too_much_is_unlearned(base: Bundle, old_lines: list) -> None:
    codec = Codec(base.description.alphabet)
    before, tuned = stage.bundle_network(base), stage.bundle_network(base)
    torch.manual_seed(1)
    with torch.no_grad():  # a change that spoils the reading of everything
        for parameter in tuned.parameters():
            parameter.add_(0.3 * parameter.abs().mean() * torch.randn_like(parameter))
    spoilt = {name: value.clone() for name, value in tuned.state_dict().items()}
    share = finetune.unlearn(tuned, before, codec, old_lines, [], 0.03)
    assert share < 1
    for name, value in tuned.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, torch.lerp(before.state_dict()[name], spoilt[name], share))


def test_change_is_kept_as_far_as_it_brings_more_than_it_costs(base: Bundle, old_lines: list) -> None:
    codec, few = Codec(base.description.alphabet), old_lines[:1]
    torch.manual_seed(1)
    good, spoilt = stage.bundle_network(base), stage.bundle_network(base)
    with torch.no_grad():
        for parameter in spoilt.parameters():
            parameter.add_(0.3 * parameter.abs().mean() * torch.randn_like(parameter))
    worse, better = copy.deepcopy(spoilt), copy.deepcopy(good)
    # Whatever may be forgotten, a change that brings nothing is not kept whole, and one that only brings is.
    assert finetune.unlearn(worse, good, codec, few, [], 1e9) == finetune.KEPT_SHARES[-1]
    assert finetune.unlearn(better, spoilt, codec, few, few, 0.0) == 1.0


def test_change_that_costs_old_hands_nothing_is_kept(base: Bundle, old_lines: list) -> None:
    tuned = stage.bundle_network(base)
    codec = Codec(base.description.alphabet)
    assert finetune.unlearn(tuned, stage.bundle_network(base), codec, old_lines, old_lines, 0.0) == 1.0
