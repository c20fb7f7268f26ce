"""Memory that threads free must serve the others, or a service only grows."""

import os
import platform
import subprocess
import sys
import time

import pytest

from text_recognizer.service import heap

# How many heaps the C library keeps once the threads have read, as it tells itself.
PROGRAM = """
import ctypes, sys, time
from text_recognizer.service.engine import Engine
from text_recognizer.service.metrics import Metrics
from text_recognizer.service.settings import Settings
engine = Engine(Settings(threads=4), Metrics())
engine.start()
while not engine.ready:
    time.sleep(0.02)
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = libc.fdopen(1, b"w")
libc.malloc_info(0, ctypes.c_void_p(out))
libc.fflush(ctypes.c_void_p(out))
engine.stop()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
@pytest.mark.parametrize(("given", "shared"), [({}, True), ({"MALLOC_ARENA_MAX": "8"}, False)])
def test_threads_share_one_heap_unless_told_otherwise(given, shared):
    environ = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environ, **given},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert (told.stdout.count("<heap nr=") == 1) is shared


def test_freed_memory_is_given_back_after_pages_and_not_while_idle(running, picture, monkeypatch, wait_until):
    class Library:
        trims = 0

        def malloc_trim(self, _):
            self.trims += 1

    library = Library()
    monkeypatch.setattr(heap, "c_library", lambda: library)
    monkeypatch.setattr(heap, "TRIM_SECONDS", 0.05)
    with running(threads=1) as service:
        assert service.http.post("/v1/read", content=picture, headers={"Content-Type": "image/png"}).status_code == 200
        wait_until(lambda: library.trims)
        time.sleep(0.3)  # the last step may have begun after that
        seen = library.trims
        time.sleep(0.3)
        assert library.trims == seen


SEARCHED = """
import gc, time
from text_recognizer.service.engine import Engine
from text_recognizer.service.metrics import Metrics
from text_recognizer.service.settings import Settings
engine = Engine(Settings(threads=1), Metrics())
engine.start()
while not engine.ready:
    time.sleep(0.02)
print(len(gc.get_objects()), gc.get_freeze_count())
engine.stop()
"""


def test_garbage_is_not_searched_for_in_what_lasts():
    """A search of the whole heap stops all threads for 0.1 s."""
    told = subprocess.run([sys.executable, "-c", SEARCHED], capture_output=True, text=True, check=True, timeout=120)
    searched, lasting = map(int, told.stdout.split())
    assert searched < lasting / 10, told.stdout
