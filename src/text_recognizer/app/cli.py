"""`text-recognizer app`: the web page in front of a service that runs elsewhere."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from text_recognizer.app.share import TUNNELS, say, sharing, tunnel_command
from text_recognizer.errors import TextRecognizerError, UsageError

URL, KEY_FILE = "TEXT_RECOGNIZER_MODEL_URL", "TEXT_RECOGNIZER_MODEL_API_KEY_FILE"
HOSTS = "TEXT_RECOGNIZER_HOSTS"


def main(argv: Sequence[str]) -> int:
    """Serve the page until it is stopped; then exit this process. Raises `UsageError`."""
    options = _parser().parse_args(argv)
    address = _address(options.model_url)
    key = _key(options.api_key_file)
    if find_spec("gradio") is None:  # fail now rather than when somebody first opens the page
        raise ModuleNotFoundError("gradio", name="gradio")

    import uvicorn

    from text_recognizer.app.forward import create_app
    from text_recognizer.service.listening import OPTIONS, leave, listening, logging, raise_limit_of_files, run

    if options.share:
        tunnel_command(options.share, options.port)  # fail now rather than after the page has started
    raise_limit_of_files()
    with listening(options.host, options.port) as sock, ExitStack() as stack:
        if options.share:
            stack.enter_context(sharing(options.share, sock.getsockname()[1], key is not None))
        _tell_whether_it_is_there(address, key)
        # The host name of a tunnel is not known in advance, and everybody who knows it may use the page anyway.
        hosts = None if options.share else tuple(name for part in options.hosts.split(",") if (name := part.strip()))
        application = create_app(address, key, hosts)
        config = uvicorn.Config(application, log_config=logging(), timeout_graceful_shutdown=35, **OPTIONS)
        status = run(config, sock)
    leave(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="text-recognizer app",
        description="Show the web page where people have pages read, correct and flag; a service that runs elsewhere "
        "reads them. `text-recognizer serve` shows the same page by itself.",
    )
    parser.add_argument(
        "--model-url",
        metavar="URL",
        default=os.environ.get(URL),
        help=f"address of the service, like http://127.0.0.1:8000; default: ${URL}",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1")
    parser.add_argument("--port", type=int, default=7860, help="default: 7860; 0 for any that is free")
    parser.add_argument(
        "--api-key-file",
        metavar="FILE",
        default=os.environ.get(KEY_FILE),
        help=f"holds the API key that the service asks for, for all visitors (default: ${KEY_FILE}); without it each "
        "visitor is asked for one",
    )
    parser.add_argument(
        "--hosts",
        metavar="NAMES",
        default=os.environ.get(HOSTS, ""),
        help="names under which browsers reach the page, separated by commas, beside localhost and IP addresses; "
        f"default: ${HOSTS}",
    )
    parser.add_argument(
        "--share",
        metavar="TUNNEL",
        help=f"give the page a public address by a tunnel that is installed here: {', '.join(TUNNELS)}, or a command "
        "with {port}. Whoever has the address can use the page and the service",
    )
    return parser


def _address(url: str | None) -> str:
    if not url:
        raise UsageError(f"give the address of the service that reads, as --model-url http://127.0.0.1:8000 or ${URL}")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise UsageError(f"{url!r} is not the address of a service; give one like http://127.0.0.1:8000")
    return url


def _key(file: str | None) -> str | None:
    if not file:
        return None
    try:
        words = Path(file).read_text(encoding="utf-8").split()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--api-key-file {file} cannot be read ({type(error).__name__}); check it") from None
    if len(words) != 1:
        raise UsageError(f"--api-key-file {file} should hold one key and nothing else")
    return words[0]


def _tell_whether_it_is_there(address: str, key: str | None) -> None:
    from text_recognizer.client import Client

    try:
        with Client(address, api_key=key, timeout=5, retries=0) as client:
            client.models()
    except TextRecognizerError as error:
        # Not fatal: the service may come up later, and visitors may have keys.
        say(f"text-recognizer: {address}: {error}")
