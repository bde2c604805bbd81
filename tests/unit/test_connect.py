"""What ``connect`` tells the guard to keep its hands off."""

from ostiary.connect import connect
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
        estate, load(), purpose="apply", environ={"OKTA_CLIENT_TOKEN": "not a real one"}
    )
    protected = set(connected.guard(Overrides()).protected)
    connected.close()
    for name in ("OstiaryPlan", "OstiaryApply", "AWSControlTowerExecution", "OddApply"):
        assert f"iam-role:{name}" in protected
    assert "iam-role:OrganizationAccountAccessRole" in protected
    assert {"iam-role:BreakGlass*", "trust-statement:BreakGlass*/*"} <= protected
