"""Token exchange for a web SSO token, as okta-aws-cli and gimme-aws-creds ask for it.

The message about assurance is Okta's own (okta-aws-cli issue 31); the one about the client is a guess.
"""

from __future__ import annotations

from ostiary.sandbox.http import Response
from ostiary.sandbox.okta import apps, device, tokens
from ostiary.sandbox.okta.app_settings import TOKEN_EXCHANGE
from ostiary.sandbox.okta.call import Call
from ostiary.sandbox.okta.errors import OAuthError
from ostiary.sandbox.okta.objects import SIGN_IN_STATUSES, App, Token, User
from ostiary.sandbox.okta.principals import live_token

WEB_SSO = "urn:okta:oauth:token-type:web_sso_token"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
ID = "urn:ietf:params:oauth:token-type:id_token"
AUDIENCE = "urn:okta:apps:"


def web_sso(call: Call, form: dict[str, str]) -> Response:
    """ID token (subject) and access token with ``okta.apps.sso`` (actor) for a token to one SAML app."""
    client = device.client(call, form.get("client_id", ""), TOKEN_EXCHANGE)
    if form.get("requested_token_type") != WEB_SSO:
        raise OAuthError("invalid_request", "The requested_token_type is not supported.")
    if (form.get("subject_token_type"), form.get("actor_token_type")) != (ID, ACCESS):
        raise OAuthError(
            "invalid_request", "The token types of subject and actor are not supported."
        )
    subject = _token(call, form.get("subject_token", ""), "id", client, "subject_token")
    actor = _token(call, form.get("actor_token", ""), "access", client, "actor_token")
    user = call.org.users.get(subject.user_id or "")
    if user is None or user.status not in SIGN_IN_STATUSES or actor.user_id != user.id:
        raise OAuthError("invalid_grant", "The 'subject_token' is not valid.")
    if "okta.apps.sso" not in actor.scopes:
        raise OAuthError("invalid_scope", "The 'actor_token' needs the scope okta.apps.sso.")
    target = _target(call, client, user, form.get("audience", ""))
    strict, own = (call.org.policies[app.policy_id] for app in (target, client))
    if strict.mfa and not (own.mfa and subject.mfa):
        raise OAuthError(
            "invalid_grant",
            "The application's assurance requirements are not met by the 'subject_token'.",
        )
    issued = tokens.issue_web_sso(call, client, target, user, mfa=subject.mfa)
    body = {
        "token_type": "N_A",
        "expires_in": tokens.WEB_SSO_LIFE,
        "access_token": issued.value,
        "issued_token_type": WEB_SSO,
    }
    return Response.of_json(body)


def _token(call: Call, value: str, kind: str, client: App, name: str) -> Token:
    token = live_token(call, value, kind)
    if token is None or token.client_id != client.id:
        raise OAuthError("invalid_grant", f"The '{name}' is not valid.")
    return token


def _target(call: Call, client: App, user: User, audience: str) -> App:
    app = call.org.apps.get(audience.removeprefix(AUDIENCE))
    found = app is not None and audience.startswith(AUDIENCE) and app.status == "ACTIVE"
    if app is None or not found or app.mode != "SAML_2_0":
        raise OAuthError("invalid_target", "The 'audience' is not an application of this org.")
    if app.options.get("webSSOAllowedClient") != client.id:
        raise OAuthError(
            "invalid_request", "The client is not the Allowed Web SSO Client of the application."
        )
    if not apps.assigned(call, app, user):
        raise OAuthError("access_denied", "The user is not assigned to the application.")
    return app
