"""``deepseek-operator run``: the controller process."""

from __future__ import annotations

from typing import Annotated

import typer


def run(
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", "-n", help="Watched namespace, repeatable; default: all.")
    ] = None,
    kubeconfig: Annotated[
        str | None, typer.Option(help="Kubeconfig; default: the pod's service account, else the user's.")
    ] = None,
    address: Annotated[str, typer.Option(help="Address of the metrics and health page.")] = "0.0.0.0",  # noqa: S104 - scraped from outside the pod
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the metrics and health page; 0 takes a free one.")
    ] = 8080,
    leader_election: Annotated[bool, typer.Option(help="Guard by a Lease that one process is active.")] = True,
    lease_namespace: Annotated[
        str, typer.Option(envvar="POD_NAMESPACE", help="Namespace of the Lease.")
    ] = "deepseek-operator",
    lease_seconds: Annotated[
        int, typer.Option(min=3, max=86_400, help="A silent leader is replaced after so many seconds.")
    ] = 30,
    resync_seconds: Annotated[
        int, typer.Option(min=10, max=10**6, help="Longest time between two passes over one object.")
    ] = 3600,
    engine_metrics: Annotated[
        bool, typer.Option(help="Read the metrics page of each plan's first ready pod, to correct plans.")
    ] = True,
    scaling_interval_seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="Between two rounds that decide replicas by what engines measure.")
    ] = 30.0,
    scaling_hold_seconds: Annotated[
        float, typer.Option(min=1, max=86_400, help="Serving replicas stop when fewer were needed for so long.")
    ] = 1500.0,
    node_autoscaling: Annotated[
        bool, typer.Option(help="Pods that wait for GPUs make nodes come: ask for more replicas than free GPUs hold.")
    ] = False,
    pressure_cooldown_seconds: Annotated[
        float, typer.Option(min=1, max=10**6, help="Between two changes of formats under memory pressure.")
    ] = 1800.0,
    pressure_relief_seconds: Annotated[
        float, typer.Option(min=1, max=10**6, help="Time without pressure before milder formats come back.")
    ] = 3600.0,
    capacity_page: Annotated[
        bool, typer.Option(help="Serve /capacity: the cluster's GPUs and who holds them, of all namespaces.")
    ] = False,
    prometheus_url: Annotated[
        str | None, typer.Option(help="Base URL of a Prometheus that scrapes the engines; without it nothing scales.")
    ] = None,
    prometheus_ca_file: Annotated[
        str | None, typer.Option(help="Certificates that Prometheus' own is checked with; default: the system's.")
    ] = None,
    prometheus_token_file: Annotated[
        str | None, typer.Option(help="File with a bearer token for Prometheus, read anew every round.")
    ] = None,
    prometheus_label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Label that series must have, for a store of several clusters."),
    ] = None,
    scrape_seconds: Annotated[
        float, typer.Option(min=1, max=300, help="Interval at which Prometheus scrapes the engines.")
    ] = 15.0,
    rate_seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="Window of rates; never less than four scrapes.")
    ] = 60.0,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log debug messages too.")] = False,
) -> None:
    """Watch DeepSeekDeployments and keep the cluster as they say, until SIGTERM."""
    if "" in (*(namespace or ()), lease_namespace):
        raise typer.BadParameter("a namespace has a name; leave --namespace out to watch all of them")

    from deepseek_operator.cli.prometheus_options import prometheus_settings

    prometheus = prometheus_settings(
        prometheus_url,
        ca_file=prometheus_ca_file,
        token_file=prometheus_token_file,
        labels=prometheus_label or (),
        scrape_seconds=scrape_seconds,
        rate_seconds=rate_seconds,
    )

    from deepseek_operator.handlers.app import run_operator
    from deepseek_operator.handlers.scaling_options import ScalingOptions
    from deepseek_operator.handlers.settings import Settings

    run_operator(
        Settings(
            namespaces=tuple(namespace or ()),
            kubeconfig=kubeconfig,
            address=address,
            port=port,
            leader_election=leader_election,
            lease_namespace=lease_namespace,
            lease_seconds=lease_seconds,
            resync_seconds=resync_seconds,
            read_engine_metrics=engine_metrics,
            scaling=ScalingOptions(
                interval_seconds=scaling_interval_seconds,
                hold_seconds=scaling_hold_seconds,
                node_autoscaling=node_autoscaling,
                pressure_cooldown_seconds=pressure_cooldown_seconds,
                pressure_relief_seconds=pressure_relief_seconds,
            ),
            capacity_page=capacity_page,
            prometheus=prometheus,
        ),
        verbose=verbose,
    )
