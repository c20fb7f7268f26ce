"""Cameras: turn a sheet into a picture as from a scanner or phone, and track every point.

Sizes that depend on resolution are in pixels of the sheet or derived from the line spacing. Each function takes its
random generator as an argument, so the same seed gives the same pixels. Points are (x, y) with pixel centres at whole
numbers, as in OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.synthesis.rendering.paper import choose, clouds, grain, make_sheet, put_ink

Rgb = NDArray[np.uint8]
Gray = NDArray[np.uint8]
Field = NDArray[np.float32]
Points = NDArray[np.float32]
Random = np.random.Generator

CAMERA_KINDS = ("scan", "grey", "photo", "shadow", "creased", "small", "binarised", "inverted")
# The cheap kinds, which do not change the geometry, for single-line strips.
STRIP_CAMERAS = ("scan", "grey", "shadow", "binarised", "inverted")

_CAMERA_SHARES = (0.27, 0.22, 0.19, 0.10, 0.07, 0.05, 0.07, 0.03)


def photograph(
    rgb: Rgb, points: Sequence[NDArray[np.floating]], rng: Random, kind: str | None = None
) -> tuple[Rgb, list[Points]]:
    """Picture the sheet as a scanner or phone would. Returns the picture, and the moved `points` (each (n, 2), pixels).

    `kind` is one of CAMERA_KINDS; None draws one. The kinds in STRIP_CAMERAS keep the size and every point in place.
    """
    kind = kind or choose(CAMERA_KINDS, _CAMERA_SHARES, rng)
    if kind not in CAMERA_KINDS:
        raise ValueError(f"{kind!r} is not a camera; choose from {', '.join(CAMERA_KINDS)}")
    out, moved = _CAMERAS[kind](rgb, [np.asarray(p, np.float64).reshape(-1, 2) for p in points], rng)
    return np.ascontiguousarray(out), [p.astype(np.float32) for p in moved]


def picture_line(
    coverage: Gray, rng: Random, paper: str | None = None, ink: str | None = None, camera: str | None = None
) -> Gray:
    """Turn a line's ink coverage (H, W) into a grey image (H, W), dark on light, with a camera that keeps geometry."""
    h, w = coverage.shape
    sheet = make_sheet(h, w, rng, paper, h * float(rng.uniform(0.7, 1.6)))
    camera = camera or choose(STRIP_CAMERAS[:4], (0.36, 0.38, 0.14, 0.12), rng)
    return _flat(photograph(put_ink(sheet.rgb, coverage, rng, ink), (), rng, camera)[0])


_Moved = tuple[Rgb, list[NDArray[np.float64]]]


def _scan(rgb: Rgb, points: list[NDArray[np.float64]], rng: Random) -> _Moved:
    rgb = _soften(rgb, rng, 0.75)
    rgb = _levels(rgb, rng)
    if rng.random() < 0.4:
        rgb = _sensor_noise(rgb, rng, float(rng.uniform(0.5, 3)))
    return _jpeg(rgb, rng, 0.75, 40, 95), points


def _grey(rgb: Rgb, points: list[NDArray[np.float64]], rng: Random) -> _Moved:
    grey = _soften(_flat(rgb), rng, 0.7)
    grey = _levels(grey, rng)
    if rng.random() < 0.4:
        grey = _sensor_noise(grey, rng, float(rng.uniform(0.5, 4)))
    return _three(_jpeg(grey, rng, 0.6, 35, 95)), points


def _shadow(rgb: Rgb, points: list[NDArray[np.float64]], rng: Random) -> _Moved:
    rgb = _light(_soften(rgb, rng, 0.9), rng, 1.0)
    return _jpeg(_sensor_noise(rgb, rng, float(rng.uniform(0.5, 5))), rng, 0.9, 30, 92), points


def _photo(rgb: Rgb, points: list[NDArray[np.float64]], rng: Random) -> _Moved:
    rgb, points = _bend(rgb, points, rng, float(rng.uniform(0, 0.006)), float(rng.uniform(0.0, 0.05)), True)
    rgb = _light(rgb, rng, 0.8)
    if rng.random() < 0.12:
        rgb = _motion(rgb, rng)
    return _jpeg(_sensor_noise(_soften(rgb, rng, 0.9), rng, float(rng.uniform(0.5, 6))), rng, 0.95, 30, 92), points


def _creased(rgb: Rgb, points: list[NDArray[np.float64]], rng: Random) -> _Moved:
    rgb, points = _bend(_crease(rgb, rng), points, rng, float(rng.uniform(0.001, 0.005)), 0.006, False)
    rgb = _light(rgb, rng, 0.4) if rng.random() < 0.6 else rgb
    if rng.random() < 0.4:
        rgb = _three(_flat(rgb))
    return _jpeg(_soften(rgb, rng, 0.7), rng, 0.8, 35, 92), points


def _small(rgb: Rgb, points: list[NDArray[np.float64]], rng: Random) -> _Moved:
    h, w = rgb.shape[:2]
    scale = float(rng.uniform(0.5, 0.85))
    new_w, new_h = max(8, round(w * scale)), max(8, round(h * scale))
    method = cv2.INTER_AREA if rng.random() < 0.7 else cv2.INTER_LINEAR
    rgb = np.asarray(cv2.resize(rgb, (new_w, new_h), interpolation=method), np.uint8)
    ratio = np.array([new_w / w, new_h / h])
    points = [(p + 0.5) * ratio - 0.5 for p in points]
    return _jpeg(_levels(rgb, rng), rng, 0.9, 30, 85), points


def _binarised(rgb: Rgb, points: list[NDArray[np.float64]], rng: Random) -> _Moved:
    grey = _soften(_flat(rgb), rng, 0.8)
    if rng.random() < 0.5:
        grey = _sensor_noise(grey, rng, float(rng.uniform(0.5, 5)))
    method = rng.random()
    if method < 0.4:
        level, _ = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        two = np.where(grey > level * float(rng.uniform(0.92, 1.08)), 255, 0)
    elif method < 0.75:
        two = _sauvola(grey, rng)
    else:
        # Anywhere between paper and ink, since scanners have different settings.
        paper, ink = float(np.percentile(grey[::3, ::3], 70)), float(grey.min())
        two = np.where(grey > ink + (paper - ink) * float(rng.uniform(0.45, 0.78)), 255, 0)
    return _three(two.astype(np.uint8)), points


def _sauvola(grey: Gray, rng: Random) -> NDArray[np.int64]:
    """Threshold m · (1 + k · (s / 128 - 1)) of Sauvola and Pietikäinen (2000), m and s over a window."""
    window = int(rng.integers(9, 32)) * 2 + 1
    floats = grey.astype(np.float32)
    mean = cv2.blur(floats, (window, window))
    spread = np.sqrt(np.maximum(cv2.blur(floats * floats, (window, window)) - mean * mean, 0))
    return np.where(floats > mean * (1 + np.float32(rng.uniform(0.12, 0.34)) * (spread / 128 - 1)), 255, 0)


def _inverted(rgb: Rgb, points: list[NDArray[np.float64]], rng: Random) -> _Moved:
    grey = _flat(_soften(rgb, rng, 0.6))
    grey = _levels(grey, rng)
    return _three(_jpeg(255 - grey, rng, 0.5, 40, 95)), points


_CAMERAS: dict[str, Callable[[Rgb, list[NDArray[np.float64]], Random], _Moved]] = {
    "scan": _scan,
    "grey": _grey,
    "photo": _photo,
    "shadow": _shadow,
    "creased": _creased,
    "small": _small,
    "binarised": _binarised,
    "inverted": _inverted,
}


def _flat(rgb: Rgb) -> Gray:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def _three(grey: Gray) -> Rgb:
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)


def _soften(image: NDArray[np.uint8], rng: Random, most: float) -> NDArray[np.uint8]:
    """Lens blur: most pictures are nearly sharp, and some are out of focus."""
    sigma = abs(float(rng.normal(0, 0.55))) * most
    if sigma < 0.25:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), min(sigma, 1.6)), np.uint8)


def _motion(image: NDArray[np.uint8], rng: Random) -> NDArray[np.uint8]:
    length, angle = int(rng.integers(2, 5)) * 2 + 1, float(rng.uniform(0, np.pi))
    kernel = np.zeros((length, length), np.float32)
    reach = np.array([np.cos(angle), np.sin(angle)]) * (length // 2) * 0.7
    centre = np.full(2, length // 2)
    begin, end = (tuple(round(float(v)) for v in centre + s * reach) for s in (-1, 1))
    cv2.line(kernel, begin, end, 1.0, 1)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def _levels(image: NDArray[np.uint8], rng: Random) -> NDArray[np.uint8]:
    """A scanner's brightness, contrast and gamma, as a table of 256 values."""
    values = np.arange(256, dtype=np.float64) / 255
    if rng.random() < 0.45:  # white point, so that paper becomes clean white
        values = values / float(rng.uniform(0.82, 1.0))
    black = float(rng.uniform(-0.04, 0.14))
    values = np.clip(values, 0, 1) ** float(np.exp(rng.normal(0, 0.22))) * (1 - black) + black
    return np.asarray(cv2.LUT(image, np.clip(values * 255, 0, 255).astype(np.uint8)), np.uint8)


def _sensor_noise(image: NDArray[np.uint8], rng: Random, spread: float) -> NDArray[np.uint8]:
    noise = grain(rng, (image.shape[0], image.shape[1]), 0.0 if rng.random() < 0.6 else 0.7) * np.float32(spread)
    whole = noise.round().astype(np.int16)
    return np.asarray(np.clip(image + (whole if image.ndim == 2 else whole[..., None]), 0, 255), np.uint8)


def _jpeg(image: NDArray[np.uint8], rng: Random, chance: float, worst: int, best: int) -> NDArray[np.uint8]:
    if rng.random() >= chance:
        return image
    return as_jpeg(image, int(rng.integers(worst, best)))


def as_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """A grey (H, W) or RGB (H, W, 3) image uint8 after JPEG compression at `quality` 0…100."""
    stored = image if image.ndim == 2 else image[..., ::-1]
    _, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_COLOR), np.uint8)
    return read if image.ndim == 2 else read[..., ::-1]


def _light(rgb: Rgb, rng: Random, strength: float) -> Rgb:
    """Light from one side, a lamp's colour, dark corners, and sometimes the shadow of a hand or phone."""
    h, w = rgb.shape[:2]
    gh, gw = 48, 64
    ys, xs = np.mgrid[-1 : 1 : gh * 1j, -1 : 1 : gw * 1j].astype(np.float32)
    angle, fall = rng.uniform(0, 2 * np.pi), abs(rng.normal(0, 0.13)) * strength
    field = 1 + np.float32(fall) * (np.float32(np.cos(angle)) * xs + np.float32(np.sin(angle)) * ys - 0.4)
    field -= np.float32(abs(rng.normal(0, 0.07)) * strength) * (xs * xs + ys * ys)
    if rng.random() < 0.5 * strength:
        edge = np.zeros((gh, gw), np.float32)
        if rng.random() < 0.6:  # half the page is in the shade
            a, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
            edge[(np.cos(a) * xs + np.sin(a) * ys) > offset] = 1
        else:
            corners = rng.uniform(0, 1, (5, 2)) * (gw * 1.2, gh * 1.2)
            cv2.fillConvexPoly(edge, cv2.convexHull(corners.astype(np.int32)), 1.0)
        edge = np.asarray(cv2.GaussianBlur(edge, (0, 0), float(rng.uniform(0.6, 6))), np.float32)
        field *= 1 - np.float32(rng.uniform(0.12, 0.55)) * edge
    exposure = float(np.clip(rng.normal(0.95, 0.1), 0.6, 1.1))
    full = cv2.resize(np.clip(field, 0.15, 1.6) * np.float32(exposure), (w, h), interpolation=cv2.INTER_LINEAR)
    warmth = float(rng.normal(0, 0.05)) * strength
    out = np.empty_like(rgb)
    for channel, tint in enumerate((1 + warmth, 1.0, 1 - 1.4 * warmth)):
        out[..., channel] = np.clip(rgb[..., channel] * (full * np.float32(tint)), 0, 255)
    return out


def _crease(rgb: Rgb, rng: Random) -> Rgb:
    """Folds: light on one side, dark on the other, with a worn line between."""
    h, w = rgb.shape[:2]
    shade = np.zeros((h, w), np.float32)
    ys, xs = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None, :]
    for _ in range(int(rng.integers(1, 5))):
        if rng.random() < 0.6:  # folded like a letter
            angle = (0.0 if rng.random() < 0.5 else np.pi / 2) + rng.normal(0, 0.02)
        else:
            angle = rng.uniform(0, np.pi)
        middle = rng.uniform(0.15, 0.85, 2) * (w, h)
        across = np.float32(np.cos(angle)) * (xs - np.float32(middle[0])) + np.float32(np.sin(angle)) * (
            ys - np.float32(middle[1])
        )
        reach = float(rng.uniform(0.006, 0.04)) * max(h, w)
        depth = float(rng.uniform(0.03, 0.16))
        near = np.clip(1 - np.abs(across) / np.float32(reach), 0, 1)
        shade += np.float32(depth) * near * np.sign(across)
        shade += np.float32(rng.uniform(-0.25, 0.12)) * (np.abs(across) < 0.8)
    factor = (1 + shade)[..., None]
    return np.asarray(np.clip(rgb * factor, 0, 255), np.uint8)


def _bend(rgb: Rgb, points: list[NDArray[np.float64]], rng: Random, waves: float, tilt: float, table: bool) -> _Moved:
    """View the sheet at an angle and not quite flat: perspective up to `tilt`, waves of `waves`, as shares of its size.

    With `table`, the surface around the sheet shows. Pixel d of the result shows point q + u(q) of the sheet, where
    q = H⁻¹(d), H is a homography and u a sum of two waves. So point p of the sheet moves to H(q) with q = p - u(q).
    """
    h, w = rgb.shape[:2]
    size = float(max(h, w))
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float64)
    angle = float(rng.normal(0, 0.02 if table else 0.006))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = (corners - (w / 2, h / 2)) @ turn.T + rng.normal(0, 1, (4, 2)) * tilt * 0.5 * min(h, w)
    margin = rng.uniform(-0.015, 0.06, 4) * min(h, w) if table else rng.uniform(-0.004, 0.004, 4) * min(h, w)
    low, high = seen.min(0) - margin[:2], seen.max(0) + margin[2:]
    scale = float(np.clip(size / max(high - low), 0.5, 1.2))
    seen = (seen - low) * scale
    out_w, out_h = (max(16, round(float(v))) for v in (high - low) * scale)
    forward = cv2.getPerspectiveTransform(corners.astype(np.float32), seen.astype(np.float32))
    back = np.linalg.inv(forward)

    direction = rng.uniform(0, 2 * np.pi, 2)
    length = rng.uniform(0.4, 1.3, 2) * size
    push = rng.normal(0, 1, (2, 2)) * waves * size * 0.5
    phase = rng.uniform(0, 2 * np.pi, 2)

    def shift(q: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.zeros_like(q)
        for k in range(2):
            along = q[..., 0] * np.cos(direction[k]) + q[..., 1] * np.sin(direction[k])
            total += np.sin(2 * np.pi / length[k] * along + phase[k])[..., None] * push[k]
        return total

    # The map is smooth, so compute it on every 16th pixel (and one beyond each edge) and interpolate linearly.
    step = 16
    ny, nx = -(-out_h // step) + 2, -(-out_w // step) + 2
    grid_y = (np.arange(ny) - 1 + 0.5) * step - 0.5
    grid_x = (np.arange(nx) - 1 + 0.5) * step - 0.5
    grid = np.stack(np.meshgrid(grid_x, grid_y), axis=-1)
    flat = np.asarray(cv2.perspectiveTransform(grid.reshape(-1, 1, 2), back), np.float64).reshape(ny, nx, 2)
    coarse = (flat + shift(flat)).astype(np.float32)
    fine = np.asarray(cv2.resize(coarse, (nx * step, ny * step), interpolation=cv2.INTER_LINEAR), np.float32)
    fine = fine[step : step + out_h, step : step + out_w]
    at_x, at_y = np.ascontiguousarray(fine[..., 0]), np.ascontiguousarray(fine[..., 1])
    if table:
        result = _table(out_h, out_w, rng)
        cv2.remap(rgb, at_x, at_y, cv2.INTER_LINEAR, result, cv2.BORDER_TRANSPARENT)
    else:
        result = np.asarray(cv2.remap(rgb, at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
    moved = []
    for p in points:
        q = p.copy()
        for _ in range(20 if len(p) else 0):
            q = p - shift(q)
        there = cv2.perspectiveTransform(q.reshape(-1, 1, 2), forward) if len(q) else q
        moved.append(np.asarray(there, np.float64).reshape(-1, 2))
    return result, moved


def _table(h: int, w: int, rng: Random) -> Rgb:
    """The surface under the sheet: wood, cloth, a dark or grey desk."""
    tone = np.array(
        [(120, 85, 55), (60, 58, 56), (150, 150, 152), (35, 32, 30), (170, 140, 105), (90, 100, 115)][
            int(rng.integers(6))
        ]
    )
    tone = np.clip(tone + rng.normal(0, 12, 3), 5, 235)
    field = 1 + clouds(rng, (h, w), 0.4 * max(h, w), 0.08)
    texture = rng.random()
    if texture < 0.5:  # the grain of wood
        nodes = rng.normal(0, 0.1, (max(2, h // 5), max(2, w // 120))).astype(np.float32)
        field += cv2.resize(nodes, (w, h), interpolation=cv2.INTER_LINEAR)
    elif texture < 0.8:
        field += grain(rng, (h, w), 0.7) * np.float32(0.06)
    out = np.empty((h, w, 3), np.uint8)
    for channel in range(3):
        out[..., channel] = np.clip(field * np.float32(tone[channel]), 0, 255)
    return out
