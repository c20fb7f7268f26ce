"""The table of wings in docs/architecture.md is what the code is."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from text_recognizer import cli

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "text_recognizer"
ABOVE_ALL = {"cli", "doctor", "integrations", "__main__", "__init__"}
TEXT = (ROOT / "docs/architecture.md").read_text("utf-8")


def wings():
    """Wing: modules, extras and commands, in the order of the table."""
    rows = re.findall(r"^\| \*\*(\w+)\*\* \|(.+)\|$", TEXT, re.MULTILINE)
    cells = {name: [re.findall(r"`([^`]+)`", cell) for cell in row.split("|")[:3]] for name, row in rows}
    assert list(cells) == ["read", "measure", "review", "serve", "learn"]
    return cells


def imports(file):
    """Modules of the package that a file imports, anywhere in it, late imports too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("text_recognizer.")}


def modules():
    """Each module or folder of the package with its files."""
    places = [p for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()]
    return {p.stem: [p] if p.suffix else sorted(p.rglob("*.py")) for p in places}


def test_each_module_belongs_to_one_wing():
    listed = [module for names, _, _ in wings().values() for module in names]
    assert sorted(listed) == sorted(set(modules()) - ABOVE_ALL)


@pytest.mark.parametrize("wing", ["read", "measure", "review", "serve", "learn"])
def test_wing_imports_only_from_wings_above_it(wing):
    table = wings()
    order = list(table)
    allowed = {module for name in order[: order.index(wing) + 1] for module in table[name][0]}
    used = {
        (module, name)
        for module in table[wing][0]
        for file in modules()[module]
        for name in imports(file) & set(modules()) - ABOVE_ALL
    }
    assert used
    assert {(module, name) for module, name in used if name not in allowed} == set()


def test_commands_and_their_extras_are_those_of_their_wing():
    table = wings()
    listed = {command: extras for _, extras, commands in table.values() for command in commands}
    assert set(listed) == {"read", "serve", *cli.COMMANDS}
    for name, (_, extra, _) in cli.COMMANDS.items():
        assert extra == "" or extra in listed[name], name


def test_extras_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    of_wings = {extra for _, extras, _ in wings().values() for extra in extras}
    (others,) = re.findall(r"The other extras .*?\.\n", TEXT, re.DOTALL)
    assert set(project["optional-dependencies"]) == of_wings | set(re.findall(r"`([a-z0-9]+)`", others))


def private(name):
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def private_names(file):
    """Private names of the package that a file imports, patches or names in a string; ruff's SLF finds attributes."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] == "text_recognizer":
                yield from (f"{module}.{alias.name}" for alias in names if private(f"{module}.{alias.name}"))
            case ast.Call(func=ast.Attribute(attr="setattr" | "delattr"), args=[_, ast.Constant(value=str(name)), *_]):
                yield from {name} if private(name) else ()
            case ast.Constant(value=str(name)) if re.fullmatch(r"text_recognizer(\.\w+)+", name) and private(name):
                yield name


OUTSIDE = sorted(file for folder in ("tests", "benchmarks", "tools") for file in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("file", OUTSIDE, ids=lambda file: str(file.relative_to(ROOT)))
def test_private_names_of_the_package_are_used_inside_it_alone(file):
    assert list(private_names(file)) == []
