"""The servers of an estate: what is read, and everything wrong with it, each at its line."""

import pytest

from ostiary.errors import EstateError
from ostiary.model.estate_schema import schema
from ostiary.model.estate_servers import control_defect
from ostiary.model.estate_text import parse
from ostiary.model.server_access import Rule, SudoRule

HEAD = 'estate: acme\nversion: 1\norg: {url: "https://acme.okta.com"}\n'
SERVERS = """servers:
  control: "https://control.acme.example"
  projects:
    prod: {uid_start: 70001, gid_start: 80001, kms: alias/prod, acr_values: [urn:mfa, phr], max_age: 8h,
           preauthorization: required, other_ways: close, accounts: ["111122223333/eu-west-1"], owners: [platform]}
    dev: {}
  sudo:
    restart: {commands: ["/usr/bin/systemctl restart nginx"], noexec: true}
  machines:
    ci: {project: dev, kind: oidc, owner: ada@acme.example, until: 2027-01-31, issuer: "https://ci.example",
         audience: ostiary, claims: {sub: "repo:acme/web"}, rate: 10}
assignments:
"""
KEYS = '{"keys": [{"kty": "EC", "kid": "a", "x": "1", "y": "2"}]}'
FILES = {
    "jwks.json": KEYS,
    "private.json": KEYS.replace('"x"', '"d"'),
    "nokid.json": KEYS.replace('"kid"', '"k1d"'),
    "twice.json": '{"keys": [{"kid": "a"}, {"kid": "a"}]}',
    "text.json": "no",
    "list.json": "[]",
}
BY_KEY = (
    "kind: private-key-jwt, public_keys_file: jwks.json, owner: ada@acme.example, until: 2027-01-31"
)
OIDC = """kind: oidc, owner: ada@acme.example, until: 2027-01-31, issuer: "https://ci.example",
         audience: ostiary, claims: {sub: "repo:acme/web"}"""


def read(text):
    return parse(HEAD + text, file="e.yaml", read_file=FILES.__getitem__)


def problems(text):
    with pytest.raises(EstateError) as caught:
        read(text)
    return [line.partition(": ")[2] for line in caught.value.problems]


def rule(may, who="group: sre"):
    (only,) = read(f"{SERVERS}  - {{{who}, may: {{{may}}}}}\n").server_assignments
    return only.rule


LOGIN = "assignments:\n  - {group: sre, may: {login: prod}}\n"
ROLE = 'roles: {Look: {policies: ["aws:ReadOnlyAccess"]}}\n'


@pytest.mark.parametrize("text", ["", "assignments: []\n", "assignments:\n", LOGIN])
def test_an_estate_of_servers_alone_names_nothing_of_aws(text):
    estate = read(
        'servers: {control: "https://control.acme.example", projects: {prod: {}}}\n' + text
    )
    assert (estate.organizations, estate.consoles) == ({}, {})


@pytest.mark.parametrize(
    "text",
    [
        ROLE,
        ROLE + LOGIN + "  - {group: sre, may: Look, in: all}\n",
        "organization: {}\n",
        "console: {}\n",
    ],
)
def test_one_that_speaks_of_aws_too_has_its_short_form(text):
    estate = read(
        'servers: {control: "https://control.acme.example", projects: {prod: {}}}\n' + text
    )
    assert (list(estate.organizations), list(estate.consoles)) == (["main"], ["main"])


def test_an_estate_without_servers_has_none():
    estate = read("")
    assert estate.servers is None
    assert estate.server_assignments == ()


def test_projects_and_machines_are_read():
    servers = read(SERVERS).servers
    prod, dev, ci = servers.projects["prod"], servers.projects["dev"], servers.machines["ci"]
    assert (prod.uid_start, prod.gid_start, prod.kms) == (70001, 80001, "alias/prod")
    assert (prod.acr_values, prod.max_age, prod.other_ways) == ("urn:mfa phr", 28800, "close")
    assert (prod.preauthorization, dev.preauthorization) == ("required", "none")
    assert (prod.accounts, prod.owners) == (("111122223333/eu-west-1",), ("platform",))
    assert (dev.uid_start, dev.gid_start, dev.kms, dev.max_age) == (60001, 63001, "", 0)
    assert (ci.project, ci.kind, ci.claims, ci.rate) == (
        "dev",
        "oidc",
        {"sub": "repo:acme/web"},
        10,
    )
    assert str(prod.place) == "e.yaml:7"


def test_rights_become_one_rule():
    found = rule(
        "login: [prod, dev], sudo: restart, forward: [db1:5432], max_session: 8h,"
        ' servers: {role: web, env: prod}, source_address: ["192.0.2.0/24"]'
    )
    assert found == Rule(
        "group:sre",
        login=True,
        sudo=(SudoRule("restart", ("/usr/bin/systemctl restart nginx",), noexec=True),),
        forward=("db1:5432",),
        max_session=28800,
        servers=(("env", "prod"), ("role", "web")),
        source_address=("192.0.2.0/24",),
    )


def test_the_last_day_counts_whole():
    user = "user: a@b, until: 2027-01-31, reason: audit"
    assert rule("login: prod", user).until == 1801440000  # 2027-02-01T00:00Z


def test_roles_and_servers_stand_in_one_list():
    estate = read(
        SERVERS.replace("assignments:", 'roles: {R: {policies: ["aws:X"]}}\nassignments:')
        + "  - {group: g, may: R, in: [all]}\n  - {machine: ci, may: {login: dev}}\n"
    )
    assert [one.principal for one in estate.assignments] == ["g"]
    assert [one.principal for one in estate.server_assignments] == ["machine ci"]


def test_public_keys_are_kept_canonical():
    assert OIDC in SERVERS
    keys = read(SERVERS.replace(OIDC, BY_KEY)).servers.machines["ci"].public_keys
    assert keys == '{"keys":[{"kid":"a","kty":"EC","x":"1","y":"2"}]}'


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("private.json", "or a private one"),
        ("nokid.json", "with a kid each"),
        ("twice.json", "two keys of one kid"),
        ("text.json", "is no set of keys"),
        ("list.json", "is no set of keys"),
    ],
)
def test_what_is_no_set_of_public_keys_is_refused(file, says):
    found = problems(SERVERS.replace(OIDC, BY_KEY.replace("jwks.json", file)))
    assert any(says in one for one in found), found


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("control:", "contrl:", "unknown key 'contrl' in servers; did you mean 'control'?"),
        ("https://control", "http://control", "plain http only to this machine itself"),
        ("uid_start: 70001", "uid_start: 12", "must be between 1000 and 999999999"),
        ("alias/prod", "prod", "kms of project 'prod' is 'prod'; it must match"),
        ("other_ways: close", "other_ways: clos", "did you mean 'close'?"),
        ("preauthorization: required", "preauthorization: require", "did you mean 'required'?"),
        ("preauthorization: required", "preauthorization: true", "preauthorization"),
        ("111122223333/eu", "1111/eu", "accounts of project 'prod' is"),
        ("max_age: 8h", "max_age: 100h", "not a duration"),
        ("  dev: {}", "  Dev: {}", "bad name of project 'Dev'"),
        ("restart nginx", "restart *", "is not an absolute path with plain arguments"),
        ("/usr/bin/systemctl", "systemctl", "is not an absolute path with plain arguments"),
        ("project: dev", "project: deb", "not defined; did you mean 'dev'?"),
        ("kind: oidc", "kind: saml", "kind of machine 'ci' is 'saml'"),
        ("kind: oidc", "kind: aws", "machine 'ci' is of kind aws and lacks 'arn'"),
        ("{sub:", "{aud:", "must name sub"),
        ("repo:acme/web", "repo:acme/*", "has a wildcard"),
        ("kind: oidc", "kind: private-key-jwt", "lacks 'public_keys_file'"),
        ("kind: oidc", "kind: private-key-jwt", "issuer of machine 'ci' is of kind oidc"),
        ("kind: oidc", 'kind: oidc, arn: "arn:aws:iam::111122223333:role/X"', "is of kind aws"),
        ("    ci: {", "    ci.x: {", "bad name of machine 'ci.x'"),
        ("owner: ada@acme.example", "owner: ada", "owner of machine 'ci' is 'ada'"),
        ("rate: 10}", "rate: 100001}", "must be between 1 and 100000"),
        ("         audience: ostiary,", "", "lacks 'audience'"),
    ],
)
def test_what_is_wrong_with_the_section_is_said(old, new, says):
    assert old in SERVERS
    found = problems(SERVERS.replace(old, new))
    assert any(says in one for one in found), found


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{group: g, may: {login: pord}}", "names project 'pord', which is not defined; did you mean 'prod'?"),
        ("{group: g, may: {admin: true}}", "may of assignment 1 lacks 'login'"),
        ("{group: g, may: {login: prod, sudo: [reboot]}}", "names sudo rule 'reboot', which is not defined"),
        ("{group: g, may: {login: prod, logn: 1}}", "unknown key 'logn' in may of assignment 1"),
        ("{group: g, may: {login: prod}, in: [all]}", "means accounts"),
        ("{group: g, may: {login: prod, forward: [db1]}}", "forward 'db1' is not HOST:PORT"),
        ("{group: g, may: {login: prod, source_address: [here]}}", "is no network"),
        ("{group: g, may: {login: prod, servers: {role: 1}}}", "must be text"),
        ("{group: g, may: {login: prod, sftp_only: true, admin: true}}", "leaves no shell"),
        ("{user: a@b, may: {login: prod}}", "lacks 'until'"),
        ("{machine: cii, may: {login: dev}}", "names machine 'cii', which is not defined; did you mean 'ci'?"),
        ("{machine: ci, may: {login: prod}}", "must be 'dev': the project of machine 'ci'"),
        ("{group: g, user: a@b, may: {login: prod}}", "needs one of group, user and machine"),
        ("{machine: ci, may: X, in: [all]}", "may enter servers only"),
        ("{group: g, may: X}", "lacks 'in'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_assignment_is_said(line, says):
    found = problems(f"{SERVERS}  - {line}\n")
    assert any(says in one for one in found), found


def test_everything_wrong_is_said_at_once():
    broken = SERVERS.replace("https://control", "http://control").replace("70001", "1")
    assert len(problems(f"{broken}  - {{group: g, may: {{login: x, sudo: y}}}}\n")) == 4


def test_no_org_may_be_named_as_the_control_plane_is():
    text = (HEAD + SERVERS).replace("org: {url", "orgs: {control: {url").replace('com"}', 'com"}}')
    with pytest.raises(EstateError, match="could not be told from the control plane"):
        parse(text, file="e.yaml")


@pytest.mark.parametrize("url", ["https://c.example", "https://c.example:8443/", "http://127.0.0.1:1", "http://[::1]:1"])  # fmt: skip
def test_a_control_plane_may_be_here_or_behind_tls(url):
    assert control_defect(url) == ""


@pytest.mark.parametrize("url", ["http://c.example", "https://u:p@c.example", "https://c.example/x", "ftp://c", "https://"])  # fmt: skip
def test_other_addresses_are_refused(url):
    assert control_defect(url)


def test_editors_are_told_which_keys_go_with_which_may():
    shape = schema()["$defs"]["assignment"]
    assert shape["if"] == {"properties": {"may": {"type": "object"}}}
    assert {"required": ["in"]} in shape["then"]["not"]["anyOf"]
    assert shape["else"]["required"] == ["in"]
    assert schema()["$defs"]["server_rights"]["required"] == ["login"]
