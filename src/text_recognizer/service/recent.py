"""Recent readings, kept only in memory, so that feedback finds its page and image and nothing else need be stored."""

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
from text_recognizer.service.settings import LogContent

REUSED = 10_000  # most reused ids to remember
_POINT_BYTES, _ITEM_BYTES = 110, 400  # memory of a point, and of a line or a word without its points


@dataclass(frozen=True)
class Remembered:
    """A page and the encoded image that it was read from."""

    request_id: str
    page: Page
    mode: Mode
    image: bytes
    statistics: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    came: float = field(default_factory=time.monotonic)
    owner: str = ""

    @cached_property
    def size(self) -> int:
        """Bytes of memory, estimated."""
        lines = self.page.lines
        words = [word for line in lines for word in line.words]
        points = sum(len(line.polygon) + len(line.baseline) for line in lines) + sum(len(w.polygon) for w in words)
        return len(self.image) + _POINT_BYTES * points + _ITEM_BYTES * (1 + len(lines) + len(words))

    def reading(self, keep: LogContent = "images") -> Reading:
        """The reading to store, without the name that the sender gave the image."""
        return Reading(
            request_id=self.request_id,
            at=self.at,
            model=self.page.model,
            mode=self.mode,
            image_sha256=hashlib.sha256(self.image).hexdigest(),
            page=None if keep == "numbers" else to_dict(self.page),
            statistics=dict(self.statistics),
            timings=dict(self.timings),
            owner=self.owner,
        )


class Recent:
    """The latest readings: at most `seconds` old, and at most `most` bytes in total. Not thread-safe."""

    def __init__(self, seconds: float, most: int) -> None:
        self._seconds, self._most = seconds, most
        self._readings: OrderedDict[tuple[str, str], Remembered] = OrderedDict()
        self._reused: OrderedDict[tuple[str, str], float] = OrderedDict()  # ids that several images were read under
        self.bytes = 0

    def add(self, reading: Remembered) -> None:
        """Remember `reading`. An id used before with another image is ambiguous, so none of its readings is kept."""
        key = reading.owner, reading.request_id
        there = self._readings.get(key)
        if (there is not None and there.image != reading.image) or self.is_reused(*key):
            self._reused[key] = time.monotonic()
            self._reused.move_to_end(key)
        self.forget(*key)
        if self._seconds and reading.size <= self._most and key not in self._reused:
            self._readings[key] = reading
            self.bytes += reading.size
        self.forget_old()

    def get(self, owner: str, request_id: str) -> Remembered | None:
        """The reading of one of `owner`'s requests."""
        self.forget_old()
        return self._readings.get((owner, request_id))

    def is_reused(self, owner: str, request_id: str) -> bool:
        """Whether several images were read under this id, so that it is ambiguous."""
        return (owner, request_id) in self._reused

    def forget(self, owner: str, request_id: str) -> bool:
        """Remove a reading. Returns whether it was there."""
        reading = self._readings.pop((owner, request_id), None)
        if reading is not None:
            self.bytes -= reading.size
        return reading is not None

    def forget_old(self) -> None:
        """Drop expired readings, and the oldest ones while they take too much memory."""
        oldest = time.monotonic() - self._seconds
        while self._readings:
            key, reading = next(iter(self._readings.items()))
            if reading.came >= oldest and self.bytes <= self._most:
                break
            self.forget(*key)
        while self._reused and (next(iter(self._reused.values())) < oldest or len(self._reused) > REUSED):
            self._reused.popitem(last=False)
