"""Training batches: codes and paddings that the network's two heads rely on, and order by seed and position."""

from pathlib import Path

import numpy as np
import pytest
import torch

from text_recognizer.training.data import BatchStream, Codec, Pools, collate
from text_recognizer.training.models.recognizer import BOS, EOS, PAD, UNKNOWN


class Bars:
    """A renderer that draws a text as so many bars: cheap, and different for each draw."""

    height = 48

    def sample(self, rng: np.random.Generator, short: float) -> tuple[np.ndarray, str]:
        text = "".join(rng.choice(list("abc "), int(rng.integers(1, 8)))).strip() or "a"
        image = np.full((48, 30 + 20 * len(text)), 240, np.uint8)
        image[10:40, 10 : 10 + 20 * len(text) : 4] = int(rng.integers(0, 90))
        return image, text


def test_codec_gives_back_what_it_was_given_and_marks_the_unknown() -> None:
    codec = Codec()
    text = "Dr. Müller paid £3.50 – “fine”, he said…"
    assert codec.decode(codec.encode(text)) == text
    assert codec.encode("a漢b") == [codec.encode("a")[0], UNKNOWN, codec.encode("b")[0]]
    assert codec.decode(codec.encode("a漢b")) == "a\ufffdb"


def test_best_path_merges_repeats_and_keeps_doubled_letters() -> None:
    codec = Codec()
    a, b = codec.encode("ab")
    assert codec.decode_ctc([0, a, a, 0, a, b, b, 0]) == "aab"


def test_batch_pads_with_paper_and_padding_tokens() -> None:
    codec = Codec()
    ink = [np.full((48, w), 200, np.uint8) for w in (30, 90)]
    batch = collate([(ink[0], codec.encode("a")), (ink[1], codec.encode("long"))])
    assert batch.images.shape[:3] == (2, 1, 48)
    assert batch.images.shape[3] % 32 == 0
    assert batch.images[0, 0, :, 30:].max() == 0
    assert batch.widths.tolist() == [30, 90]
    assert batch.lengths.tolist() == [1, 4]
    assert batch.tokens[0].tolist()[:3] == [BOS, codec.encode("a")[0], EOS]
    assert set(batch.tokens[0].tolist()[3:]) == {PAD}


def test_a_stream_begun_in_the_middle_is_the_rest_of_the_stream() -> None:
    pools = Pools(Bars(), seed=3, batches=3, batch_size=4)  # type: ignore[arg-type]

    def take(start: int, count: int) -> list[torch.Tensor]:
        stream = iter(BatchStream(pools, start, workers=0))
        return [next(stream).images for _ in range(count)]

    whole, rest = take(0, 8), take(5, 3)
    assert all(torch.equal(a, b) for a, b in zip(whole[5:], rest, strict=True))
    assert not torch.equal(whole[0], whole[3]) or whole[0].shape != whole[3].shape


def test_another_seed_gives_other_lines() -> None:
    one, two = (Pools(Bars(), seed=s, batches=1, batch_size=8)[0][0] for s in (1, 2))  # type: ignore[arg-type]
    assert one.images.shape != two.images.shape or not torch.equal(one.images, two.images)


@pytest.mark.parametrize("missing", ["nowhere.npz"])
def test_missing_cache_says_how_to_make_it(tmp_path: Path, missing: str) -> None:
    from text_recognizer.training.data import LineRenderer

    with pytest.raises(FileNotFoundError, match="data prepare"):
        LineRenderer(tmp_path / missing)
