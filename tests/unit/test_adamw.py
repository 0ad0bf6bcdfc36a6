"""Our AdamW and its cycle are torch's, to the last digits of float32."""

import copy

import pytest
import torch

from serve.models.adamw import AdamW, one_cycle


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 37, 150])
def test_the_same_steps_as_torch(steps: int) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    ours = copy.deepcopy(theirs)
    x, y = torch.randn(64, 5), torch.randn(64, 1)
    optimiser = torch.optim.AdamW(theirs.parameters(), lr=3e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=3e-3, total_steps=steps)
    own = AdamW(ours.parameters(), 0.1)
    for step in range(steps):
        share, own.momentum = one_cycle(step, steps)
        own.rate = share * 3e-3
        group = optimiser.param_groups[0]
        assert own.rate == pytest.approx(group["lr"], rel=1e-9, abs=1e-15)
        assert own.momentum == pytest.approx(group["betas"][0], rel=1e-9)
        for network, one in ((theirs, optimiser), (ours, own)):
            for parameter in network.parameters():
                parameter.grad = None
            (network(x) - y).square().mean().backward()
            one.step()
        if step + 1 < steps:
            schedule.step()
    for a, b in zip(theirs.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
