import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coursekit import scratch
from coursekit.errors import DataError

RNG = np.random.default_rng(0)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.integers(0, 6))
def test_conv2d_equals_torch_on_random_shapes(batch, c_in, c_out, kh, kw, extra):
    images = RNG.normal(size=(batch, c_in, kh + extra, kw + extra + 1)).astype(np.float32)
    kernels = RNG.normal(size=(c_out, c_in, kh, kw)).astype(np.float32)
    expected = torch.nn.functional.conv2d(torch.from_numpy(images), torch.from_numpy(kernels)).numpy()
    for function in (scratch.conv2d, scratch.conv2d_naive):
        out = function(images, kernels)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out, expected, atol=1e-5)


def test_conv2d_does_not_flip_the_kernel():
    image = np.arange(9.0).reshape(1, 1, 3, 3)
    kernel = np.zeros((1, 1, 2, 2))
    kernel[0, 0, 0, 0] = 1
    np.testing.assert_array_equal(scratch.conv2d(image, kernel)[0, 0], image[0, 0, :2, :2])


def test_conv2d_takes_integers_without_overflow():
    image = np.full((1, 1, 3, 3), 255, np.uint8)
    assert scratch.conv2d(image, np.ones((1, 1, 3, 3), np.uint8)).item() == 255 * 9


@pytest.mark.parametrize(
    ("images", "kernels", "message"),
    [
        ((1, 3, 8, 8), (4, 2, 3, 3), "3 channels, kernels 2"),
        ((3, 8, 8), (4, 3, 3, 3), "4-d"),
        ((1, 3, 2, 8), (4, 3, 3, 3), "larger than the image"),
    ],
)
@pytest.mark.parametrize("function", [scratch.conv2d, scratch.conv2d_naive])
def test_conv2d_refuses_what_does_not_fit(function, images, kernels, message):
    with pytest.raises(DataError, match=message):
        function(np.zeros(images), np.zeros(kernels))


def test_conv2d_is_a_hundred_times_faster_than_the_loops():
    images = RNG.normal(size=(50, 3, 32, 32)).astype(np.float32)
    kernels = RNG.normal(size=(16, 3, 3, 3)).astype(np.float32)

    def best_of(function, arguments, tries):
        times = []
        for _ in range(tries):
            start = time.perf_counter()
            function(*arguments)
            times.append(time.perf_counter() - start)
        return min(times)

    fast = best_of(scratch.conv2d, (images, kernels), 5)
    slow = best_of(scratch.conv2d_naive, (images[:10], kernels), 1) * 5  # linear in the batch
    assert slow > 100 * fast
