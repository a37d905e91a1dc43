import pytest
import torch

from coursekit import models
from coursekit.errors import UsageError
from coursekit.resnet import BasicBlock, ResNet, ZeroPadShortcut, resnet, resnet20, zero_last_norms


@pytest.mark.parametrize(
    ("depth", "shortcut", "parameters", "macs"),
    [
        (20, "projection", 272_474, 40_813_184),
        (20, "zero-padding", 269_722, 40_551_040),
        (20, "none", 269_722, 40_551_040),
        (38, "projection", 564_122, 83_280_512),
        (38, "zero-padding", 561_370, None),
    ],
)
def test_published_sizes(depth, shortcut, parameters, macs):
    model = resnet(depth, shortcut)
    assert models.parameter_count(model) == parameters
    if macs:
        assert models.layer_table(model, (3, 32, 32)).MACs.sum() == macs


def test_shapes_after_each_stage_and_number_of_layers():
    model = resnet20()
    x = model.stem(torch.rand(2, 3, 32, 32))
    shapes = []
    for part in model.stages:
        x = part(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    threes = [m for m in model.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(threes) + 1 == 20


@pytest.mark.parametrize("shortcut", ["projection", "zero-padding"])
@pytest.mark.parametrize(("c_in", "stride"), [(8, 1), (4, 2)])
def test_block_whose_last_norm_is_zero_is_its_shortcut(c_in, stride, shortcut):
    block = BasicBlock(c_in, 8, stride, shortcut)
    torch.nn.init.zeros_(block.bn2.weight)
    x = torch.randn(4, c_in, 6, 6)
    torch.testing.assert_close(block(x), torch.relu(block.shortcut(x)))
    assert block(x).shape == (4, 8, 6 // stride, 6 // stride)


def test_identity_block_written_out_and_its_input_left_alone():
    block = BasicBlock(3, 3).eval()
    x = torch.randn(2, 3, 5, 5)
    before = x.clone()
    out = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
    torch.testing.assert_close(block(x), torch.relu(out + x))
    torch.testing.assert_close(x, before)


def test_plain_block_has_no_shortcut():
    block = BasicBlock(3, 3, shortcut="none")
    torch.nn.init.zeros_(block.bn2.weight)
    assert not block(torch.randn(2, 3, 5, 5)).any()


def test_zero_padding_keeps_pixels_and_is_symmetric():
    x = torch.rand(1, 2, 4, 4)
    out = ZeroPadShortcut(2, 6, 2)(x)
    torch.testing.assert_close(out[:, 2:4], x[:, :, ::2, ::2])
    assert not out[:, :2].any()
    assert not out[:, 4:].any()


def test_zero_last_norms_makes_every_block_its_shortcut():
    model = zero_last_norms(ResNet(blocks=1))
    assert all(not block.bn2.weight.any() for block in model.modules() if isinstance(block, BasicBlock))


def test_convolutions_have_no_bias_and_the_first_loss_is_near_ln_10():
    torch.manual_seed(0)
    model = resnet20()
    assert all(layer.bias is None for layer in model.modules() if isinstance(layer, torch.nn.Conv2d))
    loss = models.initial_loss(model, torch.randn(64, 3, 32, 32), torch.arange(64) % 10)
    assert loss == pytest.approx(2.3026, abs=0.4)


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_other_depths_are_refused(depth):
    with pytest.raises(UsageError, match=r"6n \+ 2"):
        resnet(depth)


def test_other_shortcuts_are_refused():
    with pytest.raises(UsageError, match="projection, zero-padding, none"):
        resnet20("bottleneck")
