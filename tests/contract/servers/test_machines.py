"""Machines sign in over HTTP: by a key of their own, their pipeline's issuer, their role at AWS; and who may not."""

import base64
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx2
import pytest
from aws_instance import ACCOUNT, OTHER, TRUST, presigned, session_of
from control_world import ControlWorld, Refused
from joserfc import jwk, jwt
from pipelines import GITHUB, SUB, Router
from sqlalchemy import delete, select, update

from ostiary.cli.login_machine import by_own_key
from ostiary.doors.servers.control import people, projects
from ostiary.doors.servers.control.machine_proof import MOST_BYTES
from ostiary.doors.servers.control.org_reader import keep_read
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.tables import (
    OF_MACHINES,
    audit,
    certificates,
    machines,
    sessions,
)
from ostiary.doors.servers.control.tables import people as people_table
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Label, Machine, Rule
from ostiary.doors.servers.wire.person import MachineSignIn, Session

CONTROL = "https://control.example"
OWNER = "ada@acme.example"
ARN = f"arn:aws:iam::{ACCOUNT}:role/build/ci"


class Site:
    """A project with one server and one machine of each kind; ada answers for them."""

    def __init__(self, folder, database="", **settings):
        self.router = Router()
        self.github = self.router.github
        self.aws = self.router.world
        self.key = jwk.ECKey.generate_key("P-256", {"kid": "own"})
        self.control = ControlWorld(
            database or f"sqlite:///{folder}/control.db",
            folder,
            transport=self.router,
            settings=settings,
        )
        self.control.person(OWNER, ["sre"])
        names = ("github", "robot", "ansible")
        self.control.project("prod", [Rule(f"machine:{name}", login=True) for name in names])
        self.web = self.control.server("web1")
        until = time.time() + 86400
        public = json.dumps({"keys": [self.key.as_dict(private=False)]})
        self.machines = {
            "github": Machine(
                "github",
                "oidc",
                OWNER,
                until,
                issuer=GITHUB,
                audience=CONTROL,
                claims=(Label("sub", SUB), Label("run_attempt", "1")),
            ),
            "robot": Machine("robot", "private-key-jwt", OWNER, until, public_keys=public),
            "ansible": Machine("ansible", "aws", OWNER, until, arn=ARN, rate=2),
        }
        self.set()

    def set(self, **changed):
        """Put the machines; ``changed`` by name."""
        self.machines |= changed
        by = self.control.admin()
        now = by.call("GET", "/v1/projects/prod", kind=admin.Project)
        kept = tuple(one for one in self.machines.values() if one is not None)
        wanted = admin.ProjectWanted(now.generation, now.settings, now.rules, kept)
        return by.call("PUT", "/v1/projects/prod", wanted, admin.Project)

    def own_token(self, *, key=None, header=None, **claims):
        now = int(time.time())
        said = {
            "iss": "machine:robot",
            "sub": "machine:robot",
            "aud": CONTROL,
            "iat": now,
            "exp": now + 120,
            "jti": f"j{time.monotonic_ns()}",
            **claims,
        }
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": "ES256", "kid": "own", **(header or {})}, said, key or self.key)

    def caller(self, account=ACCOUNT, role="ci", name="run-1"):
        session = session_of(self.aws, account, role, name)
        return presigned(session, headers={"x-ostiary-control": CONTROL})

    def sign_in(self, name, proof, kind=""):
        kinds = {"github": "oidc", "robot": "private-key-jwt", "ansible": "aws"}
        client = self.control.client()
        asked = MachineSignIn(name, kind or kinds.get(name, "oidc"), proof)
        return client.hold(client.call("POST", "/v1/machines/sign-in", asked, Session))

    def proof(self, name):
        return {
            "github": self.github.token,
            "robot": self.own_token,
            "ansible": self.caller,
        }[name]()

    def rows(self, event):
        with self.control.services.database.reading() as connection:
            query = select(audit.c.body).where(audit.c.event == event)
            return [json.loads(text) for text in connection.scalars(query)]

    def owner(self):
        with self.control.services.database.reading() as connection:
            return next(one for one in people.every(connection) if one.login == OWNER)

    def put_out(self):
        now = replace(self.owner(), active=False, read=time.time())
        self.keep(keep_read, now)

    def keep(self, how, person):
        services = self.control.services
        with services.database.reading() as connection:
            ids = [one.id for one in projects.every(connection)]
        services.writer.write(ids, lambda c, ledger: how(c, ledger, person))

    def sessions(self):
        with self.control.services.database.reading() as connection:
            query = select(sessions.c.person_id).where(sessions.c.person_id.like("machine:%"))
            return set(connection.scalars(query))

    def refused(self, name, proof, code="bad-machine-proof", kind=""):
        with pytest.raises(Refused) as no:
            self.sign_in(name, proof, kind)
        assert no.value.code == code, no.value.refusal
        assert no.value.status in (400, 403), no.value
        return no.value.refusal.why


@pytest.fixture(scope="module")
def _site(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("machines"))
    yield site
    site.control.close()
    site.router.close()


@pytest.fixture
def site(_site):
    """The site as it was at the beginning."""
    _site.router.github.broken = None
    _site.keep(
        lambda connection, *_: connection.execute(delete(certificates).where(OF_MACHINES)), None
    )
    before = dict(_site.machines)
    yield _site
    if _site.machines != before:
        _site.machines = before
        _site.set()
    now = Person(_site.owner().id, OWNER, ("sre",), active=True, read=time.time())
    _site.keep(people.keep, now)


@pytest.mark.parametrize("name", ["github", "robot", "ansible"])
def test_each_kind_gets_a_certificate_for_its_server(site, name):
    client = site.sign_in(name, site.proof(name))
    assert client.session.person == f"machine:{name}"
    assert client.session.login == f"machine-{name}"
    assert client.session.expires <= time.time() + 3601
    issued = client.certificate("web1")
    assert issued.login == f"machine-{name}"
    row = site.rows("machine.signed-in")[-1]
    assert (row["machine"], row["owner"]) == (name, OWNER)
    assert row["source"] == "127.0.0.1"
    told = json.dumps(row)
    assert client.token not in told
    assert "X-Amz-" not in told
    assert "eyJ" not in told


@pytest.mark.parametrize("name", ["github", "robot", "ansible"])
def test_a_proof_is_good_once(site, name):
    proof = site.proof(name)
    site.sign_in(name, proof)
    assert "used already" in site.refused(name, proof)


@pytest.mark.parametrize(
    ("kind", "size"),
    [("EC", "P-256"), ("EC", "P-384"), ("OKP", "Ed25519"), ("RSA", 2048)],
)
def test_the_clients_own_words_are_taken_for_every_kind_of_key(site, tmp_path, kind, size):
    made = {"EC": jwk.ECKey, "OKP": jwk.OKPKey, "RSA": jwk.RSAKey}[kind]
    key = made.generate_key(size, {"kid": "k9"})
    file = tmp_path / "key.jwk"
    file.write_text(json.dumps(key.as_dict(private=True)))
    public = json.dumps({"keys": [key.as_dict(private=False)]})
    site.set(robot=replace(site.machines["robot"], public_keys=public))
    site.sign_in("robot", by_own_key("robot", CONTROL, file))
    site.refused("robot", by_own_key("robot", CONTROL + "/", file))


def test_a_proof_of_another_kind_or_for_another_machine_is_no_use(site):
    proof = site.github.token()
    site.refused("robot", proof)
    site.refused("ansible", proof, "bad-aws-proof")
    site.refused("github", proof, kind="aws")
    site.refused("github", proof, kind="private-key-jwt")
    site.refused("nobody", proof)
    site.refused("robot", site.own_token(iss="machine:github", sub="machine:github"))
    site.sign_in("github", proof)


def by_hand(claims, alg, secret=b""):
    """A JWT that no library makes: without a signature, or by HMAC with the issuer's public key."""

    def part(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    header = {"alg": alg, "kid": "g1"}
    text = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims).encode())}"
    digest = hmac.digest(secret, text.encode(), "sha256") if secret else b""
    return f"{text}.{part(digest)}"


class Ahead(int):
    """Seconds from the time of a test, which may come long after this file was read."""


def now_for(claims):
    now = int(time.time())
    return {name: now + one if isinstance(one, Ahead) else one for name, one in claims.items()}


def test_tokens_that_are_not_the_issuers(site):
    """Algorithms are pinned, keys are the issuer's own, and no header brings another."""
    now = int(time.time())
    github = site.github
    claims = {"iss": GITHUB, "aud": CONTROL, "sub": SUB, "iat": now, "exp": now + 300}
    stranger = jwk.RSAKey.generate_key(2048, {"kid": "g1"})
    public = github.key.as_pem(private=False)
    site.refused("github", by_hand(claims, "none"))
    site.refused("github", by_hand(claims, "HS256", public))
    site.refused("github", github.token(key=stranger))
    site.refused("github", github.token(header={"kid": "../../etc/passwd"}))
    site.refused("github", github.token(header={"kid": "g1' OR 1=1 --"}))
    assert "jku" in site.refused("github", github.token(header={"jku": "https://evil.example"}))
    own = {"jwk": stranger.as_dict(private=False)}
    site.refused("github", github.token(key=stranger, header=own))
    site.refused("github", github.token()[:-4] + "AAAA")
    site.refused("github", "not.a.jwt")
    site.refused("github", "")
    site.refused("github", "x" * (MOST_BYTES + 1))
    site.refused("github", "é.é.é")


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "https://gitlab.com"}, "another issuer"),
        ({"iss": GITHUB + "/"}, "another issuer"),
        ({"aud": "https://vault.example"}, "another audience"),
        ({"aud": [CONTROL, "https://vault.example"]}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"sub": "repo:mallory/infra:ref:refs/heads/main"}, "claim sub"),
        ({"sub": "repo:acme/infra:ref:refs/heads/mainx"}, "claim sub"),
        ({"sub": SUB.upper()}, "claim sub"),
        ({"sub": [SUB]}, "claim sub"),
        ({"sub": None}, "claim sub"),
        ({"run_attempt": 2}, "claim run_attempt"),
        ({"run_attempt": True}, "claim run_attempt"),
        ({"run_attempt": None}, "claim run_attempt"),
        ({"exp": Ahead(-1)}, "expired"),
        ({"exp": None}, "from when"),
        ({"iat": None}, "from when"),
        ({"exp": True}, "from when"),
        ({"iat": Ahead(600), "exp": Ahead(900)}, "future"),
        ({"nbf": Ahead(600)}, "future"),
        ({"exp": Ahead(10 * 86400)}, "good for more"),
    ],
)
def test_claims_are_compared_exactly(site, claims, said):
    assert said in site.refused("github", site.github.token(**now_for(claims)))


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "machine:github"}, "iss and sub"),
        ({"sub": "ada@acme.example"}, "iss and sub"),
        ({"aud": CONTROL + "/"}, "aud is not"),
        ({"aud": "machine:robot"}, "aud is not"),
        ({"jti": None}, "no jti"),
        ({"exp": Ahead(3600)}, "good for more"),
        ({"exp": Ahead(-1)}, "expired"),
    ],
)
def test_a_jwt_by_an_own_key_is_for_us_and_short(site, claims, said):
    assert said in site.refused("robot", site.own_token(**now_for(claims)))


def test_a_key_that_was_taken_away_signs_nothing(site):
    other = jwk.ECKey.generate_key("P-256", {"kid": "own"})
    site.refused("robot", site.own_token(key=other))
    client = site.sign_in("robot", site.own_token())
    public = json.dumps({"keys": [other.as_dict(private=False)]})
    site.set(robot=replace(site.machines["robot"], public_keys=public))
    with pytest.raises(Refused) as ended:
        client.certificate("web1")
    assert ended.value.status == 401, "whatever was changed is signed out"
    site.refused("robot", site.own_token())
    site.sign_in("robot", site.own_token(key=other))


def test_an_issuer_that_does_not_answer_refuses_nobody_for_good(site):
    """503: nothing was decided. Its keys are kept, so only a new kid needs it, and it is asked again in a while."""
    site.sign_in("github", site.github.token())
    keys = site.control.services.machines._keys
    keys._held.clear()
    for broken in (
        httpx2.Response(500),
        httpx2.Response(200, content=b"<html>"),
        httpx2.Response(200, content=json.dumps({"issuer": "https://evil.example"}).encode()),
        httpx2.Response(200, content=b"x" * 300_000),
        httpx2.Response(302, headers={"location": "https://evil.example"}),
    ):
        site.github.broken = broken
        with pytest.raises(Refused) as no:
            site.sign_in("github", site.github.token())
        assert (no.value.status, no.value.code) == (503, "issuer")
        keys._failed.clear()  # as half a minute does
    site.github.broken = None
    site.sign_in("github", site.github.token())


def test_strange_kids_do_not_make_us_ask_again_and_again(site):
    site.sign_in("github", site.github.token())
    before = len(site.github.asked)
    for number in range(5):
        site.refused("github", site.github.token(header={"kid": f"k{number}"}))
    assert len(site.github.asked) == before


def test_a_role_of_the_same_name_elsewhere_or_made_anew_is_another(site):
    """CVE-2025-11621: bound are the account and the id of the role, not its name."""
    why = site.refused("ansible", site.caller(OTHER))
    assert OTHER in why
    site.refused("ansible", site.caller(role="WebServer"))
    site.sign_in("ansible", site.caller())
    with site.control.services.database.reading() as connection:
        query = select(machines.c.bound).where(machines.c.name == "ansible")
        bound = connection.scalar(query)
    roles = site.aws.aws.account(ACCOUNT).roles
    old = roles.get("ci")
    assert bound == old.id
    site.aws.aws.add_role(ACCOUNT, "ci", TRUST, path="/build/")
    try:
        assert "made anew" in site.refused("ansible", site.caller())
    finally:
        roles.put(old)
    site.sign_in("ansible", site.caller())


def test_a_role_id_that_was_set_is_the_only_one(site):
    other = (Label("role-id", "AROA000000000000000"),)
    site.set(ansible=replace(site.machines["ansible"], claims=other))
    assert "another role" in site.refused("ansible", site.caller())


def test_what_was_presigned_for_another_control_plane_is_no_use(site):
    session = session_of(site.aws, ACCOUNT, "ci", "run-1")
    for headers in ({"x-ostiary-control": "https://vault.example"}, {}):
        site.refused("ansible", presigned(session, headers=headers), "bad-aws-proof")


def test_a_machine_whose_owner_is_put_out_is_signed_out_and_stays_out(site):
    clients = [site.sign_in(name, site.proof(name)) for name in ("github", "robot")]
    assert {"machine:github", "machine:robot"} <= site.sessions()
    site.put_out()
    assert site.sessions() == set()
    for client in clients:
        with pytest.raises(Refused) as no:
            client.certificate("web1")
        assert no.value.status == 401
    assert "put out at the org" in site.refused("github", site.github.token(), "no-owner")


def test_an_owner_of_whom_nothing_was_heard_for_long_answers_for_nobody(site):
    with site.control.services.database.writing() as connection:
        old = people_table.c.login == OWNER
        connection.execute(update(people_table).where(old).values(read=time.time() - 400))
    assert "was last read" in site.refused("github", site.github.token(), "stale")


def test_an_owner_who_never_signed_in_is_nobody(site):
    site.set(github=replace(site.machines["github"], owner="bob@acme.example"))
    assert "never signed in" in site.refused("github", site.github.token(), "no-owner")


def test_a_machine_ends_on_its_day(site):
    client = site.sign_in("github", site.github.token())
    site.set(github=replace(site.machines["github"], until=time.time() - 1))
    site.refused("github", site.github.token(), "no-owner")
    with pytest.raises(Refused) as no:
        client.certificate("web1")
    assert no.value.status == 401
    soon = time.time() + 120
    site.set(github=replace(site.machines["github"], until=soon))
    assert site.sign_in("github", site.github.token()).session.expires == pytest.approx(soon, abs=2)


def test_a_machine_that_is_taken_away_is_signed_out(site):
    client = site.sign_in("robot", site.own_token())
    site.set(robot=None)
    with pytest.raises(Refused) as no:
        client.certificate("web1")
    assert no.value.status == 401
    site.refused("robot", site.own_token())


def test_a_machine_has_its_rate_and_no_more(site):
    """Counted where certificates are written down: of many that come at once no more get one."""
    clients = [site.sign_in("ansible", site.caller()) for _ in range(6)]

    def ask(client):
        try:
            return client.certificate("web1").login
        except Refused as no:
            return no.status, no.code

    with ThreadPoolExecutor(len(clients)) as pool:
        found = list(pool.map(ask, clients))
    assert sorted(found, key=str) == [(429, "machine-rate")] * 4 + ["machine-ansible"] * 2
    assert ask(site.sign_in("ansible", site.caller())) == (429, "machine-rate")


def test_a_machine_without_sub_cannot_be_set(site):
    bare = replace(site.machines["github"], claims=(Label("repository", "acme/infra"),))
    with pytest.raises(Refused) as no:
        site.set(github=bare)
    assert no.value.status == 400
    assert "every pipeline of the issuer" in no.value.refusal.why
    site.machines["github"] = replace(bare, claims=(Label("sub", SUB), Label("run_attempt", "1")))


def test_a_machine_is_no_administrator_and_no_person(site):
    client = site.sign_in("github", site.github.token())
    with pytest.raises(Refused):
        client.call("GET", "/v1/projects/prod", kind=admin.Project)
    with pytest.raises(Refused):
        client.call("POST", "/v1/projects", admin.NewProject("x", 60001, 63001), admin.Project)


class TestAdministration:
    """A pipeline that applies is a machine that the control plane was started with."""

    @pytest.fixture
    def site(self, tmp_path):
        site = Site(tmp_path, admin_machines=("robot",))
        yield site
        site.control.close()
        site.router.close()

    def test_a_machine_that_was_named_administers_and_others_do_not(self, site):
        robot = site.sign_in("robot", site.proof("robot"))
        assert [one.name for one in robot.call("GET", "/v1/projects", kind=admin.Projects).projects]
        robot.call("POST", "/v1/projects", admin.NewProject("dev", 70001, 73001), admin.Project)
        github = site.sign_in("github", site.proof("github"))
        with pytest.raises(Refused) as refused:
            github.call("POST", "/v1/projects", admin.NewProject("qa", 70001, 73001))
        assert refused.value.code == "not-permitted"

    def test_an_owner_cannot_become_it(self, site):
        """Owners set the machines of their project, so who holds that key would administer everything."""
        by = site.control.admin()
        now = by.call("GET", "/v1/projects/prod", kind=admin.Project)
        owned = replace(now.settings, owners=("platform",))
        wanted = admin.ProjectWanted(now.generation, owned, now.rules, now.machines)
        now = by.call("PUT", "/v1/projects/prod", wanted, admin.Project)
        olga = site.control.person("olga@acme.example", ["platform"])
        for some in (
            tuple(replace(one, until=one.until + 1) for one in now.machines),
            tuple(one for one in now.machines if one.name != "robot"),
        ):
            wanted = admin.ProjectWanted(now.generation, now.settings, now.rules, some)
            with pytest.raises(Refused) as refused:
                olga.call("PUT", "/v1/projects/prod", wanted)
            assert refused.value.code == "not-permitted"
        kept = tuple(one for one in now.machines if one.name != "github")
        wanted = admin.ProjectWanted(now.generation, now.settings, now.rules, kept)
        assert len(olga.call("PUT", "/v1/projects/prod", wanted, admin.Project).machines) == 2
