"""One bot an account: whoever trades an account on this machine holds its lock until the process ends.

Bots of one folder keep apart by ``running``; this keeps apart those of several folders, whose journals know nothing of
each other. On two machines only the exchange can tell: open orders of another instance, or balances that move without
us, which stop buying.
"""

import hashlib
import os
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from actors.runs.findings import Finding
from core.errors import BotError


class AccountLock:
    """The locks of the accounts that this process trades; the system lets go of them when it ends, however it does."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder``: shared by every bot of this user on this machine (default: in the system's folder for these)."""
        self._folder = folder or Path(tempfile.gettempdir()) / f"minutehand-{getattr(os, 'getuid', lambda: 0)()}"
        self._held: list[FileLock] = []

    def take(self, venue: str, account: str, where: str = "") -> list[Finding]:
        """Take an account, or say who has it. ``where``: which simulator, as each has the same account. Raises BotError
        when no lock can be kept."""
        try:
            return self._take(venue, account, where)
        except OSError as error:
            raise BotError(
                f"{self._folder}: cannot keep there that account {account} is traded ({error.strerror}); it must be a "
                "folder of this user"
            ) from None

    def _take(self, venue: str, account: str, where: str) -> list[Finding]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        name = hashlib.sha256(f"{venue} {account} {where}".encode()).hexdigest()[:16]
        lock, owner = FileLock(self._folder / f"{name}.lock"), self._folder / f"{name}.owner"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            who = owner.read_text(encoding="utf-8").strip() if owner.exists() else "another process"
            text = (
                f"account {account} of {venue} is being traded by {who} on this machine; two bots would fight over one "
                "account. End that one first"
            )
            return [Finding(name="account_in_use", text=text)]
        self._held.append(lock)
        owner.write_text(f"process {os.getpid()} in {Path.cwd()}", encoding="utf-8")
        return []

    def release(self) -> None:
        """Let go. May be called twice."""
        while self._held:
            self._held.pop().release()
