"""The operator's capacity page and metrics, of fake nodes on the real control plane."""

from __future__ import annotations

import re
import urllib.error
from pathlib import Path

import pytest

from cluster.deployments import sample, wait_ready
from cluster.kubectl import Kubectl
from cluster.operator_process import OperatorProcess, running_operator
from cluster.polling import eventually


def page(operator: OperatorProcess) -> str:
    """Return the capacity page; empty while it is being made."""
    try:
        return operator.page("/capacity")
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return ""


def test_the_page_and_the_metrics_tell_who_holds_which_gpus(
    kubectl: Kubectl, tmp_path: Path, resource_definition: None
) -> None:
    with running_operator(kubectl, tmp_path, "--capacity-page") as operator:
        kubectl.apply(sample("deepseek-67b"))
        wait_ready(kubectl, "deepseek-67b")
        found = eventually(
            lambda: (text := page(operator)) and f'data-by="{kubectl.namespace}/deepseek-67b"' in text and text,
            what="the page shows the running replica",
        )
        assert len(re.findall(rf'data-state="used" data-by="{kubectl.namespace}/deepseek-67b"', str(found))) == 4
        used = 'deepseek_operator_cluster_gpus{gpu="h100-sxm5-80gb",state="used"}'
        assert eventually(lambda: operator.metric(used) >= 4, what="the metric counts its GPUs")


def test_the_page_is_off_by_default(kubectl: Kubectl, tmp_path: Path, resource_definition: None) -> None:
    with running_operator(kubectl, tmp_path) as operator, pytest.raises(urllib.error.HTTPError, match="404"):
        operator.page("/capacity")
