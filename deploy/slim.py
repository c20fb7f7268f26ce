"""Takes out of a folder of installed packages what serving never reads, reads with the rest, compiles what that took.

Used by the Dockerfile, with a Python that has none of these packages itself. What each group saved is printed. Where a
new release of a package needs what was taken out, the word at the end is not read, and the build ends there.

Shared libraries stay as they are: stripping those that wheels bring breaks them, and OpenCV's module is linked to each
of its own, those for video too.
"""

import argparse
import importlib.util
import json
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SHIPPED = Path("text_recognizer") / "bundles" / "default"
# What it is: patterns, and after "!" those of what stays.
GROUPS = {
    "ONNX Runtime for programs in C": ["onnxruntime/capi/libonnxruntime.so*"],  # its Python module holds its own copy
    "ONNX Runtime's tools": [f"onnxruntime/{name}" for name in ("datasets", "quantization", "tools", "transformers")],
    "sources of C, types for editors": ["**/*.a", "**/*.h", "**/*.pyi", "**/*.pyx", "**/*.pxd"],
    "tests, builders, programs": [
        *("**/tests", "sqlalchemy/testing", "numpy/_core/_simd.*.so", "numpy/_core/_*_tests.*.so"),
        *("numpy/f2py", "numpy/distutils", "bin"),
    ],
    "languages that Pygments colours": [
        "pygments/lexers/*",
        "!pygments/lexers/__init__.py",
        "!pygments/lexers/_mapping.py",
    ],
    # The Python that stands beside each of them is what runs then; a line of feedback a minute needs no more.
    "SQLAlchemy's compiled copies of itself": ["sqlalchemy/*/_*_cy.*.so"],
    # Feedback goes to SQLite or PostgreSQL.
    "other databases of SQLAlchemy": [f"sqlalchemy/dialects/{name}" for name in ("mssql", "mysql", "oracle")],
    # Only in images with the extra `s3fs`.
    "AWS's other services": [
        "botocore/data/*/",
        *(f"!botocore/data/{name}" for name in ("s3", "sts", "sso*", "signin")),
    ],
    # uvloop is half debugging symbols; a page takes a second, the loop a microsecond.
    "faster loops, reloading": ["uvloop*", "watchfiles*"],
}

# The service as it will run, asked by HTTP: a written word in the formats that images come in most, and feedback on it.
CHECK = r"""
import io, json, os, socket, subprocess, sys, time, urllib.request
from importlib.util import find_spec
import cv2, numpy
from PIL import Image
import sqlalchemy.dialects.sqlite, sqlalchemy.dialects.postgresql
if find_spec("mangum"):
    import awslambdaric.bootstrap, text_recognizer.service.aws_lambda
for extra in ("psycopg", "s3fs"):
    if find_spec(extra):
        __import__(extra)
word = numpy.full((200, 700), 255, numpy.uint8)
cv2.putText(word, "minimum", (60, 120), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 3, 0, 4, cv2.LINE_AA)
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
service = subprocess.Popen([sys.executable, "-m", "text_recognizer", "serve", "--port", str(port), "--threads", "1"])
try:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
            break
        except OSError:
            assert service.poll() is None, "the service did not start"
            time.sleep(0.1)
    for kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF"):
        body = io.BytesIO()
        Image.fromarray(word).save(body, kind)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/read", body.getvalue(), {"Content-Type": "application/octet-stream"}
        )
        page = json.load(urllib.request.urlopen(request, timeout=120))
        assert page["text"].strip(), f"nothing was read of {kind}"
    said = json.dumps({"request_id": page["request_id"], "flag": "other"}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/feedback", said, {"Content-Type": "application/json"}
    )
    assert json.load(urllib.request.urlopen(request, timeout=60))["image_kept"], "feedback kept no image"
finally:
    service.terminate()
    service.wait(60)
print(f"reads {page['text']!r}")
"""


def main(root: Path, shipped_model: bool) -> None:
    """Slim `root`, and check it; without `shipped_model` it gets another one later."""
    print(f"{_size(root) / 1e6:6.1f} MB installed", flush=True)
    slim(root)
    check(root)
    compile_used(root)
    if not shipped_model:
        shutil.rmtree(root / SHIPPED)
    print(f"{_size(root) / 1e6:6.1f} MB left, what serving imports compiled", flush=True)


def slim(root: Path) -> None:
    """Remove each group from `root`, and print what that saves."""
    description = root / SHIPPED / "bundle.json"
    trained = json.loads(description.read_text(encoding="utf-8"))["for_training"] if description.exists() else []
    groups = {**GROUPS, "weights to train on from": [str(SHIPPED / name) for name in trained]}
    for what, patterns in groups.items():
        kept = {path for pattern in patterns if pattern.startswith("!") for path in root.glob(pattern[1:])}
        saved = 0
        for path in [path for pattern in patterns if not pattern.startswith("!") for path in root.glob(pattern)]:
            if path in kept or not path.exists():
                continue
            saved += _size(path)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        print(f"{-saved / 1e6:6.1f} MB {what}", flush=True)


def check(root: Path) -> None:
    """Read with what is left in `root`; ends the program where that fails."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TEXT_RECOGNIZER_")},
            "PYTHONPATH": str(root),
            "TEXT_RECOGNIZER_FEEDBACK": scratch,
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what it compiles is what serving imports
        done = subprocess.run([sys.executable, "-c", CHECK], check=False, env=environment, cwd=scratch)
    if done.returncode:
        raise SystemExit("slim.py: what was left cannot read a page, see above; name what it needs as kept in GROUPS")


def compile_used(root: Path) -> None:
    """Compile again what the check compiled, to be valid whatever the times of the files become in the image."""
    for compiled in root.rglob("__pycache__/*.pyc"):
        source = importlib.util.source_from_cache(str(compiled))
        py_compile.compile(
            source, str(compiled), doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--shipped-model", choices=("yes", "no"), default="yes")
    options = parser.parse_args()
    main(options.root, options.shipped_model == "yes")
