"""The generated roles are enough for a whole life of the kinds, and not for more."""

import json

import pytest
from aws_world import CORE, ESTATE, MANAGEMENT, TEAM, small_organization
from saml_metadata import certificate
from test_aws_faults import SID, Estate

from ostiary.aws.bootstrap import deploy, template
from ostiary.aws.bootstrap_policies import Bootstrap
from ostiary.aws.doctor import doctor_probes, organization_probes
from ostiary.aws.organization import discover
from ostiary.aws.reach import Ways
from ostiary.errors import Denied, OstiaryError
from ostiary.plan.resource import Key
from ostiary.saml import metadata

WANTED = Bootstrap(
    ESTATE,
    f"arn:aws:iam::{MANAGEMENT}:user/admin",
    providers=("Okta",),
    roles=("Ops", "Read*"),
    external_id="acme-7",
    protect=("BreakGlass*",),
)


@pytest.fixture
def site(monkeypatch):
    return small_organization(monkeypatch)


@pytest.fixture
def members(site):
    return [one for one in discover(site.aws, "commercial").accounts if not one.management]


def as_role(site, role):
    return site.again(ways=Ways((role,), external_id="acme-7"), purpose=role)


def test_deploy_makes_both_roles_everywhere_and_then_nothing(site, members):
    assert {one.outcome for one in deploy(site.aws, members, WANTED)} == {"created"}
    assert {one.outcome for one in deploy(site.aws, members, WANTED)} == {"kept"}
    wider = Bootstrap(
        ESTATE, WANTED.trusted, ("Okta",), ("*",), external_id="acme-8", protect=("X*",)
    )
    outcomes = [(one.role, one.outcome) for one in deploy(site.aws, members[:1], wider)]
    assert outcomes == [("OstiaryPlan", "updated"), ("OstiaryApply", "updated")]


def test_a_role_of_that_name_that_is_not_ours_stays(site, members):
    site.cloud.add_role(CORE, "OstiaryPlan", {"Version": "2012-10-17", "Statement": []})
    done = {(one.account_id, one.role): one.outcome for one in deploy(site.aws, members, WANTED)}
    assert done[CORE, "OstiaryPlan"] == "failed"
    assert done[TEAM, "OstiaryPlan"] == "created"


def test_a_whole_life_under_exactly_the_apply_role(site, members):
    deploy(site.aws, members, WANTED)
    estate = Estate(as_role(site, "OstiaryApply"))
    estate.build()
    key = Key("iam-role", CORE, "Ops")
    found = estate.role.look(key)
    changed = {
        **found.attributes,
        "max_session": 7200,
        "boundary": "arn:aws:iam::aws:policy/PowerUserAccess",
    }
    changed |= {
        "managed_policies": [],
        "inline_policies": {"a": json.loads(POLICY)},
        "tags": {"a": "b"},
    }
    estate.role.update(found, changed)
    estate.role.update(estate.role.look(key), found.attributes)
    other = metadata.render("http://www.okta.com/x", certificate(2), "https://acme.okta.com/s")
    provider = Key("saml-provider", CORE, "Okta")
    estate.provider.update(estate.provider.look(provider), {"metadata": other})
    trust = Key("trust-statement", CORE, f"Ops/{SID}")
    estate.trust.delete(estate.trust.look(trust))
    estate.role.delete(estate.role.look(key))
    estate.provider.delete(estate.provider.look(provider))
    assert {role.name for role in site.core.roles} == {
        "OrganizationAccountAccessRole",
        "OstiaryApply",
        "OstiaryPlan",
    }


POLICY = """{"Version": "2012-10-17",
"Statement": [{"Effect": "Allow", "Action": "logs:Get*", "Resource": "*"}]}"""


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("create_access_key", {"UserName": "someone"}),
        ("create_user", {"UserName": "someone"}),
        ("delete_role", {"RoleName": "OstiaryPlan"}),
        (
            "put_role_policy",
            {"RoleName": "OstiaryApply", "PolicyName": "x", "PolicyDocument": POLICY},
        ),
        ("delete_role", {"RoleName": "BreakGlass1"}),
        ("delete_role", {"RoleName": "OrganizationAccountAccessRole"}),
        ("delete_role", {"RoleName": "Elsewhere"}),
        ("create_saml_provider", {"Name": "Evil", "SAMLMetadataDocument": "x" * 1000}),
    ],
)
def test_what_the_apply_role_may_never_do(site, members, operation, params):
    deploy(site.aws, members, WANTED)
    site.cloud.add_user(CORE, "someone")
    for name in ("BreakGlass1", "Elsewhere"):
        site.cloud.add_role(CORE, name, {"Version": "2012-10-17", "Statement": []})
    with pytest.raises(Denied):
        as_role(site, "OstiaryApply").call("iam", operation, account=CORE, **params)


def test_the_plan_role_reads_and_writes_nothing(site, members):
    deploy(site.aws, members, WANTED)
    aws = as_role(site, "OstiaryPlan")
    estate = Estate(aws)
    assert all(
        kind.read(CORE, {}).complete for kind in (estate.provider, estate.role, estate.trust)
    )
    with pytest.raises(Denied):
        aws.call("iam", "tag_role", account=CORE, RoleName="Ops", Tags=[])


def test_the_doctor_finds_nothing_missing_and_then_what_is(site, members):
    deploy(site.aws, members, WANTED)
    plan, apply = (as_role(site, role) for role in ("OstiaryPlan", "OstiaryApply"))
    probes = doctor_probes(plan, CORE, "plan", WANTED)
    assert [probe for probe in probes if probe.ok is False] == []
    probes = doctor_probes(apply, CORE, "apply", WANTED)
    assert [probe for probe in probes if probe.ok is False] == []
    assert "iam:UpdateAssumeRolePolicy" in {probe.permission for probe in probes}
    lacking = {
        probe.permission for probe in doctor_probes(plan, CORE, "apply", WANTED) if not probe.ok
    }
    assert "iam:CreateSAMLProvider" in lacking
    assert all(probe.ok for probe in organization_probes(site.aws))
    site.world.switches.denied.add((CORE, "iam:GetRole"))
    (missing,) = [p for p in doctor_probes(plan, CORE, "plan", WANTED) if p.ok is False]
    assert missing.ask == f"allow iam:GetRole to OstiaryPlan in account {CORE}"
    mutating = ("Create", "Delete", "Put", "Update", "Tag", "Attach", "Detach", "Untag")
    since = [call for call in site.world.calls if call[0] == "iam"][-40:]
    assert not [call for call in since if call[1].startswith(mutating)]


def test_no_way_in_is_what_the_doctor_says(site):
    (probe,) = doctor_probes(as_role(site, "Nobody"), CORE, "plan", WANTED)
    assert probe.ok is False
    assert "Nobody: AccessDenied" in probe.ask


def test_the_template_is_the_same_roles(site, members):
    made = template(WANTED)
    text = json.dumps(made)
    assert "${AWS::AccountId}" in text
    deploy(site.aws, members, WANTED)
    document = made["Resources"]["ApplyRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    flat = json.loads(
        json.dumps(document, default=str)
        .replace("${AWS::Partition}", "aws")
        .replace("${AWS::AccountId}", CORE)
    )

    def plain(value):
        if isinstance(value, dict):
            return (
                plain(value["Fn::Sub"])
                if set(value) == {"Fn::Sub"}
                else {k: plain(v) for k, v in value.items()}
            )
        return [plain(one) for one in value] if isinstance(value, list) else value

    assert plain(flat) == site.core.roles["OstiaryApply"].inline["Ostiary"]


def test_an_error_of_one_account_does_not_stop_the_others(site, members):
    site.world.switches.denied.add((CORE, "iam:CreateRole"))
    done = deploy(site.aws, members, WANTED)
    assert {one.outcome for one in done if one.account_id == CORE} == {"failed"}
    assert {one.outcome for one in done if one.account_id == TEAM} == {"created"}
    assert all(isinstance(one.error, OstiaryError) for one in done if one.outcome == "failed")
