"""Who is still active, asked of the issuer by refresh tokens: what ends somebody, and what only ages them."""

import httpx2
import pytest
from okta_world import make_client, make_world, user_id
from sqlalchemy import insert, select, update

from ostiary.doors.servers.control import people
from ostiary.doors.servers.control.database import Database
from ostiary.doors.servers.control.identity import TokenVerifier
from ostiary.doors.servers.control.lease import Lease
from ostiary.doors.servers.control.people import Person
from ostiary.doors.servers.control.refresh import DUTY, EVERY, Refresher, RefreshTokens
from ostiary.doors.servers.control.tables import METADATA, sessions
from ostiary.doors.servers.control.tables import people as people_table
from ostiary.doors.servers.control.token_endpoint import TokenEndpoint
from ostiary.doors.servers.control.writer import Writer
from ostiary.errors import Denied, OstiaryError
from ostiary.sandbox.adapters import OktaTransport
from ostiary.sandbox.okta.objects import Proven

ISSUER = "https://acme.okta.com/oauth2/default"
SCOPE = "openid profile offline_access"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Site:
    """One embedded org, one database, and the duty between them."""

    def __init__(self, folder, rotation="STATIC"):
        self.world = make_world()
        self.clock = self.world.clock.now
        org = self.world.okta
        org.add_authorization_server("default")
        self.app = org.add_native_app("Servers", groups=("Everyone",), refresh=rotation)
        self.database = Database(f"sqlite:///{folder}/control.db")
        METADATA.create_all(self.database.engine)
        self.writer = Writer(self.database)
        self.http = httpx2.Client(transport=OktaTransport(self.world))
        self.tokens = RefreshTokens(b"k" * 32)
        endpoint = TokenEndpoint(self.http, ISSUER, self.app.id)
        verifier = TokenVerifier(ISSUER, self.app.id, self.keys, self.clock)
        self.refresher = Refresher(
            self.database, self.writer, self.tokens, endpoint, verifier, clock=self.clock
        )
        self.endpoint = endpoint
        self.lease = Lease(self.database, DUTY)

    def keys(self):
        return self.http.get(f"{ISSUER}/v1/keys").json()

    def close(self):
        self.refresher.close()
        self.writer.close()
        self.database.close()

    def signs_in(self, name):
        """By device flow, as far as the control plane meets it: a person, a session and a refresh token."""
        org, form = self.world.okta, {"client_id": self.app.id}
        begun = self.http.post(f"{ISSUER}/v1/device/authorize", data={**form, "scope": SCOPE})
        code = begun.json()["device_code"]
        known = user_id(self.world, name)
        org.device_grants[code].proven = Proven(known, False, self.clock(), server="default")
        form |= {"grant_type": DEVICE, "device_code": code}
        given = self.http.post(f"{ISSUER}/v1/token", data=form).json()
        person = Person(known, f"{name}@acme.example", ("Everyone",), True, self.clock())

        def work(connection, ledger):
            people.keep(connection, ledger, person)
            self.tokens.keep(connection, known, given["refresh_token"])
            connection.execute(
                insert(sessions).values(hash=code, person_id=known, device="", expires=9e9)
            )

        self.writer.write([], work)
        return given["refresh_token"]

    def round(self):
        assert self.lease.hold()
        return self.refresher(self.lease)

    def later(self, seconds=EVERY + 1):
        self.world.clock.advance(seconds)

    def person(self, name):
        with self.database.reading() as connection:
            return people.get(connection, user_id(self.world, name))

    def sealed(self, name):
        with self.database.reading() as connection:
            query = select(people_table.c.refresh)
            return connection.scalar(query.where(people_table.c.id == user_id(self.world, name)))

    def sessions(self):
        with self.database.reading() as connection:
            return len(connection.execute(select(sessions)).all())

    def lifecycle(self, name, verb):
        path = f"/users/{user_id(self.world, name)}/lifecycle/{verb}"
        make_client(self.world).post(path, {})


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.close()


def test_an_active_person_stays_and_their_groups_are_read_again(site):
    site.signs_in("ann")
    site.round()
    assert site.person("ann").read == site.clock(), "not due yet, and not tried"
    site.world.okta.join("ann@acme.example", "sre")
    site.later()
    site.round()
    assert site.person("ann").groups == ("Everyone", "platform", "sre")
    assert site.person("ann").read == site.clock()


@pytest.mark.parametrize("verb", ["deactivate", "suspend"])
def test_who_is_put_out_loses_sessions_and_certificates(site, verb):
    site.signs_in("ann")
    site.signs_in("ben")
    site.lifecycle("ann", verb)
    site.later()
    site.round()
    assert not site.person("ann").active
    assert site.person("ann").groups == ("Everyone",)
    assert site.sealed("ann") is None
    assert (site.person("ben").active, site.sessions()) == (True, 1)


def test_a_rotated_token_is_kept_before_the_next_try(tmp_path):
    site = Site(tmp_path, "ROTATE")
    first = site.signs_in("ann")
    for _ in range(4):
        site.later()
        site.round()
    assert site.person("ann").active
    assert site.tokens.open(user_id(site.world, "ann"), site.sealed("ann")) != first
    site.close()


def broken(error=None, status=200, body=b"{}"):
    def answer(request):
        if error:
            raise error
        return httpx2.Response(status, content=body, headers={"content-type": "application/json"})

    return httpx2.Client(transport=httpx2.MockTransport(answer))


@pytest.mark.parametrize(
    "http",
    [
        broken(httpx2.ConnectError("refused")),
        broken(httpx2.ReadTimeout("slow")),
        broken(status=503, body=b'{"error":"invalid_grant"}'),
        broken(status=429, body=b'{"error":"invalid_grant"}'),
        broken(status=400, body=b'{"error":"invalid_client"}'),
        broken(status=401, body=b'{"error":"invalid_client"}'),
        broken(status=400, body=b"<html>"),
        broken(body=b"{}"),
        broken(body=b'{"access_token":"of whom?"}'),
        broken(body=b'{"access_token":"x","id_token":"e30.e30.e30"}'),
    ],
    ids=["refused", "slow", "503", "429", "client", "401", "html", "empty", "nobody", "forged"],
)
def test_what_says_nothing_of_the_person_only_ages_them(site, http):
    site.signs_in("ann")
    before, sealed = site.person("ann"), site.sealed("ann")
    site.later()
    site.endpoint._described()
    site.endpoint._http = http
    with pytest.raises(OstiaryError):
        site.round()
    assert (site.person("ann"), site.sealed("ann")) == (before, sealed)
    assert site.sessions() == 1
    site.endpoint._http = site.http
    site.later()
    site.round()
    assert site.person("ann").read == site.clock()


def test_a_token_of_another_person_renews_nobody(site):
    """A row that somebody copied in the database does not open; a token of another does not count for this one."""
    site.signs_in("ann")
    token = site.signs_in("ben")
    ann = user_id(site.world, "ann")
    with site.database.writing() as connection:
        stolen = people_table.c.id == ann
        connection.execute(update(people_table).where(stolen).values(refresh=site.sealed("ben")))
    with pytest.raises(Denied, match="cannot open"):
        site.tokens.open(ann, site.sealed("ann"))
    with site.database.writing() as connection:
        site.tokens.keep(connection, ann, token)
    site.later()
    with pytest.raises(Denied, match="answered for"):
        site.round()
    assert site.person("ann").read < site.clock()


def test_a_sign_in_meanwhile_is_not_undone(site):
    """The old token was refused while ann signed in anew: the answer to it says nothing of the new one."""
    site.signs_in("ann")
    site.world.okta.refresh_tokens.clear()
    site.later()
    due = site.refresher._due()
    site.signs_in("ann")
    found = site.refresher._try(due[0])
    assert not found.person.active
    assert site.lease.hold()
    site.refresher._keep(site.lease, found)
    assert site.person("ann").active
    assert site.sealed("ann") is not None


def test_a_refresh_token_is_nowhere_in_the_database(site, tmp_path):
    token = site.signs_in("ann")
    site.writer.close()
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert token.encode() not in held
    assert token not in repr(site.refresher._due())


def test_scopes_are_those_that_the_issuer_knows(site):
    wanted = ("openid", "profile", "groups", "offline_access")
    assert site.endpoint.scopes(wanted) == ("openid", "profile", "offline_access")
    own = TokenEndpoint(site.http, "https://acme.okta.com", site.app.id)
    assert own.scopes(wanted) == wanted


def test_a_discovery_document_of_another_issuer_is_not_taken(site):
    other = TokenEndpoint(site.http, "https://acme.okta.com/", site.app.id)
    with pytest.raises(OstiaryError, match="another issuer"):
        other.renew("x")
