"""Okta's error body: a code, a summary and the causes. Source: Okta API, "Error codes and descriptions"."""

from __future__ import annotations

from collections.abc import Iterable

from ostiary.sandbox.http import Response


class OktaError(Exception):
    """Answered as ``{errorCode, errorSummary, errorLink, errorId, errorCauses}`` with ``status``."""

    def __init__(
        self,
        code: str,
        summary: str,
        status: int,
        causes: Iterable[str] = (),
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(summary)
        self.code = code
        self.summary = summary
        self.status = status
        self.causes = tuple(causes)
        self.headers = tuple(headers)

    def response(self, error_id: str) -> Response:
        body = {
            "errorCode": self.code,
            "errorSummary": self.summary,
            "errorLink": self.code,
            "errorId": error_id,
            "errorCauses": [{"errorSummary": cause} for cause in self.causes],
        }
        return Response.of_json(body, self.status, self.headers)


class OAuthError(Exception):
    """Answered as ``{error, error_description}``: what the OAuth endpoints say (RFC 6749 §5.2)."""

    def __init__(
        self,
        error: str,
        description: str,
        status: int = 400,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.headers = tuple(headers)

    def response(self, _error_id: str) -> Response:
        body = {"error": self.error, "error_description": self.description}
        return Response.of_json(body, self.status, self.headers)


def invalid(thing: str, *causes: str) -> OktaError:
    return OktaError("E0000001", f"Api validation failed: {thing}", 400, causes or (thing,))


def malformed() -> OktaError:
    return OktaError("E0000003", "The request body was not well-formed.", 400)


def bad_login() -> OktaError:
    return OktaError("E0000004", "Authentication failed", 401)


def no_session() -> OktaError:
    return OktaError("E0000005", "Invalid session", 403)


def forbidden(headers: Iterable[tuple[str, str]] = ()) -> OktaError:
    summary = "You do not have permission to perform the requested action"
    return OktaError("E0000006", summary, 403, headers=headers)


def missing(kind: str, identifier: str) -> OktaError:
    return OktaError("E0000007", f"Not found: Resource not found: {identifier} ({kind})", 404)


def no_path() -> OktaError:
    return OktaError("E0000008", "The requested path was not found", 404)


def bad_token(headers: Iterable[tuple[str, str]] = ()) -> OktaError:
    return OktaError("E0000011", "Invalid token provided", 401, headers=headers)


def bad_method() -> OktaError:
    return OktaError("E0000022", "The endpoint does not support the provided HTTP method", 405)


def throttled() -> OktaError:
    summary = "API call exceeded rate limit due to too many requests."
    return OktaError("E0000047", summary, 429)


def bad_passcode() -> OktaError:
    cause = "Your passcode doesn't match our records. Please try again."
    return OktaError("E0000068", "Invalid Passcode/Answer", 403, (cause,))


def user_locked() -> OktaError:
    return OktaError("E0000069", "User Locked", 403)


def wrong_state() -> OktaError:
    summary = "This operation is not allowed in the user's current status."
    return OktaError("E0000038", summary, 403)


def wrong_transaction() -> OktaError:
    summary = "This operation is not allowed in the current authentication state."
    return OktaError("E0000079", summary, 403)


def reconciling() -> OktaError:
    summary = "Policy priorities are being reconciled. Please try again later."
    return OktaError("E0000239", summary, 423)
