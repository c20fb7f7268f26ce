"""Begin a network with the weights of a bundle, also a deeper or wider one than they come from.

What is new begins as doing nothing, so the network reads as the bundle does and learns on from there
(Chen et al., "Net2Net", ICLR 2016, arXiv:1511.05641).
"""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor, nn

from text_recognizer.errors import DataInvalid
from text_recognizer.synthesis.sources.alphabet import ALPHABET, EARLIER
from text_recognizer.training.models.recognizer import FIRST_CHARACTER, Recognizer
from text_recognizer.training.vocabulary import grow_vocabulary

# What the convolutions over the image hold; the sizes behind them are fixed by `d_model`.
_CONVOLUTIONS = re.compile(r"encoder\.(?:stem|stages|collapse)\.")


def load_weights(network: Recognizer, file: Path) -> None:
    """Fill `network` with the weights of a bundle. Raises DataInvalid if they are of another network.

    Layers of encoder and decoder that the bundle lacks, and residual blocks behind its last one, begin as identities:
    what they add to their input is zero. Further channels of the convolutions begin at random, and nothing that the
    bundle has looks at them yet.

    A bundle whose alphabet is the beginning of this network's has fewer rows in what names characters. The other rows
    begin near to the character that each resembles (`sources.alphabet.base_of`), or at the mean of all.
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
        missing = [key for key in missing if not key.startswith("encoder.rows.")]  # a line network has none
        new = {".".join(key.split(".")[:3]) for key in missing if added.search(key)}
        partly = any(name.startswith(tuple(f"{layer}." for layer in new)) for name in held)
        if unexpected or partly or any(not added.search(key) for key in missing):
            raise RuntimeError(f"it lacks {missing[:1]}" if missing else f"it also holds {unexpected[:1]}")
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataInvalid(f"{file} does not fit this network ({reason}): give weights of the same sizes.") from error
    for name, module in network.named_modules():
        # What a layer adds to its input leaves it by these.
        end = re.fullmatch(r"(\w+\.layers\.\d+)\.(?:attention\.out|cross\.out|feed\.2)", name)
        if end and end[1] in new and isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        block = re.fullmatch(r"(\w+\.stages\.\d+)\.norm2", name)
        if block and block[1] in new and isinstance(module, nn.BatchNorm2d):
            nn.init.zeros_(module.weight)


def _widen(network: Recognizer, held: dict[str, Tensor]) -> None:
    """Give the convolutions of `held` the channels that `network` has beyond them, in place.

    New filters keep the random values of `network`; the filters of the bundle weigh the new channels with zero.
    """
    sizes = network.state_dict()
    for name, narrow in held.items():
        wide = sizes.get(name)
        if wide is None or not _CONVOLUTIONS.match(name) or wide.shape == narrow.shape or wide.dim() != narrow.dim():
            continue
        # Kernels (out, in, H, W) grow by channels alone, norms (channels,) by their one axis.
        if wide.shape[2:] != narrow.shape[2:] or any(w < n for w, n in zip(wide.shape, narrow.shape, strict=True)):
            continue
        grown = wide.clone()
        grown[: len(narrow)] = 0
        grown[tuple(slice(size) for size in narrow.shape)] = narrow.to(grown.dtype)
        held[name] = grown
