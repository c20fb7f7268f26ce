"""Augmentation of ink images on the training device, since a GPU trains faster than CPUs can augment lines.

Everything is drawn from a generator with the caller's seed, so the same seed gives the same images.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

KNOT = 16  # pixels between the knots of the elastic warp: about the size of a letter


def augment_ink(images: Tensor, widths: Tensor, strength: float = 1.0, seed: int = 0) -> Tensor:
    """Vary the slant, pen and scan of the same writing.

    Args:
        images: (B, 1, H, W) uint8, 255 = ink, padded on the right with 0.
        widths: (B,) pixels of each image before padding; the padding stays 0.
        strength: scales all limits; 0 changes nothing.
        seed: of the random generator.

    Returns:
        (B, 1, H, W) uint8 on the same device.
    """
    if strength <= 0:
        return images
    generator = torch.Generator(images.device).manual_seed(seed)
    ink = images.to(torch.float32) / 255
    ink = _warp(ink, widths, strength, generator)
    ink = _pen(ink, strength, generator)
    ink = _contrast(ink, strength, generator)
    ink = ink + _noise(ink.shape, images.device, generator) * _some(len(ink), 0.4, 0.06 * strength, ink, generator)
    inside = torch.arange(ink.shape[3], device=ink.device) < widths[:, None]  # (B, W)
    return (ink.clamp(0, 1) * inside[:, None, None]).mul(255).round().to(torch.uint8)


def _uniform(count: int, low: float, high: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """(count, 1, 1, 1)."""
    return low + (high - low) * torch.rand(count, 1, 1, 1, device=like.device, generator=generator)


def _some(count: int, share: float, most: float, like: Tensor, generator: torch.Generator) -> Tensor:
    """(count, 1, 1, 1): uniform up to `most` for about `share` of the images, 0 for the others."""
    chosen = _uniform(count, 0, 1, like, generator) < share
    return chosen * _uniform(count, 0, most, like, generator)


def _noise(shape: torch.Size, device: torch.device, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, device=device, generator=generator)


def _warp(ink: Tensor, widths: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Slant, proportions, slope, position and an elastic wobble in one resampling (Simard et al. 2003)."""
    b, _, h, w = ink.shape
    y, x = torch.meshgrid(
        torch.arange(h, device=ink.device, dtype=torch.float32),
        torch.arange(w, device=ink.device, dtype=torch.float32),
        indexing="ij",
    )  # (H, W) each
    middle_x, middle_y = (widths.to(torch.float32).view(b, 1, 1, 1) - 1) / 2, (h - 1) / 2
    slant = _uniform(b, -0.2, 0.2, ink, generator) * strength
    # Only narrower, because pixels beyond the width are lost.
    stretch = torch.exp(-_uniform(b, 0, 0.15, ink, generator) * strength)
    tall = torch.exp(_uniform(b, -0.12, 0.12, ink, generator) * strength)
    shift = _uniform(b, -0.05, 0.05, ink, generator) * strength * h
    slope = _uniform(b, -0.06, 0.06, ink, generator) * strength * h / (2 * middle_x + 1).clamp(min=4 * h)
    source_y = (y - middle_y - shift) / tall + middle_y + slope * (x - middle_x)  # (B, 1, H, W)
    source_x = (x - middle_x) / stretch + middle_x + slant * (source_y - middle_y)
    knots = _noise(torch.Size((b, 2, max(2, h // KNOT + 1), max(2, w // KNOT + 1))), ink.device, generator)
    wobble = F.interpolate(knots, (h, w), mode="bicubic", align_corners=True)  # (B, 2, H, W)
    wobble = wobble * _some(b, 0.6, 0.05 * strength * h, ink, generator)
    grid = torch.stack(
        [
            (source_x + wobble[:, :1])[:, 0] / max(1, w - 1) * 2 - 1,
            (source_y + wobble[:, 1:])[:, 0] / max(1, h - 1) * 2 - 1,
        ],
        dim=-1,
    )  # (B, H, W, 2)
    return F.grid_sample(ink, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def _pen(ink: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """A broader or finer pen: grey dilation or erosion, blended because a whole pixel is a lot at this size."""
    broad, fine = F.max_pool2d(ink, 3, 1, 1), -F.max_pool2d(-ink, 3, 1, 1)
    share = _some(len(ink), 0.4, 0.6 * min(1.0, strength), ink, generator)
    return torch.lerp(ink, torch.where(_uniform(len(ink), -1, 1, ink, generator) > 0, broad, fine), share)


def _contrast(ink: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Paler or stronger ink: a power of its darkness, scaled."""
    power = torch.exp(_uniform(len(ink), -math.log(1.5), math.log(1.5), ink, generator) * strength)
    return ink.clamp(min=0) ** power * (1 - _some(len(ink), 0.4, 0.4 * min(1.0, strength), ink, generator))
