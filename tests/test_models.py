import pytest
import torch

from coursekit import models
from coursekit.errors import UsageError


def test_mlp_has_the_published_number_of_parameters():
    assert models.parameter_count(models.MLP((784, 128, 64, 10))) == 109_386


@pytest.mark.parametrize(
    ("activation", "function"), [("relu", torch.relu), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh)]
)
def test_mlp_forward_written_out(activation, function):
    torch.manual_seed(0)
    model = models.MLP((12, 5, 4, 3), activation)
    images = torch.rand(7, 1, 3, 4)
    w1, b1, w2, b2, w3, b3 = model.parameters()
    hidden = function(function(images.flatten(1) @ w1.T + b1) @ w2.T + b2)
    torch.testing.assert_close(model(images), hidden @ w3.T + b3)


def test_mlp_of_two_sizes_is_linear():
    assert [type(layer).__name__ for layer in models.MLP((4, 2))] == ["Flatten", "Linear"]


@pytest.mark.parametrize(
    ("arguments", "message"), [(((4, 3, 2), "swish!"), "'swish!'; choose relu"), (((4,),), "at least two")]
)
def test_mlp_refuses_what_it_does_not_know(arguments, message):
    with pytest.raises(UsageError, match=message):
        models.MLP(*arguments)


def test_initial_loss_is_near_ln_10():
    torch.manual_seed(0)
    loss = models.initial_loss(models.MLP((784, 128, 64, 10)), torch.rand(64, 1, 28, 28), torch.arange(64) % 10)
    assert loss == pytest.approx(2.3026, abs=0.05)
