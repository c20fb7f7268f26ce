"""Count what the package is made of, for docs/architecture.md: `python tools/counts.py [FOLDER OF THE PACKAGE]`.

Lines and public names of each folder, cycles of imports, and the stays of a page in `Reader.read`: functions that are
called from another module, once each; those that `reader.py` itself calls come with a star.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parent.parent


def public_names(file: Path) -> int:
    """Functions, classes, methods and constants of a module that do not begin with an underscore."""
    found = 0
    for node in ast.parse(file.read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found += not name.startswith("_")
            case ast.ClassDef(name=name) if not name.startswith("_"):
                methods = (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
                found += 1 + sum(not method.name.startswith("_") for method in methods)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                found += not name.startswith("_")
    return found


def imports(package: Path) -> dict[str, set[str]]:
    """For each module of the package the modules that it imports, anywhere in it."""
    files = {".".join(file.relative_to(package.parent).with_suffix("").parts): file for file in package.rglob("*.py")}
    files = {name.removesuffix(".__init__"): file for name, file in files.items()}
    found: dict[str, set[str]] = {}
    for name, file in files.items():
        used: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.ImportFrom(module=str(module), names=names, level=0):
                    used |= {f"{module}.{a.name}" if f"{module}.{a.name}" in files else module for a in names}
                case ast.Import(names=names):
                    used |= {a.name for a in names}
        found[name] = used & files.keys() - {name, package.name}  # all of them import __version__
    return found


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches the others by imports."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        return seen

    reach = {name: reached(name) for name in graph}
    groups = {tuple(sorted(other for other in reach[name] if name in reach[other])) for name in graph}
    return [list(group) for group in sorted(groups) if group]


def stays(package: Path, image: Path) -> dict[str, bool]:
    """Functions that are called from another module between `Reader.read` and its return: whether by `reader.py`."""
    sys.path.insert(0, str(package.parent))
    from text_recognizer.reader import Reader

    def calling_module(frame: FrameType | None) -> str:
        """The file of the package that called; the standard library may be between, as for a context manager."""
        while frame and not frame.f_code.co_filename.startswith(str(package)):
            frame = frame.f_back
        return frame.f_code.co_filename if frame else ""

    reader = Reader()
    reader.read(image, "fast")  # everything is loaded
    seen: dict[str, bool] = {}

    def enter(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        caller = calling_module(frame.f_back)
        entered = event == "call" and code.co_filename.startswith(str(package)) and code.co_filename != caller
        public = not any(part.startswith(("_", "<")) for part in code.co_qualname.split("."))
        if entered and public:
            name = f"{Path(code.co_filename).relative_to(package)}: {code.co_qualname}"
            seen[name] = seen.get(name, False) or caller == str(package / "reader.py")

    threading.setprofile(enter)
    sys.setprofile(enter)
    try:
        reader.read(image, "fast")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return seen


def main() -> None:
    package = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "src" / "text_recognizer").resolve()
    lines: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for file in sorted(package.rglob("*.py")):
        room = file.relative_to(package).parts[0]
        lines[room] += len(file.read_text("utf-8").splitlines())
        names[room] += public_names(file)
    total = sum(lines.values())
    for room, count in lines.most_common(6):
        print(f"{room:12} {count:6} lines {100 * count / total:5.1f} %  {names[room]:4} public names")
    print(f"{'all':12} {total:6} lines          {sum(names.values()):4} public names")
    print(f"{total / sum(names.values()):.1f} lines a public name")
    found = cycles(imports(package))
    print(f"{len(found)} cycles of imports", *(", ".join(group) for group in found), sep="\n  ")
    passed = stays(package, ROOT / "samples" / "page.png")
    print(f"\n{len(passed)} stays in Reader.read, {sum(passed.values())} of them called by reader.py:")
    for name, by_reader in passed.items():
        print(" *" if by_reader else "  ", name)


if __name__ == "__main__":
    main()
