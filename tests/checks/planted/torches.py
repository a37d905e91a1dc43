"""A residual block and ResNet-20."""

import torch
from torch import nn


class Block(nn.Module):
    """Right, in another order and with other names."""

    bias, stride_at, norm_in_shortcut = False, 0, True

    def __init__(self, c_in, c_out, stride=1):
        super().__init__()
        self.skip = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.skip.append(nn.Conv2d(c_in, c_out, kernel_size=1, stride=stride, bias=False))
            if self.norm_in_shortcut:
                self.skip.append(nn.BatchNorm2d(c_out))
        strides = (stride, 1) if self.stride_at == 0 else (1, stride)
        self.second = nn.Conv2d(c_out, c_out, 3, strides[1], 1, bias=self.bias)
        self.first = nn.Conv2d(c_in, c_out, 3, strides[0], 1, bias=self.bias)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c_out) for _ in range(2))
        self.relu = nn.ReLU()

    def branch(self, x):
        return self.norms[1](self.second(self.relu(self.norms[0](self.first(x)))))

    def forward(self, x):
        return self.relu(self.branch(x) + self.skip(x))


def block(**members):
    return type("Block", (Block,), members)


def in_place(self, x):
    out = self.branch(x)
    x += out if out.shape == x.shape else 0
    return torch.relu(x)


def one_convolution(self, x):
    return self.relu(self.norms[0](self.first(x)) + self.skip(x))


class ResNet(nn.Module):
    def __init__(self, block=Block, blocks=3, widths=(16, 32, 64), head=None, last=lambda x: x):
        super().__init__()
        c, layers = widths[0], []
        for i, width in enumerate(widths):
            for j in range(blocks):
                layers.append(block(c, width, 2 if i > 0 and j == 0 else 1))
                c = width
        stem = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        self.body, self.last = nn.Sequential(*stem, *layers), last
        self.head = head or nn.Linear(c, 10)

    def forward(self, x):
        return self.last(self.head(self.body(x).mean(dim=(2, 3)) if isinstance(self.head, nn.Linear) else self.body(x)))


class Padded(nn.Module):
    """The paper's shortcut."""

    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.block, self.c, self.s = Block(c_in, c_out, stride), c_out - c_in, stride
        self.block.skip = nn.Sequential()

    def forward(self, x):
        skip = nn.functional.pad(x[:, :, :: self.s, :: self.s], (0, 0, 0, 0, self.c // 2, self.c // 2))
        return torch.relu(self.block.branch(x) + skip)


WRONG = {
    "residual_block": [
        ("after the addition is missing", block(forward=lambda self, x: self.branch(x) + self.skip(x))),
        ("not before it", block(forward=lambda self, x: self.relu(self.branch(x)) + self.skip(x))),
        ("no shortcut", block(forward=lambda self, x: self.relu(self.branch(x)))),
        ("between the two", block(branch=lambda self, x: self.norms[1](self.second(self.norms[0](self.first(x)))))),
        ("after the second", block(branch=lambda self, x: self.second(self.relu(self.norms[0](self.first(x)))))),
        ("after the first", block(branch=lambda self, x: self.norms[1](self.second(self.relu(self.first(x)))))),
        ("biases", block(bias=True)),
        ("not to the second", block(stride_at=1)),
        ("its own BatchNorm", block(norm_in_shortcut=False)),
        ("In-place", block(forward=in_place)),
        ("conv 3×3, BN, ReLU, conv 3×3, BN", block(forward=one_convolution)),
        (
            "before the ReLU",
            block(branch=lambda self, x: self.norms[1](self.second(self.norms[0](self.relu(self.first(x)))))),
        ),
        ("shape changes", block(forward=lambda self, x: self.relu(self.branch(x) + x))),
    ],
    "resnet20": [
        ("biases", lambda: ResNet(block(bias=True))),
        ("ResNet-38", lambda: ResNet(blocks=6)),
        ("64 numbers", lambda: ResNet(head=nn.Sequential(nn.Flatten(), nn.Linear(4096, 10)))),
        ("softmax belongs to the loss", lambda: ResNet(last=lambda x: x.softmax(1))),
        ("There is a ReLU on the logits", lambda: ResNet(last=torch.relu)),
        ("16, 32, 64", lambda: ResNet(widths=(16, 16, 64))),
        ("ResNet-14", lambda: ResNet(blocks=2)),
    ],
}

RIGHT = {"residual_block": [Block], "resnet20": [ResNet, lambda: ResNet(Padded)]}
