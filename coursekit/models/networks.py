"""The networks of the course in torch; all take images (batch, channels, H, W) and return logits."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Integral

import pandas as pd
import torch
from torch import nn

from coursekit.errors import UsageError

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "swish": nn.SiLU}
INITIALIZATIONS = ("default", "he", "xavier")
RISING = (nn.ReLU, nn.Sigmoid, nn.Tanh)


def activation_layer(name: str) -> nn.Module:
    """A new ReLU, sigmoid, tanh or Swish layer; raises UsageError for any other name."""
    if name not in ACTIVATIONS:
        raise UsageError(f"no activation {name!r}; choose {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


class MLP(nn.Sequential):
    """Fully connected layers of the given sizes with an activation, and optionally dropout, between them.

    Flattens images by itself. `MLP((784, 128, 64, 10))` has 109,386 parameters. Raises UsageError for sizes that make
    no layer, and a dropout that is no probability below 1.
    """

    def __init__(self, sizes: Sequence[int], activation: str = "relu", dropout: float = 0.0):
        if len(sizes) < 2 or not all(isinstance(size, Integral) and size > 0 for size in sizes):
            raise UsageError(f"MLP takes at least two sizes, whole numbers > 0, got {sizes}")
        if not 0 <= dropout < 1:
            raise UsageError(f"invalid dropout {dropout}; expected a probability from 0 to below 1")
        layers: list[nn.Module] = [nn.Flatten()]
        for d_in, d_out in pairwise(sizes[:-1]):
            layers += [nn.Linear(d_in, d_out), activation_layer(activation)]
            layers += [nn.Dropout(dropout)] if dropout else []
        super().__init__(*layers, nn.Linear(sizes[-2], sizes[-1]))


class DeepMLP(MLP):
    """784-[256]×6-10: six hidden layers, deep enough for sigmoids to lose the gradient (532,490 parameters)."""

    def __init__(self, activation: str = "relu"):
        super().__init__((784, *[256] * 6, 10), activation)


def mlp1(activation: str = "relu") -> nn.Sequential:
    """3072-32-10 (98,666 parameters)."""
    return MLP((3072, 32, 10), activation)


def mlp2(activation: str = "relu") -> nn.Sequential:
    """3072-32-64-10 without bias or activation at the 64: the same functions as `mlp1` (101,034 parameters)."""
    hidden = [nn.Linear(3072, 32), activation_layer(activation), nn.Linear(32, 64, bias=False)]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(64, 10))


def cnn3(activation: str = "relu") -> nn.Sequential:
    """Three convolutions, the last without activation (11,394 parameters)."""
    first = [*_conv(3, 16, 3, activation), *_conv(16, 8, 5, activation), nn.MaxPool2d(2)]
    return nn.Sequential(*first, nn.Conv2d(8, 16, 7), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 10))


def cnn4(activation: str = "relu") -> nn.Sequential:
    """Four convolutions (13,810 parameters)."""
    first = [*_conv(3, 16, 3, activation), *_conv(16, 8, 3, activation), *_conv(8, 16, 5, activation), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *_conv(16, 16, 5, activation), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10))


def cnn5(activation: str = "relu") -> nn.Sequential:
    """Six 3×3 convolutions, the smallest of the five nets (8,490 parameters)."""
    widths = (3, 8, 16, 8, 16)
    first = [layer for c_in, c_out in pairwise(widths) for layer in _conv(c_in, c_out, 3, activation)]
    last = [*_conv(16, 16, 3, activation), *_conv(16, 8, 3, activation), nn.MaxPool2d(2)]
    return nn.Sequential(*first, nn.MaxPool2d(2), *last, nn.Flatten(), nn.Linear(128, 10))


def _conv(c_in: int, c_out: int, size: int, activation: str) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, size), activation_layer(activation)]


class SimpleNN(nn.Sequential):
    """Two convolutions and three linear layers: 82,030 parameters, 82,078 with BatchNorm after each convolution."""

    def __init__(self, batch_norm: bool = False, activation: str = "relu"):
        layers: list[nn.Module] = []
        for c_in, c_out, size in ((3, 8, 5), (8, 16, 3)):
            norm = [nn.BatchNorm2d(c_out)] if batch_norm else []
            layers += [nn.Conv2d(c_in, c_out, size), *norm, activation_layer(activation), nn.MaxPool2d(2)]
        super().__init__(*layers, *MLP((576, 120, 84, 10), activation))


class LeNet5(nn.Sequential):
    """The course's colour LeNet-5 for 32×32×3, with max-pooling and ReLU (62,006 parameters)."""

    def __init__(self, activation: str = "relu"):
        first = [*_conv(3, 6, 5, activation), nn.MaxPool2d(2), *_conv(6, 16, 5, activation), nn.MaxPool2d(2)]
        super().__init__(*first, *MLP((400, 120, 84, 10), activation))


class SimpleCNN(nn.Sequential):
    """CNN_A: two padded 3×3 convolutions with pooling, then 4096-128-10 (545,098 parameters)."""

    def __init__(self):
        first = [*_padded([3, 32], 3), nn.MaxPool2d(2), *_padded([32, 64], 3), nn.MaxPool2d(2)]
        super().__init__(*first, *MLP((4096, 128, 10)))


def cnn_b() -> nn.Sequential:
    """CNN_B: one convolution more than CNN_A, and 4096-256-10 (1,080,042 parameters)."""
    first = [*_padded([3, 32, 32], 3), nn.MaxPool2d(2), *_padded([32, 64], 3), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *MLP((4096, 256, 10)))


def cnn_c(pool: type[nn.Module] = nn.AvgPool2d) -> nn.Sequential:
    """CNN_C: wider 5×5 convolutions, average pooling, 8192-128-10 (1,259,786 parameters).

    It differs from CNN_A in kernel, width and pooling at once; with `pool=nn.MaxPool2d` in kernel and width alone.
    """
    return nn.Sequential(*_padded([3, 64], 5), pool(2), *_padded([64, 128], 5), pool(2), *MLP((8192, 128, 10)))


def _padded(widths: Sequence[int], size: int) -> list[nn.Module]:
    """Convolutions that keep the image's size, each with its ReLU."""
    convolutions = [nn.Conv2d(c_in, c_out, size, padding="same") for c_in, c_out in pairwise(widths)]
    return [layer for convolution in convolutions for layer in (convolution, nn.ReLU())]


@torch.no_grad()
def initialize(model: nn.Module, scheme: str) -> nn.Module:
    """Draw new weights for all linear and convolution layers, biases 0; returns the model.

    "he": std sqrt(2 / fan_in) (He et al. 2015); "xavier": std sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010);
    "default" leaves torch's U(±1/sqrt(fan_in)), whose std is 0.41 of He's. Raises UsageError for any other word.
    """
    if scheme not in INITIALIZATIONS:
        raise UsageError(f"no initialisation {scheme!r}; choose {', '.join(INITIALIZATIONS)}")
    draw: dict[str, Callable] = {
        "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
        "xavier": nn.init.xavier_normal_,
    }
    for layer in model.modules() if scheme in draw else ():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            draw[scheme](layer.weight)
            if layer.bias is not None:
                layer.bias.zero_()
    return model


def pooling_first(model: nn.Module) -> nn.Module:
    """The same layers with max-pooling before ReLU, sigmoid and tanh: the same function, on a quarter of the numbers.

    max f(x) = f(max x) where f rises. The parameters keep their names; what is no `nn.Sequential`, or has a forward of
    its own, comes back as it is.
    """
    if not isinstance(model, nn.Sequential) or type(model).forward is not nn.Sequential.forward:
        return model
    layers = list(model)
    for i, (layer, after) in enumerate(pairwise(model)):
        if isinstance(layer, RISING) and isinstance(after, nn.MaxPool2d):
            layers[i], layers[i + 1] = after, layer
    return nn.Sequential(OrderedDict(zip(model._modules, layers, strict=True)))


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@torch.no_grad()
def layer_table(model: nn.Module, image_shape: Sequence[int]) -> pd.DataFrame:
    """One row per layer that has parameters: output shape, weight shape, parameters, and MACs for one image.

    image_shape (channels, H, W). MACs are the multiply-adds of convolutions and linear layers alone.
    """
    rows = []

    def note(layer: nn.Module, inputs, output) -> None:
        weight = layer.weight
        places = output[0].numel() // weight.shape[0] if weight.ndim > 1 else 0
        shapes = ("×".join(map(str, shape)) for shape in (output.shape[1:], weight.shape))
        rows.append((type(layer).__name__, *shapes, parameter_count(layer), weight.numel() * places))

    was_training = model.training
    layers = [layer for layer in model.modules() if isinstance(getattr(layer, "weight", None), torch.Tensor)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        parameter = next(model.parameters())
        model.eval()(torch.zeros(1, *image_shape, device=parameter.device, dtype=parameter.dtype))
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    return pd.DataFrame(rows, columns=["layer", "output", "weight", "parameters", "MACs"])


@torch.no_grad()
def initial_loss(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Cross-entropy before any step: near ln(classes) when the logits are small and without bias."""
    return float(nn.functional.cross_entropy(model(images), labels))
