"""Run a model's graphs on the processor, or on a device of another execution provider of ONNX Runtime.

One build of ONNX Runtime is installed at a time, and each contains a few providers: `onnxruntime` the processor (and
CoreML on a Mac), `onnxruntime-gpu` CUDA, `onnxruntime-openvino` OpenVINO, `onnxruntime-directml` DirectML.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text_recognizer.errors import UsageError

if TYPE_CHECKING:
    import onnxruntime as ort

CPU = "cpu"
# Device: its provider, the distribution that contains it, and the provider's option for the part after a colon.
_PROVIDERS = {
    CPU: ("CPUExecutionProvider", "onnxruntime", ""),
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu[cuda,cudnn]", "device_id"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino", "device_type"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime", ""),
    "directml": ("DmlExecutionProvider", "onnxruntime-directml", "device_id"),
}
DEVICES = tuple(_PROVIDERS)
DEVICE_HELP = f"where the model runs: {', '.join(DEVICES)}; cuda:1 is the second card (default: {CPU})"

# After this time a thread that runs Python code yields to others. The decoder needs Python between many short runs: on
# a busy machine, two threads took 12 s with 0.001 and 7 s with this value, for a page each in the accurate mode.
SWITCH_SECONDS = 0.0002


def share_python() -> None:
    """Let reading threads of this process wait less for Python's lock, which by default costs up to 5 ms each time."""
    sys.setswitchinterval(min(SWITCH_SECONDS, sys.getswitchinterval()))


def available() -> tuple[str, ...]:
    """The devices whose provider is in the installed build of ONNX Runtime; a driver may still be missing."""
    built = _runtime().get_available_providers()
    return tuple(device for device, (provider, _, _) in _PROVIDERS.items() if provider in built)


def check_device(device: str) -> None:
    """Raises `UsageError` unless `device` is "cpu", or another of `DEVICES` whose provider is installed.

    "cuda:1" and "directml:1" name a card, "openvino:GPU" a device of OpenVINO.
    """
    name, _, which = device.partition(":")
    if name not in _PROVIDERS or (which and not _PROVIDERS[name][2]):
        raise UsageError(f"there is no device '{device}'; give one of {', '.join(DEVICES)}")
    if name != CPU and name not in available():
        _, distribution, _ = _PROVIDERS[name]
        advice = f"run 'pip uninstall onnxruntime', then 'pip install {distribution}'"
        if name == "coreml":
            advice = "it needs a Mac"
        raise UsageError(f"device '{name}' is not in this ONNX Runtime, which has {', '.join(available())}; {advice}")


def load_graph(file: Path, threads: int | None, device: str = CPU) -> ort.InferenceSession:
    """Session of the ONNX graph `file` on `device`, with at most `threads` processor threads (None: all cores).

    Raises `UsageError` for a device that is absent or cannot be started, and ONNX Runtime's own errors for the graph.
    """
    check_device(device)
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    # The arena keeps the largest activation of every shape it ever saw: a server would only grow.
    options.enable_cpu_mem_arena = False
    # It would allocate one block for all activations of a shape: blocks of ever new sizes fragment the heap.
    options.enable_mem_pattern = False
    if threads is not None:
        options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning cost a third more processor time and finish no earlier.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    name, _, which = device.partition(":")
    provider, _, option = _PROVIDERS[name]
    settings = {option: which} if which else {}
    if name == "openvino" and threads is not None:
        settings["num_of_threads"] = str(threads)  # it has threads of its own
    session = runtime.InferenceSession(str(file), options, providers=[(provider, settings)])
    if provider not in session.get_providers():  # ONNX Runtime falls back to the processor and only logs it
        raise UsageError(
            f"device '{device}' cannot be started on this machine; check its driver with 'text-recognizer doctor', or "
            f"use the device cpu"
        )
    return _OneAtATime(session) if name == "directml" else session


class _OneAtATime:
    """A session whose provider allows one call at a time, shared between threads."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session, self._lock = session, threading.Lock()

    def run(self, names: list[str] | None, inputs: Mapping[str, Any]) -> Any:
        with self._lock:
            return self._session.run(names, inputs)


def _runtime() -> Any:
    # ONNX Runtime sends telemetry unless this is set before it is imported. Readings are private.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
