"""A trial as Ray Tune runs it: rung by rung, each asked of a process of its own that is held to the trial's share."""

from pathlib import Path

from ray import tune as ray_tune

from tune.auto.records import Step, append, key_of, read
from tune.auto.space import settings_of
from tune.auto.task import NINTHS
from tune.auto.worker import Worker
from tune.train import lower_priority


class SearchTrial(ray_tune.Trainable):
    """One step a rung. Reused for the next trial, so its start, and its process's, are paid once.

    A step that is already on record is told from there: a search that is taken up again repeats no work, whatever Ray
    remembers of it.
    """

    def setup(
        self, config: dict, folder: str, limit: int, threads: int, niceness: int, deadline: float, seconds: float
    ) -> None:
        lower_priority(niceness)
        self._folder, self._deadline, self._seconds = Path(folder), deadline, seconds
        self._worker = Worker(self._folder, limit, threads, niceness)
        self.reset_config(config)

    def reset_config(self, new_config: dict) -> bool:
        self._family, self._hyper = settings_of(new_config)
        self._rung = 0
        return True

    def step(self) -> dict:
        key, ninths = key_of(self._family, self._hyper), NINTHS[self._rung]
        self._rung += 1
        step = read(self._folder).get((key, ninths))
        if step is None or not step.ok:
            ask = {"do": "rung", "key": key, "family": self._family, "hyper": self._hyper, "ninths": ninths}
            told = self._worker.ask(ask, deadline=self._deadline, seconds=self._seconds)
            step = Step.of(key, self._family, self._hyper, ninths, told)
            append(self._folder, step)
        return {
            "score": step.score,
            "gain": step.gain,
            "ninths": ninths,
            "key": key,
            "status": step.status,
            "done": not step.ok or step.whole,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        return None

    def load_checkpoint(self, checkpoint: object) -> None:
        return None

    def cleanup(self) -> None:
        self._worker.close()
