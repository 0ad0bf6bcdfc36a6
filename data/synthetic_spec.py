"""What a synthetic market is made of: its assets, the numbers of its model, and the choices a user has."""

from dataclasses import dataclass
from typing import Literal

from core.errors import DataError
from core.units import DAY_MS
from data.schema import Synthetic

MODEL_VERSION = 1
"""Raised when the same spec makes other bars than before."""
START_MS = 1_893_456_000_000
"""2030-01-01T00:00Z, so that nobody takes these bars for real ones."""
MINUTES_A_DAY = 1_440
INFORMED_VOLUME = 6.0
INFORMED_SIGMAS = 2.5
INFORMED_CHANCE = 1.0 / 60.0
"""Per asset and minute: about once an hour."""
CALM_MINUTES, TURBULENT_MINUTES = 480.0, 90.0
"""Mean length of a state."""
STATE_SCALE = (1.0, 2.2)
JUMPS_A_DAY = 1.0
JUMP_SIGMAS = 8.0
USDT_KRW = 1_400.0
RATE_SIGMA = 0.8e-4
PREMIUM_SIGMA = 0.5e-4
"""Per minute: 0.2 % a day."""


@dataclass(frozen=True, slots=True)
class Asset:
    """What an asset is like. Prices and volumes in USDT; ``sigma`` its usual one-minute move in calm, a fraction."""

    price: float
    ticks_per_unit: int
    """Binance's tick is 1 over this many USDT."""
    sigma: float
    beta: float
    turnover: float
    """Usual USDT a minute."""
    empty: float
    """Chance that nobody trades in a minute."""


ASSETS = {
    "BTC": Asset(96_000.0, 100, 5.0e-4, 1.0, 1_500_000.0, 0.0002),
    "ETH": Asset(3_400.0, 100, 6.5e-4, 1.2, 800_000.0, 0.0003),
    "BNB": Asset(690.0, 100, 5.0e-4, 0.8, 200_000.0, 0.001),
    "SOL": Asset(190.0, 100, 8.0e-4, 1.4, 400_000.0, 0.001),
    "XRP": Asset(2.2, 10_000, 7.5e-4, 1.2, 300_000.0, 0.001),
    "DOGE": Asset(0.32, 100_000, 9.0e-4, 1.4, 150_000.0, 0.002),
    "ADA": Asset(0.9, 10_000, 8.0e-4, 1.3, 90_000.0, 0.004),
    "LINK": Asset(22.0, 100, 8.0e-4, 1.3, 70_000.0, 0.004),
}
FACTOR_SHARE = 0.6
"""Share of an asset's variance (at beta 1) that the common factor carries."""
UPBIT_SHARE = 0.25
"""Upbit's turnover against Binance's."""
UPBIT_EMPTY = 4.0
"""How many times likelier an empty minute is on Upbit."""
KRW_TICKS = (
    *(
        (1_000_000, 1_000.0),
        (500_000, 500.0),
        (100_000, 100.0),
        (50_000, 50.0),
        (10_000, 10.0),
        (5_000, 5.0),
        (100, 1.0),
    ),
    *((10, 0.1), (1, 0.01), (0, 0.001)),
)
"""Upbit's KRW grid since July 2025: from this price on, this tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSpec:
    """All that a market depends on: the same spec makes the same bars, to the last digit."""

    name: str = "demo"
    seed: int = 1
    days: int = 3
    edge: Literal["planted", "none"] = "planted"
    binance: tuple[str, ...] = ("BTC", "ETH", "BNB", "SOL", "XRP")
    """Bases quoted in USDT."""
    upbit: tuple[str, ...] = ("BTC", "ETH")
    """Bases quoted in KRW; the USDT/KRW market is always there with them."""
    edge_bps: float = 60.0
    horizon: int = 15
    halts_a_day: float = 0.3
    start_ms: int = START_MS

    def __post_init__(self) -> None:
        unknown = sorted({*self.binance, *self.upbit} - set(ASSETS))
        if unknown:
            raise DataError(f"synthetic market {self.name!r}: no asset {unknown[0]!r}; there are {', '.join(ASSETS)}")
        if not self.binance:
            raise DataError(f"synthetic market {self.name!r}: needs at least one symbol")
        if self.days < 1 or self.days > 3_660:
            raise DataError(f"synthetic market {self.name!r}: days is {self.days}; 1 to 3660 can be made")
        if self.edge not in ("planted", "none"):
            raise DataError(f"synthetic market {self.name!r}: edge is {self.edge!r}; it is 'planted' or 'none'")
        if self.horizon < 1 or self.horizon > MINUTES_A_DAY // 2:
            raise DataError(
                f"synthetic market {self.name!r}: horizon is {self.horizon}; 1 to 720 minutes can be planted"
            )
        if not 0 <= self.edge_bps <= 1_000:
            raise DataError(f"synthetic market {self.name!r}: edge_bps is {self.edge_bps}; 0 to 1000 can be planted")
        if self.seed < 0:
            raise DataError(f"synthetic market {self.name!r}: seed is {self.seed}; it is a whole number from 0 on")
        if self.start_ms % DAY_MS:
            raise DataError(f"synthetic market {self.name!r}: starts at {self.start_ms}, which is no midnight UTC")

    @property
    def minutes(self) -> int:
        return self.days * MINUTES_A_DAY

    @property
    def label(self) -> Synthetic:
        return Synthetic(self.name, self.seed, self.edge)
