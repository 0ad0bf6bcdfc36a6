"""Where the money went: gross less every cost is net, to the cent, as lines of text and as a figure's steps."""

from dataclasses import dataclass

from tune.result import Costs, Result

WORDS = {
    "gross": ("gross", "had every fill been made at the mid of its decision, free of charge"),
    "fees": ("fees", "what the venue takes of each fill"),
    "spread": ("half spread", "from the mid to the best price of the other side"),
    "impact": ("impact", "deeper levels eaten, and rounding to the tick"),
    "delay": ("delay", "how far the mid moved between the decision and the fill; above zero when it moved in favour"),
    "net": ("net", "last equity less the first"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the waterfall."""

    key: str
    label: str
    hint: str
    amount: float
    """USDT, whole cents, signed as it moves equity: costs are negative. The first, gross, plus the costs is the last,
    net."""
    bps: float | None
    """Of the notional traded; None when nothing was."""


def steps_of(costs: Costs, traded: float = 0.0) -> list[Step]:
    """The six lines. ``traded`` is the notional of all fills, USDT."""
    cents = costs.cents()
    steps = []
    for key, (label, hint) in WORDS.items():
        amount = cents[key] if key in ("gross", "net") else -cents[key]
        bps = amount / traded * 1e4 if traded > 0.0 else None
        steps.append(Step(key=key, label=label, hint=hint, amount=amount + 0.0, bps=bps))
    return steps


def traded_of(result: Result) -> float:
    """USDT, notional of all fills."""
    return float(result.fills["notional_usdt"].sum() or 0.0)


def adds_up(steps: list[Step]) -> bool:
    """Whether the cents of the lines sum to the cents of the net."""
    cents = [round(step.amount * 100) for step in steps]
    return sum(cents[:-1]) == cents[-1]
