"""Where Python keeps compiled modules when it was told to write none beside the sources.

``PYTHONDONTWRITEBYTECODE`` (usual in containers) is meant for folders of sources. Of a system that obeys it each process
compiles Ray and all else that it imports, at every start. So the compiled modules go into a folder of ours instead.
Standard library only.
"""

import os
import sys
from pathlib import Path

FORBIDS = "PYTHONDONTWRITEBYTECODE"
PREFIX = "PYTHONPYCACHEPREFIX"


def bytecode_root(root: Path) -> Path:
    return root / "var" / "cache" / "bytecode"


def prepare_bytecode(root: Path) -> Path | None:
    """Here and in child processes keep compiled modules under ``root``/var; gives that folder.

    None, and nothing is changed, where they may lie beside the sources, or where the user chose a folder.
    Call before anything large is imported.
    """
    folder = bytecode_root(root)
    if os.environ.get(FORBIDS) and not os.environ.get(PREFIX) and sys.pycache_prefix is None:
        del os.environ[FORBIDS]
        os.environ[PREFIX] = str(folder)
    if os.environ.get(PREFIX) != str(folder):
        return None
    # Read from the environment when Python began: for this process it is too late.
    sys.pycache_prefix = str(folder)
    sys.dont_write_bytecode = False
    return folder
