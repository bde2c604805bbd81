"""Every Okta kind against the embedded org."""

import pytest
from kind_suite import KindCase, KindSuite, NamedKindSuite
from okta_world import (
    ESTATE,
    MARK,
    ORG,
    apps,
    cut_off,
    dump,
    groups,
    make_client,
    make_world,
    rules,
    user_id,
)

from ostiary.okta.app import AppKind
from ostiary.okta.app_assignment import AppAssignmentKind
from ostiary.okta.group import GroupKind
from ostiary.okta.group_rule import GroupRuleKind
from ostiary.okta.mark import Mark
from ostiary.okta.role_group_members import RoleGroupMembersKind
from ostiary.plan.resource import Key

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ROLE_GROUP = "aws#shared#Ops#111122223333"


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def client(world):
    return make_client(world)


class TestGroup(NamedKindSuite):
    @pytest.fixture
    def case(self, world, client):
        org = world.okta
        return KindCase(
            kind=GroupKind(client, ORG, ESTATE),
            key=Key("okta-group", ORG, ROLE_GROUP),
            wanted={"description": f"{MARK} console=std role=Ops account=111122223333"},
            wanted2={
                "description": f"{MARK} console=std role=Ops account=111122223333 groups=00g1"
            },
            tamper=lambda: setattr(org.group(ROLE_GROUP), "description", f"{MARK} by hand"),
            dump=lambda: dump(world),
            add_foreign=lambda: org.add_group(f"{ROLE_GROUP}4", description="another"),
            dump_foreign=lambda: {
                name: value for name, value in groups(world).items() if name != ROLE_GROUP
            },
            unreadable=lambda: cut_off(world),
            foreign_key=Key("okta-group", ORG, "platform"),
            make_foreign=lambda: org.group("platform"),
        )


class TestGroupRule(KindSuite):
    @pytest.fixture
    def case(self, world, client):
        org = world.okta
        name = f"{Mark(ESTATE).rule_prefix}platform 1a2b3c4d"
        target = org.add_group(ROLE_GROUP)

        def tamper():
            rule = next(rule for rule in org.rules.values() if rule.name == name)
            rule.excluded.append(user_id(world, "ann"))

        def add_foreign():
            kind = GroupRuleKind(client, ORG, "other")
            key = Key(kind.name, ORG, "By hand")
            kind.create(
                key, {"source": org.group("sre").id, "targets": [target.id], "excluded": []}
            )

        wanted = {"source": org.group("platform").id, "targets": [target.id], "excluded": []}
        return KindCase(
            kind=GroupRuleKind(client, ORG, ESTATE),
            key=Key("okta-group-rule", ORG, name),
            wanted=wanted,
            wanted2={**wanted, "excluded": [user_id(world, "ben")]},
            tamper=tamper,
            dump=lambda: {"rules": rules(world), "apps": apps(world)},  # members stay by intent
            add_foreign=add_foreign,
            dump_foreign=lambda: {one: rule for one, rule in rules(world).items() if one != name},
            unreadable=lambda: cut_off(world),
        )


class TestRoleGroupMembers(KindSuite):
    @pytest.fixture
    def case(self, world, client):
        org = world.okta
        group = org.add_group(ROLE_GROUP, description=f"{MARK} console=std users=x")
        ann, ben = user_id(world, "ann"), user_id(world, "ben")
        return KindCase(
            kind=RoleGroupMembersKind(client, ORG, ESTATE, patience=5),
            key=Key("okta-role-group-members", ORG, ROLE_GROUP),
            wanted={"group": group.id, "members": [ann], "direct": [ann]},
            wanted2={"group": group.id, "members": [ben], "direct": [ben]},
            tamper=lambda: org.join("cara@acme.example", ROLE_GROUP),
            dump=lambda: dump(world),
            add_foreign=lambda: org.join("ben@acme.example", org.add_group("aws#a#b#1").name),
            dump_foreign=lambda: {
                name: value for name, value in groups(world).items() if name != ROLE_GROUP
            },
            unreadable=lambda: cut_off(world),
        )


class TestAwsApp(NamedKindSuite):
    @pytest.fixture
    def case(self, world, client):
        org = world.okta
        settings = {
            "useGroupMapping": True,
            "sessionDuration": 14400,
            "groupFilter": r"^aws\#\S+\#(?{{role}}[\w\-]+)\#(?{{accountid}}\d+)$",
        }

        def tamper():
            app = next(app for app in org.apps.values() if app.label == "AWS")
            app.settings["app"]["sessionDuration"] = 900

        return KindCase(
            kind=AppKind(client, ORG, ESTATE),
            key=Key("okta-app", ORG, "AWS"),
            wanted={"name": "amazon_aws", "settings": settings, "policy": "Strong"},
            wanted2={
                "name": "amazon_aws",
                "settings": {**settings, "sessionDuration": 3600},
                "policy": "Default Policy",
            },
            tamper=tamper,
            dump=lambda: dump(world),
            add_foreign=lambda: org.add_app("amazon_aws", "AWS two", groups=["sre"]),
            dump_foreign=lambda: {
                label: app for label, app in apps(world).items() if label != "AWS"
            },
            unreadable=lambda: cut_off(world),
            foreign_key=Key("okta-app", ORG, "Old AWS"),
            make_foreign=lambda: org.add_app(
                "amazon_aws", "Old AWS", notes={"admin": "ask Cara", "enduser": None}
            ),
        )


class TestNativeApp(NamedKindSuite):
    @pytest.fixture
    def case(self, world, client):
        org = world.okta
        grants = [DEVICE_CODE, TOKEN_EXCHANGE]

        def tamper():
            app = next(app for app in org.apps.values() if app.label == "AWS CLI")
            app.client["grant_types"] = [DEVICE_CODE]

        return KindCase(
            kind=AppKind(client, ORG, ESTATE),
            key=Key("okta-app", ORG, "AWS CLI"),
            wanted={"name": "oidc_client", "grant_types": grants, "policy": "Strong"},
            wanted2={
                "name": "oidc_client",
                "grant_types": [*grants, "refresh_token"],
                "policy": "Strong",
            },
            tamper=tamper,
            dump=lambda: dump(world),
            add_foreign=lambda: org.add_native_app("Another CLI"),
            dump_foreign=lambda: {
                label: app for label, app in apps(world).items() if label != "AWS CLI"
            },
            unreadable=lambda: cut_off(world),
            foreign_key=Key("okta-app", ORG, "Old CLI"),
            make_foreign=lambda: org.add_native_app("Old CLI"),
        )


class AssignmentSuite(KindSuite):
    """The app is ours; ``sort`` tells a group from a person. Roles stand for what API mode keeps in the profile."""

    sort = "group"

    @pytest.fixture
    def case(self, world, client):
        org = world.okta
        app = org.add_app("amazon_aws", "AWS", notes={"admin": MARK, "enduser": None})
        app.role_enum = ["Ops", "Dev", "Old"]
        target = org.add_group(
            ROLE_GROUP,
            description=f"{MARK} console=std groups={org.group('sre').id} users={user_id(world, 'ann')}",
        )
        principal = org.group("sre") if self.sort == "group" else org.user("ann@acme.example")
        name = "sre" if self.sort == "group" else "ann@acme.example"
        assigned = app.groups if self.sort == "group" else app.users

        def add_foreign():
            other = org.add_app("amazon_aws", "AWS two", groups=["sre"])
            org.assign(other, "ann@acme.example")
            org.assign(app, "ben@acme.example")

        def dump_foreign():
            label = next(one for one in apps(world) if one == "AWS two")
            own = apps(world)["AWS"]
            return {
                "other": apps(world)[label],
                "groups": groups(world),
                "rest": {
                    known: value
                    for part in own[4:]
                    for known, value in part.items()
                    if known != principal.id
                },
            }

        assert target.id
        return KindCase(
            kind=AppAssignmentKind(client, ORG, ESTATE),
            key=Key("okta-app-assignment", ORG, f"AWS/{self.sort}:{name}"),
            wanted={"app": app.id, self.sort: principal.id, "profile": {"samlRoles": ["Ops"]}},
            wanted2={"app": app.id, self.sort: principal.id, "profile": {"samlRoles": ["Dev"]}},
            tamper=lambda: assigned[principal.id].profile.update(samlRoles=["Old"]),
            dump=lambda: dump(world),
            add_foreign=add_foreign,
            dump_foreign=dump_foreign,
            unreadable=lambda: cut_off(world),
        )


class TestGroupAssignment(AssignmentSuite):
    pass


class TestUserAssignment(AssignmentSuite):
    sort = "user"
