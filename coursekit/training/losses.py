"""What a training makes small: a function of logits and labels."""

from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.nn.functional import cross_entropy

# loss(logits, labels, reduction="mean"), as the functions of torch.nn.functional: logits (batch, classes), labels
# (batch,); reduction "mean" or "sum" gives one number, "none" one for each example.
Loss = Callable[..., Tensor]
LOSSES: dict[str, Loss] = {"cross_entropy": cross_entropy}


def smoothed(loss: Loss, label_smoothing: float) -> Loss:
    """The loss that is trained on, where labels are smoothed; evaluations take the plain one."""
    return partial(loss, label_smoothing=label_smoothing) if label_smoothing else loss
