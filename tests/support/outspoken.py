"""A member that speaks where trained ones are silent: the chart rules as they are before any training.

Trained members forecast nothing where they proved nothing, which on a few days of real bars is the rule: a replay of a
crash or a halt then trades nothing and says nothing about limits. The untrained rules (``serve.models.rules.DEFAULTS``)
follow and fade the chart whether that pays or not, so limits, orders and the exchange have something to do.

By hand, before a replay of the same market:

    python -m tests.support.outspoken var/markets/NAME
    python3 run.py replay --data FOLDER --start 2023-03-24T11:15 --minutes 180 --lockstep \\
        --set 'rules.models.members=[{"name":"rules","family":"rules"}]' (and thresholds near zero, as EAGER in replays)
    python -m tests.support.exposure_checker var/runs/RUN
"""

import sys
from pathlib import Path

from core.features import schema_hash
from data.artifacts import Artifact, ArtifactStore
from serve.models.rules import ChartRules
from tune.train import CODE, KIND


def keep_untrained(market: Path, horizon: int = 15, name: str = "rules") -> Artifact:
    """Keep the untrained rules as the newest version of ``name`` beside the bars of ``market``."""
    member = ChartRules(horizon)
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


if __name__ == "__main__":
    sys.stdout.write(f"{keep_untrained(Path(sys.argv[1])).reference}\n")
