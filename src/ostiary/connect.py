"""The composition root: the only place that builds clients and binds kinds of objects to them.

Parts of it: ``connect_okta.py`` below, and above ``connect_runs.py``, ``connect_region.py``, ``connect_control.py``.

The sandbox is reached by the same code as the real services: other URLs, or other transports in tests.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

from ostiary.aws.account_reading import Readings
from ostiary.aws.admin_path import AdminPathCheck
from ostiary.aws.fleet import Fleet
from ostiary.aws.iam_role import IamRoleKind
from ostiary.aws.ownership import RoleRules
from ostiary.aws.reach import Ways
from ostiary.aws.saml_provider import SamlProviderKind
from ostiary.aws.session import Aws
from ostiary.aws.signed_calls import Send
from ostiary.aws.trust_statement import TrustStatementKind
from ostiary.connect_okta import Purpose, okta_client, okta_kinds_of
from ostiary.model.estate import Estate, OrganizationSettings, resolve
from ostiary.okta.client import OktaClient
from ostiary.okta.people import People
from ostiary.plan.guard import Guard, Overrides, protect_roles
from ostiary.plan.part import Part
from ostiary.plan.resource import Kind
from ostiary.settings import Settings


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
        name: okta_client(org, purpose, settings, transports.okta, environ)
        for name, org in estate.orgs.items()
    }
    okta = okta_kinds_of(estate, clients)
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
