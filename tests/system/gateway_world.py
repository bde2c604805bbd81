"""An account of the sandbox, reached in process as ``connect_region.reach_region`` reaches one, and appliances to import."""

from __future__ import annotations

import functools
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from ostiary.aws.clients import Clients
from ostiary.aws.region import partition_of
from ostiary.aws.session import Aws
from ostiary.connect_region import Reached
from ostiary.doors.gateway.importing.settings import Imported, ImportSettings, Step
from ostiary.doors.gateway.importing.watching import Patience
from ostiary.doors.gateway.importing.work import import_appliance
from ostiary.plan.runs import FolderStore
from ostiary.plan.wrap import LocalKeyWrap
from ostiary.sandbox.adapters import aws_hook, aws_send
from ostiary.sandbox.appliance.make import Appliance, make_ova
from ostiary.sandbox.seeds import acme
from ostiary.sandbox.world import World

QUICK = Patience(first=0.0, every=0.0, unseen=0.5, still=5.0, completing=0.2)


_now: list[World] = []


def _answer(**event):
    return aws_hook(_now[-1])(**event)


@functools.cache
def _clients(_gov: bool) -> Clients:
    """One set for all worlds: making a client is most of the time of a test, and each seed has the same keys."""
    return Clients(on_client=lambda client: client.meta.events.register("before-send", _answer))


@functools.cache
def _made(folder: Path, appliance: Appliance) -> Path:
    path = folder / f"{abs(hash(appliance))}.ova"
    make_ova(path, appliance)
    return path


@dataclass
class GatewayWorld:
    """``again`` is another process: nothing kept in memory, the same run store."""

    folder: Path
    monkeypatch: object
    region: str = "us-east-1"
    world: World = field(default_factory=World)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self):
        seed = acme(self.world)
        key, secret = seed.gov_key if self.region.startswith("us-gov") else seed.admin_key
        for name, value in (
            ("AWS_ACCESS_KEY_ID", key),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", str(self.folder / "no-config")),
        ):
            self.monkeypatch.setenv(name, value)
        _now.append(self.world)
        self.world.aws.images.pace = 0.2
        self.reached = self.again()

    @property
    def images(self):
        return self.world.aws.images

    def again(self, runs: str = "runs") -> Reached:
        folder = self.folder / runs
        aws = Aws(
            partition=partition_of(self.region),
            region=self.region,
            purpose="gateway",
            clients=_clients(self.region.startswith("us-gov")),
        )
        return Reached(
            aws,
            self.region,
            "test",
            FolderStore(folder),
            LocalKeyWrap.beside(folder),
            aws_send(self.world),
        )

    def join(self, client):
        """For clients of its own: they meet this world alone."""
        client.meta.events.register("before-send", aws_hook(self.world))

    def ova(self, name: str = "oag.ova", **options) -> Path:
        cache = Path(self.folder).parent / "made"
        cache.mkdir(exist_ok=True)
        path = self.folder / name
        path.unlink(missing_ok=True)
        shutil.copy(_made(cache, Appliance(**options)), path)
        return path

    def run(
        self, path: Path, route: str = "auto", reached: Reached | None = None, **settings
    ) -> Imported:
        stop = settings.pop("stop", threading.Event())
        patience = settings.pop("patience", QUICK)
        return import_appliance(
            reached or self.reached,
            path,
            ImportSettings(route=route, **settings),
            on_step=self.steps.append,
            stop=stop,
            patience=patience,
        )

    def calls(self, *operations: str) -> int:
        return sum(one[1] in operations for one in self.world.calls)

    def client(self, service: str):
        """A botocore client of the same caller: what a test looks at the world with."""
        return self.reached.aws.client(service, self.region)
