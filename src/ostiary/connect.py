"""The composition root: the only place that builds clients and binds kinds of objects to them.

The sandbox is reached by the same code as the real services: other URLs, or other transports in tests.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx2

from ostiary.aws.account_reading import Readings
from ostiary.aws.admin_path import AdminPathCheck
from ostiary.aws.fleet import Fleet
from ostiary.aws.iam_role import IamRoleKind
from ostiary.aws.kms_wrap import KmsWrap
from ostiary.aws.ownership import RoleRules
from ostiary.aws.reach import Ways
from ostiary.aws.region import partition_of, region_of
from ostiary.aws.run_store import S3RunStore
from ostiary.aws.saml_provider import SamlProviderKind
from ostiary.aws.session import Aws
from ostiary.aws.signed_calls import Send
from ostiary.aws.trust_statement import TrustStatementKind
from ostiary.errors import EstateError, UsageError
from ostiary.model.estate import DEFAULT_STORE, Estate, OrganizationSettings, OrgSettings, resolve
from ostiary.okta.auth import Secret, ServiceApp, Ssws
from ostiary.okta.client import OktaClient
from ostiary.okta.every_org import InEveryOrg
from ostiary.okta.kinds import okta_kinds
from ostiary.okta.people import People
from ostiary.plan.guard import Guard, Overrides, protect_roles
from ostiary.plan.part import Part
from ostiary.plan.resource import Kind
from ostiary.plan.runs import FolderStore, RunStore
from ostiary.plan.wrap import LocalKeyWrap, Wrap
from ostiary.settings import Settings

Purpose = Literal["plan", "apply"]

SCOPES: Mapping[Purpose, tuple[str, ...]] = {
    "plan": (
        "okta.apps.read",
        "okta.groups.read",
        "okta.users.read",
        "okta.policies.read",
    ),
    "apply": (
        "okta.apps.manage",
        "okta.groups.manage",
        "okta.users.read",
        "okta.policies.read",
    ),
}


@dataclass(frozen=True, slots=True)
class Transports:
    """Other ways to the services than the network; tests run the product in process with these."""

    okta: httpx2.BaseTransport | None = None
    aws: Callable[[Any], None] | None = None  # told of each botocore client as it is made
    blocks: Send | None = None  # of the EBS direct block calls


@dataclass(frozen=True, slots=True)
class Connected:
    """Clients for everything that an estate names. Nothing was sent yet."""

    estate: Estate
    settings: Settings
    purpose: Purpose
    aws: Mapping[str, Aws]  # by organization of the estate
    fleet: Fleet
    readings: Readings
    okta: Mapping[str, OktaClient]  # by org of the estate
    people: Mapping[str, People]
    kinds: tuple[Kind, ...]
    stopping: threading.Event = field(default_factory=threading.Event)
    parts: tuple[Part, ...] = ()

    def with_part(self, part: Part) -> Connected:
        """The same with what another door adds; its kinds come last."""
        return replace(self, kinds=(*self.kinds, *part.kinds), parts=(*self.parts, part))

    def scopes(self, accounts: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Which scopes each kind is read in."""
        orgs = tuple(self.okta)
        own = {kind.name: (part.scope,) for part in self.parts for kind in part.kinds}
        return {
            kind.name: tuple(accounts) if kind.name in AWS_KINDS else own.get(kind.name, orgs)
            for kind in self.kinds
        }

    def close(self) -> None:
        """Close every connection; nothing can be asked after this."""
        for part in self.parts:
            part.close()
        for aws in self.aws.values():
            aws.close()
        for okta in self.okta.values():
            okta.close()

    def guard(self, overrides: Overrides) -> Guard:
        providers = {console.saml_provider for console in self.estate.consoles.values()}
        organizations = self.estate.organizations.values()
        protected = protect_roles(
            pattern for organization in organizations for pattern in organization.protect_roles
        )
        ways_in = {
            f"iam-role:{name}" for organization in organizations for name in organization.ways_in
        }
        admin_path = AdminPathCheck(self.readings, providers)
        return Guard(admin_path, (*protected, *sorted(ways_in)), overrides)


AWS_KINDS = frozenset({"saml-provider", "iam-role", "trust-statement"})


def connect(
    estate: Estate,
    settings: Settings,
    *,
    purpose: Purpose,
    transports: Transports | None = None,
    environ: Mapping[str, str] | None = None,
    stopping: threading.Event | None = None,
) -> Connected:
    """Build every client that ``estate`` needs. Raises for what is missing; sends nothing."""
    transports = transports or Transports()
    environ = os.environ if environ is None else environ
    stopping = stopping or threading.Event()
    aws = {
        name: _aws(organization, purpose, transports, environ, stopping)
        for name, organization in estate.organizations.items()
    }
    clients = {
        name: _okta(org, purpose, settings, transports, environ)
        for name, org in estate.orgs.items()
    }
    okta = _okta_kinds(estate, clients)
    fleet = Fleet(aws)
    readings = Readings(fleet)
    return Connected(
        estate=estate,
        settings=settings,
        purpose=purpose,
        aws=aws,
        fleet=fleet,
        readings=readings,
        okta=clients,
        people={name: People(client) for name, client in clients.items()},
        kinds=(*okta[:2], *_aws_kinds(estate, fleet, readings), *okta[2:]),
        stopping=stopping,
    )


def _aws(
    organization: OrganizationSettings,
    purpose: Purpose,
    transports: Transports,
    environ: Mapping[str, str],
    stopping: threading.Event,
) -> Aws:
    reach = organization.reach

    def roles(account_id: str) -> tuple[str, ...]:
        here = reach(account_id)
        first = here.plan if purpose == "plan" else here.apply
        return tuple(filter(None, (first, *(here.fallbacks or ()))))

    default = roles("")
    return Aws(
        profile=organization.profile,
        partition=organization.partition,
        region=organization.region,
        ways=Ways(
            roles=default or ("OrganizationAccountAccessRole",),
            external_id=resolve(organization.external_id, environ)
            if organization.external_id
            else "",
            overrides={account: roles(account) for account in organization.reach_overrides},
        ),
        purpose=purpose,
        on_client=transports.aws,
        stopping=stopping,
    )


def _okta(
    org: OrgSettings,
    purpose: Purpose,
    settings: Settings,
    transports: Transports,
    environ: Mapping[str, str],
) -> OktaClient:
    url, auth = _okta_url(org, environ), _okta_auth(org, purpose, environ)
    try:
        return OktaClient(url, auth, transport=transports.okta, share=settings.share)
    except OSError as error:  # the CA file or folder is read when the client is made
        raise UsageError(
            "cannot read the certificate authorities to trust",
            why=str(error.strerror or error).lower(),
            fix="correct SSL_CERT_FILE or SSL_CERT_DIR, or unset it",
        ) from error


def _okta_url(org: OrgSettings, environ: Mapping[str, str]) -> str:
    """The address of the org; a token goes nowhere but by https, and an address holds no password."""
    url = resolve(org.url, environ)
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise UsageError(
            f"cannot use the url of Okta org {org.name}",
            why="it is not https://HOST",
            fix=f"correct orgs.{org.name}.url, or the variable that it names",
        )
    return url


def _okta_auth(org: OrgSettings, purpose: Purpose, environ: Mapping[str, str]) -> httpx2.Auth:
    auth = org.auth
    if auth is None:
        names = (f"OSTIARY_OKTA_TOKEN_{org.name.upper().replace('-', '_')}", "OKTA_CLIENT_TOKEN")
        token = next((environ[name] for name in names if environ.get(name)), "")
        if not token:
            raise UsageError(
                f"no credentials for Okta org {org.name}",
                why=f"the estate names no service app, and neither {' nor '.join(names)} is set",
                fix=f"export {names[1]}=… or give orgs.{org.name} an auth section",
            )
        if not re.fullmatch(r"[\x21-\x7e]+", token.strip()):
            raise UsageError(
                f"cannot use the API token of Okta org {org.name}",
                why="it holds blanks, line ends or letters outside ASCII",
                fix=f"copy it again: export {names[1]}=…",
            )
        return Ssws(Secret(token.strip()))
    return ServiceApp(
        resolve(auth.client_id, environ),
        Secret(_private_key(org, environ)),
        auth.scopes or SCOPES[purpose],
        dpop=auth.dpop,
        key_id=resolve(auth.key_id, environ) if auth.key_id else None,
    )


def _private_key(org: OrgSettings, environ: Mapping[str, str]) -> str:
    auth = org.auth
    if auth is not None and auth.private_key is not None:
        return resolve(auth.private_key, environ)
    path = Path(resolve(auth.private_key_file, environ) if auth and auth.private_key_file else "")
    try:
        return path.expanduser().read_text()
    except OSError as error:
        raise UsageError(
            f"cannot read the private key of Okta org {org.name}",
            why=f"{path}: {str(error.strerror).lower()}",
            fix=f"correct private_key_file in orgs.{org.name}.auth",
        ) from error


def _aws_kinds(estate: Estate, fleet: Fleet, readings: Readings) -> tuple[Kind, ...]:
    def rules(account_id: str) -> RoleRules:
        organization = estate.organizations.get(fleet.organization_of(account_id))
        if organization is None:
            return RoleRules()
        return RoleRules(organization.protect_roles, organization.owned_elsewhere)

    providers = {console.saml_provider for console in estate.consoles.values()}
    return (
        SamlProviderKind(estate.name, readings, providers),
        IamRoleKind(estate.name, readings, rules),
        TrustStatementKind(estate.name, readings, rules),
    )


def _okta_kinds(estate: Estate, clients: Mapping[str, OktaClient]) -> tuple[Kind, ...]:
    """App and group first; rule, members and assignment come after the AWS kinds."""
    by_org = {org: okta_kinds(client, org, estate.name) for org, client in clients.items()}
    return tuple(
        InEveryOrg(dict(zip(by_org, members, strict=True)))
        for members in zip(*by_org.values(), strict=True)
    )


@dataclass(frozen=True, slots=True)
class Reached:
    """One account in one region, as the AWS CLI would reach it, and where runs are kept."""

    aws: Aws
    region: str
    region_origin: str
    store: RunStore
    wrap: Wrap
    blocks: Send | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def account_id(self) -> str:
        """Who we are there. Denied for the root user."""
        return self.aws.caller().account_id

    def close(self) -> None:
        self.aws.close()


def reach_region(
    *,
    profile: str | None = None,
    region: str | None = None,
    runs: str | None = None,
    estate: Estate | None = None,
    environ: Mapping[str, str] | None = None,
    transports: Transports | None = None,
    stopping: threading.Event | None = None,
) -> Reached:
    """The way into one region without naming an organization. Sends nothing yet.

    Runs are kept at ``runs`` (``file:FOLDER`` or ``s3://BUCKET/PREFIX``), else where ``estate`` says, else beside it.
    """
    environ = os.environ if environ is None else environ
    where, origin = region_of(region, profile, environ)
    stopping = stopping or threading.Event()
    aws = Aws(
        profile=profile,
        partition=partition_of(where),
        region=where,
        purpose="gateway",
        on_client=transports.aws if transports else None,
        stopping=stopping,
    )
    store, wrap = _runs_of(runs, estate, aws, environ)
    blocks = transports.blocks if transports else None
    return Reached(aws, where, origin, store, wrap, blocks, stopping)


def _runs_of(
    runs: str | None, estate: Estate | None, aws: Aws, environ: Mapping[str, str]
) -> tuple[RunStore, Wrap]:
    text = runs or environ.get("OSTIARY_RUNS") or ""
    named = text or (resolve(estate.runs.store, environ) if estate else DEFAULT_STORE)
    if named.startswith("s3://"):
        key = resolve(estate.runs.kms_key, environ) if estate and estate.runs.kms_key else ""
        store = S3RunStore.at(aws, named, kms_key=key or None)
        return store, KmsWrap(aws, key, "gateway") if key else LocalKeyWrap(
            Path(".ostiary/runs.key")
        )
    if not named.startswith("file:"):
        raise UsageError(
            f"cannot use {named} as run store",
            why="it is neither file:FOLDER nor s3://BUCKET/PREFIX",
            fix="correct --runs",
        )
    beside = Path() if text or estate is None else Path(estate.file).parent
    folder = beside / Path(named.removeprefix("file:").removeprefix("//")).expanduser()
    return FolderStore(folder), LocalKeyWrap.beside(folder)


def _default_aws(connected: Connected) -> Aws:
    """The default credentials, for the runs of an estate that names no Organization."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return Aws(
        partition=partition_of(region or ""),
        region=region,
        purpose=connected.purpose,
        stopping=connected.stopping,
    )


def run_store(estate: Estate, connected: Connected | None = None) -> tuple[RunStore, Wrap]:
    """Where the estate keeps its runs, and what encrypts their before-images.

    A folder that is not absolute is beside the estate file.
    """
    store = resolve(estate.runs.store, os.environ)
    parts = urlsplit(store)
    if parts.scheme == "file":
        folder = (
            Path(estate.file).parent
            / Path(store.removeprefix("file:").removeprefix("//")).expanduser()
        )
        return FolderStore(folder), LocalKeyWrap.beside(folder)
    if parts.scheme != "s3" or connected is None:
        raise EstateError(
            f"cannot use {store} as run store",
            why="it is neither file:FOLDER nor s3://BUCKET/PREFIX",
            fix="correct runs.store in the estate",
        )
    aws = next(iter(connected.aws.values()), None) or _default_aws(connected)
    key = resolve(estate.runs.kms_key, os.environ) if estate.runs.kms_key else ""
    if not key:
        raise EstateError(
            "a run store in S3 needs a KMS key",
            why="before-images are encrypted with a key that every machine can ask for",
            fix="add runs.kms_key: alias/… to the estate",
        )
    return (
        S3RunStore(aws, parts.netloc, parts.path.strip("/"), kms_key=key),
        KmsWrap(aws, key, estate.name),
    )
