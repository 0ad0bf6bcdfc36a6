"""Members that speak where trained ones are silent: chart rules as they are before any training.

Trained members forecast nothing where they proved nothing, which on a few days of real bars is the rule: a replay of a
crash or a halt then trades nothing and says nothing about limits. The untrained rules (``serve.models.rules.DEFAULTS``)
follow the chart, the ``fader`` buys what falls and sells what rises, each whether that pays or not: limits, orders and
the exchange have something to do, in a crash above all.

By hand, before a replay of the same market (``BOLD`` and ``MEMBERS`` as ``--set``):

    python -m tests.support.outspoken var/markets/NAME
    python3 run.py replay --data FOLDER --start 2023-03-24T11:15 --minutes 180 --lockstep \\
        --set 'rules.models.members=[{"name":"rules","family":"rules"},{"name":"fader","family":"rules"}]' --set …
    python -m tests.support.exposure_checker var/runs/RUN
"""

import json
import sys
from pathlib import Path

import numpy as np

from core.features import schema_hash
from data.artifacts import Artifact, ArtifactStore
from serve.models.rules import DEFAULTS, ChartRules
from tune.train import CODE, KIND

FADER = (-0.5, 0.5, -0.5, -0.5)
"""Against the cross, the break and the confirmed move; what is extreme turns back. In usual moves, ten times as sure of
itself as the rules are, so that of the two it is the one that is heard."""
FOLLOWER = tuple(4.0 * each for each in DEFAULTS)
"""Among three that say nothing as loud as the rules are alone."""
SPEAKERS = {"rules": DEFAULTS, "fader": FADER}
MEMBERS = "rules.models.members=" + json.dumps([{"name": name, "family": "rules"} for name in SPEAKERS])
BOLD = (
    MEMBERS,
    "trade.invest_pct=60",
    "rules.selection.entry_edge_bps=0.5",
    "rules.selection.exit_edge_bps=0.1",
    "rules.selection.full_edge_bps=5",
    "rules.execution.cost_gate=off",
    "rules.risk.rebalance_band_pct=0.1",
)
"""Settings under which they trade in most minutes: hard to satisfy, not to be followed. Every limit stays on."""


def keep_untrained(
    market: Path, horizon: int = 15, name: str = "rules", coefficients: tuple[float, ...] = DEFAULTS
) -> Artifact:
    """Keep untrained rules as the newest version of ``name`` beside the bars of ``market``."""
    member = ChartRules(horizon)
    member.coefficients = np.array(coefficients)
    return ArtifactStore(market / "artifacts").save(
        KIND,
        name,
        member.save,
        family=member.family,
        schema=schema_hash(),
        span=(0, 0),
        instruments=(),
        seed=0,
        code=CODE,
        source="untrained",
        extra={"horizon": horizon},
    )


def keep_speakers(market: Path, horizon: int = 15) -> list[Artifact]:
    """All of ``SPEAKERS``."""
    return [keep_untrained(market, horizon, name, coefficients) for name, coefficients in SPEAKERS.items()]


if __name__ == "__main__":
    for kept in keep_speakers(Path(sys.argv[1])):
        sys.stdout.write(f"{kept.reference}\n")
