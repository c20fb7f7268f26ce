"""Takes out of a folder of installed packages what serving never reads, serves with the rest, compiles what that took.

Used by the Dockerfile, with a Python that has none of these packages itself. What each group saved is printed. Where a
new release of a package needs what was taken out, the service cannot read in the end, and the build ends there.

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
    # Only in images with the extra `s3`.
    "AWS's other services": [
        "botocore/data/*/",
        *(f"!botocore/data/{name}" for name in ("s3", "sts", "sso*", "signin")),
    ],
    # uvloop is half debugging symbols; a page takes a second, the loop a microsecond.
    "faster loops, reloading": ["uvloop*", "watchfiles*"],
}

# For the page alone.
PAGE_GROUPS = {
    "reading, which the service does": ["onnxruntime*", str(SHIPPED)],
    "what Gradio could show besides": [
        f"gradio/{name}" for name in ("templates/frontend/static/ffmpeg", "templates/node")
    ],
    "Gradio's examples, ways to a hub of models": ["gradio/media_assets", "hf_xet*"],
}

# Each program as it will run, asked by HTTP.
START = r"""
import contextlib, io, json, re, socket, subprocess, sys, time, urllib.request
from importlib.util import find_spec

def ask(path, body=None, kind="application/octet-stream"):
    request = urllib.request.Request(address + path, body, {"Content-Type": kind})
    return urllib.request.urlopen(request, timeout=120).read()

@contextlib.contextmanager
def running(*arguments, ready):
    global address
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    program = subprocess.Popen([sys.executable, "-m", "text_recognizer", *arguments, "--port", port])
    try:
        for _ in range(600):
            assert program.poll() is None, "it did not start"
            with contextlib.suppress(OSError):
                ask(ready)
                break
            time.sleep(0.1)
        yield
    finally:
        program.terminate()
        program.wait(60)
"""
CHECKS = {
    # A written word in the formats that images come in most, and feedback on it.
    "serve": r"""
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
with running("serve", "--threads", "1", ready="/readyz"):
    for kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF"):
        body = io.BytesIO()
        Image.fromarray(word).save(body, kind)
        page = json.loads(ask("/v1/read", body.getvalue()))
        assert page["text"].strip(), f"nothing was read of {kind}"
    said = json.dumps({"request_id": page["request_id"], "flag": "other"}).encode()
    assert json.loads(ask("/v1/feedback", said, "application/json"))["image_stored"], "feedback kept no image"
print(f"reads {page['text']!r}", flush=True)
""",
    # The page with its scripts and styles, a picture that browsers cannot show, and a corrected page in each format.
    "app": r"""
import http.server, threading
from PIL import Image
from text_recognizer import formats
outline = [[10, 10], [190, 10], [190, 40], [10, 40]]
line = {"text": "a word", "confidence": 1, "polygon": outline, "baseline": outline[2:], "alternatives": [], "words": []}
page = {"format": 1, "source": "", "model": "", "width": 200, "height": 50, "text": "a word", "lines": [line]}
given = json.dumps({"page": page, "texts": ["another word"]}).encode()

class Service(http.server.BaseHTTPRequestHandler):  # it is asked who may have pictures shown and pages written
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"models": [], "formats": [], "feedback": false}')

service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
threading.Thread(target=service.serve_forever, daemon=True).start()
with running("app", "--model-url", f"http://127.0.0.1:{service.server_port}", ready="/healthz"):
    document = ask("/").decode()
    parts = set(re.findall(r'(?:src|href)="[./]*((?:assets|static)/[^"]+|theme\.css[^"]*)"', document))
    assert parts, "the page has no scripts"
    for part in parts:
        assert ask("/" + part), part
    picture = io.BytesIO()
    Image.new("RGB", (200, 50), "white").save(picture, "TIFF")
    assert ask("/page/pages", picture.getvalue())[4:6] == b"\xff\xd8"
    for name in formats.NAMES:
        if not formats.get_format(name).needs_picture:
            written = ask(f"/page/written/{name}", given, "application/json")
            # A Word file is an archive, and a page without tables writes none.
            assert b"another" in written or name == "tables" or written[:2] == b"PK", name
print(f"shows the page with {len(parts)} scripts and styles", flush=True)
""",
}


def main(root: Path, program: str, shipped_model: bool) -> None:
    """Slim `root` for `program`, and check it; without `shipped_model` it gets another one later."""
    print(f"{_size(root) / 1e6:6.1f} MB installed", flush=True)
    slim(root, GROUPS | PAGE_GROUPS if program == "app" else GROUPS)
    check(root, program)
    compile_used(root)
    if not shipped_model:
        shutil.rmtree(root / SHIPPED, ignore_errors=True)
    print(f"{_size(root) / 1e6:6.1f} MB left, what serving imports compiled", flush=True)


def slim(root: Path, groups: dict[str, list[str]]) -> None:
    """Remove each group from `root`, and print what that saves."""
    description = root / SHIPPED / "bundle.json"
    trained = json.loads(description.read_text(encoding="utf-8"))["for_training"] if description.exists() else []
    groups = {**groups, "weights to train on from": [str(SHIPPED / name) for name in trained]}
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
        if saved:
            print(f"{-saved / 1e6:6.1f} MB {what}", flush=True)


def check(root: Path, program: str) -> None:
    """Run `program` of what is left in `root`; ends this one where that fails."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TEXT_RECOGNIZER_")},
            "PYTHONPATH": str(root),
            "TEXT_RECOGNIZER_FEEDBACK": scratch,
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what it compiles is what serving imports
        done = subprocess.run(
            [sys.executable, "-c", START + CHECKS[program]], check=False, env=environment, cwd=scratch
        )
    if done.returncode:
        raise SystemExit(f"slim.py: what is left cannot {program}, see above; name what it needs as kept in the groups")


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
    parser.add_argument("--program", choices=tuple(CHECKS), default="serve")
    options = parser.parse_args()
    main(options.root, options.program, options.shipped_model == "yes")
