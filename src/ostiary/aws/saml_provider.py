"""The kind ``saml-provider``: the identity provider of an account that holds an Okta app's metadata.

Ours by the tag ``ostiary:estate``. Two are equal when entity id, sign-on URLs and signing keys are; the text
may differ (Okta renews certificates around the same key).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from ostiary.aws.account_reading import ProviderReading, Readings, look_at_provider
from ostiary.aws.ownership import TAG, mark, owner_by_tag
from ostiary.aws.propagation import until_seen
from ostiary.aws.trust_document import others_let_in, providers_named, sid_prefix
from ostiary.errors import Conflict, NotFound, OstiaryError, StalePlan
from ostiary.plan.resource import Found, Json, Key, Owner, Reading, Resource, Risk, Value
from ostiary.saml import metadata


class SamlProviderKind:
    """Providers are read by name: ``names`` (those that the estate uses), those wanted, those that our trust
    statements let in. ``sweep`` lists the account instead, one call and one per provider more: for ``drift``
    and ``destroy``.
    """

    name = "saml-provider"

    def __init__(
        self,
        estate: str,
        readings: Readings,
        names: Iterable[str] = (),
        *,
        sweep: bool = False,
    ) -> None:
        self._estate = estate
        self._readings = readings
        self._clouds = readings.clouds
        self._names = frozenset(names)
        self._sweep = sweep

    def read(self, scope: str, wanted: Mapping[str, Resource]) -> Reading:
        found: list[Found] = []
        try:
            for name in sorted(self._known(scope) | wanted.keys()):
                provider = self._readings.provider(scope, name)
                if provider is not None:
                    found.append(self._found(scope, provider))
        except OstiaryError as error:
            return Reading(self.name, scope, complete=False, why=error)
        kept = (one for one in found if one.owner is Owner.OURS or one.key.name in wanted)
        return Reading(self.name, scope, tuple(kept))

    def look(self, key: Key) -> Found | None:
        provider = look_at_provider(self._clouds, key.scope, key.name)
        return self._found(key.scope, provider) if provider else None

    def differences(self, found: Found, wanted: Mapping[str, Json]) -> tuple[str, ...]:
        if "metadata" not in wanted:
            return ()
        same = _same(str(found.attributes["metadata"]), str(wanted["metadata"]))
        return () if same else ("metadata",)

    def risk(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> Risk:
        """Other metadata is another identity provider, or other keys: it says who may enter."""
        del found, wanted
        return {"create": Risk.NONE, "delete": Risk.DETACH}.get(action, Risk.TRUST)

    def detaches(self, action: str, found: Found | None, wanted: Mapping[str, Value] | None) -> int:
        del found, wanted
        return int(action == "delete")

    def needed_by(self, found: Found) -> str:
        """Which roles let people in by a provider that is no longer wanted, in statements of others."""
        arn, prefix = found.ids["arn"], sid_prefix(self._estate)
        roles = self._readings.account(found.key.scope).roles.values()
        others = [role.name for role in roles if others_let_in(role.trust, prefix, arn)]
        return f"others enter by it: role {', role '.join(others)}" if others else ""

    def create(self, key: Key, wanted: Mapping[str, Json]) -> Found:
        text = _checked(wanted)
        try:
            self._write(
                key,
                "create_saml_provider",
                Name=key.name,
                SAMLMetadataDocument=text,
                Tags=[mark(self._estate)],
            )
        except Conflict as exists:
            if exists.code != "EntityAlreadyExists":
                raise
            return self.update(self._ours_already(key, exists), wanted)
        self._until_read(key, text)
        return self._found(key.scope, self._provider(key, text))

    def update(self, found: Found, wanted: Mapping[str, Json]) -> Found:
        now = self._unchanged(found)
        if now is None:
            raise StalePlan(f"cannot update {found.key}", why="it is gone", fix="run: ostiary plan")
        text = _checked(wanted)
        arn = found.ids["arn"]
        if not _same(now.metadata, text):
            self._write(
                found.key, "update_saml_provider", SAMLProviderArn=arn, SAMLMetadataDocument=text
            )
            self._until_read(found.key, text)
        if now.tags.get(TAG) != self._estate:
            self._write(
                found.key, "tag_saml_provider", SAMLProviderArn=arn, Tags=[mark(self._estate)]
            )
        return self._found(found.key.scope, self._provider(found.key, text))

    def delete(self, found: Found) -> None:
        if self._unchanged(found) is None:
            return
        if found.owner is not Owner.OURS:
            raise Conflict(f"cannot delete {found.key}", why=f"its owner: {found.owner.value}")
        self._remove(found.key)

    def release(self, found: Found) -> None:
        arn = found.ids["arn"]
        try:
            self._write(found.key, "untag_saml_provider", SAMLProviderArn=arn, TagKeys=[TAG])
        except NotFound:
            return  # gone is released

    def restore(self, key: Key, before: Mapping[str, Json] | None) -> None:
        now = self.look(key)
        if before is None:
            if now is not None and now.owner is Owner.OURS:
                self._remove(key)
        elif now is None:
            self.create(key, before)
        else:
            self.update(now, before)

    def _known(self, scope: str) -> frozenset[str]:
        if not self._sweep:
            prefix = sid_prefix(self._estate)
            roles = self._readings.account(scope).roles.values()
            return self._names.union(*(providers_named(role.trust, prefix) for role in roles))
        return self._listed(scope)

    def _listed(self, scope: str) -> frozenset[str]:
        aws = self._clouds.of(scope)
        listed = aws.call("iam", "list_saml_providers", account=scope)["SAMLProviderList"]
        return frozenset(one["Arn"].partition(":saml-provider/")[2] for one in listed)

    def _found(self, account_id: str, provider: ProviderReading) -> Found:
        owner, named = owner_by_tag(provider.tags, self._estate)
        attributes: dict[str, Json] = {"metadata": provider.metadata}
        return Found(
            Key(self.name, account_id, provider.name),
            attributes,
            owner,
            ids={"arn": provider.arn},
            owned_by=named,
            raw=attributes,
        )

    def _provider(self, key: Key, text: str) -> ProviderReading:
        arn = self._clouds.of(key.scope).partition.iam_arn(key.scope, f"saml-provider/{key.name}")
        return ProviderReading(key.name, arn, text, {TAG: self._estate})

    def _unchanged(self, found: Found) -> ProviderReading | None:
        now = look_at_provider(self._clouds, found.key.scope, found.key.name)
        if now is None:
            return None
        owner, _ = owner_by_tag(now.tags, self._estate)
        if owner is not found.owner or not _same(now.metadata, str(found.attributes["metadata"])):
            raise StalePlan(
                f"cannot write {found.key}",
                why="changed since it was read",
                fix="run: ostiary plan",
            )
        return now

    def _ours_already(self, key: Key, exists: Conflict) -> Found:
        """What stands in the way of a creation: ours after a lost answer, else a conflict."""
        names = self._listed(key.scope)
        twin = next((one for one in names if one.lower() == key.name.lower()), key.name)
        if twin == key.name:
            until_seen(self._clouds.of(key.scope), str(key), lambda: self.look(key) is not None)
            found = self.look(key)
            if found is not None and found.owner is Owner.OURS:
                return found
        appeared = twin == key.name
        raise (StalePlan if appeared else Conflict)(
            f"cannot create {key}",
            why=exists.why if appeared else f"{twin} exists, and IAM ignores case in names",
            fix=f"run: ostiary adopt {self.name}:{key.scope}/{twin}, or choose another name",
            code=exists.code,
        ) from exists

    def _remove(self, key: Key) -> None:
        try:
            self._write(key, "delete_saml_provider", SAMLProviderArn=self._provider(key, "").arn)
        except NotFound:
            return  # a repeated deletion whose first answer was lost
        until_seen(self._clouds.of(key.scope), str(key), lambda: self.look(key) is None)

    def _until_read(self, key: Key, text: str) -> None:
        look = partial(look_at_provider, self._clouds, key.scope, key.name)

        def seen() -> bool:
            now = look()
            return now is not None and _same(now.metadata, text)

        until_seen(self._clouds.of(key.scope), str(key), seen)

    def _write(self, key: Key, operation: str, **params: Any) -> None:
        try:
            self._clouds.of(key.scope).call(
                "iam", operation, account=key.scope, repeatable=True, **params
            )
        finally:
            self._readings.forget(key.scope)


def _checked(wanted: Mapping[str, Json]) -> str:
    """Metadata that AWS will accept. Raises Conflict before anything is sent."""
    text = str(wanted["metadata"])
    metadata.parse(text)
    metadata.check_for_aws(text)
    return text


@lru_cache(maxsize=64)
def _parsed(text: str) -> metadata.Metadata | None:
    try:
        return metadata.parse(text)
    except Conflict:
        return None


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    first, second = _parsed(one), _parsed(other)
    return first is not None and second is not None and metadata.same(first, second)
