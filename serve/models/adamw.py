"""AdamW and its one cycle, as torch has them, without what torch.optim brings along.

The arithmetic is torch's own fused kernel, the one that ``torch.optim.AdamW(fused=True)`` calls. Making any optimiser of
torch.optim imports torch's compiler and sympy (measured: 820 modules, 82 MB and 0.8 s of a core in each process that trains,
more where the disk is cold), for a network that learns in two seconds. A test holds both rules to torch's.
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
        self._steps = [torch.zeros((), dtype=torch.float32, device=p.device) for p in self.parameters]

    def forget(self) -> None:
        """No gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """The bias is corrected by this step's momentum to the power of steps, though momentum moves: as torch does."""
        torch._foreach_add_(self._steps, 1.0)
        torch._fused_adamw_(
            self.parameters,
            [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters],
            self._first,
            self._second,
            [],
            self._steps,
            lr=self.rate,
            beta1=self.momentum,
            beta2=BETA2,
            weight_decay=self.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )
