"""Script and struck-out words, told by the graph of a bundle that has one."""

import shutil

import cv2
import numpy as np
import pytest

from text_recognizer.bundle import Bundle
from text_recognizer.description import LINE_MARKS, Description
from text_recognizer.reader import Reader
from text_recognizer.recognition.marks import STRIDE, LineMarks
from text_recognizer.training.models.line_marks import LineMarks as Network
from text_recognizer.training.models.line_marks import export_line_marks
from text_recognizer.training.stage import add_marks, describe


@pytest.fixture(scope="module")
def bare(bundle_dir, tmp_path_factory):
    """The shipped bundle without its graph."""
    folder = tmp_path_factory.mktemp("bare") / "bundle"
    shutil.copytree(bundle_dir, folder)
    (folder / f"{LINE_MARKS}.onnx").unlink()
    describe(folder, Description.read(folder))
    return folder


@pytest.fixture(scope="module")
def marking(bundle_dir, tmp_path_factory):
    """A bundle whose graph calls every line printed, and every step with much ink struck out."""
    net = Network().eval()
    for parameter in net.parameters():
        parameter.data.zero_()
    net.head.bias.data[:] = net.head.bias.data.new_tensor([-9.0, 5.0, 0.0])
    # One feature that is the ink of a step, from the first layer to the head.
    for block, share in zip(net.shrink, (1 / 25, 1 / 9, 1 / 9, 1 / 6), strict=True):
        block[0].weight.data[0, 0] = share
        block[1].weight.data[0] = 1
    net.head.weight.data[0, 0] = 20.0
    folder = tmp_path_factory.mktemp("marking") / "bundle"
    shutil.copytree(bundle_dir, folder)
    graph = folder.parent / "graph.onnx"
    export_line_marks(net, graph)
    assert str(add_marks(folder, graph)) == str(Bundle.open(bundle_dir))
    return folder


def line_image(struck: bool) -> np.ndarray:
    image = np.full((64, 700), 250, np.uint8)
    for number, word in enumerate(("three", "more", "words")):
        cv2.putText(image, word, (10 + 230 * number, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 30, 2, cv2.LINE_AA)
    if struck:
        for y in range(10, 60, 8):
            cv2.line(image, (236, y), (370, y), 30, 6)
    return image


def test_struck_words_leave_the_text_and_scripts_are_reported(marking, bare):
    plain = Reader(bare, 1).read_line(line_image(True), "fast")
    assert plain.script is None and plain.struck == ()
    whole = Reader(marking, 1).read_line(line_image(False), "fast")
    assert whole.script == "printed" and whole.struck == ()
    line = Reader(marking, 1).read_line(line_image(True), "fast")
    assert line.script == "printed"
    assert len(line.struck) >= 1
    assert line.text == " ".join(word.text for word in line.words) != plain.text
    assert all(min(x for x, _ in word.polygon) > 200 and max(x for x, _ in word.polygon) < 420 for word in line.struck)


def test_word_is_struck_where_most_of_it_is():
    marks = LineMarks("handwritten", np.asarray([0, 0, 0.95, 0.95, 0.95, 0.2, 0, 0], np.float32))
    assert marks.is_struck(2 / 8, 5 / 8)
    assert marks.is_struck(1 / 8, 6 / 8)
    assert not marks.is_struck(0, 3 / 8)
    assert not marks.is_struck(5 / 8, 1.0)
    assert not marks.is_struck(1.0, 1.0)


def test_graph_gives_the_same_for_a_line_in_any_batch(marking):
    graph = Bundle.open(marking).session(LINE_MARKS, 1)
    rng = np.random.default_rng(1)
    line = rng.integers(0, 255, (48, 200), np.uint8)
    results = []
    for width in (256, 640):
        images = np.zeros((2, 1, 48, width), np.uint8)
        images[0, 0, :, :200] = line
        images[1, 0] = 99
        printed, struck = graph.run(None, {"images": images, "widths": np.asarray([200, width - 48])})
        results.append((printed[0], struck[0, : 200 // STRIDE]))
    np.testing.assert_allclose(results[0][0], results[1][0], atol=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-5)
