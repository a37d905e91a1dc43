"""Weight penalties beyond torch's weight_decay."""

import torch
from torch import Tensor, nn


def weights(model: nn.Module) -> list[nn.Parameter]:
    """Parameters of two or more dimensions: matrices and kernels, neither biases nor BatchNorm's scales."""
    return [parameter for parameter in model.parameters() if parameter.ndim > 1]


def l1(model: nn.Module, strength: float) -> Tensor:
    """strength · Σ |w| over `weights(model)`, to be added to the loss that is differentiated."""
    return strength * sum(weight.abs().sum() for weight in weights(model))


class ProximalSGD(torch.optim.SGD):
    """SGD on the loss alone, then soft-thresholding by lr · strength: the L1 step that gives exact zeros.

    Applies to parameters of two or more dimensions (Parikh & Boyd 2014, sections 4.2 and 6.5.2). The threshold knows no
    momentum: to pull as hard as an L1 penalty under momentum μ, take its strength times 1 / (1 - μ).
    """

    def __init__(self, parameters, lr: float, strength: float, **options):
        super().__init__(parameters, lr=lr, **options)
        self.strength = strength

    @torch.no_grad()
    def step(self, closure=None):
        """One SGD step, then |w| shrinks by lr · strength and stops at 0."""
        loss = super().step(closure)
        for group in self.param_groups:
            threshold = group["lr"] * self.strength
            for weight in group["params"]:
                if weight.ndim > 1:
                    weight.copy_(weight.sign() * (weight.abs() - threshold).clamp_(min=0))
        return loss
