"""What the settings of a run come to as arrays, made once for all runs under them: a search makes thousands."""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeVar

import numpy as np

from config.settings import Settings
from core.costs import fees_of
from core.engine.tables import (
    Account,
    Grids,
    Rules,
    Scratch,
    assets_of,
    log_room,
    make_account,
    make_grids,
    make_rows,
    make_rules,
    make_scratch,
)
from core.impact import ImpactLaw
from core.messages import FloatArray
from core.orders import REPLAY_INSTANCE
from core.sizing import Rows
from core.units import Instrument, MarketRules
from exchanges.simulated.rules import default_rules
from tune.found import FillUnits, fill_units

Made = TypeVar("Made")
Tuple = TypeVar("Tuple", bound=tuple[Any, ...])

LOGGED = 65_536
"""Orders, and fills, that the engine notes down before they are taken from it."""


class RunRules(NamedTuple):
    """All of it is read, and never written to."""

    venue: dict[Instrument, MarketRules]
    """Of the simulated exchange."""
    grids: Grids
    account: Rules
    rows: Rows
    """The sizing rows' columns that stay."""
    units: FillUnits
    room: tuple[int, int]
    """Orders and fills that its logs hold at a time."""
    scratch: Scratch
    """To be ``copied`` by each run."""


class _Same:
    """Settings by identity: they are frozen, but hold what has no hash."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.settings is self.settings

    def __hash__(self) -> int:
        return id(self.settings)


def once(make: Callable[..., Made]) -> Callable[..., Made]:
    """``make(settings, ...)``, called once for the same object of settings; the rest must have a hash. The last few are
    kept."""

    @lru_cache(maxsize=4)
    def kept(same: _Same, *rest: Any) -> Made:
        return make(same.settings, *rest)

    @wraps(make)
    def found(settings: Settings, *rest: Any) -> Made:
        return kept(_Same(settings), *rest)

    return found


@once
def run_rules(
    settings: Settings,
    instruments: tuple[Instrument, ...],
    prices: tuple[float, ...],
    usdt: float,
    members: int,
    law: ImpactLaw,
) -> RunRules:
    """``prices`` (S,) choose the grids, ``usdt`` is what a quote unit is worth, ``law`` what is believed of impact.

    Raises ConfigError for a grid that cannot be counted in whole units.
    """
    rules = settings.rules
    venue = {i: default_rules(i, price, rules.costs) for i, price in zip(instruments, prices, strict=True)}
    in_quote = {i: fees_of(i, rules.costs).in_quote for i in instruments}
    account = make_rules(
        *(settings.config.trade, rules.risk, rules.selection, rules.execution, rules.costs, rules.protection),
        *(rules.events, law),
    )
    rows = make_rows(instruments, venue, settings.config.trade, usdt)
    return RunRules(
        venue=venue,
        grids=make_grids(instruments, venue, in_quote),
        account=account,
        rows=rows,
        units=fill_units([venue[i] for i in instruments], np.array([in_quote[i] for i in instruments], dtype=np.bool_)),
        room=log_room(len(instruments), account, LOGGED),
        scratch=make_scratch(rows, len(assets_of(instruments)), members),
    )


def fresh_account(
    instruments: tuple[Instrument, ...], currency: str, cash: Decimal, curves: FloatArray | None = None
) -> Account:
    """An account of its own with ``cash`` of ``currency``; ``curves`` as in ``make_account``."""
    account = copied(_account(instruments, currency, cash))
    if curves is None:
        return account
    return account._replace(courses=account.courses._replace(curve=np.ascontiguousarray(curves, dtype=np.float64)))


@lru_cache(maxsize=8)
def _account(instruments: tuple[Instrument, ...], currency: str, cash: Decimal) -> Account:
    return make_account(instruments, {currency: cash}, instance=REPLAY_INSTANCE)


def copied(arrays: Tuple) -> Tuple:
    """The same named tuple of arrays, and of such tuples, with arrays of its own."""
    return type(arrays)(*(copied(one) if isinstance(one, tuple) else one.copy() for one in arrays))
