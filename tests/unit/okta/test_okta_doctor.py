"""What the doctor says of callers who may too little."""

from joserfc.jwk import ECKey
from okta_world import make_client

from ostiary.okta.auth import ServiceApp, Ssws
from ostiary.okta.doctor import NEEDED, okta_probes

KEY = ECKey.generate_key("P-256", parameters={"kid": "k1"})
ALL = {*NEEDED["plan"], *NEEDED["apply"], "okta.roles.read"}


def service(world, scopes, role):
    app = world.okta.add_service_app("o", [KEY.as_dict(private=False)], scopes=scopes, role=role)
    key = KEY.as_dict(private=True)
    return make_client(world, auth=ServiceApp(app.id, key, scopes, clock=world.clock.now))


def verdicts(client, purpose):
    return {probe.permission: (probe.ok, probe.ask) for probe in okta_probes(client, purpose)}


def test_all_is_well(world):
    client = service(world, sorted(ALL), "SUPER_ADMIN")
    assert {ok for ok, _ in verdicts(client, "apply").values()} == {True}
    assert {ok for ok, _ in verdicts(client, "plan").values()} == {True}


def test_each_missing_scope_is_named(world):
    client = service(world, sorted(ALL - {"okta.groups.manage"}), "SUPER_ADMIN")
    found = verdicts(client, "apply")
    ok, ask = found.pop("okta.groups.manage")
    assert ok is False
    assert "grant okta.groups.manage to service app" in ask
    assert {ok for ok, _ in found.values()} == {True}


def test_a_missing_role(world):
    client = service(world, sorted(ALL), None)
    ok, ask = verdicts(client, "plan")["okta.apps.read"]
    assert ok is False
    assert "admin role" in ask


def test_a_role_that_only_reads(world):
    client = service(world, sorted(ALL), "READ_ONLY_ADMIN")
    assert {ok for ok, _ in verdicts(client, "plan").values()} == {True}
    ok, ask = verdicts(client, "apply")["admin role for okta.apps.manage"]
    assert ok is not True
    assert "Application Administrator" in ask


def test_a_token(world):
    assert all(ok for ok, _ in verdicts(make_client(world), "plan").values())
    weak = make_client(world, auth=Ssws(world.okta.add_api_token("GROUP_MEMBERSHIP_ADMIN")))
    found = verdicts(weak, "plan")
    assert found["okta.groups.read"][0] is True
    assert found["okta.apps.read"][0] is False
    assert "Read-Only" in found["okta.apps.read"][1]


def test_only_reads_are_made(world):
    client = service(world, sorted(ALL), "SUPER_ADMIN")
    okta_probes(client, "apply")
    others = {operation for _, operation, _ in world.calls if not operation.startswith("GET ")}
    assert others == {"POST /oauth2/v1/token"}
