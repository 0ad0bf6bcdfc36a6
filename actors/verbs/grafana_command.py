"""``run.py grafana provision``: our board into your Grafana."""

import argparse
import json
import os

from config import load
from config.secrets import Secret, load_secrets
from core.errors import EXIT_OK, ConfigError
from data.grafana import provision

HELP = "put the bot's board, folder and data source into a Grafana"
EXAMPLE = "GRAFANA_TOKEN=… python3 run.py grafana provision --url http://127.0.0.1:3000 --token-env GRAFANA_TOKEN"

PROMETHEUS = "http://127.0.0.1:9090"


def arguments(parser: argparse.ArgumentParser) -> None:
    load.arguments(parser)
    parser.add_argument("action", choices=["provision"], help="make or update; safe to repeat")
    parser.add_argument("--url", help="Grafana's address (default: grafana.url in config.json)")
    parser.add_argument(
        "--token-env",
        metavar="NAME",
        help="environment variable with a service account's token (default: MINUTEHAND_GRAFANA_TOKEN, api_keys.json)",
    )
    parser.add_argument("--prometheus", default=PROMETHEUS, help=f"as Grafana reaches it (default {PROMETHEUS})")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def main(args: argparse.Namespace) -> int:
    grafana = load.from_arguments(args).config.grafana
    url = args.url or grafana.url
    if not url:
        raise ConfigError("config.json: grafana.url is not set; set it, or give --url http://127.0.0.1:3000")
    done = provision(url, _token(args.token_env), args.prometheus, grafana.folder)
    if args.json:
        print(json.dumps({"folder": done.folder, "source": done.source, "url": done.url, "version": done.version}))
    else:
        print(f"folder {done.folder}, data source {done.source}, board at version {done.version}: {done.url}")
    return EXIT_OK


def _token(variable: str | None) -> Secret:
    """The token, by environment or private file; never by argument, which other users of a machine can read."""
    if variable is not None:
        text = os.environ.get(variable, "")
        if not text:
            raise ConfigError(f"the environment variable {variable} is empty or not set; put the token there")
        return Secret(text)
    token = load_secrets().grafana_token
    if token is None:
        raise ConfigError(
            "no Grafana token: set MINUTEHAND_GRAFANA_TOKEN, or grafana_token in config/api_keys.json, or name a "
            "variable with --token-env"
        )
    return token
