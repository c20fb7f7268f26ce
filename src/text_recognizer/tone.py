"""Convert any image to dark ink on light paper: contrast of brightness or of colour, polarity decided by region."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import sheet_box, shrink

Gray = NDArray[np.uint8]

_BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # of R, G, B
# Colour is used if its best axis has this many times the variance of the brightness: ink of half the contrast is still
# readable, and grey ink alone has a ratio of 3. LEAST is the deviation, in grey values, below which there is no ink.
_COLOUR_RATIO, _COLOUR_LEAST = 16.0, 5.0
_LEAST_SIDE = 32  # fewest pixels per side of an image in which the ground is estimated
_SIDE = 500  # longer side, in pixels, of the image on which colours are compared
# A band is a dark block with light letters in it. Lengths are in pixels of an image of at most _BAND_SIDE.
_BAND_SIDE = 1000
_BAND_HEIGHT, _BAND_WIDTH, _BAND_LETTER = 12, 24, 4
_BAND_FILLED = 0.75  # least share of its box that a band fills, its letters included: drawings fill less
_BAND_SHARE = (0.003, 0.5)  # share of a band that its letters cover
_BAND_CONTRAST = 60  # grey values between a band and its letters


def dark_on_light(rgb: NDArray[np.uint8]) -> tuple[Gray, bool]:
    """Grey image (H, W) uint8 of `rgb` (H, W, 3), its ink dark and its paper light, and whether it was inverted.

    The image as a whole is inverted if it shows light writing on a dark ground. Then each dark band with light writing
    is inverted: a band of a light page, or a light band of a dark page that the first step has turned dark.
    """
    gray = _most_contrast(rgb)
    inverted = is_light_on_dark(gray)
    if inverted:
        gray = np.asarray(cv2.bitwise_not(gray), np.uint8)
    return _without_dark_bands(gray), inverted


def _most_contrast(rgb: NDArray[np.uint8]) -> Gray:
    """Brightness or, if ink and paper are about equally bright, the axis of colour on which they differ most."""
    if rgb.strides[2] == 0:  # all channels share one array
        return np.ascontiguousarray(rgb[..., 0])
    step = sampling_step(rgb.shape)
    contrast = Contrast.of(rgb[::step, ::step])
    if contrast.axis is None:
        return contrast.gray(rgb)
    gray = np.empty(rgb.shape[:2], np.uint8)
    for row, colours in zip(gray, rgb, strict=True):  # floats of all pixels would take several times the memory
        row[:] = contrast.gray(colours[None])[0]
    return gray


def sampling_step(shape: tuple[int, ...]) -> int:
    """The n for which every nth row and column of an image is enough to choose a `Contrast`."""
    return max(1, max(shape[:2]) // _SIDE)


@dataclass(frozen=True, slots=True)
class Contrast:
    """How a picture is converted to grey: by brightness, or along an axis of colour."""

    axis: NDArray[np.float32] | None = None  # (3,) of R, G, B
    low: float = 0.0  # on the axis: the value that becomes 0
    scale: float = 1.0

    @classmethod
    def of(cls, sample: NDArray[np.uint8]) -> Contrast:
        """Choose the contrast from every nth pixel of a picture, (h, w, 3). They serve as well as means, at no cost."""
        small = sample.astype(np.float32)
        # Only differences from the surroundings count: shadows and coloured areas are not ink.
        residual = (small - cv2.blur(small, (21, 21))).reshape(-1, 3)
        covariance = (residual.T @ residual / len(residual)).astype(np.float64)
        variances, axes = np.linalg.eigh(covariance)
        if variances[-1] <= max(_COLOUR_LEAST**2, _COLOUR_RATIO * float(_BRIGHTNESS @ covariance @ _BRIGHTNESS)):
            return cls()
        axis = axes[:, -1].astype(np.float32)
        low, high = np.percentile(small.reshape(-1, 3) @ axis, [0.1, 99.9])
        return cls(axis, float(low), 255 / max(float(high - low), 1.0))

    def gray(self, rgb: NDArray[np.uint8]) -> Gray:
        """Convert pixels (h, w, 3) to grey (h, w)."""
        if self.axis is None:
            return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        return np.asarray(np.clip((rgb @ self.axis - self.low) * self.scale, 0, 255), np.uint8)


def _without_dark_bands(gray: Gray) -> Gray:
    """`gray`, dark on light, with the dark bands that contain light letters inverted."""
    small = shrink(gray, min(1.0, _BAND_SIDE / max(gray.shape)))
    _, dark = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=4)
    bands = np.zeros(small.shape, np.uint8)
    _, _, w, h, area = stats.T
    for number in np.flatnonzero((w >= _BAND_WIDTH) & (h >= _BAND_HEIGHT) & (area > _BAND_FILLED / 2 * w * h)):
        if number:  # 0 is everything that is not dark
            x, y = stats[number, :2]
            window = np.s_[y : y + h[number], x : x + w[number]]
            bands[window] |= _band(np.asarray(small[window]), np.asarray(parts[window] == number, np.uint8))
    if not bands.any():
        return gray
    mask = cv2.resize(bands, (gray.shape[1], gray.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.where(mask > 127, 255 - gray, gray).astype(np.uint8)


def _band(gray: Gray, part: Gray) -> Gray:
    """Mask (h, w), 0 or 255, of a dark component and its letters if it is a solid block with light letters; else 0.

    `part`: the component, 1 on 0, in its bounding box. `gray`: the page in that box.
    """
    height, width = part.shape
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros_like(part), contours, -1, 1, -1)
    area = int(filled.sum())
    _, holes, stats, _ = cv2.connectedComponentsWithStats(np.asarray(filled - part, np.uint8), connectivity=8)
    w, h, size = (stats[:, k] for k in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    letters = (h >= _BAND_LETTER) & (h < 0.9 * height) & (w < 0.5 * width)
    letters[0] = False
    share = float(size[letters].sum()) / area
    if area < _BAND_FILLED * height * width or letters.sum() < 2 or not _BAND_SHARE[0] < share < _BAND_SHARE[1]:
        return np.zeros_like(part)
    if float(np.percentile(gray[letters[holes]], 75)) - float(np.median(gray[part > 0])) < _BAND_CONTRAST:
        return np.zeros_like(part)
    # Marks too small for a letter, such as the dot of an i, are inverted too; a sheet on a blackboard is not.
    small = letters | (size < size[letters].max())
    return np.asarray(255 * ((part > 0) | (holes > 0) & small[holes]), np.uint8)


def is_light_on_dark(gray: Gray) -> bool:
    """Whether `gray`, uint8 (H, W), shows light writing on a dark ground, such as an inverted scan or a blackboard.

    The mean brightness does not decide: a letter photographed on a dark table is mostly dark. Strokes are thin, so the
    median of their neighbourhood is the ground, and ink differs from it in one direction. The bright and the dark parts
    of the image vote separately, so that the grain of a table does not outvote the paper on it. A small sheet is
    analysed at a larger scale: in the whole image, only its edges stand out.
    """
    small = shrink(gray, min(1.0, 800 / max(gray.shape), math.sqrt(0.3e6 / gray.size)))
    box = sheet_box(small)
    if box is None:
        return _stands_out_light(small)
    across, down = gray.shape[1] / small.shape[1], gray.shape[0] / small.shape[0]
    left, top, right, bottom = box
    sheet = gray[int(top * down) : math.ceil(bottom * down), int(left * across) : math.ceil(right * across)]
    _, light, _ = _ink(small)
    light[top:bottom, left:right] = 0
    near = shrink(np.asarray(sheet), min(1.0, 800 / max(sheet.shape)))
    dark = _ink(near)[2].sum() * ((bottom - top) * (right - left) / near.size)
    if _is_chalk(float(light.sum()), float(dark), float(light.mean())):
        return True
    return _stands_out_light(near)


def _is_chalk(on_dark: float, on_bright: float, mean: float) -> bool:
    """Whether light writing on dark ground outweighs dark writing on bright ground: sums, and the mean of the first."""
    return on_dark > 4 * on_bright and mean > 0.2


def _window(gray: Gray) -> int:
    """Side of the neighbourhood: about two lines of a page, and more than a stroke of a line that fills the image."""
    return int(max(31, min(gray.shape) // 8)) | 1


def _ink(gray: Gray) -> tuple[Gray, Gray, Gray]:
    """The ground of `gray` (H, W), and by how much, beyond noise, each pixel is lighter and darker than it."""
    # The median is taken at half the size, in a quarter of the time: strokes are thin at any size.
    half = shrink(gray, 0.5) if min(gray.shape) >= 2 * _LEAST_SIDE else gray
    window = _window(gray) * half.shape[1] // gray.shape[1] | 1
    padded = cv2.copyMakeBorder(half, window, window, window, window, cv2.BORDER_REFLECT)
    median = np.ascontiguousarray(cv2.medianBlur(padded, window)[window:-window, window:-window])
    ground = np.asarray(cv2.resize(median, gray.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    noise = 16
    # OpenCV's differences saturate at 0.
    light = cv2.subtract(cv2.subtract(gray, ground), noise)  # type: ignore[call-overload]
    dark = cv2.subtract(cv2.subtract(ground, gray), noise)  # type: ignore[call-overload]
    return ground, np.asarray(light, np.uint8), np.asarray(dark, np.uint8)


def _stands_out_light(gray: Gray) -> bool:
    """`is_light_on_dark` for an image of at most 800 pixels a side."""
    ground, light, dark = _ink(gray)
    split, _ = cv2.threshold(ground, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = ground > split
    has_paper = False
    if 0.1 < bright.mean() < 0.9:
        step = float(np.median(ground[bright])) - float(np.median(ground[~bright]))
        has_paper = step > 50
    if has_paper:
        # Bright paper on something dark, or a blackboard on a bright wall. Leave out the edge between the two, and its
        # corners, which the median rounds.
        kernel = np.ones((_window(gray) // 2, _window(gray) // 2), np.uint8)
        inside = cv2.erode(bright.astype(np.uint8), kernel).astype(bool)
        outside = cv2.erode((~bright).astype(np.uint8), kernel).astype(bool)
        mean = float(light[outside].mean()) if outside.any() else 0.0
        return _is_chalk(float(light[outside].sum()), float(dark[inside].sum()), mean)
    light_mass, dark_mass = float(light.mean()), float(dark.mean())
    if max(light_mass, dark_mass) < 0.02:  # nothing stands out: a blank page is paper, whatever its shade
        return bool(np.median(gray) < 64)
    return light_mass > dark_mass
