"""`run.py data download` from simulated exchanges and an archive on loopback: killed, resumed, damaged, and equal to the
source in the end."""

import asyncio
import hashlib
import io
import json
import random
import signal
import zipfile
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from aiohttp import web

from actors.history import downloading, history_command
from actors.history.history_command import Progress
from config.settings import ExchangeSettings
from core.errors import BotError, ConfigError, DataError, ExchangeUnavailable
from core.messages import Bar
from core.units import MINUTE_MS, Instrument
from data.downloads import DownloadState
from data.lake import Lake
from data.verify import verify
from exchanges.simulated.exchange import SimulatedExchange
from exchanges.simulated.rules import DEFAULT_COSTS
from exchanges.simulated.server import RunningServer, serve_exchange
from exchanges.simulated.upbit.walk import krw_walk_tape
from exchanges.simulated.walk import random_walk_tape
from exchanges.venues import gateway_of
from tests.support.download_child import download_words, killed, run

START = 1_767_225_600_000  # 2026-01-01
DAYS = 3
BTC, ETH = Instrument("binance", "BTC/USDT"), Instrument("binance", "ETH/USDT")
KRW = Instrument("upbit", "BTC/KRW")
LONG = 34 * 1440


def download(
    server: RunningServer, lake: Path, *more: object, venue: str = "binance", symbols: str = "BTC/USDT"
) -> int:
    return run(*download_words(server.url, lake, venue, symbols), *more)


async def serving(venue: str, minutes: int, symbols: tuple[str, ...]) -> RunningServer:
    """A market whose whole tape lies in the past."""
    make = random_walk_tape if venue == "binance" else krw_walk_tape
    tape = make(symbols, START, minutes + 60, 5)
    money = {"USDT" if venue == "binance" else "KRW": Decimal(1_000_000)}
    exchange = SimulatedExchange(
        tape, tape.default_rules(DEFAULT_COSTS), money, START + minutes * MINUTE_MS, costs=DEFAULT_COSTS
    )
    return await serve_exchange(exchange, mode="lockstep", venue=venue)


async def bars_of(server: RunningServer, instrument: Instrument, minutes: int) -> list[Bar]:
    """The source: every closed bar, as the venue tells it."""
    gateway = gateway_of(instrument.venue, ExchangeSettings(rest_url=server.url), None, [instrument])
    bars = await gateway.history(instrument, START, minutes)
    await gateway.close()
    return bars


def same(lake: Path, instrument: Instrument, bars: list[Bar]) -> bool:
    """The lake holds these bars and no other, to the last digit."""
    stored = Lake(lake).read(instrument)
    columns = ("open", "high", "low", "close", "volume")
    theirs = np.array([[getattr(bar, name) for name in columns] for bar in bars])
    return (
        stored["ts"].to_list() == [bar.minute for bar in bars]
        and np.array_equal(stored.select(columns).to_numpy(), theirs)
        and verify(Lake(lake)).faults == 0
    )


@pytest.fixture
async def binance():
    server = await serving("binance", DAYS * 1440 + 77, ("BTC/USDT", "ETH/USDT"))
    yield server
    await server.close()


# --- killed and resumed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_download_killed_at_any_moment_and_resumed_ends_equal_to_the_source(binance, tmp_path, seed):
    chance = random.Random(seed)
    lake = tmp_path / "lake"
    codes = []
    for _ in range(4):
        where = f"{chance.choice(['noted', 'written', 'moved'])} {chance.choice(['before', 'after'])}"
        how = {"venue": "binance", "symbols": "BTC/USDT,ETH/USDT"}
        codes.append(await asyncio.to_thread(killed, binance.url, lake, where, chance.randint(1, 4), **how))
    assert -signal.SIGKILL in codes
    assert await asyncio.to_thread(download, binance, lake, symbols="BTC/USDT,ETH/USDT") == 0
    for instrument in (BTC, ETH):
        assert same(lake, instrument, await bars_of(binance, instrument, DAYS * 1440 + 77))


async def test_upbits_empty_minutes_are_told_and_what_was_killed_is_resumed(tmp_path, capsys):
    server = await serving("upbit", 1440 + 300, ("BTC/KRW",))
    lake = tmp_path / "lake"
    how = {"venue": "upbit", "symbols": "BTC/KRW"}
    assert await asyncio.to_thread(killed, server.url, lake, "noted after", 1, **how) == -signal.SIGKILL
    assert Lake(lake).instruments() == (KRW,)
    assert await asyncio.to_thread(download, server, lake, **how) == 0
    said = capsys.readouterr()
    assert "1,440 minutes are there already" in said.err
    bars = await bars_of(server, KRW, 1440 + 300)
    assert same(lake, KRW, bars)
    missing = 1440 + 300 - len(bars)
    assert (f"missing: {missing:,} minutes" in said.out) or (missing == 0 and "no minute is missing" in said.out)
    await server.close()


async def test_a_second_run_fetches_nothing_and_new_minutes_are_added(binance, tmp_path, capsys):
    lake = tmp_path / "lake"
    assert await asyncio.to_thread(download, binance, lake, "--until", "2026-01-02") == 0
    capsys.readouterr()
    assert await asyncio.to_thread(download, binance, lake, "--until", "2026-01-02", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["instruments"]
    assert (told["pieces"], told["new"], told["resumed_minutes"], told["missing"]) == (0, 0, 1_440, 0)
    assert await asyncio.to_thread(download, binance, lake) == 0
    assert same(lake, BTC, await bars_of(binance, BTC, DAYS * 1440 + 77))


# --- the archive -----------------------------------------------------------------------------------------------------


@dataclass
class ArchiveServer:
    """A stand-in for the archive: files of the bars it was given, with the damage it was told to do."""

    bars: list[Bar]
    damage: dict[str, str] = field(default_factory=dict)
    """Period → ``gone``, ``page``, ``cut`` or ``checksum``."""
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def __aenter__(self) -> "ArchiveServer":
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        self.asked.append(request.path)
        period = name.removeprefix("BTCUSDT-1m-").partition(".")[0]
        how = self.damage.get(period, "")
        body = self._zip(period)
        if how == "gone" or body is None:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        if how == "page":
            return web.Response(
                text="<html><body>Please sign in to this network</body></html>", content_type="text/html"
            )
        if name.endswith(".CHECKSUM"):
            digest = "0" * 64 if how == "checksum" else hashlib.sha256(body).hexdigest()
            return web.Response(text=f"{digest}  {name.removesuffix('.CHECKSUM')}\n")
        return web.Response(body=body[: len(body) // 2] if how == "cut" else body, content_type="application/zip")

    def _zip(self, period: str) -> bytes | None:
        first = int(np.datetime64(period, "ms").astype(np.int64))
        unit = "M" if len(period) == 7 else "D"
        end = int((np.datetime64(period, unit) + 1).astype("datetime64[ms]").astype(np.int64))
        rows = [bar for bar in self.bars if first <= bar.minute < end]
        if not rows:
            return None
        # Microseconds, as in the files of 2025 on; plain numbers without a header.
        text = "".join(
            f"{b.minute * 1000},{b.open!r},{b.high!r},{b.low!r},{b.close!r},{b.volume!r},"
            f"{b.minute * 1000 + 59_999_999},0,0,0,0,0\n"
            for b in rows
        )
        out = io.BytesIO()
        info = zipfile.ZipInfo(f"BTCUSDT-1m-{period}.csv")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as folder:
            folder.writestr(info, text)
        return out.getvalue()


async def test_the_archive_is_used_and_what_it_has_damaged_comes_by_other_ways(tmp_path, capsys):
    """A whole month by its file; of February a day is gone, one has a wrong checksum, one is cut short and one is a
    page of a proxy: those four, and today, come in pages. All equal in the end."""
    server = await serving("binance", LONG + 500, ("BTC/USDT",))
    bars = await bars_of(server, BTC, LONG + 500)
    lake = tmp_path / "lake"
    damage = {"2026-02-01": "checksum", "2026-02-02": "page", "2026-02-03": "cut"}
    async with ArchiveServer(bars, damage) as archive:
        assert await asyncio.to_thread(download, server, lake, "--archive-url", archive.url) == 0
        asked = [path for path in archive.asked if path.endswith(".zip")]
    assert [path.rpartition("/")[2] for path in asked] == [
        f"BTCUSDT-1m-{period}.zip" for period in ("2026-01", "2026-02-01", "2026-02-02", "2026-02-03")
    ]
    said = capsys.readouterr().out
    assert "BTCUSDT-1m-2026-02-01.zip: wrong checksum" in said
    assert "BTCUSDT-1m-2026-02-02.zip: its CHECKSUM file is no checksum" in said
    assert "BTCUSDT-1m-2026-02-03.zip: wrong checksum (cut off or changed on the way)" in said
    assert same(lake, BTC, bars)
    files = DownloadState(Lake(lake), BTC).files
    assert list(files) == ["BTCUSDT-1m-2026-01.zip"]
    await server.close()


async def test_a_month_that_is_gone_comes_by_days(tmp_path, capsys):
    server = await serving("binance", LONG, ("BTC/USDT",))
    bars = await bars_of(server, BTC, LONG)
    lake = tmp_path / "lake"
    async with ArchiveServer(bars, {"2026-01": "gone", "2026-01-13": "gone"}) as archive:
        assert (
            await asyncio.to_thread(download, server, lake, "--archive-url", archive.url, "--until", "2026-02-01") == 0
        )
    assert "BTCUSDT-1m-2026-01.zip: the archive has not got it (HTTP 404)" in capsys.readouterr().out
    assert len(DownloadState(Lake(lake), BTC).files) == 30
    assert same(lake, BTC, bars[: 31 * 1440])
    await server.close()


# --- differing bars --------------------------------------------------------------------------------------------------


async def test_a_bar_the_venue_revised_is_told_and_kept_until_replaced(binance, tmp_path, capsys):
    lake = tmp_path / "lake"
    assert await asyncio.to_thread(download, binance, lake) == 0
    bars = await bars_of(binance, BTC, DAYS * 1440 + 77)
    other = bars[100]
    row = {"ts": [other.minute], "open": [other.open], "high": [other.high], "low": [other.low]}
    changed = pl.DataFrame(row | {"close": [other.low], "volume": [other.volume + 1]})
    Lake(lake).write(BTC, changed, "test", Lake(lake).synthetic(BTC))
    capsys.readouterr()
    address = ("--exchange-url", binance.url, "--lake", lake)
    assert await asyncio.to_thread(run, "verify", "--against", "exchange", "--whole", *address) == 1
    said = capsys.readouterr().out
    assert f"binance:BTC/USDT: {DAYS * 1440 + 77:,} bars read a second time, 1 differ" in said
    assert "2026-01-01T01:40" in said and "volume" in said
    assert await asyncio.to_thread(download, binance, lake, "--again") == 1
    assert "1 differ and were kept" in capsys.readouterr().out
    assert await asyncio.to_thread(download, binance, lake, "--again", "--replace") == 0
    assert same(lake, BTC, bars)
    assert await asyncio.to_thread(run, "verify", "--against", "exchange", "--sample", 3, *address) == 0
    assert "600 bars read a second time, 0 differ" in capsys.readouterr().out


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--symbols", "BTC/USDX"), r"--symbols: binance does not list BTC/USDX.*BTC/USDT"),
        (("--symbols", "BTCUSDT"), "write BASE/QUOTE"),
        (("--symbols", " , "), "names no symbol"),
        (("--since", "2030-01-01"), "is in the future"),
        (("--since", "yesterday"), "is no date like 2024-01-01"),
        (("--since", "2026-13-01"), "is no date"),
        (("--since", "1970-01-01"), "before 2009"),
        (("--since", "2026-01-03", "--until", "2026-01-02"), "is not before --until"),
        (("--until", "soon"), "--until 'soon': is no date"),
        (("--symbols", "FOO/USDT"), r"--symbols: binance does not list FOO/USDT; it lists \d others"),
        (("--exchange-url", "127.0.0.1"), "is no address; write it like http://127.0.0.1:8500"),
        (("--exchange-url", "http://127.0.0.1:8500/api/v3"), "must end with the port"),
        (("--archive-url", "http://mirror.example"), "https"),
    ],
)
async def test_what_can_not_be_meant_is_told_before_anything_is_fetched(binance, tmp_path, words, said):
    with pytest.raises(ConfigError, match=said):
        await asyncio.to_thread(download, binance, tmp_path / "lake", *words)
    assert not list(tmp_path.rglob("*.parquet"))


@pytest.mark.parametrize(("asked", "there"), [("binance", "upbit"), ("upbit", "binance")])
async def test_another_venues_address_is_told_with_where_it_was_asked(tmp_path, asked, there):
    symbol = {"binance": "BTC/USDT", "upbit": "BTC/KRW"}
    server = await serving(there, 60, (symbol[there],))
    try:
        said = rf"{asked} .*{server.url}/\S+ is not there: this address does not speak {asked.title()}'s protocol"
        with pytest.raises(BotError, match=said):
            await asyncio.to_thread(download, server, tmp_path / "lake", venue=asked, symbols=symbol[asked])
    finally:
        await server.close()


async def test_a_made_up_market_does_not_go_among_real_bars(binance, tmp_path):
    words = download_words(binance.url, tmp_path, "binance", "BTC/USDT")
    at = words.index("--lake")
    with pytest.raises(ConfigError, match=r"simulator that plays a made-up market.*--lake FOLDER"):
        await asyncio.to_thread(run, *words[:at], *words[at + 2 :], "--set", f"var_dir={tmp_path / 'var'}")
    assert not list(tmp_path.rglob("*.parquet"))
    # In a lake of their own they are labelled, and nothing real goes among them.
    assert await asyncio.to_thread(run, *words) == 0
    lake = Lake(Path(words[at + 1]))
    assert lake.synthetic(BTC) is not None
    assert set(lake.read(BTC)["source"]) == {"rest:binance"}
    with pytest.raises(DataError, match="holds synthetic bars"):
        lake.write(BTC, lake.read(BTC).head(10), "test")


def test_progress_is_told_at_most_once_a_second_and_at_the_end():
    said, now = [], [0.0]
    progress = Progress(said.append, 1_000, lambda: now[0])
    progress.tell(BTC, 0)
    for step in range(1, 11):
        now[0] = step * 0.25
        progress.tell(BTC, 100)
    assert [line.split()[1] for line in said] == ["10%", "50%", "90%", "100%"]


async def test_a_market_that_upbit_does_not_list_is_told_before_its_clock_is_asked(tmp_path):
    server = await serving("upbit", 60, ("BTC/KRW", "ETH/KRW"))
    how = {"venue": "upbit", "symbols": "ETHH/KRW"}
    try:
        with pytest.raises(ConfigError, match=r"--symbols: upbit does not list ETHH/KRW; did you mean ETH/KRW\?"):
            await asyncio.to_thread(download, server, tmp_path / "lake", **how)
        gateway = gateway_of("upbit", ExchangeSettings(rest_url=server.url), None, (Instrument("upbit", "FOO/KRW"),))
        with pytest.raises(ConfigError, match="upbit does not list FOO/KRW; it lists 2 others"):
            await gateway.server_time_ms()
        await gateway.close()
    finally:
        await server.close()


async def test_a_lake_that_can_not_be_written_is_told_first(binance, tmp_path):
    (tmp_path / "lake").write_text("a file where the lake should be")
    with pytest.raises(DataError, match="can not be written to"):
        await asyncio.to_thread(download, binance, tmp_path / "lake")


async def test_a_full_disk_stops_with_words_and_is_gone_on_from(binance, tmp_path, monkeypatch):
    lake = tmp_path / "lake"
    real = Path.replace
    count = [0]

    def full(self: Path, target: Path) -> Path:
        count[0] += 1
        if count[0] == 4:
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(BotError, match=r"can not be written to .*No space left"):
        await asyncio.to_thread(download, binance, lake)
    monkeypatch.undo()
    assert await asyncio.to_thread(download, binance, lake) == 0
    assert same(lake, BTC, await bars_of(binance, BTC, DAYS * 1440 + 77))


async def test_a_network_that_goes_away_is_waited_for_so_long_and_no_longer(binance, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(downloading, "FIRST_PAUSE_S", 0.05)
    served: list[int] = []
    gateway = gateway_of("binance", ExchangeSettings(rest_url=binance.url), None, [BTC])

    class Flaky:
        async def history(self, instrument: Instrument, first_minute: int, count: int) -> list[Bar]:
            served.append(first_minute)
            if len(served) in (2, 3) or len(served) >= 6:
                raise ExchangeUnavailable("binance klines: no connection to the venue")
            return await gateway.history(instrument, first_minute, count)

    said: list[str] = []
    now = START + DAYS * 1440 * MINUTE_MS
    downloader = downloading.Downloader(Lake(tmp_path / "lake"), Flaky(), None, said.append, patience_s=0.4)
    with pytest.raises(ExchangeUnavailable, match=r"given up after .*run the same command again") as gone:
        await downloader.fetch(BTC, START, now + 600 * MINUTE_MS, now, lambda minutes: None)
    assert "no connection" in str(gone.value)
    assert sum("trying again in" in text for text in said) >= 3
    assert len(Lake(tmp_path / "lake").read(BTC)) == DAYS * 1440
    await gateway.close()


async def test_a_pause_that_the_venue_asks_for_is_waited_for_before_anything_else(monkeypatch):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(history_command.asyncio, "sleep", sleep)
    answers = [ExchangeUnavailable("upbit: a pause of 12 s", 12.0), ExchangeUnavailable("upbit: a pause of 3 s", 3.0)]
    said: list[str] = []

    async def ask() -> int:
        if answers:
            raise answers.pop(0)
        return 7

    assert await history_command._when_let(ask, said.append, 600.0) == 7
    assert slept == [12.0, 3.0] and "going on in 12 s" in said[0]
    answers.append(ExchangeUnavailable("upbit: banned for an hour", 3_600.0))
    with pytest.raises(ExchangeUnavailable, match="banned for an hour"):
        await history_command._when_let(ask, said.append, 600.0)
    answers.append(ExchangeUnavailable("no connection"))
    with pytest.raises(ExchangeUnavailable, match="no connection"):
        await history_command._when_let(ask, said.append, 600.0)
    assert slept == [12.0, 3.0]


async def test_a_range_before_the_first_bar_is_not_called_complete(binance, tmp_path, capsys):
    words = ["download", "--exchange", "binance", "--symbols", "BTC/USDT", "--since", "2019-01-01"]
    words += ["--until", "2019-01-03", "--exchange-url", binance.url, "--lake", str(tmp_path / "lake"), "--no-archive"]
    assert await asyncio.to_thread(run, *words) == 1
    out = capsys.readouterr().out
    assert "nothing before 2019-01-03" in out and "its first bar at binance is" in out
    assert "no minute is missing" not in out


async def test_a_lake_that_is_not_there_is_named(tmp_path):
    for more in ((), ("--against", "exchange", "--exchange", "binance")):
        with pytest.raises(DataError, match="nowhere: there is no such folder"):
            await asyncio.to_thread(run, "verify", "--lake", tmp_path / "nowhere", *more)


async def test_who_does_not_say_whether_it_is_a_simulator_is_not_taken_for_real(binance, tmp_path, monkeypatch):
    async def silent(self) -> dict:
        try:
            raise TimeoutError
        except TimeoutError as error:
            raise ExchangeUnavailable("did not answer /sim/state") from error

    monkeypatch.setattr(history_command.SimulatorControl, "state", silent)
    with pytest.raises(ExchangeUnavailable, match="/sim/state"):
        await asyncio.to_thread(download, binance, tmp_path / "lake")
    assert not list(tmp_path.rglob("*.parquet"))
