"""Neural networks in NumPy alone: the part of the course that is built by hand."""

from coursekit.scratch.convolution import conv2d, conv2d_backward, conv2d_naive
from coursekit.scratch.layers import (
    Linear,
    ReLU,
    accuracy,
    cross_entropy,
    relu,
    relu_derivative,
    sigmoid,
    sigmoid_derivative,
    softmax,
    swish,
    swish_derivative,
    tanh_derivative,
)
from coursekit.scratch.networks import SimpleNetwork, SoftmaxRegression, TwoLayerNet
from coursekit.scratch.normalization import batch_norm_backward, batch_norm_forward
from coursekit.scratch.pooling import max_pool2d, max_pool2d_backward
from coursekit.scratch.training import SGD, apply_regularization, evaluate, fit, minibatches, train_with_gd
from coursekit.scratch.xor import XorNet, bayes_accuracy, blobs, train_xor

__all__ = [
    "SGD",
    "Linear",
    "ReLU",
    "SimpleNetwork",
    "SoftmaxRegression",
    "TwoLayerNet",
    "XorNet",
    "accuracy",
    "apply_regularization",
    "batch_norm_backward",
    "batch_norm_forward",
    "bayes_accuracy",
    "blobs",
    "conv2d",
    "conv2d_backward",
    "conv2d_naive",
    "cross_entropy",
    "evaluate",
    "fit",
    "max_pool2d",
    "max_pool2d_backward",
    "minibatches",
    "relu",
    "relu_derivative",
    "sigmoid",
    "sigmoid_derivative",
    "softmax",
    "swish",
    "swish_derivative",
    "tanh_derivative",
    "train_with_gd",
    "train_xor",
]
