"""A public address for the web page, through a tunnel of the user's choice: `text-recognizer app --share cloudflared`.

The tunnel is a separate program that starts and ends with the page. It prints its public address.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from text_recognizer.errors import UsageError

# Name: the command, and the pattern of its public address. Tunnels also print addresses of their documentation.
TUNNELS = {
    "cloudflared": (
        "cloudflared tunnel --no-autoupdate --url http://127.0.0.1:{port}",
        r"https://[\w-]+\.trycloudflare\.com",
    ),
    "ngrok": ("ngrok http {port} --log stdout --log-format logfmt", r"(?<=url=)https://\S+"),
}
_ADDRESS = r"https://[^\s\"'<>|]+"
_ENDS_WITHIN = 10.0  # seconds that a tunnel gets to end by itself


def tunnel_command(given: str, port: int) -> tuple[list[str], re.Pattern[str]]:
    """The command of a tunnel, and the pattern of its address. `given`: a name in TUNNELS, or a template with `{port}`.

    Raises UsageError for a template without `{port}`, and for a program that is not installed.
    """
    template, address = TUNNELS.get(given, (given, _ADDRESS))
    try:
        words = [word.replace("{port}", str(port)) for word in shlex.split(template)]
    except ValueError as error:
        raise UsageError(f"--share: {error}; check the quotes") from None
    if "{port}" not in template or not words:
        known = ", ".join(TUNNELS)
        raise UsageError(
            f"--share takes {known}, or a command with {{port}}, such as 'mytunnel --to localhost:{{port}}'"
        )
    if shutil.which(words[0]) is None:
        raise UsageError(f"--share: the program '{words[0]}' is not installed; install it, or name another tunnel")
    return words, re.compile(address)


@contextmanager
def sharing(given: str, port: int, key_is_sent: bool) -> Iterator[None]:
    """Run the tunnel `given` to `port` of this machine, and print its public address with a warning.

    `key_is_sent`: every visitor uses the service's key. If the tunnel ends, that is reported and the page stays up.
    """
    command, address = tunnel_command(given, port)
    ending = threading.Event()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    listener = threading.Thread(target=_listen, args=(process, address, key_is_sent, ending), daemon=True)
    listener.start()
    try:
        yield
    finally:
        ending.set()
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDS_WITHIN)
        if process.poll() is None:
            process.kill()
            process.wait()


def say(text: str, stream: TextIO | None = None) -> None:
    """Print `text` and its line end in one write, so that lines of other threads do not get in between."""
    print(f"{text}\n", end="", flush=True, file=stream)


def _listen(
    process: subprocess.Popen[str], address: re.Pattern[str], key_is_sent: bool, ending: threading.Event
) -> None:
    """Print the tunnel's public address, and its last output if it ends too early."""
    assert process.stdout is not None
    shared, last = False, ""
    for line in process.stdout:  # to the end: a full pipe would stop the tunnel
        last = line.strip() or last
        if not shared and (found := address.search(line)):
            shared = True
            key = " The key of the service is sent for all of them." if key_is_sent else ""
            say(
                f"text-recognizer: shared at {found[0]}\n"
                f"text-recognizer: WARNING: whoever has this address can use the page and the service behind it.{key} "
                "Pictures pass through the tunnel's operator. End this program to end it."
            )
    status = process.wait()
    if not ending.is_set():
        say(
            f"text-recognizer: the tunnel ended with status {status} ({last[:300] or 'it printed nothing'}); "
            "the page is reachable on this machine only",
            sys.stderr,
        )
