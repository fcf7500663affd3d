"""The operator process: starts everything in order and takes it down in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import kopf
import uvloop
from prometheus_client import CollectorRegistry

from deepseek_operator.api.v1alpha1 import KIND
from deepseek_operator.cluster import Cluster, connect
from deepseek_operator.errors import ClusterError, DeepSeekOperatorError, shortened
from deepseek_operator.handlers.endpoints import Endpoints
from deepseek_operator.handlers.follow import Followers
from deepseek_operator.handlers.leadership import Leadership, LeadershipLostError
from deepseek_operator.handlers.operator import Operator
from deepseek_operator.handlers.settings import Settings
from deepseek_operator.handlers.watch import build_registry, build_settings, turn
from deepseek_operator.metrics import Metrics

log = logging.getLogger(__name__)

GC_THRESHOLDS = (20_000, 20, 50)
"""Python's default of 700 looks for cycles many times per object that is reconciled; there are next to none."""

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
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    metrics = Metrics(CollectorRegistry())
    async with await connect(settings.kubeconfig, metrics.on_call) as cluster:
        operator = Operator(cluster, settings, metrics)
        try:
            capacity = operator.capacity.page if settings.capacity_page else None
            endpoints = Endpoints(settings.address, settings.port, metrics.registry, operator.heartbeat, capacity)
        except OSError as error:
            wanted = f"{settings.address}:{settings.port}"
            raise DeepSeekOperatorError(f"cannot listen on {wanted}: {error.strerror or error}") from error
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
        metrics.leading.set(1)
        followers = Followers(cluster, operator, settings.namespaces)
        await operator.discovery.look()
        beside = [followers.run(), operator.discovery.run(), operator.scaling.run()]
        beside += [operator.capacity.run(), operator.capacity_plans.run()]
        if settings.leader_election:
            beside.append(leadership.hold())
        await _watch(cluster, settings, operator, followers, beside)
    except LeadershipLostError as error:
        raise DeepSeekOperatorError(f"{error}; another operator may be active, so this one ends") from error
    finally:
        metrics.leading.set(0)
        await operator.close()
        await asyncio.shield(leadership.release())


async def _watch(
    cluster: Cluster,
    settings: Settings,
    operator: Operator,
    followers: Followers,
    beside: Sequence[Coroutine[Any, Any, None]],
) -> None:
    """Run kopf until it is told to stop (it takes SIGTERM and SIGINT over) or until something beside it fails."""
    stop, started = asyncio.Event(), asyncio.Event()

    async def watching() -> None:
        # The first plan must see the whole cluster, and a child that exists must not be taken for missing.
        await followers.listed()
        await _wait_for_resource(cluster, settings.namespaces, operator)
        # What was listed stays; looking through it for garbage again and again would cost a tenth of all work.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        started.set()
        await kopf.operator(
            registry=build_registry(operator),
            settings=build_settings(),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            stop_flag=stop,
        )

    tasks = [asyncio.create_task(each) for each in (watching(), *beside)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except LeadershipLostError:
        raise
    except Exception as error:
        # For one, the definition was deleted: the next process waits until it is back.
        why = shortened(str(error))
        raise DeepSeekOperatorError(f"watching has ended ({why}); start the operator again") from error
    finally:
        stop.set()  # kopf wants to end by itself
        for task in tasks[1:] if started.is_set() else tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _wait_for_resource(cluster: Cluster, namespaces: Sequence[str], operator: Operator) -> None:
    """Wait until the API server serves the custom resource; the chart may install both at the same time.

    Then take in what engines have reported, because the first plan must know all of it.
    """
    told = ""
    while True:
        try:
            there: list[str] = []
            for namespace in namespaces or (None,):
                async for body in cluster.list(KIND, namespace):
                    operator.reported(body)
                    there.append(body["metadata"]["uid"])
            operator.capacity_plans.expect(there, time.monotonic())
            return
        except ClusterError as error:
            if str(error) != told:
                log.warning("waiting for the custom resource: %s", error)
                told = str(error)
        await asyncio.sleep(RETRY_SECONDS)
