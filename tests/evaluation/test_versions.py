"""Data sets by their content: the same content has the same version wherever and whenever it was written."""

import json
import os
from pathlib import Path

import pytest

from text_recognizer import cli
from text_recognizer.errors import DataInvalid, UsageError
from text_recognizer.evaluation.versions import Versions, difference, fingerprint


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file = folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def test_fingerprint_is_of_names_and_content_and_not_of_times(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a", x="1", sub__y="2"), write(tmp_path / "b", sub__y="2", x="1")
    os.utime(second / "x", (1, 1))
    assert fingerprint(first) == fingerprint(second)
    (second / "x").write_text("3")
    assert fingerprint(first) != fingerprint(second)
    (second / "x").rename(second / "z")
    (second / "z").write_text("1")
    assert fingerprint(first) != fingerprint(second)


def test_content_gets_a_number_once_and_differences_are_named(tmp_path: Path) -> None:
    versions = Versions(tmp_path / "data" / "versions.json")
    letters = write(tmp_path / "letters", a="1", b="2", c="3")
    assert str(versions.add("letters", letters)) == str(versions.add("letters", letters)) == "letters@1"
    write(letters, b="other", d="new")
    (letters / "c").unlink()
    found = difference(versions.find("letters"), letters)
    assert (found.added, found.removed, found.changed) == (("d",), ("c",), ("b",))
    assert str(versions.add("letters", letters)) == "letters@2"
    again = Versions(versions.file)
    assert [str(version) for version in again.entries] == ["letters@1", "letters@2"]
    assert again.named(fingerprint(letters)) == "letters@2"
    assert not difference(again.find("letters"), letters)
    with pytest.raises(DataInvalid, match="known: letters@1, letters@2"):
        again.find("letters@3")
    with pytest.raises(UsageError, match="name of a data set"):
        again.add("a/b", letters)


def test_commands_name_check_and_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path, lines="a\n") / "lines"
    where = ("--versions", str(tmp_path / "versions.json"))
    assert cli.main(["train", "data", "version", "mine", str(one), *where]) == 0
    one.rename(tmp_path / "moved")
    assert cli.main(["train", "data", "check", "mine@1", str(tmp_path / "moved"), *where]) == 0
    (tmp_path / "moved").write_text("b\n")
    assert cli.main(["train", "data", "check", "mine", str(tmp_path / "moved"), *where]) == 7
    assert "is not mine@1: changed: lines" in capsys.readouterr().err
    assert cli.main(["train", "data", "versions", *where]) == 0
    assert "mine@1" in capsys.readouterr().out
    assert cli.main(["train", "data", "version", "mine", str(tmp_path / "nothing"), *where]) == 7


@pytest.mark.parametrize("content", ["{", "[1]", '[{"name": "a"}]', json.dumps({"a": 1})])
def test_damaged_file_of_versions_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "versions.json").write_text(content)
    with pytest.raises(DataInvalid, match=r"versions\.json"):
        Versions(tmp_path / "versions.json")
