"""Clients that we did not write, unmodified, against ``ostiary sandbox up``: from a sign-in to STS credentials.

Each signs in twice in a row, as the second time differs: caches, saved cookies and remembered apps come into play.
"""

from __future__ import annotations

import json
import re

import pytest

pytestmark = pytest.mark.clients
TWICE = (1, 2)


def role(account: str, name: str, partition: str = "aws") -> str:
    return f"arn:{partition}:iam::{account}:role/{name}"


def entered(role_arn: str, login: str) -> str:
    """The ARN of a session of a role, as GetCallerIdentity gives it."""
    session = role_arn.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")
    return f"{session}/{login}"


@pytest.fixture
def who(client):
    """``who(...)``: whose the credentials are, as awscli hears it."""
    aws = client("awscli", "aws")

    def who(*arguments: str, **env: str) -> str:
        output = aws.run(*arguments, "sts", "get-caller-identity", "--output", "json", **env)
        return json.loads(output)["Arn"]

    return who


def keys(found: dict) -> dict[str, str]:
    """The environment for credentials as STS, and everybody after it, names them."""
    return {
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_SESSION_TOKEN": found["SessionToken"],
    }


def gimme_config(gimme, sandbox, **settings: str) -> None:
    known = {
        "okta_org_url": sandbox.described["okta_url"],
        "gimme_creds_server": "appurl",
        "write_aws_creds": "False",
        "cred_profile": "role",
        "resolve_aws_alias": "False",
        "include_path": "False",
        "output_format": "json",
    }
    lines = [f"{name} = {value}\n" for name, value in {**known, **settings}.items()]
    (gimme.home / ".okta_aws_login_config").write_text("[DEFAULT]\n" + "".join(lines))


def gimme_keys(output: str) -> dict[str, str]:
    found = json.loads(output.strip().splitlines()[-1])["credentials"]
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    return {name.upper(): found[name] for name in names}


@pytest.mark.parametrize(
    ("name", "app", "wanted", "region"),
    [
        ("ada", "AWS", role("210000000001", "Administrator"), "us-east-1"),
        (
            "katherine",
            "AWS GovCloud",
            role("310000000001", "ReadOnly", "aws-us-gov"),
            "us-gov-west-1",
        ),
    ],
    ids=["commercial", "gov"],
)
def test_gimme_aws_creds_classic(client, sandbox, who, *, name, app, wanted, region):
    gimme, person = client("gimme-aws-creds"), sandbox.people[name]
    gimme_config(
        gimme,
        sandbox,
        app_url=sandbox.tiles[app],
        okta_username=person.login,
        okta_password=person.password,
        aws_region=region,
    )
    for _ in TWICE:
        code = person.authenticator.code()
        output = gimme.run("--roles", wanted, "--mfa-code", code, "--output-format", "json")
        found = gimme_keys(output)
        assert who(**found, AWS_DEFAULT_REGION=region) == entered(wanted, person.login)


def test_gimme_aws_creds_device_flow(client, sandbox, who):
    gimme, person = client("gimme-aws-creds"), sandbox.people["grace"]
    gimme_config(
        gimme,
        sandbox,
        app_url=sandbox.tiles["AWS"],
        client_id=sandbox.described["env"]["OKTA_OIDC_CLIENT_ID"],
        force_classic="False",
    )
    wanted = role("210000000002", "Deployer")
    with person.browser() as browser:
        for _ in TWICE:
            with gimme.start("--roles", wanted, "--output-format", "json") as process:
                url = next(
                    found.group()
                    for line in process.stderr
                    if (found := re.search(r"https://\S+user_code=\S+", line))
                )
                person.allow_device(browser, url)
                output, talk = process.communicate(timeout=30)
            assert process.returncode == 0, talk
            assert who(**gimme_keys(output)) == entered(wanted, person.login)


@pytest.mark.parametrize(
    ("name", "wanted", "found_by"),
    [
        ("linus", role("220000000001", "PowerUser"), "--okta-tile"),
        ("ken", role("220000000002", "PowerUser"), "--okta-org"),
    ],
    ids=["tile", "discovery"],
)
def test_tokendito(client, sandbox, who, *, name, wanted, found_by):
    tokendito, person = client("tokendito"), sandbox.people[name]
    place = sandbox.tiles["AWS"] if found_by == "--okta-tile" else sandbox.described["okta_url"]
    given = {
        "--username": person.login,
        found_by: place,
        "--okta-mfa": "token:software:totp",
        "--aws-role-arn": wanted,
        "--aws-profile": "entered",
        "--aws-region": "us-east-1",
        "--aws-output": "json",
        "--aws-config-file": str(tokendito.home / "config"),
        "--aws-shared-credentials-file": str(tokendito.home / "credentials"),
    }
    arguments = [part for pair in given.items() for part in pair]
    for _ in TWICE:
        tokendito.run(
            "--quiet",
            *arguments,
            TOKENDITO_OKTA_PASSWORD=person.password,
            TOKENDITO_OKTA_MFA_RESPONSE=person.authenticator.code(),
        )
        written = {
            "AWS_SHARED_CREDENTIALS_FILE": given["--aws-shared-credentials-file"],
            "AWS_CONFIG_FILE": given["--aws-config-file"],
        }
        assert who("--profile", "entered", **written) == entered(wanted, person.login)
        (tokendito.home / "credentials").unlink()  # what the next run writes is its own


def processor_arguments(sandbox, tile: str, login: str, wanted: str) -> list[str]:
    given = {
        "--user": login,
        "--organization": sandbox.described["okta_url"].removeprefix("https://"),
        "--application": tile,
        "--role": wanted,
        "--factor": "token:software:totp:google",
        "--sign-in-url": f"{sandbox.described['aws_url']}/signin.aws.amazon.com/saml",
    }
    return ["authenticate", "--silent", *(part for pair in given.items() for part in pair)]


def test_aws_okta_processor(client, sandbox, who):
    """The second run enters by the session that the first one kept: no code is asked."""
    processor, person = client("aws-okta-processor"), sandbox.people["ken"]
    wanted = role("210000000002", "Deployer")
    arguments = processor_arguments(sandbox, sandbox.tiles["AWS"], person.login, wanted)
    seen = set()
    for answer in (person.authenticator.code(), ""):
        output = processor.run(
            *arguments, "--no-aws-cache", answer=f"{answer}\n", AWS_OKTA_PASS=person.password
        )
        found = json.loads(output)
        assert who(**keys(found)) == entered(wanted, person.login)
        seen.add(found["AccessKeyId"])
    assert len(seen) == 2


def test_okta_awscli(client, sandbox, who):
    """It finds the app by itself and keeps its link, which it takes back only with a dot in the host name."""
    okta_awscli, person = client("okta-awscli"), sandbox.people["margaret"]
    wanted = role("230000000001", "Auditor")
    (okta_awscli.home / ".okta-aws").write_text(
        "[default]\n"
        f"base-url = {sandbox.described['okta_url'].removeprefix('https://').replace('localhost', '127.0.0.1')}\n"
        f"username = {person.login}\npassword = {person.password}\nfactor = GOOGLE\n"
        f"role = {wanted}\nprofile = entered\n"
    )
    for _ in TWICE:
        okta_awscli.run("--force", "--token", person.authenticator.code())
        written = okta_awscli.home / "aws-credentials"
        found = who("--profile", "entered", AWS_SHARED_CREDENTIALS_FILE=str(written))
        assert found == entered(wanted, person.login)
        written.unlink()


def test_awscli_with_a_saml_response(client, sandbox, who):
    aws, person = client("awscli", "aws"), sandbox.people["edgar"]
    wanted = role("220000000003", "PowerUser")
    provider = "arn:aws:iam::220000000003:saml-provider/Okta"
    response = aws.home / "response"
    for _ in TWICE:
        with person.browser() as browser:
            response.write_text(person.saml_response(browser, sandbox.tiles["AWS"]))
        asked = ("--role-arn", wanted, "--principal-arn", provider, "--output", "json")
        output = aws.run(
            "sts", "assume-role-with-saml", *asked, "--saml-assertion", f"file://{response}"
        )
        assert who(**keys(json.loads(output)["Credentials"])) == entered(wanted, person.login)


def test_awscli_as_the_administrator(client, who):
    aws = client("awscli", "aws")
    for _ in TWICE:
        assert who() == "arn:aws:iam::100000000001:user/ostiary-admin"
        accounts = aws.run("organizations", "list-accounts", "--query", "length(Accounts)")
        assert accounts.strip() == "14"


def test_awscli_with_aws_okta_processor_as_credential_process(client, sandbox, who):
    """As its manual has it: a profile whose credentials come from the other client."""
    aws, processor = client("awscli", "aws"), client("aws-okta-processor")
    person = sandbox.people["contractor-1"]
    wanted = role("240000000002", "ReadOnly")
    arguments = processor_arguments(sandbox, sandbox.tiles["AWS"], person.login, wanted)
    config = aws.home / "aws-config"
    config.write_text(
        "[profile shared-tools]\nregion = us-east-1\n"
        f"credential_process = {processor.program} {' '.join(arguments)}\n"
    )
    for answer in (person.authenticator.code(), ""):
        output = aws.run(
            *("--profile", "shared-tools", "sts", "get-caller-identity", "--output", "json"),
            answer=f"{answer}\n",
            AWS_OKTA_PASS=person.password,
        )
        assert json.loads(output)["Arn"] == entered(wanted, person.login)
