"""The operator process: starts everything in order and takes it down in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

import kopf
from prometheus_client import CollectorRegistry

from deepseek_operator.cluster import Cluster, connect
from deepseek_operator.errors import ClusterError, DeepSeekOperatorError, NotFoundError
from deepseek_operator.handlers.endpoints import Endpoints
from deepseek_operator.handlers.leadership import Leadership, LeadershipLostError
from deepseek_operator.handlers.operator import Operator
from deepseek_operator.handlers.settings import Settings
from deepseek_operator.handlers.watch import build_registry, build_settings, turn
from deepseek_operator.metrics import Metrics

log = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""Between two looks for the custom resource definition while it is not served yet."""


def run_operator(settings: Settings, *, verbose: bool = False) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        ClusterError: there is no cluster configuration.
        DeepSeekOperatorError: leadership was lost; the process must be started again.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if not verbose:
        # kopf tells about each event of each object at INFO and DEBUG; our own lines tell what was done.
        logging.getLogger("kopf").setLevel(logging.WARNING)
    if settings.kubeconfig is not None:
        os.environ["KUBECONFIG"] = settings.kubeconfig
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    metrics = Metrics(CollectorRegistry())
    async with await connect(settings.kubeconfig, metrics.on_call) as cluster:
        operator = Operator(cluster, settings, metrics)
        endpoints = Endpoints(settings.address, settings.port, metrics.registry, operator.heartbeat)
        log.info("metrics and health on port %d", endpoints.port)
        work = asyncio.create_task(_lead(cluster, settings, metrics, operator))
        beating = asyncio.create_task(turn(operator))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, work.cancel)
        try:
            await work
        except asyncio.CancelledError:
            log.info("stopping")
        finally:
            beating.cancel()
            endpoints.close()


async def _lead(cluster: Cluster, settings: Settings, metrics: Metrics, operator: Operator) -> None:
    """Wait for leadership, then work until cancelled or until the leadership is lost."""
    leadership = Leadership(
        cluster,
        namespace=settings.lease_namespace,
        name=settings.lease_name,
        identity=settings.identity,
        lease_seconds=settings.lease_seconds,
    )
    try:
        if settings.leader_election:
            await leadership.acquire()
        await _wait_for_resource(cluster)
        metrics.leading.set(1)
        await _watch_while(leadership.hold() if settings.leader_election else None, settings, operator)
    except LeadershipLostError as error:
        raise DeepSeekOperatorError(f"{error}; another operator may be active, so this one ends") from error
    finally:
        metrics.leading.set(0)
        await operator.close()
        await asyncio.shield(leadership.release())


async def _watch_while(holding: Coroutine[Any, Any, None] | None, settings: Settings, operator: Operator) -> None:
    """Run kopf until it is told to stop (it takes SIGTERM and SIGINT over) or until ``holding`` fails."""
    stop = asyncio.Event()
    watching = asyncio.create_task(
        kopf.operator(
            registry=build_registry(operator),
            settings=build_settings(),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=stop,
        )
    )
    tasks = [watching] if holding is None else [watching, asyncio.create_task(holding)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        stop.set()
        for task in tasks[1:]:
            task.cancel()
        await asyncio.wait(tasks)


async def _wait_for_resource(cluster: Cluster) -> None:
    """Wait until the API server serves the custom resource; the chart may install both at the same time."""
    told = False
    while True:
        try:
            async for _ in cluster.list("DeepSeekDeployment"):
                break
            return
        except NotFoundError:
            if not told:
                log.warning("the API server does not serve deepseekdeployments yet; waiting for their definition")
                told = True
        except ClusterError as error:
            log.warning("%s", error)
        await asyncio.sleep(RETRY_SECONDS)
