"""Open a bundle: a model as a folder that describes itself and is checked file by file before it is used."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text_recognizer.errors import BundleInvalid

if TYPE_CHECKING:
    import onnxruntime as ort

FORMAT = 1
SHIPPED = Path(__file__).parent / "bundles" / "default"
DESCRIPTION = "bundle.json"
NEEDED = ("encoder.onnx", "decoder.onnx", "line_finder.onnx")


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Bundle:
    """A verified model folder. Nothing in it is unpickled; graphs are ONNX, weights are safetensors."""

    def __init__(self, path: Path, info: dict[str, Any]) -> None:
        self.path = path
        self.info = info
        self.name = str(info["name"])
        self.version = str(info["version"])

    @property
    def for_training(self) -> tuple[str, ...]:
        """Files that training goes on from and reading never opens: copies that only read may lack them."""
        return tuple(self.info.get("for_training", ()))

    @classmethod
    def open(cls, path: Path | str | None = None, *, whole: bool = False) -> Bundle:
        """Open and verify the bundle at `path`, or the one that ships with the package.

        `whole`: the files that only training needs must be there too. Raises BundleInvalid if the folder or a file is
        missing, was not made by this project, or a file is damaged.
        """
        folder = Path(path) if path is not None else SHIPPED
        description = folder / DESCRIPTION
        try:
            info = json.loads(description.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BundleInvalid(
                f"{folder} holds no {DESCRIPTION}: give the folder of a bundle made by 'stage'."
            ) from None
        except (OSError, ValueError) as error:
            raise BundleInvalid(
                f"{description} can't be read ({type(error).__name__}): get the bundle again."
            ) from None
        if not isinstance(info, dict) or info.get("format") != FORMAT:
            raise BundleInvalid(f"{description} is not of bundle format {FORMAT}: get a bundle for this version.")
        for key, kind in (("name", str), ("version", str), ("files", dict), ("alphabet", str), ("recognizer", dict)):
            if not isinstance(info.get(key), kind):
                raise BundleInvalid(f"{description} lacks '{key}': it was not made by this project's 'stage'.")
        for_training = info.get("for_training", [])
        if not isinstance(for_training, list) or not all(isinstance(name, str) for name in for_training):
            raise BundleInvalid(f"{description} is damaged ('for_training' is no list of files): get the bundle again.")
        for needed in NEEDED:
            if needed not in info["files"] or needed in for_training:
                raise BundleInvalid(f"{description} does not list {needed} for reading: get the bundle again.")
        for name, digest in info["files"].items():
            if Path(name).name != name:
                raise BundleInvalid(f"{description} names a file outside the bundle ({name!r}): do not use it.")
            file = folder / name
            if not file.exists() and name in for_training:
                if whole:
                    raise BundleInvalid(f"{file} is missing, this copy can only read: get the whole bundle.")
                continue
            if not file.is_file():
                raise BundleInvalid(f"{file} is missing: get the bundle again.")
            if sha256(file) != digest:
                raise BundleInvalid(f"{file} is damaged or was changed (its sha256 differs): get the bundle again.")
        return cls(folder, info)

    def session(self, name: str, threads: int | None = None) -> ort.InferenceSession:
        """ONNX Runtime session of graph `name` ("encoder", "decoder", "line_finder") on the CPU."""
        # ONNX Runtime reports its use to its makers unless told not to: what is read here is nobody's business.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = 3
        # The arena keeps the largest activation of every shape it ever saw: a server would only grow.
        options.enable_cpu_mem_arena = False
        # One block for all activations of a shape: blocks of ever new sizes leave holes in the heap.
        options.enable_mem_pattern = False
        if threads is not None:
            options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            return ort.InferenceSession(str(self.path / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own classes, and only says what by name
            raise BundleInvalid(
                f"{self.path / name}.onnx can't be loaded ({type(error).__name__}): get the bundle again."
            ) from None
