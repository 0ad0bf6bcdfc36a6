"""Provisioning against a stub of Grafana's API that keeps what it is sent; and the board against our metrics."""

import argparse
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from actors.metrics import METRICS
from actors.verbs import grafana_command
from config.secrets import Secret
from core.errors import BotError, ConfigError
from data.grafana import FOLDER_UID, SOURCE_UID, provision, read_board

TOKEN = "glsa_stub_9f3c2b7a1e"
PROMETHEUS = "http://127.0.0.1:9090"


class StubGrafana:
    """Folders, data sources and boards by uid, as the real API answers for them (Grafana HTTP API, v11)."""

    def __init__(self) -> None:
        self.folders: dict[str, dict] = {}
        self.sources: dict[str, dict] = {}
        self.boards: dict[str, dict] = {}
        self.calls: list[tuple[str, str]] = []
        self.may_write = True
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                return

            def _do(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                stub.calls.append((self.command, self.path))
                status, answer = stub.answer(self.command, self.path, body, self.headers.get("Authorization"))
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = _do

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: dict | None, authorization: str | None) -> tuple[int, dict]:
        if authorization != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        if method != "GET" and not self.may_write:
            return 403, {"message": "You'll need additional permissions"}
        uid = path.rsplit("/", 1)[-1]
        if (method, path) == ("POST", "/api/folders"):
            return self._new(self.folders, body, {"version": 1})
        if path.startswith("/api/folders/"):
            return self._get_or_put(self.folders, method, uid, body)
        if (method, path) == ("POST", "/api/datasources"):
            return self._new(self.sources, body, {"id": 1, "readOnly": False})
        if path.startswith("/api/datasources/uid/"):
            return self._get_or_put(self.sources, method, uid, body)
        if (method, path) == ("POST", "/api/dashboards/db"):
            return self._board(body)
        return 404, {"message": f"the stub knows no {method} {path}"}

    def _new(self, shelf: dict[str, dict], body: dict, more: dict) -> tuple[int, dict]:
        if body["uid"] in shelf:
            return 409, {"message": "a thing with the same uid already exists"}
        shelf[body["uid"]] = body | more
        return 200, shelf[body["uid"]]

    def _get_or_put(self, shelf: dict[str, dict], method: str, uid: str, body: dict | None) -> tuple[int, dict]:
        if uid not in shelf:
            return 404, {"message": "not found"}
        if method == "PUT":
            shelf[uid] |= body
        return 200, shelf[uid]

    def _board(self, body: dict) -> tuple[int, dict]:
        board, old = body["dashboard"], self.boards.get(body["dashboard"]["uid"])
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        if old is not None and not body["overwrite"]:
            return 412, {"message": "The dashboard has been changed by someone else"}
        version = old["version"] + 1 if old else 1
        self.boards[board["uid"]] = {**body, "version": version}
        return 200, {
            "uid": board["uid"],
            "url": f"/d/{board['uid']}/minutehand",
            "version": version,
            "status": "success",
        }


@pytest.fixture
def grafana():
    stub = StubGrafana()
    yield stub
    stub.close()


def test_an_empty_grafana_gets_folder_source_and_board(grafana):
    done = provision(grafana.url, Secret(TOKEN), PROMETHEUS, "Minutehand")
    assert (done.folder, done.source, done.version) == ("created", "created", 1)
    assert done.url == f"{grafana.url}/d/minutehand/minutehand"
    assert grafana.folders[FOLDER_UID]["title"] == "Minutehand"
    source = grafana.sources[SOURCE_UID]
    assert (source["type"], source["url"], source["access"]) == ("prometheus", PROMETHEUS, "proxy")
    posted = grafana.boards["minutehand"]
    assert posted["folderUid"] == FOLDER_UID
    assert posted["dashboard"] == read_board() | {"id": None}


def test_a_second_time_changes_nothing_but_the_boards_version(grafana):
    provision(grafana.url, Secret(TOKEN), PROMETHEUS, "Minutehand")
    grafana.calls.clear()
    done = provision(grafana.url + "/", Secret(TOKEN), PROMETHEUS, "Minutehand")
    assert (done.folder, done.source, done.version) == ("unchanged", "unchanged", 2)
    assert [call for call in grafana.calls if call[0] != "GET"] == [("POST", "/api/dashboards/db")]


def test_changed_settings_update_what_stands(grafana):
    provision(grafana.url, Secret(TOKEN), PROMETHEUS, "Minutehand")
    done = provision(grafana.url, Secret(TOKEN), "http://prometheus:9090", "Bots")
    assert (done.folder, done.source) == ("renamed", "updated")
    assert grafana.folders[FOLDER_UID]["title"] == "Bots"
    assert grafana.sources[SOURCE_UID]["url"] == "http://prometheus:9090"


def test_a_wrong_token_is_the_users_error_and_not_shown(grafana):
    with pytest.raises(ConfigError, match="does not accept the token") as raised:
        provision(grafana.url, Secret("glsa_wrong_token"), PROMETHEUS, "Minutehand")
    assert "glsa_wrong_token" not in str(raised.value)


def test_a_token_without_rights_says_which_role(grafana):
    grafana.may_write = False
    with pytest.raises(ConfigError, match="role Admin"):
        provision(grafana.url, Secret(TOKEN), PROMETHEUS, "Minutehand")


def test_a_grafana_that_is_not_there_names_its_address(grafana):
    grafana.close()
    with pytest.raises(BotError, match=re.escape(grafana.url)):
        provision(grafana.url, Secret(TOKEN), PROMETHEUS, "Minutehand")


def test_an_address_without_scheme_is_refused():
    with pytest.raises(ConfigError, match="http://"):
        provision("localhost:3000", Secret(TOKEN), PROMETHEUS, "Minutehand")


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    grafana_command.arguments(parser)
    return grafana_command.main(parser.parse_args(words))


def test_the_verb_takes_the_token_from_the_environment(grafana, monkeypatch, capsys):
    monkeypatch.setenv("SOME_TOKEN", TOKEN)
    assert run("provision", "--url", grafana.url, "--token-env", "SOME_TOKEN", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["folder"], said["version"]) == ("created", 1)


def test_the_verb_without_a_token_says_where_to_put_it(grafana, monkeypatch):
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="NO_SUCH_TOKEN"):
        run("provision", "--url", grafana.url, "--token-env", "NO_SUCH_TOKEN")


def queries() -> list[str]:
    board = read_board()
    panels = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return panels + [v["query"]["query"] for v in board["templating"]["list"] if v["type"] == "query"]


def exported(name: str) -> set[str]:
    """Names under which Ray's endpoint shows one of our metrics."""
    kind = METRICS[name].kind
    if kind == "counter":
        return {f"ray_{name}_total"}
    return {f"ray_{name}"} if kind == "gauge" else {f"ray_{name}_bucket", f"ray_{name}_sum", f"ray_{name}_count"}


def test_every_metric_on_the_board_is_one_of_ours_and_every_one_of_ours_is_on_the_board():
    on_board = set(re.findall(r"ray_minutehand_\w+", " ".join(queries())))
    ours = {name: exported(name) for name in METRICS}
    assert on_board <= set().union(*ours.values())
    assert [name for name, names in ours.items() if not names & on_board] == []


def test_every_query_adds_up_over_processes_and_groups_by_tags_that_exist():
    for query in queries():
        if query.startswith("label_values"):
            continue
        assert re.match(r"(sum|max|histogram_quantile)\b", query), query
        for name in re.findall(r"ray_(minutehand_\w+?)(?:_total|_bucket)?\{", query):
            tags = {tag.strip() for group in re.findall(r"by \(([^)]*)\)", query) for tag in group.split(",")}
            assert tags - {"le"} <= set(METRICS[name].tags), query


def test_panels_do_not_overlap_and_have_titles():
    cells: set[tuple[int, int]] = set()
    for panel in read_board()["panels"]:
        place = panel["gridPos"]
        assert panel["title"]
        assert place["x"] + place["w"] <= 24
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & mine, panel["title"]
        cells |= mine
