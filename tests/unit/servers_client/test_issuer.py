"""Signing in at an authorization server: what the client sends, and what it does not believe."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from urllib.parse import parse_qsl, urlsplit

import pytest

from ostiary.doors.servers.client import code_flow, issuer
from ostiary.doors.servers.client.browser import Returning
from ostiary.doors.servers.wire.person import SignInSettings
from ostiary.errors import Conflict, Denied, Unreachable, UsageError


def id_token(**claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.c2ln"


PENDING = (400, {"error": "authorization_pending"})
SLOW = (400, {"error": "slow_down"})


def test_the_device_flow_waits_as_it_is_told(org):
    org.answers["/token"] = [PENDING, SLOW, (200, {"id_token": "idt", "refresh_token": "rt"})]
    shown, waits = [], []
    tokens = issuer.by_device(org.found(), lambda *said: shown.append(said), waits.append)
    assert (tokens.id_token, tokens.refresh_token) == ("idt", "rt")
    assert waits == [5, 5, 10]
    assert shown == [(f"{org.url}/activate", "ABCD", f"{org.url}/activate?user_code=ABCD")]
    asked = dict(org.asked)
    assert asked["/device"] == {"client_id": "0oa1", "scope": "openid profile"}
    assert asked["/token"]["device_code"] == "dc"
    assert "idt" not in repr(tokens)


def test_the_device_flow_outlives_a_network_that_is_gone_for_a_while(org):
    found = org.found()
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 1:
            org.broken = True
        else:
            org.broken = False
            org.answers["/token"] = [(200, {"id_token": "idt"})]

    assert issuer.by_device(found, lambda *_: None, wait).id_token == "idt"
    assert waits == [5, 10]


@pytest.mark.parametrize(
    "code", ["access_denied", "expired_token", "invalid_client", "server_error"]
)
def test_the_device_flow_ends_with_the_words_of_the_org(org, code):
    org.answers["/token"] = [PENDING, (400, {"error": code, "error_description": "because"})]
    with pytest.raises(Denied, match=f"{code}: because") as caught:
        issuer.by_device(org.found(), lambda *_: None, lambda _: None)
    assert caught.value.code == code


def test_a_device_code_that_is_no_more_ends_the_waiting(org):
    org.answers["/device"][0][1]["expires_in"] = 0.01
    org.answers["/token"] = [PENDING]
    with pytest.raises(Denied, match="expired_token"):
        issuer.by_device(org.found(), lambda *_: None, lambda _: threading.Event().wait(0.02))


def test_another_issuers_document_is_refused(org):
    org.document["issuer"] = "https://evil.example"
    with pytest.raises(Denied, match=r"evil\.example"):
        org.found()


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"{" * 5000])
def test_what_is_no_document_is_refused(org, body):
    org.answers["/.well-known/openid-configuration"] = [(200, body)]
    with pytest.raises(Denied):
        org.found()


def test_an_org_without_device_flow_is_said_so(org):
    del org.document["device_authorization_endpoint"]
    with pytest.raises(Denied, match="no device flow") as caught:
        issuer.by_device(org.found(), lambda *_: None)
    assert caught.value.fix == "run: ostiary login --browser"


@pytest.mark.parametrize("lacks", ["user_code", "verification_uri"])
def test_an_answer_that_says_nothing_to_show_is_refused(org, lacks):
    del org.answers["/device"][0][1][lacks]
    with pytest.raises(Denied, match=f"lacks one of .*{lacks}"):
        issuer.by_device(org.found(), lambda *_: None)


def test_endpoints_in_the_clear_are_not_used(org):
    org.document["device_authorization_endpoint"] = "http://org.example/device"
    org.document["authorization_endpoint"] = "http://org.example/authorize"
    with pytest.raises(UsageError, match="in the clear"):
        issuer.by_device(org.found(), lambda *_: None)
    with pytest.raises(UsageError, match="in the clear"):
        code_flow.begin_code(org.found(), "http://127.0.0.1:1/callback")


@pytest.mark.parametrize(
    "url", ["https://a.example/`id`", "https://a.example/';id;'", "https://a.example/\nx"]
)
def test_addresses_that_mean_more_to_a_shell_are_not_opened(org, url):
    org.document["authorization_endpoint"] = url
    with pytest.raises(UsageError):
        code_flow.begin_code(org.found(), "http://127.0.0.1:1/callback")


def test_nobody_there_is_said_so():
    with pytest.raises(Unreachable):
        issuer.discover(SignInSettings("http://127.0.0.1:1", "0oa1", ("openid",)))


def begun(org, **more):
    return code_flow.begin_code(org.found(), "http://127.0.0.1:1/callback", **more)


def test_a_code_is_redeemed_by_who_asked_for_it(org):
    found, code = org.found(), begun(org, acr_values="phr", max_age=0)
    query = dict(parse_qsl(urlsplit(code.url).query))
    assert (query["acr_values"], query["max_age"], query["scope"]) == ("phr", "0", "openid profile")
    org.answers["/token"] = [(200, {"id_token": id_token(nonce=query["nonce"])})]
    tokens = code_flow.redeem(found, code, {"state": query["state"], "code": "c1"})
    assert tokens.refresh_token == ""
    path, form = org.asked[-1]
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == query["code_challenge"]
    assert (path, form["code"], form["redirect_uri"]) == ("/token", "c1", code.redirect)
    assert code.verifier not in repr(code)


@pytest.mark.parametrize("state", [{}, {"state": "other"}, {"state": "é"}])
def test_an_answer_to_another_question_is_refused(org, state):
    with pytest.raises(Denied, match="not asked for by this run"):
        code_flow.redeem(org.found(), begun(org), {**state, "code": "c1"})
    assert "/token" not in dict(org.asked)


def test_an_id_token_of_another_run_is_refused(org):
    code = begun(org)
    for token in (id_token(nonce="other"), id_token(), "x", "a.b.c"):
        org.answers["/token"] = [(200, {"id_token": token})]
        with pytest.raises(Denied, match="another run"):
            code_flow.redeem(org.found(), code, {"state": code.state, "code": "c1"})


def test_no_id_token_is_said_so(org):
    code = begun(org)
    org.answers["/token"] = [(200, {"access_token": "a"})]
    with pytest.raises(Denied, match="scope openid"):
        code_flow.redeem(org.found(), code, {"state": code.state, "code": "c1"})


def test_the_org_refuses_in_the_browser(org):
    code = begun(org)
    answer = {"state": code.state, "error": "access_denied", "error_description": "not assigned"}
    with pytest.raises(Denied, match="access_denied: not assigned"):
        code_flow.redeem(org.found(), code, answer)


def test_the_browser_comes_back_once_and_only_to_the_path():
    with Returning(0) as returning:
        got = []
        waiting = threading.Thread(target=lambda: got.append(returning.wait(10)))
        waiting.start()
        base = returning.address.removesuffix("/callback")
        assert issuer.fetch(f"{base}/favicon.ico")[0] == 404
        assert issuer.fetch(f"{returning.address}?state=s&code=c")[0] == 200
        waiting.join(10)
        assert got == [{"state": "s", "code": "c"}]


def test_where_no_browser_is_it_is_said_so():
    code = (
        "from ostiary.doors.servers.client import browser; browser.show('https://a.example', print)"
    )
    environ = {"PATH": "/nowhere", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert "sign in at: https://a.example\nno browser was found here" in done.stdout


@pytest.mark.parametrize(
    "query", ["state=other&code=c", "code=c", "state=other&error=access_denied"]
)
def test_what_somebody_else_sends_ends_no_sign_in(query):
    with Returning(0) as returning:
        got = []
        waiting = threading.Thread(target=lambda: got.append(returning.wait(10, state="s")))
        waiting.start()
        assert issuer.fetch(f"{returning.address}?{query}")[0] == 404
        assert issuer.fetch(f"{returning.address}?state=s&code=c")[0] == 200
        waiting.join(10)
        assert got == [{"state": "s", "code": "c"}]


def test_a_browser_that_does_not_come_back_is_not_waited_for():
    with Returning(0) as returning, pytest.raises(Denied, match="did not come back"):
        returning.wait(0.05)


def test_a_port_that_is_taken_is_said_so():
    with Returning(0) as first:
        port = int(first.address.split(":")[2].partition("/")[0])
        with pytest.raises(Conflict, match=f"port {port}"):
            Returning(port)


def test_a_port_that_the_last_sign_in_had_is_free_at_once():
    """The one that answers closes first, so that the kernel keeps the port in TIME_WAIT."""
    with Returning(0) as first:
        port = int(first.address.split(":")[2].partition("/")[0])
        waiting = threading.Thread(target=first.wait, args=(10,))
        waiting.start()
        assert issuer.fetch(f"{first.address}?state=s&code=c")[0] == 200
        waiting.join(10)
    with Returning(port) as again:
        assert again.address == first.address
