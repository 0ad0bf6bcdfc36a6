"""``run.py models``: what versions of each member there are, which one is champion, and changing that by hand."""

import argparse
import getpass
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from config import load
from core.champions import PROMOTED, ROLLED_BACK, Standing, number_of
from core.errors import EXIT_OK, ConfigError
from core.features import schema_hash
from core.messages import ModelStep
from core.reasons import Reason
from core.shadow import Evidence, Pair, gathered
from core.succession import told as evidence_words
from core.units import plural
from data.artifacts import Artifact, ArtifactStore
from data.model_registry import CANDIDATE, KIND, ModelRegistry
from tune.train_command import add_trained_market, picked

HELP = "list and compare the models' versions; promote one, or roll back"
EXAMPLE = "python3 run.py models list\npython3 run.py models promote ridge v0003 --reason 'better in shadow'"
LISTED = ("ic", "mse_vs_zero", "coverage_80")


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="models_verb", required=True, metavar="VERB")
    for name, text in (
        ("list", "every version of every member, with its standing"),
        ("show", "one version in full, with the history of its member"),
        ("compare", "two versions of a member side by side"),
        ("promote", "make a version the champion; a running bot takes it over, else the next start"),
        ("rollback", "make the champion before this one champion again"),
    ):
        one = verbs.add_parser(name, help=text, description=text)
        add_trained_market(one)
        load.arguments(one)
        if name == "list":
            one.add_argument("member", nargs="?", help="only of this member")
        else:
            one.add_argument("member", help="a member's name, e.g. ridge")
        if name == "show":
            one.add_argument("version", nargs="?", help="e.g. v0003; default: the champion, else the newest")
        if name == "compare":
            one.add_argument("first", help="e.g. v0002")
            one.add_argument("second", help="e.g. v0003")
        if name == "promote":
            one.add_argument("version", help="e.g. v0003")
        if name in ("promote", "rollback"):
            one.add_argument("--reason", default="", help="goes into the history")
            one.add_argument("--by", default=getpass.getuser(), help="who asks (default %(default)s)")
        one.add_argument("--json", action="store_true", help="print one JSON line, nothing else")


def main(args: argparse.Namespace) -> int:
    settings = load.from_arguments(args)
    store = ArtifactStore(picked(args, settings)[1].root / "artifacts")
    registry = ModelRegistry.of(store)
    console = Console(stderr=args.json)
    verb = {"list": _list, "show": _show, "compare": _compare, "promote": _promote, "rollback": _rollback}
    answer = verb[args.models_verb](args, store, registry, console)
    if args.json:
        print(json.dumps(answer))
    return EXIT_OK


def version_of(store: ArtifactStore, member: str, text: str) -> Artifact:
    """The version that ``text`` names (``v0003``, ``3``, ``v0003.1f2e3d4c``), every file checked. Raises ConfigError with
    those that there are, DataError when it is damaged."""
    there = versions_of(store, member)
    wanted = f"v{int(text):04d}" if text.isdigit() else text
    for artifact in there:
        if wanted in (artifact.version, artifact.version.partition(".")[0]):
            return store.load(artifact.reference)
    known = ", ".join(a.version for a in there)
    raise ConfigError(f"{member} has no version {text!r}; there are {known}")


def versions_of(store: ArtifactStore, member: str) -> tuple[Artifact, ...]:
    """All versions of a member, oldest first. Raises ConfigError naming the members that have some."""
    models = store.list(KIND)
    there = tuple(a for a in models if a.name == member)
    if not there:
        known = ", ".join(dict.fromkeys(a.name for a in models))
        some = f"there are versions of {known}" if known else "nothing was trained yet: python3 run.py train"
        raise ConfigError(f"no version of {member!r} in {store.root / KIND}; {some}")
    return there


def place(artifact: Artifact, now: Standing) -> str:
    """What a version is to its member, in a word or two."""
    version = artifact.version
    if version == now.champion:
        return "champion, watched" if now.watched else "champion"
    if version in now.out:
        return "out"
    if version == now.former:
        return "champion before"
    if version in now.advised:
        return "challenger, better"
    if not fits(artifact):
        return ""
    if now.champion and number_of(version) > number_of(now.champion):
        return "challenger"
    return "candidate" if artifact.extra.get(CANDIDATE) else ""


def size_of(artifact: Artifact) -> int:
    """Bytes that a version takes on disk."""
    return sum(path.stat().st_size for path in artifact.path.iterdir() if path.is_file())


def described(artifact: Artifact, now: Standing) -> dict[str, object]:
    """A version as plain data, with its standing."""
    stored = {k: v for k, v in asdict(artifact).items() if k not in ("path", "files", "features")}
    return stored | {"place": place(artifact, now), "bytes": size_of(artifact), "fits": fits(artifact)}


def fits(artifact: Artifact) -> bool:
    """Trained on the features that this program computes."""
    return artifact.schema == schema_hash()


def evidence_of(registry: ModelRegistry) -> dict[Pair, Evidence]:
    """What the shadow found so far, by (member, champion, challenger)."""
    found: dict[Pair, Evidence] = {}
    for block in registry.scores():
        found = gathered(found, block)
    return found


def shadow_words(found: Mapping[Pair, Evidence], artifact: Artifact, now: Standing, confidence_pct: float) -> str:
    """How a version does beside the champion in the shadow of a running bot; empty where they never met."""
    one = found.get((artifact.name, now.champion, artifact.version))
    return evidence_words(one, confidence_pct, max(1, len(now.challenged))) if one is not None else ""


def _list(args: argparse.Namespace, store: ArtifactStore, registry: ModelRegistry, console: Console) -> object:
    models = versions_of(store, args.member) if args.member else store.list(KIND)
    if not models:
        console.print(f"no models in {store.root / KIND} yet; train some: python3 run.py train", markup=False)
    standings = {a.name: registry.standing(a.name) for a in models}
    found, confidence = evidence_of(registry), load.from_arguments(args).config.champions.confidence_pct
    rows = [("member", "version", "place", "data", "schema", "code", "seed", "KB", *LISTED, "shadow")] if models else []
    for a in models:
        schema = a.schema[:8] if fits(a) else f"{a.schema[:8] or 'none'} (other)"
        figures = [f"{a.metrics[key]:.3g}" if key in a.metrics else "" for key in LISTED]
        where, kb = place(a, standings[a.name]), f"{size_of(a) / 1e3:.1f}"
        shadow = shadow_words(found, a, standings[a.name], confidence)
        rows.append((a.name, a.version, where, _span(a), schema, a.code, str(a.seed), kb, *figures, shadow))
    # Plain lines: a table cut to the 80 columns of a pipe would hide what it is for.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)
    return [described(a, standings[a.name]) for a in models]


def _show(args: argparse.Namespace, store: ArtifactStore, registry: ModelRegistry, console: Console) -> object:
    there = versions_of(store, args.member)
    now = registry.standing(args.member)
    artifact = version_of(store, args.member, args.version or now.champion or there[-1].version)
    told = described(artifact, now)
    rows = {
        "version": f"{artifact.reference}, {place(artifact, now) or 'no standing'}",
        "family": artifact.family,
        "data": f"{_span(artifact)} of {artifact.source or 'unknown'}: {', '.join(artifact.instruments) or 'none'}",
        "schema": artifact.schema + ("" if fits(artifact) else " (not that of this program: train it again)"),
        "code": artifact.code,
        "seed": str(artifact.seed),
        "made": _time(artifact.created_ms),
        "size": f"{size_of(artifact):,} bytes in {', '.join(artifact.files)}",
        "metrics": ", ".join(f"{k} {v:.4g}" for k, v in artifact.metrics.items()),
        "extra": json.dumps(artifact.extra),
    }
    for name, value in rows.items():
        console.print(f"{name:>8}  {value}", markup=False, highlight=False, soft_wrap=True)
    steps = registry.steps(args.member)
    console.print("history" + ("" if steps else "  none"), highlight=False)
    for step in steps:
        words = f"  {_time(step.at_ms)}  {step.kind.replace('_', ' ')} {step.version} by {step.by}: {step.why}"
        console.print(words, markup=False, highlight=False, soft_wrap=True)
    return told | {"history": [asdict(step) for step in steps]}


def _compare(args: argparse.Namespace, store: ArtifactStore, registry: ModelRegistry, console: Console) -> object:
    pair = [version_of(store, args.member, text) for text in (args.first, args.second)]
    now = registry.standing(args.member)
    table = Table(title=f"{args.member}: {pair[0].version} and {pair[1].version}")
    for column in ("", *(a.version for a in pair)):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    rows = {
        "place": [place(a, now) for a in pair],
        "data": [_span(a) for a in pair],
        "schema": [a.schema[:8] for a in pair],
        "code": [a.code for a in pair],
        "seed": [str(a.seed) for a in pair],
        "KB": [f"{size_of(a) / 1e3:.1f}" for a in pair],
    }
    for key in dict.fromkeys(k for a in pair for k in a.metrics):
        rows[key] = [f"{a.metrics[key]:.4g}" if key in a.metrics else "" for a in pair]
    for name, values in rows.items():
        table.add_row(name, *values)
    if not args.json:
        console.print(table)
    shadow = []
    for (member, champion, challenger), found in evidence_of(registry).items():
        if member == args.member and {champion, challenger} == {a.version for a in pair}:
            words = (
                f"in shadow {challenger} against {champion}: score {found.score:+.3f} (above 0 is better) over "
                f"{plural(found.minutes, 'minute')} in {plural(found.blocks, 'block')}, evidence {found.capital:.2f}"
            )
            console.print(words, markup=False, highlight=False, soft_wrap=True)
            shadow.append({"champion": champion, "challenger": challenger, "score": found.score})
            shadow[-1] |= {"minutes": found.minutes, "blocks": found.blocks, "evidence": found.capital}
    return {"versions": [described(a, now) for a in pair], "shadow": shadow}


def _promote(args: argparse.Namespace, store: ArtifactStore, registry: ModelRegistry, console: Console) -> object:
    artifact = version_of(store, args.member, args.version)
    if not fits(artifact):
        # The store's own words name the first feature that differs.
        store.load(artifact.reference, schema=schema_hash())

    def rule(now: Standing) -> ModelStep:
        if artifact.version == now.champion:
            raise ConfigError(f"{artifact.version} is the champion of {args.member} already")
        return _step(PROMOTED, args, artifact.version, now)

    return _done(registry.take(args.member, rule), console)


def _rollback(args: argparse.Namespace, store: ArtifactStore, registry: ModelRegistry, console: Console) -> object:
    versions_of(store, args.member)

    def rule(now: Standing) -> ModelStep:
        if not now.former:
            none = (
                f"has no champion before {now.champion}" if now.champion else "never had a champion, so there is none"
            )
            raise ConfigError(
                f"{args.member} {none} to go back to; name one: python3 run.py models promote {args.member} VERSION"
            )
        return _step(ROLLED_BACK, args, version_of(store, args.member, now.former).version, now)

    return _done(registry.take(args.member, rule), console)


def _step(kind: str, args: argparse.Namespace, version: str, now: Standing) -> ModelStep:
    return ModelStep(
        kind=kind,
        member=args.member,
        version=version,
        before=now.champion,
        by=args.by,
        why=args.reason or Reason("asked_for"),
        at_ms=0,
    )


def _done(step: ModelStep | None, console: Console) -> object:
    assert step is not None, "both rules give a step or raise"
    words = f"{step.member}: {step.version} is champion" + (f", {step.before} was" if step.before else "")
    console.print(
        f"{words}; a running bot takes it over at a minute's boundary when it passes its checks, else the next start does",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return asdict(step)


def _span(artifact: Artifact) -> str:
    return " to ".join(f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}" for ms in artifact.span)


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
