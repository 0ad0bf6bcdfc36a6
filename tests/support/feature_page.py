"""docs/features.md, written from the registry: ``python3 -m tests.support.feature_page > docs/features.md``."""

import sys

from core.features import FEATURES, LOOKBACK, N_FEATURES
from core.indicators import blocks, news
from core.indicators.spec import ANCHOR_BARS, BLOCK_MINUTES

HEAD = f"""# Features

The {N_FEATURES} numbers a model sees of each instrument every minute, from the registry in
[core/features.py](../core/features.py). This page is written by `python3 -m tests.support.feature_page`.

- *bars*: how many bars, this minute's included, the value is a function of. A known value is exact. `block`: recursive;
  started {ANCHOR_BARS} bars before each block of {BLOCK_MINUTES} minutes, so it depends on {LOOKBACK} bars at most.
- *TA-Lib*: how it is made of TA-Lib's functions, which tests hold it against on made-up and on real bars: to 1e-9
  (made-up), 1e-7 (real) or, where recursive, 1e-6 of its usual size. A dash: TA-Lib has none.
- NaN is a look-back that is not whole. What may be missing for good has a mask beside it.
"""


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    groups = ("returns", "volume", "channels", "smoothed", "candles", "cross", "context", "news")
    for group in groups:
        module = news if group == "news" else getattr(blocks, group)
        title = module.__doc__.strip().splitlines()[0].rstrip(".:")
        lines += [f"## {title}", "", "| name | unit | bars | what | source | TA-Lib |", "|---|---|---|---|---|---|"]
        for spec in module.SPECS:
            bars = "block" if spec.anchored else str(spec.lookback)
            talib = "–" if spec.talib == "none" else spec.talib.removeprefix("none: ")
            lines.append(
                f"| `{spec.name}` | {spec.unit} | {bars} | {_cell(spec.doc)} | {_cell(spec.source)} | {_cell(talib)} |"
            )
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    assert sum(line.startswith("| `") for line in page().splitlines()) == len(FEATURES)
    sys.stdout.write(page())
