"""Untrusted JSON: the number of values and the depth are checked before anything is parsed.

A 20 MiB body such as `[0,0,0,…]` becomes ten million Python objects, which take seconds and hundreds of megabytes.
"""

from __future__ import annotations

import json
import re
from typing import Any

from text_recognizer.service.problems import RequestError

DEPTH = 32
# A string is one token, so that brackets and commas in it do not count. Each alternative takes linear time.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


def parse(body: bytes, values: int) -> Any:
    """Parse `body`, JSON in UTF-8 with at most `values` values. Raises `RequestError`."""
    # Every value but the first follows one of these characters, so the cheap count is usually enough.
    if body.count(b"[") + body.count(b"{") + body.count(b",") >= min(values, DEPTH):
        _check(body, values)
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise RequestError("the body is not JSON in UTF-8; check it") from None


def _check(body: bytes, values: int) -> None:
    depth, count = 0, 1
    for token in _TOKEN.finditer(body):
        sign = token[0][:1]
        if sign in b"[{":
            depth += 1
            count += 1
        elif sign in b"]}":
            depth -= 1
        elif sign == b",":
            count += 1
        if depth > DEPTH or count > values:
            limit = f"{DEPTH} levels" if depth > DEPTH else f"{values:,} values"
            raise RequestError(f"the JSON has more than {limit}; send only what this address expects")
