"""One counter of a venue that starts again with each interval of the venue's clock."""

from dataclasses import dataclass

from exchanges.limits.priority import Priority, ceiling


@dataclass(slots=True)
class Budget:
    """One counter of the venue: at most ``limit`` in each window of ``window_ms`` of its clock."""

    limit: int
    window_ms: int
    _stated: int = 0
    """What the venue last said, plus what was answered since without a statement."""
    _flying: int = 0
    """Sent and not answered yet."""
    _window: int = -1

    def used(self, now_ms: int) -> int:
        """Spent in the window of ``now_ms``, requests in flight included."""
        self._turn(now_ms)
        return self._stated + self._flying

    def wait_ms(self, now_ms: int, amount: int, priority: Priority) -> int:
        """0 when ``amount`` fits under this priority's ceiling, else the time until the window turns."""
        if self.used(now_ms) + amount <= ceiling(self.limit, priority):
            return 0
        return self.window_ms - now_ms % self.window_ms

    def send(self, now_ms: int, amount: int) -> None:
        self._turn(now_ms)
        self._flying += amount

    def answered(self, now_ms: int, amount: int, *, counted: bool) -> None:
        """A request of ``amount`` is over; ``counted`` says that the venue stated the sum itself."""
        self._turn(now_ms)
        self._flying = max(0, self._flying - amount)
        if not counted:
            self._stated += amount

    def state(self, now_ms: int, used: int) -> None:
        """The venue said how much is used: it is right, and others may spend from the same IP."""
        self._turn(now_ms)
        self._stated = max(0, used)

    def _turn(self, now_ms: int) -> None:
        window = now_ms // self.window_ms
        if window != self._window:
            self._window, self._stated = window, 0
