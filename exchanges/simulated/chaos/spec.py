"""``--chaos seed=7,rate=0.05,only=drop+dup``: the words of the command line for a plan of faults."""

import argparse

from core.errors import ConfigError
from exchanges.simulated.chaos.kinds import KINDS, chosen
from exchanges.simulated.chaos.plan import Chaos

KEYS = ("seed", "rate", "only", "pace")


def parse_chaos(text: str) -> dict:
    """Arguments for ``Chaos.seeded``. A bare number is the seed. argparse's error names what is wrong."""
    found: dict = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = "seed", part
        try:
            found[key] = _VALUES[key](value)
        except KeyError:
            raise argparse.ArgumentTypeError(f"{key!r}: known are {', '.join(KEYS)}") from None
        except ValueError as error:
            reason = str(error) if key == "only" else f"{part!r} is not a number that fits"
            raise argparse.ArgumentTypeError(reason) from None
    if "seed" not in found:
        raise argparse.ArgumentTypeError("say seed=NUMBER, so that it can be had again")
    try:
        Chaos.seeded(**found)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return found


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


_VALUES = {"seed": _seed, "rate": float, "only": chosen, "pace": float}


def catalogue() -> str:
    """The faults' names and what each is, for --help."""
    width = max(map(len, KINDS))
    lines = []
    for kind in KINDS.values():
        venues = "" if len(kind.venues) > 1 else f" [{kind.venues[0]}]"
        lines.append(f"  {kind.name:<{width}}  {kind.about}{venues}")
    return "\n".join(lines)
