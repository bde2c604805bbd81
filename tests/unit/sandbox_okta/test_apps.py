"""Apps: creation, the 15 settings, replacement, lifecycle, keys and metadata, policies."""

import pytest
from lxml import etree

from ostiary.sandbox.okta.app_settings import AMAZON_AWS

AWS = {"name": "amazon_aws", "label": "AWS", "signOnMode": "SAML_2_0"}


def aws(**options):
    return {**AWS, "settings": {"app": options}}


@pytest.fixture
def app(api):
    return api.json("POST", "/api/v1/apps", aws(sessionDuration=7200))


def test_a_new_app_has_every_setting_with_its_default(app):
    assert app["settings"]["app"] == {**AMAZON_AWS, "sessionDuration": 7200}
    assert len(app["settings"]["app"]) == 15
    assert app["status"] == "ACTIVE"
    assert app["id"].startswith("0oa")
    assert len(app["id"]) == 20
    assert app["credentials"]["signing"]["kid"]
    assert app["orn"].endswith(f":apps:amazon_aws:{app['id']}")
    assert app["_links"]["appLinks"][0]["href"].endswith(f"/home/amazon_aws/{app['id']}/272")


def test_without_a_sign_on_mode_the_app_is_swa_and_has_neither_key_nor_metadata(api):
    app = api.json("POST", "/api/v1/apps", {"name": "amazon_aws", "label": "AWS"})
    assert app["signOnMode"] == "BROWSER_PLUGIN"
    assert "signing" not in app["credentials"]
    assert "metadata" not in app["_links"]
    path = f"/api/v1/apps/{app['id']}/sso/saml/metadata"
    api.refused("GET", path, status=400, code="E0000001")


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"sessionDuration": 899}, "settings.app.sessionDuration: must be 900 to 43200 seconds"),
        ({"sessionDuration": 43201}, "settings.app.sessionDuration"),
        ({"sessionDuration": "3600"}, "settings.app.sessionDuration"),
        ({"useGroupMapping": "true"}, "settings.app.useGroupMapping: must be a boolean"),
        ({"joinAllRoles": None}, "settings.app.joinAllRoles: must be a boolean"),
        ({"awsEnvironmentType": "aws.moon"}, "settings.app.awsEnvironmentType: must be one of"),
        ({"groupFilter": "(?{{role}}["}, "settings.app.groupFilter: not a valid expression"),
        ({"appFilter": None}, "settings.app.appFilter: must not be null"),
        ({"overrideAcsURL": "http://x"}, "settings.app.overrideAcsURL: must be an https URL"),
        ({"groupfilter": "x"}, "settings.app.groupfilter: unknown property"),
    ],
)
def test_wrong_settings_are_refused_with_their_causes(api, options, cause):
    found = api.refused("POST", "/api/v1/apps", aws(**options), status=400, code="E0000001")
    assert found["errorCauses"][0]["errorSummary"].startswith(cause)
    assert api.json("GET", "/api/v1/apps") == []


@pytest.mark.parametrize(
    "body",
    [
        {"name": "no_such_app", "label": "X"},
        {**AWS, "label": " "},
        {**AWS, "label": "x" * 101},
        {**AWS, "signOnMode": "OPENID_CONNECT"},
        {"name": "oidc_client", "label": "X", "signOnMode": "OPENID_CONNECT"},
        {
            "name": "oidc_client",
            "label": "X",
            "signOnMode": "OPENID_CONNECT",
            "settings": {
                "oauthClient": {"application_type": "native", "grant_types": ["password"]}
            },
        },
    ],
)
def test_bodies_that_make_no_app_are_refused(api, body):
    api.refused("POST", "/api/v1/apps", body, status=400, code="E0000001")


def test_a_native_app_has_its_id_as_client_id(api):
    client = {
        "application_type": "native",
        "grant_types": [
            "urn:ietf:params:oauth:grant-type:device_code",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ],
    }
    body = {
        "name": "oidc_client",
        "label": "Ostiary",
        "signOnMode": "OPENID_CONNECT",
        "settings": {"oauthClient": client},
        "credentials": {"oauthClient": {"token_endpoint_auth_method": "none"}},
    }
    app = api.json("POST", "/api/v1/apps", body)
    assert app["credentials"]["oauthClient"]["client_id"] == app["id"]
    assert app["settings"]["oauthClient"]["grant_types"] == client["grant_types"]


def test_a_replacement_is_whole_and_keeps_keys_it_does_not_know(api, app):
    body = {**app, "label": "AWS 2", "newThing": {"a": 1}}
    body["settings"] = {
        "app": {"useGroupMapping": True},
        "notes": {"admin": "ostiary estate=acme"},
        "later": 5,
    }
    path = f"/api/v1/apps/{app['id']}"
    api.json("PUT", path, body)
    found = api.json("GET", path)
    assert found["label"] == "AWS 2"
    assert found["settings"]["app"] == {**AMAZON_AWS, "useGroupMapping": True}
    assert found["settings"]["notes"] == {"admin": "ostiary estate=acme", "enduser": None}
    assert found["newThing"] == {"a": 1}
    assert found["settings"]["later"] == 5
    assert found["credentials"]["signing"] == app["credentials"]["signing"]


def test_name_and_sign_on_mode_cannot_change(api, app):
    path = f"/api/v1/apps/{app['id']}"
    for change in ({"name": "amazon_aws_sso"}, {"signOnMode": "BROWSER_PLUGIN"}):
        api.refused("PUT", path, {**app, **change}, status=400, code="E0000001")


def test_only_an_inactive_app_can_be_deleted(api, app):
    path = f"/api/v1/apps/{app['id']}"
    api.refused("DELETE", path, status=403, code="E0000056")
    api.json("POST", f"{path}/lifecycle/deactivate")
    assert api.json("GET", path)["status"] == "INACTIVE"
    api.json("DELETE", path, status=204)
    api.refused("GET", path, status=404, code="E0000007")


def test_created_inactive_on_request(api):
    assert api.json("POST", "/api/v1/apps?activate=false", AWS)["status"] == "INACTIVE"


def test_lists_by_filter_and_prefix(api, app):
    api.json("POST", "/api/v1/apps", {**AWS, "label": "Zed"})
    found = api.json("GET", "/api/v1/apps?filter=name%20eq%20%22amazon_aws%22")
    assert [item["label"] for item in found] == ["AWS", "Zed"]
    assert [item["label"] for item in api.json("GET", "/api/v1/apps?q=ze")] == ["Zed"]
    path = "/api/v1/apps?filter=label%20eq%20%22AWS%22"
    api.refused("GET", path, status=400, code="E0000031")


def test_a_generated_key_signs_nothing_until_the_app_names_it(api, app, org):
    path = f"/api/v1/apps/{app['id']}"
    new = api.json("POST", f"{path}/credentials/keys/generate?validityYears=2", status=201)
    assert new["use"] == "sig"
    assert new["expiresAt"] > new["created"]
    assert [key["kid"] for key in api.json("GET", f"{path}/credentials/keys")] == [
        app["credentials"]["signing"]["kid"],
        new["kid"],
    ]
    before = api.send("GET", f"{path}/sso/saml/metadata").body
    ahead = api.send("GET", f"{path}/sso/saml/metadata?kid={new['kid']}").body
    assert new["x5c"][0] not in before.decode()
    assert new["x5c"][0] in ahead.decode()
    app["credentials"]["signing"]["kid"] = new["kid"]
    api.json("PUT", path, app)
    assert api.send("GET", f"{path}/sso/saml/metadata").body == ahead


@pytest.mark.parametrize("years", ["", "1", "11", "two"])
def test_key_validity_is_two_to_ten_years(api, app, years):
    path = f"/api/v1/apps/{app['id']}/credentials/keys/generate?validityYears={years}"
    api.refused("POST", path, status=400, code="E0000001")


def test_a_key_of_another_app_must_be_cloned_first(api, app):
    other = api.json("POST", "/api/v1/apps", {**AWS, "label": "B"})
    kid = app["credentials"]["signing"]["kid"]
    body = {**other, "credentials": {"signing": {"kid": kid}}}
    path = f"/api/v1/apps/{other['id']}"
    api.refused("PUT", path, body, status=400, code="E0000001")
    clone = f"/api/v1/apps/{app['id']}/credentials/keys/{kid}/clone?targetAid={other['id']}"
    api.json("POST", clone, status=201)
    api.refused("POST", clone, status=400, code="E0000001")
    assert api.json("PUT", path, body)["credentials"]["signing"]["kid"] == kid


def test_metadata_names_the_org_and_both_bindings(api, app):
    path = f"/api/v1/apps/{app['id']}/sso/saml/metadata"
    response = api.send("GET", path, headers=[("accept", "application/xml")])
    assert api.header(response, "content-type").startswith("text/xml")
    root = etree.fromstring(response.body)
    assert root.get("entityID").startswith("http://www.okta.com/exk")
    md = "{urn:oasis:names:tc:SAML:2.0:metadata}"
    assert root.find(f"{md}IDPSSODescriptor").get("WantAuthnRequestsSigned") == "false"
    services = root.findall(f".//{md}SingleSignOnService")
    assert [item.get("Binding").rpartition(":")[2] for item in services] == [
        "HTTP-POST",
        "HTTP-Redirect",
    ]
    external = root.get("entityID").rpartition("/")[2]
    location = f"https://acme.okta.com/app/amazon_aws/{external}/sso/saml"
    assert {item.get("Location") for item in services} == {location}


def test_an_app_moves_to_another_policy(api, app, org):
    policy = org.add_policy("Strong", mfa=True)
    assert app["_links"]["accessPolicy"]["href"].endswith(org.default_policy.id)
    api.json("PUT", f"/api/v1/apps/{app['id']}/policies/{policy.id}", status=204)
    found = api.json("GET", f"/api/v1/apps/{app['id']}")
    assert found["_links"]["accessPolicy"]["href"].endswith(policy.id)
    mapped = api.json("GET", f"/api/v1/policies/{policy.id}/mappings")
    assert mapped[0]["_links"]["application"]["href"].endswith(app["id"])
    path = f"/api/v1/apps/{app['id']}/policies/rstNone"
    api.refused("PUT", path, status=404, code="E0000007")


def test_policies_show_whether_they_ask_for_a_second_factor(api, org):
    org.add_policy("Strong", mfa=True)
    found = api.json("GET", "/api/v1/policies?type=ACCESS_POLICY")
    modes = {}
    for policy in found:
        (rule,) = api.json("GET", f"/api/v1/policies/{policy['id']}/rules")
        modes[policy["name"]] = rule["actions"]["appSignOn"]["verificationMethod"]["factorMode"]
    assert modes == {"Default Policy": "1FA", "Strong": "2FA"}
    api.refused("GET", "/api/v1/policies", status=400, code="E0000001")
