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


@pytest.mark.parametrize(
    "document", ["README.md", "docs/architecture.md", "docs/cli.md", "docs/service.md", "samples/README.md"]
)
def test_links_lead_somewhere(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{document} links to {target}"
