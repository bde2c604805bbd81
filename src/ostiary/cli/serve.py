"""``ostiary serve``: the control plane of the server door, in one process or several."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ostiary import term
from ostiary.cli.options import FiniteRange
from ostiary.errors import OstiaryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ostiary.doors.servers.control.checkpoint_places import Keeps
    from ostiary.doors.servers.control.cloud_identity import SeesInstances
    from ostiary.doors.servers.control.serve import ServeSettings
    from ostiary.okta.client import OktaClient
    from ostiary.pki.signer import Private
    from ostiary.plan.wrap import Wrap

CREDENTIAL = "ostiary-kek"
_SEE_KEY = "aws kms describe-key --key-id"
CHECKPOINT_DAYS = 3650  # that a bucket keeps a checkpoint: longer than anybody keeps an audit


@click.command()
@click.option(
    "--database",
    envvar="OSTIARY_DATABASE",
    required=True,
    metavar="URL",
    help="sqlite:///FILE or postgresql://HOST/NAME; a password belongs into PGPASSFILE.",
)
@click.option("--listen", default="127.0.0.1:8443", metavar="ADDRESS:PORT", help="[127.0.0.1:8443]")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="PEM; without, only loopback.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="PEM.")
@click.option(
    "--url", default="", metavar="URL", help="Public URL, as people type it [of --listen]."
)
@click.option("--issuer", required=True, metavar="URL", help="The Okta org, or its server.")
@click.option("--client-id", required=True, metavar="ID", help="The native OIDC app.")
@click.option("--admin-group", required=True, metavar="NAME", help="Okta group that administers.")
@click.option(
    "--admin-machine",
    "admin_machines",
    multiple=True,
    metavar="NAME",
    help="Machine that administers too: a pipeline that runs ostiary apply. May be repeated.",
)
@click.option(
    "--state-dir",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of this process, not of the database.",
)
@click.option(
    "--kek-file",
    type=click.Path(path_type=Path),
    help="Key-encryption key [the systemd credential ostiary-kek, else STATE-DIR/kek].",
)
@click.option(
    "--kek-kms", default="", metavar="KEY", help="Key-encryption key in KMS: id, ARN or alias."
)
@click.option(
    "--okta-client-id",
    envvar="OSTIARY_OKTA_CLIENT_ID",
    default="",
    metavar="ID",
    help="Service app that reads the org's System Log, users and groups [API token OKTA_CLIENT_TOKEN].",
)
@click.option(
    "--okta-key-file",
    envvar="OSTIARY_OKTA_KEY_FILE",
    type=click.Path(path_type=Path),
    help="Its private key, PEM or JWK.",
)
@click.option(
    "--refresh-seconds",
    default=120.0,
    type=FiniteRange(5, 240),
    help="Without access to the org's API: ask so often who is still active [120].",
)
@click.option(
    "--vanished-days",
    default=30.0,
    type=FiniteRange(0.01),
    help="Retire servers that were not seen for so long [30].",
)
@click.option(
    "--accept-older-database",
    is_flag=True,
    help="Go on with a restored backup; numbers that it has lost are not given again.",
)
@click.option(
    "--checkpoint-dir",
    "checkpoint_dirs",
    multiple=True,
    metavar="PLACE",
    help="Keep signed checkpoints of the audits there too: a folder, or s3://BUCKET/PREFIX with Object Lock.",
)
@click.option(
    "--aws-certificates",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="AWS's RSA-2048 certificates, REGION.pem each: lets EC2 instances enroll by identity.",
)
@click.option(
    "--workers",
    default=1,
    type=click.IntRange(1, 64),
    metavar="N",
    help="Processes that share the work: as many as cores where many ask at once [1].",
)
@click.option("--no-migrate", is_flag=True, help="Leave the tables of the database as they are.")
def serve(
    *,
    database: str,
    listen: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    url: str,
    issuer: str,
    client_id: str,
    admin_group: str,
    admin_machines: tuple[str, ...],
    state_dir: Path,
    kek_file: Path | None,
    kek_kms: str,
    okta_client_id: str,
    okta_key_file: Path | None,
    refresh_seconds: float,
    vanished_days: float,
    accept_older_database: bool,
    checkpoint_dirs: tuple[str, ...],
    aws_certificates: Path | None,
    workers: int,
    no_migrate: bool,
) -> None:
    """Serve projects, enrollment, certificates and audit over HTTPS, until told to end."""
    from ostiary.connect_control import control_org  # noqa: PLC0415
    from ostiary.connect_okta import check_trust  # noqa: PLC0415
    from ostiary.doors.servers.control import listening, state_folder  # noqa: PLC0415
    from ostiary.doors.servers.control import serve as control  # noqa: PLC0415
    from ostiary.doors.servers.control import workers as processes  # noqa: PLC0415

    if (tls_cert is None) != (tls_key is None):
        raise UsageError(
            "cannot serve TLS",
            why="--tls-cert and --tls-key go together",
            fix="give both, or neither on loopback",
        )
    listening.place(listen, tls=tls_cert is not None)
    if url:
        listening.check_url(url)
    else:
        url = listening.own_url(listen, tls=tls_cert is not None)
    if tls_cert is not None and tls_key is not None:
        listening.check_tls(tls_cert, tls_key)
    check_trust()
    settings = control.ServeSettings(
        database=database,
        listen=listen,
        url=url.rstrip("/"),
        issuer=issuer.rstrip("/"),
        client_id=client_id,
        admin_group=admin_group,
        admin_machines=admin_machines,
        state_dir=state_dir,
        tls_cert=tls_cert,
        tls_key=tls_key,
        migrate=not no_migrate,
        accept_older=accept_older_database,
        vanished_days=vanished_days,
        refresh_seconds=refresh_seconds,
        aws_certificates=aws_certificates,
        sts_endpoint=os.environ.get("AWS_ENDPOINT_URL_STS")
        or os.environ.get("AWS_ENDPOINT_URL", ""),
    )
    sockets = listening.sockets(listen, workers, tls=tls_cert is not None)
    os.umask(0o077)  # the database and what lies beside it are for this user
    control.log_to_stderr()
    state_folder.keep(state_dir)
    if workers > 1:
        settings = control.prepare(settings)
    settings = replace(settings, worker=processes.split(sockets))
    stopping = threading.Event()
    okta = control_org(
        settings.issuer, client_id=okta_client_id, key_file=okta_key_file, stopping=stopping
    )
    if settings.worker == 0:
        _tell(settings, okta, checkpoint_dirs)
    wrap = _wrap(kek_file, kek_kms, state_dir)
    places = [_place(one) for one in checkpoint_dirs]
    built = control.services(
        settings,
        wrap,
        open_kms=_opens_kms(),
        okta=okta,
        places=places,
        sees=_sees() if aws_certificates else None,
    )
    if settings.worker == 0:
        term.say(f"ostiary: serving {settings.url}")
    control.run(settings, built, stopping=stopping, listened=sockets[settings.worker])


def _tell(
    settings: ServeSettings, okta: OktaClient | None, checkpoint_dirs: tuple[str, ...]
) -> None:
    """What an operator should know at the start."""
    if okta is None:
        term.say(
            "ostiary: no access to the org's API: who is still active is asked by refresh tokens,"
            " and groups are those of ID tokens"
        )
    if not checkpoint_dirs:
        term.say(
            "ostiary: checkpoints of the audits are in the database only: see --checkpoint-dir"
        )
    _try_org(settings, okta)


def _try_org(settings: ServeSettings, okta: OktaClient | None) -> None:
    import httpx2  # noqa: PLC0415 - with the control plane alone

    from ostiary.doors.servers.control import start_check  # noqa: PLC0415

    with httpx2.Client() as http:
        for line in start_check.warnings(
            http, settings.issuer, settings.client_id, settings.admin_group, okta
        ):
            term.say(f"ostiary: {line}")


def _sees() -> SeesInstances:
    from ostiary.connect_control import instances_seen  # noqa: PLC0415

    return instances_seen()


def _place(named: str) -> Keeps:
    from ostiary.doors.servers.control.checkpoint_places import InFolder, InStore  # noqa: PLC0415

    if "://" not in named:
        return InFolder(Path(named))
    from ostiary.connect_control import locked_store  # noqa: PLC0415

    store, _ = locked_store(named, days=CHECKPOINT_DAYS)
    store.check()
    return InStore(store)


def _opens_kms() -> Callable[[str], tuple[str, Private]]:
    """Reaches AWS, and loads what that takes, with the first authority that is in KMS.

    A fix goes to whoever asked, and doctor is for an estate, which this process has none of.
    """
    opened: list[Callable[[str], tuple[str, Private]]] = []

    def open_kms(kms_key: str) -> tuple[str, Private]:
        from ostiary.connect_control import kms_signers  # noqa: PLC0415

        if not opened:
            opened.append(kms_signers())
        try:
            return opened[0](kms_key)
        except OstiaryError as error:
            allowing, doctor, _ = error.fix.rpartition("run: ostiary doctor")
            if not doctor:
                raise
            fix = allowing.removesuffix(", or ") or f"see it with: {_SEE_KEY} {kms_key}"
            raise type(error)(error.what, why=error.why, fix=fix, code=error.code) from error

    return open_kms


def _wrap(kek_file: Path | None, kek_kms: str, state_dir: Path) -> Wrap:
    """The key-encryption key: in KMS, in the file that was named, given by systemd, or beside the state."""
    if kek_kms and kek_file:
        raise UsageError(
            "cannot tell which key to use",
            why="--kek-kms and --kek-file are named",
            fix="give the one that sealed what is in the database",
        )
    if kek_kms:
        from ostiary.connect_control import kms_kek  # noqa: PLC0415

        return kms_kek(kek_kms)
    from ostiary.plan.wrap import LocalKeyWrap  # noqa: PLC0415

    given = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / CREDENTIAL
    if kek_file is None and given.exists():
        return LocalKeyWrap.credential(given)
    return LocalKeyWrap(kek_file or state_dir / "kek")
