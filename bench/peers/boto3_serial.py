"""A peer: the calls of the role-based access toolset (the second source document), account after account.

    python bench/peers/boto3_serial.py ACCOUNT...

In its order: an IAM user for Okta with its policy and key, the account's own app in Okta, the SAML provider from that
app's metadata, three roles with their policies, and the groups assigned to the app (which role each gets is set by hand
there, and left out here). Eleven AWS calls and five of Okta's an account; one after another, a session per account, as
such scripts are written. It looks at nothing before it writes and proves nothing afterwards.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.request
from typing import Any

import boto3

POLICIES = {
    "Administrator": "AdministratorAccess",
    "PowerUser": "PowerUserAccess",
    "ReadOnly": "ReadOnlyAccess",
}
GROUPS = ("platform-0", "sre-0", "developers-0")
URL = os.environ["OKTA_CLIENT_ORGURL"]
TLS = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])


def okta(
    method: str, path: str, body: dict[str, Any] | None = None, accept: str = "application/json"
) -> bytes:
    request = urllib.request.Request(
        URL + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "authorization": f"SSWS {os.environ['OKTA_CLIENT_TOKEN']}",
            "content-type": "application/json",
            "accept": accept,
        },
    )
    with urllib.request.urlopen(request, context=TLS) as answer:
        content: bytes = answer.read()
    return content


def federate(account: str, groups: dict[str, str]) -> None:
    credentials = boto3.client("sts").assume_role(
        RoleArn=f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole",
        RoleSessionName="toolset",
    )["Credentials"]
    session = boto3.Session(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]
    )
    iam = session.client("iam")
    iam.create_user(UserName="OktaSSOUser")
    allowed = {
        "Effect": "Allow",
        "Action": ["iam:ListRoles", "iam:ListAccountAliases"],
        "Resource": "*",
    }
    iam.put_user_policy(
        UserName="OktaSSOUser",
        PolicyName="OktaSSO",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    iam.create_access_key(UserName="OktaSSOUser")

    provider = f"arn:aws:iam::{account}:saml-provider/Okta"
    settings = {
        "awsEnvironmentType": "aws.amazon",
        "identityProviderArn": provider,
        "sessionDuration": 3600,
    }
    app = json.loads(
        okta(
            "POST",
            "/api/v1/apps",
            {
                "name": "amazon_aws",
                "label": f"AWS {account}",
                "signOnMode": "SAML_2_0",
                "settings": {"app": settings},
            },
        )
    )
    path = f"/api/v1/apps/{app['id']}"
    metadata = okta("GET", f"{path}/sso/saml/metadata", accept="application/xml").decode()
    iam.create_saml_provider(Name="Okta", SAMLMetadataDocument=metadata)
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithSAML",
        "Condition": {"StringEquals": {"SAML:aud": "https://signin.aws.amazon.com/saml"}},
    }
    for role, policy in POLICIES.items():
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=document)
        iam.attach_role_policy(RoleName=role, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")
    for group in GROUPS:
        okta("PUT", f"{path}/groups/{groups[group]}", {})


def main(accounts: list[str]) -> None:
    listed = json.loads(okta("GET", "/api/v1/groups"))
    groups = {group["profile"]["name"]: group["id"] for group in listed}
    for account in accounts:
        federate(account, groups)


if __name__ == "__main__":
    main(sys.argv[1:])
