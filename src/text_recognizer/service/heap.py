"""Memory of the C library: one heap for all threads, and free memory given back to the system."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

TRIM_SECONDS = 5.0  # between two looks for free memory; giving it back takes some hundredths of a second
_M_ARENA_MAX = -8  # of malloc.h


def share_one() -> None:
    """Let the threads that start from now on share one heap, where the C library is glibc.

    By default each thread has a heap of its own, and other threads cannot use what was freed there.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with suppress(AttributeError):
            _c_library().mallopt(_M_ARENA_MAX, 1)


def give_back(steps: Callable[[], int], closing: threading.Event) -> None:
    """Give free memory back while `steps`, a count of the work done, changes; returns when `closing` is set.

    Pages of all sizes leave holes in the heap, which glibc retains: 300 MB were resident and 70 in use.
    """
    trim = getattr(_c_library(), "malloc_trim", None)
    seen = steps()
    while trim is not None and not closing.wait(TRIM_SECONDS):
        if seen != steps():
            seen = steps()
            trim(0)


def _c_library() -> Any:
    """The C library; functions that only glibc has raise AttributeError elsewhere."""
    with suppress(OSError, TypeError):
        return ctypes.CDLL(None)
    return None
