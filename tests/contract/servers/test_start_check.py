"""What a control plane says, before it serves, of an org that it was told wrong."""

import httpx2
import pytest
from okta_world import make_world

from ostiary.connect import Transports
from ostiary.connect_control import control_org
from ostiary.doors.servers.control import start_check
from ostiary.errors import NotFound, OstiaryError, UsageError
from ostiary.sandbox.adapters import OktaTransport

ORG = "https://acme.okta.com"
GROUP = "platform"


@pytest.fixture
def site():
    """An org with a native app; what it says of a start with these words."""
    world = make_world()
    world.okta.add_authorization_server("default")
    app = world.okta.add_native_app("Servers", groups=("Everyone",))
    transport = OktaTransport(world)

    def tried(issuer=ORG, client_id=app.id, group=GROUP, token=world.okta.api_token):
        environ = {"OKTA_CLIENT_TOKEN": token} if token else {}
        okta = control_org(issuer, transports=Transports(okta=transport), environ=environ)
        try:
            with httpx2.Client(transport=transport) as http:
                return list(start_check.warnings(http, issuer, client_id, group, okta))
        finally:
            if okta is not None:
                okta.close()

    return tried


def test_of_what_is_right_nothing_is_said(site):
    assert site() == []
    assert site(f"{ORG}/oauth2/default") == []
    assert site(token="") == []


def test_another_issuer_ends_the_start(site):
    with pytest.raises(UsageError) as no:
        site("https://ACME.okta.com")
    assert no.value.what == "cannot use https://ACME.okta.com as issuer"
    assert no.value.why == f"its discovery document is of the issuer '{ORG}'"
    assert no.value.fix == f"start with: --issuer {ORG}"


@pytest.mark.parametrize(
    ("issuer", "kind"), [(f"{ORG}/oauth2/none", NotFound), ("acme", UsageError)]
)
def test_what_is_no_issuer_ends_the_start(site, issuer, kind):
    with pytest.raises(kind) as no:
        site(issuer, token="")
    assert no.value.what == f"cannot use {issuer} as issuer"
    assert no.value.fix.startswith("correct --issuer: https://ORG.okta.com")


def test_an_org_that_is_away_is_a_warning_and_nothing_else_of_it_is_asked():
    asked = []

    def away(request):
        asked.append(request.url)
        raise httpx2.ConnectError("no route to host")

    transport = httpx2.MockTransport(away)
    environ = {"OKTA_CLIENT_TOKEN": "00token"}
    okta = control_org(ORG, transports=Transports(okta=transport), environ=environ)
    with httpx2.Client(transport=transport) as http:
        lines = list(start_check.warnings(http, ORG, "0oaNobody", "platfrom", okta))
    okta.close()
    assert lines == [f"nobody can sign in until {ORG} answers: no route to host"]
    assert asked == [f"{ORG}/.well-known/openid-configuration"]


@pytest.mark.parametrize("issuer", [ORG, f"{ORG}/oauth2/default"])
def test_a_client_that_the_issuer_does_not_know_is_said(site, issuer):
    (line,) = site(issuer, client_id="0oaNobody")
    assert line == (
        f"nobody can sign in: {issuer} knows no client 0oaNobody that needs no secret:"
        " --client-id is the id of an active native OIDC app"
    )


def test_a_group_that_the_org_does_not_have_is_said_to_the_letter(site):
    for name in ("Platform", "platfrom"):
        (line,) = site(group=name)
        assert line == (
            f"nobody can administer: the org has no group of exactly the name {name} (--admin-group)"
        )


def test_without_access_to_the_api_the_group_cannot_be_told(site):
    assert site(group="platfrom", token="") == []
    (line,) = site(group=GROUP, token="00wrong")
    assert line.startswith(f"cannot tell whether there is a group {GROUP} (--admin-group): ")


def test_answers_of_others_are_no_discovery_document():
    """A proxy's page, or a list, is an org that is away: a start goes on."""

    def served(content, status=200):
        return httpx2.MockTransport(lambda _: httpx2.Response(status, content=content))

    for transport in (served(b"<html>"), served(b"[]"), served(b"{}"), served(b"{}", 407)):
        with httpx2.Client(transport=transport) as http:
            (line,) = start_check.warnings(http, ORG, "0oa", GROUP, None)
        assert line.startswith(f"nobody can sign in until {ORG} answers: ")


def test_every_error_is_one_of_the_tree(site):
    for issuer in ("https://", "https://acme.okta.com:x", "ftp://acme.okta.com", "https://a b"):
        with pytest.raises(OstiaryError):
            site(issuer, token="")
