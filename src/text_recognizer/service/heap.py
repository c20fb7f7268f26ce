"""Memory: one C heap for all threads, free memory returned to the system, lasting objects hidden from the collector."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

TRIM_SECONDS = 5.0  # between two checks; returning memory takes a few hundredths of a second
_M_ARENA_MAX = -8  # from malloc.h


def share_one() -> None:
    """Make threads that start from now on share one heap (glibc only).

    By default each thread has its own heap, and other threads cannot use the memory that it frees.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError):
            c_library().mallopt(_M_ARENA_MAX, 1)


def return_free(steps: Callable[[], int], closing: threading.Event) -> None:
    """Return free memory to the system whenever `steps`, a count of the work done, has changed, until `closing` is set.

    Pages of all sizes leave holes in the heap, and glibc keeps them: with 70 MB in use, 300 MB were resident.
    """
    trim = getattr(c_library(), "malloc_trim", None)
    seen = steps()
    while trim is not None and not closing.wait(TRIM_SECONDS):
        if seen != steps():
            seen = steps()
            trim(0)


def settle() -> None:
    """Exclude all existing objects from garbage collection; call it after a model or the web page is loaded.

    A collection over them takes 0.1 s and holds Python's lock, so every request would wait.
    """
    gc.unfreeze()  # the remains of an earlier model are garbage by now
    gc.collect()
    gc.freeze()


def c_library() -> Any:
    """The C library; functions of glibc raise AttributeError elsewhere."""
    with suppress(OSError, TypeError):
        return ctypes.CDLL(None)
    return None
