"""`image_url`: what a stranger's address may make the service fetch, and what it may not."""

import base64
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from text_recognizer import web

FAST = {"mode": "fast"}


@pytest.fixture(scope="module")
def images(picture):
    """A server of images, on loopback, and all the paths that it was asked for."""
    asked = []

    class Images(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path.startswith("/to/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/to/"))
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            try:
                if self.path == "/drip":
                    while True:
                        self.wfile.write(b"x")
                        time.sleep(0.05)
                self.wfile.write({"/big": bytes(3_000_000), "/text": b"<html>"}.get(self.path, picture))
            except OSError:
                pass

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Images) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        server.asked = asked
        yield server
        server.shutdown()


@pytest.fixture
def reachable(monkeypatch):
    """Lets the tests' own server through; everything else about fetching stays as it is."""
    monkeypatch.setattr(web, "is_public", lambda address: address == "127.0.0.1")


@pytest.fixture(scope="module")
def fetching(running, images):
    """A service that may fetch from the port of the tests' server, by http."""
    options = {"image_url_http": True, "image_url_ports": (images.server_port,), "max_bytes": 1_000_000}
    with running(fetch_seconds=1.0, **options) as service:
        yield service


def refusal(service, url, path="/v1/read"):
    answer = service.http.post(path, json={"image_url": url}, params=FAST)
    assert answer.status_code in (400, 422), answer.text
    return answer.json()["detail"]


@pytest.mark.usefixtures("reachable")
def test_image_behind_an_address_is_read(fetching, images):
    url = f"http://127.0.0.1:{images.server_port}/page.png"
    answer = fetching.http.post("/v1/read", json={"image_url": url}, params=FAST).json()
    assert len(answer["lines"]) == 3
    assert answer["source"] == url
    assert fetching.http.post("/", json={"image_url": url}, params=FAST).json()["pred"] == answer["text"]
    redirected = f"http://127.0.0.1:{images.server_port}/to//page.png"
    assert (
        fetching.http.post("/v1/read", json={"image_url": redirected}, params=FAST).json()["lines"] == answer["lines"]
    )


@pytest.mark.usefixtures("reachable")
def test_bytes_of_an_image_are_returned_and_of_nothing_else(fetching, images, picture):
    address = f"http://127.0.0.1:{images.server_port}"
    answer = fetching.http.post("/v1/image", json={"image_url": f"{address}/page.png"})
    assert answer.content == picture
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"
    assert "larger than" in refusal(fetching, f"{address}/big", "/v1/image")
    assert "neither an image" in refusal(fetching, f"{address}/text", "/v1/image")
    for body in ({"image": "data:,"}, [], {"image_url": 1}, {"image_url": f"{address}/page.png", "more": 1}):
        assert fetching.http.post("/v1/image", json=body).status_code == 400


INSIDE = [
    "127.0.0.1", "localhost", "LOCALHOST.", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1",
    "0", "0.0.0.0", "①②⑦.⓪.⓪.①", "127。0。0。1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
    "[2001:4860::5efe:7f00:1]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "169.254.169.254", "10.0.0.1",
    "172.16.0.1", "192.168.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "255.255.255.255", "224.0.0.1",
    "198.18.0.1", "192.88.99.1",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_inside_is_refused_in_all_its_spellings(fetching, images, host):
    before = len(images.asked)
    detail = refusal(fetching, f"http://{host}:{images.server_port}/page.png")
    assert "public" in detail or "not a valid URL" in detail
    assert len(images.asked) == before


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org@127.0.0.1:{}/", "http://127.0.0.1:{}@example.org/", "http://example.org:80@127.0.0.1:{}/",
        "http://127.0.0.1:{}\\@example.org/", "http://127.0.0.1:{}\t/", "http://127.0.0.1:{}/\r\nHost: x",
        "http://127.0.0.1:{}#@example.org/", "http://127.0.0.1:{}?@example.org/", " http://127.0.0.1:{}/",
        "http:///127.0.0.1:{}", "http:127.0.0.1:{}",
        "//127.0.0.1:{}/", "gopher://127.0.0.1:{}/", "ftp://127.0.0.1:{}/", "HTTP://127.0.0.1:{}/", "http://[::1%25lo]:{}/",
        "http://[::1/", "http://127.0.0.1:99999{}/", "http://127.0.0.1:x{}/", "jar:http://127.0.0.1:{}/!/", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/v1/read", "/v1/image"])
def test_tricks_with_urls_lead_nowhere(fetching, images, url, path):
    before = len(images.asked)
    refusal(fetching, url.format(images.server_port), path)
    assert len(images.asked) == before


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("target", ["http://169.254.169.254:{}/latest", "http://[::1]:{}/", "http://2130706434:{}/x"])
def test_redirect_to_the_inside_is_refused(fetching, images, target):
    detail = refusal(fetching, f"http://127.0.0.1:{images.server_port}/to/" + target.format(images.server_port))
    assert "public" in detail


@pytest.mark.usefixtures("reachable")
def test_redirect_to_another_port_or_scheme_is_refused(fetching, images):
    here = f"http://127.0.0.1:{images.server_port}/to/"
    assert "port" in refusal(fetching, here + "http://127.0.0.1:22/")
    assert "http" in refusal(fetching, here + "file:///etc/passwd")
    assert "redirects" in refusal(fetching, here + "/to/" * 6 + "/page.png")


@pytest.mark.usefixtures("reachable")
def test_size_and_time_are_capped_while_it_streams(fetching, images):
    assert "larger" in refusal(fetching, f"http://127.0.0.1:{images.server_port}/big")
    begin = time.monotonic()
    assert "within" in refusal(fetching, f"http://127.0.0.1:{images.server_port}/drip")
    assert time.monotonic() - begin < 10


def test_name_is_looked_up_once_and_the_address_that_was_checked_is_asked(fetching, images, monkeypatch):
    """Rebinding: a name that is public when it is checked and inside when it is asked for again."""
    answers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
    looked_up = []

    def resolve(host, port, *_, **__):
        looked_up.append(next(answers))
        return [(2, 1, 6, "", (looked_up[-1], port))]

    monkeypatch.setattr(web, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(web, "getaddrinfo", resolve)
    url = f"http://rebinding.example.org:{images.server_port}/page.png"
    assert web.fetch(url, 1_000_000)
    assert looked_up == ["127.0.0.1"]
    # The other way around, and where only one of several addresses is inside.
    monkeypatch.setattr(web, "is_public", lambda address: address != "127.0.0.2")
    before = len(images.asked)
    with pytest.raises(web.ImageRejected, match="public"):
        web.fetch(url, 1_000_000)
    assert len(images.asked) == before


def test_one_address_inside_among_public_ones_is_enough_to_refuse(monkeypatch):
    both = [(2, 1, 6, "", ("93.184.215.14", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]
    monkeypatch.setattr(web, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(web.ImageRejected, match="public"):
        web.fetch("https://example.org/", 1000)


def test_resolver_that_hangs_costs_no_more_than_the_time_given(monkeypatch):
    monkeypatch.setattr(web, "getaddrinfo", lambda *_, **__: time.sleep(5) or [])
    begin = time.monotonic()
    with pytest.raises(web.ImageRejected, match="within"):
        web.fetch("https://example.org/", 1000, seconds=0.2)
    assert time.monotonic() - begin < 3


@pytest.mark.usefixtures("reachable")
def test_time_is_for_all_redirects_together(images, monkeypatch):
    get, hops = web.get, []

    def slow(*arguments):
        hops.append(1)
        time.sleep(0.25)
        return get(*arguments)

    monkeypatch.setattr(web, "get", slow)
    with pytest.raises(web.ImageRejected, match="within"):
        web.fetch(f"http://127.0.0.1:{images.server_port}" + "/to/" * 3 + "/page.png", 1000, seconds=0.6)
    assert len(hops) == 3


# ------------------------------------------------------------------------------------------------------------- rules


def test_only_https_on_the_usual_ports_unless_told_otherwise(service):
    assert "only https" in refusal(service, "http://example.org/a.png")
    assert "port 22" in refusal(service, "https://example.org:22/a.png")
    assert "port 8443" in refusal(service, "https://example.org:8443/a.png")


def test_switched_off_nothing_is_fetched(running, images):
    with running(image_urls="off") as service:
        before = len(images.asked)
        assert "send the image itself" in refusal(service, f"http://127.0.0.1:{images.server_port}/page.png")
        assert "send the image itself" in refusal(service, "https://example.org/a.png", "/")
        assert len(images.asked) == before


@pytest.mark.usefixtures("reachable")
def test_allow_list_lets_its_hosts_through_and_no_others(running, images, monkeypatch):
    monkeypatch.setattr(
        web,
        "getaddrinfo",
        lambda host, port, **_: [(2, 1, 6, "", ("10.0.0.1" if "inner" in host else "127.0.0.1", port))],
    )
    hosts = ("images.example.org", "*.cdn.example.org", "inner.example.org")
    options = {"image_url_http": True, "image_url_ports": (images.server_port,)}
    with running(image_urls="allow-list", allowed_hosts=hosts, **options) as service:
        for host in ("images.example.org", "IMAGES.example.org.", "a.cdn.example.org", "ⓘmages.example.org"):
            url = f"http://{host}:{images.server_port}/page.png"
            assert service.http.post("/v1/read", json={"image_url": url}, params=FAST).status_code == 200, host
        for host in (
            "example.org",
            "cdn.example.org",
            "evilcdn.example.org",
            "images.example.org.evil.org",
            "127.0.0.1",
        ):
            assert "not one of the hosts" in refusal(service, f"http://{host}:{images.server_port}/page.png")
        redirect = f"http://images.example.org:{images.server_port}/to/http://other.org:{images.server_port}/page.png"
        assert "not one of the hosts" in refusal(service, redirect)
        # Listing a host does not make an inner address of it.
        assert "public" in refusal(service, f"http://inner.example.org:{images.server_port}/page.png")


@pytest.mark.usefixtures("reachable")
def test_certificate_is_checked_for_the_name_though_the_address_is_pinned(images, tmp_path, monkeypatch):
    certificate, key = _certificate("pages.example.org", tmp_path)
    monkeypatch.setattr(web, "getaddrinfo", lambda host, port, **_: [(2, 1, 6, "", ("127.0.0.1", port))])
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), images.RequestHandlerClass) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        rules = web.Rules(schemes=("https",))
        assert web.fetch(f"https://pages.example.org:{server.server_port}/p", 1_000_000, rules=rules)
        with pytest.raises(web.ImageRejected, match="certificate"):
            web.fetch(f"https://other.example.org:{server.server_port}/p", 1_000_000, rules=rules)
        # And no way down from https.
        down = f"https://pages.example.org:{server.server_port}/to/http://127.0.0.1:{images.server_port}/p"
        with pytest.raises(web.ImageRejected, match="only https"):
            web.fetch(down, 1_000_000, rules=rules)
        server.shutdown()


def _certificate(name, folder):
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "certificate.pem", folder / "key.pem"


def test_data_url_in_image_url_is_answered_with_where_it_belongs(service, picture):
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    assert "https://" in refusal(service, url)
