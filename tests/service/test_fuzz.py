"""The door for pixels under bytes that nobody meant: no crash, no hang, no memory over the cap.

TEXT_RECOGNIZER_FUZZ=100000 looks at that many inputs, in some twenty seconds; by default there are fewer. The whole
service under inputs of all kinds is that of benchmarks/fuzz.py, of which some are sent here.
"""

import base64
import contextlib
import io
import os
import random
import re
import resource
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from small_heic import HEIC
from text_recognizer.errors import ImageRejected
from text_recognizer.images import FORMATS, load_image

INPUTS = int(os.environ.get("TEXT_RECOGNIZER_FUZZ", "20000"))
SECONDS = 2.0  # of the processor for one input; the deadline of a request is far more
unhurried = settings(max_examples=300, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
pytestmark = pytest.mark.filterwarnings("ignore:::PIL")  # of what is odd in them


def _seeds():
    """One small valid image a format, and some oddities."""
    gray = np.random.default_rng(0).integers(0, 256, (24, 40), np.uint8)
    seeds = [HEIC]
    for kind in FORMATS:
        if kind == "HEIF":
            continue  # Pillow and pi-heif do not write it
        for mode in ("L", "RGB"):
            stored = io.BytesIO()
            Image.fromarray(gray).convert(mode).save(stored, kind)
            seeds.append(stored.getvalue())
    for mode, kind in (("P", "GIF"), ("1", "TIFF"), ("I;16", "PNG"), ("CMYK", "JPEG"), ("RGBA", "WEBP"), ("1", "PNG")):
        stored = io.BytesIO()
        image = Image.fromarray(gray.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(gray).convert(mode)
        image.save(stored, kind)
        seeds.append(stored.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = io.BytesIO()
    Image.fromarray(gray).save(stored, "JPEG", exif=exif)
    return [*seeds, stored.getvalue()]


SEEDS = _seeds()


@st.composite
def damaged(draw):
    """An image with some of its bytes changed, cut out, doubled, or exchanged for another's."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        if not data:
            break
        at = draw(st.one_of(st.integers(0, min(63, len(data) - 1)), st.integers(0, len(data) - 1)))
        match draw(st.sampled_from(("set", "flip", "cut", "drop", "double", "number", "splice"))):
            case "set":
                data[at] = draw(st.integers(0, 255))
            case "flip":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 16))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
            case "number":
                number = draw(st.sampled_from((0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)))
                size = draw(st.sampled_from((2, 4)))
                data[at : at + size] = (number & (256**size - 1)).to_bytes(
                    size, draw(st.sampled_from(("big", "little")))
                )
            case "splice":
                data[at:] = draw(st.sampled_from(SEEDS))[at:]
    return bytes(data)


anything = st.one_of(damaged(), damaged(), damaged(), st.binary(max_size=512))


@given(anything)
@unhurried
def test_whatever_the_bytes_an_image_comes_out_or_one_refusal(data):
    begin = time.process_time()
    try:
        loaded = load_image(data, max_pixels=1_000_000)
    except ImageRejected as refusal:
        message = str(refusal)
        assert message and "\n" not in message
        assert len(message) < 500
    else:
        assert loaded.rgb.shape == (*loaded.gray.shape, 3)
        assert loaded.gray.size <= 1_000_000
    assert time.process_time() - begin < SECONDS


def _look_at_many(count):
    """The same, as fast as it goes: prints how many were images, the slowest, and how much memory grew by."""
    chance = random.Random(count)
    numbers = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    images, slowest = 0, 0.0
    for _ in range(count):
        data = bytearray(chance.choice(SEEDS))
        for _ in range(chance.randint(0, 6)):
            if not data:
                break
            at = chance.randrange(min(64, len(data)) if chance.random() < 0.5 else len(data))
            how = chance.randrange(7)
            if how == 0:
                data[at] = chance.randrange(256)
            elif how == 1:
                data[at] ^= 1 << chance.randrange(8)
            elif how == 2:
                del data[at:]
            elif how == 3:
                del data[at : at + chance.randint(1, 16)]
            elif how == 4:
                data[at:at] = data[at : at + chance.randint(1, 64)]
            elif how == 5:
                data[at:] = chance.choice(SEEDS)[at:]
            else:
                size = chance.choice((2, 4))
                number = chance.choice(numbers) & (256**size - 1)
                data[at : at + size] = number.to_bytes(size, chance.choice(("big", "little")))
        begin = time.process_time()
        with contextlib.suppress(ImageRejected):
            images += load_image(bytes(data), max_pixels=1_000_000).gray.size > 0
        slowest = max(slowest, time.process_time() - begin)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"looked at {count}, {images} images, slowest {slowest:.3f} s, grew by {grown:.0f} MiB", flush=True)


def test_many_inputs_neither_crash_nor_hang_nor_eat_memory():
    """In a process of its own, which a crash would end, and whose most memory is its own."""
    command = [sys.executable, "-W", "ignore", __file__, str(INPUTS)]
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=where)
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r"looked at (\d+), (\d+) images, slowest ([\d.]+) s, grew by (\d+) MiB", done.stdout)
    print(found[0])
    assert int(found[1]) == INPUTS
    assert INPUTS / 10 < int(found[2]) < INPUTS  # else the damage is too small or too large to tell anything
    assert float(found[3]) < SECONDS
    assert int(found[4]) < 200


@pytest.mark.parametrize("what", [("--inputs", "300"), ("--sequences", "8")])
def test_whole_service_answers_inputs_of_every_kind(what):
    """Files, JSON, forms, requests as bytes, and sequences of requests by the OpenAPI document."""
    script = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"
    done = subprocess.run([sys.executable, script, *what], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


PRIVATE = re.compile(r"Traceback|0x[0-9a-f]{6}|\.py\b|/(?:tmp|home|root|usr|work|src)/", re.IGNORECASE)


@given(anything, st.sampled_from(("raw", "form", "data", "original")), st.sampled_from(("fast", "accurate")))
@settings(unhurried, max_examples=100)
def test_service_answers_every_one_of_them_with_a_page_or_a_problem(service, data, way, mode):
    url = "data:;base64," + base64.b64encode(data).decode()
    sent = {
        "raw": ("/v1/read", {"content": data, "headers": {"Content-Type": "image/png"}}),
        "form": ("/v1/read", {"files": {"image": data}}),
        "data": ("/v1/read", {"json": {"image": url}}),
        "original": ("/", {"json": {"image": url}}),
    }
    path, content = sent[way]
    answer = service.http.post(path, params={"mode": mode}, **content)
    assert answer.status_code in ((200, 400, 422) if way == "raw" else (200, 422)), answer.text
    assert not PRIVATE.search(answer.text)


@given(
    st.binary(max_size=300),
    st.sampled_from(("application/json", "multipart/form-data; boundary=x", "text/plain", "image/", "\xe9")),
)
@settings(unhurried, max_examples=100)
def test_service_answers_every_body_of_every_kind(service, body, kind):
    for path in ("/v1/read", "/"):
        answer = service.http.post(path, content=body, headers={"Content-Type": kind.encode("latin-1")})
        assert answer.status_code in (200, 400, 415, 422), answer.text
        assert not PRIVATE.search(answer.text)


@pytest.mark.parametrize("pixels", [60_000_000, 2_000_000_000, 4_000_000_000])
def test_image_that_unpacks_to_far_more_than_it_weighs_is_refused_by_its_header(service, pixels):
    side = int(pixels**0.5)
    header = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = service.http.post("/v1/read", content=bomb, headers={"Content-Type": "image/png"})
    assert answer.status_code == 422
    assert "million pixels" in answer.json()["detail"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


if __name__ == "__main__":
    _look_at_many(int(sys.argv[1]))
