"""The paper account: what simulated trading has made of it, kept from run to run."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from core.errors import ConfigError, DataError

FORMAT = 1
CASH = "USDT"
DEFAULT_CASH = Decimal(10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperAccount:
    """Balances by asset, orders not counted: an order of a run that ended is gone, and its money free again."""

    path: Path
    balances: Mapping[str, Decimal]
    fresh: bool
    """Begun now, with cash only."""

    def save(self, balances: Mapping[str, Decimal]) -> None:
        """Put the balances on disk, whole or not at all."""
        kept = {asset: str(amount) for asset, amount in sorted(balances.items()) if amount}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(self.path.name + ".part")
        with draft.open("w", encoding="utf-8") as file:
            json.dump({"format": FORMAT, "balances": kept}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.path)


def open_account(
    path: Path, cash: Decimal | None, reset: bool, asset: str = CASH, option: str = "--cash"
) -> PaperAccount:
    """The account at ``path``, or a new one with ``cash`` (default 10,000) of ``asset``; ``option`` is what names it.

    Raises ConfigError when cash is given for an account that exists (``reset`` begins it anew), DataError for a file
    that is not an account.
    """
    if reset or not path.exists():
        return PaperAccount(path=path, balances={asset: DEFAULT_CASH if cash is None else cash}, fresh=True)
    balances = _read(path)
    if cash is not None:
        held = ", ".join(f"{amount.normalize():f} {asset}" for asset, amount in balances.items())
        raise ConfigError(f"{option} {cash}: the paper account exists already and holds {held}; --reset begins it anew")
    return PaperAccount(path=path, balances=balances, fresh=False)


def _read(path: Path) -> dict[str, Decimal]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise DataError(f"{path}: format {stored['format']}, this program reads {FORMAT}; --reset begins anew")
        balances = {str(asset): Decimal(text) for asset, text in stored["balances"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidOperation) as error:
        raise DataError(f"{path}: not a paper account ({type(error).__name__}); --reset begins anew") from error
    if not all(amount.is_finite() and amount >= 0 for amount in balances.values()):
        raise DataError(f"{path}: an amount is below zero or no number; --reset begins anew")
    return balances
