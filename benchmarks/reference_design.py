"""The reference design's decoding at our layer sizes: no key/value cache, every token reads the whole prefix again.

The FSDL Text Recognizer decodes a paragraph by running its Transformer decoder on all tokens so far for each new token.
Here our own network does the same on the lines of a page, which isolates what the cache is worth.
"""

from __future__ import annotations

import numpy as np
import torch

from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.training.data import collate
from text_recognizer.training.models.recognizer import BOS, EOS, Recognizer


@torch.no_grad()
def decode_whole_prefix(network: Recognizer, crops: list[np.ndarray], max_tokens: int = 120) -> list[list[int]]:
    """Greedy token ids of grey line images (H, W), one line after the other, as the reference reads its images."""
    texts = []
    for crop in crops:
        batch = collate([(normalise_line(crop, network.config.height), [])])
        features, _, mask = network.encoder(batch.images.float() / 255, batch.widths)
        line = network.decoder.line_keys_values(features)
        tokens = [BOS]
        while len(tokens) <= max_tokens:
            logits, _ = network.decoder(torch.tensor([tokens]), line, mask)
            token = int(logits[0, -1].argmax())
            if token == EOS:
                break
            tokens.append(token)
        texts.append(tokens[1:])
    return texts
