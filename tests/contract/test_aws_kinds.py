"""The AWS kinds against the embedded AWS, by the suite that every kind runs."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
from aws_world import CORE, ESTATE, small_organization
from kind_suite import KindCase, KindSuite, NamedKindSuite
from saml_metadata import certificate

from ostiary.aws.iam_role import IamRoleKind
from ostiary.aws.saml_provider import SamlProviderKind
from ostiary.aws.trust_document import sid_prefix
from ostiary.aws.trust_statement import TrustStatementKind
from ostiary.plan.resource import Key
from ostiary.saml import metadata
from ostiary.sandbox.aws.state import SamlProvider

NOBODY = {"Effect": "Deny", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
TRUST = {"Version": "2012-10-17", "Statement": [{"Sid": "None", **NOBODY}]}
LOGS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "logs:Get*", "Resource": "*"}],
}


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


def denied(site, action):
    @contextmanager
    def inside():
        site.world.switches.denied.add((CORE, action))
        yield
        site.world.switches.denied.clear()

    return inside


class TestIamRole(NamedKindSuite):
    @pytest.fixture
    def case(self, site):
        roles = site.core.roles
        wanted = {
            "description": "operators",
            "max_session": 3600,
            "boundary": None,
            "managed_policies": ["arn:aws:iam::aws:policy/ReadOnlyAccess"],
            "inline_policies": {"logs": LOGS},
            "tags": {"team": "ops"},
            "trust": [{"Sid": "None", **NOBODY}],
        }
        return KindCase(
            kind=IamRoleKind(ESTATE, site.readings()),
            key=Key("iam-role", CORE, "Ops"),
            wanted=wanted,
            wanted2={
                **wanted,
                "max_session": 7200,
                "managed_policies": ["arn:aws:iam::aws:policy/SecurityAudit"],
                "inline_policies": {},
                "boundary": "arn:aws:iam::aws:policy/PowerUserAccess",
            },
            tamper=lambda: roles.put(replace(roles["Ops"], max_session=36000)),
            dump=lambda: [replace(role, created=0.0, id="", last_used=None) for role in roles],
            add_foreign=lambda: site.cloud.add_role(CORE, "Theirs", TRUST, tags={"team": "x"}),
            dump_foreign=lambda: roles.get("Theirs"),
            unreadable=denied(site, "iam:GetAccountAuthorizationDetails"),
            foreign_key=Key("iam-role", CORE, "Legacy"),
            make_foreign=lambda: site.cloud.add_role(CORE, "Legacy", TRUST),
        )


class TestSamlProvider(NamedKindSuite):
    @pytest.fixture
    def case(self, site):
        providers = site.core.saml_providers
        one, other = (
            metadata.render("http://www.okta.com/one", certificate(n), "https://acme.okta.com/sso")
            for n in (1, 2)
        )

        def put(name, text):
            providers.put(SamlProvider(name, f"arn:aws:iam::{CORE}:saml-provider/{name}", text))

        return KindCase(
            kind=SamlProviderKind(ESTATE, site.readings(), ["Okta", "Legacy"]),
            key=Key("saml-provider", CORE, "Okta"),
            wanted={"metadata": one},
            wanted2={"metadata": other},
            tamper=lambda: providers.put(replace(providers["Okta"], metadata=third())),
            dump=lambda: [replace(p, created=0.0, valid_until=0.0, uuid="") for p in providers],
            add_foreign=lambda: put("Other", other),
            dump_foreign=lambda: providers.get("Other"),
            unreadable=denied(site, "iam:GetSAMLProvider"),
            foreign_key=Key("saml-provider", CORE, "Legacy"),
            make_foreign=lambda: put("Legacy", one),
        )


def third():
    return metadata.render("http://www.okta.com/x", certificate(1), "https://else.okta.com/sso")


class TestTrustStatement(KindSuite):
    @pytest.fixture
    def case(self, site):
        account = site.core
        arn = f"arn:aws:iam::{CORE}:saml-provider/Okta"
        account.saml_providers.put(SamlProvider("Okta", arn, third()))
        site.cloud.add_role(CORE, "Existing", {**TRUST, "Statement": TRUST["Statement"][0]})
        sid = sid_prefix(ESTATE) + "std"
        statement = {
            "Sid": sid,
            "Effect": "Allow",
            "Principal": {"Federated": arn},
            "Action": "sts:AssumeRoleWithSAML",
            "Condition": {"StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml"}},
        }
        longer = {**statement, "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession"]}

        def edit(change):
            role = account.roles["Existing"]
            listed = role.trust["Statement"]
            listed = listed if isinstance(listed, list) else [listed]
            account.roles.put(replace(role, trust={**role.trust, "Statement": change(listed)}))

        def tamper():
            edit(
                lambda them: [
                    {**one, "Condition": {}} if one["Sid"] == sid else one for one in them
                ]
            )

        def dump():
            found = account.roles["Existing"].trust["Statement"]
            return found if isinstance(found, list) else [found]

        def ours(one):
            return one.get("Sid", "").startswith(sid_prefix(ESTATE))

        return KindCase(
            kind=TrustStatementKind(ESTATE, site.readings()),
            key=Key("trust-statement", CORE, f"Existing/{sid}"),
            wanted={"role": "Existing", "statement": statement},
            wanted2={"role": "Existing", "statement": longer},
            tamper=tamper,
            dump=dump,
            add_foreign=lambda: edit(lambda them: [*them, {"Sid": "Theirs", **NOBODY}]),
            dump_foreign=lambda: [one for one in dump() if not ours(one)],
            unreadable=denied(site, "iam:ListRoles"),
        )
