"""What of an account is the bot's to manage. Plain Python: ``core.loss_limits`` compiles it for the kernels, and settings,
which most processes read, need no compiler to say what a limit is worth.
"""


def managed_part(equity: float, capital: float, most: float) -> float:
    """What of an equity the bot manages, USDT: the fraction ``capital`` of it, and no more than ``most``."""
    part = equity * capital
    return most if most < part else part
