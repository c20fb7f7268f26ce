"""`text-recognizer doctor`: check the machine and the installation, and advise on problems.

Heavy packages are imported in separate processes: a package that crashes on import becomes a finding.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from text_recognizer.bundle import SHIPPED, Bundle
from text_recognizer.description import Description
from text_recognizer.errors import BundleInvalid, ExtraMissing, install_hint
from text_recognizer.registry import ALIASES, Registry
from text_recognizer.service.cores import cores
from text_recognizer.version import __version__

Status = Literal["ok", "note", "problem"]
DISTRIBUTION = "text-recognizer"
ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")
SERVICE = "http://127.0.0.1:8000"
SECONDS = 60.0  # time limit of a process that imports a package, on a busy machine
GIGABYTE = 1e9
# Resident memory in GB of one process that reads, and of training on the processor.
READING, TRAINING = 1.0, 4.0
NO_MEMORY = re.compile(r"MemoryError|map segment|allocate memory", re.IGNORECASE)  # of Python and of the system
MORE_MEMORY = "end other programs, or raise the limit (of the container, or by 'ulimit -v')"


@dataclass(frozen=True)
class Check:
    """One finding. `note`: something optional is missing or set in a way worth knowing; `problem`: reading fails."""

    topic: str
    status: Status
    found: str
    advice: str = ""


def check_python() -> Iterator[Check]:
    """Interpreter and system."""
    version = platform.python_version()
    place = f"Python {version}, {platform.system()} {platform.machine()}, {sys.prefix}"
    if sys.prefix == sys.base_prefix:
        yield Check("python", "note", place, "a virtual environment keeps the packages of projects apart")
    else:
        yield Check("python", "ok", place)


def check_packages() -> Iterator[Check]:
    """Whether the packages that reading needs can be imported, and which extras are complete."""
    yield Check("package", "ok", f"text-recognizer {__version__} in {Path(__file__).parent}")
    program = (
        "import numpy, cv2, onnxruntime, PIL; print(f'numpy {numpy.__version__}, opencv {cv2.__version__}, onnxruntime "
        "{onnxruntime.__version__}, Pillow {PIL.__version__}'); print(*onnxruntime.get_available_providers())"
    )
    code, out, problem = python(program)
    if code:
        advice = "install the packages again: pip install --force-reinstall numpy opencv-python-headless onnxruntime"
        found = problem or f"importing them ended with status {code}"
        yield Check("reading", "problem", found, MORE_MEMORY if NO_MEMORY.search(problem) else advice)
    else:
        versions, providers = out.splitlines()[:2]
        yield Check("reading", "ok", versions)
        yield Check("execution providers", "ok", providers)
    if installed("opencv-python") and installed("opencv-python-headless"):
        advice = "two builds of OpenCV overwrite each other: pip uninstall opencv-python opencv-python-headless, then "
        advice += "install opencv-python-headless"
        yield Check("reading", "note", "opencv-python and opencv-python-headless are both installed", advice)
    builds = [name for name in ONNXRUNTIMES if installed(name)]
    if len(builds) > 1:
        advice = f"they overwrite each other: pip uninstall {' '.join(builds)}, then install the one that is wanted"
        yield Check("reading", "note", f"{' and '.join(builds)} are both installed", advice)
    for extra, missing in extras().items():
        if missing:
            advice = f"for its commands {install_hint(extra)}"
            yield Check(f"extra {extra}", "note", f"not complete, without {', '.join(missing)}", advice)
        else:
            yield Check(f"extra {extra}", "ok", "complete")


def check_processor() -> Iterator[Check]:
    """Cores, their limits, and the instructions that make training faster."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    name = re.search(r"^model name\s*: (.+)", text, re.M)
    flags = set(found[1].split()) if (found := re.search(r"^flags\s*: (.+)", text, re.M)) else set()
    known = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in flags]
    title = name[1] if name else platform.processor() or platform.machine()
    bf16 = "bf16" if "avx512_bf16" in flags else "float32, since it does not compute bf16"
    yield Check("processor", "ok", f"{title} ({', '.join(known) or 'flags unknown'}); training uses {bf16}")
    total, ours = os.cpu_count() or 1, cores()
    threads = os.environ.get("OMP_NUM_THREADS")
    found_ = f"{ours} of {total} cores" + (f", OMP_NUM_THREADS={threads}" if threads else "")
    if ours < total and not threads:
        yield Check("threads", "note", found_, f"limit libraries that count all cores: export OMP_NUM_THREADS={ours}")
    else:
        yield Check("threads", "ok", found_)


def check_memory() -> Iterator[Check]:
    """Memory available to a process, by machine and by control group, and free space on the disk."""
    total, free = memory()
    if total is None or free is None:
        yield Check("memory", "note", "unknown on this system")
    else:
        found = f"{free / GIGABYTE:.1f} GB available of {total / GIGABYTE:.1f} GB"
        if free < READING * GIGABYTE:
            yield Check("memory", "problem", found, f"reading needs {READING:.0f} GB: {MORE_MEMORY}")
        elif free < TRAINING * GIGABYTE:
            yield Check("memory", "note", found, f"enough to read; training needs some {TRAINING:.0f} GB")
        else:
            yield Check("memory", "ok", found)
    try:
        room = shutil.disk_usage(Path.cwd()).free
    except OSError as error:  # the folder was removed, for example
        yield Check("disk", "note", f"the working directory cannot be used ({error.strerror})", "change to another one")
        return
    advice = "" if room > 5 * GIGABYTE else "checkpoints of a training run need some 2 GB"
    yield Check("disk", "note" if advice else "ok", f"{room / GIGABYTE:.1f} GB free in {Path.cwd()}", advice)


def check_gpus() -> Iterator[Check]:
    """GPUs as the driver reports them, and whether torch and ONNX Runtime can use them."""
    program = shutil.which("nvidia-smi")
    names: list[str] = []
    if program:
        query = "--query-gpu=name,driver_version,memory.total,compute_cap"
        code, out, problem = run([program, query, "--format=csv,noheader"])
        names = out.splitlines() if not code else []
        for line in names:
            capability = line.rsplit(",", 1)[-1].strip()
            old = re.fullmatch(r"\d+\.\d+", capability) and float(capability) < 8.0
            yield Check("gpu", "ok", line + (", no bf16: training uses float32" if old else ""))
        if not names:
            reason = problem or out.strip().splitlines()[-1] if problem or out.strip() else f"status {code}"
            yield Check("gpu", "note", f"nvidia-smi fails: {reason}", "install or load the NVIDIA driver")
    else:
        yield Check("gpu", "ok", "none (no nvidia-smi); reading and fine-tuning run on the processor")
    if not installed("torch"):
        return
    code, out, problem = python(
        "import torch; g = torch.cuda.is_available(); print(f'torch {torch.__version__}, '"
        " + (f'{torch.cuda.device_count()} GPU, bf16 {torch.cuda.is_bf16_supported(including_emulation=False)}' if g"
        " else 'no GPU'))"
    )
    if code:
        advice = MORE_MEMORY if NO_MEMORY.search(problem) else "install torch again"
        yield Check("torch", "note", problem or f"importing it ended with status {code}", advice)
    elif names and "no GPU" in out:
        advice = "install a build of torch for CUDA, as pytorch.org describes"
        yield Check("torch", "note", f"{out.strip()}, although there is one", advice)
    else:
        yield Check("torch", "ok", out.strip())


def check_models(folder: Path | None = None) -> Iterator[Check]:
    """The shipped model and the registry; each file is checked against its sha256."""
    try:
        bundle = Bundle.open(SHIPPED)
        yield Check("model", "ok", f"{bundle.name}@{bundle.version}, shipped")
    except BundleInvalid as error:
        yield Check("model", "problem", str(error), "install the package again")
    registry = Registry(folder)
    if not registry.folder.is_dir():
        advice = "'text-recognizer models add BUNDLE' makes one; TEXT_RECOGNIZER_MODELS names another folder"
        yield Check("registry", "note", f"{registry.folder.absolute()} does not exist", advice)
        return
    try:
        aliases = [f"{alias} is {entry['model']}" for alias in ALIASES if (entry := registry.current(alias))]
    except BundleInvalid as error:
        yield Check("registry", "problem", str(error), "then 'production' and 'staging' work again")
        return
    try:
        for alias in ALIASES:
            if registry.current(alias):
                Bundle.open(registry.find(alias).path)
        models = registry.models()
        yield Check(
            "registry", "ok",
            f"{len(models)} models in {registry.folder.absolute()}; {', '.join(aliases) or 'none promoted'}",
        )  # fmt: skip
        for model in models:
            try:
                Description.read(model.path)
            except BundleInvalid as error:
                yield Check("registry", "note", str(error), f"or remove {model.path}")
    except BundleInvalid as error:
        yield Check("registry", "problem", str(error), "roll back ('models rollback') or pull the model again")


def check_trackers() -> Iterator[Check]:
    """Where training would send its metrics."""
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not (installed("mlflow-skinny") or installed("mlflow")):
        yield Check("mlflow", "note", "not installed", install_hint("train"))
    elif server.startswith("http"):
        problem = _unreachable(f"{server.rstrip('/')}/health")
        advice = "start the server or correct MLFLOW_TRACKING_URI; training continues without it" if problem else ""
        yield Check("mlflow", "note" if problem else "ok", f"{server}: {problem or 'reachable'}", advice)
    else:
        yield Check("mlflow", "ok", server or "a local file, mlflow.db beside the runs")
    if not installed("wandb"):
        yield Check("wandb", "ok", "not installed")
    elif os.environ.get("WANDB_MODE") == "offline":
        yield Check("wandb", "ok", "offline: 'wandb sync' sends the runs later")
    elif os.environ.get("WANDB_API_KEY"):
        address = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
        problem = _unreachable(address)
        advice = "runs become offline runs, for 'wandb sync'" if problem else ""
        yield Check("wandb", "note" if problem else "ok", f"{address}: {problem or 'reachable'}", advice)
    else:
        yield Check("wandb", "ok", "installed, not used: neither WANDB_API_KEY nor WANDB_MODE=offline is set")


def check_service(address: str | None) -> Iterator[Check]:
    """Whether a service answers at `address`; the default address may have none."""
    wanted = (address or SERVICE).rstrip("/")
    problem = _unreachable(f"{wanted}/readyz")
    if not problem:
        yield Check("service", "ok", f"{wanted} is ready")
    elif address is None:
        yield Check("service", "note", f"none at {wanted} ({problem})", "start one with 'text-recognizer serve'")
    else:
        advice = "check the address and that 'text-recognizer serve' runs there"
        yield Check("service", "problem", f"{wanted}: {problem}", advice)


def examine(models: Path | None = None, service: str | None = None) -> Iterator[Check]:
    """All checks, yielded as they finish: some take seconds.

    Args:
        models: folder of the registry; None for TEXT_RECOGNIZER_MODELS or `models`.
        service: address of a service that must answer; None checks the default address.
    """
    groups: dict[str, Callable[[], Iterator[Check]]] = {
        "python": check_python, "packages": check_packages, "processor": check_processor, "memory": check_memory,
        "gpu": check_gpus, "registry": lambda: check_models(models), "trackers": check_trackers,
        "service": lambda: check_service(service),
    }  # fmt: skip
    for topic, group in groups.items():
        try:
            yield from group()
        except Exception as error:
            # A user runs the doctor because of some trouble: the other checks are still useful.
            yield Check(topic, "note", f"the check failed: {type(error).__name__}: {error}", "report this line")


# ------------------------------------------------------------------------------------------------ helpers


def run(command: Sequence[str]) -> tuple[int, str, str]:
    """(exit status, standard output, last line of standard error)"""
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, "", f"{type(error).__name__}: {error}"
    return done.returncode, done.stdout, next(reversed(done.stderr.strip().splitlines()), "")


def python(program: str) -> tuple[int, str, str]:
    return run([sys.executable, "-c", program])


def installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


def extras() -> dict[str, list[str]]:
    """Extra → packages of it that are not installed; empty if this package's own metadata is missing."""
    try:
        declared = metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return {}
    packages: dict[str, list[str]] = {extra: [] for extra in declared}
    for requirement in requirements:
        name, extra = re.match(r"[\w.-]+(\[[\w,-]+\])?", requirement), re.search(r"extra == ['\"]([\w-]+)", requirement)
        if name and extra:
            packages.setdefault(extra[1], []).append(name[0])

    def missing(extra: str) -> set[str]:
        found: set[str] = set()
        for name in packages.get(extra, []):
            distribution, _, others = name.rstrip("]").partition("[")
            if distribution == DISTRIBUTION:  # an extra that contains another one
                found = found.union(*map(missing, others.split(",")))
            elif not installed(distribution):
                found.add(distribution)
        return found

    return {extra: sorted(missing(extra)) for extra in declared}


def memory(system: Path = Path("/")) -> tuple[float | None, float | None]:
    """Bytes of memory, total and available, within the machine, its control group (version 2) and `ulimit`."""
    try:
        lines = (system / "proc/meminfo").read_text(encoding="ascii").splitlines()
        table = {line.split(":")[0]: 1024.0 * int(line.split()[1]) for line in lines}
        total, free = table["MemTotal"], table["MemAvailable"]
    except (OSError, ValueError, LookupError):
        return None, None
    with suppress(ImportError, OSError):
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            total, free = min(total, most), min(free, most)
    try:
        limit, used = (
            float((system / "sys/fs/cgroup" / name).read_text(encoding="ascii"))
            for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):  # "max", or no such group
        return total, free
    return min(total, limit), min(free, max(0.0, limit - used))


def _unreachable(address: str) -> str:
    """Why `address` does not answer; empty if it does."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="GET"), timeout=3):
            return ""
    except urllib.error.HTTPError as error:
        return "" if error.code < 500 else f"answers {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer doctor`; the exit status is 0 unless reading, or the given service, fails."""
    parser = argparse.ArgumentParser(
        prog="text-recognizer doctor", description="Check this machine and installation, and advise."
    )
    parser.add_argument(
        "--models", type=Path, help="folder of the registry (default: $TEXT_RECOGNIZER_MODELS, ./models)"
    )
    parser.add_argument("--service", metavar="URL", help=f"a service that must answer (default: look at {SERVICE})")
    parser.add_argument("--json", action="store_true", help="print one JSON object per check, each on one line")
    args = parser.parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that cannot show an arrow
    status = 0
    for check in examine(args.models, args.service):
        if args.json:
            print(json.dumps(asdict(check), ensure_ascii=False), flush=True)
        else:
            advice = f"\n{'':30}→ {check.advice}" if check.advice else ""
            print(f"{check.status:8} {check.topic:20} {check.found}{advice}", flush=True)
        if check.status == "problem":
            status = status or (BundleInvalid if check.topic in ("model", "registry") else ExtraMissing).exit_status
    return status
