"""A small cloud behind one identity provider: two commercial accounts and one in GovCloud."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from ostiary.saml import assertion, metadata
from ostiary.sandbox.aws.state import AwsError, Cloud, SamlProvider
from ostiary.sandbox.aws.sts_saml import assume_role_with_saml
from ostiary.sandbox.world import World

PROD, TEST, GOV = "111111111111", "222222222222", "333333333333"
ISSUER = "http://www.okta.com/exk1acmeacmeacmeacme"
SIGN_IN = "https://signin.aws.amazon.com/saml"
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def new_identity_provider():
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    dated = builder.not_valid_before(NOON - timedelta(days=1)).not_valid_after(
        NOON + timedelta(days=365)
    )
    certificate = dated.sign(key, hashes.SHA256())
    text = metadata.render(ISSUER, certificate, "https://acme.okta.com/sso")
    return SimpleNamespace(key=key, certificate=certificate, metadata=text)


IDP, STRANGER = new_identity_provider(), new_identity_provider()


def trust(account, *, partition="aws", audience=SIGN_IN, provider="Okta", more=(), condition=None):
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {
                    "Federated": f"arn:{partition}:iam::{account}:saml-provider/{provider}"
                },
                "Action": ["sts:AssumeRoleWithSAML", *more],
                "Condition": condition or {"StringEquals": {"SAML:aud": audience}},
            }
        ],
    }


class SmallCloud:
    """The world under test and the few acts that tests perform in it."""

    def __init__(self):
        self.world = World()
        self.world.clock.freeze(NOON.timestamp())
        self.cloud = self.world.aws = Cloud(self.world.clock)
        for account, partition, alias in (
            (PROD, "aws", "acme-prod"),
            (TEST, "aws", ""),
            (GOV, "aws-us-gov", "acme-gov"),
        ):
            self.cloud.add_account(account, f"acme-{account[0]}", partition=partition, alias=alias)
            self.add_provider(account, "Okta", IDP.metadata)
        self.cloud.add_role(PROD, "Ops", trust(PROD), max_session=7200)
        self.cloud.add_role(PROD, "ReadOnly", trust(PROD))
        self.cloud.add_role(TEST, "Ops", trust(TEST), max_session=43_200)
        gov_sign_in = "https://signin.amazonaws-us-gov.com/saml"
        self.cloud.add_role(GOV, "Ops", trust(GOV, partition="aws-us-gov", audience=gov_sign_in))

    def add_provider(self, account, name, text, **more):
        arn = self.cloud.account(account).arn(f"saml-provider/{name}")
        self.cloud.account(account).saml_providers.put(SamlProvider(name, arn, text, **more))

    def change_role(self, account, name, **changes):
        roles = self.cloud.account(account).roles
        roles.put(replace(roles[name], **changes))

    def arns(self, account, role="Ops", provider="Okta"):
        of = self.cloud.account(account).arn
        return of(f"role/{role}"), of(f"saml-provider/{provider}")

    def pair(self, account, role="Ops", provider="Okta"):
        role_arn, provider_arn = self.arns(account, role, provider)
        return f"{provider_arn},{role_arn}"

    def response(self, *pairs, idp=IDP, **changes):
        """A base64 SAMLResponse that offers these pairs (default: Ops in the production account)."""
        wanted = {
            "issuer": ISSUER,
            "destination": SIGN_IN,
            "recipient": SIGN_IN,
            "audience": "urn:amazon:webservices",
            "name_id": "ada@acme.example",
            "role_values": pairs or (self.pair(PROD),),
            "session_name": "ada@acme.example",
            "session_duration": 3600,
            "key": idp.key,
            "certificate": idp.certificate,
            "now": self.world.clock.datetime(),
        }
        return base64.b64encode(assertion.issue(**{**wanted, **changes})).decode()

    def assume(self, response=None, account=PROD, role="Ops", provider="Okta", **params):
        role_arn, provider_arn = self.arns(account, role, provider)
        wanted = {
            "RoleArn": role_arn,
            "PrincipalArn": provider_arn,
            "SAMLAssertion": response or self.response(),
        }
        return assume_role_with_saml(self.world, {**wanted, **params})

    def refusal(self, *args, **kwargs):
        with pytest.raises(AwsError) as refusal:
            self.assume(*args, **kwargs)
        return refusal.value.code, refusal.value.message, refusal.value.status


@pytest.fixture
def small():
    return SmallCloud()


@pytest.fixture
def make_trust():
    return trust


@pytest.fixture(scope="session")
def stranger():
    return STRANGER


@pytest.fixture(scope="session")
def idp():
    return IDP
