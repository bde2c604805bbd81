"""Errors of calls say what was wanted of what, never a method and a path."""

import pytest

from ostiary.doors.servers.client.purposes import PURPOSES, purpose
from ostiary.doors.servers.control import (
    api_authorities,
    api_people,
    api_preauthorizations,
    api_projects,
    api_status,
    audit_api,
    machines,
)
from ostiary.doors.servers.wire.admin import NewPreauthorization, NewProject, Rotation
from ostiary.doors.servers.wire.person import CertificateRequest, MachineSignIn

ENDPOINTS = [
    one
    for module in (
        api_authorities,
        api_people,
        api_preauthorizations,
        api_projects,
        api_status,
        audit_api,
        machines,
    )
    for one in module.ENDPOINTS
]
MESSAGES = {
    "/v1/projects": NewProject("prod", 70001, 73001),
    "/v1/projects/{name}/authorities": Rotation("user", "begin"),
    "/v1/projects/{name}/preauthorizations": NewPreauthorization("a@b", 60.0, "change 7"),
    "/v1/certificates": CertificateRequest("web1", "ssh-ed25519 AAAA", "login"),
    "/v1/machines/sign-in": MachineSignIn("deploy", "oidc", "proof"),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_every_endpoint_that_is_not_of_hosts_has_words(endpoint):
    path = endpoint.path.replace("{name}", "a%2Fb").replace("{id}", "srv_1")
    said = purpose(endpoint.method, path, MESSAGES.get(endpoint.path))
    assert "/v1" not in said
    assert ("a/b" in said) is ("{name}" in endpoint.path)
    assert ("srv_1" in said) is ("{id}" in endpoint.path)


def test_there_are_no_words_for_what_is_no_endpoint():
    assert len(PURPOSES) == len({call for call, _ in PURPOSES}) == len(ENDPOINTS)


def test_they_name_what_was_sent():
    prod, user = NewProject("prod", 70001, 73001), Rotation("user", "begin")
    assert purpose("POST", "/v1/projects", prod) == "create project prod"
    said = purpose("POST", "/v1/projects/prod/authorities", user)
    assert said == "rotate the user authority of project prod, step begin"
    assert purpose("DELETE", "/v1/projects/prod/tokens/tok_1") == (
        "revoke enrollment token tok_1 of project prod"
    )
    assert purpose("GET", "/v1/projects/prod/audit?after=7") == "read the audit of project prod"


def test_a_call_without_words_is_itself():
    assert purpose("GET", "/v2/new") == "GET /v2/new"
    assert purpose("POST", "/v1/projects") == "POST /v1/projects"
