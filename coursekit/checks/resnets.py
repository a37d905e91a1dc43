"""Check of ResNet-20 in torch, whatever its layers are called."""

import torch
from torch import nn

from coursekit import models
from coursekit.checks.diagnosis import NotDone, Wrong
from coursekit.checks.judging import Case, Mistake, Piece

COUNTS = {
    564_122: "These are six blocks a stage, a ResNet-38: three make 6 · 3 + 2 = 20.",
    175_258: "These are two blocks a stage, a ResNet-14: three make 6 · 3 + 2 = 20.",
}


@torch.random.fork_rng(devices=[])
def _network(code, inputs: dict) -> dict:
    """The shape of the logits and the number of parameters of a whole network."""
    torch.manual_seed(0)
    net = code()
    if net is None or net is ...:
        raise NotDone
    out = net(inputs["images"])
    if out is None or out is ...:
        raise NotDone
    if any(isinstance(layer, nn.Conv2d) and layer.bias is not None for layer in net.modules()):
        raise Wrong("has convolutions with biases", "The BatchNorm behind them takes them out again: bias=False.")
    count = models.parameter_count(net)
    depth = sum(isinstance(layer, nn.Linear) or getattr(layer, "kernel_size", 0) == (3, 3) for layer in net.modules())
    pools = [layer for layer in net.modules() if isinstance(layer, nn.MaxPool2d)]
    if tuple(out.shape) == (len(inputs["images"]), 10) and depth == 20 and not pools and count == 269_722:
        count = 272_474  # the paper's own shortcuts, padded with zeros, have no parameters: right as well
    if count in COUNTS:
        raise Wrong(f"has {count:,} parameters, expected 272,474", COUNTS[count])
    return {
        "the shape of the logits": tuple(out.shape),
        "the number of 3 × 3 and linear layers": depth,
        "the number of max-poolings": len(pools),
        "the number of parameters": count,
        "whether some logit is below 0": bool((out < 0).any()),
        "whether rows add up to 1": bool(torch.allclose(out.sum(1), torch.ones(len(out)))),
    }


def _images(words: str, batch: int, size: int, hint: str = "") -> Case:
    return Case(words, {"images": torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(7))}, hint)


class _OtherNet(nn.Sequential):
    """Our ResNet-20 with one part replaced."""

    def __init__(self, **parts: nn.Module):
        net = models.resnet20()
        super().__init__(*(parts.get(name, getattr(net, name)) for name in ("stem", "stages", "head")))


def _wide_head() -> nn.Module:
    return _OtherNet(head=nn.Sequential(nn.Flatten(), nn.Linear(4096, 10)))


def _with_softmax() -> nn.Module:
    return nn.Sequential(models.resnet20(), nn.Softmax(1))


def _relu_on_logits() -> nn.Module:
    return nn.Sequential(models.resnet20(), nn.ReLU())


def _no_stem_norm() -> nn.Module:
    return _OtherNet(stem=nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.ReLU()))


def _imagenet_stem() -> nn.Module:
    stem = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)]
    return _OtherNet(stem=nn.Sequential(*stem))


RESNET20 = Piece(
    "resnet20",
    "resnet20(), which returns an nn.Module",
    models.resnet20,
    [
        _images("two images of 32 × 32", 2, 32),
        _images("images of 48 × 48", 2, 48, "AdaptiveAvgPool2d(1) takes the mean over any size."),
    ],
    [
        Mistake(
            "The head takes the mean over all places first, AdaptiveAvgPool2d(1): 64 numbers, not 4,096.", _wide_head
        ),
        Mistake("It returns probabilities: logits are wanted, softmax belongs to the loss.", _with_softmax),
        Mistake("There is a ReLU on the logits: a class whose logit is negative would be dead.", _relu_on_logits),
        Mistake("The BatchNorm of the first convolution is missing.", _no_stem_norm),
        Mistake("There is pooling in the stem: images of 32 × 32 are small enough without.", _imagenet_stem),
    ],
    probe=_network,
    hint="A stem of 16 channels; three stages of three blocks: 16, 32, 64 channels, strides 1, 2, 2; mean; linear.",
)

PIECES = (RESNET20,)
