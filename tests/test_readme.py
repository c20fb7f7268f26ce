"""What the README shows works as shown."""

import re
from pathlib import Path

import pytest

from text_recognizer.cli import _parser

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


def test_make_targets_are_there():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_read_commands_are_understood():
    commands = re.findall(r"^text-recognizer (read .*?)(?: *#.*)?$", "\n".join(blocks("sh")), re.MULTILINE)
    assert commands
    for command in commands:
        assert _parser().parse_args(command.split()).command == "read"


REPOSITORY = "https://example.org/text-recognizer/blob/main/"
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "samples" / "README.md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    """Links of the documentation are relative, others are absolute, so that they work on a package index too."""
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if target.startswith(REPOSITORY):
            assert (ROOT / target.removeprefix(REPOSITORY)).exists(), f"{path} links to {target}"
        elif not target.startswith(("http", "mailto:")):
            assert (path.parent / target).exists(), f"{path} links to {target}"
