"""Who may read, and how often."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict

from starlette.requests import Request

from text_recognizer.service.problems import RateLimited, Unauthorized
from text_recognizer.service.settings import Settings

REMEMBERED = 10_000  # clients; whoever was not seen for longest is forgotten first


class Access:
    """Checks a request's API key and its client's rate."""

    def __init__(self, settings: Settings) -> None:
        # Digests are of one length, so that comparing says nothing of a key's length either.
        self._keys = [_digest(key) for key in settings.api_keys]
        self._rate = settings.rate_limit / 60
        self._burst = max(1.0, settings.rate_limit / 6)  # ten seconds' worth at once
        self._allowances: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    async def check(self, request: Request) -> None:
        """Admit `request`. Raises `Unauthorized`, `RateLimited`."""
        client = (request.client.host if request.client else "").encode()
        if self._keys:
            given = _digest(_given(request))
            # All of them are compared, whichever fits.
            if not sum([hmac.compare_digest(given, key) for key in self._keys]):
                raise Unauthorized("give an API key that is known here, as 'Authorization: Bearer KEY'")
            client = given
        if self._rate:
            self._spend(client, time.monotonic())

    def _spend(self, client: bytes, now: float) -> None:
        """A bucket of tokens for each client, filled at the rate that is allowed."""
        allowance, then = self._allowances.pop(client, (self._burst, now))
        allowance = min(self._burst, allowance + (now - then) * self._rate)
        enough = allowance >= 1
        self._allowances[client] = (allowance - enough, now)
        if len(self._allowances) > REMEMBERED:
            self._allowances.popitem(last=False)
        if not enough:
            raise RateLimited("more requests than are allowed; wait a little", (1 - allowance) / self._rate)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _given(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
