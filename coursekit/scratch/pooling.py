"""Max pooling in NumPy, forward and backward."""

import numpy as np

from coursekit.errors import DataError
from coursekit.scratch.layers import Array


def max_pool2d(images: Array, size: int = 2) -> Array:
    """The largest number of each window of size × size; the windows do not overlap.

    images (batch, channels, H, W) to (batch, channels, H // size, W // size): rows and columns that fill no window are
    left out. Raises DataError when the window is larger than the image.
    """
    return _windows(images, size).max(axis=-1)


def max_pool2d_backward(d_out: Array, images: Array, size: int = 2) -> Array:
    """The gradient with respect to images: each window passes its gradient to its largest number, the first of equals.

    All other pixels get 0: a small change of theirs does not change the output.
    """
    windows = _windows(images, size)
    largest = windows.argmax(axis=-1)[..., None]
    d_windows = np.zeros_like(windows, dtype=d_out.dtype)
    np.put_along_axis(d_windows, largest, d_out[..., None], axis=-1)
    batch, channels, rows, columns, _ = windows.shape
    blocks = d_windows.reshape(batch, channels, rows, columns, size, size).transpose(0, 1, 2, 4, 3, 5)
    d_images = np.zeros(images.shape, d_out.dtype)
    d_images[:, :, : rows * size, : columns * size] = blocks.reshape(batch, channels, rows * size, columns * size)
    return d_images


def _windows(images: Array, size: int) -> Array:
    """(batch, channels, H, W) to (batch, channels, rows, columns, size²): the numbers of each window side by side."""
    batch, channels, height, width = images.shape
    rows, columns = height // size, width // size
    if not rows or not columns:
        raise DataError(f"the window {size} × {size} is larger than the image {height} × {width}")
    blocks = images[:, :, : rows * size, : columns * size].reshape(batch, channels, rows, size, columns, size)
    return blocks.transpose(0, 1, 2, 4, 3, 5).reshape(batch, channels, rows, columns, size * size)
