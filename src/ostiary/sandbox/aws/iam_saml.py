"""SAML providers of IAM.

Source: IAM API Reference, CreateSAMLProvider, UpdateSAMLProvider, GetSAMLProvider; the words of the errors
are from memory (unverified).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ostiary.errors import Conflict
from ostiary.saml import metadata
from ostiary.sandbox.aws.call import Call, shown_tags, tags_of, with_tags, without_tags
from ostiary.sandbox.aws.iam_state import AwsError, SamlProvider

MAX_PROVIDERS = 100
VALID_FOR = 100 * 365.25 * 86_400  # what AWS shows when the metadata names no end (unverified)
Answer = dict[str, Any]


def _checked(text: str) -> metadata.Metadata:
    if text.startswith("\ufeff"):
        raise AwsError("InvalidInput", "Could not parse metadata")
    try:
        metadata.check_for_aws(text)
        return metadata.parse(text)
    except Conflict as error:
        raise AwsError("InvalidInput", f"Could not parse metadata: {error.why}") from error


def _valid_until(call: Call, found: metadata.Metadata) -> float:
    return found.valid_until.timestamp() if found.valid_until else call.now + VALID_FOR


def _missing(arn: str) -> AwsError:
    return AwsError("NoSuchEntity", f"Manifest not found for arn {arn}", 404)


def _named(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


def _truth(call: Call) -> SamlProvider:
    arn = call.params["SAMLProviderArn"]
    provider = call.account.saml_providers.get(_named(arn))
    if provider is None or provider.arn != arn:
        raise _missing(arn)
    return provider


def _visible(call: Call) -> SamlProvider:
    arn = call.params["SAMLProviderArn"]
    provider = call.account.saml_providers.seen(_named(arn), call.now)
    if provider is None or provider.arn != arn:
        raise _missing(arn)
    return provider


def _put(call: Call, provider: SamlProvider) -> None:
    call.account.saml_providers.put(provider, call.seen_from)


def create_saml_provider(call: Call) -> Answer:
    account, name = call.account, call.params["Name"]
    found = _checked(call.params["SAMLMetadataDocument"])
    if name in account.saml_providers:
        raise AwsError("EntityAlreadyExists", f"SAMLProvider with name {name} already exists.", 409)
    if len(account.saml_providers) >= MAX_PROVIDERS:
        raise AwsError(
            "LimitExceeded",
            f"Cannot exceed quota for SAMLProvidersPerAccount: {MAX_PROVIDERS}",
            409,
        )
    tags = tags_of(call.params)
    provider = SamlProvider(
        name,
        account.arn(f"saml-provider/{name}"),
        call.params["SAMLMetadataDocument"],
        call.now,
        _valid_until(call, found),
        tags,
        uuid=call.cloud.new_id("ASPA"),
        encryption_mode=call.params.get("AssertionEncryptionMode", ""),
    )
    _put(call, provider)
    return {"SAMLProviderArn": provider.arn, "Tags": shown_tags(tags)}


def get_saml_provider(call: Call) -> Answer:
    provider = _visible(call)
    shown: Answer = {
        "SAMLProviderUUID": provider.uuid,
        "SAMLMetadataDocument": provider.metadata,
        "CreateDate": provider.created,
        "ValidUntil": provider.valid_until,
        "Tags": shown_tags(provider.tags),
    }
    if provider.encryption_mode:
        shown["AssertionEncryptionMode"] = provider.encryption_mode
    return shown


def list_saml_providers(call: Call) -> Answer:
    return {
        "SAMLProviderList": [
            {
                "Arn": provider.arn,
                "ValidUntil": provider.valid_until,
                "CreateDate": provider.created,
            }
            for provider in call.account.saml_providers.all_seen(call.now)
        ]
    }


def update_saml_provider(call: Call) -> Answer:
    provider = _truth(call)
    if text := call.params.get("SAMLMetadataDocument"):
        found = _checked(text)
        provider = replace(provider, metadata=text, valid_until=_valid_until(call, found))
    if mode := call.params.get("AssertionEncryptionMode"):
        provider = replace(provider, encryption_mode=mode)
    _put(call, provider)
    return {"SAMLProviderArn": provider.arn}


def delete_saml_provider(call: Call) -> Answer:
    call.account.saml_providers.remove(_truth(call).name, call.seen_from)
    return {}


def tag_saml_provider(call: Call) -> Answer:
    provider = _truth(call)
    _put(call, replace(provider, tags=with_tags(provider.tags, tags_of(call.params))))
    return {}


def untag_saml_provider(call: Call) -> Answer:
    provider = _truth(call)
    _put(call, replace(provider, tags=without_tags(provider.tags, call.params["TagKeys"])))
    return {}


def list_saml_provider_tags(call: Call) -> Answer:
    page = call.page("Tags", list(_visible(call).tags.items()), lambda tag: tag[0])
    page["Tags"] = shown_tags(dict(page["Tags"]))
    return page
