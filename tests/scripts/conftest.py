"""One sandbox for all transcripts of a process, served over HTTPS on loopback and begun again for each."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from acme_small import acme_small
from control_world import ControlWorld
from free_port import free_port
from held_session import held
from pipelines import Pipelines

from ostiary.connect_control import kms_signers
from ostiary.doors.servers.client import begin, place
from ostiary.sandbox.daemon import environment, write_aws_files
from ostiary.sandbox.serve import Listeners
from ostiary.sandbox.world import World


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sandbox")
    world = World()
    acme_small(world)
    listeners = Listeners(world, folder)
    listeners.start()
    yield listeners, folder
    listeners.stop()


@pytest.fixture
def acme(served, tmp_path, monkeypatch):
    """A fresh world, its environment in ours, and a folder of one's own to work in."""
    listeners, folder = served
    with listeners.world.lock:
        listeners.world.begin_again()
        seed = acme_small(listeners.world)
        listeners.world.okta.aws_origin = listeners.aws_url
    write_aws_files(seed, folder)
    for name in list(os.environ):
        if name.startswith(("AWS_", "OKTA_", "OSTIARY_")) or name == "NO_COLOR":
            monkeypatch.delenv(name)
    for name, value in environment(seed, listeners, folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OSTIARY_SANDBOX", str(tmp_path / "no-sandbox"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("OSTIARY_WORKERS", "4")  # few connections: each costs a handshake
    monkeypatch.chdir(tmp_path)
    return listeners


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where nobody has signed in before; whoever does is signed out afterwards."""
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    with tempfile.TemporaryDirectory(prefix="run-") as short:  # a path of sockets has 107 bytes
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        yield
        begin.leave(place.run_folder())


@pytest.fixture
def sits(home, monkeypatch):
    """Says who is at the command line from now on: whoever a client is, or somebody who has yet to sign in.

    ``control`` is the control plane that a client says it signed in to, if it is another.
    """
    own = os.environ["XDG_RUNTIME_DIR"]
    with contextlib.ExitStack() as stack:

        def sit(client=None, control=""):
            stack.close()
            folder = own
            if client is not None:
                at = held(control or os.environ["OSTIARY_CONTROL"], client.session)
                folder = stack.enter_context(at)["XDG_RUNTIME_DIR"]
            monkeypatch.setenv("XDG_RUNTIME_DIR", folder)

        yield sit
        sit()


@pytest.fixture
def pipelines():
    """Issuers of tokens, which that control plane reaches."""
    return Pipelines()


@pytest.fixture
def control(acme, sits, pipelines, tmp_path, monkeypatch):
    """A control plane beside that world; who works at the command line is signed in to it as administrator."""
    folder = tmp_path / "control"
    folder.mkdir()
    profile = "[profile control]\nrole_arn = {}\ncredential_source = Environment\n"
    with Path(os.environ["AWS_CONFIG_FILE"]).open("a") as config:
        config.write(profile.format("arn:aws:iam::100000000001:role/OstiaryControl"))
    address = f"127.0.0.1:{free_port()}"
    world = ControlWorld(
        f"sqlite:///{folder}/control.db",
        folder,
        transport=pipelines,
        settings={
            "listen": address,
            "url": f"http://{address}",  # which machines sign their proofs for
            "sts_endpoint": acme.aws_url,
        },
        open_kms=kms_signers(profile="control"),
    )
    monkeypatch.setenv("OSTIARY_CONTROL", world.url)
    sits(world.admin())
    yield world
    world.close()
