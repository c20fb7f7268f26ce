"""What an operator sets by the environment and by options."""

import socket

import pytest

from text_recognizer.cli import main
from text_recognizer.errors import UsageError
from text_recognizer.service.settings import Settings


def test_every_setting_has_a_variable_that_is_read():
    given = {
        "model": "production", "reload_seconds": 3.5, "host": "0.0.0.0", "port": 80, "workers": 2, "threads": 3,
        "queue": 4, "device": "cuda:1",
        "deadline": 5.5, "max_bytes": 1000, "max_pixels": 2000, "max_pages": 7, "documents": 4, "max_buffered": 3000,
        "api_keys": ("a", "b"),
        "rate_limit": 60.0, "require_keys": True, "trusted_proxies": ("10.0.0.0/8", "::1"),
        "hosts": ("pages.intranet",),
        "cors": ("https://a.org", "*"), "frames": ("https://pages.example",), "image_urls": "allow-list",
        "allowed_hosts": ("a.org", "*.b.org"),
        "private_hosts": ("files.intranet",), "feedback_bytes": 5000, "feedback_days": 90.0,
        "image_url_http": True, "image_url_ports": (443, 8443), "fetch_seconds": 1.5, "page": False,
        "feedback": "postgresql+psycopg://db/feedback", "feedback_images": "s3://bucket/images",
        "remember_seconds": 10.5, "remember_bytes": 4000, "log_readings": 0.5, "log_content": "pages",
        "retention_days": 7.5,
    }  # fmt: skip
    assert set(given) == set(Settings.model_fields)

    def text(value):
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

    environ = {f"TEXT_RECOGNIZER_{name.upper()}": text(value) for name, value in given.items()}
    assert Settings.from_environment(environ) == Settings(**given)


def test_nothing_set_means_defaults_and_options_go_before_variables():
    assert Settings.from_environment({"TEXT_RECOGNIZER_QUEUE": ""}) == Settings()
    assert Settings.from_environment({"TEXT_RECOGNIZER_PORT": "1"}, port=2).port == 2


def test_sizes_may_have_a_unit():
    assert Settings.from_environment({"TEXT_RECOGNIZER_MAX_BYTES": "3 MiB"}).max_bytes == 3 * 2**20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_BYTES", "3 apples"), ("MAX_BYTES", "0"),
        ("QUEUE", "many"), ("QUEUE", "0"), ("DEADLINE", "0"), ("DEADLINE", "nan"), ("IMAGE_URLS", "some"),
        ("PORT", "70000"),
        ("IMAGE_URL_HTTP", "maybe"), ("ALLOWED_HOSTS", "a.org"), ("MAX_BUFFERED", "10"), ("THREADS", "-1"),
        ("IMAGE_URLS", "allow-list"), ("IMAGE_URL_PORTS", "https"), ("API_KEYS_FILE", "/not/there"),
        ("LOG_READINGS", "1.5"), ("REQUIRE_KEYS", "1"),
        ("LOG_CONTENT", "all"), ("RETENTION_DAYS", "-1"), ("REMEMBER_BYTES", "-1"),
    ],
)  # fmt: skip
def test_value_that_does_not_fit_is_refused_by_its_name(name, value):
    with pytest.raises(UsageError, match=name):
        Settings.from_environment({f"TEXT_RECOGNIZER_{name}": value})


def test_port_of_a_neighbour_in_kubernetes_is_not_a_setting():
    assert Settings.from_environment({"TEXT_RECOGNIZER_PORT": "tcp://10.0.0.1:80"}).port == Settings().port
    with pytest.raises(UsageError, match="PORT"):
        Settings.from_environment({"TEXT_RECOGNIZER_PORT": "http://10.0.0.1"})


def test_keys_can_come_from_a_file_and_an_empty_one_opens_nothing(tmp_path):
    file = tmp_path / "keys"
    file.write_text("one\ntwo\n")
    environ = {"TEXT_RECOGNIZER_API_KEYS_FILE": str(file), "TEXT_RECOGNIZER_API_KEYS": "zero"}
    assert Settings.from_environment(environ).api_keys == ("zero", "one", "two")
    file.write_text("\n")
    with pytest.raises(UsageError, match="no key"):
        Settings.from_environment({"TEXT_RECOGNIZER_API_KEYS_FILE": str(file)})


def test_serving_a_model_that_is_not_there_is_refused_at_once(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("os.environ", dict(__import__("os").environ))
    assert main(["serve", "--port", "0", "--model", str(tmp_path)]) == 4
    assert "bundle.json" in capsys.readouterr().err


def test_port_that_is_taken_is_named(capsys, monkeypatch):
    monkeypatch.setattr("os.environ", dict(__import__("os").environ))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    assert f"port {port}" in capsys.readouterr().err
