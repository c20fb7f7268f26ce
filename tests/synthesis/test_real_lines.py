"""Real lines: the format is read, hands of few lines are shown too, damage is named, a run shows the same again."""

import io
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from text_recognizer.errors import DataInvalid
from text_recognizer.synthesis.sources.real_lines import RealLines
from text_recognizer.training.data import Pools


def write(folder: Path, lines: list[tuple[str, str, str]], packed: bool = True) -> Path:
    """A folder of real lines of (hand, split, text), each as wide as its text is long."""
    folder.mkdir(exist_ok=True)
    data, records = b"", []
    for number, (hand, split, text) in enumerate(lines):
        image = np.full((64, 20 + 12 * len(text)), 230, np.uint8)
        image[20:44, 10 : 10 + 12 * len(text) : 6] = 20 + number % 50
        out = io.BytesIO()
        Image.fromarray(image).save(out, "PNG")
        records.append({"hand": hand, "split": split, "text": text, "at": [len(data), len(out.getvalue())]})
        data += out.getvalue()
    (folder / "lines64.bin").write_bytes(data)
    table = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records).encode()
    (folder / ("lines.jsonl.xz" if packed else "lines.jsonl")).write_bytes(lzma.compress(table) if packed else table)
    return folder


@pytest.mark.parametrize("packed", [True, False])
def test_lines_of_a_split_come_with_their_images_and_accents(tmp_path: Path, packed: bool) -> None:
    folder = write(tmp_path, [("a", "train", "Œuvre à Paris"), ("b", "dev", "cœur"), ("a", "train", "漢")], packed)
    lines = RealLines(folder)
    assert [line.text for line in lines.lines] == ["Œuvre à Paris"]
    assert lines.left_out == 1
    image, text = lines.sample(np.random.default_rng(0))
    assert text == "Œuvre à Paris"
    assert image.shape == (64, 20 + 12 * len(text))
    assert RealLines(folder, "dev").lines[0].text == "cœur"


def test_a_hand_of_few_lines_is_not_drowned_by_a_clerk_of_many(tmp_path: Path) -> None:
    lines = RealLines(
        write(tmp_path, [("clerk", "train", f"entry {i}") for i in range(100)] + [("x", "train", "will")])
    )
    rng = np.random.default_rng(0)
    share = sum(lines.sample(rng)[1] == "will" for _ in range(1000)) / 1000
    assert 0.06 < share < 0.13  # 1 of 1 + √100


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match=r"lines\.jsonl\.xz"):
        RealLines(tmp_path)
    folder = write(tmp_path / "lines", [("a", "train", "one"), ("a", "train", "two")])
    with pytest.raises(DataInvalid, match="split 'test'"):
        RealLines(folder, "test")
    whole = (folder / "lines64.bin").read_bytes()
    (folder / "lines64.bin").write_bytes(whole[:-10])
    with pytest.raises(DataInvalid, match="shorter than its records"):
        RealLines(folder)
    (folder / "lines64.bin").write_bytes(bytes(len(whole)))
    lines = RealLines(folder)
    with pytest.raises(DataInvalid, match="no picture"):
        lines.image(lines.lines[0])
    (folder / "lines.jsonl.xz").write_bytes(b"damaged")
    with pytest.raises(DataInvalid, match="can't be read"):
        RealLines(folder)
    (folder / "lines.jsonl.xz").write_bytes(lzma.compress(b'{"split": "train", "hand": "a"}\n'))
    with pytest.raises(DataInvalid, match="lacks text"):
        RealLines(folder)


class Blank:
    """A renderer whose lines say nothing: what has text is a real line."""

    height = 48

    def sample(self, rng: np.random.Generator, short: float) -> tuple[np.ndarray, str]:
        return np.full((48, 40), 240, np.uint8), ""


def test_their_share_rises_over_the_run_and_the_same_lines_come_again(tmp_path: Path) -> None:
    real = RealLines(write(tmp_path, [(hand, "train", f"line {hand}") for hand in "abcdef"]))
    pools = Pools(
        Blank(),  # type: ignore[arg-type]
        seed=1, batches=8, batch_size=32, real=real, real_share=(0.1, 0.5), real_steps=80,
    )  # fmt: skip

    def share(index: int) -> float:
        return float(np.mean([length > 0 for batch in pools[index] for length in batch.lengths.tolist()]))

    assert share(0) == pytest.approx(0.1, abs=0.08)
    assert share(5) == pytest.approx(0.3, abs=0.12)
    assert share(20) == pytest.approx(0.5, abs=0.12)
    one, two = pools[7], pools[7]
    assert all(np.array_equal(a.images, b.images) for a, b in zip(one, two, strict=True))
