"""What words of finance and crypto are worth in a headline, where the general lexicon does not know or mistakes them.

On VADER's scale, -4 (disaster) to 4 (triumph). Our own list, read off nothing but what a trader would call the event.
"""

PHRASES = {
    "all-time high": "alltimehigh",
    "all time high": "alltimehigh",
    "all-time low": "alltimelow",
    "record high": "alltimehigh",
    "record low": "alltimelow",
    "rug pull": "rugpull",
    "rug-pull": "rugpull",
    "short squeeze": "shortsqueeze",
    "long squeeze": "longsqueeze",
    "death cross": "deathcross",
    "golden cross": "goldencross",
    "sell-off": "selloff",
    "sell off": "selloff",
    "rate hike": "ratehike",
    "rate hikes": "ratehike",
    "rate cut": "ratecut",
    "rate cuts": "ratecut",
    "bank run": "bankrun",
    "class action": "classaction",
    "class-action": "classaction",
    "shuts down": "shutdown",
    "shut down": "shutdown",
    "safe haven": "safehaven",
    "fear and greed": "moodindex",
    "fear & greed": "moodindex",
    "smart contract": "contract",
    "smart contracts": "contracts",
    "bored ape": "ape",
    "united states": "us",
    "united kingdom": "uk",
    "proof of stake": "consensus",
    "war chest": "reserve",
    "no longer": "nolonger",
}
"""What counts as one word."""

WORDS = {
    # prices that rise
    "alltimehigh": 2.8, "rally": 2.2, "rallies": 2.2, "rallied": 2.0, "surge": 2.2, "surges": 2.2, "surged": 2.0,
    "surging": 2.2, "soar": 2.4, "soars": 2.4, "soared": 2.2, "soaring": 2.4, "skyrocket": 2.8, "skyrockets": 2.8,
    "skyrocketed": 2.6, "jump": 1.6, "jumps": 1.6, "jumped": 1.4, "rise": 1.2, "rises": 1.2, "rising": 1.2, "rose": 1.0,
    "climb": 1.3, "climbs": 1.3, "climbed": 1.1, "rebound": 1.6, "rebounds": 1.6, "rebounded": 1.4, "recover": 1.3,
    "recovers": 1.3, "recovery": 1.3, "breakout": 1.6, "bounce": 1.2, "bounces": 1.2, "outperform": 1.6,
    "outperforms": 1.6, "bull": 1.6, "bulls": 1.4, "bullish": 2.2, "uptrend": 1.6, "highs": 1.3, "moon": 1.4,
    "shortsqueeze": 1.4, "goldencross": 1.5, "doubles": 1.6, "upside": 1.3,
    # prices that fall
    "alltimelow": -2.8, "plunge": -2.6, "plunges": -2.6, "plunged": -2.4, "plummet": -2.7, "plummets": -2.7,
    "plummeted": -2.5, "slump": -2.1, "slumps": -2.1, "slumped": -1.9, "tumble": -2.2, "tumbles": -2.2, "tumbled": -2.0,
    "slide": -1.5, "slides": -1.5, "sink": -2.0, "sinks": -2.0, "dive": -1.9, "dives": -1.9, "dip": -1.0, "dips": -1.0,
    "drops": -1.3, "dropped": -1.1, "fall": -1.2, "falls": -1.2, "fell": -1.1, "falling": -1.2, "decline": -1.3,
    "declines": -1.3, "crash": -2.8, "crashes": -2.8, "crashed": -2.6, "crashing": -2.8, "selloff": -2.2,
    "capitulation": -2.4, "downturn": -1.7, "downtrend": -1.6, "correction": -1.1, "bear": -1.5, "bears": -1.3,
    "bearish": -2.2, "lows": -1.3, "longsqueeze": -1.4, "deathcross": -1.6, "downgrade": -1.6, "downgrades": -1.6,
    "recession": -2.0, "inflation": -0.8, "ratehike": -1.2, "ratecut": 1.2, "stagflation": -1.8,
    # what breaks
    "hack": -2.9, "hacks": -2.7, "hacked": -3.0, "hacker": -2.0, "hackers": -2.0, "exploit": -2.8, "exploits": -2.5,
    "exploited": -2.9, "rugpull": -3.3, "drained": -2.7, "drains": -2.4, "breach": -2.3, "breached": -2.3,
    "vulnerability": -1.8, "phishing": -2.0, "ponzi": -3.0, "laundering": -2.2, "depeg": -2.9, "depegs": -2.9,
    "depegged": -2.9, "insolvent": -3.0, "insolvency": -3.0, "bankruptcy": -3.1, "bankrupt": -3.1, "bankrun": -3.0,
    "collapse": -3.0, "collapses": -3.0, "collapsed": -2.8, "liquidation": -1.9, "liquidations": -1.9,
    "liquidated": -1.9, "halt": -1.6, "halts": -1.7, "halted": -1.7, "suspends": -1.7, "suspended": -1.6, "pauses": -1.3,
    "freezes": -1.8, "freeze": -1.6, "frozen": -1.7, "outage": -1.8, "delay": -0.9, "delays": -0.9, "shutdown": -1.9,
    "layoffs": -1.7, "delist": -1.9, "delists": -1.9, "delisting": -1.8, "delisted": -1.9, "outflow": -1.1,
    "outflows": -1.1, "withdraws": -0.8, "contagion": -2.3,
    # what the law does
    "sues": -2.0, "sued": -2.0, "lawsuit": -1.8, "classaction": -1.8, "charges": -1.6, "charged": -1.7, "indicted": -2.4,
    "arrest": -2.0, "arrested": -2.1, "probe": -1.4, "probes": -1.4, "investigation": -1.4, "investigates": -1.4,
    "crackdown": -1.9, "ban": -2.2, "bans": -2.2, "banned": -2.2, "sanctions": -1.2, "subpoena": -1.6, "fine": -0.9,
    "fined": -1.6, "reject": -1.8, "rejects": -1.8, "rejected": -1.8, "rejection": -1.7, "denies": -0.9, "delayed": -0.9,
    "seized": -1.6, "seizes": -1.6, "dismissed": 0.4, "settles": 0.4, "settlement": 0.4, "approve": 2.0, "approves": 2.1,
    "approved": 2.0, "approval": 2.0, "legalize": 1.6, "legalizes": 1.6, "greenlight": 1.8, "greenlights": 1.8,
    # what grows
    "adoption": 1.4, "adopts": 1.5, "adopt": 1.3, "partnership": 1.2, "partners": 1.0, "integrates": 1.0,
    "integration": 0.9, "upgrade": 1.0, "mainnet": 0.7, "listing": 1.0, "lists": 0.9, "listed": 0.8, "inflow": 1.1,
    "inflows": 1.2, "accumulate": 1.1, "accumulates": 1.2, "accumulation": 1.1, "buys": 1.0, "institutional": 0.5,
    "raises": 0.8, "milestone": 1.4, "halving": 0.6, "safehaven": 1.2, "backs": 0.9, "launches": 0.6, "expands": 1.0,
    "unlocks": -0.4, "dump": -2.0, "dumps": -2.0, "dumped": -1.9, "fud": -1.5, "fomo": 0.7,
}  # fmt: skip
"""Beside or instead of the general lexicon's."""

SAY_NOTHING = frozenset(
    {
        *("trust", "share", "shares", "security", "securities", "credit", "interest", "asset", "assets", "treasury"),
        *("nifty", "bored", "block", "blocks", "energy", "difficulty", "smart", "like", "value", "worth", "united"),
        *("harmony", "discord", "party", "play", "fan", "number", "legal", "pay", "want", "wants", "super", "swift"),
        *("dominance", "please", "natural", "fresh", "hard", "free", "no", "novel", "mad", "well", "matter", "matters"),
        *("heaven", "ha", "kind", "lol", "lmao", "miss", "woo", "fun", "join", "joins", "create", "creates", "top"),
    }
)
"""Words of feeling elsewhere, and names of things here: a share, a trust, a block, a non-fungible token's collection."""
