"""cluster.yaml is what Ray accepts, and speaks of the PC and of AWS in the same words."""

import json
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster() -> dict:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


def options(command: str) -> dict[str, str]:
    """``--name=value`` and ``--name value`` of a shell command."""
    words, found = shlex.split(command), {}
    for i, word in enumerate(words):
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            found[name] = value if equals else (words[i + 1] if i + 1 < len(words) else "")
    return found


def test_rays_own_schema_accepts_it(cluster):
    validate_config(prepare_config(cluster))


@pytest.mark.parametrize("fault", [{"max_wokers": 2}, {"available_node_types": {"head": {"resources": {"CPU": 0.5}}}}])
def test_rays_schema_would_refuse_a_fault(cluster, fault):
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        validate_config(prepare_config({**cluster, **fault}))


def test_the_pc_and_the_nodes_use_the_same_words(cluster):
    pc = cluster["metadata"]["pc"]
    nodes = cluster["available_node_types"]
    assert set(pc["resources"]) == {name for node in nodes.values() for name in node["resources"]}
    assert pc["labels"] == nodes[cluster["head_node_type"]]["labels"]
    assert {node["labels"]["role"] for node in nodes.values()} == {"trading", "training"}


def test_the_start_command_says_what_the_pc_has(cluster):
    pc = cluster["metadata"]["pc"]
    said = options(pc["start"])
    own = json.loads(said["--resources"])
    assert {"CPU": int(said["--num-cpus"]), "GPU": int(said["--num-gpus"]), **own} == pc["resources"]
    assert said["--labels"] == f"role={pc['labels']['role']}"
    assert set(json.loads(options(pc["join"])["--resources"])) <= set(pc["resources"])


def test_the_pc_leaves_two_of_twelve_threads_and_never_stops_other_clusters(cluster):
    pc = cluster["metadata"]["pc"]
    assert pc["resources"]["CPU"] == 12 - 2
    assert int(options(pc["start"])["--object-store-memory"]) <= 1_000_000_000
    assert "ray stop" not in pc["start"] + pc["join"]


def test_only_one_machine_may_hold_the_live_actors(cluster):
    trading = [name for name, node in cluster["available_node_types"].items() if "trading" in node["resources"]]
    assert trading == [cluster["head_node_type"]]


def test_every_ray_start_carries_the_token_and_no_key_travels(cluster):
    for side in ("head_start_ray_commands", "worker_start_ray_commands"):
        start = next(command for command in cluster[side] if "ray start" in command)
        assert "RAY_AUTH_MODE=token" in start
        assert "RAY_AUTH_TOKEN_PATH=$HOME/.minutehand-token" in start
    assert {"config/api_keys.json", "var", ".venv"} <= set(cluster["rsync_exclude"])
    assert not any("api_keys" in source for source in cluster["file_mounts"].values())
