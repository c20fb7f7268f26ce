"""Find models by name: a folder of bundles that never change, and the aliases `staging` and `production`.

    models/NAME/VERSION/      a bundle as written by `stage`
    models/registry.json      the history of each alias, with times and reasons; entries are never removed

`Reader("production")` finds its bundle here; `promotion/registrar.py` changes the registry.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text_recognizer.bundle import SHIPPED, sha256
from text_recognizer.description import DESCRIPTION
from text_recognizer.errors import BundleInvalid, UsageError, cannot_read

ENVIRONMENT = "TEXT_RECOGNIZER_MODELS"
ALIASES = ("staging", "production")
DEFAULT = "default"  # the shipped model
REGISTRY = "registry.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_START_ANEW = "restore it from a copy, or move it away and promote again: the models beside it stay"


@dataclass(frozen=True)
class Model:
    """A registered bundle.

    `digest`: sha256 of its description, which contains the sha256 of each file; empty if it cannot be read.
    """

    name: str
    version: str
    path: Path
    digest: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class Registry:
    """The models in `folder`; by default the folder in TEXT_RECOGNIZER_MODELS, or `models` in the working directory."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder or os.environ.get(ENVIRONMENT) or "models")

    # ------------------------------------------------------------------------------------------------- queries

    def models(self) -> list[Model]:
        """All models, by name, the newest version of each first."""
        found = []
        for path in (version for name in _folders(self.folder) for version in _folders(name)):
            try:
                age = (path / DESCRIPTION).stat().st_mtime_ns
                digest = sha256(path / DESCRIPTION)
            except FileNotFoundError:
                continue
            except OSError:
                age, digest = 0, ""
            found.append((path.parent.name, -age, Model(path.parent.name, path.name, path, digest)))
        return [model for _, _, model in sorted(found, key=lambda place: place[:2])]

    def find(self, name: str) -> Model:
        """The model of NAME@VERSION, NAME (its newest version) or an alias. Raises BundleInvalid if there is none."""
        if name in ALIASES:
            entry = self.current(name)
            if entry is None:
                raise BundleInvalid(
                    f"nothing is in {name} in {self.folder.absolute()}: put a model there with 'text-recognizer models "
                    f"promote', or set {ENVIRONMENT} to the folder of your models."
                )
            model = self.find(entry["model"])
            if model.digest and model.digest != entry["sha256"]:
                raise BundleInvalid(
                    f"{model.path} was changed since {model} was promoted (its sha256 differs): do not use it; get it "
                    "again with 'models pull', or go back with 'models rollback'."
                )
            return model
        wanted, _, version = name.partition("@")
        for model in self.models():
            if model.name == wanted and version in ("", model.version):
                return model
        known = ", ".join(map(str, self.models())) or "none"
        raise BundleInvalid(f"there is no model '{name}' in {self.folder.absolute()} (known: {known}).")

    def history(self, alias: str) -> list[dict[str, Any]]:
        """The history of `alias`, oldest first: promotions (model, sha256, at, reason, gate) and rollbacks."""
        if alias not in ALIASES:
            raise UsageError(f"there is no alias '{alias}'; give one of: {', '.join(ALIASES)}")
        return list(self._read().get(alias, []))

    def current(self, alias: str) -> dict[str, Any] | None:
        """The promotion that is in effect for `alias`; None if there is none."""
        return next(reversed(standing(self.history(alias))), None)

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        file = self.folder / REGISTRY
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except NotADirectoryError:
            raise BundleInvalid(f"{self.folder} is a file: give the folder of your models.") from None
        except OSError as error:
            raise BundleInvalid(cannot_read(file, error, _START_ANEW)) from None
        except ValueError as error:
            raise BundleInvalid(f"{file} can't be read ({type(error).__name__}): {_START_ANEW}.") from None
        if not isinstance(content, dict) or not all(map(_is_history, content.values())):
            raise BundleInvalid(f"{file} is damaged: {_START_ANEW}.")
        return content


def check_names(*parts: str) -> None:
    """Raise UsageError unless each of `parts` can be the name or version of a model."""
    for part in parts:
        if not NAME.fullmatch(part) or part in (*ALIASES, DEFAULT):
            raise UsageError(
                f"'{part}' cannot be the name or version of a model: give letters, digits, '.', '_' and '-' that begin "
                f"with a letter or digit, and none of {', '.join((*ALIASES, DEFAULT))}."
            )


def resolve(model: Path | str | None = None) -> Path:
    """The folder of a bundle, by path, alias, NAME or NAME@VERSION; None and "default" mean the shipped one.

    A string that is the path of a bundle means that folder. Raises BundleInvalid.
    """
    if model is None or model == DEFAULT:
        return SHIPPED
    path = Path(model)
    if isinstance(model, Path) or (path / DESCRIPTION).is_file() or len(path.parts) != 1:
        return path
    if not NAME.fullmatch(model.replace("@", "-")):
        return path
    registry = Registry()
    if not registry.folder.is_dir():
        raise BundleInvalid(
            f"'{model}' is neither the folder of a bundle nor a model in {registry.folder.absolute()}: give a folder, "
            f"or set {ENVIRONMENT} to the folder of your models."
        )
    return registry.find(model).path


def _folders(folder: Path) -> list[Path]:
    """The folders in `folder`; empty if it does not exist. Raises BundleInvalid if it cannot be read."""
    try:
        return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BundleInvalid(cannot_read(folder, error, f"set {ENVIRONMENT} to the folder of your models")) from None


def _is_history(entries: Any) -> bool:
    """Whether `entries` are promotions, and rollbacks of earlier promotions."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return False
    height = 0
    for entry in entries:
        height += -1 if entry.get("rollback") else 1
        needed = ("model", "at") if entry.get("rollback") else ("model", "at", "sha256")
        if height < 0 or not all(isinstance(entry.get(key), str) for key in needed):
            return False
    return True


def standing(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The promotions that were not rolled back."""
    stack: list[dict[str, Any]] = []
    for entry in history:
        if entry.get("rollback"):
            stack.pop()
        else:
            stack.append(entry)
    return stack
