"""Open a bundle: a model folder that describes itself and is verified file by file before it is used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from text_recognizer.description import Description
from text_recognizer.devices import CPU, load_graph
from text_recognizer.errors import BundleInvalid, UsageError, cannot_read

if TYPE_CHECKING:
    import onnxruntime as ort

SHIPPED = Path(__file__).parent / "bundles" / "default"


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified model folder. Nothing in it is unpickled; graphs are ONNX, weights are safetensors."""

    path: Path
    description: Description

    @property
    def name(self) -> str:
        return self.description.name

    @property
    def version(self) -> str:
        return self.description.version

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @classmethod
    def open(cls, path: Path | str | None = None, *, whole: bool = False) -> Bundle:
        """Open and verify the bundle at `path`, or the one that ships with the package.

        `whole`: also require the files that only training needs. Raises BundleInvalid if the folder or a file is
        missing, was not made by this project, or a file is damaged or cannot be read.
        """
        folder = Path(path) if path is not None else SHIPPED
        description = Description.read(folder)
        try:
            cls._verify(folder, description, whole)
        except OSError as error:
            raise BundleInvalid(cannot_read(error.filename, error, "get the bundle again")) from None
        return cls(folder, description)

    @staticmethod
    def _verify(folder: Path, description: Description, whole: bool) -> None:
        for name, digest in description.files.items():
            file = folder / name
            if not file.exists() and name in description.for_training:
                if whole:
                    raise BundleInvalid(
                        f"{file} is missing, this copy can only read: get the whole bundle. That of the package is in "
                        "the repository, where 'pip install --editable .' makes it the default."
                    )
                continue
            if not file.is_file():
                raise BundleInvalid(f"{file} is missing: get the bundle again.")
            if sha256(file) != digest:
                raise BundleInvalid(f"{file} is damaged or was changed (its sha256 differs): get the bundle again.")

    def has(self, name: str) -> bool:
        """Whether it holds the graph `name`; only those of `description.NEEDED` are in every bundle."""
        return f"{name}.onnx" in self.description.files

    def session(self, name: str, threads: int | None = None, device: str = CPU) -> ort.InferenceSession:
        """ONNX Runtime session of graph `name` (such as "encoder") on `device` (see `devices`).

        `threads`: how many it may use, None for all cores. Raises BundleInvalid if the graph cannot be loaded,
        UsageError if the device is absent.
        """
        try:
            return load_graph(self.path / f"{name}.onnx", threads, device)
        except UsageError:
            raise
        except Exception as error:  # ONNX Runtime raises its own classes, and only the class states the reason
            advice = "get the bundle again" if device == CPU else f"use the device {CPU}, or get the bundle again"
            raise BundleInvalid(
                f"{self.path / name}.onnx can't be loaded ({type(error).__name__}): {advice}."
            ) from None
