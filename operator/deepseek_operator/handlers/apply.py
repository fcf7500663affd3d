"""Makes the children be as desired: applies what may differ, prunes what is ours and no longer wanted.

Applying the same manifest twice changes nothing, so a pass could always apply everything. It need not: the API server
tells in ``managedFields`` which fields are ours, and that record changes as soon as anybody else takes one. While the
manifest and the record are as after the last apply, another one would change nothing and is left out. What an operator
before this one applied is left out, too, when the fields in the record have the very values of the manifest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from deepseek_operator.cluster import Cluster, Manifest
from deepseek_operator.errors import ConflictError, InvalidObjectError, NotFoundError
from deepseek_operator.handlers.observed import Observed
from deepseek_operator.handlers.owned_fields import manifest_digest
from deepseek_operator.resources.names import FIELD_MANAGER

Key = tuple[str, str]
"""Kind and name of a child."""

MERGED_QUIETLY = frozenset({"ConfigMap", "PersistentVolumeClaim"})
"""Kinds where applying over somebody else's object might raise no conflict."""


@dataclass(frozen=True, slots=True)
class _Applied:
    digest: str
    uid: str
    ownership: str


class Applier:
    """Applies and prunes children.

    Args:
        cluster: the connection.
        observed: what the watches show; answers to our own writes are put there at once.
    """

    def __init__(self, cluster: Cluster, observed: Observed) -> None:
        self._cluster = cluster
        self._observed = observed
        self._applied: dict[str, dict[Key, _Applied]] = {}
        self._undone: dict[str, list[Key]] = {}

    def forget(self, owner_uid: str) -> None:
        """Apply everything of this owner again at its next pass."""
        self._observed.distrust(owner_uid)
        self._applied.pop(owner_uid, None)
        self._undone.pop(owner_uid, None)

    def undone(self, owner_uid: str) -> list[Key]:
        """Return the children that were as they should be until somebody else changed or deleted them, each told once.

        Of a child that was applied again, be it in a pass that failed later on; not of one that this process has
        never applied or seen right.
        """
        return self._undone.pop(owner_uid, [])

    def is_settled(self, owner_uid: str) -> bool:
        """Return whether every child is as it was applied last, and nothing of ours exists beside them."""
        applied, children = self._applied.get(owner_uid, {}), self._observed.children(owner_uid)
        return (
            bool(applied)
            and applied.keys() == children.keys()
            and all(
                (known.uid, known.ownership) == (children[key].uid, children[key].ownership)
                for key, known in applied.items()
            )
        )

    async def apply(self, owner_uid: str, manifests: Sequence[Manifest]) -> None:
        """Apply the manifests that may differ from the cluster, in order.

        Raises:
            ConflictError: an object of that name exists and is not ours.
            ClusterError: the API server refused one; those before it are applied.
        """
        applied = self._applied.setdefault(owner_uid, {})
        for manifest in manifests:
            key, digest = key_of(manifest), manifest_digest(manifest)
            if self._is_current(owner_uid, key, digest):
                continue
            known = key in self._observed.children(owner_uid)
            stored = await (self._apply(manifest) if known else self._first_apply(owner_uid, manifest))
            self._observed.put_child(stored)
            child = self._observed.children(owner_uid)[key]
            if key in applied and applied[key].digest == digest:
                self._undone.setdefault(owner_uid, []).append(key)
            applied[key] = _Applied(digest, child.uid, child.ownership)

    async def _first_apply(self, owner_uid: str, manifest: Manifest) -> dict[str, Any]:
        """Apply a manifest whose object is not known; an object of that name that is not ours is left alone.

        Without force the API server itself refuses to touch another one's fields, which saves looking first; but data
        keys and sizes may happen to agree, so those kinds are looked at.
        """
        if manifest["kind"] in MERGED_QUIETLY:
            await self._refuse_foreign(owner_uid, manifest)
            return await self._cluster.apply(manifest)
        try:
            return await self._cluster.apply(manifest, force=False)
        except (ConflictError, InvalidObjectError):
            await self._refuse_foreign(owner_uid, manifest)
            return await self._apply(manifest)

    async def _apply(self, manifest: Manifest) -> dict[str, Any]:
        """Apply over a child of ours; where both versions together contradict, ours is written whole."""
        try:
            return await self._cluster.apply(manifest)
        except InvalidObjectError:
            await self._cluster.overwrite(manifest)
            return await self._cluster.apply(manifest)

    async def _refuse_foreign(self, owner_uid: str, manifest: Manifest) -> None:
        """Raise when an object of that name exists and is not ours; applying would take it over and later delete it."""
        kind, name = key_of(manifest)
        try:
            found = await self._cluster.get(kind, manifest["metadata"]["namespace"], name)
        except NotFoundError:
            return
        if not is_ours(found, owner_uid):
            raise ConflictError(
                f"{kind} {name} exists and belongs to somebody else; rename it or the DeepSeekDeployment"
            )

    async def prune(
        self,
        owner_uid: str,
        manifests: Sequence[Manifest],
        among: Collection[Key] | None = None,
        spared: Collection[Key] = (),
    ) -> None:
        """Delete the children that are not among the manifests.

        Args:
            owner_uid: whose children.
            manifests: that should be there.
            among: children that may be deleted; None for all.
            spared: children that may not.
        """
        wanted = {key_of(manifest) for manifest in manifests}
        children = self._observed.children(owner_uid)
        for key in sorted(children.keys() - wanted):
            if key in spared or (among is not None and key not in among):
                continue
            child = children[key]
            await self._cluster.delete(child.kind, child.namespace, child.name, child.uid)
            self._applied.get(owner_uid, {}).pop(key, None)

    def _is_current(self, owner_uid: str, key: Key, digest: str) -> bool:
        child = self._observed.children(owner_uid).get(key)
        if child is None:
            return False
        applied, as_it_is = self._applied.setdefault(owner_uid, {}), _Applied(digest, child.uid, child.ownership)
        if key not in applied and child.owned == digest:
            applied[key] = as_it_is
        return applied.get(key) == as_it_is


def is_ours(found: Manifest, owner_uid: str) -> bool:
    """Return whether an object belongs to an owner, or is an orphan that the operator itself has written.

    Orphans are left by ``kubectl delete --cascade=orphan``, and by whoever removes an owner reference.
    """
    metadata = found["metadata"]
    owners = metadata.get("ownerReferences") or ()
    if any(reference.get("uid") == owner_uid for reference in owners):
        return True
    written = any(
        entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")
        for entry in metadata.get("managedFields") or ()
    )
    return written and not owners


def key_of(manifest: Manifest) -> Key:
    """Return kind and name of a manifest."""
    return manifest["kind"], manifest["metadata"]["name"]
