"""freqtrade: indicators on a data frame, then one Python loop over the candles, entries at the next open.

In the time: ``backtest_one_strategy`` (indicators, signals, loop), not the loading of candles nor its start-up. It is
kept offline by standing in for what asks the exchange. Not modelled by it: halts, participation, impact, latency.
"""

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import MagicMock, PropertyMock, patch

import freqtrade
import pandas as pd
from freqtrade.configuration import Configuration
from freqtrade.enums import RunMode
from freqtrade.optimize.backtesting import Backtesting
from protocol import FAST, FEE, SLOW, arguments, report, timed

STRATEGY = f"""
from freqtrade.strategy import IStrategy


class Cross(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "1m"
    stoploss = -0.99
    minimal_roi = {{"0": 100}}
    startup_candle_count = {SLOW}

    def populate_indicators(self, df, metadata):
        df["fast"] = df["close"].rolling({FAST}).mean()
        df["slow"] = df["close"].rolling({SLOW}).mean()
        return df

    def populate_entry_trend(self, df, metadata):
        df.loc[(df.fast > df.slow) & (df.fast.shift() <= df.slow.shift()), "enter_long"] = 1
        return df

    def populate_exit_trend(self, df, metadata):
        df.loc[(df.fast < df.slow) & (df.fast.shift() >= df.slow.shift()), "exit_long"] = 1
        return df
"""
MARKET = {
    **{"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "active": True, "type": "spot"},
    **{"spot": True, "swap": False, "future": False, "linear": None, "contractSize": None, "margin": False},
    **{"precision": {"price": 0.01, "amount": 1e-5}, "taker": FEE, "maker": FEE, "info": {}},
    "limits": {
        "amount": {"min": 1e-5, "max": 1e5},
        "price": {"min": 0.01, "max": 1e7},
        "cost": {"min": 5, "max": None},
    },
}
CONFIG = {
    **{"max_open_trades": 1, "stake_currency": "USDT", "stake_amount": "unlimited", "tradable_balance_ratio": 0.99},
    **{"dry_run": True, "dry_run_wallet": 10_000_000, "timeframe": "1m", "stoploss": -0.99, "minimal_roi": {"0": 100}},
    "exchange": {
        **{"name": "binance", "key": "", "secret": ""},
        **{"pair_whitelist": ["BTC/USDT"], "pair_blacklist": []},
    },
    "pairlists": [{"method": "StaticPairList"}],
    "entry_pricing": {"price_side": "same", "use_order_book": False},
    "exit_pricing": {"price_side": "same", "use_order_book": False},
}


def offline() -> ExitStack:
    """Whatever would ask the exchange answers from here."""
    exchange = "freqtrade.exchange.exchange.Exchange"
    stack = ExitStack()
    for name in (
        *("validate_config", "validate_timeframes", "_init_ccxt", "reload_markets"),
        *("validate_ordertypes", "additional_exchange_init"),
    ):
        stack.enter_context(patch(f"{exchange}.{name}", MagicMock()))
    for name, value in (
        *(("markets", {"BTC/USDT": MARKET}), ("precisionMode", 4), ("precision_mode_price", 4)),
        ("timeframes", ["1m"]),
    ):
        stack.enter_context(patch(f"{exchange}.{name}", PropertyMock(return_value=value)))
    stack.enter_context(patch(f"{exchange}.get_fee", return_value=FEE))
    stack.enter_context(patch("freqtrade.exchange.binance.Binance.additional_exchange_init", MagicMock()))
    return stack


def backtesting_in(folder: Path, bars: pd.DataFrame) -> Backtesting:
    for name in ("strategies", "data", "backtest_results"):
        (folder / name).mkdir()
    (folder / "strategies" / "cross.py").write_text(STRATEGY)
    candles = bars.drop(columns="ts").assign(date=pd.to_datetime(bars["ts"], unit="ms", utc=True))
    candles.to_feather(folder / "data" / "BTC_USDT-1m.feather")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    words = {
        **{"config": [str(folder / "config.json")], "user_data_dir": str(folder), "datadir": str(folder / "data")},
        **{"strategy": "Cross", "strategy_path": str(folder / "strategies"), "export": "none", "fee": FEE},
        "timerange": None,
    }
    config = Configuration(words, RunMode.BACKTEST).get_config()
    config["datadir"] = folder / "data"
    return Backtesting(config)


if __name__ == "__main__":
    args = arguments()
    bars = pd.read_parquet(args.bars)[["ts", "open", "high", "low", "close", "volume"]]
    with tempfile.TemporaryDirectory() as folder, offline():
        test = backtesting_in(Path(folder), bars)
        data, span = test.load_bt_data()
        seconds, _ = timed(lambda: test.backtest_one_strategy(test.strategylist[0], data, span), args.repeat)
        trades = len(next(iter(test.all_bt_content.values()))["results"])
    report(peer="freqtrade", version=freqtrade.__version__, bars=len(bars), seconds=seconds, crossings=trades)
