"""Keras on JAX: the networks as layers, trained by `fit` on the arrays."""

from collections.abc import Callable

import jax
import keras
import numpy as np
import torch
from keras import KerasTensor, Layer

from benchmarks import courses
from benchmarks.peers import handover, jax_networks
from benchmarks.peers.pace import Pace
from benchmarks.workloads import Workload, seeded
from coursekit.data.datasets import Dataset

EPOCHS = 10**6  # more than there will be: the pace ends the training
AT_ONCE = {"MLP": 16}  # steps per execution, where a step is short


class CropFlip(Layer):
    """`keras.layers.RandomCrop` draws one crop for a whole batch; this one draws one for each image."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, images, training: bool = False):
        return jax_networks.crop_flip(images, jax.random.wrap_key_data(self.seeds.next())) if training else images


class Builder:
    """Makes layers with weights and remembers their order; `decay` adds its share of each weight to the gradient.

    The optimizers' own `weight_decay` is another rule than torch's.
    """

    def __init__(self, decay: float):
        self.layers: list[Layer] = []
        self.regularizer = keras.regularizers.L2(decay / 2) if decay else None

    def linear(self, units: int, activation: str | None = None) -> Layer:
        penalties = dict(kernel_regularizer=self.regularizer, bias_regularizer=self.regularizer)
        return self._made(keras.layers.Dense(units, activation, **penalties))

    def convolution(self, filters: int, size: int, activation: str | None = None, **options) -> Layer:
        penalties = dict(kernel_regularizer=self.regularizer, bias_regularizer=self.regularizer)
        return self._made(keras.layers.Conv2D(filters, size, activation=activation, **penalties | options))

    def normed(self, x: KerasTensor, filters: int, size: int, **options) -> KerasTensor:
        """A convolution and its BatchNorm."""
        x = self.convolution(filters, size, **options)(x)
        return self.norm()(x)

    def norm(self) -> Layer:
        penalties = dict(beta_regularizer=self.regularizer, gamma_regularizer=self.regularizer)
        constants = dict(momentum=1 - jax_networks.MOMENTUM, epsilon=jax_networks.EPSILON)
        return self._made(keras.layers.BatchNormalization(**constants, **penalties))

    def _made(self, layer: Layer) -> Layer:
        self.layers.append(layer)
        return layer


def mlp(make: Builder, x: KerasTensor, widths: tuple[int, int] = (128, 64)) -> KerasTensor:
    x = keras.layers.Flatten()(x)
    for width in widths:
        x = make.linear(width, "relu")(x)
    return make.linear(10)(x)


def simple_nn(make: Builder, x: KerasTensor) -> KerasTensor:
    for filters, size in ((8, 5), (16, 3)):
        x = keras.layers.ReLU()(make.normed(x, filters, size))
        x = keras.layers.MaxPooling2D()(x)
    return mlp(make, x, (120, 84))


def cnn4(make: Builder, x: KerasTensor) -> KerasTensor:
    for filters, size in ((16, 3), (8, 3), (16, 5)):
        x = make.convolution(filters, size, "relu")(x)
    x = make.convolution(16, 5, "relu")(keras.layers.MaxPooling2D()(x))
    return make.linear(10)(keras.layers.Flatten()(keras.layers.MaxPooling2D()(x)))


def resnet20(make: Builder, x: KerasTensor) -> KerasTensor:
    x = _padded(make, x, 16, 1)
    for width in (16, 32, 64):
        for block in range(3):
            x = _block(make, x, width, stride=2 if width > 16 and not block else 1)
    return make.linear(10)(keras.layers.GlobalAveragePooling2D()(x))


def _block(make: Builder, x: KerasTensor, width: int, stride: int) -> KerasTensor:
    y = _padded(make, x, width, stride)
    y = make.normed(y, width, 3, padding="same", use_bias=False)
    if stride > 1:
        x = make.normed(x, width, 1, strides=stride, use_bias=False)
    return keras.layers.ReLU()(y + x)


def _padded(make: Builder, x: KerasTensor, width: int, stride: int) -> KerasTensor:
    """A 3×3 convolution with BatchNorm and ReLU; "same" would pad one side only where the stride is 2."""
    x = keras.layers.ZeroPadding2D(1)(x) if stride > 1 else x
    padding = "valid" if stride > 1 else "same"
    return keras.layers.ReLU()(make.normed(x, width, 3, strides=stride, padding=padding, use_bias=False))


NETWORKS: dict[str, Callable[[Builder, KerasTensor], KerasTensor]] = {
    "MLP": mlp,
    "SimpleNN, BN, crop + flip": simple_nn,
    "cnn4": cnn4,
    "ResNet-20, crop + flip": resnet20,
}


def network(workload: Workload) -> keras.Model:
    """The whole model from stored images to logits, with the weights of torch's network."""
    colour = workload.data == "cifar10"
    make = Builder(workload.optimizer.keywords.get("weight_decay", 0))
    mean, std = (np.array(part) for part in (courses.MEAN, courses.STD)) if colour else (np.zeros(1), np.ones(1))
    images = keras.Input((32, 32, 3) if colour else (28, 28, 1), dtype="uint8")
    x = keras.layers.Rescaling((1 / (255 * std)).tolist(), (-mean / std).tolist())(images)
    x = CropFlip()(x) if workload.augment else x
    model = keras.Model(images, NETWORKS[workload.name](make, x))
    given = handover.layers(seeded(workload), 3 if colour else 1)
    for layer, (parameters, statistics) in zip(make.layers, given, strict=True):
        layer.set_weights(parameters + statistics)
    return model


def rule(workload: Workload) -> keras.Optimizer:
    """The workload's optimizer."""
    options = workload.optimizer.keywords
    if workload.optimizer.func is torch.optim.Adam:
        return keras.optimizers.Adam(options["lr"], epsilon=1e-8)
    return keras.optimizers.SGD(options["lr"], momentum=float(options.get("momentum", 0)))


class Paced(keras.callbacks.Callback):
    """Counts the steps of each execution, whose loss has been read when it comes here."""

    def __init__(self, pace: Pace):
        super().__init__()
        self.pace = pace

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.done = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        steps, self.done = batch + 1 - self.done, batch + 1
        self.pace.after(steps)


def compiled(workload: Workload) -> keras.Model:
    """The model with its loss and optimizer."""
    model = network(workload)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(rule(workload), loss, steps_per_execution=AT_ONCE.get(workload.name, 1))
    return model


def fit(workload: Workload, dataset: Dataset, pace: Pace) -> None:
    """`fit` on the stored images, which the model scales."""
    model = compiled(workload)
    images = dataset.train_images.numpy()
    images = images if images.ndim == 4 else images[..., None]
    labels = dataset.train_labels.numpy().astype("int32")
    if model.steps_per_execution > 1:
        pace.settling = -(-len(labels) // workload.batch_size)  # the short batch that ends an epoch is compiled as well
    model.fit(images, labels, workload.batch_size, EPOCHS, verbose=0, callbacks=[Paced(pace)])
