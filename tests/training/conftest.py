"""What tests of training share."""

from pathlib import Path

import numpy as np
import pytest

from text_recognizer.synthesis.sources.unipen import UNITS_PER_X_HEIGHT, heldout_writers


@pytest.fixture(scope="session")
def unipen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of three held-out writers who write twelve words each in arches."""
    t = np.linspace(0, np.pi, 9)
    arch = np.stack([0.35 - 0.35 * np.cos(t), -0.95 * np.sin(t)], axis=1)
    writers = sorted(w for w in heldout_writers() if not w.startswith("scr-"))[:3]
    words = ["abcdefghijklmnop"[k : k + 4] for k in range(12)]
    entries = [(writer, word) for writer in writers for word in words]
    strokes = [np.concatenate([arch + np.array([0.9 * k, 0]) for k in range(4)]) for _ in entries]
    file = tmp_path_factory.mktemp("unipen") / "unipen.npz"
    np.savez(
        file,
        points=np.concatenate([np.round(s * UNITS_PER_X_HEIGHT).astype(np.int16) for s in strokes]),
        stroke_lengths=np.asarray([len(s) for s in strokes], np.int32),
        ink_strokes=np.ones(len(entries), np.int32),
        texts=np.asarray([word for _, word in entries]),
        writers=np.asarray([writer for writer, _ in entries]),
        is_char=np.zeros(len(entries), bool),
    )
    return file
