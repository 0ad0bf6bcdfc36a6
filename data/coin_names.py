"""Which coins a headline names, by their names and their tickers."""

import re

NAMES = {
    "BTC": ("bitcoin",),
    "ETH": ("ethereum", "ether"),
    "BNB": ("binance coin", "bnb chain"),
    "SOL": ("solana",),
    "XRP": ("ripple",),
    "ADA": ("cardano",),
    "DOGE": ("dogecoin",),
    "SHIB": ("shiba inu",),
    "TRX": ("tron",),
    "DOT": ("polkadot",),
    "AVAX": ("avalanche",),
    "LINK": ("chainlink",),
    "LTC": ("litecoin",),
    "BCH": ("bitcoin cash",),
    "XLM": ("stellar lumens",),
    "UNI": ("uniswap",),
    "ATOM": ("cosmos hub",),
    "ETC": ("ethereum classic",),
    "FIL": ("filecoin",),
    "NEAR": ("near protocol",),
    "APT": ("aptos",),
    "ARB": ("arbitrum",),
    "ALGO": ("algorand",),
    "AAVE": ("aave",),
    "MATIC": ("polygon",),
    "SAND": ("the sandbox",),
    "HBAR": ("hedera",),
    "XTZ": ("tezos",),
    "EOS": ("eos",),
    "PEPE": ("pepecoin",),
    "SUI": ("sui network",),
    "TON": ("toncoin",),
}
"""A longer name hides the shorter one in it: what is about bitcoin cash is not about bitcoin."""

_WORDS = frozenset(
    {"LINK", "DOT", "ATOM", "NEAR", "SAND", "UNI", "ONE", "SUN", "GAS", "TON", "SUI", "APE", "CAKE", "OP"}
)
"""Tickers that are words: believed only as $NEAR or (NEAR)."""

_BY_NAME = {name: base for base, names in NAMES.items() for name in names}
_NAME = re.compile(
    r"(?<![\w.])(" + "|".join(re.escape(n) for n in sorted(_BY_NAME, key=len, reverse=True)) + r")(?![\w.])",
    re.IGNORECASE,
)
_PLAIN = "|".join(sorted(set(NAMES) - _WORDS))
_MARKED = "|".join(sorted(NAMES))
_TICKER = re.compile(rf"(?<!\w)(?:\$({_MARKED})|\(({_MARKED})\)|({_PLAIN}))(?!\w)")


def coins_in(title: str) -> tuple[str, ...]:
    """The coins that are named, each once, sorted; tickers count in capitals only."""
    found = {_BY_NAME[match[1].lower()] for match in _NAME.finditer(title)}
    found |= {next(group for group in match.groups() if group) for match in _TICKER.finditer(title)}
    return tuple(sorted(found))
