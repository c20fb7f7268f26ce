"""What the README shows works as shown."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import text_recognizer
from text_recognizer.cli import parser

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_python_blocks_run(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert blocks("python")
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_text_is_what_is_read_from_the_picture():
    [text] = blocks("text")
    assert text_recognizer.read(ROOT / "samples" / "page.png").text == text.rstrip("\n")


def test_error_rates_are_those_of_the_results():
    results = (ROOT / "docs" / "measure" / "results.md").read_text("utf-8")
    rates = re.findall(r"\b[\d.]+ %", README)
    assert len(rates) >= 6
    assert [rate for rate in rates if not re.search(rf"(?<![\d.]){re.escape(rate)}", results)] == []


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_read_commands_are_understood():
    commands = re.findall(r"^text-recognizer (read .*?)(?: *#.*)?$", "\n".join(blocks("sh")), re.MULTILINE)
    assert commands
    for command in commands:
        assert parser().parse_args(command.split()).command == "read"


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ADDRESS = PROJECT["urls"]["Homepage"]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "samples" / "README.md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    """Links of the documentation are relative, others are absolute, so that they work on a package index too."""
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if file := re.fullmatch(rf"{ADDRESS}/(?:blob|raw)/main/(.*)", target):
            assert (ROOT / file[1]).exists(), f"{path} links to {target}"
        elif not target.startswith(("http", "mailto:")):
            assert (path.parent / target).exists(), f"{path} links to {target}"


def test_readme_works_on_a_package_index():
    """There, relative links and pictures lead nowhere."""
    targets = re.findall(r"\]\(([^)\s]+)", README) + re.findall(r"(?:src|href)=[\"']([^\"']+)", README)
    assert len(targets) > 10
    assert [target for target in targets if not target.startswith("https://")] == []
    pictures = re.findall(r"!\[[^\]]+\]\(([^)\s]+)\)", README)
    assert pictures
    assert all(picture.startswith(f"{ADDRESS}/raw/main/") for picture in pictures)


def test_project_has_one_address():
    """The address of `[project.urls]` is the only one, so that one command replaces it (CONTRIBUTING.md)."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = {}
    for name in filter(None, files.split("\0")):
        try:
            text = (ROOT / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        for address in re.findall(r"https?://[\w.-]+(?:/[\w.~-]+)*?/text-recognizer\b", text):
            found.setdefault(address, name)
    assert set(found) == {ADDRESS}, found


def test_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f'repository-code: "{ADDRESS}"' in citation
    assert f"version: {PROJECT['version']}\n" in citation
