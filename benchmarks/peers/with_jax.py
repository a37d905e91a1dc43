"""JAX: a function of a whole step, compiled; data resident; the weights of a sweep with one dimension more."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from jax import Array, lax

from benchmarks.peers import handover
from benchmarks.peers.jax_networks import NETWORKS, Layers, crop_flip
from benchmarks.peers.pace import Pace
from benchmarks.workloads import STANDARD, Workload, seeded
from coursekit.data.datasets import Dataset


class State(NamedTuple):
    """All that a step changes."""

    parameters: list[Array]
    statistics: list[Array]
    optimizer: optax.OptState


class Data(NamedTuple):
    """The images as stored, and what makes them inputs."""

    images: Array
    labels: Array
    scale: Array
    shift: Array


def first_state(workload: Workload, seeds: int = 1) -> State:
    """With the weights of torch's network; for several runs each array has them as its first dimension."""
    channels = 1 if workload.data == "mnist" else 3
    given = list(handover.layers(seeded(workload), channels))
    parameters, statistics = ([jnp.asarray(array) for layer in given for array in layer[kind]] for kind in (0, 1))
    state = State(parameters, statistics, rule(workload).init(parameters))
    return state if seeds == 1 else jax.tree.map(lambda array: jnp.stack([array] * seeds), state)


def resident(dataset: Dataset) -> Data:
    """The training images."""
    images = dataset.train_images.numpy()
    colour = images.ndim == 4
    mean, std = (part.numpy() for part in STANDARD) if colour else (np.zeros(1), np.ones(1))
    labels = dataset.train_labels.numpy().astype(np.int32)
    scale, shift = (array.astype(np.float32) for array in (1 / (255 * std), -mean / std))
    return Data(*map(jnp.asarray, (images if colour else images[..., None], labels, scale, shift)))


def rule(workload: Workload) -> optax.GradientTransformation:
    """The optimizer of the workload but for its learning rate, which is an argument of the step."""
    options = workload.optimizer.keywords
    if workload.optimizer.func is torch.optim.Adam:
        return optax.scale_by_adam()
    decay, momentum = options.get("weight_decay", 0), options.get("momentum", 0)
    traced = optax.trace(momentum) if momentum else optax.identity()
    return optax.chain(optax.add_decayed_weights(decay) if decay else optax.identity(), traced)


def step(workload: Workload, state: State, lr: Array, images: Array, labels: Array) -> tuple[State, Array]:
    """One update on a batch of inputs; the mean loss before it."""

    def mean_loss(parameters: list[Array]) -> tuple[Array, list[Array]]:
        layers = Layers(parameters, state.statistics, training=True)
        logits = NETWORKS[workload.name](layers, images)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        return loss, layers.new_statistics

    (loss, statistics), gradients = jax.value_and_grad(mean_loss, has_aux=True)(state.parameters)
    updates, optimizer = rule(workload).update(gradients, state.optimizer, state.parameters)
    parameters = jax.tree.map(lambda w, update: w - lr * update, state.parameters, updates)
    return State(parameters, statistics, optimizer), loss


def whole_step(workload: Workload, data: Data, lr: Array, state: State, index: Array, key: Array):
    """Choose, scale and augment the images, and update one network, or with several rates one for each."""
    images = data.images[index].astype(jnp.float32) * data.scale + data.shift
    images = crop_flip(images, key) if workload.augment else images
    update = partial(step, workload)
    if lr.ndim:
        update = jax.vmap(update, in_axes=(0, 0, None, None))
    return update(state, lr, images, data.labels[index])


def per_step(workload: Workload, dataset: Dataset, pace: Pace) -> None:
    """A call for every step; the loss is read when the next step has been handed over."""
    data, lr, state = resident(dataset), rates(workload), first_state(workload, workload.runs)
    compiled = jax.jit(partial(whole_step, workload), donate_argnums=2)
    before = jnp.zeros(())
    for number, index in enumerate(index for order in orders(workload, data) for index in order):
        state, loss = compiled(data, lr, state, index, jax.random.key(number))
        before.block_until_ready()
        before = loss
        pace.after(1, loss.block_until_ready)


def scanned(workload: Workload, dataset: Dataset, pace: Pace) -> None:
    """A call for every epoch."""
    data, lr, state = resident(dataset), rates(workload), first_state(workload, workload.runs)

    @partial(jax.jit, donate_argnums=2)
    def epoch(data: Data, lr: Array, state: State, order: Array, key: Array) -> tuple[State, Array]:
        body = lambda state, inputs: whole_step(workload, data, lr, state, *inputs)  # noqa: E731
        return lax.scan(body, state, (order, jax.random.split(key, len(order))))

    for number, order in enumerate(orders(workload, data)):
        state, losses = epoch(data, lr, state, order, jax.random.key(number))
        pace.after(len(order), losses.block_until_ready)


def rates(workload: Workload) -> Array:
    """The learning rate, or for a sweep one for each run."""
    lr = workload.optimizer.keywords["lr"]
    return jnp.float32(lr) if workload.runs == 1 else lr * 2.0 ** -jnp.arange(workload.runs)


def orders(workload: Workload, data: Data) -> Iterator[np.ndarray]:
    """Epoch by epoch the images of each batch, (batches, images)."""
    rng, size = np.random.default_rng(0), workload.batch_size
    while True:
        order = rng.permutation(len(data.labels)).astype(np.int32)
        yield order[: len(order) // size * size].reshape(-1, size)


def logits(workload: Workload, state: State, images: np.ndarray, training: bool) -> Array:
    """Of inputs with channels last."""
    network: Callable = NETWORKS[workload.name]
    return network(Layers(state.parameters, state.statistics, training), jnp.asarray(images))
