"""The process behind ``ostiary sandbox up``: serves one world until SIGTERM; SIGHUP begins it anew."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ostiary.errors import UsageError
from ostiary.sandbox.seeds import Acme, acme
from ostiary.sandbox.serve import Listeners
from ostiary.sandbox.world import Switches, World


def environment(seed: Acme, listeners: Listeners, folder: Path) -> dict[str, str]:
    """What to export so that foreign clients, and Ostiary itself, talk to this sandbox."""
    ca_file = str(listeners.ca_file)
    return {
        "AWS_ENDPOINT_URL": listeners.aws_url,
        "AWS_ACCESS_KEY_ID": seed.admin_key[0],
        "AWS_SECRET_ACCESS_KEY": seed.admin_key[1],
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(folder / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws-credentials"),
        "AWS_CA_BUNDLE": ca_file,
        "REQUESTS_CA_BUNDLE": ca_file,
        "SSL_CERT_FILE": ca_file,
        "CURL_CA_BUNDLE": ca_file,
        "NODE_EXTRA_CA_CERTS": ca_file,
        "NO_PROXY": "localhost,127.0.0.1",
        "no_proxy": "localhost,127.0.0.1",
        "OKTA_CLIENT_ORGURL": listeners.okta_url,
        "OKTA_CLIENT_TOKEN": seed.api_token,
        "OKTA_OIDC_CLIENT_ID": seed.native_client_id,
        "OKTA_AWSCLI_OIDC_CLIENT_ID": seed.native_client_id,
    }


def write_aws_files(seed: Acme, folder: Path) -> None:
    """The second Organization is entered by a profile, as people do with GovCloud."""
    config = folder / "aws-config"
    config.write_text("[profile gov-mgmt]\nregion = us-gov-west-1\n")
    credentials = folder / "aws-credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(
        f"[gov-mgmt]\naws_access_key_id = {seed.gov_key[0]}\naws_secret_access_key = {seed.gov_key[1]}\n"
    )


def describe(seed: Acme, listeners: Listeners, folder: Path) -> dict[str, Any]:
    """The public shape of ``sandbox up --json``."""
    return {
        "okta_url": listeners.okta_url,
        "aws_url": listeners.aws_url,
        "ca_file": str(listeners.ca_file),
        "env": environment(seed, listeners, folder),
        "people": [
            {
                "login": person.login,
                "password": person.password,
                "totp_secret": person.totp_secret,
                "groups": list(person.groups),
            }
            for person in seed.people
        ],
        "pid": os.getpid(),
    }


def switches_from(pairs: Sequence[str]) -> dict[str, float]:
    known = {item.name for item in fields(Switches)} - {"denied"}
    values: dict[str, float] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name not in known:
            raise UsageError(
                f"no switch is named {name}", fix=f"use one of: {', '.join(sorted(known))}"
            )
        values[name] = float(value)
    return values


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ostiary-sandbox")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--okta-port", type=int, default=0)
    parser.add_argument("--aws-port", type=int, default=0)
    parser.add_argument("--switch", action="append", default=[])
    options = parser.parse_args(arguments)
    switches = switches_from(options.switch)
    held = (options.folder / "lock").open("w")  # as long as this process lives
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    world = World()
    seed = acme(world)
    listeners = Listeners(
        world, options.folder, okta_port=options.okta_port, aws_port=options.aws_port
    )
    apply_switches(world, switches)
    write_aws_files(seed, options.folder)
    listeners.start()

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())

    def restart(*_: object) -> None:
        with world.lock:
            world.begin_again()
            again = acme(world)
            world.okta.aws_origin = listeners.aws_url
            apply_switches(world, switches)
        publish(describe(again, listeners, options.folder), options.folder)

    signal.signal(signal.SIGHUP, restart)
    publish(describe(seed, listeners, options.folder), options.folder)
    ended.wait()
    listeners.stop()
    (options.folder / "sandbox.json").unlink(missing_ok=True)


def apply_switches(world: World, switches: dict[str, float]) -> None:
    for name, value in switches.items():
        setattr(world.switches, name, value)


def publish(described: dict[str, Any], folder: Path) -> None:
    """Write the description whole or not at all: its presence says that the sandbox answers."""
    draft = folder / "sandbox.json.new"
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(described, indent=2))
    draft.replace(folder / "sandbox.json")


if __name__ == "__main__":
    main()
