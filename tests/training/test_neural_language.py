"""The neural language model: what it learns, that a run goes on, and that its graph scores as torch does."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from text_recognizer.bundle import Bundle
from text_recognizer.description import NEURAL_LANGUAGE_MODEL, Description
from text_recognizer.errors import DataInvalid
from text_recognizer.reader import Reader
from text_recognizer.recognition.decoding import BLANK, EOS, FIRST_CHARACTER, to_text
from text_recognizer.recognition.neural import BUCKETS, ORDERS, NeuralLanguageModel, gram_buckets
from text_recognizer.recognition.recognizer import Recognizer
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.training.models.neural_language import NeuralLanguageConfig, NeuralLanguageNetwork
from text_recognizer.training.neural_language import NeuralLanguageOptions, Windows, export, fit, load_weights
from text_recognizer.training.stage import describe

WORDS = ("the", "river", "carries", "morning", "light", "over", "quiet", "stones", "and", "sings")


def ids(text: str) -> list[int]:
    return [ALPHABET.index(character) + FIRST_CHARACTER for character in text]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(0)
    paragraphs = (" ".join(rng.choice(WORDS, 40)) for _ in range(400))
    (folder / "en_river.txt").write_text("\n".join(paragraphs), encoding="utf-8")
    return folder


def network(seed: int = 0) -> NeuralLanguageNetwork:
    torch.manual_seed(seed)
    sizes = NeuralLanguageConfig(vocabulary=FIRST_CHARACTER + len(ALPHABET), d_model=32, layers=1, heads=2, d_ff=32)
    made = NeuralLanguageNetwork(sizes)
    for parameter in made.parameters():
        if not parameter.any():  # what begins as nothing would hide mistakes
            torch.nn.init.normal_(parameter, std=0.1)
    return made.eval()


def test_grams_depend_only_on_the_characters_up_to_them() -> None:
    rng = np.random.default_rng(1)
    text = rng.integers(FIRST_CHARACTER, 90, (1, 20))
    buckets = gram_buckets(text)
    assert buckets.shape == (1, 20, len(ORDERS))
    assert 0 <= buckets.min() <= buckets.max() < BUCKETS
    changed = text.copy()
    changed[0, 10] += 1
    differs = (gram_buckets(changed) != buckets)[0]
    for column, order in enumerate(ORDERS):
        assert np.flatnonzero(differs[:, column]).tolist() == list(range(10, 10 + order))


def test_graph_scores_as_torch_does_whatever_else_is_in_the_batch(tmp_path: Path) -> None:
    torch_network = network()
    export(torch_network, tmp_path / "model.onnx")
    model = NeuralLanguageModel(onnxruntime.InferenceSession(str(tmp_path / "model.onnx")))
    assert model.vocabulary == FIRST_CHARACTER + len(ALPHABET)
    texts = [ids("a short one"), ids("a line that is a good deal longer, with 3 numbers"), [], ids("x" * 300)]
    scores = model.scores(texts)
    for text, score in zip(texts, scores, strict=True):
        assert model.scores([text])[0] == pytest.approx(score, abs=0.02 * (1 + len(text)))
        before = torch.tensor([[EOS, *text]])
        with torch.no_grad():
            log_probs = torch_network(before, torch.from_numpy(gram_buckets(before.numpy()))).log_softmax(-1)[0]
        exact = sum(float(log_probs[i, symbol]) for i, symbol in enumerate([*text, EOS]))
        assert score == pytest.approx(exact, abs=0.05 * (1 + len(text)))  # weights have 8 bits


def test_windows_are_lines_of_the_text(texts: Path) -> None:
    windows = Windows(texts)
    before, grams, following = windows.batch(np.random.default_rng(2), 40, held_out=True)
    assert (before[:, 0] == EOS).all()
    assert (before[:, 1:] == following[:, :-1]).all()
    assert np.array_equal(grams.numpy(), gram_buckets(before.numpy()))
    read = ["".join("\n" if i == EOS else to_text([i], ALPHABET) for i in row if i != BLANK) for row in before.tolist()]
    known = set(WORDS)
    running = [text for text in read if len(known & set(text.lower().split())) > 4]
    assert len(running) > 30  # the others are notes of everyday
    assert sum("\n" in text.strip() for text in running) > 20
    for text in running:
        inner = text.lower().replace("-\n", "").split()[1:-1]
        assert sum(word in known for word in inner) >= 0.9 * len(inner), text


def test_model_learns_a_text_and_a_run_goes_on(texts: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    said: list[str] = []
    out = tmp_path / "model.onnx"
    options = {"texts": texts, "out": out, "batch": 6, "rate": 1e-2}
    first = fit(NeuralLanguageOptions(steps=10, **options), said.append)
    assert first < np.log2(len(ALPHABET))
    # What it started from is needed no more.
    better = fit(NeuralLanguageOptions(steps=30, start=tmp_path / "gone.onnx", **options), said.append)
    assert better < first
    assert any("going on from step 10" in line for line in said)
    assert torch.load(out.with_suffix(".ckpt"), weights_only=True)["step"] == 30
    model = NeuralLanguageModel(onnxruntime.InferenceSession(str(out)))
    right, wrong = model.scores([ids("the river carries quiet stones"), ids("tne rivor carrios quiot stonos")])
    assert right > wrong + 5


def test_learns_on_from_a_graph(tmp_path: Path) -> None:
    before, after = network(), network(1)
    for name, parameter in before.named_parameters():
        if "norm" in name:  # equal vectors become one in the graph; those of a trained network differ
            torch.nn.init.normal_(parameter, mean=1.0, std=0.1)
    export(before, tmp_path / "model.onnx")
    load_weights(after, tmp_path / "model.onnx")
    tokens = torch.tensor([[EOS, *ids("a quiet line")]])
    grams = torch.from_numpy(gram_buckets(tokens.numpy()))
    with torch.no_grad():
        torch.testing.assert_close(after(tokens, grams), before(tokens, grams), atol=0.1, rtol=0.05)  # of 8 bits
        assert (after(tokens, grams) - network(1)(tokens, grams)).abs().max() > 0.5
    other = NeuralLanguageNetwork(replace(before.config, d_ff=48))
    for layers in (1, 2):
        with pytest.raises(DataInvalid, match="does not fit this network"):
            load_weights(NeuralLanguageNetwork(replace(other.config, layers=layers)), tmp_path / "model.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a graph")
    with pytest.raises(DataInvalid, match=r"broken\.onnx does not fit"):
        load_weights(before, tmp_path / "broken.onnx")


def test_folder_without_text_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "en.txt").write_text("too short\n", encoding="utf-8")
    with pytest.raises(DataInvalid, match="train data texts"):
        Windows(tmp_path)


def test_a_bundle_with_the_model_judges_close_readings_by_it(tmp_path: Path, bundle_dir: Path, letter: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_dir, bundle)
    never = network()
    with torch.no_grad():
        never.head.bias[ids("dr.,:")] = -60.0  # a language that hardly knows these
    export(never, bundle / f"{NEURAL_LANGUAGE_MODEL}.onnx")
    description = describe(bundle, Description.read(bundle))
    layout = Reader(bundle, threads=1).lay_out(letter)

    def letters(share: float) -> int:
        decoding = replace(description.recognizer.decoding, neural_share=share)
        recognizer = Recognizer(Bundle.open(bundle), threads=1, decoding=decoding)
        assert (recognizer.neural is None) == (share == 0)
        readings = recognizer.read_lines(layout.crops)
        return sum(letter in "dr.,:" for reading in readings for letter in reading.text)

    without, asked = letters(0.0), letters(1.0)
    assert without / 2 < asked < without  # readings that are far ahead stay
