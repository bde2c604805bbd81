"""The AWS sign-in endpoint: a SAML response becomes a role picker, then a console session.

``/saml`` of a sign-in host, which in the sandbox may also be the first segment of the path
(``/signin.aws.amazon.com/saml``). Structure of the role picker: as command-line clients read it from AWS's page.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from ostiary.errors import AssertionRefused
from ostiary.model.partition import PARTITIONS, Partition
from ostiary.saml import verify
from ostiary.saml.roles import RolePair, parse_pairs
from ostiary.saml.verify import VerifiedAssertion
from ostiary.sandbox.aws import console
from ostiary.sandbox.aws.iam_state import AwsError
from ostiary.sandbox.aws.pages import page, render
from ostiary.sandbox.aws.sts_saml import assume_role_with_saml, sign_in_urls, verified
from ostiary.sandbox.http import Request, Response
from ostiary.sandbox.world import World

INVALID_RESPONSE = "Your request included an invalid SAML response."
_HOST = re.compile(
    "(?:[a-z0-9-]+\\.)?(?:"
    + "|".join(re.escape(each.sign_in_host) for each in PARTITIONS.values())
    + ")"
)


def serves(request: Request) -> bool:
    """Whether a request is for the sign-in endpoint or the console and not for an API."""
    host, path = _host_and_path(request)
    return bool(host) or path == "/console" or path.startswith("/console/")


def handle(world: World, request: Request) -> Response:
    """Answer one request of a browser."""
    host, path = _host_and_path(request)
    if path == "/console" or path.startswith("/console/"):
        return console.handle(world, request)
    partition = _partition(host)
    if partition is None:
        return _refused("Page not found", f"There is no sign-in endpoint {host}", 404)
    if path == "/static/saml-metadata.xml" and request.method == "GET":
        text = render(
            "saml-metadata.xml", audience=partition.audience, location=f"https://{host}/saml"
        )
        return Response(200, text.encode(), (("content-type", "application/samlmetadata+xml"),))
    if path != "/saml":
        return _refused("Page not found", f"There is no page {path}", 404)
    if request.method != "POST":
        return _refused("Sign in", "Start at your organization's own sign-in page.", 405)
    try:
        return _sign_in(world, request, partition)
    except AwsError as error:
        return _failed(error)
    except UnicodeDecodeError:  # the form is not text
        return _refused("Error", INVALID_RESPONSE, 400, logout=True)


def _host_and_path(request: Request) -> tuple[str, str]:
    """The sign-in host that is meant, "" if none, and the path below it."""
    first, _, rest = request.path.lstrip("/").partition("/")
    if _HOST.fullmatch(first):
        return first, "/" + rest
    named = request.header("host").partition(":")[0].lower()
    return (named if _HOST.fullmatch(named) else ""), request.path


def _partition(host: str) -> Partition | None:
    return next(
        (one for one in PARTITIONS.values() if f"https://{host}/saml" in sign_in_urls(one)), None
    )


def _sign_in(world: World, request: Request, partition: Partition) -> Response:
    form = request.form
    text = form.get("SAMLResponse", "")
    try:
        claimed = parse_pairs(verify.claimed_role_values(verify.decode(text)))
    except AssertionRefused as refused:
        raise AwsError(refused.code, refused.why) from refused
    pairs = [pair for pair in claimed if pair.partition == partition.name]
    if not pairs:
        return _refused("Error", INVALID_RESPONSE, 400, logout=True)
    said, offered = _verified(world, text, pairs)
    chosen = form.get("roleIndex") or (pairs[0].role_arn if len(pairs) == 1 else "")
    if not chosen:
        return _picker(world, request, said, offered)
    pair = next((pair for pair in offered if pair.role_arn == chosen), None)
    if pair is None:
        return _refused("Error", INVALID_RESPONSE, 400, logout=True)
    return _enter(world, request, pair, said, partition)


def _verified(
    world: World, text: str, pairs: list[RolePair]
) -> tuple[VerifiedAssertion, list[RolePair]]:
    """Verify the response by the provider of each pair; return the pairs for which that succeeds.

    Providers with the same metadata are asked once: that is every account of an estate. Raises the first
    AwsError if no provider accepts.
    """
    results: dict[tuple[str, str, str], VerifiedAssertion | AwsError] = {}
    offered: list[RolePair] = []
    first: AwsError | None = None
    response = verify.decode(text)
    for pair in pairs:
        provider = world.aws.saml_provider(pair.provider_arn)
        if provider is None:
            continue
        key = (pair.partition, provider.metadata, provider.encryption_mode)
        if key not in results:
            try:
                results[key] = verified(
                    world, world.aws.account(pair.account_id), provider, response
                )
            except AwsError as error:
                results[key] = error
        result = results[key]
        if isinstance(result, AwsError):
            first = first or result
        elif pair in parse_pairs(result.role_values):
            offered.append(pair)
    said = next((found for found in results.values() if isinstance(found, VerifiedAssertion)), None)
    if said is None or not offered:
        raise first or AwsError("InvalidIdentityToken", "Specified provider doesn't exist")
    return said, offered


def _picker(
    world: World, request: Request, said: VerifiedAssertion, offered: list[RolePair]
) -> Response:
    accounts = []
    for account_id in sorted({pair.account_id for pair in offered}):
        alias = world.aws.account(account_id).alias
        roles = [
            {"arn": pair.role_arn, "name": pair.role_name}
            for pair in sorted(offered)
            if pair.account_id == account_id
        ]
        shown = f"{alias} ({account_id})" if alias else account_id
        accounts.append({"shown": shown, "roles": roles})
    return page(
        "picker.html",
        action=request.path,
        relay_state=request.form.get("RelayState", ""),
        saml_response=request.form["SAMLResponse"],
        session_name=said.session_name,
        accounts=accounts,
    )


def _enter(
    world: World, request: Request, pair: RolePair, said: VerifiedAssertion, partition: Partition
) -> Response:
    """Assume the role for as long as the SessionDuration attribute says and go to the console."""
    params: dict[str, str | int] = {
        "RoleArn": pair.role_arn,
        "PrincipalArn": pair.provider_arn,
        "SAMLAssertion": request.form["SAMLResponse"],
    }
    if said.session_duration is not None:
        params["DurationSeconds"] = said.session_duration
    answer = assume_role_with_saml(world, params, request)
    session = world.aws.keys[answer["Credentials"]["AccessKeyId"]]
    where = _console_path(request.form.get("RelayState", ""), partition)
    return Response(
        302, b"", (("location", where), ("set-cookie", console.cookie(request, session)))
    )


def _console_path(relay_state: str, partition: Partition) -> str:
    """Where in the sandbox's console the relay state points; other sites are never redirected to."""
    asked, own = urlsplit(relay_state), urlsplit(partition.console_url)
    known = asked.hostname == own.hostname or (asked.hostname or "").endswith(f".{own.hostname}")
    if not known or asked.scheme != "https":
        return "/console/home"
    return "/console/" + quote(asked.path.removeprefix("/console").strip("/") or "home", safe="/")


def _failed(error: AwsError) -> Response:
    text = error.message
    if "(Service:" not in text:
        text += (
            f" (Service: AWSSecurityTokenService; Status Code: {error.status};"
            f" Error Code: {error.code})"
        )
    return _refused("Error", f"{text}. Please try again.", error.status)


def _refused(heading: str, text: str, status: int, *, logout: bool = False) -> Response:
    return page("refused.html", status, heading=heading, text=text, logout=logout)
