"""``tune.rl.vector_env`` as gymnasium's vector environment: what RLlib's own runner takes, and ours reaches through."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from tune.rl import vector_env
from tune.rl.levels import LEVELS


class GymFleet(VectorEnv):
    """``config``: ``world`` (AgentMarket), ``num_envs``, and what else ``vector_env.VectorEnv`` takes by name.

    All episodes begin together and are equally long, so that they end together. As RLlib's runner expects, the step after
    an end gives the first observations of what begins, and nobody acts in it.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012 (gymnasium's own form)

    def __init__(self, config: dict[str, Any]) -> None:
        more = {k: v for k, v in config.items() if k not in ("world", "num_envs", "shown")}
        self.fleet = vector_env.VectorEnv(config["world"], config.get("num_envs", 1), shown=config.get("shown"), **more)
        self.num_envs = self.fleet.count
        shape = (self.fleet.rows, self.fleet.width)
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32)
        self.single_action_space = gymnasium.spaces.MultiDiscrete([len(LEVELS)] * self.fleet.rows)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._over = False

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        self._over = False
        return self.fleet.reset(0 if seed is None else int(np.ravel(seed)[0])).copy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        never = np.zeros(self.num_envs, dtype=np.bool_)
        if self._over:
            self._over = False
            return self.fleet.seen.obs.copy(), np.zeros(self.num_envs), never, never.copy(), {}
        seen = self.fleet.step(np.asarray(actions))
        ended = seen.ended != 0
        self._over = bool(ended.all())
        return (seen.last if self._over else seen.obs).copy(), seen.reward.copy(), never, ended, {}
