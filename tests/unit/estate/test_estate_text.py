"""Reading an estate: everything wrong at once, with its line, and nothing constructed from the text."""

import pytest

from ostiary.errors import EstateError
from ostiary.model.estate import EnvRef, PolicyRef, resolve
from ostiary.model.estate_schema import SHAPES, schema
from ostiary.model.estate_text import parse

SMALLEST = """
estate: acme
version: 1
org: {url: "https://acme.okta.com"}
"""
LONG = """
estate: acme
version: 1
runs: {store: "s3://acme/runs", kms_key: alias/o}
orgs:
  main: {url: "${env:OKTA_URL}", policy: strong, auth: {client_id: 0oa1, private_key: "${env:KEY}"}}
organizations:
  commercial:
    reach:
      {plan: P, apply: A, else: [B, C], external_id: "${env:EXT}", accounts: {"111122223333": {apply: X}}}
    protect: {roles: ["BreakGlass*"]}
    owned_elsewhere: ["tf-*"]
  gov: {partition: aws-us-gov, reach: {profile: gov}}
consoles:
  std: {organization: commercial, session: 1h30m}
  gov: {organization: gov, app: GovCloud, native_app: false, membership: direct}
roles:
  Admin: {policies: ["aws:AdministratorAccess", "file:p/deny.json"], tags: {team: core}}
  Read:
    policies: ["aws:job-function/ViewOnlyAccess", "customer:Extra"]
    max_session: 12h
    by: {"ou:/Sandbox": {boundary: "customer:Box"}, "account:prod": {policies: ["aws:ReadOnlyAccess"]}}
  Deployer: {existing: true}
assignments:
  - {group: eng, may: [Admin, Read], in: ["ou:/Prod/.", {ou: "/Dev", tag: "t=v"}], not_in: ["account:x"]}
  - {user: a@b, may: Read, in: [all], until: 2027-01-31, reason: audit, console: std}
"""
FILES = {"p/deny.json": '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny"}]}'}


def read(text, **more):
    return parse(text, file="e.yaml", read_file=FILES.__getitem__, **more)


def problems(text, **more):
    with pytest.raises(EstateError) as caught:
        read(text, **more)
    assert caught.value.exit_code == 3
    return caught.value.problems


def problem(extra, text=SMALLEST):
    """The only problem of the smallest estate with ``extra`` after it."""
    found = problems(text + extra)
    assert len(found) == 1, found
    return found[0]


def test_short_form_is_sugar_for_one_of_each():
    estate = read(SMALLEST)
    assert list(estate.orgs) == list(estate.organizations) == list(estate.consoles) == ["main"]
    console = estate.consoles["main"]
    assert (console.org, console.organization, console.app_label) == ("main", "main", "AWS acme")


def test_long_form():
    estate = read(LONG)
    assert estate.orgs["main"].url == EnvRef("OKTA_URL")
    assert estate.organizations["commercial"].reach("111122223333").apply == "X"
    assert estate.organizations["commercial"].reach("999922223333").apply == "A"
    assert estate.consoles["std"].session_seconds == 5400
    assert estate.consoles["gov"].group_name == "aws-us-gov#{alias}#{role}#{account}"
    assert estate.roles["Admin"].max_session == 5400, "at least the longest console session"
    assert estate.roles["Admin"].policies[1].inline_name == "deny"
    assert estate.assignments[0].consoles == ("std", "gov")
    assert [item.ou_direct for item in estate.assignments[0].in_] == [True, False]
    assert str(estate.assignments[1].place) == "e.yaml:26"


def test_overrides_apply_in_order(account):
    estate = read(LONG)
    role = estate.roles["Read"].in_account(account("111122223333", "prod", ou="/Sandbox/A"))
    assert role.boundary == PolicyRef("customer", "Box")
    assert role.policies == (PolicyRef("aws", "ReadOnlyAccess"),)


def test_environment_is_looked_up_late_and_never_shown():
    env = {"OKTA_URL": "https://x", "KEY": "s3cret", "EXT": "y"}
    estate = read(LONG, env=env)
    assert resolve(estate.orgs["main"].auth.private_key, env) == "s3cret"
    assert "s3cret" not in repr(estate)
    assert any("KEY, which is not set" in line for line in problems(LONG, env={}))
    with pytest.raises(EstateError, match="not set"):
        resolve(EnvRef("ABSENT"), {})


def test_all_problems_at_once_in_order_of_lines():
    found = problems("""
estate: acme prod
version: 2
orgz: {}
org: {url: "http://x"}
roles: {A: {polices: []}}
assignments:
  - {group: g, may: B, in: ["account:1234567890123"]}
""")
    lines = [int(line.split(":")[1]) for line in found]
    assert lines == sorted(lines)
    assert set(lines) == {2, 3, 4, 5, 6, 8}
    assert any("did you mean 'org'" in line for line in found)
    assert any("did you mean 'policies'" in line for line in found)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("estate: again\n", "e.yaml:5: duplicate key 'estate', first in line 2"),
        ("roles: {A: {existing: true, max_session: 4h}}\n", "has no effect"),
        ("roles: {'A b': {existing: true}}\n", "bad name of role 'A b'"),
        ("roles: {A: {existing: true}, a: {existing: true}}\n", "are one name to IAM"),
        ("roles: {A: {policies: ['aws:x'], max_session: 30m}}\n", "must be 1h to 12h"),
        ("roles: {A: {policies: ['arn:aws:x']}}\n", "it must match"),
        ("roles: {A: {policies: ['customer:arn:aws:iam::1:policy/x']}}\n", "not an ARN"),
        ("roles: {A: {policies: ['aws:x', 'aws:x']}}\n", "duplicate 'aws:x'"),
        ("roles: {A: {policies: ['aws:x'], tags: {'aws:x': y}}}\n", "is reserved"),
        ("roles: {A: {policies: ['aws:x'], tags: {x: 3}}}\n", "must be text"),
        ("roles: {A: {policies: ['aws:x'], by: {'tags:x=y': {}}}}\n", "did you mean 'tag'?"),
        ("console: {session: 5m}\n", "it must be 15m to 12h"),
        ("console: {session: 4}\n", 'write "4" in quotes'),
        ("console: {session: '4 hours'}\n", "it must match|not a duration"),
        ("console: {saml_provider: 'a b'}\n", "saml_provider of console"),
        ("console: {via: api}\n", "known: role-groups"),
        ("console: {group_name: 'aws#{role}'}\n", "must hold {account} exactly once"),
        ("console: {group_filter: 'aws_(?{{role}}.*)_(?{{accountid}}[0-9]+)'}\n", "anchored"),
        ("console: {group_filter: '^(?=x)$'}\n", "RE2"),
        ("console: {role_value_pattern: 'arn:${accountid}:${role}'}\n", "it should be arn:aws:iam"),
        ('console: {role_value_pattern: "a\\nb"}\n', "control characters"),
        ("consoles: {a: {}}\nconsole: {}\n", "write only one of them"),
        ("organizations: {a: {}, b: {}}\nconsole: {}\n", "must name its organization"),
        ("assignments: [{group: g, user: u, may: [], in: all}]\n", "one of group and user"),
        ("assignments: {}\n", "must be a list"),
        ("organization: {partition: aws-usgov}\n", "did you mean 'aws-us-gov'"),
        ("organization: {reach: {accounts: {'1234567890123': {}}}}\n", "bad name of account"),
    ],
)
def test_what_is_wrong_is_said(extra, said):
    found = problems(SMALLEST + extra)
    assert any(part in line for line in found for part in said.split("|")), found


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("012345678901", 'write "account:012345678901"'),
        ('"account:1234567890123"', "13 digits"),
        ('"account:12345678901"', "11 digits"),
        ('"account:1234-5678-9012"', "no dashes"),
        ('"account:a", "account:a"', "duplicate 'account:a'"),
        ('{tag: "k"}', "key=value"),
        ('"ou:Prod"', "ou:/Prod"),
        ('"ou:/Prod/"', "empty part"),
        ("{}", "needs ou, tag or account"),
        ("[x]", "write text or a mapping"),
        ('{ou: "/x", color: "y"}', "unknown key 'color'"),
        ("everything", "no selector"),
    ],
)
def test_selectors(item, said):
    text = SMALLEST + "roles: {A: {existing: true}}\n"
    assert said in problem(f"assignments: [{{group: g, may: A, in: [{item}]}}]\n", text)


def test_users_need_an_end_and_a_reason():
    text = SMALLEST + "roles: {A: {existing: true}}\n"
    found = problems(text + "assignments: [{user: u, may: A, in: all, until: 2027-02-31}]\n")
    assert len(found) == 2
    assert "lacks 'reason'" in " ".join(found)
    assert "not a day" in " ".join(found)


def test_consoles_of_one_org_must_be_told_apart():
    found = problem("consoles: {a: {app: X}, b: {app: Y}}\n")
    assert "each app would offer the roles of both" in found


def test_files_of_policies():
    role = "roles: {A: {policies: ['file:p/deny.json']}}\n"
    assert read(SMALLEST + role).roles["A"].policies[0].document["Statement"]

    def refuse(path):
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(EstateError, match="No such file"):
        parse(SMALLEST + role, file="e.yaml", read_file=refuse)
    with pytest.raises(EstateError, match="not JSON"):
        parse(SMALLEST + role, file="e.yaml", read_file=lambda path: "{")


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("estate: !!python/object/apply:os.system [x]\n", "tag"),
        ("estate: !!str acme\n", "tag"),
        (BOMB, "nodes"),
        ("a: &a [*a]\n", "alias"),
        ("a: *b\n", "alias"),
        ("[" * 10_000, "nested deeper"),
        ("a: 1\n---\nb: 2\n", "second YAML document"),
        ("a: [1\n", "not YAML"),
        ("a: \x00\n", "not YAML"),
        ("", "empty"),
        ("x" * (4 * 1024 * 1024 + 1), "larger than"),
        ("- a\n", "must be a mapping"),
    ],
)
def test_hostile_texts_are_refused(text, said):
    assert any(said in line for line in problems(text))


def test_an_alias_is_a_second_name():
    text = SMALLEST + "roles: {A: &r {policies: ['aws:x']}, B: *r}\n"
    assert read(text).roles["B"].policies == read(text).roles["A"].policies


def test_schema_is_closed_and_complete():
    described = schema()
    assert described["additionalProperties"] is False
    assert set(SHAPES) - {"estate"} <= set(described["$defs"])
    assert all(
        "description" in key
        or "$ref" in key
        or "enum" in key
        or "anyOf" in key
        or "additionalProperties" in key
        or "const" in key
        or "items" in key
        for shape in SHAPES.values()
        for key in shape.values()
    )
