"""The wheel holds what reading needs, the sdist all that documentation and tests name."""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from text_recognizer.bundle import Bundle
from text_recognizer.errors import BundleInvalid

ROOT = Path(__file__).parent.parent
MB = 1_000_000


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist of this folder, and the wheel that is built from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return out


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(folder)
    return folder


def test_one_torch_is_allowed_and_pinned_in_one_place():
    (pinned,) = re.findall(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(), re.M)
    allowed = re.findall(r'"torch>=([\d.]+),<([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    minor = tuple(map(int, pinned.split(".")[:2]))
    assert allowed == [(".".join(map(str, minor)), f"{minor[0]}.{minor[1] + 1}")]
    kinds = {"", ".md", ".yaml", ".tf", ".ipynb", ".py", ".toml"}
    others = [ROOT / "Makefile", ROOT / "README.md"]
    for folder in ("deploy", "docs", "notebooks", "tools"):
        others += [file for file in (ROOT / folder).rglob("*") if file.is_file() and file.suffix in kinds]
    assert not [file for file in others if re.search(r"torch==\d", file.read_text())]


def test_wheel_reads_a_page(unpacked, letter):
    code = f"import text_recognizer as t; print(t.__file__); print(t.read({str(letter)!r}, 'fast').text)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(unpacked)}, check=True, capture_output=True, timeout=120
    )
    where, *lines = done.stdout.decode().splitlines()
    assert Path(where).is_relative_to(unpacked)
    assert len(lines) > 10


def test_wheel_lacks_only_the_weights_of_training(built, unpacked):
    folder = unpacked / "text_recognizer" / "bundles" / "default"
    described = json.loads((folder / "bundle.json").read_text("utf-8"))
    assert {path.name for path in folder.iterdir()} == {"bundle.json", *described["files"]} - {
        *described["for_training"]
    }
    with pytest.raises(BundleInvalid, match="in the repository"):
        Bundle.open(folder, whole=True)
    assert next(built.glob("*.whl")).stat().st_size < 42 * MB


def test_wheel_has_every_module_and_data_file(unpacked):
    source = ROOT / "src" / "text_recognizer"
    wanted = {
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".safetensors"
    }
    package = unpacked / "text_recognizer"
    assert wanted <= {path.relative_to(package) for path in package.rglob("*")}
    assert (package / "configs" / "line-small.yaml").is_file()


def test_sdist_has_what_the_documentation_names(built):
    archive = next(built.glob("*.tar.gz"))
    with tarfile.open(archive) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    texts = [ROOT / "README.md", ROOT / "Makefile", *sorted((ROOT / "docs").rglob("*.md"))]
    named = {
        name
        for text in texts
        for name in re.findall(r"\b(?:benchmarks|tools|configs|deploy|tests)/[\w/.-]+\.\w+", text.read_text("utf-8"))
    }
    named |= {".ci/lowest", ".dockerignore"}  # of `make lowest` and `make image`
    assert any(name.startswith("benchmarks/") for name in named)
    assert {name for name in named if name not in held} == set()
    assert "src/text_recognizer/bundles/default/recognizer.safetensors" in held
    assert archive.stat().st_size < 56 * MB
