"""The notifier: sends notices to people, from a thread of its own, and never makes anybody wait.

The queue is bounded: when sending is slower than the news, the oldest fall out, counted, and the loss itself is
told. A target that fails is tried again a little, then left; it never raises and never stops the others.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import apprise

from actors.plan import RunPlan
from actors.shell import Shell
from config.secrets import Secret, load_secrets
from config.settings import NotificationSettings
from core.messages import Notice
from core.notices import SEVERITIES, at_least, text, title

log = logging.getLogger("notifier")

BATCH = 10
"""Notices in one message, so that a burst does not meet a chat's rate limit."""
RETRIES = 2
RETRY_WAIT_S = 2.0
_APPRISE_TYPES = {"info": apprise.NotifyType.INFO, "warning": apprise.NotifyType.WARNING}

Send = Callable[[str, str, str], bool]
"""(title, body, severity) -> it was taken. May raise anything."""


@dataclass(frozen=True, slots=True)
class Target:
    """Somewhere to send to. ``name`` is safe to show."""

    name: str
    send: Send


class Notifier:
    """A bounded queue and the thread that empties it into ``targets``."""

    def __init__(
        self, settings: NotificationSettings, targets: tuple[Target, ...], retry_wait_s: float = RETRY_WAIT_S
    ) -> None:
        self._settings = settings
        self._targets = targets
        self._retry_wait_s = retry_wait_s
        self._queue: deque[Notice] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._sending = False
        self._untold_drops = 0
        self.dropped = 0
        self.sent = 0
        self.failed = dict.fromkeys((target.name for target in targets), 0)
        self._thread = threading.Thread(target=self._work, name="notifier", daemon=True)
        self._thread.start()

    def tell(self, notice: Notice) -> None:
        """Take a notice for sending; returns at once."""
        log.log(_level(notice.severity), text(notice, "en"), extra={"notice": notice.key})
        if not self._targets or not at_least(notice.severity, self._settings.min_severity):
            return
        with self._changed:
            if len(self._queue) >= self._settings.queue_size:
                self._queue.popleft()
                self.dropped += 1
                self._untold_drops += 1
            self._queue.append(notice)
            self._changed.notify_all()

    def waiting(self) -> int:
        """Notices not sent yet."""
        with self._changed:
            return len(self._queue) + self._sending

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything told so far was sent or given up; False when that took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._sending, timeout_s)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Flush, then end the thread."""
        done = self.flush(timeout_s)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        return done

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if self._closing:
                    return
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                lost, self._untold_drops = self._untold_drops, 0
                self._sending = True
            if lost:
                batch.append(Notice(severity="warning", key="notices_dropped", values=(("count", str(lost)),)))
            try:
                self._send(batch)
            finally:
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()

    def _send(self, batch: list[Notice]) -> None:
        gravest = max((notice.severity for notice in batch), key=SEVERITIES.index)
        head = " / ".join(dict.fromkeys(title(Notice(severity=gravest, key=""), lang) for lang in self._languages))
        body = "\n\n".join("\n".join(text(notice, lang) for lang in self._languages) for notice in batch)
        for target in self._targets:
            if self._try(target, head, body, gravest):
                self.sent += len(batch)
            else:
                self.failed[target.name] += len(batch)
                log.error("%s did not take %d notices", target.name, len(batch))

    @property
    def _languages(self) -> tuple[str, ...]:
        return self._settings.languages or ("en",)

    def _try(self, target: Target, head: str, body: str, severity: str) -> bool:
        for attempt in range(RETRIES + 1):
            if attempt:
                time.sleep(self._retry_wait_s * attempt)
            try:
                if target.send(head, body, severity):
                    return True
            except Exception as error:
                # A foreign plug-in may raise anything, with its address in the text: the type must do.
                log.warning("%s raised %s", target.name, type(error).__name__)
        return False


class NotifierActor(Shell):
    """The notifier of a plan; reads the targets' addresses itself, for secrets do not travel."""

    def __init__(self, plan: RunPlan) -> None:
        super().__init__(plan, "notifier")
        targets = apprise_targets(load_secrets(plan.notices_path or plan.keys_path).notification_urls)
        self._notifier = Notifier(plan.settings.config.notifications, targets)

    async def start(self) -> None:
        """Nothing to take up: news of before a restart is old."""

    async def tell(self, notice: Notice) -> None:
        self._notifier.tell(notice)

    async def close(self, timeout_s: float = 10.0) -> bool:
        """Send what waits, bounded; call before the run is ended."""
        return await asyncio.to_thread(self._notifier.close, timeout_s)

    async def health(self) -> dict:
        notifier = self._notifier
        return super().health() | {
            "waiting": notifier.waiting(),
            "sent": notifier.sent,
            "dropped": notifier.dropped,
            "failed": sum(notifier.failed.values()),
        }


def apprise_targets(urls: tuple[Secret, ...]) -> tuple[Target, ...]:
    """One target an address. An address apprise cannot read is named by its place, logged and left out."""
    # Apprise puts addresses it cannot read into its log, tokens and all: its failures are told by us.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    targets = []
    for number, url in enumerate(urls, start=1):
        service = apprise.Apprise.instantiate(url.reveal(), suppress_exceptions=True)
        scheme = url.reveal().partition("://")[0]
        if service is None:
            log.error(
                "notification_urls[%d] (%s://…) is no address apprise knows; nothing is sent",
                number - 1,
                scheme,
            )
            continue
        targets.append(Target(f"{scheme} #{number}", _apprise_send(service)))
    return tuple(targets)


def _apprise_send(service: apprise.NotifyBase) -> Send:
    def send(head: str, body: str, severity: str) -> bool:
        kind = _APPRISE_TYPES.get(severity, apprise.NotifyType.FAILURE)
        return bool(service.notify(title=head, body=body, notify_type=kind))

    return send


def _level(severity: str) -> int:
    return {"info": logging.INFO, "warning": logging.WARNING}.get(severity, logging.CRITICAL)
