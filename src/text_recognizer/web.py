"""Bytes behind a `data:`, `http:` or `https:` URL that a stranger may have given.

The threat is a URL that makes this machine talk to what only it can reach: cloud metadata, a database, a printer. So
the name is resolved once, every address must be a public one, the connection goes to that very address (no second
look-up that could answer otherwise), and each redirect starts from the beginning. Proxies of the environment are
not used. Size and total time are capped, also against a server that sends one byte at a time.
"""

import base64
import binascii
import http.client
import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from text_recognizer.errors import ImageRejected

MAX_SECONDS = 20.0
MAX_REDIRECTS = 3


def fetch(url: str, max_bytes: int, seconds: float = MAX_SECONDS) -> bytes:
    """At most `max_bytes` + 1 bytes of what `url` holds, within `seconds`. Raises `ImageRejected`."""
    if url.startswith("data:"):
        return _data_url(url, max_bytes)
    for _ in range(MAX_REDIRECTS + 1):
        answer = _get(url, max_bytes, seconds)
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
    raw = unquote_to_bytes(body)
    if not head.lower().endswith(";base64"):
        return raw
    try:
        return base64.b64decode(b"".join(raw.split()), validate=True)
    except binascii.Error:
        raise ImageRejected("the data URL is not valid base64; encode the image again") from None


def _get(url: str, max_bytes: int, seconds: float) -> bytes | str:
    """The body, or where a redirect points."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ImageRejected("not a valid URL; check it") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ImageRejected("only http and https addresses are fetched; check the URL")
    port = port or (443 if parts.scheme == "https" else 80)
    target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe="%/?:@!$&'()*+,;=~[]")
    address = public_address(host, port)
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    late = threading.Event()
    try:
        sock = socket.create_connection((address, port), timeout=seconds)
    except OSError as error:
        raise ImageRejected(f"could not be fetched ({error}); download it and give the file") from None
    # The time-out of a socket counts from byte to byte; the watchdog's counts for the whole answer. It holds a
    # second handle, since TLS takes the first one away.
    handle = sock.dup()
    watchdog = threading.Timer(seconds, _hang_up, [handle, late])
    watchdog.daemon = True
    watchdog.start()
    try:
        if parts.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection.sock = sock
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
        watchdog.cancel()
        connection.close()
        handle.close()


def public_address(host: str, port: int) -> str:
    """The first address of `host`, if all of them are public ones. Raises `ImageRejected`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ImageRejected(f"there is no host {host!r}; check the URL") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(_is_public(address) for address in addresses):
        raise ImageRejected(f"{host!r} is not a public address; download the image and give the file")
    return addresses[0]


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # Addresses that carry an IPv4 address inside lead where that one leads.
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return _is_public(str(inner))
        if ip.teredo is not None or ip in ipaddress.ip_network("64:ff9b::/96"):
            return False
    return ip.is_global and not ip.is_multicast


def _hang_up(handle: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):  # it was over already
        handle.shutdown(socket.SHUT_RDWR)
