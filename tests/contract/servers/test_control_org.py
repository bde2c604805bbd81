"""The control plane with an embedded Okta org: who signs in, who is put out, and what happens when the org is away."""

import threading
import time

import httpx2
import pytest
from control_world import ADMINS, ControlWorld, Refused
from okta_world import cut_off, make_client, make_world, user_id

from ostiary.connect import Transports
from ostiary.connect_control import control_org
from ostiary.doors.servers.control.duties import Duties
from ostiary.doors.servers.control.freshness import LATE, STALE
from ostiary.doors.servers.wire import admin
from ostiary.doors.servers.wire.admin import Rule
from ostiary.doors.servers.wire.person import SignInSettings
from ostiary.errors import Interrupted, UsageError
from ostiary.sandbox.adapters import OktaTransport
from ostiary.sandbox.okta.objects import Proven

ORG = "https://acme.okta.com"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
SCOPE = "openid profile email groups"


class Site:
    """``ostiary serve`` before the org, with its duties running; ann is in platform, which may enter web1."""

    def __init__(self, folder, *, database="", server="", api=True):
        self.okta = make_world()
        self.okta.clock._frozen = None
        org = self.okta.okta
        org.scale = 2.0
        org.add_authorization_server("default")
        self.app = org.add_native_app("Servers", groups=("Everyone",), refresh="ROTATE")
        org.add_user("root@acme.example", "x", first="Root", last="Ace", groups=(ADMINS,))
        self.server = f"{server}/" if server else ""
        issuer = f"{ORG}/oauth2/{server}" if server else ORG
        transport = OktaTransport(self.okta)
        self.http = httpx2.Client(transport=transport)
        self.ahead = 0.0
        environ = {"OKTA_CLIENT_TOKEN": org.api_token} if api else {}
        okta = control_org(issuer, transports=Transports(okta=transport), environ=environ)
        self.control = ControlWorld(
            database or f"sqlite:///{folder}/control.db",
            folder,
            clock=lambda: time.time() + self.ahead,
            transport=transport,
            settings={"issuer": issuer, "client_id": self.app.id},
            okta=okta,
        )
        self.duties = Duties(self.control.services.duties)

    def close(self):
        self.duties.close()
        self.control.close()

    def tokens(self, name, scope=SCOPE):
        """By device flow, which somebody confirmed in a browser."""
        form = {"client_id": self.app.id}
        base = f"{ORG}/oauth2/{self.server}v1"
        begun = self.http.post(f"{base}/device/authorize", data={**form, "scope": scope}).json()
        grant = self.okta.okta.device_grants[begun["device_code"]]
        who = user_id(self.okta, name)
        grant.proven = Proven(who, True, self.okta.clock.now(), server=self.server.strip("/"))
        form |= {"grant_type": DEVICE, "device_code": begun["device_code"]}
        return self.http.post(f"{base}/token", data=form).json()

    def sign_in(self, name, tokens=None):
        found = tokens or self.tokens(name)
        client = self.control.client()
        client.sign_in(found["id_token"], refresh_token=found.get("refresh_token", ""))
        return client

    def project(self):
        by = self.sign_in("root")
        made = by.call(
            "POST", "/v1/projects", admin.NewProject("prod", 60001, 63001), admin.Project
        )
        wanted = admin.ProjectWanted(
            made.generation, admin.Settings(), (Rule("group:platform", login=True),)
        )
        by.call("PUT", "/v1/projects/prod", wanted, admin.Project)
        token = by.call(
            "POST", "/v1/projects/prod/tokens", admin.NewToken(1, 600.0), admin.MadeToken
        ).token
        host = self.control.host()
        host.enroll(token, "web1")
        return host

    def lifecycle(self, name, verb):
        make_client(self.okta).post(f"/users/{user_id(self.okta, name)}/lifecycle/{verb}", {})

    def status(self, client):
        return client.call("GET", "/v1/status", kind=admin.Status)

    def until(self, seconds, wanted):
        """Wait until ``wanted()`` says something; how long it took."""
        began = time.monotonic()
        while not wanted():
            assert time.monotonic() - began < seconds, self.duties.problems()
            time.sleep(0.05)
        return time.monotonic() - began


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture
def on_both(database_url, tmp_path):
    site = Site(tmp_path, database=database_url)
    yield site
    site.close()


def refusal(client):
    try:
        client.certificate("web1")
    except Refused as no:
        return no.code
    return ""


def test_a_thin_id_token_is_enough_and_the_groups_are_the_orgs(site):
    site.project()
    ann = site.sign_in("ann")
    assert ann.session.person == "ann@acme.example"
    assert ann.certificate("web1").login == "ann"
    cara = site.sign_in("cara")
    assert refusal(cara) == "no-server"
    settings = site.control.client().call("GET", "/v1/sign-in", kind=SignInSettings)
    assert settings.scopes == ("openid", "profile", "email", "groups")


@pytest.mark.parametrize("verb", ["deactivate", "suspend"])
def test_who_is_put_out_at_the_org_gets_no_certificate_within_five_seconds(on_both, verb):
    """C12, and negative test 7: and hosts hear that the LocalUser is to go."""
    site = on_both
    host = site.project()
    ann = site.sign_in("ann")
    ann.certificate("web1")
    assert [one.login for one in host.state().users] == ["ann"]
    unused = site.tokens("ann")
    site.lifecycle("ann", verb)
    assert site.until(5, lambda: refusal(ann)) < 5
    assert refusal(ann) == "no-session"
    site.until(5, lambda: host.state().users == ())
    with pytest.raises(Refused) as no:
        site.sign_in("ann", unused)
    assert no.value.code == "inactive"


def test_a_sign_in_is_of_who_approved_it_and_not_of_who_began_it(site):
    """N15: ann is signed in at her machine and begins anew; cara approves the code that it shows, then ann one of cara's."""
    site.project()
    ann = site.sign_in("ann")
    at_anns = site.sign_in("cara")
    assert at_anns.session.person == "cara@acme.example"
    assert refusal(at_anns) == "no-server", "nothing of what ann may"
    assert ann.certificate("web1").login == "ann", "the session of before is another"
    tokens = site.tokens("ann")
    at_caras = site.sign_in("ann", tokens)
    assert at_caras.session.person == "ann@acme.example"
    with pytest.raises(Refused) as no:
        site.sign_in("cara", tokens)
    assert no.value.status == 401, "one approval is one session"
    site.lifecycle("ann", "suspend")
    site.until(5, lambda: refusal(at_caras))
    assert refusal(at_caras) == "no-session", "it ends with ann, wherever it is"


def test_who_leaves_a_group_loses_what_it_gave_within_five_seconds(site):
    site.project()
    ann = site.sign_in("ann")
    ann.certificate("web1")
    org = site.okta.okta
    path = f"/groups/{org.group('platform').id}/users/{user_id(site.okta, 'ann')}"
    make_client(site.okta).delete(path)
    assert site.until(5, lambda: refusal(ann)) < 5
    assert refusal(ann) == "no-server"
    make_client(site.okta).put(path, {})
    site.until(5, lambda: not refusal(ann))


def test_an_org_that_cannot_be_read_is_red_and_then_stops_everybody(site):
    """Nobody is removed; after five minutes nobody is let in either, not even who signed in before."""
    host = site.project()
    ann = site.sign_in("ann")
    ann.certificate("web1")
    site.until(5, site.control.services.freshness.read_at)
    assert site.status(ann).problems == ()
    assert site.status(ann).okta_interval == 1.0
    with cut_off(site.okta):
        site.until(10, site.duties.problems)
        site.ahead = LATE + 5
        assert "changes at the org are late" in site.status(ann).problems[-1]
        assert refusal(ann) == ""
        site.ahead = STALE + 5
        assert "no certificates" in site.status(ann).problems[-1]
        assert refusal(ann) == "stale"
        assert [one.login for one in host.state().users] == ["ann"]
    site.until(10, lambda: not refusal(ann))


def test_without_access_to_the_api_a_custom_server_tells_the_groups(tmp_path):
    site = Site(tmp_path, server="default", api=False)
    try:
        settings = site.control.client().call("GET", "/v1/sign-in", kind=SignInSettings)
        assert settings.scopes == ("openid", "profile", "email", "offline_access")
        tokens = {
            name: site.tokens(name, " ".join(settings.scopes)) for name in ("root", "ann", "ben")
        }
        by = site.sign_in("root", tokens["root"])
        made = by.call(
            "POST", "/v1/projects", admin.NewProject("prod", 60001, 63001), admin.Project
        )
        rules = (Rule("group:platform", login=True),)
        wanted = admin.ProjectWanted(made.generation, admin.Settings(), rules)
        by.call("PUT", "/v1/projects/prod", wanted, admin.Project)
        token = by.call(
            "POST", "/v1/projects/prod/tokens", admin.NewToken(1, 600.0), admin.MadeToken
        ).token
        site.control.host().enroll(token, "web1")
        ann, ben = site.sign_in("ann", tokens["ann"]), site.sign_in("ben", tokens["ben"])
        ann.certificate("web1")
        ben.certificate("web1")
        site.lifecycle("ann", "deactivate")
        site.ahead = 130.0
        site.until(10, lambda: [refusal(one) for one in (ann, ben)] == ["no-session", ""])
    finally:
        site.close()


def test_who_was_put_out_before_they_first_came_does_not_come_in_by_an_old_token(tmp_path):
    """The log told of somebody whom nobody knew here; the token has groups, and is good for an hour."""
    site = Site(tmp_path, server="default")
    try:
        tokens = {name: site.tokens(name, "openid profile email") for name in ("ann", "ben")}
        site.lifecycle("ann", "deactivate")
        site.ahead = 61.0
        with pytest.raises(Refused) as no:
            site.sign_in("ann", tokens["ann"])
        assert (no.value.status, no.value.code) == (403, "inactive")
        assert site.sign_in("ben", tokens["ben"]).session.login == "ben"
    finally:
        site.close()


def test_credentials_go_nowhere_but_by_https():
    with pytest.raises(UsageError, match="but by https"):
        control_org("http://acme.okta.com", environ={"OKTA_CLIENT_TOKEN": "x"})
    with pytest.raises(UsageError, match="private key"):
        control_org(ORG, client_id="0oa", environ={})
    assert control_org(ORG, environ={}) is None


def test_a_sign_in_does_not_wait_for_the_orgs_limit(site):
    tokens = site.tokens("ann")
    site.okta.switches.throttle_share = 1.0
    began = time.monotonic()
    with pytest.raises(Refused) as no:
        site.sign_in("ann", tokens)
    assert (no.value.status, no.value.code) == (503, "busy")
    assert time.monotonic() - began < 8
    site.okta.switches.throttle_share = 0.0
    site.sign_in("ann", tokens)


def test_a_reader_that_waits_for_the_orgs_limit_ends_at_once():
    """SIGTERM does not wait until Okta lets us ask again."""
    world, stopping = make_world(), threading.Event()
    world.clock._frozen = None
    world.switches.throttle_share = 1.0
    transports, environ = (
        Transports(okta=OktaTransport(world)),
        {"OKTA_CLIENT_TOKEN": world.okta.api_token},
    )
    okta = control_org(ORG, transports=transports, environ=environ, stopping=stopping)
    threading.Timer(0.2, stopping.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        okta.get("/users/me")
    assert time.monotonic() - began < 5
