"""Activations, softmax, cross-entropy, accuracy, convolution, its arithmetic, BatchNorm."""

import math

import numpy as np


def sig(x):
    return 1 / (1 + np.exp(-np.asarray(x, float)))


def soft(z):
    z = np.asarray(z, float)
    return np.array([np.exp(row - max(row)) / sum(np.exp(row - max(row))) for row in z])


def log_soft(z):
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def onehot(z, y):
    return (np.arange(z.shape[1]) == y[:, None]).astype(float)


def two(loss=lambda z, y: -np.mean(log_soft(z)[range(len(y)), y]), grad=lambda z, y: (soft(z) - onehot(z, y)) / len(y)):
    return lambda z, y: (loss(z, y), grad(z, y))


def broken_by_mean_first(z, y):
    return -np.log(np.mean(soft(z)[range(len(y)), y]))


def relu_in_place(x):
    x[x < 0] = 0
    return x


def relu_loop_of_rows(x):
    return np.array([max(value, 0) for value in x])


def sigmoid_stable(x):
    x = np.asarray(x, float)
    return np.exp(-np.logaddexp(0, -x))


def softmax_in_place(z):
    z -= z.max(axis=1, keepdims=True)
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def softmax_forgets_axis(z):
    e = np.exp(z - z.max(axis=1))
    return e / e.sum(axis=1)


def softmax_of_ints(z):
    out = np.zeros_like(z)
    for i, row in enumerate(z):
        e = np.exp(row - row.max())
        out[i] = e / e.sum()
    return out


def conv(flip=False, pad=0, sum_=np.sum, dtype=np.float32, lose=0, square=False):
    def code(images, kernels):
        images = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        n, _, H, W = images.shape
        o, _, kh, kw = kernels.shape
        h, w = H - kh + 1 - lose, (H if square else W) - kw + 1 - lose
        out = np.zeros((n, o, h, w), dtype)
        for i in range(h):
            for j in range(w):
                window = images[:, None, :, i : i + kh, j : j + kw]
                out[:, :, i, j] = sum_(window * (kernels[:, :, ::-1, ::-1] if flip else kernels), axis=(2, 3, 4))
        return out

    return code


def conv_one_channel(images, kernels):
    return conv()(images[:, :1], kernels[:, :1])


def conv_one_image(images, kernels):
    return conv()(images[:1], kernels)


def conv_in_bytes(images, kernels):
    kernels = kernels.astype(images.dtype)
    n, _, H, W = images.shape
    o, _, kh, kw = kernels.shape
    out = np.zeros((n, o, H - kh + 1, W - kw + 1), images.dtype)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            for c in range(o):
                window = images[:, :, i : i + kh, j : j + kw] * kernels[c]
                out[:, c, i, j] = window.sum(axis=(1, 2, 3), dtype=images.dtype)
    return out


def conv_einsum(images, kernels):
    windows = np.lib.stride_tricks.sliding_window_view(images.astype(float), kernels.shape[2:], axis=(2, 3))
    return np.einsum("ncijab,ocab->noij", windows, kernels)


def norm(axes=(0, 2, 3), inside=True, root=True, ddof=0, use_bias=True, scale_bias=False):
    def code(images, weight, bias, eps):
        mean, var = np.mean(images, axes, keepdims=True), np.var(images, axes, ddof=ddof, keepdims=True)
        std = np.sqrt(var + eps) if inside else np.sqrt(var) + eps
        out = (images - mean) / (std if root else var + eps)
        g, b = weight.reshape(1, -1, 1, 1), bias.reshape(1, -1, 1, 1) * use_bias
        return g * (out + b) if scale_bias else g * out + b

    return code


def norm_by_channel(images, weight, bias, eps):
    out = np.empty_like(images)
    for c in range(images.shape[1]):
        pixels = images[:, c]
        out[:, c] = weight[c] * (pixels - pixels.mean()) * (pixels.var() + eps) ** -0.5 + bias[c]
    return out


def norm_weight_on_columns(images, weight, bias, eps):
    mean, var = np.mean(images, (0, 2, 3), keepdims=True), np.var(images, (0, 2, 3), keepdims=True)
    return (images - mean) / np.sqrt(var + eps) * weight + bias


WRONG = {
    "sigmoid": [
        ("overflows", lambda x: np.exp(x) / (np.exp(x) + 1)),
        ("sign in the exponent", lambda x: 1 / (1 + np.exp(np.asarray(x, float)))),
        ("This is tanh", np.tanh),
        ("softmax", lambda x: np.exp(x) / np.sum(np.exp(x))),
        ("slope of the sigmoid", lambda x: sig(x) * (1 - sig(x))),
        (
            "takes one",
            lambda x: (
                np.array([1 / (1 + math.exp(-v)) for v in x.ravel()]).reshape(x.shape) if x.ndim else math.exp("x")
            ),
        ),
        ("added, not subtracted", lambda x: 1 / (1 - np.exp(-np.asarray(x, float)))),
    ],
    "sigmoid_derivative": [
        ("σ(x) has to come first", lambda a: a * (1 - a)),
        ("at the output", lambda x: sig(sig(x)) * (1 - sig(sig(x)))),
        ("sigmoid itself", sig),
        ("sign is wrong", lambda x: -np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2),
        ("overflows", lambda x: np.exp(x) / (1 + np.exp(x)) ** 2),
        ("slope of tanh", lambda x: 1 - np.tanh(x) ** 2),
        ("1 − σ²", lambda x: sig(x) * (1 - sig(x) * sig(x))),
    ],
    "tanh": [
        ("overflows", lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))),
        ("swapped", lambda x: -np.tanh(x)),
        ("sigmoid", sig),
        ("half of x", lambda x: 2 * sig(x) - 1),
        ("tangent", np.tan),
        ("slope of tanh", lambda x: 1 / np.cosh(np.asarray(x, float)) ** 2),
    ],
    "tanh_derivative": [
        ("before it is squared", lambda x: 1 - x * x),
        ("at the output", lambda x: 1 - np.tanh(np.tanh(x)) ** 2),
        ("square is missing", lambda x: 1 - np.tanh(x)),
        ("rises everywhere", lambda x: np.tanh(x) ** 2 - 1),
        ("tanh itself", np.tanh),
        ("sigmoid's form", lambda x: (a := np.tanh(x)) * (1 - a)),
    ],
    "relu": [
        ("work on a copy", relu_in_place),
        ("|x|", np.abs),
        ("comparison is turned", lambda x: np.where(x < 0, x, 0)),
        ("slope", lambda x: np.where(x > 0, 1, 0)),
        ("leaky", lambda x: np.maximum(0.01 * x, x)),
        ("np.maximum compares", lambda x: max(0, x.max())),
        ("takes one", lambda x: x if x > 0 else 0),
        ("shape stays", lambda x: x[x > 0]),
    ],
    "relu_derivative": [
        (">=", lambda x: np.where(x >= 0, 1.0, 0.0)),
        ("ReLU itself", lambda x: np.maximum(x, 0)),
        ("slope of |x|", np.sign),
        ("comparison is turned", lambda x: 1.0 * (x < 0)),
        ("leaky", lambda x: np.where(x > 0, 1, 0.01)),
        ("everywhere", lambda x: x * 0 + 1),
    ],
    "softmax": [
        ("subtract the maximum", lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)),
        ("keepdims", softmax_forgets_axis),
        ("each row has to add up to 1", lambda z: np.exp(z - z.max()) / np.sum(np.exp(z - z.max()))),
        ("along the classes", lambda z: np.exp(z - z.max()) / np.sum(np.exp(z - z.max()), axis=0)),
        ("maximum has to be that of each row", lambda z: (e := np.exp(z - z.max())) / e.sum(axis=1, keepdims=True)),
        ("write into the array", softmax_in_place),
        ("decimals", softmax_of_ints),
        ("not divided by the sum", lambda z: np.exp(z - z.max(axis=1, keepdims=True))),
        ("log-softmax", log_soft),
        ("compete", lambda z: 1 / (1 + np.exp(-z))),
        ("exponent has the wrong sign", lambda z: soft(-z)),
    ],
    "cross_entropy": [
        ("log(0) is −inf", two(lambda z, y: -np.log(soft(z)[range(len(y)), y]).mean())),
        ("cut off", two(lambda z, y: -np.log(soft(z)[range(len(y)), y] + 1e-12).mean())),
        ("minus is missing", two(lambda z, y: np.mean(log_soft(z)[range(len(y)), y]))),
        ("summed over the batch", two(lambda z, y: -np.sum(log_soft(z)[range(len(y)), y]))),
        ("number of classes", two(lambda z, y: -np.mean(log_soft(z) * onehot(z, y)))),
        ("not divided by the batch size", two(grad=lambda z, y: soft(z) - onehot(z, y))),
        ("probabilities minus one-hot", two(grad=lambda z, y: (onehot(z, y) - soft(z)) / len(y))),
        ("not subtracted", two(grad=lambda z, y: soft(z) / len(y))),
        ("softmax comes first", two(grad=lambda z, y: (z - onehot(z, y)) / len(y))),
        ("single examples", two(lambda z, y: -log_soft(z)[range(len(y)), y])),
        ("mean of −log", two(broken_by_mean_first)),
        ("loss and the gradient", lambda z, y: -np.mean(log_soft(z)[range(len(y)), y])),
        (
            "subtract the maximum",
            two(lambda z, y: -np.mean(np.log((e := np.exp(z))[range(len(y)), y] / e.sum(axis=1)))),
        ),
        ("applied twice", lambda z, y: two()(soft(z), y)),
    ],
    "accuracy": [
        ("divide by the number of examples", lambda z, y: sum(z.argmax(1) == y)),
        ("share of errors", lambda z, y: np.mean(z.argmax(1) != y)),
        ("percent", lambda z, y: 100 * np.mean(z.argmax(1) == y)),
        ("own results", lambda z, y: (z.argmax(1) == y) * 1.0),
        ("smallest", lambda z, y: np.mean(z.argmin(1) == y)),
        ("axis too many", lambda z, y: np.mean(z.argmax(1).reshape(-1, 1) == y)),
    ],
    "conv2d": [
        ("flipped", conv(flip=True)),
        ("padded", conv(pad=1)),
        ("mean over the window", conv(sum_=np.mean)),
        ("channel", conv_one_channel),
        ("each image", conv_one_image),
        ("last row and column", conv(lose=1)),
        ("rows and columns are counted separately", conv(square=True)),
        ("overflows in uint8", conv_in_bytes),
        ("bytes", conv(dtype=np.uint8)),
    ],
    "output_size": [
        ("+ 1", lambda size, kernel, stride, padding: (size - kernel + 2 * padding) // stride),
        ("both sides", lambda size, kernel, stride, padding: (size - kernel + padding) // stride + 1),
        ("padding is forgotten", lambda size, kernel, stride, padding: (size - kernel) // stride + 1),
        ("stride is forgotten", lambda size, kernel, stride, padding: size - kernel + 2 * padding + 1),
        ("not up", lambda size, kernel, stride, padding: math.ceil((size - kernel + 2 * padding) / stride) + 1),
        ("//", lambda size, kernel, stride, padding: 1 + (size - kernel + 2 * padding) / stride),
    ],
    "batch_norm": [
        ("each channel has its own", norm(axes=None)),
        ("rows and columns too", norm(axes=(0,))),
        ("Each image is normalised by itself", norm(axes=(2, 3))),
        ("LayerNorm", norm(axes=(1, 2, 3))),
        ("square root", norm(root=False)),
        ("eps belongs inside", norm(inside=False)),
        ("n − 1", norm(ddof=1)),
        ("scaled too", norm(scale_bias=True)),
        ("belong to the channels", norm_weight_on_columns),
    ],
}

RIGHT = {
    "sigmoid": [sigmoid_stable, lambda x: 0.5 * (1 + np.tanh(np.asarray(x) / 2)), lambda x: sig(np.clip(x, -700, 700))],
    "sigmoid_derivative": [lambda x: np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))) ** 2],
    "tanh": [lambda x: 1 - 2 / (1 + np.exp(2 * np.clip(x, -300, 300)))],
    "tanh_derivative": [lambda x: 1 / np.cosh(np.asarray(x, float)) ** 2],
    "relu": [lambda x: np.where(x > 0, x, 0), lambda x: (x + np.abs(x)) / 2],
    "relu_derivative": [lambda x: np.where(x > 0, 1.0, 0.0), lambda x: np.heaviside(x, 0)],
    "softmax": [soft, lambda z: np.exp(log_soft(z)), lambda z: soft(z).astype(np.float32)],
    "cross_entropy": [two(), two(grad=lambda z, y: (np.exp(log_soft(z)) - np.eye(z.shape[1])[y]) / z.shape[0])],
    "accuracy": [lambda z, y: sum(int(a) == int(b) for a, b in zip(z.argmax(1), y, strict=True)) / len(y)],
    "conv2d": [conv(), conv_einsum],
    "output_size": [lambda size, kernel, stride, padding: len(range(0, size + 2 * padding - kernel + 1, stride))],
    "batch_norm": [norm(), norm_by_channel],
}
