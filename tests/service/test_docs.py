"""What docs/serve/service.md, the README and the front page show works; their tables are those of the code."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from text_recognizer.service import problems
from text_recognizer.service.settings import table

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "serve" / "service.md").read_text(encoding="utf-8")
SHORT = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/index.md")]
ADDRESS = "http://127.0.0.1:8000"


def blocks(language, text=GUIDE):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(service, block, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(compile(block.replace(ADDRESS, service.url), "service.md", "exec"), {})
    assert "March 4" in capsys.readouterr().out


SHELL = [block for text in (GUIDE, *SHORT) for block in blocks("sh", text)]
CURLS = sorted({line for line in "\n".join(SHELL).splitlines() if line.startswith("curl ")})


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
@pytest.mark.parametrize("line", [line for line in CURLS if "127.0.0.1" in line])
def test_curl_lines_are_answered(service, line):
    line = line.replace(ADDRESS, service.url) + "\n"
    answer = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if "example.org" in line:  # there may be no network, and there is no such page
        assert json.loads(answer).get("code") == "image-rejected"
    elif "models" in line:
        assert json.loads(answer)["models"]
    else:
        assert "March 4" in answer
        assert ("event: page" in answer) == ("stream=true'" in line)


def test_settings_table_is_that_of_the_code():
    assert GUIDE.partition("## Settings")[2].partition("\n## ")[0].endswith(f"\n\n{table()}")


def test_every_code_is_in_the_table():
    table = GUIDE.partition("## Errors")[2].partition("\n## ")[0]
    documented = {
        (int(status), code) for status, code in re.findall(r"^\| (\d+) \| `([\w-]+)` \|", table, re.MULTILINE)
    }

    def all_of(kind):
        return {kind, *(deep for sub in kind.__subclasses__() for deep in all_of(sub))}

    assert documented == {(kind.status, kind.code) for kind in all_of(problems.RequestError)} | {
        (422, "image-rejected")
    }


def test_every_figure_is_named(service):
    shown = service.http.get("/metrics").text
    figures = set(re.findall(r"^# TYPE text_recognizer_(\w+) ", shown, re.MULTILINE))
    named = set(re.findall(r"`(\w+)`", GUIDE.partition("all named `text_recognizer_…`:")[2].partition("## ")[0]))
    assert {name for name in figures if not name.endswith("_created")} == named
