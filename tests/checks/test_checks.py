"""Checks of a learner's code: wrong ones are told what is wrong, right ones pass, whatever they do."""

import re
import threading

import numpy as np
import pytest
import torch

from coursekit.checks import PIECES, check, diagnosis, judging
from coursekit.errors import UsageError
from coursekit.execution import notebooks
from tests.checks.planted import RIGHT, WRONG

PLANTED = [(name, words, code) for name, rows in WRONG.items() for words, code in rows]
ACCEPTED = [(name, code) for name, codes in RIGHT.items() for code in codes]


def ids(rows):
    return [f"{row[0]}-{number}" for number, row in enumerate(rows)]


@pytest.mark.parametrize(("name", "words", "code"), PLANTED, ids=ids(PLANTED))
def test_a_wrong_one_is_told_what_is_wrong(name, words, code, capsys):
    verdict = check(name, code)
    assert verdict.status == "wrong", verdict
    assert words.lower() in f"{verdict.hint} {verdict.message}".lower(), verdict
    assert capsys.readouterr().out == f"{verdict}\n"
    assert len(str(verdict).splitlines()) < 60
    assert max(map(len, str(verdict).splitlines())) < 400


@pytest.mark.parametrize(("name", "code"), ACCEPTED, ids=ids(ACCEPTED))
def test_a_right_one_written_differently_passes(name, code):
    assert check(name, code).passed


@pytest.mark.parametrize("name", PIECES)
def test_ours_passes_and_every_piece_meets_five_wrong_ones_and_a_right_one(name, capsys):
    verdict = check(name, PIECES[name].ours)
    assert verdict.passed
    assert re.fullmatch(rf"✓ {name}: passes \d+ cases\n", capsys.readouterr().out)
    assert len(WRONG[name]) >= 5
    assert RIGHT[name]


@pytest.mark.parametrize("name", PIECES)
def test_every_mistake_that_is_known_is_recognised(name):
    for mistake in PIECES[name].mistakes:
        verdict = judging.judge(PIECES[name], mistake.code)
        assert (verdict.status, verdict.hint) == ("wrong", mistake.hint)


def stub(*arguments): ...


class Stub:
    def __init__(self, *sizes): ...

    def forward(self, *arguments): ...

    def backward(self, *arguments): ...


class TorchStub(torch.nn.Module):
    def __init__(self, *sizes):
        super().__init__()

    def forward(self, x): ...


def raises(*arguments, **options):
    raise NotImplementedError


def stubs(name):
    """What a learner who has not begun may hand over."""
    ours = PIECES[name].ours
    of_class = [TorchStub if issubclass(ours, torch.nn.Module) else Stub] if isinstance(ours, type) else []
    return [stub, raises, None, ..., *of_class]


UNDONE = [(name, code) for name in PIECES for code in stubs(name)]


@pytest.mark.parametrize(("name", "code"), UNDONE, ids=ids(UNDONE))
def test_a_stub_is_not_done_yet(name, code, capsys):
    assert check(name, code).status == "not done"
    assert capsys.readouterr().out == f"○ {name}: not done yet\n"


def test_half_of_a_class_says_which_half_is_missing():
    class Half(PIECES["linear"].ours):
        def backward(self, dy): ...

    assert str(check("linear", Half)) == "○ linear: not done yet (dX, dW, db)"


def test_what_is_wrong_goes_before_what_is_missing():
    class Half(Stub):
        def forward(self, x):
            return -x

    assert check("relu_layer", Half).status == "wrong"


def test_an_exception_becomes_words_with_the_learners_line():
    def my_relu(x):
        y = x + 1
        return y.maximum(0)

    verdict = check("relu", my_relu)
    line = my_relu.__code__.co_firstlineno + 2
    assert verdict.message.startswith("wrong for four numbers: raises AttributeError: ")
    assert verdict.message.endswith(f"(line {line}: return y.maximum(0))")


def test_an_exception_inside_of_numpy_is_told_with_the_line_that_called_it():
    def my_relu(x):
        return np.swapaxes(np.reshape(x, (7, 7)), 0, 1)

    assert check("relu", my_relu).message.endswith(": return np.swapaxes(np.reshape(x, (7, 7)), 0, 1))")


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (3, "not divided by the batch size"),
        (1 / 3, "divided by it once too often"),
        (-1, "The sign is wrong"),
        (2, "twice too large"),
        (0.5, "half of what it should be"),
        (1.7, "1.7 times the right value everywhere"),
        (0, "zero everywhere"),
    ],
)
def test_one_factor_between_all_numbers_tells_what_was_forgotten(factor, words):
    right = np.array([[1.0, -2.0], [0.0, 3.0]])
    said, hint = diagnosis.of_values(factor * right, right, tolerance=1e-6, batch=3)
    assert words in hint
    assert said == "differs from the right value in 3 of 4 numbers, first at (0, 0)"
    assert diagnosis.of_values(right + 1, right, tolerance=1e-6, batch=3)[1] == ""


@pytest.mark.parametrize(
    ("yours", "said", "words"),
    [
        (np.ones((2, 3)), "has shape (2, 3), expected (3, 2)", "transposed"),
        (np.ones((5, 3, 2)), "has shape (5, 3, 2), expected (3, 2)", "Sum over the batch"),
        (np.ones((3, 1, 2)), "has shape (3, 1, 2), expected (3, 2)", "axis of length 1"),
        (np.ones((4, 4)), "has shape (4, 4), expected (3, 2)", ""),
        (np.ones((3, 2), int), "has integers, expected decimals", "cut off"),
        (np.full((3, 2), -np.inf), "has -inf", "overflowed"),
        ({"a": 1}, "is a dict, expected numbers of shape (3, 2)", "Return an array"),
    ],
)
def test_what_the_form_of_a_result_tells(yours, said, words):
    right = np.arange(6.0).reshape(3, 2)
    found, hint = diagnosis.of_values(yours, right, tolerance=1e-6, batch=3)
    assert found == said
    assert words in hint


def test_what_the_code_prints_is_seen_once_for_each_case_that_is_compared(capsys):
    def my_relu(x):
        print("seen")
        return np.abs(x)

    check("relu", my_relu)
    assert capsys.readouterr().out.count("seen\n") == 1


def test_of_a_large_input_the_shape_is_shown():
    verdict = check("dropout", lambda x, p, training, rng: x)
    assert "x         30,000 numbers of shape (200, 150)\n" in str(verdict)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (lambda: 1, r"raises TypeError: .*hint: It is called as softmax\(logits\)"),
        (lambda z: z @ z, "Two shapes do not fit"),
        (lambda z: z / z.sum(axis=1), "keepdims=True"),
        (lambda z: 1 // 0, "divide by can be 0"),
        (lambda z: "a", "is a str, expected numbers"),
        (lambda z: [[1], [1, 2]], "is a list, expected numbers"),
        (lambda z: z.tolist(), "wrong for"),
        (3, "is a int; hand over softmax itself"),
    ],
)
def test_whatever_the_code_does_the_check_answers(code, words):
    verdict = check("softmax", code)
    assert verdict.status == "wrong"
    assert re.search(words, str(verdict).replace("\n ", " "))


def test_code_that_calls_itself_and_code_that_never_ends(monkeypatch):
    def again(x):
        return again(x)

    def for_ever(x):
        while True:
            pass

    monkeypatch.setattr(judging, "SECONDS", 0.2)
    assert "It calls itself" in check("relu", again).hint
    verdict = check("relu", for_ever)
    assert verdict.hint == "Is there a loop that never ends?"
    assert "not finished after 0.2 s" in verdict.message


def test_checks_work_in_a_thread_where_no_time_can_be_taken():
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(check("relu", lambda x: np.maximum(x, 0))))
    thread.start()
    thread.join()
    assert verdicts[0].passed


def test_values_that_are_shown_are_few_and_those_of_the_failing_case():
    verdict = check("softmax", lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))
    assert list(verdict.shown) == ["logits", "yours", "expected"]
    assert verdict.shown["logits"].tolist() == [[1000, 0]]
    assert "logits    [[1000.    0.]]\n" in str(verdict)


def test_no_message_holds_code_of_ours():
    for piece in PIECES.values():
        said = " ".join([piece.hint, *(m.hint for m in piece.mistakes), *(case.hint for case in piece.cases)])
        assert not re.search(r"\bnp\.(exp|where|einsum|dot)\(|return |lambda|scratch|\bself\.", said), piece.name


def test_another_name_is_an_error_that_lists_the_checks():
    with pytest.raises(UsageError, match=r"no check 'sofmax'; choose sigmoid, .*softmax"):
        check("sofmax", stub)


def test_the_same_verdict_every_time():
    for name in ("linear", "dropout", "he_weights", "residual_block"):
        rows = WRONG[name]
        assert str(judging.judge(PIECES[name], rows[0][1])) == str(judging.judge(PIECES[name], rows[0][1]))


def test_the_learners_warnings_and_random_state_are_left_alone():
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    before = np.geterr(), torch.get_rng_state()
    check("softmax", lambda z: np.exp(z))
    check("residual_block", RIGHT["residual_block"][0])
    assert np.random.random() == expected
    assert np.geterr() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_notebook_shows_the_verdict_once_with_its_status_beside_it(tmp_path):
    cell = "from coursekit.checks import check\ncheck('relu', lambda x: abs(x))\ncheck('tanh', lambda x: ...)"
    source = tmp_path / "n.py"
    source.write_text(f"# %%\n{cell}\n")
    notebook = notebooks.run(source, tmp_path / "n.ipynb", "sample")
    wrong, not_done = notebook.cells[0].outputs
    assert wrong.metadata.coursekit.check == {"piece": "relu", "status": "wrong"}
    assert not_done.metadata.coursekit.check == {"piece": "tanh", "status": "not done"}
    assert wrong.data["text/plain"].startswith("✗ relu: wrong for four numbers")
    assert r"This is \|x\|: below 0" in wrong.data["text/markdown"]


# --- hints that fit the code: each on code that does already what the hint of its neighbour advises ------------------


def stable_one_hot(z, y):
    e = np.exp(z - z.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    onehot = np.eye(z.shape[1])[y]
    return -(onehot * np.log(p)).sum() / len(y), (p - onehot) / len(y)


def overflowing(z, y):
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    return -np.log(p[range(len(y)), y]).mean(), (p - np.eye(z.shape[1])[y]) / len(y)


class KeepsDims(PIECES["linear"].ours):
    def backward(self, dy):
        dx = super().backward(dy)
        self.db = dy.sum(axis=0, keepdims=True)
        return dx


class NotSummed(PIECES["linear"].ours):
    def backward(self, dy):
        dx = super().backward(dy)
        self.db = dy.copy()
        return dx


def rmsprop(inside):
    def code(w, g, v, lr, alpha, eps):
        v = alpha * v + (1 - alpha) * g**2
        return w - lr * g / (np.sqrt(v + eps) if inside else np.sqrt(v)), v

    return code


def adam(divide):
    def code(w, g, m, v, t, lr, beta1, beta2, eps):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        return w - lr * m / (1 - beta1**t) / divide(v, 1 - beta2**t, eps), m, v

    return code


def batch_norm(divide):
    def code(x, w, b, eps):
        normal = (x - x.mean((0, 2, 3), keepdims=True)) / divide(x.var((0, 2, 3), keepdims=True), eps)
        return normal * w[:, None, None] + b[:, None, None]

    return code


def whole_numbers(images, kernels):
    return np.trunc(PIECES["conv2d"].ours(images, kernels)).astype(np.int64)


FITTING = [  # piece, code, what the hint says, what it must not advise since the code does it
    ("cross_entropy", stable_one_hot, "0 · log(0)", "subtract the maximum"),
    ("cross_entropy", overflowing, "subtract the maximum", "0 · log(0)"),
    ("linear", KeepsDims, "keepdims", "sum over the batch"),
    ("linear", NotSummed, "dY is not summed", "keepdims"),
    ("rmsprop", rmsprop(inside=True), "outside the square root; here it is inside", "missing"),
    ("rmsprop", rmsprop(inside=False), "ε is missing", "inside"),
    ("adam", adam(lambda v, c, eps: np.sqrt(v / c + eps)), "outside the square root; here it is inside", "missing"),
    ("adam", adam(lambda v, c, eps: (np.sqrt(v) + eps) / np.sqrt(c)), "before v is corrected", "missing"),
    ("adam", adam(lambda v, c, eps: np.sqrt(v) + eps), "Only m is corrected", "ε"),
    (
        "batch_norm",
        batch_norm(lambda v, eps: np.sqrt(v) + eps),
        "inside the square root; here it is outside",
        "missing",
    ),
    ("batch_norm", batch_norm(lambda v, eps: np.sqrt(v)), "eps is missing", "outside"),
    ("conv2d", whole_numbers, "fractions", "kernel is"),
]


@pytest.mark.parametrize(("name", "code", "says", "not_says"), FITTING, ids=ids(FITTING))
def test_a_hint_advises_what_the_code_does_not_do_yet(name, code, says, not_says):
    verdict = check(name, code)
    assert verdict.status == "wrong"
    assert says in verdict.hint
    assert not_says not in verdict.hint


@pytest.mark.parametrize("name", sorted({"conv2d", "softmax", "sigmoid", "tanh", "batch_norm", "momentum", "adam"}))
def test_whole_numbers_where_fractions_are_right_never_pass(name):
    def cut(value):
        return tuple(map(cut, value)) if isinstance(value, tuple) else np.trunc(np.nan_to_num(value)).astype(int)

    assert check(name, lambda *inputs: cut(PIECES[name].ours(*inputs))).status == "wrong"
