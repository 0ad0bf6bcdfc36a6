"""Verdicts of backtests as artifacts, found by the rules they are about: what live trading asks before it arms."""

import json
from dataclasses import dataclass

from core.errors import DataError
from core.reasons import all_from_plain
from data.artifacts import Artifact, ArtifactStore

KIND, FILE = "verdict", "verdict.json"
EDGE = "edge"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVerdict:
    """What was said of a set of rules, and about which data."""

    word: str
    reasons: tuple[str, ...]
    artifact: Artifact
    """``source`` names the market, ``span`` what was looked at, ``extra["synthetic"]`` whether it was made up."""

    @property
    def synthetic(self) -> bool:
        return bool(self.artifact.extra.get("synthetic", True))


def keep_verdict(
    store: ArtifactStore,
    rules: str,
    text: str,
    *,
    schema: str,
    span: tuple[int, int],
    instruments: tuple[str, ...],
    seed: int,
    code: str,
    source: str,
    synthetic: bool,
    members: dict[str, str],
) -> StoredVerdict:
    """Store a verdict (its JSON: word, reasons, figures) on the rules of this hash (``config.identity.rules_hash``)."""
    word, reasons = _read(text, "the verdict to be stored")
    artifact = store.save(
        KIND,
        rules,
        lambda folder: (folder / FILE).write_text(text, encoding="utf-8") and None,
        family="walk-forward",
        schema=schema,
        span=span,
        instruments=instruments,
        seed=seed,
        code=code,
        source=source,
        extra={"word": word, "synthetic": synthetic, "members": members},
    )
    return StoredVerdict(word=word, reasons=reasons, artifact=artifact)


def newest_verdict(store: ArtifactStore, rules: str, *, synthetic: bool) -> StoredVerdict | None:
    """The newest verdict on the rules of this hash; one on a synthetic market only where ``synthetic`` lets it count.

    DataError when it is damaged: a verdict that cannot be read proves nothing.
    """
    found = store.latest(KIND, rules, where=lambda a: synthetic or not a.extra.get("synthetic", True))
    if found is None:
        return None
    path = store.load(found.reference).path / FILE
    word, reasons = _read(path.read_text(encoding="utf-8"), str(path))
    return StoredVerdict(word=word, reasons=reasons, artifact=found)


def _read(text: str, where: str) -> tuple[str, tuple[str, ...]]:
    try:
        stored = json.loads(text)
        return str(stored["word"]), all_from_plain(stored["reasons"], stored.get("said"))
    except (ValueError, TypeError, KeyError, AttributeError, DataError) as error:
        raise DataError(f"{where}: is no verdict ({error}); run the backtest again") from None
