"""Agreement of found lines with the truth: overlap of areas, overlap of ink, agreement of baselines.

Baselines are compared as in Grüning et al., "READ-BAD: A New Dataset and Evaluation Scheme for Baseline Detection in
Archival Documents", DAS 2018, arXiv:1705.03311, simplified: one tolerance per line, as a share of its x-height.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]


@dataclass(frozen=True)
class Counts:
    """Numbers of lines in the truth, lines found, and pairs that agree."""

    truth: int = 0
    found: int = 0
    matched: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.truth + other.truth, self.found + other.found, self.matched + other.matched)

    @property
    def recall(self) -> float:
        return self.matched / max(1, self.truth)

    @property
    def precision(self) -> float:
        return self.matched / max(1, self.found)

    @property
    def f1(self) -> float:
        return 2 * self.matched / max(1, self.truth + self.found)


def overlap_matrix(
    truth: Sequence[Points], found: Sequence[Points], weight: NDArray[np.uint8] | None = None, scale: float = 1.0
) -> NDArray[np.float64]:
    """Intersection over union of polygons, (len(truth), len(found)).

    Args:
        truth, found: polygons (n, 2), pixels.
        weight: (H, W) mask of ink on the page, scaled by `scale`. With it, only ink counts, so that tight and wide
            polygons around the same letters agree.
        scale: raster pixels per polygon pixel.
    """
    matrix = np.zeros((len(truth), len(found)))
    if not len(truth) or not len(found):
        return matrix
    scaled = [[np.round(np.asarray(p, np.float64) * scale).astype(np.int32) for p in side] for side in (truth, found)]
    boxes = [np.array([[*p.min(0), *(p.max(0) + 1)] for p in side]) for side in scaled]

    def area(polygon: NDArray[np.int32], box: NDArray[np.int_]) -> NDArray[np.bool_]:
        x0, y0, x1, y1 = box
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [polygon - np.array([x0, y0])], 1)
        if weight is not None:
            ink = np.zeros_like(mask)
            a, b = max(0, -y0), max(0, -x0)
            part = weight[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
            ink[a : a + part.shape[0], b : b + part.shape[1]] = part > 0
            mask &= ink
        return np.asarray(mask > 0)

    for i, a in enumerate(scaled[0]):
        for j, b in enumerate(scaled[1]):
            first, second = boxes[0][i], boxes[1][j]
            if (np.maximum(first[:2], second[:2]) >= np.minimum(first[2:], second[2:])).any():
                continue
            box = np.concatenate([np.minimum(first[:2], second[:2]), np.maximum(first[2:], second[2:])])
            mask_a, mask_b = area(a, box), area(b, box)
            union = int((mask_a | mask_b).sum())
            matrix[i, j] = int((mask_a & mask_b).sum()) / union if union else 0.0
    return matrix


def match(matrix: NDArray[np.float64], least: float = 0.5) -> list[tuple[int, int]]:
    """Pairs (truth, found) in which each line is used once, the best pairs first."""
    pairs = []
    left = matrix.copy()
    while left.size:
        i, j = np.unravel_index(int(left.argmax()), left.shape)
        if left[i, j] < least:
            break
        pairs.append((int(i), int(j)))
        left[i, :], left[:, j] = -1, -1
    return pairs


def baseline_matrix(
    truth: Sequence[Points], found: Sequence[Points], x_heights: Sequence[float], tolerance: float = 0.5
) -> NDArray[np.float64]:
    """Agreement of baselines, (len(truth), len(found)): the smaller of two shares, 0…1.

    The shares are how much of the true baseline is within `tolerance` x-heights of the found one, and how much of the
    found one is equally near the true one.
    """
    matrix = np.zeros((len(truth), len(found)))
    dense_truth = [_dense(line, max(1.0, x / 4)) for line, x in zip(truth, x_heights, strict=True)]
    step = max(1.0, float(np.median(x_heights)) / 4) if len(x_heights) else 1.0
    dense_found = [_dense(line, step) for line in found]
    for i, (a, x_height) in enumerate(zip(dense_truth, x_heights, strict=True)):
        limit = tolerance * x_height
        for j, b in enumerate(dense_found):
            if (a.min(0) - limit > b.max(0)).any() or (b.min(0) - limit > a.max(0)).any():
                continue
            distance = np.linalg.norm(a[:, None] - b[None], axis=2)
            # Because of sampling, the nearest points may be up to half a step apart.
            near = distance <= limit + step / 2
            matrix[i, j] = min(near.any(1).mean(), near.any(0).mean())
    return matrix


def _dense(line: Points, step: float) -> NDArray[np.float64]:
    points = np.asarray(line, np.float64)
    lengths = np.concatenate([[0.0], np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()])
    at = np.linspace(0, lengths[-1], max(2, int(lengths[-1] / step) + 1))
    return np.stack([np.interp(at, lengths, points[:, k]) for k in (0, 1)], axis=1)
