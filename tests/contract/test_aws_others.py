"""What others need of our objects stays: their way in, and ours."""

import pytest
from aws_world import CORE, ESTATE, small_organization

from ostiary.aws.iam_role import IamRoleKind
from ostiary.aws.saml_provider import SamlProviderKind
from ostiary.aws.trust_document import sid_prefix
from ostiary.aws.trust_statement import TrustStatementKind
from ostiary.errors import StalePlan
from ostiary.plan.plan import make_plan
from ostiary.plan.resource import Key
from ostiary.sandbox.aws.state import SamlProvider

PROVIDER = f"arn:aws:iam::{CORE}:saml-provider/Okta"
MARK = {"ostiary:estate": ESTATE}
PREFIX = sid_prefix(ESTATE)


def statement(sid, principal, action="sts:AssumeRole"):
    return {"Sid": sid, "Effect": "Allow", "Principal": principal, "Action": action}


def trust(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


OURS = statement(PREFIX + "0" * 8, {"Federated": PROVIDER}, "sts:AssumeRoleWithSAML")
PIPELINE = statement("Pipeline", {"AWS": "arn:aws:iam::100000000001:root"})


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


def plan(site, kind, *desired):
    return make_plan(list(desired), [kind], {kind.name: [CORE]}, estate=ESTATE)


def test_a_role_of_ours_by_which_others_enter_is_not_deleted(site):
    site.cloud.add_role(CORE, "Ops", trust(OURS, PIPELINE), tags=MARK)
    kind = IamRoleKind(ESTATE, site.readings())
    (change,) = plan(site, kind).changes
    assert change.action == "foreign"
    assert "others enter by it: statement Pipeline" in change.reason
    with pytest.raises(StalePlan, match="Pipeline"):
        kind.delete(kind.look(Key("iam-role", CORE, "Ops")))
    assert "Ops" in site.core.roles


def test_a_role_whose_only_statement_is_ours_is(site):
    site.cloud.add_role(CORE, "Ops", trust(OURS), tags=MARK)
    (change,) = plan(site, IamRoleKind(ESTATE, site.readings())).changes
    assert change.action == "delete"


def test_a_provider_of_ours_by_which_others_enter_is_not_deleted(site):
    site.core.saml_providers.put(SamlProvider("Okta", PROVIDER, "<m/>", tags=MARK))
    site.cloud.add_role(CORE, "Theirs", trust({**OURS, "Sid": "ByHand"}))
    (change,) = plan(site, SamlProviderKind(ESTATE, site.readings(), ["Okta"])).changes
    assert change.action == "foreign"
    assert "role Theirs" in change.reason


def test_a_statement_that_no_estate_writes_is_not_ours_whatever_its_sid(site):
    site.cloud.add_role(CORE, "Emergency", trust({**PIPELINE, "Sid": PREFIX + "BreakGlass"}))
    assert plan(site, TrustStatementKind(ESTATE, site.readings())).is_empty
