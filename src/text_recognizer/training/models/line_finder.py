"""Full definition of the line finder: a small fully-convolutional network that marks text lines on a page.

The input is a gray page at low resolution. The outputs are maps at a quarter of that resolution: baselines, bodies of
letters (between baseline and x-height), line starts and ends, and the height of letters. Turning the maps into polygons
and reading order is classical geometry, in `text_recognizer.layout.finder`.

References
- Ronneberger et al., "U-Net", MICCAI 2015, arXiv:1505.04597
- Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017, arXiv:1612.03144
- Grüning et al., "A two-stage method for text line detection in historical documents", IJDAR 2019, arXiv:1802.03345
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from text_recognizer.description import FinderSettings
from text_recognizer.errors import DataInvalid
from text_recognizer.training.checkpoint import open_checkpoint

STRIDE = 4  # page pixels per map pixel
MULTIPLE = 32  # the sides of a page must be multiples of it, because the deepest stage halves five times
MAPS = ("baseline", "core", "ends", "log_x_height")
X_HEIGHT_UNIT = 10.0  # pixels; the height map has ln(x-height / X_HEIGHT_UNIT), so 0 is a typical page


@dataclass(frozen=True)
class LineFinderConfig:
    """Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the page, and of the pyramid that combines them."""

    channels: tuple[int, int, int, int, int] = (12, 24, 40, 64, 96)
    pyramid: int = 32


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H, W)
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(x + self.norm2(self.conv2(y)))


def convolve(c_in: int, c_out: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation, rectifier."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, size, stride, size // 2, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
    )


class LineFinderNet(nn.Module):
    """Network from page to maps, for any size whose sides are multiples of 32; 0.5 M parameters."""

    def __init__(self, config: LineFinderConfig | None = None) -> None:
        super().__init__()
        config = config or LineFinderConfig()
        self.config = config
        c2, c4, c8, c16, c32 = config.channels
        p = config.pyramid
        self.stem = nn.Sequential(convolve(1, c2, 3, 2), convolve(c2, c4, 3, 2))
        self.stage4 = Block(c4)
        self.stage8 = nn.Sequential(convolve(c4, c8, 3, 2), Block(c8))
        self.stage16 = nn.Sequential(convolve(c8, c16, 3, 2), Block(c16), Block(c16))
        self.stage32 = nn.Sequential(convolve(c16, c32, 3, 2), Block(c32))
        # Each pyramid level adds the coarser level's knowledge of the line to this level's view of the ink.
        self.lateral32 = convolve(c32, p, 1)
        self.lateral16 = convolve(c16, p, 1)
        self.lateral8 = convolve(c8, p, 1)
        self.lateral4 = convolve(c4, p, 1)
        self.smooth16 = convolve(p, p)
        self.smooth8 = convolve(p, p)
        self.smooth4 = convolve(p, p)
        self.head = nn.Conv2d(p, len(MAPS), 1)
        # Most of a page is not a baseline, so start from a low probability and not from one half.
        nn.init.constant_(self.head.bias[:3], -2.5)  # type: ignore[index]
        nn.init.zeros_(self.head.bias[3:])  # type: ignore[index]

    def forward(self, page: Tensor) -> Tensor:
        """Compute the maps as logits.

        Args:
            page: (B, 1, H, W) float, 0 = paper … 1 = ink; H and W multiples of 32.

        Returns:
            (B, 4, H/4, W/4): logits of baseline, core and line ends; ln(x-height / 10 px of `page`).
        """
        f4 = self.stage4(self.stem(page))  # (B, 24, H/4, W/4)
        f8 = self.stage8(f4)  # (B, 40, H/8, W/8)
        f16 = self.stage16(f8)  # (B, 64, H/16, W/16)
        f32 = self.stage32(f16)  # (B, 96, H/32, W/32)
        top = self.lateral32(f32)  # (B, P, H/32, W/32)
        top = self.smooth16(_double(top) + self.lateral16(f16))  # (B, P, H/16, W/16)
        top = self.smooth8(_double(top) + self.lateral8(f8))  # (B, P, H/8, W/8)
        top = self.smooth4(_double(top) + self.lateral4(f4))  # (B, P, H/4, W/4)
        return self.head(top)


def _double(x: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, 2H, 2W)
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class ExportedLineFinder(nn.Module):
    """The computation of the bundle's graph: from bytes to probabilities."""

    def __init__(self, net: LineFinderNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, page: Tensor) -> Tensor:
        """(1, 1, H, W) uint8, 255 = paper … 0 = ink → (1, 4, H/4, W/4) float: three probabilities, ln height."""
        ink = (255.0 - page.to(torch.float32)) / 255.0
        maps = self.net(ink)
        return torch.cat([maps[:, :3].sigmoid(), maps[:, 3:]], dim=1)


def export_line_finder(checkpoint: Path, out: Path) -> FinderSettings:
    """Write the network of a training checkpoint as an ONNX graph, and its weights as safetensors next to it.

    The graph (opset 18) takes `page`, uint8 (1, 1, H, W), 255 = paper, H and W multiples of 32, and returns `maps`,
    float32 (1, 4, H/4, W/4): probabilities of baseline, core and line end, and ln(x-height / 10 px).

    Args:
        checkpoint: written by `training.finder_lit`; its averaged weights are used if it has them.
        out: the `.onnx` file; `out` with the suffix `.safetensors` is written too.

    Returns:
        The settings of `layout.finder.LineFinder` for this network.
    """
    from safetensors.torch import save_file

    net = load_line_finder(checkpoint)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, out.with_suffix(".safetensors"))
    page = torch.full((1, 1, 256, 320), 255, dtype=torch.uint8)
    height, width = torch.export.Dim("h32", min=1, max=512), torch.export.Dim("w32", min=1, max=512)
    program = torch.onnx.export(
        ExportedLineFinder(net).eval(),
        (page,),
        dynamo=True,
        opset_version=18,
        input_names=["page"],
        output_names=["maps"],
        dynamic_shapes=({2: MULTIPLE * height, 3: MULTIPLE * width},),
        verbose=False,
    )
    assert program is not None
    program.save(str(out))
    return FinderSettings()


def load_line_finder(checkpoint: Path) -> LineFinderNet:
    """Load the network from a checkpoint of `training.finder_lit` or a bundle's safetensors, ready for inference.

    Raises DataInvalid if the file is damaged or contains another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    sizes: dict[str, Any] = {}
    try:
        if checkpoint.suffix == ".safetensors":
            weights = load_file(checkpoint)
        else:
            state = open_checkpoint(checkpoint, "state_dict")
            prefix = "network."
            weights = {k[len(prefix) :]: v for k, v in state["state_dict"].items() if k.startswith(prefix)}
            sizes = state.get("hyper_parameters", {}).get("network", {})
        net = LineFinderNet(LineFinderConfig(tuple(sizes["channels"]), sizes["pyramid"]) if sizes else None)
        net.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise DataInvalid(
            f"{checkpoint} holds no network of a line finder ({type(error).__name__}): give a checkpoint of "
            "lines-finder, or a bundle."
        ) from error
    return net.eval()
