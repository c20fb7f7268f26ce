"""Who may send requests, and how often."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import time
from collections import OrderedDict

from starlette.requests import Request

from text_recognizer.service import origins
from text_recognizer.service.problems import RateLimited, Unauthorized
from text_recognizer.service.settings import Settings

REMEMBERED = 10_000  # clients; the least recently seen is forgotten first
WRONG_KEYS = 60.0  # a minute from one address; twenty at once


class Access:
    """Checks a request's origin, its API key and its client's rate. `request.state.owner` names the key afterwards."""

    def __init__(self, settings: Settings) -> None:
        # All digests have the same length, so comparing them does not reveal the length of a key.
        self._keys = [_digest(key) for key in settings.api_keys]
        # A browser does not send the key by itself, so a key protects better than a check of the host name.
        self._hosts = None if settings.api_keys else settings.hosts
        self._origins = settings.cors
        self._rate = Allowances(settings.rate_limit, settings.rate_limit / 6) if settings.rate_limit else None
        self._wrong = Allowances(WRONG_KEYS, WRONG_KEYS / 3)
        self._welcome: OrderedDict[tuple[bytes, bytes], None] = OrderedDict()

    async def check(self, request: Request) -> None:
        """Admit `request`. Raises `ForeignPage`, `Unauthorized`, `RateLimited`."""
        origins.check(request.method, request.headers, self._origins, self._hosts)
        client = network(request.client.host if request.client else "").encode()
        request.state.owner = ""
        if self._keys:
            key = _digest(_sent(request))
            self._check_key(client, key)
            client = key
            # Enough to tell keys apart, but not the digest itself: keys could be guessed from that.
            request.state.owner = hashlib.sha256(b"owner" + key).hexdigest()[:16]
        if self._rate is not None:
            self._rate.spend(client)

    def _check_key(self, client: bytes, key: bytes) -> None:
        # Others at the same address must not lock out a client whose key was accepted before. A new client has to wait;
        # otherwise guesses would be unlimited.
        if (client, key) not in self._welcome:
            self._wrong.check(client)
            # Compare with every key, so that the timing reveals nothing.
            if not sum([hmac.compare_digest(key, known) for known in self._keys]):
                self._wrong.spend(client)
                raise Unauthorized("send an API key that is known here, as 'Authorization: Bearer KEY'")
        self._welcome[client, key] = None
        self._welcome.move_to_end((client, key))
        if len(self._welcome) > REMEMBERED:
            self._welcome.popitem(last=False)


def network(address: str) -> str:
    """The address range of one client: an IPv4 address, or an IPv6 /64 network, in which it can change its address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))


class Allowances:
    """A token bucket for each client, refilled at `rate` tokens a minute up to `burst`."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate / 60, max(1.0, burst)
        self._left: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def check(self, client: bytes) -> None:
        """Raises `RateLimited` if `spend` would."""
        left = self._now(client)
        if left < 1:
            raise RateLimited("too many requests; wait as long as Retry-After says", (1 - left) / self._rate)

    def spend(self, client: bytes) -> None:
        """Take a token. Raises `RateLimited` if there is none."""
        self.check(client)
        left = self._now(client)
        self._left.pop(client, None)
        self._left[client] = (left - 1, time.monotonic())
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)

    def _now(self, client: bytes) -> float:
        left, then = self._left.get(client, (self._burst, time.monotonic()))
        return min(self._burst, left + (time.monotonic() - then) * self._rate)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _sent(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
