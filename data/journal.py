"""The executor's journal: one SQLite file, one writer, on disk before anything is acted upon."""

import os
import sqlite3
import zlib
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import DataError, Defect

SCHEMA = 1
APPLICATION = 0x4D484A4C
"""``MHJL`` in the file's header, so that another program's database is not taken for a journal."""
_CREATE = """
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    payload BLOB NOT NULL,
    crc INTEGER NOT NULL
)
"""


class SqliteJournal:
    """Durable, append-only, single writer (``core.ports.Journal``).

    WAL with ``synchronous=FULL``: ``append`` returns after the entries are on disk, all of them or none. A second
    writer gets a ``Defect`` naming file and process; readers use ``read_journal``. A damaged file, another
    program's, or one of a newer version raises ``DataError``.
    """

    def __init__(self, path: Path, wait_s: float = 2.0) -> None:
        self.path = Path(path)
        self._owner = self.path.with_name(self.path.name + ".owner")
        self._lock = FileLock(self.path.with_name(self.path.name + ".lock"), thread_local=False)
        self._take_lock(wait_s)
        try:
            # The owning actor's constructor and its event loop are different threads; it never uses both at once.
            self._connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
        except sqlite3.Error as error:
            self._lock.release()
            raise _translated(self.path, error) from error
        try:
            self._prepare()
        except (sqlite3.Error, DataError, Defect) as error:
            self.close()
            raise _translated(self.path, error) from error

    def append(self, entries: list[tuple[str, bytes]]) -> None:
        """Store (kind, payload) entries atomically. Raises ``Defect`` when they are not on disk."""
        rows = [(kind, payload, _crc(kind, payload)) for kind, payload in entries]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO entries (kind, payload, crc) VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise _translated(self.path, error, writing=True) from error

    def replay(self) -> list[tuple[str, bytes]]:
        """Every entry in the order of writing. Raises ``DataError`` naming the first damaged one."""
        try:
            return _rows(self.path, self._connection)
        except sqlite3.Error as error:
            raise _translated(self.path, error) from error

    def close(self) -> None:
        """Give the file up; the next opener may write."""
        self._connection.close()
        if self._lock.is_locked:
            self._owner.unlink(missing_ok=True)
            self._lock.release()

    def _take_lock(self, wait_s: float) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=wait_s)
        except Timeout:
            raise Defect(
                f"journal {self.path} is being written by process {self._owner_pid()}; one bot, one journal. "
                "Stop that process, or use another var_dir"
            ) from None
        except OSError as error:
            raise Defect(
                f"journal {self.path} cannot be opened: {error}; check the folder and its permissions"
            ) from error
        try:
            self._owner.write_text(str(os.getpid()))
        except OSError as error:
            self._lock.release()
            raise Defect(f"journal {self.path} cannot be written: {error}; free space or check permissions") from error

    def _owner_pid(self) -> str:
        try:
            return self._owner.read_text().strip() or "(unknown)"
        except OSError:
            return "(unknown)"

    def _prepare(self) -> None:
        connection = self._connection
        version = _check(self.path, connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        if version == 0:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_CREATE)
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.execute(f"PRAGMA user_version={SCHEMA}")
            connection.execute("COMMIT")

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            # The transaction is gone with the disk; SQLite drops what was not committed when the file is next opened.
            return


def read_journal(path: Path) -> list[tuple[str, bytes]]:
    """Every entry of a journal that may be in use by its writer. Raises ``DataError``."""
    if not Path(path).is_file():
        raise DataError(f"journal {path} does not exist")
    try:
        connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        try:
            if _check(Path(path), connection) == 0:
                return []
            return _rows(Path(path), connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _translated(Path(path), error) from error


def _check(path: Path, connection: sqlite3.Connection) -> int:
    """Schema version of the file, 0 when it is new."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if version == 0 and application == 0 and tables == 0:
        return 0
    if application != APPLICATION:
        raise DataError(f"{path} is a database of another program, not a journal; name another file")
    if version > SCHEMA:
        raise DataError(
            f"journal {path} has schema {version}, this program knows {SCHEMA}; use the program that wrote it, "
            "or move it aside"
        )
    fault = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if fault != "ok":
        raise DataError(_damaged(path, " ".join(str(fault).split())))
    return version


def _rows(path: Path, connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
    entries: list[tuple[str, bytes]] = []
    for seq, kind, payload, crc in connection.execute("SELECT seq, kind, payload, crc FROM entries ORDER BY seq"):
        if seq != len(entries) + 1:
            raise DataError(_damaged(path, f"entry {len(entries) + 1} is missing"))
        if not isinstance(kind, str) or not isinstance(payload, bytes) or _crc(kind, payload) != crc:
            raise DataError(_damaged(path, f"entry {seq} does not match its checksum"))
        entries.append((kind, payload))
    return entries


def _crc(kind: str, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(kind.encode()))


def _damaged(path: Path, fault: str) -> str:
    return (
        f"journal {path} is damaged ({fault}). Check the open orders and balances at the venue, move the file aside "
        "(with its -wal file), and start again: a new journal begins, and orders of ours still open are cancelled"
    )


def _translated(path: Path, error: Exception, writing: bool = False) -> DataError | Defect:
    if isinstance(error, (DataError, Defect)):
        return error
    text = str(error)
    if "malformed" in text or "not a database" in text or "encrypted" in text:
        return DataError(_damaged(path, text))
    action = "written" if writing else "opened"
    return Defect(
        f"journal {path} cannot be {action}: {text}; no new order is sent until it can. "
        "Free disk space, check permissions"
    )
