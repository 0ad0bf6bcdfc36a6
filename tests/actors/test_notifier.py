"""The notifier never makes anybody wait, never raises, forgets only the oldest, and speaks both languages."""

import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from actors import notifier as module
from actors.notifier import BATCH, Notifier, Target, apprise_targets
from config.secrets import Secret
from config.settings import NotificationSettings
from core.messages import Notice


def restarted(actor: str, severity: str = "warning") -> Notice:
    return Notice(severity=severity, key="actor_restarted", values=(("actor", actor), ("reason", "died")))


class Inbox:
    """A target that keeps what it is sent; can be held shut, or fail the first so many times."""

    def __init__(self, failures: int = 0, raises: bool = False) -> None:
        self.messages: list[tuple[str, str, str]] = []
        self.tries = 0
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self._failures = failures
        self._raises = raises

    def send(self, head: str, body: str, severity: str) -> bool:
        self.entered.set()
        self.open.wait(10)
        self.tries += 1
        if self.tries <= self._failures:
            if self._raises:
                raise OSError("https://api.example/bot123:SECRET/send refused")
            return False
        self.messages.append((head, body, severity))
        return True


class JsonServer:
    """Keeps the JSON bodies that are posted to it."""

    def __init__(self) -> None:
        self.bodies: list[dict] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                return

            def do_POST(self) -> None:
                bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def json_server():
    server = JsonServer()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def start():
    running = []

    def start(*inboxes: Inbox, **settings) -> Notifier:
        targets = tuple(Target(f"inbox #{n}", inbox.send) for n, inbox in enumerate(inboxes, 1))
        running.append(Notifier(NotificationSettings(**settings), targets, retry_wait_s=0.01))
        return running[-1]

    yield start
    for one in running:
        one.close(5)


def test_a_notice_arrives_in_both_languages(start):
    inbox = Inbox()
    notifier = start(inbox)
    notifier.tell(restarted("feed"))
    assert notifier.flush(5)
    ((head, body, severity),) = inbox.messages
    assert severity == "warning"
    assert head == "Minutehand · Warning / Minutehand · 주의"
    assert "'feed' was started again. Reason: died" in body
    assert "'feed' 구성 요소를 다시 시작했습니다" in body


def test_one_language_is_enough_and_small_news_stays_in_the_log(start, caplog):
    inbox = Inbox()
    notifier = start(inbox, languages=("ko",), min_severity="warning")
    with caplog.at_level(logging.INFO, "notifier"):
        notifier.tell(restarted("feed", "info"))
        notifier.tell(restarted("cache", "critical"))
    assert notifier.flush(5)
    ((head, body, _),) = inbox.messages
    assert head == "Minutehand · 긴급"
    assert "started again" not in body
    assert "'feed'" in caplog.text


def test_telling_never_waits_and_only_the_oldest_fall_out(start):
    inbox = Inbox()
    inbox.open.clear()
    notifier = start(inbox, queue_size=20)
    notifier.tell(restarted("first"))
    assert inbox.entered.wait(5)
    began = time.perf_counter()
    for number in range(50):
        notifier.tell(restarted(f"part{number}"))
    assert time.perf_counter() - began < 1.0
    assert notifier.dropped == 30
    assert notifier.waiting() == 21
    inbox.open.set()
    assert notifier.flush(5)
    bodies = "\n".join(body for _, body, _ in inbox.messages)
    assert "part29'" not in bodies
    assert "part30'" in bodies
    assert "30 older notices were dropped" in bodies


def test_a_burst_is_a_few_messages(start):
    inbox = Inbox()
    inbox.open.clear()
    notifier = start(inbox)
    notifier.tell(restarted("first"))
    assert inbox.entered.wait(5)
    for number in range(2 * BATCH):
        notifier.tell(restarted(f"part{number}", "critical" if number == 3 else "warning"))
    inbox.open.set()
    assert notifier.flush(5)
    assert len(inbox.messages) == 3
    assert inbox.messages[1][2] == "critical"


@pytest.mark.parametrize("raises", [False, True])
def test_a_failing_target_is_tried_again_then_left_and_stops_nobody(start, raises, caplog):
    sometimes, never, good = Inbox(failures=2, raises=raises), Inbox(failures=1_000, raises=raises), Inbox()
    notifier = start(sometimes, never, good)
    notifier.tell(restarted("feed"))
    assert notifier.flush(5)
    assert (len(sometimes.messages), len(never.messages), len(good.messages)) == (1, 0, 1)
    assert never.tries == module.RETRIES + 1
    assert notifier.failed == {"inbox #1": 0, "inbox #2": 1, "inbox #3": 0}
    assert notifier.sent == 2
    assert "SECRET" not in caplog.text
    notifier.tell(restarted("cache"))
    assert notifier.flush(5)
    assert len(good.messages) == 2


def test_without_targets_nothing_piles_up(start):
    notifier = start()
    for _ in range(1_000):
        notifier.tell(restarted("feed"))
    assert (notifier.waiting(), notifier.dropped) == (0, 0)


def test_closing_sends_what_waits_and_does_not_hang_on_a_stuck_target(start):
    inbox = Inbox()
    notifier = start(inbox)
    notifier.tell(restarted("last"))
    assert notifier.close(5)
    assert "last" in inbox.messages[0][1]
    stuck = Inbox()
    stuck.open.clear()
    held = start(stuck)
    held.tell(restarted("never"))
    began = time.perf_counter()
    assert not held.close(0.2)
    assert time.perf_counter() - began < 2
    stuck.open.set()


def test_apprise_really_posts(json_server):
    (target,) = apprise_targets((Secret(json_server.url.replace("http://", "json://")),))
    assert target.send("Head", "Body 본문", "critical")
    (posted,) = json_server.bodies
    assert (posted["title"], posted["message"], posted["type"]) == ("Head", "Body 본문", "failure")


def test_an_unreadable_address_is_named_by_place_not_by_text(caplog):
    good = Secret("json://127.0.0.1:9/")
    targets = apprise_targets((Secret("nonsense://TOPSECRETTOKEN"), good))
    assert [target.name for target in targets] == ["json #2"]
    assert "notification_urls[0]" in caplog.text
    assert "TOPSECRETTOKEN" not in caplog.text
    assert not targets[0].send("t", "b", "info")
