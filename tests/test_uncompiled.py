"""Optimizers that do not load torch's compiler do what torch's do."""

import subprocess
import sys
import textwrap

import pytest
import torch

SCRIPT = """
    import sys
    import torch
    from coursekit import settings, training

    def trained(make):
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 3)
        optimizer = make(model.parameters(), lr=0.1)
        for _ in range(3):
            training.train_step(model, torch.ones(2, 4), torch.tensor([0, 1]), optimizer)
            optimizer.load_state_dict(optimizer.state_dict())
        return model.weight.detach()

    kinds = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad]
    before = list(map(trained, kinds))
    assert "torch._dynamo" not in sys.modules, "it was loaded"
    import torch._dynamo
    assert all(map(torch.equal, map(trained, kinds), before))
    for name in ("zero_grad", "add_param_group", "state_dict", "load_state_dict"):
        called = vars(getattr(torch.optim.Optimizer, name).__wrapped__)["__dynamo_disable"]
        assert getattr(called, "_torchdynamo_disable", False), name
"""


def test_optimizers_load_no_compiler_and_stay_out_of_its_graphs_once_it_is_loaded():
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_step_with_a_closure_and_hooks_still_has_its_gradients():
    from coursekit import settings  # noqa: F401

    weight = torch.nn.Parameter(torch.tensor([3.0]))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(float(weight.detach())))

    def closure():
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == 9
    assert seen == [pytest.approx(3 - 0.1 * 6)]
    assert torch.is_grad_enabled()
