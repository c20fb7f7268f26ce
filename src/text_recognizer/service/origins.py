"""Refuses requests that a foreign web page makes a visitor's browser send, before anything else happens.

A browser submits a form from any page to any address, including a service on this machine, without asking first. It
states where the request comes from in `Sec-Fetch-Site` (W3C Fetch Metadata); older browsers send `Origin`. The rules
are the same as in Go's net/http CrossOriginProtection. A page can also make its own name resolve to the address of
this service (DNS rebinding); `Host` then has that name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from text_recognizer.service.problems import ForeignPage

SAFE = ("GET", "HEAD", "OPTIONS")


def check(
    method: str, headers: Mapping[str, str], origins: tuple[str, ...] = (), hosts: tuple[str, ...] | None = ()
) -> None:
    """Refuse a request that a foreign web page made a browser send, if it changes or costs something.

    `origins`: the origins of pages that may send it, `*` for all. `hosts`: names of this service in addition to
    `localhost` and IP addresses; None: all names. Raises `ForeignPage`.
    """
    site, origin, host = (headers.get(name) for name in ("sec-fetch-site", "origin", "host"))
    if method in SAFE or (site is None and origin is None) or "*" in origins or origin in origins:
        return
    own = site in ("same-origin", "none") if site is not None else urlsplit(origin or "").netloc == host
    if not own:
        raise ForeignPage("a page of another site sent this; the operator can allow it with TEXT_RECOGNIZER_CORS")
    if hosts is not None and not _is_own(urlsplit(f"//{host}").hostname or "", hosts):
        raise ForeignPage(
            "this service is not known under that name; the operator can add the name to TEXT_RECOGNIZER_HOSTS"
        )


def _is_own(name: str, hosts: tuple[str, ...]) -> bool:
    if name == "localhost" or name.endswith(".localhost") or name in hosts:
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True  # an IP address cannot be made to resolve to something else
