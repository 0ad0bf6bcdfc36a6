"""The end of a paper or live run: the summary, the mark it leaves for later runs, and the exit code."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from actors.clock import wall_ms
from actors.runs.audit import Audit
from actors.runs.reach import ReachedAll
from actors.runs.run_mark import RunMark, leave_mark
from actors.runs.summary import figures, print_summary
from config.identity import rules_hash
from config.settings import Settings
from core.errors import EXIT_FAILURE, EXIT_OK
from core.messages import MinuteRecord
from data.market import MarketSource


def end_run(
    console: Console,
    mode: str,
    run_id: str,
    run_dir: Path,
    settings: Settings,
    source: MarketSource,
    reached: ReachedAll,
    records: list[MinuteRecord],
    agreed: Audit,
    *,
    as_json: bool,
) -> int:
    """Sum up what ``records`` did; success takes at least one decided minute and no difference."""
    shown = replace(source, name="stand-in" if reached.stand_in else reached.name, synthetic=reached.synthetic)
    print_summary(console, records, run_dir, shown, agreed, settings, as_json=as_json)
    counted = figures(records)
    leave_mark(
        run_dir,
        RunMark(
            run_id=run_id,
            mode=mode,
            rules_hash=rules_hash(settings),
            stand_in=reached.stand_in,
            minutes=counted["done"],
            missed=counted["missed"],
            differences=len(agreed.differences),
            ended_ms=wall_ms(),
        ),
    )
    return EXIT_OK if counted["done"] and not agreed.differences else EXIT_FAILURE
