"""Whether a version may serve: tried on made-up markets before any vote depends on it.

A version is judged by the rules of the vote itself (``core.votes``) on a probe of fifty instruments, must give a row the
same answer alone and among others, answer within its deadline, and leave its process within its memory. What is found
wrong is one sentence, which goes into the registry.
"""

import time
from dataclasses import dataclass, replace

import numpy as np
import psutil

from core.errors import DataError
from core.features import FEATURES, N_FEATURES, SEQUENCE
from core.messages import FloatArray
from core.units import Instrument
from core.votes import Answer, fault_in, fault_of
from core.warmup import flat_market
from data.artifacts import ArtifactStore
from serve.models.base import Member
from serve.models.registry import load_member

ROWS = 50
TRIES = 3
ALONE_BPS = 1e-3
"""How far a row's answer may depend on which rows are asked about beside it (the order in which floats are summed)."""
PROBED = tuple(Instrument("probe", f"C{number}/USDT") for number in range(ROWS))


class Unfit(DataError):
    """The version must not serve. The text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a version must keep."""

    deadline_ms: float
    """For fifty instruments, the best of three tries."""
    memory_mb: float
    """Of the whole process, with the version that serves in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What was measured of a version that may serve."""

    version: str
    took_ms: float
    memory_mb: float


SIZES = {
    "log return": 1e-3,
    "log return per sqrt(minute)": 5e-4,
    "fraction": 1e-3,
    "fraction per minute": 1e-4,
    "log": 1e-2,
}
"""Usual size of a feature, by its unit; 1 where none is named."""


def probe_features(rows: int = ROWS, seed: int = 20) -> FloatArray:
    """(rows, L, F): numbers of a market's usual sizes and ranges, by each feature's unit; every mask says that its
    feature is known. The first row is a market that stands still."""
    rng = np.random.default_rng(seed)
    features = np.empty((rows, SEQUENCE, N_FEATURES))
    for column, spec in enumerate(FEATURES):
        drawn = rng.standard_normal((rows, SEQUENCE))
        if spec.unit in ("0 or 1", "0..1"):
            drawn = np.abs(np.tanh(drawn))
        elif spec.unit == "-1..1":
            drawn = np.tanh(drawn)
        elif "sqrt" in spec.unit:
            drawn = np.abs(drawn)
        if spec.unit == "0 or 1":
            drawn = np.full_like(drawn, float(spec.name.endswith("_known")))
        features[:, :, column] = drawn * SIZES.get(spec.unit, 1.0)
    features[0] = 0.0
    features[0, :, [c for c, spec in enumerate(FEATURES) if spec.name.endswith("_known")]] = 1.0
    return features


def check(member: Member, version: str, bounds: Bounds) -> Passed:
    """Try ``member``. Raises Unfit."""
    features = probe_features()
    took = []
    try:
        for _ in range(TRIES):
            began = time.perf_counter()
            mean, stdev = member.forecast(features)
            took.append((time.perf_counter() - began) * 1e3)
        alone, _ = member.forecast(features[1:2])
    # In whatever it fails, a version that fails must not serve: an error that went past here would be taken for a replica
    # that is away, and the version asked for again and again.
    except Exception as error:
        raise Unfit(f"{version}: its probe forecast failed: {type(error).__name__}: {error}") from None
    market = replace(flat_market(PROBED), features=features)
    said = Answer(mean_bps=mean, stdev_bps=stdev, version=version)
    # Uncompiled: loading the compiled rule would take a replica, which has no other use for it, seconds.
    fault = fault_in(market, np.ones(ROWS, dtype=np.bool_), said, getattr(fault_of, "py_func", fault_of))
    if fault:
        raise Unfit(f"{version}: its probe forecast is no vote: {fault}")
    apart = float(np.max(np.abs(np.asarray(alone)[0] - np.asarray(mean)[1])))
    if not apart <= ALONE_BPS:
        raise Unfit(
            f"{version}: says {apart:.3g} bps else of an instrument asked about alone, {ALONE_BPS:g} are allowed"
        )
    if min(took) > bounds.deadline_ms:
        raise Unfit(
            f"{version}: takes {min(took):.0f} ms for {ROWS} instruments, its deadline is {bounds.deadline_ms:.0f} ms"
        )
    memory = psutil.Process().memory_info().rss / 2**20
    if memory > bounds.memory_mb:
        raise Unfit(f"{version}: its process takes {memory:.0f} MB with it, {bounds.memory_mb:.0f} are allowed")
    return Passed(version=version, took_ms=min(took), memory_mb=memory)


def load_checked(
    store: ArtifactStore,
    reference: str,
    family: str,
    schema: str,
    bounds: Bounds,
) -> tuple[Member, Passed]:
    """The member stored under ``reference``, loaded and tried. Raises Unfit naming what is wrong, files included."""
    try:
        artifact = store.load(reference, schema=schema)
    except DataError as error:
        raise Unfit(str(error)) from None
    if artifact.family != family:
        raise Unfit(f"{artifact.version}: is of family {artifact.family}, the member is {family}")
    try:
        member = load_member(family, artifact.path)
    except DataError as error:
        raise Unfit(f"{artifact.version}: {error}") from None
    return member, check(member, artifact.version, bounds)
