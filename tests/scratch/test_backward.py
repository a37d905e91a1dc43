"""Convolution, max pooling and batch normalisation by hand, against torch's autograd and finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from coursekit import scratch
from coursekit.errors import DataError
from coursekit.scratch.gradcheck import numerical_gradient, relative_error

RNG = np.random.default_rng(0)
EXACT = dict(rtol=1e-10, atol=1e-10)


def draw(*shapes):
    return [RNG.normal(size=shape) for shape in shapes]


def by_autograd(function, d_out, *arrays):
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    out = function(*tensors)
    out.backward(torch.tensor(d_out))
    return out.detach().numpy(), [tensor.grad.numpy() for tensor in tensors]


@given(
    st.tuples(*[st.integers(1, 3)] * 3),
    st.tuples(*[st.integers(1, 4)] * 2),
    st.tuples(*[st.integers(0, 4)] * 2),
    st.integers(1, 3),
    st.integers(0, 2),
)
def test_conv2d_backward_is_autograds(counts, kernel, extra, stride, padding):
    batch, c_in, c_out = counts
    size = [k + more for k, more in zip(kernel, extra, strict=True)]
    images, kernels, bias = draw((batch, c_in, *size), (c_out, c_in, *kernel), (c_out,))
    d_out = RNG.normal(
        size=(batch, c_out, *((n + 2 * padding - k) // stride + 1 for n, k in zip(size, kernel, strict=True)))
    )
    _, expected = by_autograd(lambda x, w, b: functional.conv2d(x, w, b, stride, padding), d_out, images, kernels, bias)
    for ours, autograds in zip(scratch.conv2d_backward(d_out, images, kernels, stride, padding), expected, strict=True):
        np.testing.assert_allclose(ours, autograds, **EXACT)


def test_conv2d_backward_agrees_with_finite_differences():
    images, kernels, d_out = draw((2, 2, 5, 6), (3, 2, 3, 2), (2, 3, 3, 4))
    arguments = dict(stride=2, padding=1)

    def loss():
        out = functional.conv2d(torch.tensor(images), torch.tensor(kernels), **arguments)
        return float((out * torch.tensor(d_out)).sum())

    d_images, d_kernels, _ = scratch.conv2d_backward(d_out, images, kernels, **arguments)
    assert relative_error(d_images, numerical_gradient(loss, images)) < 1e-8
    assert relative_error(d_kernels, numerical_gradient(loss, kernels)) < 1e-8


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.tuples(*[st.integers(0, 5)] * 2))
def test_max_pooling_is_torchs_both_ways(batch, channels, size, extra):
    (images,) = draw((batch, channels, size + extra[0], size + extra[1]))
    d_out = RNG.normal(size=(batch, channels, images.shape[2] // size, images.shape[3] // size))
    out, (expected,) = by_autograd(lambda x: functional.max_pool2d(x, size), d_out, images)
    np.testing.assert_array_equal(scratch.max_pool2d(images, size), out)
    np.testing.assert_array_equal(scratch.max_pool2d_backward(d_out, images, size), expected)


def test_max_pooling_gives_the_gradient_of_equal_numbers_to_the_first_as_torch_does():
    images, d_out = np.ones((1, 1, 4, 4)), np.arange(1.0, 5).reshape(1, 1, 2, 2)
    _, (expected,) = by_autograd(lambda x: functional.max_pool2d(x, 2), d_out, images)
    np.testing.assert_array_equal(scratch.max_pool2d_backward(d_out, images), expected)


def test_max_pooling_takes_whole_numbers():
    images = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    assert scratch.max_pool2d(images)[0, 0].tolist() == [[5, 7], [13, 15]]
    assert scratch.max_pool2d_backward(np.full((1, 1, 2, 2), 0.5), images).sum() == 2


def test_max_pooling_refuses_a_window_larger_than_the_image():
    with pytest.raises(DataError, match="3 × 3 is larger than the image 2 × 8"):
        scratch.max_pool2d(np.zeros((1, 1, 2, 8)), 3)


@given(
    st.integers(2, 5), st.integers(1, 4), st.sampled_from([(), (1, 1), (2, 3), (4, 4)]), st.sampled_from([1e-5, 0.1])
)
def test_batch_norm_is_torchs_both_ways(batch, channels, image, eps):
    x, d_out, weight, bias = draw(*[(batch, channels, *image)] * 2, *[(channels,)] * 2)
    x = 3 * x + 1
    out, expected = by_autograd(
        lambda x, w, b: functional.batch_norm(x, None, None, w, b, training=True, eps=eps), d_out, x, weight, bias
    )
    ours, cache = scratch.batch_norm_forward(x, weight, bias, eps)
    np.testing.assert_allclose(ours, out, **EXACT)
    for gradient, autograds in zip(scratch.batch_norm_backward(d_out, cache), expected, strict=True):
        np.testing.assert_allclose(gradient, autograds, **EXACT)


def test_batch_norm_backward_agrees_with_finite_differences():
    x, d_out, weight, bias = draw((3, 2, 2, 2), (3, 2, 2, 2), (2,), (2,))

    def loss():
        return float((scratch.batch_norm_forward(x, weight, bias)[0] * d_out).sum())

    _, cache = scratch.batch_norm_forward(x, weight, bias)
    for gradient, of in zip(scratch.batch_norm_backward(d_out, cache), (x, weight, bias), strict=True):
        assert relative_error(gradient, numerical_gradient(loss, of)) < 1e-7
