"""What is particular to one Okta kind, beyond the suite."""

import pytest
from okta_world import ESTATE, MARK, ORG, make_client, make_world, user_id

from ostiary.errors import Conflict, NotFound
from ostiary.okta.app import AppKind
from ostiary.okta.app_assignment import AppAssignmentKind
from ostiary.okta.group import GroupKind
from ostiary.okta.group_rule import GroupRuleKind
from ostiary.okta.kinds import okta_kinds
from ostiary.okta.mark import Mark, direct_sources
from ostiary.okta.role_group_members import RoleGroupMembersKind
from ostiary.plan.resource import Key, Owner, Ref, Resource, Risk

GRANTS = ["urn:ietf:params:oauth:grant-type:device_code"]


@pytest.fixture
def world():
    return make_world()


@pytest.fixture
def client(world):
    return make_client(world)


class TestMarks:
    def test_another_estate_is_not_ours(self):
        mark = Mark("acme")
        assert mark.owner("ostiary estate=acme console=x")[0] is Owner.OURS
        assert mark.owner("ostiary estate=acme")[0] is Owner.OURS
        assert mark.owner("ostiary estate=acme-prod x") == (Owner.OTHER_ESTATE, "estate acme-prod")
        assert mark.owner("see ostiary estate=acme")[0] is Owner.FOREIGN
        assert mark.owner(None)[0] is Owner.FOREIGN
        assert mark.rule_owner(Mark("b").rule_prefix + "x")[0] is Owner.OTHER_ESTATE

    def test_a_note_keeps_what_else_it_says(self):
        mark = Mark("acme")
        note = mark.added_to("ask Cara\nsecond line")
        assert mark.owner(note)[0] is Owner.OURS
        assert mark.added_to(note) == note
        assert mark.taken_from(note) == "ask Cara\nsecond line"

    def test_direct_sources(self):
        text = f"{MARK} console=std role=Ops account=1 groups=00g1,00g2 users=00u1"
        assert direct_sources(text) == ({"00g1", "00g2"}, {"00u1"})
        assert direct_sources(MARK) == (frozenset(), frozenset())


class TestNames:
    """Never by prefix, never by luck."""

    def test_two_groups_of_one_name(self, world, client):
        ids = [world.okta.add_group("twin", source_app=one).id for one in ("okta", "ldap")]
        kind, key = GroupKind(client, ORG, ESTATE), Key("okta-group", ORG, "twin")
        with pytest.raises(Conflict) as caught:
            kind.look(key)
        assert all(one in caught.value.why for one in ids)
        assert not kind.read(ORG, {"twin": Resource(key, {})}).complete
        assert kind.read(ORG, {}).complete  # of no concern to us

    def test_two_apps_of_one_label(self, world, client):
        ids = [world.okta.add_app("amazon_aws", "AWS").id for _ in range(2)]
        kind, key = AppKind(client, ORG, ESTATE), Key("okta-app", ORG, "AWS")
        with pytest.raises(Conflict) as caught:
            kind.create(key, {"name": "amazon_aws", "settings": {}, "policy": None})
        assert all(one in caught.value.why for one in ids)
        assert len([app for app in world.okta.apps.values() if app.label == "AWS"]) == 2

    def test_a_longer_name_is_another(self, world, client):
        world.okta.add_group("aws#a#Ops#1112")
        world.okta.add_app("amazon_aws", "AWS two")
        assert GroupKind(client, ORG, ESTATE).look(Key("okta-group", ORG, "aws#a#Ops#111")) is None
        assert AppKind(client, ORG, ESTATE).look(Key("okta-app", ORG, "AWS")) is None

    def test_names_that_need_quoting(self, client):
        kind = GroupKind(client, ORG, ESTATE)
        for name in ('a"b', "a\\b", 'x" or profile.name sw "', "a/b#c?d&e", "ü ö"):
            key = Key("okta-group", ORG, name)
            made = kind.create(key, {"description": MARK})
            fresh = GroupKind(client, ORG, ESTATE).look(key)
            assert fresh is not None
            assert fresh.ids == made.ids

    def test_an_imported_group_is_not_ours_to_change(self, world, client):
        world.okta.add_group("from AD", source_app="active_directory", description=MARK)
        found = GroupKind(client, ORG, ESTATE).look(Key("okta-group", ORG, "from AD"))
        assert found.owner is Owner.ELSEWHERE


class TestRule:
    @pytest.fixture
    def rule(self, world, client):
        org = world.okta
        self.kind = GroupRuleKind(client, ORG, ESTATE)
        self.targets = [org.add_group(f"aws#a#R{number}#1").id for number in (1, 2)]
        self.wanted = {
            "source": org.group("platform").id,
            "targets": self.targets,
            "excluded": [],
        }
        self.key = Key("okta-group-rule", ORG, f"{Mark(ESTATE).rule_prefix}platform x")
        return self.kind.create(self.key, self.wanted)

    def people(self, world, target):
        return world.okta.members(world.okta.groups[target])

    def test_an_exception_is_taken_back_in_place(self, world, client, rule):
        ann = user_id(world, "ann")
        client.delete(f"/groups/{self.targets[0]}/users/{ann}")
        found = self.kind.look(self.key)
        assert self.kind.differences(found, self.wanted) == ("excluded",)
        assert self.kind.update(found, self.wanted).ids == rule.ids
        client.get("/groups", {"limit": 1})
        assert ann in self.people(world, self.targets[0])

    def test_an_invalid_rule_is_made_anew_and_nobody_leaves(self, world, client, rule):
        client.delete(f"/groups/{self.targets[1]}")
        found = self.kind.look(self.key)
        assert found.attributes["status"] == "INVALID"
        wanted = {**self.wanted, "targets": self.targets[:1]}
        assert self.kind.differences(found, wanted) == ("targets", "status")
        before = self.people(world, self.targets[0])
        made = self.kind.update(found, wanted)
        assert made.ids != rule.ids
        assert made.attributes["status"] == "ACTIVE"
        assert self.people(world, self.targets[0]) == before

    def test_deleting_leaves_the_members(self, world, rule):
        self.kind.delete(self.kind.look(self.key))
        assert self.people(world, self.targets[0]) == self.people(world, self.wanted["source"])
        assert world.okta.rules == {}

    def test_a_rule_that_was_switched_off_is_switched_on(self, client, rule):
        client.post(f"/groups/rules/{rule.ids['id']}/lifecycle/deactivate")
        found = self.kind.look(self.key)
        assert self.kind.differences(found, self.wanted) == ("status",)
        assert self.kind.update(found, self.wanted).attributes["status"] == "ACTIVE"

    def test_a_crash_before_activation_is_repaired(self, client, rule):
        client.post(f"/groups/rules/{rule.ids['id']}/lifecycle/deactivate")
        again = self.kind.create(self.key, self.wanted)
        assert again.ids == rule.ids
        assert again.attributes["status"] == "ACTIVE"


class TestMembers:
    @pytest.fixture
    def group(self, world):
        return world.okta.add_group("aws#a#Ops#1", description=f"{MARK} console=std")

    def resource(self, members, direct=()):
        key = Key("okta-role-group-members", ORG, "aws#a#Ops#1")
        wanted = {
            "group": Ref(Key("okta-group", ORG, "aws#a#Ops#1"), "id"),
            "members": sorted(members),
            "direct": sorted(direct),
        }
        return {key.name: Resource(key, wanted)}

    def listed(self, world):
        return sum(
            operation == "GET /api/v1/groups/{group}/users" for _, operation, _ in world.calls
        )

    def test_equal_numbers_are_not_listed(self, world, client, group):
        world.okta.join("ann@acme.example", group.name)
        kind = RoleGroupMembersKind(client, ORG, ESTATE)
        ann = user_id(world, "ann")
        (found,) = kind.read(ORG, self.resource([ann])).found
        assert found.attributes["members"] == [ann]
        assert self.listed(world) == 0
        (found,) = kind.read(ORG, self.resource([ann, user_id(world, "ben")])).found
        assert found.attributes["members"] == [ann]
        kind.read(ORG, self.resource([ann], direct=[ann]))
        assert self.listed(world) == 2

    def test_no_members_wanted_and_none_there_is_no_change(self, client, group):
        kind = RoleGroupMembersKind(client, ORG, ESTATE)
        (found,) = kind.read(ORG, self.resource([])).found
        assert found.attributes["members"] == []

    def test_nobody_comes(self, world, client, group):
        kind = RoleGroupMembersKind(client, ORG, ESTATE, patience=30)
        ann = user_id(world, "ann")
        begun = world.clock.now()
        with pytest.raises(Conflict, match=ann):
            kind.create(
                Key(kind.name, ORG, group.name),
                {"group": group.id, "members": [ann], "direct": []},
            )
        assert 30 <= world.clock.now() - begun <= 50

    def test_who_was_never_activated_is_not_waited_for(self, world, client, group):
        org = world.okta
        new = org.add_user("new@acme.example", None, first="N", last="Ew", status="STAGED")
        org.join("new@acme.example", "sre")
        rule = GroupRuleKind(client, ORG, ESTATE)
        rule.create(
            Key(rule.name, ORG, f"{Mark(ESTATE).rule_prefix}sre"),
            {"source": org.group("sre").id, "targets": [group.id], "excluded": []},
        )
        kind, key = (
            RoleGroupMembersKind(client, ORG, ESTATE),
            Key("okta-role-group-members", ORG, group.name),
        )
        people = sorted([user_id(world, "cara"), new.id])
        begun = world.clock.now()
        made = kind.create(key, {"group": group.id, "members": people, "direct": []})
        assert world.clock.now() - begun < 5
        (found,) = kind.read(ORG, self.resource(people)).found
        assert found.attributes == made.attributes == kind.look(key).attributes
        assert found.attributes["members"] == people
        client.post(f"/users/{new.id}/lifecycle/activate")
        org.users[new.id].status = "ACTIVE"
        client.get("/groups", {"limit": 1})
        (found,) = kind.read(ORG, self.resource(people)).found
        assert found.attributes["members"] == people

    def test_losses_are_counted(self, world, client, group):
        for name in ("ann", "ben"):
            world.okta.join(f"{name}@acme.example", group.name)
        kind = RoleGroupMembersKind(client, ORG, ESTATE)
        found = kind.look(Key(kind.name, ORG, group.name))
        wanted = {"group": group.id, "members": [user_id(world, "ann")], "direct": []}
        assert kind.detaches("update", found, wanted) == 1
        assert kind.risk("update", found, wanted) is Risk.DETACH
        wanted["members"] = [user_id(world, name) for name in ("ann", "ben", "cara")]
        assert kind.detaches("update", found, wanted) == 0
        assert kind.risk("update", found, wanted) is Risk.NONE

    def test_a_stranger_in_a_new_group_is_no_member_to_throw_out(self, world, client, group):
        world.okta.join("cara@acme.example", group.name)
        kind = RoleGroupMembersKind(client, ORG, ESTATE)
        ann = user_id(world, "ann")
        with pytest.raises(Conflict, match="already has 1 members"):
            kind.create(
                Key(kind.name, ORG, group.name),
                {"group": group.id, "members": [ann], "direct": [ann]},
            )
        assert world.okta.members(group) == {user_id(world, "cara")}

    def test_a_foreign_group_is_not_filled(self, world, client):
        other = world.okta.group("sre")
        kind = RoleGroupMembersKind(client, ORG, ESTATE)
        ann = user_id(world, "ann")
        with pytest.raises(Conflict, match="mark"):
            kind.create(
                Key(kind.name, ORG, "sre"),
                {"group": other.id, "members": [ann], "direct": [ann]},
            )


class TestApp:
    KEY = Key("okta-app", ORG, "AWS")

    def wanted(self, **settings):
        return {"name": "amazon_aws", "settings": settings, "policy": None}

    def test_ids(self, world, client):
        made = AppKind(client, ORG, ESTATE).create(self.KEY, self.wanted())
        (app,) = world.okta.apps.values()
        assert made.ids["entity_id"] == f"http://www.okta.com/{app.external}"
        assert made.ids["entity_id"] in made.ids["metadata"]
        assert set(made.ids) == {"id", "metadata", "entity_id"}

    def test_metadata_is_read_once_per_key(self, world, client):
        kind = AppKind(client, ORG, ESTATE)
        kind.create(self.KEY, self.wanted())
        for _ in range(3):
            kind.look(self.KEY)
        reads = [one for _, one, _ in world.calls if one.endswith("/sso/saml/metadata")]
        assert len(reads) == 1

    def test_a_swa_app_cannot_be_used(self, world, client):
        world.okta.add_app(
            "amazon_aws", "AWS", mode="BROWSER_PLUGIN", notes={"admin": MARK, "enduser": None}
        )
        kind = AppKind(client, ORG, ESTATE)
        found = kind.look(self.KEY)
        assert "sign_on_mode" in kind.differences(found, self.wanted())
        with pytest.raises(Conflict, match="BROWSER_PLUGIN"):
            kind.update(found, self.wanted())

    def test_secrets_stay_in_okta(self, world, client):
        kind = AppKind(client, ORG, ESTATE)
        kind.create(self.KEY, self.wanted())
        (app,) = world.okta.apps.values()
        app.options.update(accessKey="AKIACANARY", secretKey="canary", sessionDuration=900)
        found = kind.look(self.KEY)
        assert "canary" not in f"{found}".lower()
        kind.update(found, self.wanted(sessionDuration=3600))
        kind.restore(self.KEY, found.raw)
        assert app.options["secretKey"] == "canary"
        assert app.options["sessionDuration"] == 900

    def test_other_settings_and_notes_stay(self, world, client):
        world.okta.add_app("amazon_aws", "AWS", notes={"admin": "ask Cara", "enduser": "hi"})
        (app,) = world.okta.apps.values()
        app.fields["madeUp"] = {"by": "a later Okta"}
        app.options["loginURL"] = "https://example.com"
        kind = AppKind(client, ORG, ESTATE)
        kind.update(kind.look(self.KEY), self.wanted(sessionDuration=7200))
        assert app.fields["madeUp"] == {"by": "a later Okta"}
        assert app.options["loginURL"] == "https://example.com"
        assert app.settings["notes"] == {"admin": f"ask Cara\n{MARK}", "enduser": "hi"}
        kind.release(kind.look(self.KEY))
        assert app.settings["notes"] == {"admin": "ask Cara", "enduser": "hi"}

    @pytest.mark.parametrize("setting", ["groupFilter", "appFilter", "roleValuePattern"])
    def test_moving_everybody_is_a_cutover(self, client, setting):
        kind = AppKind(client, ORG, ESTATE)
        made = kind.create(self.KEY, self.wanted())
        assert kind.risk("update", made, self.wanted(**{setting: "x"})) is Risk.CUTOVER
        assert kind.risk("update", made, self.wanted(sessionDuration=900)) is Risk.NONE
        assert kind.risk("create", None, self.wanted(**{setting: "x"})) is Risk.NONE

    def test_a_policy_that_does_not_exist(self, client):
        kind = AppKind(client, ORG, ESTATE)
        with pytest.raises(NotFound) as caught:
            kind.create(self.KEY, {**self.wanted(), "policy": "Strnog"})
        assert "Strong" in caught.value.why

    def test_policy_report(self, world, client):
        kind = AppKind(client, ORG, ESTATE)
        native = kind.create(
            Key("okta-app", ORG, "AWS CLI"),
            {"name": "oidc_client", "grant_types": GRANTS, "policy": None},
        )
        kind.create(
            self.KEY,
            {
                **self.wanted(webSSOAllowedClient=native.ids["client_id"]),
                "policy": "Strong",
            },
        )
        world.okta.add_app("amazon_aws", "foreign")
        report = kind.policy_report()
        assert {app.label: (app.policy, app.mfa) for app in report.apps} == {
            "AWS": ("Strong", True),
            "AWS CLI": ("Default Policy", False),
        }
        assert [text for text in report.warnings if "AWS CLI" in text and "second factor" in text]
        assert [text for text in report.warnings if "different authentication policies" in text]
        found = kind.look(Key("okta-app", ORG, "AWS CLI"))
        kind.update(found, {"name": "oidc_client", "grant_types": GRANTS, "policy": "Strong"})
        assert kind.policy_report().warnings == ()


class TestAssignment:
    def test_what_was_there_keeps_its_priority(self, world, client):
        org = world.okta
        app = org.add_app("amazon_aws", "AWS", notes={"admin": MARK}, groups=["platform", "sre"])
        kind = AppAssignmentKind(client, ORG, ESTATE)
        sre = org.group("sre").id
        kind.create(Key(kind.name, ORG, "AWS/group:sre"), {"app": app.id, "group": sre})
        assert [app.groups[one].priority for one in app.groups] == [0, 1]

    def test_foreign_assignments_are_not_listed(self, world, client):
        world.okta.add_app("amazon_aws", "AWS", notes={"admin": MARK}, groups=["platform"])
        kind = AppAssignmentKind(client, ORG, ESTATE)
        assert kind.read(ORG, {}).found == ()

    def test_somebody_who_has_it_through_a_group_is_not_assigned(self, world, client):
        org = world.okta
        app = org.add_app("amazon_aws", "AWS", notes={"admin": MARK}, groups=["platform"])
        kind = AppAssignmentKind(client, ORG, ESTATE)
        key = Key(kind.name, ORG, "AWS/user:ann@acme.example")
        assert kind.look(key) is None
        kind.create(key, {"app": app.id, "user": user_id(world, "ann")})
        assert kind.look(key).owner is Owner.OURS


def test_the_kinds_and_their_order(client):
    assert [kind.name for kind in okta_kinds(client, ORG, ESTATE)] == [
        "okta-app",
        "okta-group",
        "okta-group-rule",
        "okta-role-group-members",
        "okta-app-assignment",
    ]
