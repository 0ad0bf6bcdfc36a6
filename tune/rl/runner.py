"""Collecting experience for RLlib's PPO as whole arrays: an env runner of our own, and the loop that learns from them.

RLlib's stock runner keeps an episode object an environment and adds to each of them, minute by minute, in Python. Here
one call of the network answers for all environments, one compiled call moves all of them, and what the learner needs is
written to arrays made once. The advantages are those of RLlib's own connector: GAE (Schulman et al. 2016,
arXiv:1506.02438), truncated episodes bootstrapped by their last observation's value, standardised over the batch. The
batch then goes the way that RLlib keeps for batches, ``Learner.update(batch=...)``, to the same learner with the same loss; only the connectors from episodes to a batch are passed by.
"""

import random
import warnings
from typing import Any

import numpy as np
import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, SAMPLE_TIMER

from core.messages import FloatArray
from tune.rl.gym_env import GymFleet
from tune.rl.policy import RowCategorical, RowPolicy, SharedPolicy


class ArrayRunner(SingleAgentEnvRunner):
    """RLlib's runner with another ``sample``: it gives a ``MultiAgentBatch``, ready for the learner.

    State, checkpoints, weights, spaces and metrics are the stock runner's.
    """

    earned = 0.0
    """Mean reward a minute of what was sampled last, bps."""

    def make_env(self) -> None:
        """As RLlib makes it, which gives every runner's environment one name; a second runner is no news to a person."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*Overriding environment rllib-single-agent-env")
            super().make_env()

    def sample(self, *, num_timesteps: int | None = None, **kwargs: Any) -> MultiAgentBatch:  # type: ignore[override]
        """``num_timesteps`` minutes of experience in all, by default the configured batch; whole minutes of all
        environments."""
        with self.metrics.log_time(SAMPLE_TIMER):
            steps = num_timesteps or self.config.total_train_batch_size
            length = max(1, -(-steps // self.num_envs))
            batch, returns = self._collect(length)
        count = length * self.num_envs
        self._increase_sampled_metrics(count, len(returns))
        self.num_env_steps_sampled_lifetime += count
        for one in returns:
            self._log_episode_metrics(self._fleet.minutes, float(one), 0.0)
        return batch

    @property
    def _fleet(self) -> Any:
        env: GymFleet = self.env.unwrapped
        return env.fleet

    def whereabouts(self) -> dict[str, Any] | None:
        """In the middle of which episodes it is; None before the first."""
        return None if self._needs_initial_reset else {"fleet": self._fleet.get_state(), "earned": self._earned.copy()}

    def go_on(self, there: dict[str, Any]) -> None:
        """In the middle of the episodes that ``whereabouts`` told."""
        self._fleet.set_state(there["fleet"])
        self._earned = there["earned"].copy()
        self._needs_initial_reset = False

    def _collect(self, length: int) -> tuple[MultiAgentBatch, list[float]]:
        fleet, module = self._fleet, self.module
        assert isinstance(module, SharedPolicy)
        if self._needs_initial_reset:
            fleet.reset(self._seed or 0)
            self._earned = np.zeros(self.num_envs)
            self._needs_initial_reset = False
        shape = (length, self.num_envs)
        obs = torch.empty((*shape, fleet.rows, fleet.width))
        logits = torch.empty((*shape, module.policy.head.out_features * fleet.rows))
        action = torch.empty((*shape, fleet.rows), dtype=torch.int64)
        log_p = torch.empty(shape)
        reward, ended = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
        cut = np.zeros(shape, dtype=np.float32)
        returns: list[float] = []
        with torch.inference_mode():
            now = torch.from_numpy(fleet.seen.obs)
            for t in range(length):
                obs[t] = now
                logits[t] = module.logits(obs[t])
                said = RowCategorical(logits[t])
                action[t] = said.sample()
                log_p[t] = said.logp(action[t])
                seen = fleet.step(action[t].numpy())
                reward[t], ended[t] = seen.reward, seen.ended
                self._earned += seen.reward
                over = seen.ended != 0
                if over.any():
                    # Nothing ends an episode but time: what would have come after is worth what the value says.
                    cut[t, over] = module.values(torch.from_numpy(seen.last[over])).numpy()
                    returns.extend(self._earned[over])
                    self._earned[over] = 0.0
            # One call for all values: they are asked for only now.
            values = torch.cat([module.values(obs.flatten(0, 1)), module.values(now)]).reshape(length + 1, -1).numpy()
        self.earned = float(reward.mean())
        gain = advantages(reward, values, cut, ended, self.config.gamma, self.config.lambda_)
        target = gain + values[:-1]
        gain = (gain - gain.mean()) / max(1e-4, gain.std())
        count = length * self.num_envs
        flat = {
            Columns.OBS: obs.flatten(0, 1),
            Columns.ACTIONS: action.flatten(0, 1),
            Columns.ACTION_LOGP: log_p.flatten(),
            Columns.ACTION_DIST_INPUTS: logits.flatten(0, 1),
            Postprocessing.ADVANTAGES: torch.from_numpy(gain.reshape(-1)),
            Postprocessing.VALUE_TARGETS: torch.from_numpy(target.reshape(-1)),
        }
        return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(flat)}, env_steps=count), returns


def advantages(
    reward: FloatArray, values: FloatArray, cut: FloatArray, ended: FloatArray, gamma: float, lambda_: float
) -> FloatArray:
    """(T, E) generalised advantages. ``values`` (T + 1, E); where ``ended`` is 1, what follows is worth ``cut``."""
    out = np.empty_like(reward)
    last = np.zeros(reward.shape[1], dtype=reward.dtype)
    for t in range(len(reward) - 1, -1, -1):
        goes_on = 1.0 - ended[t]
        follows = np.where(ended[t] > 0.0, cut[t], values[t + 1])
        last = reward[t] + gamma * follows - values[t] + gamma * lambda_ * goes_on * last
        out[t] = last
    return out


class PpoLoop:
    """Collect, learn, take over the weights: what RLlib's ``PPO.training_step`` does with a runner and a learner in one
    process, without its ``Algorithm``. That one wants a Ray cluster, even for a single process, and puts its settings, here
    with a whole market in them, through the object store.
    """

    def __init__(self, config: PPOConfig, runner: SingleAgentEnvRunner | None = None) -> None:
        """``runner``: RLlib's own, to compare with; it gives episodes, which go through the learner's connectors."""
        self.config = config
        self.runner = runner or ArrayRunner(config=config, worker_index=0, num_workers=0)
        self.learner = config.build_learner(spaces=self.runner.get_spaces())
        self.sampled = 0
        """Minutes of experience so far."""
        self._take_over()

    @property
    def policy(self) -> RowPolicy:
        return self.runner.module.policy

    def collect(self) -> Any:
        got = self.runner.sample(num_timesteps=self.config.total_train_batch_size)
        self.sampled += got.env_steps() if isinstance(got, MultiAgentBatch) else sum(map(len, got))
        return got

    def learn(self, got: Any) -> None:
        self.learner.update(
            **({"batch": got} if isinstance(got, MultiAgentBatch) else {"episodes": got}),
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.sampled},
            num_epochs=self.config.num_epochs,
            minibatch_size=self.config.minibatch_size,
            shuffle_batch_per_epoch=self.config.shuffle_batch_per_epoch,
        )
        self._take_over()

    def train(self) -> float:
        """One iteration; gives the mean reward a minute of what was collected, bps."""
        self.learn(self.collect())
        return self.runner.earned

    def get_state(self) -> dict[str, Any]:
        there = self.runner.whereabouts() if isinstance(self.runner, ArrayRunner) else None
        return {
            "learner": self.learner.get_state(),
            # RLlib leaves these out of its learner's state: how much a move away from the old policy costs adapts.
            "kl": {name: float(value) for name, value in self.learner.curr_kl_coeffs_per_module.items()},
            "sampled": self.sampled,
            # Actions are drawn by torch's generator, RLlib shuffles minibatches by numpy's global one.
            "chance": (torch.get_rng_state(), np.random.get_state(), random.getstate()),
            "episodes": there,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from there, in the middle of the same episodes: what is learned from here on is what would have been. With
        RLlib's own runner episodes begin anew."""
        self.learner.set_state(state["learner"])
        for name, value in state["kl"].items():
            self.learner.curr_kl_coeffs_per_module[name].data = torch.tensor(value)
        self.sampled = state["sampled"]
        if isinstance(self.runner, ArrayRunner) and state["episodes"] is not None:
            self.runner.go_on(state["episodes"])
        self._take_over()
        of_torch, of_numpy, of_python = state["chance"]
        torch.set_rng_state(of_torch)
        np.random.set_state(of_numpy)
        random.setstate(of_python)

    def _take_over(self) -> None:
        state = self.learner.get_state(components=COMPONENT_RL_MODULE)[COMPONENT_RL_MODULE]
        self.runner.set_state({COMPONENT_RL_MODULE: state})
