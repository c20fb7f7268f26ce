"""Open a file that may be a damaged checkpoint, or not a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from text_recognizer.errors import DataInvalid


def open_checkpoint(checkpoint: Path, *needed: str) -> dict[str, Any]:
    """The content of a checkpoint, which must have the keys `needed`.

    Raises DataInvalid if the file is missing, damaged or something else.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or any(key not in state for key in needed):
            raise ValueError("it holds something else")
    except Exception as error:  # pickle executes any bytes as instructions, so any error may occur
        others = ", ".join(sorted(p.name for p in checkpoint.parent.glob("*.ckpt") if p != checkpoint)) or "none"
        raise DataInvalid(
            f"{checkpoint} is damaged or not a checkpoint ({type(error).__name__}): take another one ({others})."
        ) from error
    return state
