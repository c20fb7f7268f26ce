"""Runs a command and measures its memory."""

import subprocess
import sys
import tempfile
from pathlib import Path

# A process begins with the size of the one that starts it, so that is a small one.
_MEASURED = (
    "import resource, subprocess, sys\n"
    "status = subprocess.call(sys.argv[2:])\n"
    "open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n"
    "sys.exit(status)\n"
)


def run(command: list[str]) -> tuple["subprocess.CompletedProcess[str]", int]:
    """What `command` printed and its status, and the KiB of its largest process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "memory"
        small = [sys.executable, "-S", "-c", _MEASURED, str(file)]
        done = subprocess.run([*small, *command], capture_output=True, text=True)
        return done, int(file.read_text())
