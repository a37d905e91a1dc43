import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, relu

from coursekit import models
from coursekit.errors import UsageError
from coursekit.models.residual import BasicBlock, ResNet, ZeroPadShortcut, resnet, resnet20, zero_last_norms


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
    threes = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(threes) + 1 == 20


@pytest.mark.parametrize("shortcut", ["projection", "zero-padding"])
@pytest.mark.parametrize(("c_in", "stride"), [(8, 1), (4, 2)])
def test_block_whose_last_norm_is_zero_is_its_shortcut(c_in, stride, shortcut):
    block = BasicBlock(c_in, 8, stride, shortcut)
    nn.init.zeros_(block.bn2.weight)
    x = torch.randn(4, c_in, 6, 6)
    torch.testing.assert_close(block(x), torch.relu(block.shortcut(x)))
    assert block(x).shape == (4, 8, 6 // stride, 6 // stride)


def with_drawn_norms(module: nn.Module, images: Tensor) -> nn.Module:
    """In eval mode, with scale and shift drawn for every BatchNorm and the statistics of these images."""
    generator = torch.Generator().manual_seed(0)
    for norm in (layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)):
        norm.weight.data = 0.5 + torch.rand(norm.weight.shape, generator=generator)
        norm.bias.data = torch.rand(norm.bias.shape, generator=generator) - 0.5
        norm.momentum = 1.0
    module.train()(images)
    return module.eval()


def functional_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    return batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def option_a(x: Tensor, c_out: int, stride: int) -> Tensor:
    """The paper's shortcut without parameters, pixel by pixel."""
    batch, c_in, height, width = x.shape
    out = torch.zeros(batch, c_out, height // stride, width // stride)
    for i, j in itertools.product(range(height // stride), range(width // stride)):
        front = (c_out - c_in) // 2
        out[:, front : front + c_in, i, j] = x[:, :, stride * i, stride * j]
    return out


def block_written_out(block: BasicBlock, x: Tensor, kind: str, stride: int) -> Tensor:
    """He et al. 2016, figure 2, with torch's functions: convolution, norm, ReLU, convolution, norm, addition, ReLU."""
    out = relu(functional_norm(conv2d(x, block.conv1.weight, stride=stride, padding=1), block.bn1))
    out = functional_norm(conv2d(out, block.conv2.weight, padding=1), block.bn2)
    if kind == "none":
        return relu(out)
    if x.shape == out.shape:
        return relu(out + x)
    if kind == "zero-padding":
        return relu(out + option_a(x, out.shape[1], stride))
    convolution, norm = block.shortcut
    return relu(out + functional_norm(conv2d(x, convolution.weight, stride=stride), norm))


@pytest.mark.parametrize("shortcut", ["projection", "zero-padding", "none"])
@pytest.mark.parametrize(("c_in", "stride"), [(6, 1), (4, 1), (3, 2)])
def test_block_is_the_one_of_the_paper(c_in, stride, shortcut):
    x = torch.randn(8, c_in, 6, 6, generator=torch.Generator().manual_seed(1))
    block = with_drawn_norms(BasicBlock(c_in, 6, stride, shortcut), x)
    before = x.clone()
    torch.testing.assert_close(block(x), block_written_out(block, x, shortcut, stride))
    assert torch.equal(x, before), "the block changed its input"


@pytest.mark.parametrize("shortcut", ["projection", "zero-padding", "none"])
def test_network_is_stem_nine_blocks_mean_and_linear_layer(shortcut):
    torch.manual_seed(0)
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    model = with_drawn_norms(resnet20(shortcut), images)
    convolution, norm, _ = model.stem
    x = relu(functional_norm(conv2d(images, convolution.weight, padding=1), norm))
    blocks = [block for block in model.modules() if isinstance(block, BasicBlock)]
    for number, block in enumerate(blocks):
        x = block_written_out(block, x, shortcut, 2 if number in (3, 6) else 1)
    assert len(blocks) == 9
    linear = model.head[-1]
    logits = x.mean((2, 3)) @ linear.weight.T + linear.bias
    assert (logits.std(0) > 0.01).all(), "the comparison says nothing where all images give the same"
    torch.testing.assert_close(model(images), logits, rtol=1e-4, atol=1e-4)


def test_plain_block_has_no_shortcut():
    block = BasicBlock(3, 3, shortcut="none")
    nn.init.zeros_(block.bn2.weight)
    assert not block(torch.randn(2, 3, 5, 5)).any()


def test_zero_padding_keeps_pixels_and_is_symmetric():
    x = torch.rand(1, 2, 4, 4)
    out = ZeroPadShortcut(2, 6, 2)(x)
    torch.testing.assert_close(out[:, 2:4], x[:, :, ::2, ::2])
    assert not out[:, :2].any()
    assert not out[:, 4:].any()


def test_zero_last_norms_makes_every_block_its_shortcut():
    model = zero_last_norms(ResNet(blocks=1))
    blocks = [block for block in model.modules() if isinstance(block, BasicBlock)]
    assert len(blocks) == 3
    for block in blocks:
        x = torch.randn(2, block.conv1.in_channels, 4, 4)
        torch.testing.assert_close(block(x), torch.relu(block.shortcut(x)))
    assert all((block.bn1.weight == 1).all() for block in blocks), "the first norm of a block keeps its scale"


def test_convolutions_have_no_bias_and_the_first_loss_is_near_ln_10():
    torch.manual_seed(0)
    model = resnet20()
    assert all(layer.bias is None for layer in model.modules() if isinstance(layer, nn.Conv2d))
    loss = models.initial_loss(model, torch.randn(64, 3, 32, 32), torch.arange(64) % 10)
    assert loss == pytest.approx(2.3026, abs=0.4)


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_other_depths_are_refused(depth):
    with pytest.raises(UsageError, match=r"6n \+ 2"):
        resnet(depth)


def test_other_shortcuts_are_refused():
    with pytest.raises(UsageError, match="projection, zero-padding, none"):
        resnet20("bottleneck")


@pytest.mark.parametrize("options", [{"blocks": 0}, {"blocks": -1}, {"classes": 0}])
def test_no_network_of_no_blocks_or_classes(options):
    with pytest.raises(UsageError, match=r"^ResNet takes at least one block and one class, got "):
        ResNet(**options)
