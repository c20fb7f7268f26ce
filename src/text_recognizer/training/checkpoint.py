"""Open a checkpoint that may be damaged, or no checkpoint at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from text_recognizer.errors import DataInvalid


def open_checkpoint(checkpoint: Path, *needed: str) -> dict[str, Any]:
    """The content of a checkpoint, which must hold the keys `needed`.

    Raises DataInvalid if the file is missing, damaged or something else.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or any(key not in state for key in needed):
            raise ValueError("it holds something else")
    except Exception as error:  # bytes of any kind are taken for instructions of a pickle, and fail as such
        others = ", ".join(sorted(p.name for p in checkpoint.parent.glob("*.ckpt") if p != checkpoint)) or "none"
        raise DataInvalid(
            f"{checkpoint} is damaged or not a checkpoint ({type(error).__name__}): take another one ({others})."
        ) from error
    return state
