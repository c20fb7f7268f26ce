"""Fetch the bytes of an untrusted `data:`, `http:` or `https:` URL.

The threat is a URL that makes this machine talk to hosts that only it can reach: cloud metadata, a database, a printer.
So the name is resolved once, every address must be public, the connection goes to that very address (a second lookup
could answer differently), and each redirect is checked in the same way. Proxies of the environment are not used. Size
and total time are limited, also against a server that sends one byte at a time.
"""

import base64
import binascii
import http.client
import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from socket import getaddrinfo
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from text_recognizer.errors import ImageRejected

MAX_SECONDS = 20.0
MAX_REDIRECTS = 3
MAX_LENGTH = 8192  # characters of a URL: encoding a host in ASCII takes time


@dataclass(frozen=True, slots=True)
class Rules:
    """Which addresses may be fetched. `hosts` and `ports`: None for all; `*.example.org` is every host below it.

    `private`: hosts that may have private addresses, in addition to `hosts`.
    """

    schemes: tuple[str, ...] = ("http", "https")
    hosts: tuple[str, ...] | None = None
    ports: tuple[int, ...] | None = None
    private: tuple[str, ...] = ()

    def check(self, scheme: str, host: str, port: int) -> None:
        """Raises `ImageRejected`."""
        if scheme not in self.schemes:
            allowed = " and ".join(self.schemes)
            raise ImageRejected(f"only {allowed} addresses are fetched; check the URL, or send the image itself")
        if self.ports is not None and port not in self.ports:
            raise ImageRejected(f"addresses with port {port} are not fetched; download the image and give the file")
        if self.hosts is not None and not any(_matches(host, pattern) for pattern in (*self.hosts, *self.private)):
            raise ImageRejected(f"{host!r} is not one of the hosts that images are fetched from; give the file")

    def may_be_private(self, host: str) -> bool:
        """Whether `host` may have addresses that are not public."""
        return any(_matches(host, pattern) for pattern in self.private)


ANYWHERE = Rules()


def _matches(host: str, pattern: str) -> bool:
    pattern = pattern.lower().rstrip(".")
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def fetch(url: str, max_bytes: int, seconds: float = MAX_SECONDS, rules: Rules = ANYWHERE) -> bytes:
    """The content of `url`, at most `max_bytes` + 1 bytes, within `seconds`. Raises `ImageRejected`."""
    if url.startswith("data:"):
        return _data_url(url, max_bytes)
    end = time.monotonic() + seconds
    for _ in range(MAX_REDIRECTS + 1):
        answer = get(url, max_bytes, end, seconds, rules)
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
    raise ImageRejected(f"more than {MAX_REDIRECTS} redirects; give the address of the image itself")


def _data_url(url: str, max_bytes: int) -> bytes:
    head, comma, body = url.partition(",")
    if not comma:
        raise ImageRejected("a data URL without a comma; it should look like data:image/png;base64,…")
    if len(body) > 4 * max_bytes:
        raise ImageRejected(f"larger than {max_bytes / 2**20:.0f} MiB; scale it down")
    raw = _unescaped(body.encode())
    if not head.lower().endswith(";base64"):
        return raw
    try:
        return base64.b64decode(raw.translate(None, b" \t\r\n\f\v"), validate=True)
    except binascii.Error:
        raise ImageRejected("the data URL is not valid base64; encode the image again") from None


def _unescaped(text: bytes, piece: int = 1 << 16) -> bytes:
    """Percent-decode `text` in pieces, since the standard function creates an object for every escape."""
    out, at = bytearray(), 0
    while at < len(text):
        end = at + piece
        cut_escape = text.rfind(b"%", end - 2, end)
        if cut_escape >= 0:
            end = cut_escape + 3
        out += unquote_to_bytes(text[at:end])
        at = end
    return bytes(out)


def get(url: str, max_bytes: int, end: float, seconds: float, rules: Rules) -> bytes | str:
    """The body, or the target of a redirect. `end`: in time.monotonic(), `seconds` after the first request began."""
    scheme, host, port, target = _split(url)
    rules.check(scheme, host, port)
    late = threading.Event()
    connection = http.client.HTTPConnection(host, port)
    connection.auto_open = 0  # never a second connection, which would resolve the name again
    watchdog, handle = None, None
    try:
        find = named_addresses if rules.may_be_private(host) else public_addresses
        sock = _connect(find(host, port, _left(end)), port, end)
        # A socket's timeout applies to each byte; the watchdog's applies to the whole answer. It needs a second
        # handle, since TLS takes over the first.
        handle = sock.dup()
        watchdog = threading.Timer(_left(end), _hang_up, [handle, late])
        watchdog.daemon = True
        watchdog.start()
        connection.sock = sock
        if scheme == "https":
            connection.sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection.request("GET", target, headers={"User-Agent": "text-recognizer", "Accept": "image/*"})
        response = connection.getresponse()
        location = response.getheader("Location")
        if response.status in (301, 302, 303, 307, 308) and location:
            return location
        if response.status != 200:
            raise ImageRejected(f"the server answered {response.status}; check the URL")
        length = response.getheader("Content-Length", "")
        if length.isdigit() and int(length) > max_bytes:
            raise ImageRejected(f"larger than {max_bytes / 2**20:.0f} MiB; scale it down")
        body = response.read(max_bytes + 1)
        if late.is_set():
            raise TimeoutError
        return body
    except (OSError, http.client.HTTPException, ValueError) as error:
        slow = late.is_set() or isinstance(error, TimeoutError)
        reason = f"not within {seconds:.0f} seconds" if slow else str(error) or type(error).__name__
        raise ImageRejected(f"could not be fetched ({reason}); download it and give the file") from None
    finally:
        if watchdog is not None:
            watchdog.cancel()
        connection.close()
        if handle is not None:
            handle.close()


def _split(url: str) -> tuple[str, str, int, str]:
    """Scheme, host in ASCII, port, and path with query. Raises `ImageRejected`."""
    try:
        # Refuse what browsers, proxies and Python parse differently.
        if len(url) > MAX_LENGTH or re.search(r"[\x00-\x1f\x7f\\]", url):
            raise ValueError
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if host and ":" not in host:
            host = host.encode("idna").decode("ascii").lower().rstrip(".")
    except (ValueError, UnicodeError):
        raise ImageRejected("not a valid URL; check it") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ImageRejected("only http and https addresses are fetched; check the URL")
    if "@" in parts.netloc:
        raise ImageRejected("addresses with a user name are not fetched; download the image and give the file")
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="%/?:@!$&'()*+,;=~[]")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), target


def _connect(addresses: list[str], port: int, end: float) -> socket.socket:
    """A connection to the first address that accepts one."""
    for position, address in enumerate(addresses, 1):
        last = position == len(addresses)
        try:
            sock = socket.create_connection((address, port), timeout=_left(end) if last else _left(end) / 2)
        except OSError:
            if last:
                raise
        else:
            sock.settimeout(_left(end))
            return sock
    raise AssertionError("there is at least one address")


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def public_addresses(host: str, port: int, seconds: float = MAX_SECONDS) -> list[str]:
    """The addresses of `host`, if all of them are public. Raises `ImageRejected`, `TimeoutError`."""
    addresses = list(dict.fromkeys(_resolve(host, port, seconds)))
    # One message for both: it must not reveal whether an internal name exists.
    if not addresses or not all(is_public(address) for address in addresses):
        raise ImageRejected(f"{host!r} has no public address; check the URL, or download the image and give the file")
    return addresses


def named_addresses(host: str, port: int, seconds: float = MAX_SECONDS) -> list[str]:
    """The addresses of a host that the operator allows; never those of cloud metadata. Raises as `public_addresses`."""
    addresses = list(dict.fromkeys(_resolve(host, port, seconds)))
    if not addresses or any(map(_may_be_metadata, addresses)):
        raise ImageRejected(f"{host!r} has no address that may be fetched; check the URL, or send the image itself")
    return addresses


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """Addresses of `host`, none if it is unknown. The resolver has no timeout, hence the thread."""
    answers: queue.SimpleQueue[list[str]] = queue.SimpleQueue()

    def look_up() -> None:
        found = []
        with suppress(OSError, UnicodeError):
            found = [str(entry[4][0]) for entry in getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        answers.put(found)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None


# The IPv6 range of the public internet, and exceptions in it: tunnels that carry an IPv4 address (Teredo, 6to4),
# protocol assignments, documentation. NAT64 (64:ff9b::/96 and 64:ff9b:1::/48), IPv4-compatible and
# translated addresses are outside 2000::/3 anyway.
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/3",
            "168.63.129.16/32",  # the host of Azure's virtual machines
        ),
    )
)  # fmt: skip


# Cloud metadata services, which hand out a machine's secrets: link-local and other addresses.
_METADATA = tuple(
    map(
        ipaddress.ip_network,
        (
            "169.254.0.0/16", "fe80::/10",
            "fd00:ec2::254/128",  # Amazon
            "fd20:ce::254/128",  # Google
            "168.63.129.16/32",  # Azure
            "100.100.100.200/32",  # Alibaba
            "192.0.0.192/32",  # Oracle
            "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32",  # they carry an IPv4 address
        ),
    )
)  # fmt: skip
_LOOPBACK = ipaddress.ip_address("::1")


def _may_be_metadata(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return _may_be_metadata(str(ip.ipv4_mapped))
        if ip == _LOOPBACK:
            return False
    return any(ip in network for network in _METADATA if network.version == ip.version)


def is_public(address: str) -> bool:
    """Whether an address is public. `is_global` differs between Python releases, so the ranges are listed here too."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        isatap = int(ip) >> 32 & 0xFDFFFFFF == 0x00005EFE  # an IPv4 address behind 0:5efe or 200:5efe
        if ip not in _GLOBAL_V6 or isatap:
            return False
    return ip.is_global and not any(ip in network for network in _NOT_PUBLIC if network.version == ip.version)


def _hang_up(handle: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):  # already closed
        handle.shutdown(socket.SHUT_RDWR)
