"""The only Kubernetes I/O: apply, list, delete and status writes on plain dicts.

Server-side apply with one field manager does all writing: applying the same manifest again changes nothing, and a
field that somebody else edited is taken back. Objects stay dicts from the wire to the caller, because typed models
drop fields that they do not know. This module decides nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.config import ConfigException

from deepseek_operator.errors import (
    ClusterError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    InvalidObjectError,
    NotFoundError,
)
from deepseek_operator.kubeconfig import no_cluster
from deepseek_operator.resources.names import FIELD_MANAGER

REQUEST_TIMEOUT_SECONDS = 30
"""A single call; the API server itself gives up on a request after 60 s by default."""

WATCH_SECONDS = 300
"""The API server ends a watch after this time, and a dead connection is noticed soon after."""

LIST_CHUNK_OBJECTS = 500
"""Objects per page of a list, the page size of kubectl."""

UNFINISHED_PODS = "status.phase!=Succeeded,status.phase!=Failed"
"""Field selector of the pods that can hold GPUs."""

MAX_CONNECTIONS = 32
"""Calls in flight at once, watches not counted; API servers queue fairly per user, so more would only wait there."""

Manifest = Mapping[str, Any]
"""A Kubernetes object as JSON."""

ERRORS: Mapping[int, type[ClusterError]] = {
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: ExpiredError,
    422: InvalidObjectError,
}
"""HTTP status to the error that somebody handles; every other refusal is a ClusterError."""

APPLY = "application/apply-patch+yaml; charset=utf-8"
"""Content type of server-side apply; not the bare one, for which the library would write the body itself."""

_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")

CallObserver = Callable[[str, str, int], None]
"""Told about each finished call: verb, plural of the kind, HTTP status (0 when there was no answer)."""


@dataclass(frozen=True)
class Resource:
    """Where the API server keeps a kind."""

    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """Return the URL path of the collection, an object or its subresource."""
        parts = ["api" if "/" not in self.api_version else "apis", self.api_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/" + "/".join(parts)


RESOURCES: Mapping[str, Resource] = {
    "CapacityPlan": Resource("deepseek-operator.io/v1alpha1", "capacityplans", namespaced=False),
    "ConfigMap": Resource("v1", "configmaps"),
    "CustomResourceDefinition": Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False),
    "DeepSeekDeployment": Resource("deepseek-operator.io/v1alpha1", "deepseekdeployments"),
    "Deployment": Resource("apps/v1", "deployments"),
    "Job": Resource("batch/v1", "jobs"),
    "LeaderWorkerSet": Resource("leaderworkerset.x-k8s.io/v1", "leaderworkersets"),
    "Lease": Resource("coordination.k8s.io/v1", "leases"),
    "NetworkPolicy": Resource("networking.k8s.io/v1", "networkpolicies"),
    "Node": Resource("v1", "nodes", namespaced=False),
    "PersistentVolumeClaim": Resource("v1", "persistentvolumeclaims"),
    "Pod": Resource("v1", "pods"),
    "PodMonitor": Resource("monitoring.coreos.com/v1", "podmonitors"),
    "PodDisruptionBudget": Resource("policy/v1", "poddisruptionbudgets"),
    "PriorityClass": Resource("scheduling.k8s.io/v1", "priorityclasses", namespaced=False),
    "ResourceClaimTemplate": Resource("resource.k8s.io/v1", "resourceclaimtemplates"),
    "ResourceQuota": Resource("v1", "resourcequotas"),
    "ResourceSlice": Resource("resource.k8s.io/v1", "resourceslices", namespaced=False),
    "Service": Resource("v1", "services"),
    "StatefulSet": Resource("apps/v1", "statefulsets"),
}
"""Every kind that this product touches."""


class Cluster:
    """A connection to one API server. Use as an asynchronous context manager, or call ``close``.

    Args:
        api_client: a configured client of the official library.
        on_call: told about each finished call; for metrics.
    """

    def __init__(self, api_client: kubernetes_client.ApiClient, on_call: CallObserver | None = None) -> None:
        self._client = api_client
        self._on_call = on_call
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        await self._client.close()

    async def apply(self, manifest: Manifest, *, subresource: str = "", force: bool = True) -> dict[str, Any]:
        """Write the fields of a manifest by server-side apply and return the object as stored.

        An unknown field is an error, never dropped.

        Args:
            manifest: object with ``apiVersion``, ``kind``, ``metadata.name``; with ``metadata.uid`` the call fails
                with ConflictError when the object was replaced meanwhile.
            subresource: ``status`` writes only the status and never creates the object.
            force: take back fields that another manager wrote; without it they are a ConflictError.

        Raises:
            ClusterError: the API server refused or did not answer.
        """
        resource, metadata = RESOURCES[manifest["kind"]], manifest["metadata"]
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), "fieldValidation": "Strict"}
        path = resource.path(metadata.get("namespace"), metadata["name"], subresource)
        return await self._call("PATCH", resource, path, query, manifest, APPLY)

    async def overwrite(self, manifest: Manifest) -> dict[str, Any]:
        """Write a manifest by merge patch, which replaces whole lists, and return the object as stored.

        Only for objects that server-side apply cannot repair: it merges lists by key, so an item whose key somebody
        changed stays beside ours.
        """
        resource, metadata = RESOURCES[manifest["kind"]], manifest["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"])
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call("PATCH", resource, path, query, manifest, "application/merge-patch+json")

    async def scale(self, kind: str, namespace: str, name: str, replicas: int) -> None:
        """Set the replicas of an object through its scale subresource, as ``kubectl scale`` does."""
        resource = RESOURCES[kind]
        path, query = resource.path(namespace, name, "scale"), {"fieldManager": FIELD_MANAGER}
        body = {"spec": {"replicas": replicas}}
        await self._call("PATCH", resource, path, query, body, "application/merge-patch+json")

    async def get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any]:
        """Return one object, or raise NotFoundError."""
        resource = RESOURCES[kind]
        return await self._call("GET", resource, resource.path(namespace, name))

    async def served_versions(self) -> frozenset[str]:
        """Return every group version that the API server serves, such as ``apps/v1``; the core group is left out."""
        answer = await self._call("GET", Resource("", "apis", namespaced=False), "/apis")
        groups = answer.get("groups") or ()
        return frozenset(each["groupVersion"] for group in groups for each in group.get("versions") or ())

    async def list(
        self, kind: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the objects of a kind page by page, so that only one page is in memory.

        Args:
            kind: a key of ``RESOURCES``.
            namespace: None lists all namespaces.
            label_selector: server-side filter.
            field_selector: server-side filter.
        """
        pages = self.pages(kind, namespace, label_selector=label_selector, field_selector=field_selector)
        async for _, items in pages:
            for item in items:
                yield item

    async def pages(
        self, kind: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[tuple[str, Sequence[dict[str, Any]]]]:
        """Yield pages of objects with the version that the whole list shows; a watch goes on from that version."""
        resource, token = RESOURCES[kind], ""
        while True:
            query = {"limit": str(LIST_CHUNK_OBJECTS), "continue": token}
            query |= {"labelSelector": label_selector, "fieldSelector": field_selector}
            page = await self._call(
                "GET", resource, resource.path(namespace), {key: value for key, value in query.items() if value}
            )
            metadata = page.get("metadata") or {}
            yield str(metadata.get("resourceVersion") or ""), page.get("items") or []
            token = metadata.get("continue") or ""
            if not token:
                return

    async def watch(
        self,
        kind: str,
        namespace: str | None,
        version: str,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """Yield changes after a version: ``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK`` with the object.

        Ends when the API server ends it, after some minutes; go on from the last object's version.

        Raises:
            ExpiredError: the version is too old; list again.
            ClusterError: the API server refused, or the connection broke.
        """
        resource = RESOURCES[kind]
        query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        query |= {"timeoutSeconds": str(WATCH_SECONDS)}
        query |= {"labelSelector": label_selector, "fieldSelector": field_selector}
        path = resource.path(namespace)
        url = f"{path}?{urlencode({key: value for key, value in query.items() if value})}"
        headers = {"Accept": "application/json"}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=WATCH_SECONDS + REQUEST_TIMEOUT_SECONDS)
        try:
            await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None)
            answer = await self._client.rest_client.request(
                "GET", f"{self._client.configuration.host}{url}", headers=headers, _request_timeout=timeout
            )
            async with answer.response as response:
                if response.status >= 400:
                    raise _error("WATCH", path, response.status, await response.read())
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _error("WATCH", path, int(event["object"].get("code") or 0), json.dumps(event["object"]))
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ClusterError(f"WATCH {path}: the connection broke ({type(error).__name__})") from error

    async def create(self, manifest: Manifest) -> dict[str, Any]:
        """Create an object; ConflictError when it exists."""
        resource = RESOURCES[manifest["kind"]]
        path = resource.path(manifest["metadata"].get("namespace"))
        return await self._call("POST", resource, path, {"fieldManager": FIELD_MANAGER}, manifest)

    async def replace(self, manifest: Manifest) -> dict[str, Any]:
        """Replace an object; ConflictError when its ``resourceVersion`` is no longer the newest."""
        resource, metadata = RESOURCES[manifest["kind"]], manifest["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"])
        return await self._call("PUT", resource, path, {"fieldManager": FIELD_MANAGER}, manifest)

    async def delete(self, kind: str, namespace: str | None, name: str, uid: str) -> None:
        """Delete exactly the object with that uid, children in the background; absent is fine."""
        resource = RESOURCES[kind]
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        try:
            await self._call("DELETE", resource, resource.path(namespace, name), body=body)
        except NotFoundError:
            return

    async def _call(
        self,
        method: str,
        resource: Resource,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        status = 0
        try:
            async with self._slots:
                await self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
                url = f"{self._client.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
                response = await self._client.rest_client.request(
                    method,
                    url,
                    headers=headers,
                    body=_yaml(body) if content_type == APPLY else body,
                    _request_timeout=REQUEST_TIMEOUT_SECONDS,
                )
                status = response.status
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClusterError(f"{method} {path}: no answer from the API server ({type(error).__name__})") from error
        finally:
            if self._on_call:
                self._on_call(method, resource.plural, status)
        if status >= 400:
            raise _error(method, path, status, content)
        answer = json.loads(content)
        return answer if isinstance(answer, dict) else {}


async def connect(kubeconfig: str | None = None, on_call: CallObserver | None = None) -> Cluster:
    """Return a connection made from the pod's service account, or else from a kubeconfig.

    Args:
        kubeconfig: path of a kubeconfig; None uses the service account inside a pod, else ``KUBECONFIG`` or
            ``~/.kube/config`` with its current context.
        on_call: told about each finished call.

    Raises:
        ClusterError: no usable configuration was found; the text says what to set.
    """
    configuration = kubernetes_client.Configuration()
    # No limit here: each watch keeps a connection, and those of several namespaces would leave none for calls.
    configuration.connection_pool_maxsize = 0
    # With it, each request reads ~/.netrc in a thread, a third of its cost; proxies come from the configuration.
    configuration.client_session_kwargs = {"trust_env": False}
    # What the library has to tell is in the error; without a handler it would print it on stderr as well.
    logging.getLogger("kubernetes").addHandler(logging.NullHandler())
    try:
        if kubeconfig is None:
            try:
                kubernetes_config.load_incluster_config(client_configuration=configuration)
            except ConfigException:
                await kubernetes_config.load_kube_config(client_configuration=configuration)
        else:
            await kubernetes_config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
        configuration.proxy = configuration.proxy or _proxy_for(configuration.host)
        return Cluster(kubernetes_client.ApiClient(configuration), on_call)
    except Exception as error:  # the library reads a kubeconfig of another shape without looking
        why = str(error) if isinstance(error, ConfigException | OSError | ValueError) else "it is no kubeconfig"
        raise ClusterError(no_cluster(kubeconfig, why)) from error


def context_namespace(kubeconfig: str | None = None) -> str:
    """Return the namespace of the kubeconfig's current context, ``default`` where it names none or cannot be read."""
    logging.getLogger("kubernetes").addHandler(logging.NullHandler())  # what it tells of files, connecting tells too
    try:
        _, current = kubernetes_config.list_kube_config_contexts(kubeconfig)
    except (ConfigException, OSError):
        return "default"  # connecting says what is wrong
    return str(current.get("context", {}).get("namespace") or "default")


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, None when there is none or it is to be bypassed."""
    host = urlsplit(url).hostname or ""
    return None if proxy_bypass(host) else getproxies().get(urlsplit(url).scheme)


def _yaml(manifest: Manifest | None) -> bytes:
    r"""Return a manifest as JSON that YAML reads too: YAML knows no pairs of escapes for one character beyond U+FFFF.

    >>> print(_yaml({"name": "\N{ROCKET}\N{LINE SEPARATOR}"}).decode().encode("ascii", "namereplace").decode())
    {"name": "\N{ROCKET}\u2028"}
    """
    text = json.dumps(manifest, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text).encode()


def _error(method: str, path: str, status: int, content: bytes | str) -> ClusterError:
    """Return the typed error of a refused call; only the API server's own message is repeated."""
    try:
        answer = json.loads(content)
        message = str(answer["message"]) if answer.get("kind") == "Status" else ""
    except (ValueError, KeyError, AttributeError):
        message = ""
    text = f"{method} {path}: {status} {message[:500]}".strip()
    kind = ERRORS.get(status, ClusterError)
    return kind(text)
