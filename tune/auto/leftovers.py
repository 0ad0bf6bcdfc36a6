"""What a search that was killed leaves running: written down while it runs, ended at the next start.

Ray's processes end with the process that started them, but for its two agents: these notice within seconds, then try for a
minute to tell a control store that is gone.
"""

import json
from contextlib import suppress
from pathlib import Path

import psutil

FILE = "processes.json"
PATIENCE_S = 5.0


def note(folder: Path) -> None:
    """Write down all processes that are below this one now."""
    below = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            below.append((process.pid, process.create_time()))
    draft = (folder / FILE).with_suffix(".tmp")
    draft.write_text(json.dumps(below), encoding="utf-8")
    draft.replace(folder / FILE)


def end(folder: Path) -> int:
    """End those of the last note that still run, as none is anybody's any more; how many there were."""
    path = folder / FILE
    try:
        noted = [(int(pid), float(made)) for pid, made in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        noted = []
    alive = []
    for pid, made in noted:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            # A number is given out anew after a while: it is the same process only if it is as old.
            if process.create_time() == made:
                process.kill()
                alive.append(process)
    psutil.wait_procs(alive, timeout=PATIENCE_S)
    with suppress(OSError):
        path.unlink()
    return len(alive)
