"""Residual networks for 32×32 images: block, stage, network, named factory (He et al. 2016, section 4.2)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from coursekit.errors import UsageError

WIDTHS = (16, 32, 64)
SHORTCUTS = ("projection", "zero-padding", "none")


class ZeroPadShortcut(nn.Module):
    """The paper's option A: every second pixel, new channels of zeros half in front and half behind, no parameters."""

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.new_channels, self.stride = c_out - c_in, stride

    def forward(self, x: Tensor) -> Tensor:
        front = self.new_channels // 2
        return pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, front, self.new_channels - front))


class BasicBlock(nn.Module):
    """conv3×3 - BN - ReLU - conv3×3 - BN, plus the shortcut, then ReLU; the courses' ResidualBlock.

    Where the shape changes the shortcut is a 1×1 convolution with BN ("projection", the paper's B) or padded with zeros
    ("zero-padding", A); "none" leaves it out everywhere: the plain twin. Convolutions have no bias, BN has one. Raises
    UsageError for another word.
    """

    def __init__(self, c_in: int, c_out: int, stride: int = 1, shortcut: str = "projection"):
        super().__init__()
        if shortcut not in SHORTCUTS:
            raise UsageError(f"no shortcut {shortcut!r}; choose {', '.join(SHORTCUTS)}")
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module | None = None if shortcut == "none" else nn.Identity()
        if shortcut == "projection" and (stride > 1 or c_in != c_out):
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        elif shortcut == "zero-padding" and (stride > 1 or c_in != c_out):
            self.shortcut = ZeroPadShortcut(c_in, c_out, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(out if self.shortcut is None else out + self.shortcut(x))


def stage(c_in: int, c_out: int, blocks: int, stride: int, shortcut: str) -> nn.Sequential:
    """Blocks of one width; the first changes width and size."""
    first = BasicBlock(c_in, c_out, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(c_out, c_out, 1, shortcut) for _ in range(blocks - 1)))


class ResNet(nn.Module):
    """Stem, three stages of `blocks` blocks with widths 16, 32, 64, mean over places, linear: 6 · blocks + 2 layers.

    Raises UsageError for less than one block or class, of which nothing would be said: a stage has its first block.
    """

    def __init__(self, blocks: int = 3, shortcut: str = "projection", classes: int = 10):
        super().__init__()
        if blocks < 1 or classes < 1:
            raise UsageError(f"ResNet takes at least one block and one class, got {blocks} and {classes}")
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        )
        c_in, stages = WIDTHS[0], []
        for number, width in enumerate(WIDTHS):
            stages.append(stage(c_in, width, blocks, 1 if number == 0 else 2, shortcut))
            c_in = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, classes))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(images)))


def resnet(depth: int, shortcut: str = "projection") -> ResNet:
    """A network of 6n + 2 layers: 20, 32, 38, 44, ...; raises UsageError for any other depth."""
    if depth < 8 or (depth - 2) % 6:
        raise UsageError(f"no ResNet-{depth}: the depth is 6n + 2, for example 20, 32 or 38")
    return ResNet((depth - 2) // 6, shortcut)


def resnet20(shortcut: str = "projection") -> ResNet:
    """272,474 parameters with projections (the courses' SimplifiedResNet), 269,722 with zero-padding (the paper's)."""
    return resnet(20, shortcut)


@torch.no_grad()
def zero_last_norms(model: ResNet) -> ResNet:
    """Set each block's last BatchNorm weight to 0, so that every block begins as its shortcut (Goyal et al. 2017)."""
    for block in model.modules():
        if isinstance(block, BasicBlock):
            block.bn2.weight.zero_()
    return model
