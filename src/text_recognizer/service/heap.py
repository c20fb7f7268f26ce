"""Memory: one heap of the C library for all threads, free memory returned to the system, what lasts not searched."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

TRIM_SECONDS = 5.0  # between two checks; returning memory takes some hundredths of a second
_M_ARENA_MAX = -8  # of malloc.h


def share_one() -> None:
    """Let threads that start from now on share one heap (glibc only).

    By default each thread has its own heap, and other threads cannot use what it freed.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError):
            c_library().mallopt(_M_ARENA_MAX, 1)


def return_free(steps: Callable[[], int], closing: threading.Event) -> None:
    """Return free memory while `steps`, a count of the work done, changes; ends when `closing` is set.

    Pages of all sizes leave holes in the heap, which glibc retains: 300 MB were resident and 70 in use.
    """
    trim = getattr(c_library(), "malloc_trim", None)
    seen = steps()
    while trim is not None and not closing.wait(TRIM_SECONDS):
        if seen != steps():
            seen = steps()
            trim(0)


def settle() -> None:
    """What exists now lasts, so Python need not search it for garbage again; for a model or a page just loaded.

    Such a search takes 0.1 s and holds Python's lock, so every request waits meanwhile.
    """
    gc.unfreeze()  # what an earlier model has left is garbage by now
    gc.collect()
    gc.freeze()


def c_library() -> Any:
    """The C library; functions of glibc raise AttributeError elsewhere."""
    with suppress(OSError, TypeError):
        return ctypes.CDLL(None)
    return None
