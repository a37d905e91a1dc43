"""The step of an MLP without autograd: the backward pass of notebook 01 in torch, for one network or a stack.

It calls what autograd calls, so weights and losses have the same bits (with label smoothing, up to the last one).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from coursekit.training import fused
from coursekit.training.losses import Loss
from coursekit.training.stacked_layers import linear, obstacle, wide_linear

aten = torch.ops.aten

# Each activation and its backward pass, from d loss / d y to d loss / d z, both in place. A slope is a function of
# what `forward` leaves in z: the output y, or the input where an activation does not write over it (Swish).
ACTIVATIONS: dict[type[nn.Module], tuple[Callable, Callable]] = {
    nn.Identity: (lambda z: z, lambda dy, z: dy),
    nn.ReLU: (torch.relu_, lambda dy, z: aten.threshold_backward.grad_input(dy, z, 0, grad_input=dy)),
    nn.Sigmoid: (torch.sigmoid_, lambda dy, z: aten.sigmoid_backward.grad_input(dy, z, grad_input=dy)),
    nn.Tanh: (torch.tanh_, lambda dy, z: aten.tanh_backward.grad_input(dy, z, grad_input=dy)),
    nn.SiLU: (functional.silu, lambda dy, z: aten.silu_backward.grad_input(dy, z, grad_input=dy)),
}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Layer:
    """`scratch.Linear` with the activation after it. W (out, in), b (out,); in a stack (runs, out, in), (runs, out)."""

    def __init__(self, W: Tensor, b: Tensor | None, activation: type[nn.Module]):
        self.W, self.b = W, b
        self.activate, self.activation_backward = ACTIVATIONS[activation]
        self.dW, self.db = torch.empty_like(W), None if b is None else torch.empty_like(b)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, in) to (batch, out); keeps what the backward pass needs."""
        self.x = x
        self.z = functional.linear(x, self.W, self.b) if self.W.ndim == 2 else linear(self.W, self.b, x)
        return self.activate(self.z)

    def backward(self, dy: Tensor) -> Tensor:
        """From d loss / d y to d loss / d z; stores dW and db, summed over the batch, in place of the last ones."""
        dz = self.activation_backward(dy, self.z)
        if self.x.ndim < dz.ndim:  # images that all runs share: one wide layer, as in the stack's forward pass
            wide = dz.transpose(0, 1).flatten(1)
            self.dW = wide_linear(wide.t(), self.x.t()).view_as(self.W)
            self.db = None if self.b is None else wide.sum(0).view_as(self.b)
            return dz
        if dz.ndim == 2:
            torch.mm(dz.t(), self.x, out=self.dW)
        else:  # as autograd has it: on AMD's processors the transposed product is rounded otherwise
            self.dW.copy_(torch.bmm(self.x.mT, dz).mT)
        if self.b is not None:
            torch.sum(dz, -2, out=self.db)
        return dz


class Chain:
    """Layers in a row: what `forward` and `backward()` do for their networks, by the formulas of `scratch`."""

    def __init__(self, models: Sequence[nn.Module], layers: Sequence[Layer], owners: Sequence[Sequence[nn.Parameter]]):
        self.models, self.layers, self.owners = models, layers, owners

    @torch.no_grad()
    def backpropagate(self, images: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Logits and the mean cross-entropy, of a stack (runs, batch, classes) and (runs,); gradients go to `.grad`."""
        x = self._inputs(images)
        for layer in self.layers:
            x = layer.forward(x)
        loss, dx = cross_entropy(x, labels, label_smoothing)
        for layer in reversed(self.layers):
            dz = layer.backward(dx)
            if layer is not self.layers[0]:
                dx = dz @ layer.W
        self._hand_out()
        return x, loss

    def _inputs(self, images: Tensor) -> Tensor:
        """Rows of pixels (batch, features); (runs, batch, features) where each run of a stack has its own."""
        x, W = images.flatten(1), self.layers[0].W
        each_its_own = W.ndim == 3 and x.shape[1] > W.shape[2]
        return x.unflatten(1, (len(W), -1)).transpose(0, 1) if each_its_own else x

    def _hand_out(self) -> None:
        gradients = [part for layer in self.layers for part in (layer.dW, layer.db) if part is not None]
        for parameters, gradient in zip(self.owners, gradients, strict=True):
            parts = gradient.unbind() if gradient.ndim > parameters[0].ndim else [gradient]
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.grad = part


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of logits (batch, classes), and its gradient (softmax(logits) - target) / batch.

    In a stack (runs, batch, classes) and a loss (runs,), with labels (batch,) for all or (runs, batch).
    """
    log_p, label = torch.log_softmax(logits, -1), labels.expand(logits.shape[:-1])
    if logits.ndim == 2:
        loss = functional.nll_loss(log_p, label)
    else:
        loss = functional.nll_loss(log_p.mT, label, reduction="none").mean(-1)
    if label_smoothing:
        loss = (1 - label_smoothing) * loss - label_smoothing * log_p.mean((-2, -1))
    batch, classes = logits.shape[-2:]
    g = torch.full_like(log_p, -label_smoothing / classes / batch)
    g.scatter_(-1, label[..., None], (label_smoothing - 1) / batch, reduce="add")  # -target / batch: d loss / d log p
    return loss, aten._log_softmax_backward_data(g, log_p, -1, g.dtype)  # g - softmax · Σ g


def train_step(
    chain: Chain,
    images: Tensor,
    labels: Tensor,
    optimizers: Iterable[torch.optim.Optimizer],
    label_smoothing: float = 0.0,
    penalties: Iterable[Callable[[nn.Module], Tensor] | None] = (),
) -> tuple[Tensor, Tensor]:
    """The step of `loop.train_step`, or of `stacked.train_step`, by hand; autograd adds the gradients of penalties."""
    logits, loss = chain.backpropagate(images, labels, label_smoothing)
    for model, penalty in zip(chain.models, penalties, strict=False):
        if penalty:
            penalty(model).backward()
    for optimizer in optimizers:
        fused.update(optimizer)
    return logits, loss


def chain(
    models: Sequence[nn.Module],
    loss: Loss = functional.cross_entropy,
    stacked: Sequence[tuple[Tensor, Sequence[nn.Parameter]]] = (),
) -> Chain | None:
    """The networks as a chain, where nothing else happens in their step; else None, and autograd has to do it.

    That is so for Flatten and then Linear layers, each with one activation at most, in float32 or float64 on a CPU, all
    trained, without hooks, with cross-entropy as the loss. Several are a stack: then `stacked` are its tensors, each
    with the parameters in it.
    """
    watched = torch.is_autocast_enabled("cpu") or nn.modules.module._has_any_global_hook()
    if watched or loss is not functional.cross_entropy or not all(map(_is_chain, models)):
        return None
    tensors = stacked or [(parameter, [parameter]) for parameter in models[0].parameters()]
    remaining = (tensor.detach() for tensor, _ in tensors)
    layers = [
        Layer(next(remaining), None if layer.bias is None else next(remaining), activation)
        for layer, activation in _pairs(models[0])
    ]
    return Chain(models, layers, [owners for _, owners in tensors])


def _is_chain(model: nn.Module) -> bool:
    if obstacle(model) is not None:
        return False
    kinds = [type(layer) for layer in model]
    in_turn = kinds[:2] == [nn.Flatten, nn.Linear] and all(nn.Linear in pair for pair in pairwise(kinds[1:]))
    known = {*kinds[1:]} <= {nn.Linear, *ACTIVATIONS}
    hooked = any("forward" in vars(layer) or any(vars(layer)[name] for name in HOOKS) for layer in model.modules())
    return (
        (in_turn and known and not hooked)
        and (model[0].start_dim, model[0].end_dim) == (1, -1)
        and len({parameter.dtype for parameter in model.parameters()}) == 1
        and all(map(_is_plain, model.parameters()))
    )


def _is_plain(parameter: nn.Parameter) -> bool:
    ordinary = type(parameter) is nn.Parameter and parameter.dtype in (torch.float32, torch.float64)
    hooked = parameter._backward_hooks or parameter._post_accumulate_grad_hooks
    return ordinary and parameter.device.type == "cpu" and not hooked


def _pairs(model: nn.Sequential) -> Iterator[tuple[nn.Linear, type[nn.Module]]]:
    """Each linear layer with the kind of the activation after it, Identity where there is none."""
    for layer, after in pairwise([*model, nn.Identity()]):
        if isinstance(layer, nn.Linear):
            yield layer, type(after) if type(after) in ACTIVATIONS else nn.Identity
