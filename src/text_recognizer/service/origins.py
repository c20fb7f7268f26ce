"""Requests that a foreign web page makes a visitor's browser send, refused before anything else.

A browser sends a form of any page to any address, a service on this machine included, and asks for no permission first.
It says where the request comes from: `Sec-Fetch-Site` (W3C Fetch Metadata), older ones by `Origin`. The rules are those
of Go's net/http CrossOriginProtection. A page can also give its own name the address of this service (DNS rebinding);
then `Host` is that name.
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
    """Refuse a request that changes or costs something and that a foreign web page made a browser send.

    `origins`: of pages that may send it, `*` for all. `hosts`: names of this service beside `localhost` and addresses;
    None: all names. Raises `ForeignPage`.
    """
    site, origin, host = (headers.get(name) for name in ("sec-fetch-site", "origin", "host"))
    if method in SAFE or (site is None and origin is None) or "*" in origins or origin in origins:
        return
    own = site in ("same-origin", "none") if site is not None else urlsplit(origin or "").netloc == host
    if not own:
        raise ForeignPage("a page of another site sent this; its operator can allow it by TEXT_RECOGNIZER_CORS")
    if hosts is not None and not _is_own(urlsplit(f"//{host}").hostname or "", hosts):
        raise ForeignPage(
            "this service is not known under that name; its operator can add the name to TEXT_RECOGNIZER_HOSTS"
        )


def _is_own(name: str, hosts: tuple[str, ...]) -> bool:
    if name == "localhost" or name.endswith(".localhost") or name in hosts:
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True  # nobody can give an address another meaning
