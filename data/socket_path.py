"""Where a socket file lies whose folder may be deep: the kernel takes some hundred characters and no more."""

import hashlib
import os
import tempfile
from pathlib import Path

from core.errors import ConfigError

LONGEST = 100
"""Bytes; kernels take 104 to 108."""


def socket_path(folder: Path, name: str) -> Path:
    """``folder/name.sock``, or where that is too long a path that is short enough, the same in every process of this user,
    in a folder (0700) of its own. Raises ConfigError where that folder is another user's."""
    path = folder / f"{name}.sock"
    if len(os.fsencode(path)) <= LONGEST:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"minutehand-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.stat().st_uid != os.getuid():
        raise ConfigError(f"{short} belongs to another user; set var_dir in config.json to a shorter path")
    short.chmod(0o700)
    return short / path.name
