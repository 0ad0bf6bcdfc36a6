"""AdamW and its one cycle, as torch has them, without what torch.optim brings along.

A first step of any optimiser of torch.optim imports torch's compiler and sympy: 4 s of a core and 150 MB in each process
that trains (measured), for a network that learns in two. A test holds both rules to torch's own.
"""

import math
from collections.abc import Iterable

import torch

EPSILON = 1e-8
BETA2 = 0.999
WARM_SHARE = 0.3
FIRST, LAST = 1.0 / 25.0, 1.0 / 25.0 * 1e-4
"""Learning rates at the cycle's begin and end, as shares of the highest."""
SLOW, QUICK = 0.85, 0.95
"""Momentum at the highest rate, and at the lowest."""


def one_cycle(step: int, steps: int) -> tuple[float, float]:
    """(share of the highest learning rate, momentum) of ``step`` of 0 … steps - 1.

    Smith and Topin (2018), arXiv:1708.07120, with cosines: up over the first 30 %, then down to almost nothing.
    """
    top, end = WARM_SHARE * steps - 1.0, steps - 1.0
    if step <= top and top > 0.0:
        return _cosine(FIRST, 1.0, step / top), _cosine(QUICK, SLOW, step / top)
    part = min(1.0, (step - top) / (end - top)) if end > top else 1.0
    return _cosine(1.0, LAST, part), _cosine(SLOW, QUICK, part)


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1.0)


class AdamW:
    """Loshchilov and Hutter (2019), arXiv:1711.05101. ``param_groups`` is what torch's gradient scaler looks for."""

    def __init__(self, parameters: Iterable[torch.Tensor], weight_decay: float) -> None:
        self.parameters = list(parameters)
        self.param_groups = [{"params": self.parameters}]
        self.weight_decay = weight_decay
        self.rate, self.momentum = 0.0, QUICK
        """Set before each step."""
        self._first = [torch.zeros_like(p) for p in self.parameters]
        self._second = [torch.zeros_like(p) for p in self.parameters]
        self._steps = 0

    def forget(self) -> None:
        """No gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        self._steps += 1
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
        torch._foreach_mul_(self.parameters, 1.0 - self.rate * self.weight_decay)
        torch._foreach_lerp_(self._first, gradients, 1.0 - self.momentum)
        torch._foreach_mul_(self._second, BETA2)
        torch._foreach_addcmul_(self._second, gradients, gradients, 1.0 - BETA2)
        # As torch does, the bias is corrected by this step's momentum to the power of steps, though momentum moves.
        first_bias, second_bias = 1.0 - self.momentum**self._steps, 1.0 - BETA2**self._steps
        size = torch._foreach_sqrt(self._second)
        torch._foreach_div_(size, math.sqrt(second_bias))
        torch._foreach_add_(size, EPSILON)
        torch._foreach_addcdiv_(self.parameters, self._first, size, -self.rate / first_bias)
