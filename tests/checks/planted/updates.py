"""Penalties and update rules."""

import numpy as np


def penalty(gradient):
    """L2 in place, from gradient(name, w, strength), which is added."""

    def code(model, strength):
        for name in model.weights:
            model.gradients[name] = model.gradients[name] + gradient(name, model.weights[name], strength)

    return code


def weights_only(gradient):
    return penalty(lambda name, w, strength: gradient(w, strength) if "W" in name else 0)


def penalty_returns(model, strength):
    return {name: g + strength * model.weights[name] * (name[0] == "W") for name, g in model.gradients.items()}


def penalty_decays_weights(model, strength):
    for name in model.weights:
        if name[0] == "W":
            model.weights[name] = model.weights[name] * (1 - strength)


def penalty_two_names(model, strength):
    for name in ("W1", "W2"):
        model.gradients[name] += strength * model.weights[name]


def penalty_replaces(model, strength):
    for name in ("W1", "W2"):
        model.gradients[name] = strength * model.weights[name]


def penalty_by_shape(model, strength):
    for name, w in model.weights.items():
        model.gradients[name] = model.gradients[name] + (strength * w if w.ndim == 2 else 0.0)


def step(new):
    def code(model, lr):
        for name, w in list(model.weights.items()):
            model.weights[name] = new(name, w, model.gradients[name], lr)

    return code


def step_without_effect(model, lr):
    for name, w in model.weights.items():
        w = w - lr * model.gradients[name]


def step_in_gradients(model, lr):
    for name in model.weights:
        model.gradients[name] = model.weights[name] - lr * model.gradients[name]


def momentum(m=lambda m, g, mu: mu * m + g, step=lambda m, old, g, mu: m, sign=1, late=True):
    def code(w, g, m_old, lr, mu):
        new = m(m_old, g, mu)
        return w - sign * lr * step(new, m_old, g, mu), new

    return code


def momentum_in_place(w, g, m, lr, mu):
    m *= mu
    m += g
    w -= lr * m
    return w, m


def momentum_of_steps(w, g, m, lr, mu):
    m = mu * m - lr * g
    return w + m, m


def rms(v=lambda v, g, a: a * v + (1 - a) * g * g, size=lambda v, eps: v**0.5 + eps, sign=1):
    def code(w, g, v_old, lr, alpha, eps):
        new = v(v_old, g, alpha)
        return w - sign * lr * g / size(new, eps), new

    return code


def adam(
    m=lambda m, g, b: m + (1 - b) * (g - m),
    v=lambda v, g, b: v + (1 - b) * (g * g - v),
    t0=0,
    fix_m=True,
    fix_v=True,
    power=True,
    eps_in=False,
    root=True,
    sign=1,
):
    def code(w, g, m_old, v_old, t, lr, beta1, beta2, eps):
        t = t + t0 if power else 1
        first, second = m(m_old, g, beta1), v(v_old, g, beta2)
        up = first / (1 - beta1**t) if fix_m else first
        down = second / (1 - beta2**t) if fix_v else second
        down = np.sqrt(down + eps) if eps_in else (np.sqrt(down) if root else down) + eps
        return w - sign * lr * up / down, first, second

    return code


def adam_with_g(w, g, m, v, t, lr, beta1, beta2, eps):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    return w - lr * g / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


WRONG = {
    "regularization": [
        ("biases", penalty(lambda name, w, s: s * w)),
        ("twice too large", weights_only(lambda w, s: 2 * s * w)),
        ("half", weights_only(lambda w, s: 0.5 * s * w)),
        ("sign is wrong", weights_only(lambda w, s: -s * w)),
        ("L1", weights_only(lambda w, s: s * np.sign(w))),
        ("its gradient is wanted", weights_only(lambda w, s: 0.5 * s * w * w)),
        ("do not replace", penalty_replaces),
        ("returning it is not enough", penalty_returns),
        ("leave the rest", penalty_decays_weights),
        ("all names", penalty_two_names),
        ("strength is missing", weights_only(lambda w, s: w)),
    ],
    "sgd": [
        ("climbs", step(lambda name, w, g, lr: w + lr * g)),
        ("learning rate is missing", step(lambda name, w, g, lr: w - g)),
        ("weight is lost", step(lambda name, w, g, lr: -lr * g)),
        ("biases", step(lambda name, w, g, lr: w - lr * g if name[0] == "W" else w)),
        ("by the sign", step(lambda name, w, g, lr: w - lr * np.sign(g))),
        ("leave the rest", step_in_gradients),
        ("it is the gradient", step(lambda name, w, g, lr: w - lr * w)),
    ],
    "momentum": [
        ("running mean", momentum(lambda m, g, mu: mu * m + (1 - mu) * g)),
        ("forgets", momentum(lambda m, g, mu: g)),
        ("old m", momentum(step=lambda m, old, g, mu: old)),
        ("climbs", momentum(sign=-1)),
        ("Nesterov", momentum(step=lambda m, old, g, mu: g + mu * m)),
        ("nothing is ever forgotten", momentum(lambda m, g, mu: m + g)),
        ("new arrays", momentum_in_place),
        ("multiplies the gradient", momentum(lambda m, g, mu: m + mu * g)),
        ("It returns w, m", lambda w, g, m, lr, mu: w - lr * (mu * m + g)),
    ],
    "rmsprop": [
        ("its square", rms(lambda v, g, a: a * v + (1 - a) * g)),
        ("AdaGrad", rms(lambda v, g, a: v + g * g)),
        ("root of v is missing", rms(size=lambda v, eps: v + eps)),
        ("outside the square root", rms(size=lambda v, eps: np.sqrt(v + eps))),
        ("swapped", rms(lambda v, g, a: (1 - a) * v + a * g * g)),
        ("ε", rms(size=lambda v, eps: np.sqrt(v))),
        ("climbs", rms(sign=-1)),
    ],
    "adam": [
        ("correction is missing", adam(fix_m=False, fix_v=False)),
        ("Only m is corrected", adam(fix_v=False)),
        ("has a power", adam(power=False)),
        ("counts from 1", adam(t0=1)),
        ("outside the square root", adam(eps_in=True)),
        ("root of v is missing", adam(root=False)),
        ("climbs", adam(sign=-1)),
        ("RMSprop", adam_with_g),
        ("as momentum does", adam(m=lambda m, g, b: b * m + g)),
        ("its square", adam(v=lambda v, g, b: b * v + (1 - b) * g)),
    ],
    "soft_threshold": [
        ("hard threshold", lambda w, a: w * (np.abs(w) > a)),
        ("step over 0", lambda w, a: w - np.sign(w) * a),
        ("sign is lost", lambda w, a: np.clip(np.abs(w) - a, 0, None)),
        ("from below", lambda w, a: np.clip(w - a, 0, None)),
        ("weight decay", lambda w, a: (1 - a) * w),
        ("cuts off the large", lambda w, a: np.minimum(np.maximum(w, -a), a)),
        ("negative ones move away", lambda w, a: w - a),
    ],
}

RIGHT = {
    "regularization": [penalty_by_shape],
    "sgd": [step(lambda name, w, g, lr: w - lr * g)],
    "momentum": [momentum()],
    "rmsprop": [rms()],
    "adam": [adam()],
    "soft_threshold": [
        lambda w, a: np.where(w > a, w - a, np.where(w < -a, w + a, 0)),
        lambda w, a: w - np.clip(w, -a, a),
    ],
}
