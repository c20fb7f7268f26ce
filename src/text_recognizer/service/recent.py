"""What was read a short while ago: in memory alone, so that feedback finds its page and image and nothing is kept."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from text_recognizer.feedback.record import Reading
from text_recognizer.formats.json_lines import to_dict
from text_recognizer.page import Mode, Page
from text_recognizer.service.settings import LogKeep

_POINT_BYTES, _ITEM_BYTES = 110, 400  # as Python keeps a point, and a line or a word without its points


@dataclass(frozen=True)
class Remembered:
    """A page that was read and the encoded image that it was read from."""

    request_id: str
    page: Page
    mode: Mode
    image: bytes
    statistics: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    came: float = field(default_factory=time.monotonic)

    @cached_property
    def size(self) -> int:
        """About the bytes that it takes."""
        lines = self.page.lines
        words = [word for line in lines for word in line.words]
        points = sum(len(line.polygon) + len(line.baseline) for line in lines) + sum(len(w.polygon) for w in words)
        return len(self.image) + _POINT_BYTES * points + _ITEM_BYTES * (1 + len(lines) + len(words))

    def reading(self, keep: LogKeep = "images") -> Reading:
        """What is kept of it. How its sender called the image is not."""
        return Reading(
            request_id=self.request_id,
            at=self.at,
            model=self.page.model,
            mode=self.mode,
            image_sha256=hashlib.sha256(self.image).hexdigest(),
            page=None if keep == "numbers" else to_dict(self.page),
            statistics=dict(self.statistics),
            timings=dict(self.timings),
        )


class Recent:
    """The readings of the last `seconds`, at most `most` bytes of them, the latest; for one thread."""

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds, self._most = seconds, most
        self._readings: OrderedDict[str, Remembered] = OrderedDict()
        self.bytes = 0

    def add(self, reading: Remembered) -> None:
        """Under a request id that is there already the newer one is remembered."""
        self.forget(reading.request_id)
        if self._seconds and reading.size <= self._most:
            self._readings[reading.request_id] = reading
            self.bytes += reading.size
        self.forget_old()

    def get(self, request_id: str) -> Remembered | None:
        self.forget_old()
        return self._readings.get(request_id)

    def forget(self, request_id: str) -> bool:
        """Whether it was remembered until now."""
        reading = self._readings.pop(request_id, None)
        if reading is not None:
            self.bytes -= reading.size
        return reading is not None

    def forget_old(self) -> None:
        """Those whose time is over, and the oldest of those that are too many."""
        oldest = time.monotonic() - self._seconds
        while self._readings:
            request_id, reading = next(iter(self._readings.items()))
            if reading.came >= oldest and self.bytes <= self._most:
                break
            self.forget(request_id)
