"""The front page of the documentation works as shown, and the site needs nothing from other hosts."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import text_recognizer
from text_recognizer import client, formats
from text_recognizer.cli import COMMANDS, main, parser

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
FRONT = (DOCS / "index.md").read_text("utf-8")
FIRST = (DOCS / "tutorials" / "first-pages.md").read_text("utf-8")


def blocks(language, text=FRONT):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text):
    return [line for block in blocks("sh", text) for line in block.splitlines() if line.startswith("text-recognizer ")]


def test_front_page_answers_twelve_questions():
    answers = FRONT.split("\n### … ")[1:]
    assert len(answers) == 12
    for answer in answers:
        assert "](" in answer, answer


PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
INSTALLS = [
    *PAGES,
    ROOT / "CHANGELOG.md",
    ROOT / "deploy" / "skypilot.yaml",
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]


@pytest.mark.parametrize("page", INSTALLS, ids=lambda page: page.name)
def test_training_is_installed_from_a_clone_with_its_torch(page):
    # A wheel lacks the weights that fine-tuning begins with, and pip would take another torch.
    for line in re.findall(r".*pip install .*", page.read_text("utf-8")):
        if re.search(r"\[[\w,]*\btrain\b|\[\{EXTRAS\}", line):
            assert "--editable" in line, line
            assert "constraints.txt" in line, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_understood(page):
    """Each names a command of the program; those of `read` are parsed, up to what the shell does next."""
    for line in commands(page.read_text("utf-8")):
        argv = shlex.split(re.split(r" (?:&&|\||>) |\\$", line)[0], comments=True)[1:]
        assert argv[0] in {*COMMANDS, "read", "serve"}, line
        if argv[0] == "read":
            assert parser().parse_args(argv).command == "read"


# What is in every clone is read; other commands are only parsed: they need a person's own files, or minutes.
ADVICE = sorted(
    {
        command
        for module in Path(text_recognizer.__file__).parent.rglob("*.py")
        for command in re.findall(r"['`]text-recognizer ([a-z][^'`]* --[^'`]*)", module.read_text("utf-8"))
        if "…" not in command
    }
)


@pytest.mark.parametrize("advice", ADVICE)
def test_commands_in_messages_have_their_options(advice, capsys):
    words = advice.split()
    command = words[: next(n for n, word in enumerate(words) if not re.fullmatch(r"[a-z][a-z-]*", word))]
    with pytest.raises(SystemExit):
        main([*command, "--help"])
    shown = capsys.readouterr().out
    for option in re.findall(r"--[a-z-]+", advice):
        assert option in shown, option


READ = sorted({line for line in commands(FRONT) + commands(FIRST) if " read samples/" in line})


@pytest.mark.parametrize("line", READ)
def test_reading_commands_run(line, tmp_path):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    argv = [sys.executable, "-m", "text_recognizer", *line.split()[1:]]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "--output" in line:
        assert {path.stem for path in (tmp_path / line.split()[-1]).iterdir()} == {"page", "letter-1905"}
    else:
        assert len(done.stdout) > 100


@pytest.mark.parametrize("page", [DOCS / "index.md", *sorted((DOCS / "api").glob("*.md"))], ids=lambda page: page.stem)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)
    for block in blocks("python", page.read_text("utf-8")):
        exec(compile(block, page.name, "exec"), {})


def test_every_format_is_described():
    guide = (DOCS / "cli.md").read_text("utf-8")
    options = "".join(re.findall(r"^\| `--format .*", guide, re.MULTILINE))
    rows = re.findall(r"^\| `(\w+)` \| `\.", guide.partition("### Formats")[2], re.MULTILINE)
    assert sorted(rows) == sorted(formats.NAMES)
    assert [name for name in formats.NAMES if not re.search(rf"\b{name}`", options)] == []


def test_reference_has_every_public_name():
    reference = "".join(page.read_text("utf-8") for page in (DOCS / "api").glob("*.md"))
    for name in set(text_recognizer.__all__) - {"__version__"}:
        assert re.search(rf"^\.\. auto(?:class|function):: text_recognizer\.(?:\w+\.)?{name}$", reference, re.MULTILINE)
    for name in client.__all__:
        assert re.search(rf"^\.\. auto(?:class|exception):: text_recognizer\.client\.{name}$", reference, re.MULTILINE)
    assert ".. automodule:: text_recognizer.errors\n   :members:" in reference


def test_site_loads_nothing_from_other_hosts(tmp_path):
    """Fonts, styles and scripts come with the site: it works without a network, and tells nobody who reads it."""
    pytest.importorskip("sphinx")
    (tmp_path / "index.md").write_text("# Title\n\n```sh\nls\n```\n")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-c", str(DOCS), str(tmp_path), str(tmp_path / "site")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        html = page.read_text("utf-8")
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", html):
            assert not re.search(r"(?:src|href)=[\"']?(?:https?:)?//", tag), tag
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text("utf-8")), style
