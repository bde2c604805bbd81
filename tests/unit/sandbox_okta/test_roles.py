"""Which roles an assertion carries: group mapping, the API mode, and where it is sent."""

import pytest

from ostiary.sandbox.http import Request
from ostiary.sandbox.okta import saml_app
from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.role_mapping import (
    Assigned,
    MappedGroup,
    assigned_roles,
    mapped_roles,
    translate,
)

HASH = r"^aws\#\S+\#(?{{role}}[\w\-]+)\#(?{{accountid}}\d+)$"
UNANCHORED = r"aws_(?{{accountid}}\d+)_(?{{role}}[a-zA-Z0-9+=,.@\-_]+)"


def mapped(name, group_filter=HASH, source="okta", app_filter="okta"):
    options = {
        "groupFilter": group_filter,
        "appFilter": app_filter,
        "roleValuePattern": "${role}@${accountid}",
    }
    return mapped_roles(options, [MappedGroup(name, source)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aws#northamerica-production#Tier1_Support#828416469395", "Tier1_Support@828416469395"),
        ("aws#x#Ops.Admin#111122223333", None),
        ("aws#x#a+b=c@d,e#111122223333", None),
        ("aws#a#RoleA#111111111111#RoleB#222222222222", "RoleB@222222222222"),
        ("aws#x#Ädmin#111122223333", None),
        ("aws#x#Admin#١١١١٢٢٢٢٣٣٣٣", None),
        ("aws#x#Admin#111122223333\n", None),
        ("aws#x#Admin#11112222333", "Admin@11112222333"),
        ("AWS#x#Admin#111122223333", None),
        ("aws#a b#Admin#111122223333", None),
        ("xaws#x#Admin#111122223333", None),
    ],
)
def test_the_filter_of_seed_names(name, value):
    assert mapped(name) == ([value] if value else [])


def test_an_unanchored_filter_still_matches_the_whole_name():
    assert mapped("aws_828416469395_Admin", UNANCHORED) == ["Admin@828416469395"]
    assert mapped("notaws_828416469395_Admin", UNANCHORED) == []
    assert mapped("aws_828416469395_Admin (old)", UNANCHORED) == []
    assert mapped("aws_828416469395_a+b=c,d.e@f", UNANCHORED) == ["a+b=c,d.e@f@828416469395"]


def test_the_app_filter_names_sources_of_groups():
    name = "aws#x#Admin#111122223333"
    assert mapped(name, source="active_directory") == []
    both = "okta, active_directory"
    assert mapped(name, source="active_directory", app_filter=both) == ["Admin@111122223333"]


def test_a_reference_that_the_filter_does_not_capture_stays_as_written():
    options = {"groupFilter": "^x$", "appFilter": "okta", "roleValuePattern": "a:${role}"}
    assert mapped_roles(options, [MappedGroup("x", "okta")]) == ["a:${role}"]


def test_features_that_re2_lacks_are_refused():
    assert translate(r"(?=x)(?{{role}}.*)")[1].startswith("not a valid expression")
    assert translate(r"(?{{role}}.)\1")[0] is None


OWN = Assigned({"role": "Own", "samlRoles": None}, direct=True)
FIRST = Assigned({"samlRoles": ["A", "B"]}, priority=0)
SECOND = Assigned({"samlRoles": ["B", "C"]}, priority=1)


@pytest.mark.parametrize(
    ("assignments", "join_all", "union", "roles"),
    [
        ([OWN], False, False, ["Own"]),
        ([SECOND, FIRST], False, False, ["A", "B"]),
        ([SECOND, FIRST], False, True, ["A", "B", "C"]),
        ([OWN, FIRST, SECOND], False, True, ["Own"]),
        ([OWN, FIRST, SECOND], True, False, ["Own", "A", "B", "C"]),
        ([], True, True, []),
    ],
)
def test_api_mode(assignments, join_all, union, roles):
    assert assigned_roles(assignments, join_all=join_all, union=union) == roles


@pytest.fixture
def call(world):
    return Call(world, Request("GET", "/", origin="https://acme.okta.com"))


PROVIDER = "arn:aws:iam::111122223333:saml-provider/Okta"


def test_api_mode_values_are_arns(org, call):
    app = org.add_app("amazon_aws", "AWS", options={"identityProviderArn": PROVIDER})
    org.enable_api_integration(app, ["Admin", "444455556666 -- Ops", "[prod] -- Ops"])
    org.assign(app, "ada@acme.example", {"samlRoles": app.role_enum})
    assert saml_app.roles(call, app, org.user("ada")) == [
        f"{PROVIDER},arn:aws:iam::111122223333:role/Admin",
        "arn:aws:iam::444455556666:saml-provider/Okta,arn:aws:iam::444455556666:role/Ops",
    ]


def test_one_app_for_one_role(org, call):
    pair = f"{PROVIDER},arn:aws:iam::111122223333:role/Admin"
    app = org.add_app("amazon_aws", "AWS", options={"identityProviderArn": pair}, groups=("sre",))
    assert saml_app.roles(call, app, org.user("ada")) == [pair]


def test_group_mapping_ignores_assigned_roles_and_uses_groups_of_their_source(org, call):
    options = {"useGroupMapping": True, "identityProviderArn": PROVIDER}
    app = org.add_app("amazon_aws", "AWS", options=options, groups=("sre",))
    app.groups[org.group("sre").id].profile = {"samlRoles": ["Admin"]}
    org.join("ada@acme.example", "aws_123456789012_Ops")
    imported = org.add_group("aws_123456789012_Ad", source_app="active_directory")
    imported.direct.add(org.user("ada").id)
    assert saml_app.roles(call, app, org.user("ada")) == [
        "arn:aws:iam::123456789012:saml-provider/OKTA,arn:aws:iam::123456789012:role/Ops"
    ]


@pytest.mark.parametrize(
    ("options", "url", "audience"),
    [
        ({}, "https://signin.aws.amazon.com/saml", "urn:amazon:webservices"),
        (
            {"awsEnvironmentType": "aws.govcloud"},
            "https://signin.amazonaws-us-gov.com/saml",
            "urn:amazon:webservices:govcloud",
        ),
        (
            {"overrideAcsURL": "https://us-west-2.signin.aws.amazon.com/saml"},
            "https://us-west-2.signin.aws.amazon.com/saml",
            "urn:amazon:webservices",
        ),
    ],
)
def test_every_url_inside_is_of_aws_and_only_the_action_differs(
    call, browser, options, url, audience
):
    org = call.org
    app = org.add_app("amazon_aws", "AWS", options=options, groups=("sre",))
    document = saml_app.respond(call, app, org.user("ada")).decode()
    assert f'Destination="{url}"' in document
    assert f'Recipient="{url}"' in document
    assert f"<saml2:Audience>{audience}</saml2:Audience>" in document
    assert 'saml2:Attribute Name="https://aws.amazon.com/SAML/Attributes/Role"' not in document
    page = saml_app.form(call, app, org.user("ada"), "")
    assert browser.form(page).action == url
    org.aws_origin = "https://localhost:9443"
    page = saml_app.form(call, app, org.user("ada"), "there")
    assert browser.form(page).action == f"https://localhost:9443/{url.removeprefix('https://')}"
    assert browser.form(page).fields["RelayState"] == "there"


def test_attribute_statements_become_session_tags(org, call):
    prefix = "https://aws.amazon.com/SAML/Attributes/PrincipalTag:"
    app = org.add_app(
        "amazon_aws",
        "AWS",
        signOn={
            "attributeStatements": [
                {"name": f"{prefix}Team", "values": ["user.team"]},
                {"name": f"{prefix}Empty", "values": ["user.none"]},
                {"name": "other", "values": ["x"]},
            ]
        },
    )
    ada = org.user("ada")
    ada.profile["team"] = "core"
    document = saml_app.respond(call, app, ada).decode()
    assert f'Name="{prefix}Team"' in document
    assert ">core<" in document
    assert "Empty" not in document
