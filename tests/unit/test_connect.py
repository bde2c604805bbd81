"""What ``connect`` tells the guard to keep its hands off."""

import httpx2
import pytest

from ostiary.connect import connect
from ostiary.connect_runs import run_store
from ostiary.errors import UsageError
from ostiary.model.estate_text import parse
from ostiary.plan.guard import Overrides
from ostiary.settings import load

ESTATE = """
estate: acme
version: 1
org: {url: "https://acme.okta.com"}
organization:
  reach:
    plan: OstiaryPlan
    apply: OstiaryApply
    else: [AWSControlTowerExecution]
    accounts: {"210000000001": {apply: OddApply}}
  protect: {roles: ["BreakGlass*"]}
roles: {ReadOnly: {policies: ["aws:ReadOnlyAccess"]}}
assignments: [{group: sre, may: ReadOnly, in: [all]}]
"""


def test_the_roles_by_which_we_enter_are_protected_from_us_and_so_is_the_trust_of_named_ones():
    estate = parse(ESTATE, file="estate.yaml", env={}, read_file=str)
    connected = connect(
        estate, load(), purpose="apply", environ={"OKTA_CLIENT_TOKEN": "not-a-real-one"}
    )
    protected = set(connected.guard(Overrides()).protected)
    connected.close()
    for name in ("OstiaryPlan", "OstiaryApply", "AWSControlTowerExecution", "OddApply"):
        assert f"iam-role:{name}" in protected
    assert "iam-role:OrganizationAccountAccessRole" in protected
    assert {"iam-role:BreakGlass*", "trust-statement:BreakGlass*/*"} <= protected


def refused(url="https://acme.okta.com", token="a-token", **environ):
    text = ESTATE.replace("https://acme.okta.com", "${env:URL}")
    values = {"URL": url, "OKTA_CLIENT_TOKEN": token, **environ}
    estate = parse(text, file="estate.yaml", env=values, read_file=str)
    with pytest.raises(UsageError) as error:
        connect(estate, load(), purpose="plan", environ=values)
    return f"{error.value} {error.value.fix}"


@pytest.mark.parametrize(
    "url",
    ["http://acme.okta.com", "acme.okta.com", "https://", "https://me:s3cret@acme.okta.com"],
)
def test_a_token_goes_nowhere_but_by_https(url):
    said = refused(url=url)
    assert "it is not https://HOST" in said
    assert "s3cret" not in said


@pytest.mark.parametrize("token", ["s3cret\nmore", "s3crét", "s3 cret"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(token):
    said = refused(token=token)
    assert "API token of Okta org main" in said
    assert "s3" not in said


def test_a_line_end_after_a_token_is_left_out():
    estate = parse(ESTATE, file="estate.yaml", env={}, read_file=str)
    environ = {"OKTA_CLIENT_TOKEN": "a-token\n"}
    connected = connect(estate, load(), purpose="plan", environ=environ)
    request = httpx2.Request("GET", "https://acme.okta.com")
    next(connected.okta["main"].auth.auth_flow(request))
    connected.close()
    assert request.headers["authorization"] == "SSWS a-token"


def test_a_missing_ca_file_is_named_as_such(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")
    assert "SSL_CERT_FILE" in refused()


def test_runs_may_be_in_s3_although_no_organization_is_named():
    text = """
estate: acme
version: 1
runs: {store: "s3://acme-runs/ostiary", kms_key: alias/ostiary}
org: {url: "https://acme.okta.com"}
servers: {control: "https://control.acme.example"}
"""
    estate = parse(text, file="estate.yaml", env={}, read_file=str)
    environ = {"OKTA_CLIENT_TOKEN": "not-a-real-one"}
    connected = connect(estate, load(), purpose="apply", environ=environ)
    store, wrap = run_store(estate, connected)
    connected.close()
    assert connected.aws == {}
    assert (type(store).__name__, type(wrap).__name__) == ("S3RunStore", "KmsWrap")
