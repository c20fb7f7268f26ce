"""Images behind URLs: only from public addresses, within size and time."""

import base64
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote_to_bytes

import pytest

from text_recognizer import web
from text_recognizer.errors import ImageRejected


class Answers(BaseHTTPRequestHandler):
    """A server with one path for each way of misbehaving."""

    def do_GET(self):
        if self.path in ("/image", "/a%20page/caf%C3%A9.png?size=1"):
            self.reply(b"pixels")
        elif self.path == "/big":
            self.reply(bytes(5000))
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            self.pour(b"x" * 1000, 0)
        elif self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            self.pour(b"x", 0.05)
        elif self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        else:
            self.send_error(404)

    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def pour(self, drop, pause):
        try:
            while True:
                self.wfile.write(drop)
                time.sleep(pause)
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as served:
        threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture
def reachable(monkeypatch):
    """Lets the tests' own server through; everything else about fetching stays as it is."""
    monkeypatch.setattr(web, "is_public", lambda address: address == "127.0.0.1")


def refusal(url, **caps) -> str:
    with pytest.raises(ImageRejected) as caught:
        web.fetch(url, **{"max_bytes": 1000, **caps})
    return str(caught.value)


def test_data_urls_in_both_encodings():
    assert web.fetch("data:image/png;base64," + base64.b64encode(b"\x89PNG").decode(), 100) == b"\x89PNG"
    assert web.fetch("data:image/svg+xml,%3Csvg%3E", 100) == b"<svg>"
    assert "base64" in refusal("data:image/png;base64,@@@")
    assert "comma" in refusal("data:image/png")
    assert "larger" in refusal("data:," + "x" * 10_000)


@pytest.mark.parametrize("before", ["", "x", "xy", "%", "%%", "%4"])
def test_escapes_of_large_data_urls_are_decoded_wherever_they_lie(before):
    whole = before + "%41é%ff" * 30_000 + "%4"
    assert web.fetch("data:," + whole, 300_000) == unquote_to_bytes(whole)


def test_image_is_fetched(server, reachable):
    assert web.fetch(server + "/image", 100) == b"pixels"


def test_blanks_and_accents_in_an_address_are_encoded(server, reachable):
    assert web.fetch(server + "/a page/café.png?size=1", 100) == b"pixels"


def test_redirect_is_followed(server, reachable):
    assert web.fetch(f"{server}/to/{server}/image", 100) == b"pixels"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "fe80::1%eth0", "fc00::1", "::ffff:169.254.169.254", "2002:7f00:1::", "64:ff9b::a00:1", "::",
        "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b:1::a00:1", "2002:5db8:d70e::", "2001:0:5db8:d70e::1",
        "2001:db8::1", "3fff::1", "100::1", "fec0::1", "ff0e::1", "2a00::5efe:a00:1", "2a00::200:5efe:a00:1",
        "168.63.129.16", "192.0.0.8",
        "192.0.2.1", "192.88.99.1", "198.19.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255",
    ],
)  # fmt: skip
def test_inner_addresses_are_not_public(address):
    assert not web.is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:93.184.215.14"])
def test_outer_addresses_are_public(address):
    assert web.is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f000001", "2130706433"])
def test_own_machine_is_refused_however_it_is_written(host):
    message = refusal(f"http://{host}:80/")
    assert "public" in message


def test_redirect_to_an_inner_address_is_refused(server, reachable):
    assert "public" in refusal(f"{server}/to/http://169.254.169.254/latest/meta-data")


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://example.org/a.png", "gopher://example.org"])
def test_redirect_to_another_scheme_is_refused(server, reachable, target):
    assert "only http" in refusal(f"{server}/to/{target}")


def test_endless_redirects_are_cut_off(server, reachable):
    assert "redirects" in refusal(server + "/to/" * 6 + "/image")


def test_large_answers_are_refused_with_and_without_a_length(server, reachable):
    assert "larger" in refusal(server + "/big")
    assert len(web.fetch(server + "/endless", 1000)) == 1001  # one too many, which load_image refuses


def test_server_that_drips_is_hung_up_on(server, reachable):
    start = time.monotonic()
    assert "within" in refusal(server + "/drip", seconds=0.4)
    assert time.monotonic() - start < 2


def test_what_is_not_there_is_refused(server, reachable):
    assert "404" in refusal(server + "/nothing")
    assert "could not be fetched" in refusal("http://127.0.0.1:9/")
    refusal("http://[broken/")
    refusal("http://host:99999/")
    refusal("http:///path")


def test_hosts_that_the_operator_names_may_be_private_and_no_others(monkeypatch):
    addresses = {"files.intranet": "10.0.0.5", "db.intranet": "10.0.0.6", "meta.intranet": "169.254.169.254"}
    monkeypatch.setattr(web, "getaddrinfo", lambda host, port, **_: [(0, 0, 0, "", (addresses[host], port))])
    tried = []

    def connect(address, timeout):
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(web.socket, "create_connection", connect)
    named = web.Rules(private=("files.intranet", "meta.intranet"))
    for rules in (named, web.Rules(hosts=("a.org",), private=named.private), web.ANYWHERE):
        for host in addresses:
            with pytest.raises(ImageRejected):
                web.fetch(f"https://{host}/page.png", 1000, rules=rules)
    assert tried == [("10.0.0.5", 443)] * 2


METADATA = [
    "169.254.169.254", "fe80::1", "fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200", "192.0.0.192",
    "::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1", "::ffff:100.100.100.200",
]  # fmt: skip


@pytest.mark.parametrize("address", METADATA)
def test_name_that_may_be_private_leads_to_no_cloud_metadata(monkeypatch, address):
    answers = [[address], ["10.0.0.5", address]]  # also where only one of several addresses does
    for found in answers:
        monkeypatch.setattr(web, "getaddrinfo", lambda host, port, *, at=found, **_: [(0, 0, 0, "", (a,)) for a in at])
        with pytest.raises(ImageRejected, match="no address"):
            web.named_addresses("files.intranet", 443)


@pytest.mark.parametrize("address", ["10.0.0.5", "127.0.0.1", "::1", "fd12:3456::7", "::ffff:10.0.0.5", "8.8.8.8"])
def test_name_that_may_be_private_leads_to_other_addresses(monkeypatch, address):
    monkeypatch.setattr(web, "getaddrinfo", lambda host, port, **_: [(0, 0, 0, "", (address,))])
    assert web.named_addresses("files.intranet", 443) == [address]
