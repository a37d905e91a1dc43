"""The convolution layer in NumPy: forward, fast and as plain loops, and backward."""

import numpy as np

from coursekit.errors import DataError
from coursekit.scratch.layers import Array


def conv2d(images: Array, kernels: Array) -> Array:
    """Cross-correlation without padding, stride 1: what deep learning calls convolution; the kernel is not flipped.

    images (batch, c_in, H, W) and kernels (c_out, c_in, kh, kw) to (batch, c_out, H-kh+1, W-kw+1) in float32.
    The windows are a view of the image; copied into columns they make the convolution one matrix product (im2col).
    Raises DataError when the channels differ or the kernel is larger than the image.
    """
    _check(images, kernels)
    batch, c_in, height, width = images.shape
    c_out, _, kh, kw = kernels.shape
    windows = np.lib.stride_tricks.sliding_window_view(images.astype(np.float32), (kh, kw), axis=(2, 3))
    out_height, out_width = height - kh + 1, width - kw + 1
    columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(batch, c_in * kh * kw, out_height * out_width)
    out = kernels.astype(np.float32).reshape(c_out, -1) @ columns
    return out.reshape(batch, c_out, out_height, out_width)


def conv2d_naive(images: Array, kernels: Array) -> Array:
    """`conv2d` as nested loops: slow, and readable as the definition."""
    _check(images, kernels)
    batch, _, height, width = images.shape
    c_out, _, kh, kw = kernels.shape
    out = np.zeros((batch, c_out, height - kh + 1, width - kw + 1), np.float32)
    for n in range(batch):
        for c in range(c_out):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    out[n, c, i, j] = np.sum(images[n, :, i : i + kh, j : j + kw] * kernels[c])
    return out


def conv2d_backward(
    d_out: Array, images: Array, kernels: Array, stride: int = 1, padding: int = 0
) -> tuple[Array, Array, Array]:
    """Gradients of the loss with respect to images, kernels and bias, from `d_out`, the one with respect to the output.

    Each number of a kernel meets one pixel in every window. Its gradient is the sum of these pixels, each times the
    gradient of the output there; the pixel receives that gradient times the number, from each window that it lies in.
    """
    kh, kw = kernels.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    d_padded, d_kernels = np.zeros_like(padded), np.zeros_like(kernels)
    height, width = (stride * size for size in d_out.shape[2:])
    for i in range(kh):
        for j in range(kw):
            pixels = np.s_[:, :, i : i + height : stride, j : j + width : stride]  # what kernels[..., i, j] meets
            d_kernels[:, :, i, j] = np.einsum("nohw,nchw->oc", d_out, padded[pixels])
            d_padded[pixels] += np.einsum("nohw,oc->nchw", d_out, kernels[:, :, i, j])
    rows, columns = (slice(padding, padding + size) for size in images.shape[2:])
    return d_padded[:, :, rows, columns], d_kernels, d_out.sum(axis=(0, 2, 3))


def _check(images: Array, kernels: Array) -> None:
    if images.ndim != 4 or kernels.ndim != 4:
        raise DataError(f"conv2d takes 4-d images and kernels, got shapes {images.shape} and {kernels.shape}")
    if images.shape[1] != kernels.shape[1]:
        raise DataError(f"images have {images.shape[1]} channels, kernels {kernels.shape[1]}: they must be equal")
    if kernels.shape[2] > images.shape[2] or kernels.shape[3] > images.shape[3]:
        raise DataError(f"kernel {kernels.shape[2:]} is larger than the image {images.shape[2:]}")
