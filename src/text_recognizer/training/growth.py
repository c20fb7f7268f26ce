"""Initialise a network with the weights of a bundle, even if the network is deeper or wider.

New parts initially have no effect, so the network first reads as the bundle does and then learns on (Chen et al.,
"Net2Net", ICLR 2016, arXiv:1511.05641).
"""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor, nn

from text_recognizer.errors import DataInvalid
from text_recognizer.synthesis.sources.alphabet import ALPHABET, EARLIER
from text_recognizer.training.models.recognizer import FIRST_CHARACTER, Recognizer
from text_recognizer.training.vocabulary import grow_vocabulary

# Parameters of the convolutions over the image; `d_model` fixes the sizes after them.
_CONVOLUTIONS = re.compile(r"encoder\.(?:stem|stages|collapse)\.")


def load_weights(network: Recognizer, file: Path) -> None:
    """Load the weights of a bundle into `network`. Raises DataInvalid if they belong to another network.

    Encoder and decoder layers that the bundle lacks, and residual blocks after its last one, begin as identities: they
    add zero to their input. Additional channels of the convolutions begin at random, and the filters of the bundle
    ignore them at first.

    If the bundle's alphabet is the beginning of this network's, its matrices with a row for each character have fewer
    rows. Each new row begins near the row of a similar character (`sources.alphabet.base_of`), or at the mean of all.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    added = re.compile(r"\.(?:layers|stages)\.")
    try:
        held = load_file(file)
        earlier = len(held.get("encoder.ctc.bias", ())) - FIRST_CHARACTER
        if earlier in EARLIER and network.config.vocabulary == FIRST_CHARACTER + len(ALPHABET):
            grow_vocabulary(held, ALPHABET[:earlier], ALPHABET)
        _widen(network, held)
        missing, unexpected = network.load_state_dict(held, strict=False)
        missing = [key for key in missing if not key.startswith("encoder.rows.")]  # a line network does not have them
        new = {".".join(key.split(".")[:3]) for key in missing if added.search(key)}
        partly = any(name.startswith(tuple(f"{layer}." for layer in new)) for name in held)
        if unexpected or partly or any(not added.search(key) for key in missing):
            raise RuntimeError(f"it lacks {missing[:1]}" if missing else f"it also holds {unexpected[:1]}")
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataInvalid(f"{file} does not fit this network ({reason}): give weights of the same sizes.") from error
    for name, module in network.named_modules():
        # The outputs of a layer's residual branches.
        end = re.fullmatch(r"(\w+\.layers\.\d+)\.(?:attention\.out|cross\.out|feed\.2)", name)
        if end and end[1] in new and isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        block = re.fullmatch(r"(\w+\.stages\.\d+)\.norm2", name)
        if block and block[1] in new and isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)


def _widen(network: Recognizer, held: dict[str, Tensor]) -> None:
    """Add the channels of `network` that the convolutions of `held` lack, in place.

    New filters keep the random values of `network`; the filters of the bundle weight the new channels with zero.
    """
    sizes = network.state_dict()
    for name, narrow in held.items():
        wide = sizes.get(name)
        if wide is None or not _CONVOLUTIONS.match(name) or wide.shape == narrow.shape or wide.dim() != narrow.dim():
            continue
        # Kernels (out, in, H, W) only grow by channels, norms (channels,) by their only axis.
        if wide.shape[2:] != narrow.shape[2:] or any(w < n for w, n in zip(wide.shape, narrow.shape, strict=True)):
            continue
        grown = wide.clone()
        grown[: len(narrow)] = 0
        grown[tuple(slice(size) for size in narrow.shape)] = narrow.to(grown.dtype)
        held[name] = grown
