"""The key of a project in KMS: made once, its policy kept, nobody but the control plane's role signs, and nobody deletes it."""

from __future__ import annotations

import json

import pytest
from aws_world import MANAGEMENT, SHARED, small_organization
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ostiary.aws.credentials import credentials_from
from ostiary.aws.kms_key import open_key
from ostiary.aws.project_key import ProjectKeyKind
from ostiary.aws.project_key_wanted import named_key, next_key, wanted_key
from ostiary.aws.session import Aws
from ostiary.errors import Conflict, Denied, StalePlan, Unreachable
from ostiary.plan.plan import make_plan
from ostiary.plan.resource import Owner

REGION = "us-east-1"
ROLE = f"arn:aws:iam::{MANAGEMENT}:role/OstiaryControl"
ALIAS = "alias/ostiary/prod"
RIGHTS = {"Effect": "Allow", "Action": ["kms:*"], "Resource": "*"}


@pytest.fixture
def site(monkeypatch):
    site = small_organization(monkeypatch)
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{MANAGEMENT}:root"},
        "Action": "sts:AssumeRole",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    asked = {"RoleName": "OstiaryControl", "AssumeRolePolicyDocument": document}
    site.aws.call("iam", "create_role", repeatable=True, **asked)
    return site


@pytest.fixture
def kind(site):
    return ProjectKeyKind("acme", site.aws, REGION)


@pytest.fixture
def wanted():
    return wanted_key(MANAGEMENT, REGION, "prod", signer=ROLE)


@pytest.fixture
def role(site):
    """Calls KMS in the control plane's role, whose own policies allow everything of KMS."""
    document = json.dumps({"Version": "2012-10-17", "Statement": [RIGHTS]})
    asked = {"RoleName": "OstiaryControl", "PolicyName": "all", "PolicyDocument": document}
    site.aws.call("iam", "put_role_policy", repeatable=True, **asked)
    asked = {"RoleArn": ROLE, "RoleSessionName": "serve"}
    acting = credentials_from(site.aws.call("sts", "assume_role", **asked)["Credentials"])
    aws = Aws(clients=SHARED)

    class Acting:
        def call(self, service, operation, /, **params):
            return aws.call(service, operation, credentials=acting, **params)

    return Acting()


def keys(site):
    return [one["KeyArn"] for one in site.aws.call("kms", "list_keys")["Keys"]]


def actions(kind, *desired):
    plan = make_plan(desired, [kind], {kind.name: [MANAGEMENT]}, estate="acme", workers=1)
    return [change.action for change in plan.changes]


def make(kind, wanted):
    return kind.create(wanted.key, dict(wanted.wanted))


def policy(site, arn):
    text = site.aws.call("kms", "get_key_policy", KeyId=arn, PolicyName="default")["Policy"]
    return json.loads(text)["Statement"]


def test_it_is_planned_made_and_then_there_is_nothing_to_do(site, kind, wanted):
    assert actions(kind, wanted) == ["create"]
    assert keys(site) == []
    found = make(kind, wanted)
    assert actions(kind, wanted) == []
    assert keys(site) == [found.ids["arn"]]
    assert found.owner is Owner.OURS
    assert kind.read(MANAGEMENT, {}).found == (found,)
    assert open_key(site.aws, ALIAS).arn == found.ids["arn"]


@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "RSA_2048"])
def test_only_the_control_planes_role_signs_and_does_nothing_else(site, kind, role, spec):
    found = make(kind, wanted_key(MANAGEMENT, REGION, "prod", signer=ROLE, spec=spec))
    arn = found.ids["arn"]
    sign = {"KeyId": arn, "Message": b"x", "repeatable": True}
    good = sign | {
        "SigningAlgorithm": site.aws.call("kms", "get_public_key", KeyId=arn)["SigningAlgorithms"][
            0
        ]
    }
    if spec == "RSA_2048":
        good["SigningAlgorithm"] = "RSASSA_PKCS1_V1_5_SHA_256"
        with pytest.raises(Denied):
            role.call("kms", "sign", **sign, SigningAlgorithm="RSASSA_PSS_SHA_256")
    else:
        signed = open_key(role, arn).sign(b"x", ec.ECDSA(hashes.SHA256()))
        assert signed
    role.call("kms", "sign", **good)
    with pytest.raises(Denied):
        role.call("kms", "sign", **good | {"MessageType": "DIGEST", "Message": b"x" * 32})
    with pytest.raises(Denied, match="kms:Sign"):
        site.aws.call("kms", "sign", **good)  # the administrator of the account
    for operation, more in (
        ("disable_key", {}),
        ("schedule_key_deletion", {"PendingWindowInDays": 7}),
        ("put_key_policy", {"PolicyName": "default", "Policy": "{}"}),
        ("delete_alias", {"AliasName": ALIAS}),
        ("tag_resource", {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
    ):
        named = {} if operation == "delete_alias" else {"KeyId": arn}
        with pytest.raises(Denied):
            role.call("kms", operation, **named, **more)
    assert site.aws.call("kms", "describe_key", KeyId=ALIAS)["KeyMetadata"]["Enabled"]


def test_a_changed_policy_is_drift_and_foreign_statements_stay(site, kind, wanted):
    arn = make(kind, wanted).ids["arn"]
    foreign = {
        "Sid": "Auditors",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{MANAGEMENT}:root"},
        "Action": "kms:ListKeyPolicies",
        "Resource": "*",
    }
    held = [one for one in policy(site, arn) if one["Sid"] != "OstiaryNothingElse"]
    text = json.dumps({"Version": "2012-10-17", "Statement": [*held, foreign]})
    site.aws.call("kms", "put_key_policy", KeyId=arn, PolicyName="default", Policy=text)
    assert actions(kind, wanted) == ["update"]
    kind.update(kind.look(wanted.key), dict(wanted.wanted))
    assert actions(kind, wanted) == []
    assert foreign in policy(site, arn)
    assert {one["Sid"] for one in policy(site, arn)} == {
        "Auditors",
        "OstiaryAdministration",
        "OstiaryLook",
        "OstiaryNothingElse",
        "OstiarySign",
        "OstiaryStays",
    }


def without(site, arn, sid):
    """Put the policy of a key without one statement."""
    held = [one for one in policy(site, arn) if one["Sid"] != sid]
    text = json.dumps({"Version": "2012-10-17", "Statement": held})
    site.aws.call("kms", "put_key_policy", KeyId=arn, PolicyName="default", Policy=text)


ENDS = (("disable_key", {}), ("schedule_key_deletion", {"PendingWindowInDays": 7}))


def test_an_administrator_ends_the_key_only_after_changing_its_policy(site, kind, wanted):
    """Of an account whose IAM policies allow everything; a statement of somebody else's allows it in the key's too."""
    arn = make(kind, wanted).ids["arn"]
    held = policy(site, arn)
    allowed = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [*held, allowed | {"Sid": "Wide"}]})
    for given in (None, text):
        if given:
            asked = {"KeyId": arn, "PolicyName": "default", "Policy": given}
            site.aws.call("kms", "put_key_policy", **asked)
        for operation, more in ENDS:
            with pytest.raises(Denied) as refused:
                site.aws.call("kms", operation, KeyId=arn, **more)
            assert refused.value.code == "AccessDeniedException"
    without(site, arn, "Wide")
    assert site.aws.call("kms", "describe_key", KeyId=arn)["KeyMetadata"]["KeyState"] == "Enabled"
    without(site, arn, "OstiaryStays")
    assert actions(kind, wanted) == ["update"], "the plan shows it, and puts the statement back"
    for operation, more in ENDS:
        site.aws.call("kms", operation, KeyId=arn, **more)
    state = site.aws.call("kms", "describe_key", KeyId=arn)["KeyMetadata"]["KeyState"]
    assert state == "PendingDeletion"


def test_a_key_of_before_gets_the_statement_and_a_key_that_was_disabled_is_enabled(
    site, kind, wanted
):
    arn = make(kind, wanted).ids["arn"]
    without(site, arn, "OstiaryStays")
    site.aws.call("kms", "disable_key", KeyId=arn)
    found = kind.look(wanted.key)
    assert set(kind.differences(found, wanted.wanted)) == {"enabled", "policy"}
    site.aws.call("kms", "enable_key", KeyId=arn)
    with pytest.raises(StalePlan):
        kind.update(found, dict(wanted.wanted))
    site.aws.call("kms", "disable_key", KeyId=arn)
    found = kind.look(wanted.key)
    assert kind.update(found, dict(wanted.wanted)).attributes["enabled"]
    assert kind.differences(kind.look(wanted.key), wanted.wanted) == ()
    with pytest.raises(Denied):
        site.aws.call("kms", "disable_key", KeyId=arn)
    kind.restore(wanted.key, found.attributes)
    assert kind.look(wanted.key).attributes == found.attributes


def test_an_alias_of_somebody_else_is_left_and_no_key_is_made(site, kind, wanted):
    arn = site.aws.call("kms", "create_key")["KeyMetadata"]["Arn"]
    site.aws.call("kms", "create_alias", AliasName=ALIAS, TargetKeyId=arn)
    with pytest.raises(Conflict, match="another mark or none"):
        make(kind, wanted)
    assert keys(site) == [arn]
    assert ProjectKeyKind("other", site.aws, REGION).look(wanted.key) is None


def test_a_kill_between_key_and_alias_leaves_no_second_key(site, kind, wanted):
    kind._new(wanted.key, dict(wanted.wanted))
    (arn,) = keys(site)
    assert kind.look(wanted.key) is None
    assert make(kind, wanted).ids["arn"] == arn
    assert keys(site) == [arn]


def test_a_lost_answer_makes_no_second_key(site, kind, wanted):
    lost = []

    class Losing(Aws):
        def call(self, service, operation, /, **params):
            answer = super().call(service, operation, **params)
            if operation == "create_key" and not lost:
                lost.append(answer)
                raise Unreachable("cannot create key", maybe_done=True)
            return answer

    found = make(ProjectKeyKind("acme", Losing(clients=SHARED), REGION), wanted)
    assert lost
    assert keys(site) == [found.ids["arn"]]


def test_many_keys_and_aliases_are_read_page_by_page(site, kind, wanted):
    for number in range(3):
        make(kind, wanted_key(MANAGEMENT, REGION, f"p{number}", signer=ROLE))
    names = {one.key.name for one in kind.read(MANAGEMENT, {}).found}
    assert names == {f"{REGION}/p{number}" for number in range(3)}


def test_it_is_never_deleted_from_here(site, kind, wanted):
    found = make(kind, wanted)
    for delete in (lambda: kind.delete(found), lambda: kind.restore(wanted.key, None)):
        with pytest.raises(Conflict, match="not deleted from here"):
            delete()
    assert site.aws.call("kms", "describe_key", KeyId=ALIAS)["KeyMetadata"]["Enabled"]
    changed = dict(wanted.wanted) | {"spec": "RSA_2048"}
    with pytest.raises(Conflict, match="not deleted from here"):
        kind.update(found, changed)
    kind.release(found)
    assert kind.look(wanted.key) is None
    assert keys(site) == [found.ids["arn"]]


def test_a_role_that_is_not_there_makes_no_key(site, kind):
    absent = wanted_key(MANAGEMENT, REGION, "prod", signer=f"{ROLE}2")
    with pytest.raises(Conflict) as refused:
        make(kind, absent)
    assert refused.value.code == "MalformedPolicyDocumentException"
    assert keys(site) == []


ALIAS_NEXT = f"{ALIAS}/next"


@pytest.fixture
def another():
    return next_key(MANAGEMENT, REGION, "prod", signer=ROLE)


def aliased(site):
    """ARN by alias, of ours."""
    found = site.aws.call("kms", "list_aliases")["Aliases"]
    names = [one["AliasName"] for one in found if one["AliasName"].startswith("alias/ostiary/")]
    return {
        name: site.aws.call("kms", "describe_key", KeyId=name)["KeyMetadata"]["Arn"]
        for name in names
    }


def named(arn):
    return named_key(MANAGEMENT, REGION, "prod", arn)


def point(kind, arn):
    """Let the project's alias name this key, as a plan would."""
    asked = named(arn)
    found = kind.look(asked.key)
    if found is None:
        return kind.create(asked.key, dict(asked.wanted))
    return (
        kind.update(found, dict(asked.wanted)) if kind.differences(found, asked.wanted) else found
    )


def test_a_rotations_key_stands_beside_the_one_that_signs_and_then_takes_its_alias(
    site, kind, wanted, another
):
    first = make(kind, wanted).ids["arn"]
    assert actions(kind, wanted, another) == ["create"]
    second = make(kind, another).ids["arn"]
    assert aliased(site) == {ALIAS: first, ALIAS_NEXT: second}
    assert policy(site, first) == policy(site, second)
    assert make(kind, another).ids["arn"] == second, "once"
    assert actions(kind, wanted, another) == []
    assert point(kind, second).ids["arn"] == second
    assert aliased(site) == {ALIAS: second}
    assert actions(kind, wanted) == [], "what was wanted of the former holds for it"
    third = make(kind, another).ids["arn"]
    assert third not in (first, second), "the former is not taken for one that a killed run left"
    point(kind, third)
    assert aliased(site) == {ALIAS: third}
    for arn in (first, second, third):
        told = site.aws.call("kms", "describe_key", KeyId=arn)["KeyMetadata"]
        assert told["KeyState"] == "Enabled", (
            "who signed before is needed until nothing of it is good"
        )


def test_a_project_that_had_no_key_in_kms_gets_the_alias_with_the_rotations(site, kind, another):
    arn = make(kind, another).ids["arn"]
    assert aliased(site) == {ALIAS_NEXT: arn}
    assert point(kind, arn).ids["arn"] == arn
    assert aliased(site) == {ALIAS: arn}


def test_a_kill_at_any_call_leaves_an_alias_and_the_next_run_moves_it(site, wanted, another):
    class Killed(Exception):
        pass

    class Counting(Aws):
        left = 0

        def call(self, service, operation, /, **params):
            if operation in ("tag_resource", "delete_alias", "update_alias"):
                self.left -= 1
                if self.left < 0:
                    raise Killed
            return super().call(service, operation, **params)

    counting = Counting(clients=SHARED)
    kind = ProjectKeyKind("acme", counting, REGION)
    whole = ProjectKeyKind("acme", site.aws, REGION)
    former = make(whole, wanted).ids["arn"]
    for moment in range(4):
        arn = make(whole, another).ids["arn"]
        counting.left = moment
        with pytest.raises(Killed):
            point(kind, arn)
        assert aliased(site)[ALIAS] == former, moment
        point(whole, arn)
        assert aliased(site) == {ALIAS: arn}, moment
        former = arn
    assert len(keys(site)) == 5


def test_no_alias_goes_to_a_key_that_is_not_ours(site, kind, wanted):
    held = make(kind, wanted).ids["arn"]
    asked = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
    foreign = site.aws.call("kms", "create_key", repeatable=True, **asked)["KeyMetadata"]["Arn"]
    with pytest.raises(Conflict, match="another mark or none"):
        point(kind, foreign)
    assert aliased(site) == {ALIAS: held}
    assert not site.aws.call("kms", "list_resource_tags", KeyId=foreign)["Tags"]


def test_a_move_is_undone(site, kind, wanted, another):
    before = make(kind, wanted)
    arn = make(kind, another).ids["arn"]
    point(kind, arn)
    kind.restore(wanted.key, before.attributes)
    assert aliased(site) == {ALIAS: before.ids["arn"]}
