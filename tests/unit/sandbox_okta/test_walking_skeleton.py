"""From an empty org by API calls alone to a signed assertion in a form."""

import base64

import signxml
from cryptography import x509
from lxml import etree

SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"
FILTER = r"^aws\#\S+\#(?{{role}}[\w\-]+)\#(?{{accountid}}\d+)$"
PATTERN = "arn:aws:iam::${accountid}:saml-provider/Okta,arn:aws:iam::${accountid}:role/${role}"


def test_a_person_signs_in_and_gets_the_role_of_their_group(org, api, browser):
    org.aws_origin = "https://localhost:8443"
    app = api.json(
        "POST",
        "/api/v1/apps",
        {
            "name": "amazon_aws",
            "label": "AWS",
            "signOnMode": "SAML_2_0",
            "settings": {
                "app": {
                    "useGroupMapping": True,
                    "groupFilter": FILTER,
                    "roleValuePattern": PATTERN,
                    "sessionDuration": 7200,
                }
            },
        },
    )
    group = api.json("POST", "/api/v1/groups", {"profile": {"name": "aws#prod#Ops#123456789012"}})
    person = api.json("GET", "/api/v1/users/ada@acme.example")
    source = api.json("GET", "/api/v1/groups?q=sre")[0]
    api.json("PUT", f"/api/v1/groups/{group['id']}/users/{person['id']}", status=204)
    api.json("PUT", f"/api/v1/apps/{app['id']}/groups/{source['id']}", {})

    login = {"username": "ada@acme.example", "password": "pass-ada"}
    authn = browser.json("POST", "/api/v1/authn", login)
    tile = app["_links"]["appLinks"][0]["href"]
    response = browser.send(
        "GET", f"/login/sessionCookieRedirect?token={authn['sessionToken']}&redirectUrl={tile}"
    )
    assert {"sid", "DT"} <= browser.cookies.keys()
    form = browser.form(browser.follow(response))

    assert form.action == "https://localhost:8443/signin.aws.amazon.com/saml"
    document = etree.fromstring(base64.b64decode(form.fields["SAMLResponse"]))
    assert document.get("Destination") == "https://signin.aws.amazon.com/saml"
    values = {
        item.get("Name").rpartition("/")[2]: [value.text for value in item]
        for item in document.iter(f"{SAML}Attribute")
    }
    assert values == {
        "Role": ["arn:aws:iam::123456789012:saml-provider/Okta,arn:aws:iam::123456789012:role/Ops"],
        "RoleSessionName": ["ada@acme.example"],
        "SessionDuration": ["7200"],
    }
    metadata = etree.fromstring(api.send("GET", f"/api/v1/apps/{app['id']}/sso/saml/metadata").body)
    text = metadata.findtext(".//{http://www.w3.org/2000/09/xmldsig#}X509Certificate")
    certificate = x509.load_der_x509_certificate(base64.b64decode(text))
    assert metadata.get("entityID") == document.findtext(f"{SAML}Issuer")
    signxml.XMLVerifier().verify(document, x509_cert=certificate)
