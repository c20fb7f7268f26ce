"""Takes out of a folder of installed packages what serving never reads, and compiles the rest. Used by the Dockerfile.

Shared libraries are left as they are: stripping those that wheels bring breaks them.
"""

import argparse
import compileall
import shutil
from pathlib import Path
from py_compile import PycInvalidationMode

FOLDERS = (
    "**/tests",
    "bin",
    "numpy/f2py",
    "numpy/distutils",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "uvloop*",  # half debugging symbols; a page takes a second, the loop a microsecond
    "watchfiles*",
)
FILES = (
    "**/*.a",
    "**/*.h",
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "onnxruntime/capi/libonnxruntime.so*",  # for programs in C; the Python module holds its own copy
)


SHIPPED = "text_recognizer/bundles/default"


def main(root: Path, shipped_model: bool) -> None:
    """Slim `root` and print its sizes; without `shipped_model` it gets another one later."""
    before = _size(root)
    for pattern in FOLDERS if shipped_model else (*FOLDERS, SHIPPED):
        for folder in list(root.glob(pattern)):
            shutil.rmtree(folder, ignore_errors=True)
    for pattern in FILES:
        for file in list(root.glob(pattern)):
            file.unlink()
    slim = _size(root)
    compileall.compile_dir(root, quiet=2, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    print(f"{before / 1e6:.0f} MB; what serving needs {slim / 1e6:.0f} MB; compiled {_size(root) / 1e6:.0f} MB")


def _size(root: Path) -> int:
    return sum(file.stat().st_size for file in root.rglob("*") if file.is_file())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--shipped-model", choices=("yes", "no"), default="yes")
    options = parser.parse_args()
    main(options.root, options.shipped_model == "yes")
