"""Which of two bars of the same minute stands, and what became of the bars that were handed to the lake."""

from dataclasses import dataclass
from typing import Literal

import polars as pl

Conflicts = Literal["newer", "keep"]


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of the bars handed to ``Lake.write``."""

    new: int = 0
    unchanged: int = 0
    revised: int = 0
    """Replaced a stored bar that differed."""
    kept: int = 0
    """Differed from a stored bar, which stayed."""
    kept_ts: tuple[int, ...] = ()

    def __add__(self, other: "WriteResult") -> "WriteResult":
        return WriteResult(
            self.new + other.new,
            self.unchanged + other.unchanged,
            self.revised + other.revised,
            self.kept + other.kept,
            self.kept_ts + other.kept_ts,
        )


def wins(conflicts: Conflicts) -> pl.Expr:
    """Whether the arriving bar takes the place of the stored one of its minute: what is final beats what is not, what traded
    beats filler, and among equals the later one, unless what is there is to be kept."""
    becomes_final = pl.col("final_new") & ~pl.col("final")
    equal_rank = pl.col("final_new") == pl.col("final")
    hides_a_trade = pl.col("filler_new") & ~pl.col("filler")
    if conflicts == "keep":
        equal_rank &= ~pl.col("final")
    return becomes_final | (equal_rank & ~hides_a_trade)
