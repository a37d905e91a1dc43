"""The networks of the course in torch; all return logits."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from coursekit.errors import UsageError

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class MLP(nn.Sequential):
    """Fully connected layers of the given sizes with an activation between them; flattens images by itself.

    `MLP((784, 128, 64, 10))` has 109,386 parameters. Raises UsageError for an unknown activation or too few sizes.
    """

    def __init__(self, sizes: Sequence[int], activation: str = "relu"):
        if activation not in ACTIVATIONS or len(sizes) < 2:
            known = ", ".join(ACTIVATIONS)
            raise UsageError(f"MLP takes at least two sizes and one of {known}; got {sizes} and {activation!r}")
        layers: list[nn.Module] = [nn.Flatten()]
        for d_in, d_out in pairwise(sizes[:-1]):
            layers += [nn.Linear(d_in, d_out), ACTIVATIONS[activation]()]
        super().__init__(*layers, nn.Linear(sizes[-2], sizes[-1]))


def parameter_count(model: nn.Module) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@torch.no_grad()
def initial_loss(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Cross-entropy before any step: near ln(classes) when the logits are small and without bias."""
    return float(nn.functional.cross_entropy(model(images), labels))
