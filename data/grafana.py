"""Our board into a Grafana, over its API: folder, data source, board. Run it again as often as you like.

The board is ``config/grafana/board.json``; everything has a fixed uid, so a second run updates what the first made.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import niquests
from grafana_client import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException, GrafanaUnauthorizedError, TokenAuth

from config.load import ROOT
from config.secrets import Secret
from core.errors import BotError, ConfigError, TimedOut

BOARD = ROOT / "config" / "grafana" / "board.json"
FOLDER_UID = "minutehand"
SOURCE_UID = "minutehand-prometheus"
SOURCE_NAME = "Minutehand Prometheus"
TIMEOUT_S = 10.0
_MISSING = 404
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What stands in Grafana now."""

    folder: str
    """``created``, ``renamed`` or ``unchanged``."""
    source: str
    """``created``, ``updated`` or ``unchanged``."""
    url: str
    """Where the board is seen."""
    version: int


def provision(url: str, token: Secret, prometheus_url: str, folder: str, board_path: Path = BOARD) -> Provisioned:
    """Make or update the folder, the Prometheus data source and the board.

    ``token``: a service account's, with the role Admin (data sources need it). Raises ConfigError (address, token or
    rights), TimedOut, or BotError with Grafana's own words.
    """
    board = read_board(board_path)
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"grafana url {url!r} must begin with http:// or https://, e.g. http://127.0.0.1:3000")
    api = GrafanaApi.from_url(url=url.rstrip("/"), credential=TokenAuth(token=token.reveal()), timeout=TIMEOUT_S)
    try:
        return Provisioned(_folder(api, folder), _source(api, prometheus_url), *_board(api, url.rstrip("/"), board))
    except GrafanaUnauthorizedError as error:
        raise ConfigError(f"Grafana at {url} does not accept the token; make one under Service accounts") from error
    except GrafanaClientError as error:
        if error.status_code == _FORBIDDEN:
            raise ConfigError(
                f"Grafana at {url}: the token may not do this; give its account the role Admin"
            ) from error
        raise BotError(f"Grafana at {url} refused: {error.message}") from error
    except GrafanaException as error:
        raise BotError(f"Grafana at {url} failed: {error.message}") from error
    except niquests.exceptions.Timeout as error:
        raise TimedOut(f"Grafana at {url} did not answer within {TIMEOUT_S:g} s") from error
    except niquests.exceptions.RequestException as error:
        raise BotError(f"Grafana cannot be reached at {url}; is it running there? ({type(error).__name__})") from error


def read_board(path: Path = BOARD) -> dict[str, Any]:
    """The board as Grafana takes it. Raises ConfigError naming the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a readable Grafana board ({error})") from error


def _folder(api: GrafanaApi, title: str) -> str:
    found = _or_none(api.folder.get_folder, FOLDER_UID)
    if found is None:
        api.folder.create_folder(title=title, uid=FOLDER_UID)
        return "created"
    if found["title"] == title:
        return "unchanged"
    api.folder.update_folder(FOLDER_UID, title=title, overwrite=True)
    return "renamed"


def _source(api: GrafanaApi, prometheus_url: str) -> str:
    wanted = {
        "uid": SOURCE_UID,
        "name": SOURCE_NAME,
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus_url,
        "jsonData": {"httpMethod": "POST", "timeInterval": "10s"},
    }
    found = _or_none(api.datasource.get_datasource_by_uid, SOURCE_UID)
    if found is None:
        api.datasource.create_datasource(wanted)
        return "created"
    if all(found.get(key) == value for key, value in wanted.items()):
        return "unchanged"
    api.datasource.update_datasource_by_uid(SOURCE_UID, wanted)
    return "updated"


def _board(api: GrafanaApi, url: str, board: dict[str, Any]) -> tuple[str, int]:
    answer = api.dashboard.update_dashboard(
        {
            "dashboard": board | {"id": None},
            "folderUid": FOLDER_UID,
            "overwrite": True,
            "message": "provisioned by Minutehand",
        }
    )
    return url + answer["url"], int(answer["version"])


def _or_none(ask: Any, uid: str) -> dict[str, Any] | None:
    """The thing of this uid, or None where Grafana has none."""
    try:
        return ask(uid)
    except GrafanaClientError as error:
        if error.status_code == _MISSING:
            return None
        raise
