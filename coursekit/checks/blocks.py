"""Check of a residual block in torch, whatever its layers are called."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from coursekit import models
from coursekit.checks.diagnosis import NotDone, Wrong
from coursekit.checks.judging import Case, Mistake, Piece


def _convolutions(block: nn.Module, x: Tensor) -> list[nn.Conv2d]:
    """The block's convolutions in the order in which they run."""
    ran: list[nn.Conv2d] = []
    layers = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
    hooks = [layer.register_forward_hook(lambda layer, *_: ran.append(layer)) for layer in layers]
    try:
        out = block(x)
    finally:
        for hook in hooks:
            hook.remove()
    if out is None or out is ...:
        raise NotDone
    return ran


@torch.random.fork_rng(devices=[])
def _block(code, inputs: dict) -> dict:
    """Parameters, and the output in train mode with weights of ours."""
    x, c_in, c_out, stride = inputs.values()
    torch.manual_seed(0)
    block = code(c_in, c_out, stride)
    if block is None or block is ...:
        raise NotDone
    ran = _convolutions(block.train(), x.clone())
    of_size = {size: [layer for layer in ran if layer.kernel_size == (size, size)] for size in (3, 1)}
    if len(of_size[3]) != 2:
        raise Wrong(
            f"runs {len(of_size[3])} convolutions of 3 × 3, two are wanted", "conv 3×3, BN, ReLU, conv 3×3, BN."
        )
    if stride == 1 and c_in == c_out and of_size[1]:
        raise Wrong("has a 1 × 1 convolution where nothing changes its shape", "There the shortcut is the identity.")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in (*of_size[3], *of_size[1]):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
            if layer.bias is not None:
                layer.bias.zero_()
    given = x.clone()
    out = block(given)
    if not torch.equal(given, x):
        raise Wrong(
            "changes its input",
            "An in-place ReLU on x changes what the shortcut carries: inplace=False, and out = out + x.",
            {"x": x},
        )
    return {"the output": out.detach().numpy(), "the number of parameters": models.parameter_count(block)}


class _Changed(models.BasicBlock):
    """Our block in its steps, for the mistakes to change one."""

    def __init__(self, c_in: int, c_out: int, stride: int = 1):
        super().__init__(c_in, c_out, stride)

    def branch(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))


class _NoLastReLU(_Changed):
    def forward(self, x):
        return self.branch(x) + self.shortcut(x)


class _ReLUBefore(_Changed):
    def forward(self, x):
        return relu(self.branch(x)) + self.shortcut(x)


class _NoShortcut(_Changed):
    def forward(self, x):
        return relu(self.branch(x))


class _NoInnerReLU(_Changed):
    def forward(self, x):
        return relu(self.bn2(self.conv2(self.bn1(self.conv1(x)))) + self.shortcut(x))


class _NoFirstNorm(_Changed):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.bn1 = nn.Identity()


class _NoLastNorm(_Changed):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.bn2 = nn.Identity()


class _NormAfterReLU(_Changed):
    def forward(self, x):
        return relu(self.bn2(self.conv2(self.bn1(relu(self.conv1(x))))) + self.shortcut(x))


class _Biased(_Changed):
    def __init__(self, c_in, c_out, stride=1):
        super().__init__(c_in, c_out, stride)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)


class _StrideTwice(_Changed):
    def __init__(self, c_in, c_out, stride=1):
        super().__init__(c_in, c_out, stride)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, stride, padding=1, bias=False)
        if stride > 1:
            self.shortcut[0] = nn.Conv2d(c_in, c_out, 1, stride * stride, bias=False)


class _StrideLate(_Changed):
    def __init__(self, c_in, c_out, stride=1):
        super().__init__(c_in, c_out, stride)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, stride, padding=1, bias=False)


class _NoNormInShortcut(_Changed):
    def __init__(self, c_in, c_out, stride=1):
        super().__init__(c_in, c_out, stride)
        if stride > 1 or c_in != c_out:
            self.shortcut = self.shortcut[0]


class _SharedNorm(_Changed):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.bn2 = self.bn1


class _Multiplies(_Changed):
    def forward(self, x):
        return relu(self.branch(x) * self.shortcut(x))


def _case(words: str, batch: int, c_in: int, c_out: int, stride: int, hint: str = "") -> Case:
    x = torch.randn(batch, c_in, 4, 4, generator=torch.Generator().manual_seed(c_in)).round(decimals=1)
    return Case(words, {"x": x, "c_in": c_in, "c_out": c_out, "stride": stride}, hint)


SHAPES_DIFFER = "Where the shape changes the shortcut is a 1 × 1 convolution with the stride, and BatchNorm."

RESIDUAL_BLOCK = Piece(
    "residual_block",
    "ResidualBlock(c_in, c_out, stride=1), an nn.Module with forward(x)",
    models.BasicBlock,
    [
        _case("2 channels in and out, stride 1", 2, 2, 2, 1),
        _case("2 channels in, 4 out, stride 2", 2, 2, 4, 2, SHAPES_DIFFER),
        _case("2 channels in, 3 out, stride 1", 2, 2, 3, 1, SHAPES_DIFFER),
        _case("2 channels in and out, stride 2", 2, 2, 2, 2, SHAPES_DIFFER),
        _case("a batch of one image", 1, 3, 3, 1),
    ],
    [
        Mistake("The ReLU after the addition is missing.", _NoLastReLU),
        Mistake("The last ReLU belongs after the addition, not before it.", _ReLUBefore),
        Mistake("There is no shortcut: add x before the last ReLU.", _NoShortcut),
        Mistake("A ReLU is missing between the two convolutions.", _NoInnerReLU),
        Mistake("BatchNorm is missing after the first convolution.", _NoFirstNorm),
        Mistake("BatchNorm is missing after the second convolution.", _NoLastNorm),
        Mistake("BatchNorm belongs before the ReLU, right after the convolution.", _NormAfterReLU),
        Mistake("The convolutions have biases, which the BatchNorm behind them takes out again: bias=False.", _Biased),
        Mistake("Both convolutions have the stride: only the first.", _StrideTwice),
        Mistake("The stride belongs to the first convolution, not to the second.", _StrideLate),
        Mistake("The shortcut's convolution needs its own BatchNorm.", _NoNormInShortcut),
        Mistake("Both convolutions share one BatchNorm: each needs its own.", _SharedNorm),
        Mistake("The shortcut is added, not multiplied.", _Multiplies),
    ],
    probe=_block,
    hint="ReLU(BN(conv(ReLU(BN(conv(x))))) + shortcut(x)), convolutions of 3 × 3 with padding 1 and without bias.",
    tolerance=1e-4,
)

PIECES = (RESIDUAL_BLOCK,)
