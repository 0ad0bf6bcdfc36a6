"""A recorded market: bars of several instruments on one minute grid, and the mood readings beside them.

The simulated exchange plays a tape; the lake (or a synthetic market) makes one. A row of NaN means that no
bar exists for that minute: a trading halt, or not listed.
"""

import os
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson

from core.errors import DataError
from core.messages import CLOSE, HIGH, LOW, OPEN, VOLUME, Bar, Sentiment
from core.news import NO_NEWS, FundingRate, Headline, News
from core.params import CostSettings
from core.units import MINUTE_MS, Instrument, MarketRules
from exchanges.simulated.rules import DEFAULT_COSTS, default_rules

FORMAT = 1
"""Version of the file that ``Tape.save`` writes."""


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """What a market did. Read-only; raises DataError on bars that cannot be."""

    instruments: tuple[Instrument, ...]
    start_minute: int
    """Open time of the first bar, epoch ms."""
    bars: np.ndarray
    """(S, T, 5) float64: open, high, low, close, volume; a row of NaN where there is no bar."""
    synthetic: bool = False
    """Made up, and to be labelled so wherever it is shown."""
    sentiment: tuple[tuple[int, float], ...] = ()
    """(knowable_ms, fear-and-greed value), sorted by time; times are whole seconds."""
    news: News = NO_NEWS
    """Headlines and funding rates beside the bars."""

    def __post_init__(self) -> None:
        bars = np.ascontiguousarray(self.bars, dtype=np.float64)
        if bars.ndim != 3 or bars.shape[0] != len(self.instruments) or bars.shape[2] != 5 or not bars.size:
            raise DataError(f"tape: bars of shape {bars.shape} do not fit {len(self.instruments)} instruments x T x 5")
        if self.start_minute % MINUTE_MS:
            raise DataError(f"tape: start {self.start_minute} is not a whole minute")
        if len(set(self.instruments)) < len(self.instruments):
            raise DataError("tape: an instrument is listed twice")
        self._check(bars)
        bars.setflags(write=False)
        readings = tuple(sorted((-(-int(ms) // 1000) * 1000, float(value)) for ms, value in self.sentiment))
        object.__setattr__(self, "bars", bars)
        object.__setattr__(self, "sentiment", readings)

    def _check(self, bars: np.ndarray) -> None:
        known = np.isfinite(bars)
        partial = known.any(axis=2) & ~known.all(axis=2)
        with np.errstate(invalid="ignore"):
            o, h, low, c, v = (bars[..., k] for k in (OPEN, HIGH, LOW, CLOSE, VOLUME))
            wrong = (low <= 0) | (h < np.maximum(o, c)) | (low > np.minimum(o, c)) | (v < 0)
        for fault, where in (("has gaps inside it", partial), ("is not a bar (prices, high/low or volume)", wrong)):
            if where.any():
                row, index = (int(x[0]) for x in np.nonzero(where))
                minute = self.start_minute + index * MINUTE_MS
                raise DataError(f"tape: {self.instruments[row]} minute {minute} {fault}: {bars[row, index].tolist()}")

    @property
    def minutes(self) -> int:
        """T, the number of minutes."""
        return self.bars.shape[1]

    @property
    def end_ms(self) -> int:
        """Close of the last minute."""
        return self.start_minute + self.minutes * MINUTE_MS

    def row(self, instrument: Instrument) -> int:
        return self.instruments.index(instrument)

    def bar(self, row: int, minute: int) -> Bar | None:
        """The bar of one minute, or None when there is none."""
        index = (minute - self.start_minute) // MINUTE_MS
        if not 0 <= index < self.minutes:
            return None
        o, h, low, c, v = self.bars[row, index].tolist()
        if v != v:
            return None
        return Bar(minute=minute, open=o, high=h, low=low, close=c, volume=v, filler=v == 0.0)

    def sentiment_at(self, ms: int) -> Sentiment | None:
        """The newest reading that was knowable at ``ms``."""
        for knowable, value in reversed(self.sentiment):
            if knowable <= ms:
                return Sentiment(value=value, knowable_ms=knowable)
        return None

    def default_rules(self, costs: CostSettings = DEFAULT_COSTS) -> dict[Instrument, MarketRules]:
        """Plausible rules for every instrument at its first price (``rules.default_rules``)."""
        found = {}
        for row, instrument in enumerate(self.instruments):
            closes = self.bars[row, :, CLOSE]
            known = closes[np.isfinite(closes)]
            price = float(known[0]) if known.size else 1.0
            found[instrument] = default_rules(instrument, price, costs)
        return found

    def save(self, path: Path) -> None:
        """Write the tape to one ``.npz`` file, whole or not at all."""
        partial = path.with_name(path.name + ".part")
        with partial.open("wb") as file:
            np.savez_compressed(
                file,
                format=np.int64(FORMAT),
                instruments=np.array([str(i) for i in self.instruments]),
                start_minute=np.int64(self.start_minute),
                bars=self.bars,
                synthetic=np.bool_(self.synthetic),
                sentiment=np.array(self.sentiment, dtype=np.float64).reshape(-1, 2),
                news=np.frombuffer(orjson.dumps(asdict(self.news)), dtype=np.uint8),
            )
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path) -> "Tape":
        """Read what ``save`` wrote; DataError names the file and what is wrong with it."""
        try:
            with np.load(path, allow_pickle=False) as file:
                if int(file["format"]) != FORMAT:
                    raise DataError(
                        f"tape {path}: format {int(file['format'])}, this program reads {FORMAT}; make it again"
                    )
                return cls(
                    tuple(Instrument.parse(str(text)) for text in file["instruments"]),
                    int(file["start_minute"]),
                    file["bars"],
                    bool(file["synthetic"]),
                    tuple((int(ms), float(value)) for ms, value in file["sentiment"]),
                    _news(file["news"].tobytes()) if "news" in file else NO_NEWS,
                )
        except FileNotFoundError as error:
            raise DataError(f"tape {path}: no such file") from error
        except OSError as error:
            raise DataError(f"tape {path}: cannot be read ({error.strerror or 'it is cut short'})") from error
        except (KeyError, ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            # The reader's own words are about its options, and may hold what is in the file.
            raise DataError(f"tape {path}: not a tape; it must be an .npz file that this program wrote") from error


def _news(text: bytes) -> News:
    told = orjson.loads(text)
    return News(
        tuple(Headline(**{**one, "bases": tuple(one["bases"])}) for one in told["headlines"]),
        tuple(FundingRate(**one) for one in told["funding"]),
    )
