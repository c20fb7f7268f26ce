"""Clutter: textures, drawings, grids, bindings and desks, so that the line finder learns to ignore them.

It is procedural; folders of real pictures (`Pictures`) add what cannot be generated. Functions draw on RGB images
(H, W, 3) uint8 and take their random generator as an argument, so the same seed gives the same pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.errors import DataInvalid

Rgb = NDArray[np.uint8]
Field = NDArray[np.float32]
Random = np.random.Generator

LONGEST = 1600  # pixels: longer side of a photograph in memory


@dataclass(frozen=True)
class Pictures:
    """Pictures without writing, from a folder: photographs (JPEG), and drawings on a transparent background (PNG)."""

    photographs: tuple[Path, ...] = ()
    drawings: tuple[Path, ...] = ()

    @staticmethod
    def of(folder: Path | None) -> Pictures:
        """The pictures in `folder`; none for None. Raises DataInvalid if there is no such folder."""
        if folder is None:
            return Pictures()
        if not folder.is_dir():
            raise DataInvalid(f"{folder} is not a folder of pictures: give another one with --data.pictures, or none.")
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return Pictures(
            tuple(p for p in files if p.suffix.lower() in (".jpg", ".jpeg")),
            tuple(p for p in files if p.suffix.lower() == ".png"),
        )


@lru_cache(maxsize=32)
def _photograph(file: Path) -> Rgb:
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{file} is not an image: remove it from the folder of pictures.")
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[..., ::-1], np.uint8)


def _noise(rng: Random, shape: tuple[int, int], step: float, octaves: int = 4) -> Field:
    """Fractal noise (H, W) with mean 0, unit spread, and largest features of `step` pixels."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        cell = max(1.5, step / 2**octave)
        nodes = rng.standard_normal((int(height / cell) + 2, int(width / cell) + 2)).astype(np.float32)
        total += np.float32(0.55**octave) * cv2.resize(nodes, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray((total - total.mean()) / max(1e-6, float(total.std())), np.float32)


def _tint(field: Field, rng: Random) -> Rgb:
    """Map a field of mean 0 and unit spread to shades between two colours."""
    dark, light = np.sort(rng.uniform(0, 255, (2, 3)), axis=0)
    contrast = float(rng.uniform(0.25, 0.6))
    amount = np.clip(0.5 + contrast * field, 0, 1)[..., None].astype(np.float32)
    return np.asarray(dark + (light - dark) * amount, np.uint8)


# ------------------------------------------------------------------------------------------------------ textures


def _clouds(rng: Random, height: int, width: int) -> Rgb:
    return _tint(_noise(rng, (height, width), float(rng.uniform(0.03, 0.6)) * max(height, width), 6), rng)


def _blotches(rng: Random, height: int, width: int) -> Rgb:
    field = _noise(rng, (height, width), float(rng.uniform(0.01, 0.12)) * max(height, width), 3)
    return _tint(np.tanh(field * np.float32(rng.uniform(2, 12))), rng)


def _wood(rng: Random, height: int, width: int) -> Rgb:
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    across, along = (ys, xs) if rng.random() < 0.6 else (xs, ys)
    size = max(height, width)
    warp = _noise(rng, (height, width), 0.4 * size, 3) * np.float32(rng.uniform(0.005, 0.04) * size)
    period = float(rng.uniform(0.006, 0.05)) * size
    rings = np.sin(2 * np.pi / period * (across + warp + np.float32(rng.uniform(-0.1, 0.1)) * along))
    cells = (
        (max(2, int(height / 2)), max(2, width // 60)) if across is ys else (max(2, height // 60), max(2, width // 2))
    )
    fibres = cv2.resize(rng.standard_normal(cells).astype(np.float32), (width, height))
    field = np.asarray(rings.astype(np.float32) + fibres * np.float32(rng.uniform(0.2, 1.2)), np.float32)
    if rng.random() < 0.5:  # boards
        board = float(rng.uniform(0.06, 0.25)) * size
        field -= 4 * (np.mod(across, board) < max(1.5, 0.012 * board))
    return _tint(field, rng)


def _leaves(rng: Random, height: int, width: int) -> Rgb:
    """Foliage: overlapping leaves with ribs, each in its own shade."""
    image = _clouds(rng, height, width)
    size = float(rng.uniform(0.02, 0.14)) * max(height, width)
    tone = rng.uniform(20, 200, 3)
    count = int(min(900, 1.2 * height * width / size**2))
    for _ in range(count):
        centre = rng.uniform(0, 1, 2) * (width, height)
        long, wide, turn = size * rng.uniform(0.5, 1.4), size * rng.uniform(0.12, 0.5), rng.uniform(0, np.pi)
        t = np.linspace(0, 2 * np.pi, 24)
        body = np.stack([long * np.cos(t), wide * np.sin(t) * np.abs(np.sin(t)) ** 0.5], axis=1)
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        points = (body @ spin.T + centre).round().astype(np.int32)
        shade = np.clip(tone * rng.uniform(0.4, 1.5), 0, 255)
        cv2.fillPoly(image, [points], shade.tolist(), cv2.LINE_AA)
        ends = (np.array([[-long, 0], [long, 0]]) @ spin.T + centre).round().astype(np.int32)
        cv2.line(
            image,
            ends[0].tolist(),
            ends[1].tolist(),
            (shade * rng.uniform(0.6, 1.4)).clip(0, 255).tolist(),
            1,
            cv2.LINE_AA,
        )
    return image


def _cells(rng: Random, height: int, width: int) -> Rgb:
    """Stones, scales, cracked paint: the Voronoi cells of random points."""
    size = float(rng.uniform(0.015, 0.12)) * max(height, width)
    seeds = np.full((height, width), 255, np.uint8)
    count = int(np.clip(height * width / size**2, 6, 4000))
    seeds[rng.integers(0, height, count), rng.integers(0, width, count)] = 0
    near, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    shade = rng.uniform(-1, 1, int(labels.max()) + 1).astype(np.float32)[labels]
    edges = cv2.morphologyEx(labels.astype(np.float32), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    field = shade * np.float32(rng.uniform(0, 1)) - near / np.float32(size) + _noise(rng, (height, width), 6, 2) * 0.2
    field[edges] -= np.float32(rng.uniform(0, 3))
    return _tint(np.asarray(field / max(1e-6, float(field.std())), np.float32), rng)


def _strokes(rng: Random, height: int, width: int) -> Rgb:
    """Grass, hair, fur, scratches: many bent strokes in one direction."""
    image = _clouds(rng, height, width)
    size = max(height, width)
    length, turn, spread = float(rng.uniform(0.02, 0.25)) * size, rng.uniform(0, np.pi), float(rng.uniform(0.05, 0.9))
    tone, pen = rng.uniform(10, 230, 3), int(rng.integers(1, 4))
    for _ in range(int(rng.integers(150, 1500))):
        x, y = rng.uniform(0, 1, 2) * (width, height)
        angle, bend = turn + rng.normal(0, spread), rng.normal(0, 0.6)
        t = np.linspace(0, 1, 6)
        heading = angle + bend * t
        points = np.stack([x + length * t * np.cos(heading), y + length * t * np.sin(heading)], axis=1)
        shade = np.clip(tone * rng.uniform(0.5, 1.5), 0, 255).tolist()
        cv2.polylines(image, [points.round().astype(np.int32)], False, shade, pen, cv2.LINE_AA)
    return image


def _bricks(rng: Random, height: int, width: int) -> Rgb:
    """Bricks, tiles, windows, shelves: rows of boxes."""
    image = _clouds(rng, height, width)
    size = max(height, width)
    tall, wide = float(rng.uniform(0.02, 0.2)) * size, float(rng.uniform(0.02, 0.3)) * size
    gap, shift = float(rng.uniform(0.04, 0.4)), float(rng.choice([0.0, 0.5]))
    tone, jitter = rng.uniform(30, 230, 3), float(rng.uniform(0, 40))
    for row, y in enumerate(np.arange(-tall, height, tall)):
        for x in np.arange(-wide * (1 + shift * (row % 2)), width, wide):
            low = (round(x + gap * wide / 2), round(y + gap * tall / 2))
            high = (round(x + wide * (1 - gap / 2)), round(y + tall * (1 - gap / 2)))
            cv2.rectangle(image, low, high, np.clip(tone + rng.normal(0, jitter), 0, 255).tolist(), -1)
    return image


def _weave(rng: Random, height: int, width: int) -> Rgb:
    """Cloth, mesh, gratings: two crossed waves."""
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    turn, period = rng.uniform(0, np.pi), rng.uniform(3, 60, 2)
    warp = _noise(rng, (height, width), 0.5 * max(height, width), 2) * np.float32(rng.uniform(0, 12))
    u = (np.cos(turn) * xs + np.sin(turn) * ys + warp) / period[0]
    v = (-np.sin(turn) * xs + np.cos(turn) * ys + warp) / period[1]
    field = np.sin(2 * np.pi * u) * (1 if rng.random() < 0.5 else np.sin(2 * np.pi * v)) * rng.uniform(0.6, 2)
    return _tint(np.asarray(field + 0.2 * _noise(rng, (height, width), 5, 2), np.float32), rng)


def _shapes(rng: Random, height: int, width: int) -> Rgb:
    """An invented photograph: a sky, a ground, and objects with light and shade."""
    image = _clouds(rng, height, width)
    size = max(height, width)
    for _ in range(int(rng.integers(3, 40))):
        centre, reach = rng.uniform(0, 1, 2) * (width, height), float(rng.uniform(0.02, 0.35)) * size
        shade = rng.uniform(0, 255, 3)
        layer = image.copy()
        if rng.random() < 0.5:
            axes = (max(1, int(reach)), max(1, int(reach * rng.uniform(0.2, 1))))
            cv2.ellipse(
                layer,
                centre.astype(int).tolist(),
                axes,
                float(rng.uniform(0, 180)),
                0,
                360,
                shade.tolist(),
                -1,
                cv2.LINE_AA,
            )
        else:
            corners = centre + rng.normal(0, reach, (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(layer, [cv2.convexHull(corners.astype(np.int32))], shade.tolist(), cv2.LINE_AA)
        if rng.random() < 0.6:
            layer = np.asarray(cv2.GaussianBlur(layer, (0, 0), float(rng.uniform(0.5, 0.02 * size + 0.6))), np.uint8)
        image = layer
    grain = _noise(rng, (height, width), 3, 2) * np.float32(rng.uniform(0, 14))
    return np.asarray(np.clip(image + grain[..., None], 0, 255), np.uint8)


_TEXTURES: tuple[Callable[[Random, int, int], Rgb], ...] = (
    _clouds, _blotches, _wood, _leaves, _cells, _strokes, _bricks, _weave, _shapes,
)  # fmt: skip


def texture(rng: Random, height: int, width: int) -> Rgb:
    """A surface without writing, light or dark, of any colour."""
    return _TEXTURES[int(rng.integers(len(_TEXTURES)))](rng, height, width)


def scene(rng: Random, height: int, width: int, pictures: Pictures) -> Rgb:
    """A picture without writing: part of a photograph if there are any, else a texture or several side by side."""
    if pictures.photographs and rng.random() < 0.6:
        whole = _photograph(pictures.photographs[int(rng.integers(len(pictures.photographs)))])
        h, w = whole.shape[:2]
        cut = float(rng.uniform(0.2, 1.0))
        ch, cw = max(8, int(h * cut)), max(8, int(w * cut))
        y, x = int(rng.integers(0, h - ch + 1)), int(rng.integers(0, w - cw + 1))
        part = whole[y : y + ch, x : x + cw]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        if rng.random() < 0.2:
            part = np.rot90(part, int(rng.integers(1, 4)))
        fitted = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA)
        gamma = float(np.exp(rng.normal(0, 0.35)))
        return np.asarray(cv2.LUT(fitted, (255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)), np.uint8)
    image = texture(rng, height, width)
    if rng.random() < 0.4:  # two surfaces meet
        other = texture(rng, height, width)
        angle, at = rng.uniform(0, np.pi), rng.uniform(0.2, 0.8, 2) * (width, height)
        ys, xs = np.mgrid[0:height, 0:width]
        side = np.cos(angle) * (xs - at[0]) + np.sin(angle) * (ys - at[1]) > 0
        image[side] = other[side]
    return image


# ------------------------------------------------------------------------------------------------------ on paper


def grid(rgb: Rgb, rng: Random, unit: float) -> None:
    """Cover the paper with dots, crosses, squares or triangles, in place; `unit`: x-height of the writing, pixels."""
    height, width = rgb.shape[:2]
    step = max(4.0, float(rng.uniform(0.5, 2.6)) * unit)
    radius = max(0.5, float(rng.uniform(0.03, 0.13)) * min(step, 1.5 * unit))
    cover = np.zeros((height, width), np.uint8)
    kind, tilt = rng.random(), float(rng.normal(0, 0.006))
    shift = 0.5 * step if rng.random() < 0.15 else 0.0
    start = rng.uniform(-step, 0, 2)
    if kind < 0.55:
        for row, y in enumerate(np.arange(start[1], height + step, step)):
            for x in np.arange(start[0] + shift * (row % 2), width + step, step):
                at = (round(16 * x), round(16 * (y + tilt * x)))
                if kind < 0.42:
                    cv2.circle(cover, at, round(16 * radius), 255, -1, cv2.LINE_AA, 4)
                else:
                    reach = round(32 * radius + 16)
                    cv2.line(cover, (at[0] - reach, at[1]), (at[0] + reach, at[1]), 255, 1, cv2.LINE_AA, 4)
                    cv2.line(cover, (at[0], at[1] - reach), (at[0], at[1] + reach), 255, 1, cv2.LINE_AA, 4)
    else:
        turns = (0.0, np.pi / 2) if kind < 0.85 else (0.0, np.pi / 3, 2 * np.pi / 3)
        far = float(height + width)
        every = int(rng.choice([1, 5, 10]))  # one in this many lines is stronger
        for turn in turns:
            along, across = (
                np.array([np.cos(turn + tilt), np.sin(turn + tilt)]),
                np.array([-np.sin(turn + tilt), np.cos(turn + tilt)]),
            )
            for number, offset in enumerate(np.arange(-far, far, step)):
                ends = [(16 * (across * offset + along * r)).round().astype(int).tolist() for r in (-far, far)]
                strong = 255 if every == 1 or number % every == 0 else 140
                cv2.line(cover, ends[0], ends[1], strong, max(1, round(radius)), cv2.LINE_AA, 4)
    colour = rng.uniform(20, 200, 3) if rng.random() < 0.4 else np.full(3, rng.uniform(20, 190))
    amount = cover.astype(np.float32)[..., None] * np.float32(rng.uniform(0.25, 1.0) / 255)
    rgb[...] = (rgb * (1 - amount * (1 - colour / 255).astype(np.float32))).astype(np.uint8)


def bind(rgb: Rgb, rng: Random) -> None:
    """Draw binder holes, a spiral, staples or tape at an edge of the paper, in place."""
    turned = int(rng.integers(4)) if rng.random() < 0.3 else 0
    view = np.ascontiguousarray(np.rot90(rgb, turned))
    height, width = view.shape[:2]
    x = float(rng.uniform(0.015, 0.06)) * width
    shade = rng.uniform(0, 255, 3) if rng.random() < 0.3 else np.full(3, rng.uniform(0, 150))
    kind = rng.random()
    if kind < 0.55:  # a few holes or a whole column, with the shadow of their edges
        count = int(rng.choice([2, 3, 4, 7, int(rng.integers(10, 40))]))
        radius = max(2.0, min(float(rng.uniform(0.006, 0.016)) * height, 0.35 * height / count))
        for share in (np.arange(count) + 0.5) / count + rng.normal(0, 0.004, count):
            at = (round(x), round(share * height))
            cv2.circle(view, at, round(radius + max(1.0, 0.12 * radius)), (shade * 0.5 + 90).tolist(), -1, cv2.LINE_AA)
            cv2.circle(view, at, round(radius), shade.tolist(), -1, cv2.LINE_AA)
            if rng.random() < 0.3:  # a reinforcement ring
                cv2.circle(view, at, round(1.6 * radius), (200, 200, 195), max(1, round(0.25 * radius)), cv2.LINE_AA)
    elif kind < 0.85:  # a wire spiral
        step = float(rng.uniform(0.012, 0.035)) * height
        wire = max(1, round(step * rng.uniform(0.08, 0.25)))
        for y in np.arange(step / 2, height, step):
            cv2.ellipse(view, (round(x * 0.5), round(y)), (max(2, round(x * 0.7)), max(2, round(step * 0.3))),
                        float(rng.normal(-15, 3)), -100, 150, shade.tolist(), wire, cv2.LINE_AA)  # fmt: skip
            cv2.circle(view, (round(x * 1.15), round(y)), max(1, round(step * 0.16)), (40, 40, 40), -1, cv2.LINE_AA)
    else:  # a dark or light band: the facing page, a scanner lid, tape
        band = max(2, round(rng.uniform(0.005, 0.06) * width))
        view[:, :band] = np.clip(shade + rng.normal(0, 6, (height, 1, 3)), 0, 255)
    rgb[...] = np.rot90(view, -turned)


def drawing(rng: Random, size: int, pictures: Pictures) -> NDArray[np.float32]:
    """A drawing without writing: (size, size, 4) float, RGB 0…255 and coverage 0…1."""
    if pictures.drawings and rng.random() < 0.5:
        file = pictures.drawings[int(rng.integers(len(pictures.drawings)))]
        image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if image is not None and image.ndim == 3 and image.shape[2] == 4 and image.dtype == np.uint8:
            h, w = image.shape[:2]
            scale = size / max(h, w)
            shape = (max(1, round(w * scale)), max(1, round(h * scale)))
            image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA).astype(np.float32)
            out = np.zeros((size, size, 4), np.float32)
            out[: shape[1], : shape[0], :3], out[: shape[1], : shape[0], 3] = image[..., 2::-1], image[..., 3] / 255
            if rng.random() < 0.4:  # turned into a line drawing
                edges = cv2.Canny(out[..., :3].astype(np.uint8), 60, 160).astype(np.float32) / 255
                out[..., :3], out[..., 3] = (
                    rng.uniform(0, 120),
                    cv2.GaussianBlur(edges, (0, 0), 0.8) * out[..., 3].max(),
                )
            return out
    cover = np.zeros((size, size), np.uint8)
    pen = max(1, round(size * rng.uniform(0.004, 0.02)))
    (_tree, _graph, _barcode, _doodle, _flow)[int(rng.integers(5))](cover, rng, pen)
    out = np.empty((size, size, 4), np.float32)
    out[..., :3] = rng.uniform(0, 140, 3) if rng.random() < 0.4 else rng.uniform(0, 90)
    out[..., 3] = cover.astype(np.float32) * np.float32(rng.uniform(0.6, 1) / 255)
    return out


def _tree(cover: NDArray[np.uint8], rng: Random, pen: int) -> None:
    size = cover.shape[0]
    spread, shrink = float(rng.uniform(0.25, 0.7)), float(rng.uniform(0.62, 0.8))

    def branch(x: float, y: float, angle: float, length: float, left: int) -> None:
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        cv2.line(
            cover, (round(x), round(y)), (round(end[0]), round(end[1])), 255, max(1, round(pen * left / 3)), cv2.LINE_AA
        )
        if left > 1:
            for side in (-1, 1):
                turn = angle + side * spread * rng.uniform(0.5, 1.4)
                branch(*end, turn, length * shrink * rng.uniform(0.8, 1.2), left - 1)

    branch(size / 2, size * 0.97, -np.pi / 2 + rng.normal(0, 0.1), size * 0.24, int(rng.integers(4, 8)))


def _graph(cover: NDArray[np.uint8], rng: Random, pen: int) -> None:
    size = cover.shape[0]
    low, high = round(0.08 * size), round(0.92 * size)
    cv2.line(cover, (low, low), (low, high), 255, pen, cv2.LINE_AA)
    cv2.line(cover, (low, high), (high, high), 255, pen, cv2.LINE_AA)
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.5:
            walk = np.cumsum(rng.normal(0, 1, 40))
            ys = high - (walk - walk.min()) / max(1e-6, np.ptp(walk)) * (high - low) * rng.uniform(0.5, 1)
            points = np.stack([np.linspace(low, high, 40), ys], axis=1)
            cv2.polylines(cover, [points.round().astype(np.int32)], False, 255, pen, cv2.LINE_AA)
        else:
            for x in np.linspace(low + pen, high, int(rng.integers(4, 14)))[:-1]:
                top = round(float(rng.uniform(low, high)))
                fill = -1 if rng.random() < 0.6 else pen
                cv2.rectangle(cover, (round(x), top), (round(x + 0.04 * size), high), 220, fill)


def _barcode(cover: NDArray[np.uint8], rng: Random, pen: int) -> None:
    size = cover.shape[0]
    if rng.random() < 0.6:
        top, bottom = round(0.3 * size), round(rng.uniform(0.45, 0.8) * size)
        edges = (0.05 * size + np.cumsum(rng.choice([1, 1, 2, 3], 90)) * size / 190).round().astype(int)
        for left, right in zip(edges[::2], edges[1::2], strict=False):
            cover[top:bottom, left:right] = 255
    else:
        cells = (rng.random((25, 25)) < 0.5).astype(np.uint8) * 255
        cover[...] = cv2.resize(cells, (size, size), interpolation=cv2.INTER_NEAREST)


def _doodle(cover: NDArray[np.uint8], rng: Random, pen: int) -> None:
    size = cover.shape[0]
    for _ in range(int(rng.integers(1, 6))):
        t = np.linspace(0, rng.uniform(3, 30), 200)
        f, g, a, b = rng.uniform(0.3, 3, 2).tolist() + rng.uniform(0.05, 0.4, 2).tolist()
        x = 0.5 + a * np.sin(f * t) + 0.3 * np.sin(0.11 * t + f)
        y = 0.5 + b * np.cos(g * t + 1) + 0.3 * np.cos(0.13 * t + g)
        cv2.polylines(cover, [(np.stack([x, y], axis=1) * size).round().astype(np.int32)], False, 255, pen, cv2.LINE_AA)


def _flow(cover: NDArray[np.uint8], rng: Random, pen: int) -> None:
    """A flow chart of empty boxes and circles, joined by arrows."""
    size = cover.shape[0]
    places = rng.uniform(0.15, 0.85, (int(rng.integers(2, 7)), 2)) * size
    for begin, end in itertools.pairwise(places):
        cv2.arrowedLine(
            cover, begin.round().astype(int).tolist(), end.round().astype(int).tolist(), 255, pen, cv2.LINE_AA, 0, 0.08
        )
    for x, y in places:
        reach = rng.uniform(0.05, 0.12, 2) * size
        low, high = (round(x - reach[0]), round(y - reach[1])), (round(x + reach[0]), round(y + reach[1]))
        cv2.rectangle(cover, low, high, 0, -1)
        cv2.rectangle(cover, low, high, 255, pen)


def paste_drawings(rgb: Rgb, rng: Random, occupied: NDArray[np.uint8], unit: float, pictures: Pictures) -> None:
    """Paste up to four drawings where there is no writing, in place.

    Args:
        occupied: (H, W) uint8, not 0 where there is writing.
        unit: x-height of the writing, pixels.
    """
    height, width = rgb.shape[:2]
    for _ in range(int(rng.integers(1, 5))):
        size = round(float(np.clip(rng.lognormal(np.log(8), 0.7) * unit, 12, 0.8 * min(height, width))))
        for _ in range(12):
            if size < 8 or size > min(height, width):
                break
            y, x = int(rng.integers(0, height - size + 1)), int(rng.integers(0, width - size + 1))
            if not occupied[y : y + size, x : x + size].any():
                drawn = drawing(rng, size, pictures)
                cover = drawn[..., 3:]
                part = rgb[y : y + size, x : x + size]
                part[...] = (part * (1 - cover) + drawn[..., :3] * cover).astype(np.uint8)
                occupied[y : y + size, x : x + size] = 1
                break
            size = round(size * 0.8)


def surround(rgb: Rgb, rng: Random, pictures: Pictures) -> tuple[Rgb, tuple[int, int]]:
    """Put the paper on a larger, arbitrary background. Returns the picture and the paper's corner (x, y) in it."""
    height, width = rgb.shape[:2]
    top, bottom, left, right = (int(v) for v in rng.uniform(0.0, 0.45, 4) * np.array([height, height, width, width]))
    ground = scene(rng, height + top + bottom, width + left + right, pictures)
    if rng.random() < 0.6:  # its shadow
        reach = max(2, round(0.01 * max(height, width)))
        low, high = (max(0, left - reach), max(0, top - reach)), (left + width + 2 * reach, top + height + 2 * reach)
        shade = np.zeros(ground.shape[:2], np.float32)
        cv2.rectangle(shade, low, high, float(rng.uniform(0.2, 0.7)), -1)
        shade = np.asarray(cv2.GaussianBlur(shade, (0, 0), reach), np.float32)
        ground = np.asarray(ground * (1 - shade[..., None]), np.uint8)
    ground[top : top + height, left : left + width] = rgb
    return ground, (left, top)
