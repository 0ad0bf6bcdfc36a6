"""One tree of errors: whose fault it is, and whether to go on.

Vendor errors (ccxt, sockets, SQLite, Parquet) are translated into these at the edge where they arise.
"""

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_NOT_RUNNING = 3
EXIT_CONFIG = 4
EXIT_TIMEOUT = 5


class BotError(Exception):
    """Root of everything this project raises on purpose."""

    exit_code = EXIT_FAILURE


class ConfigError(BotError):
    """The user's settings are wrong. The text names file, key, value and the near right one."""

    exit_code = EXIT_CONFIG


class NotRunning(BotError):
    """A command needs a running bot and there is none."""

    exit_code = EXIT_NOT_RUNNING


class TimedOut(BotError):
    """Something did not answer within its stated time."""

    exit_code = EXIT_TIMEOUT


class DataError(BotError):
    """Stored or imported data is not what it must be. The text names file, row and fault."""


class ExchangeUnavailable(BotError):
    """The venue did not serve us, and nothing happened there. Try again, with back-off."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ExchangeRefused(BotError):
    """The venue understood and said no. The request is wrong; never retried as it is."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class OutcomeUnknown(BotError):
    """A request may or may not have taken effect. Ask the venue by client id before anything else."""


class StaleData(BotError):
    """Market data is too old to decide upon."""


class Defect(BotError):
    """Our own mistake. Halts trading, keeps protecting positions."""
