"""The smallest kopf operator that does four server-side applies per object and decides nothing.

The yardstick of the benchmark: both run on the same machine in the same minute, so their ratio says something
where their seconds do not.
"""

from __future__ import annotations

import asyncio
import logging
import sys

import kopf
from prometheus_client import CollectorRegistry

from deepseek_operator.api.v1alpha1 import GROUP, PLURAL, VERSION
from deepseek_operator.cluster import connect
from deepseek_operator.handlers.endpoints import Endpoints, Heartbeat
from deepseek_operator.metrics import Metrics
from deepseek_operator.resources.names import Owner, metadata


def children(owner: Owner) -> list[dict[str, object]]:
    pod = {
        "metadata": {"labels": {"app": owner.name}},
        "spec": {"containers": [{"name": "engine", "image": "engine:1"}]},
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(owner),
            "spec": {"selector": {"app": owner.name}, "ports": [{"port": 80}]},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(owner),
            "spec": {"selector": {"matchLabels": {"app": owner.name}}, "maxUnavailable": 1},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(owner),
            "spec": {"selector": {"matchLabels": {"app": owner.name}}, "template": pod},
        },
    ]


async def main(kubeconfig: str) -> None:
    metrics = Metrics(CollectorRegistry())
    endpoints = Endpoints("127.0.0.1", 0, metrics.registry, Heartbeat())
    logging.info("metrics and health on port %d", endpoints.port)
    registry = kopf.OperatorRegistry()
    woken: dict[str, asyncio.Event] = {}
    async with await connect(kubeconfig, metrics.on_call) as cluster:

        async def loop(body: dict[str, dict[str, str]], event: asyncio.Event) -> None:
            owner = Owner(
                name=body["metadata"]["name"], namespace=body["metadata"]["namespace"], uid=body["metadata"]["uid"]
            )
            while True:
                await event.wait()
                event.clear()
                for manifest in children(owner):
                    await cluster.apply(manifest)
                identity = {key: body["metadata"][key] for key in ("name", "namespace", "uid")}
                status = {"replicas": 1}
                kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "DeepSeekDeployment"}
                await cluster.apply({**kind, "metadata": identity, "status": status}, subresource="status")
                metrics.reconciles.labels(result="ok").inc()

        tasks = []

        @kopf.on.login(registry=registry)
        def login(**kwargs: object) -> kopf.ConnectionInfo | None:
            return kopf.login_with_kubeconfig(**kwargs)

        @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
        async def seen(event: kopf.RawEvent, **_: object) -> None:
            uid = event["object"]["metadata"]["uid"]
            if uid not in woken:
                woken[uid] = asyncio.Event()
                woken[uid].set()
                tasks.append(asyncio.create_task(loop(event["object"], woken[uid])))

        settings = kopf.OperatorSettings()
        settings.scanning.disabled = True
        metrics.leading.set(1)
        await kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    asyncio.run(main(sys.argv[1]))
