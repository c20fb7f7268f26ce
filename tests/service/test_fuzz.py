"""The door for pixels under bytes that nobody meant: no crash, no hang, no memory over the cap.

TEXT_RECOGNIZER_FUZZ=100000 takes that many inputs, some ten minutes; without it there are as many as fit into seconds.
"""

import base64
import io
import os
import re
import resource
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from text_recognizer.errors import ImageRejected
from text_recognizer.images import FORMATS, load_image

INPUTS = int(os.environ.get("TEXT_RECOGNIZER_FUZZ", "1500"))
SECONDS = 2.0  # of the processor for one input; the deadline of a request is far more
unhurried = settings(
    max_examples=INPUTS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    derandomize=INPUTS < 10_000,
)


def _seeds():
    """One small valid image a format, and some oddities."""
    gray = np.random.default_rng(0).integers(0, 256, (24, 40), np.uint8)
    seeds = []
    for kind in FORMATS:
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


_IN_A_BOX = """
import resource, sys
sys.path[:0] = {path!r}
import pytest
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
status = pytest.main(["-q", "-p", "no:cacheprovider", "--import-mode=importlib", {test!r}])
print("GREW", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
sys.exit(status)
"""


def test_memory_stays_under_the_cap_over_all_of_them():
    """In a process of its own: the most memory that it ever held is looked at, and a crash would end it."""
    test = f"{__file__}::test_whatever_the_bytes_an_image_comes_out_or_one_refusal"
    code = _IN_A_BOX.format(path=sys.path, test=test)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    grown = re.search(r"GREW (\d+)", done.stdout)
    assert grown and int(grown[1]) < 300, "MiB; a million pixels may take some 10 bytes each, the rest is imports"


PRIVATE = re.compile(r"Traceback|0x[0-9a-f]{6}|\.py\b|/(?:tmp|home|root|usr|work|src)/", re.IGNORECASE)


@given(anything, st.sampled_from(("raw", "form", "data", "original")), st.sampled_from(("fast", "accurate")))
@settings(unhurried, max_examples=min(INPUTS, 2000) // 10)
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
@settings(unhurried, max_examples=min(INPUTS, 2000) // 10)
def test_service_answers_every_body_of_every_kind(service, body, kind):
    for path in ("/v1/read", "/"):
        answer = service.http.post(path, content=body, headers={"Content-Type": kind.encode("latin-1")})
        assert answer.status_code in (200, 400, 415, 422), answer.text
        assert not PRIVATE.search(answer.text)


@pytest.mark.parametrize("pixels", [60_000_000, 2_000_000_000, 4_000_000_000])
def test_image_that_unpacks_to_far_more_than_it_weighs_is_refused_by_its_header(service, pixels):
    side = int(pixels**0.5)
    header = side.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    import zlib

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
