"""Staging: the shipped graphs are the shipped weights, confidences are shares, a bundle is whole or not there."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from text_recognizer.bundle import Bundle
from text_recognizer.description import PARAGRAPH_LINES, PARAGRAPH_ROWS, Run
from text_recognizer.errors import BundleInvalid, DataInvalid, OutputFailed, UsageError
from text_recognizer.page import MODES
from text_recognizer.reader import Reader
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.recognition.paragraph import ParagraphEncoder
from text_recognizer.recognition.recognizer import LineReading, Recognizer, WordReading
from text_recognizer.training import stage
from text_recognizer.training.finetune import FineTuneOptions
from text_recognizer.training.models.line_finder import load_line_finder
from text_recognizer.training.models.paragraph import ParagraphRecognizer
from text_recognizer.training.models.recognizer import Recognizer as Net
from text_recognizer.training.models.recognizer import RecognizerConfig


def lines(count: int, seed: int = 0) -> list[np.ndarray]:
    """Grey line images of drawn words, 30 to 900 pixels wide."""
    return [image for image, _ in labelled_lines(count, seed)]


def labelled_lines(count: int, seed: int = 0) -> list[tuple[np.ndarray, str]]:
    """The same with their texts."""
    rng = np.random.default_rng(seed)
    vocabulary = ["the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "1905", "Bath,", "yours", "&"]
    out = []
    for _ in range(count):
        text = " ".join(rng.choice(vocabulary, int(rng.integers(1, 7))))
        image = np.full((64, 26 * len(text) + 30), int(rng.integers(190, 250)), np.uint8)
        cv2.putText(image, text, (8, 44), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.1, 40, 2, cv2.LINE_AA)
        out.append((image, text))
    return out


@pytest.fixture(scope="module")
def bundle(bundle_dir: Path) -> Bundle:
    return Bundle.open(bundle_dir)


def test_shipped_graphs_read_token_for_token_as_the_shipped_weights(bundle: Bundle) -> None:
    network = stage.bundle_network(bundle)
    torch.set_num_threads(1)
    same, compared = stage.parity(network, Recognizer(bundle, 1), lines(24))
    assert (same, compared) == (24, 24)


def test_shipped_bundle_says_where_it_comes_from_and_fits(bundle: Bundle) -> None:
    parity = bundle.description.metrics["parity"]
    assert parity["lines"] >= 200
    assert parity["same"] == parity["lines"]
    assert any("UNIPEN" in licence.data for licence in bundle.description.licences)
    assert len(bundle.description.git_commit) == 40
    assert sum(f.stat().st_size for f in bundle.path.iterdir()) <= 60e6


def test_documented_digest_of_fonts_is_that_of_the_shipped_model(bundle: Bundle) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "learn" / "training.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"fonts\s+of (\w+ [\d.]+), ([0-9a-f]+)…", guide)
    assert found[0] == f"{bundle.name} {bundle.version}"
    assert bundle.description.run.record["data"]["fonts"].startswith(found[1])


def test_shipped_graphs_tell_nothing_of_the_machine_that_made_them(bundle: Bundle) -> None:
    for file in bundle.path.glob("*.onnx"):
        assert b"site-packages" not in file.read_bytes()
        assert b"/src/text_recognizer" not in file.read_bytes()


class _Sure:
    """A reader that is sure of everything and right about the words that begin with r."""

    def read_lines(self, crops: list[np.ndarray], mode: str) -> list[LineReading]:
        rng = np.random.default_rng(1)
        out = []
        for _ in crops:
            words = tuple(
                WordReading("right" if raw > rng.random() else "wrong", 0, 1, float(raw)) for raw in rng.random(10)
            )
            out.append(LineReading(" ".join(w.text for w in words), 1.0, words))
        return out


def test_calibration_gives_the_share_of_right_words() -> None:
    crops = [np.zeros((48, 48), np.uint8)] * 200
    truths = [" ".join(["right"] * 10)] * 200
    table = stage.calibrate(_Sure(), crops, truths, "fast")  # type: ignore[arg-type]
    assert table.raw == tuple(sorted(table.raw))
    assert table.right == tuple(sorted(table.right))
    # Words of raw confidence p are right with probability p here, up to words that match at another place.
    assert np.interp(0.9, table.raw, table.right) == pytest.approx(0.9, abs=0.08)
    assert np.interp(0.2, table.raw, table.right) == pytest.approx(0.2, abs=0.12)


def test_too_few_words_to_calibrate_on_is_reported() -> None:
    with pytest.raises(DataInvalid, match="held-out"):
        stage.calibrate(_Sure(), [np.zeros((48, 48), np.uint8)], ["right"], "fast")  # type: ignore[arg-type]


def write_checkpoint(network: Net, file: Path, parents: Mapping[str, str] | None = None) -> Path:
    """As Lightning writes one, without the optimizer. `parents`: digests of what training began with."""
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    state = {"hyper_parameters": asdict(network.config), "state_dict": weights, "global_step": 7}
    torch.save(state | {"run_record": {"parents": dict(parents or {})}}, file)
    return file


def language_model(bundle: Bundle) -> Path:
    return next(bundle.path / name for name in bundle.description.languages.values() if name)


def test_languages_need_texts_to_be_told_apart(
    bundle: Bundle, unipen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "calibration_lines", lambda *_: labelled_lines(40))
    checkpoint = write_checkpoint(stage.bundle_network(bundle), tmp_path / "last.ckpt")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "en.txt").write_text("some text\n")
    options = stage.StageOptions(
        checkpoint=checkpoint, out=tmp_path / "mine", unipen=unipen, reference_pages=0, texts=tmp_path / "texts",
        language_models={"en": language_model(bundle), "fr": language_model(bundle)},
    )  # fmt: skip
    with pytest.raises(DataInvalid, match=r"no text in 'fr'.*fr\.txt"):
        stage.stage(options)


def test_checkpoint_becomes_a_bundle_in_python(
    bundle: Bundle, unipen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "calibration_lines", lambda *_: labelled_lines(40))  # 600 lines would take minutes
    torch.set_num_threads(1)
    checkpoint = write_checkpoint(stage.bundle_network(bundle), tmp_path / "last.ckpt")
    steps: list[str] = []
    options = stage.StageOptions(
        checkpoint=checkpoint, out=tmp_path / "mine", unipen=unipen, name="mine", version="3", reference_pages=0,
        language_models={"en": language_model(bundle)},
    )  # fmt: skip
    made = stage.stage(options, steps.append)
    assert (made.path, str(made)) == (tmp_path / "mine", "mine@3")
    assert made.description.metrics["parity"] == {"lines": 40, "same": 40}
    assert made.description.run.steps == 7
    assert made.description.licences == stage.LICENCES
    assert set(made.description.recognizer.calibration) == {"fast", "accurate"}
    assert Reader(made.path, threads=1).read_line(lines(1)[0]).text
    assert "rendering held-out lines" in steps[0]
    assert "CER" in steps[1]
    assert len(steps) >= 5


def test_checkpoint_that_reads_nothing_is_refused_before_the_export(
    unipen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = Net(RecognizerConfig(channels=(8, 8, 8, 16), d_model=32, d_ff=64, heads=2))
    checkpoint = write_checkpoint(network, tmp_path / "last.ckpt")
    monkeypatch.setattr(stage, "calibration_lines", lambda *_: labelled_lines(20))
    monkeypatch.setattr(stage, "export_recognizer", lambda *_: pytest.fail("it was exported"))
    arguments = [str(checkpoint), "--unipen", str(unipen), "--out", str(tmp_path / "out")]
    with pytest.raises(DataInvalid, match=r"held-out lines wrong, more than 50 %: train longer"):
        stage.main(arguments)
    assert not (tmp_path / "out").exists()


def test_paragraph_checkpoint_becomes_a_bundle_that_reads_without_a_line_finder(
    bundle: Bundle, unipen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "calibration_lines", lambda *_: labelled_lines(40))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = ParagraphRecognizer(RecognizerConfig.of_sizes(bundle.description.run.config))
    network.load_state_dict(load_file(bundle.path / stage.WEIGHTS), strict=False)
    began_with = {"weights": bundle.description.files[stage.WEIGHTS]}
    checkpoint = write_checkpoint(network.eval(), tmp_path / "last.ckpt", began_with)
    options = stage.StageOptions(checkpoint=checkpoint, out=tmp_path / "mine", unipen=unipen, reference_pages=0)
    made = stage.stage(options)
    assert set(made.description.licences) == set(bundle.description.licences), "those of the weights it began with"
    assert made.description.metrics["parity"] == {"lines": 40, "same": 40}

    # The graphs see the lines that torch sees.
    settings = made.description.recognizer
    encoder = ParagraphEncoder(
        made.session(PARAGRAPH_ROWS, 1), made.session(PARAGRAPH_LINES, 1), settings.width_scale, settings.stride
    )
    ink = np.vstack([normalise_line(cv2.resize(image, (700, 64)), 56) for image in lines(4)])
    found = encoder.encode_at(ink)
    padded = np.zeros((240, 448), np.uint8)
    padded[: ink.shape[0], : ink.shape[1]] = ink
    with torch.no_grad():
        _, logits, _ = stage.load_network(checkpoint)[0].encoder(
            torch.from_numpy(padded)[None, None] / 255, torch.tensor([ink.shape[1]])
        )
    expected = logits.log_softmax(-1).numpy()[:, : found.log_probs.shape[1]]
    assert found.log_probs.shape == expected.shape
    assert np.abs(found.log_probs - expected).max() < 0.01
    assert len(found.edges) == len(expected) + 1
    assert (np.diff(found.edges) >= 0).all()

    reader = Reader(made.path, threads=1)
    monkeypatch.setattr(Reader, "line_finder", property(lambda _: pytest.fail("a line finder was asked")))
    page = np.full((200, 760), 250, np.uint8)
    page[40:180, 30:730] = np.vstack([cv2.resize(image, (700, 70)) for image in lines(2)])
    for mode in MODES:
        read = reader.read(page, mode)
        assert read.lines
        for line in read.lines:
            xs, ys = np.asarray(line.polygon).T
            assert 0 <= xs.min() < xs.max() <= 760
            assert 0 <= ys.min() < ys.max() <= 200
    assert not reader.read(np.full((200, 300), 250, np.uint8), "fast").lines
    with pytest.raises(BundleInvalid, match="reads whole paragraphs"):
        stage.bundle_network(made)


def test_missing_checkpoint_is_named_before_any_work(tmp_path: Path) -> None:
    arguments = [str(tmp_path / "no.ckpt"), "--finder", "f", "--unipen", "u", "--out", str(tmp_path / "out")]
    with pytest.raises(DataInvalid, match=r"no\.ckpt"):
        stage.main(arguments)
    assert not (tmp_path / "out").exists()


def test_graph_that_is_not_a_graph_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleInvalid, match=r"encoder\.onnx"):
        Bundle(tmp_path, bundle.description).session("encoder")


def test_weights_are_needed_to_go_on_from_a_bundle(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match="weights"):
        stage.bundle_network(Bundle(tmp_path, bundle.description))
    with pytest.raises(BundleInvalid, match="weights"):
        stage.bundle_network(Bundle(bundle.path, replace(bundle.description, run=Run())))


def test_a_folder_of_other_things_is_never_replaced(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(OutputFailed, match="not a bundle"):
        stage.install(bundle.path, tmp_path)
    assert (tmp_path / "thesis.txt").is_file()
    stage.install(bundle.path, tmp_path / "new")
    stage.install(bundle.path, tmp_path / "new")
    assert Bundle.open(tmp_path / "new").description == bundle.description


def test_damaged_checkpoint_is_named_with_the_others_of_its_run(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"cut off")
    (tmp_path / "best.ckpt").write_bytes(b"")
    with pytest.raises(DataInvalid, match=r"last\.ckpt is damaged.*best\.ckpt"):
        stage.load_network(tmp_path / "last.ckpt")


def test_bundle_tells_of_its_run_but_not_of_the_machine() -> None:
    command = ["text-recognizer", "train", "--data.unipen=/home/someone/data/unipen.npz", "--out", "/srv/runs/one"]
    record = {"id": "1", "data": {"unipen": "ab"}, "config": {"out": "/srv"}, "command": [*command, "configs/a.yaml"]}
    told = stage.shipped_record(record)
    assert told["command"] == [*command[:2], "--data.unipen=unipen.npz", "--out", "one", "configs/a.yaml"]
    assert (told["id"], told["data"]) == ("1", {"unipen": "ab"})
    assert "config" not in told


def test_run_folder_stands_for_its_best_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"last\.ckpt"):
        stage.find_checkpoint(tmp_path)
    ranked = {"monitor": "val/cer_decoder", "best_model_path": "/gone/elsewhere/best-300.ckpt"}
    torch.save(
        {"callbacks": {"ModelCheckpoint{'monitor': None}": {}, "ModelCheckpoint{…}": ranked}}, tmp_path / "last.ckpt"
    )
    assert stage.find_checkpoint(tmp_path) == tmp_path / "last.ckpt"  # the best one was thrown away
    (tmp_path / "best-300.ckpt").write_bytes(b"")
    assert stage.find_checkpoint(tmp_path) == tmp_path / "best-300.ckpt"
    assert stage.find_checkpoint(tmp_path / "last.ckpt") == tmp_path / "last.ckpt"


def test_weights_take_half_the_room_and_lose_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Net(RecognizerConfig(channels=(8, 8, 8, 16), d_model=32, d_ff=64, heads=2)).eval()
    stage.save_weights(network, tmp_path / "whole.safetensors")
    stage.halve_weights(network)
    stage.save_weights(network, tmp_path / "half.safetensors")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.56 * (tmp_path / "whole.safetensors").stat().st_size
    other = Net(network.config)
    other.load_state_dict(load_file(tmp_path / "half.safetensors"))
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("content", [b"hello\n", b"", b"PK", b"\x80\x02]q\x00."])
def test_what_is_no_checkpoint_is_named_whatever_it_holds(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "other.ckpt"
    file.write_bytes(content)
    for load in (stage.load_network, load_line_finder):
        with pytest.raises(DataInvalid, match=r"other\.ckpt is damaged or not a checkpoint"):
            load(file)


def test_checkpoint_of_another_network_is_not_staged(tmp_path: Path) -> None:
    state = {"network.encoder.weight": torch.zeros(2)}
    torch.save({"state_dict": state, "hyper_parameters": {}, "global_step": 1}, tmp_path / "other.ckpt")
    with pytest.raises(DataInvalid, match="not a checkpoint of a recogniser, or belongs to another version"):
        stage.load_network(tmp_path / "other.ckpt")
    with pytest.raises(DataInvalid, match="holds no network of a line finder"):
        load_line_finder(tmp_path / "other.ckpt")


@pytest.mark.parametrize("part", ["finder", "marks", "neural_language_model"])
def test_damaged_part_is_named_before_the_work_of_minutes(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"no graph")
    monkeypatch.setattr(stage, "load_network", lambda *_: (Net(RecognizerConfig()), None))
    options = stage.StageOptions(checkpoint=other, out=tmp_path / "out", unipen=other, **{part: other})
    with pytest.raises(DataInvalid, match=r"other\.onnx is damaged, or not|other\.onnx is damaged or not a checkpoint"):
        stage.stage(options)


@pytest.mark.parametrize("name", ["my model", "../pen", "production", ""])
def test_name_that_no_registry_takes_is_refused_at_once(name: str, tmp_path: Path) -> None:
    paths = {"checkpoint": tmp_path / "none", "out": tmp_path / "out", "unipen": tmp_path / "none"}
    with pytest.raises(UsageError, match="cannot be the name or version"):
        stage.StageOptions(name=name, **paths)
    with pytest.raises(UsageError, match="cannot be the name or version"):
        stage.StageOptions(version=name, **paths)
    with pytest.raises(UsageError, match="cannot be the name or version"):
        FineTuneOptions(data=tmp_path, out=tmp_path / "out", version=name)


def test_full_disk_under_the_bundle_is_reported(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        target.mkdir()
        raise shutil.Error([(str(source), str(target), "[Errno 28] No space left on device")])

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(OutputFailed, match=r"cannot write .*out \(.*No space left on device.*\): make room"):
        stage.install(bundle.path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_damaged_checkpoint_of_a_run_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"cut off")
    with pytest.raises(DataInvalid, match=r"last\.ckpt is damaged"):
        stage.find_checkpoint(tmp_path)
