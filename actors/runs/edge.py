"""Is there a proven edge? What the newest walk-forward said of these very rules, and a person's word against it."""

import json
from pathlib import Path

from actors.runs.findings import Finding
from config.identity import rules_hash
from config.settings import Settings
from core.currency import REPORTING_CURRENCY
from core.errors import ConfigError, DataError
from core.reasons import TEXTS, Reason
from data.artifacts import ArtifactStore
from data.journal import SqliteJournal
from data.verdicts import EDGE, StoredVerdict, newest_verdict

SENTENCE = "I accept to trade without a proven edge"
JOURNAL = "statements.sqlite"
"""What people took on themselves, in a journal of its own: durable, checksummed, appended only."""


def find_verdict(var: Path, settings: Settings, *, stand_in: bool) -> StoredVerdict | None:
    """The newest verdict on these instruments and rules; what a synthetic market gave counts only at a simulator."""
    return newest_verdict(ArtifactStore(var / "artifacts"), rules_hash(settings), synthetic=stand_in)


def describe(verdict: StoredVerdict | None) -> str:
    """One line for people."""
    if verdict is None:
        return Reason("never_judged")
    code = f"word_{verdict.word}"
    said = {"word": Reason(code) if code in TEXTS else verdict.word, "source": verdict.artifact.source}
    return Reason("judged_because", why=verdict.reasons[0], **said) if verdict.reasons else Reason("judged", **said)


def judge_edge(var: Path, settings: Settings, *, stand_in: bool, sentence: str | None) -> tuple[list[Finding], str]:
    """What speaks against arming, and what was found in words. ConfigError for a sentence that is not the one asked for."""
    if sentence is not None and sentence != SENTENCE:
        raise ConfigError(f'--without-proven-edge {sentence!r}: it has to be these very words: "{SENTENCE}"')
    try:
        verdict = find_verdict(var, settings, stand_in=stand_in)
    except DataError as error:
        verdict, said = None, str(error)
    else:
        said = describe(verdict)
    if sentence is not None or (verdict is not None and verdict.word == EDGE):
        return [], said
    rows = settings.config.trade.rows
    quotes = sorted({row.quote for row in rows})
    if len(quotes) > 1:
        judge = (
            f"A backtest keeps one account in one currency, so of markets in {' and '.join(quotes)} together there is no "
            "verdict to be had; you may take it on yourself"
        )
    else:
        worth = "" if quotes == [REPORTING_CURRENCY] else f" --per-usdt {quotes[0]}=NUMBER"
        judge = f"Judge them first: python3 run.py backtest --exchange {rows[0].venue} --walk-forward{worth}; or take it on yourself"
    text = (
        f"no proven edge for these instruments and rules ({rules_hash(settings)}): {said}. {judge}, in words: "
        f'--without-proven-edge "{SENTENCE}"'
    )
    return [Finding(name="no_proven_edge", text=text)], said


def note_override(run_dir: Path, settings: Settings, account: str, said: str, now_ms: int) -> None:
    """Write down, durably and before anything is traded, that a person armed without a proven edge."""
    entry = {"at_ms": now_ms, "account": account, "rules": rules_hash(settings), "verdict": said, "sentence": SENTENCE}
    journal = SqliteJournal(run_dir / JOURNAL)
    try:
        journal.append([("without_proven_edge", json.dumps(entry, sort_keys=True).encode())])
    finally:
        journal.close()
