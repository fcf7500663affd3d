"""The contract with vLLM: every argument that is written is in the release's recorded flag table with its value."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from deepseek_operator.catalog.chat_parsers import chat_parsers
from deepseek_operator.catalog.engines import FlagSpec, engine_flags, engine_releases
from deepseek_operator.catalog.models import model, model_names
from deepseek_operator.catalog.quantizations import quantizations
from deepseek_operator.memory.estimate import KvCacheDtype
from deepseek_operator.memory.parallelism import Parallelism
from deepseek_operator.resources.group_pods import group_args
from deepseek_operator.resources.vllm import VllmSettings, default_args, planned_args
from model_factories import make_plan

VERSIONS = [release.version for release in engine_releases() if release.engine == "vllm"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("expert", [pytest.param(True, id="expert parallel"), pytest.param(False, id="experts cut")])
@pytest.mark.parametrize("tls", [pytest.param(True, id="TLS"), pytest.param(False, id="plain")])
def test_every_argument_is_a_flag_of_the_release(version: str, expert: bool, tls: bool) -> None:
    flags = engine_flags("vllm", version)
    for rung, kv_cache in itertools.product(quantizations(), KvCacheDtype):
        plan = make_plan(
            engine_release=version, parallelism=Parallelism(tensor=2, data=4, expert=expert), kv_cache_dtype=kv_cache
        )
        settings = VllmSettings(
            model="a/b", revision="c", served_names=("d",), quantization=rung.vllm_name, tls=tls, shutdown_seconds=1
        )
        for argument in planned_args(plan, settings)[1:]:
            judge(argument, flags)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("leads", [pytest.param(True, id="leader"), pytest.param(False, id="worker")])
def test_every_argument_of_a_group_is_a_flag_of_the_release(version: str, leads: bool) -> None:
    split = Parallelism(tensor=8, pipeline=2, data=2)
    plan = make_plan(engine_release=version, nodes_per_replica=4, gpus_per_replica=32, parallelism=split)
    flags = engine_flags("vllm", version)
    for argument in group_args(plan, leads=leads):
        judge(argument, flags)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", model_names())
def test_every_default_of_every_model_is_a_flag_of_the_release(version: str, name: str) -> None:
    flags = engine_flags("vllm", version)
    parsers = chat_parsers(name, model(name).architecture)
    settings = VllmSettings(model=name, served_names=(name,), shutdown_seconds=1, parsers=parsers, prefix_caching=True)
    for argument in default_args(settings):
        judge(argument, flags)


def judge(argument: str, flags: Mapping[str, FlagSpec]) -> None:
    """Fail unless an argument is a flag by its first spelling, with a value where it takes one."""
    name, assigned, value = argument.partition("=")
    assert flags[name].names[0] == name, f"{argument}: not the flag's first spelling"
    assert flags[name].takes_value is bool(assigned), f"{argument}: value and flag do not match"
    assert not flags[name].choices or value in flags[name].choices, f"{argument}: not among the choices"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_port_of_the_service_is_what_the_engine_listens_on_by_itself(version: str) -> None:
    from deepseek_operator.resources.service import ENGINE_PORT

    assert engine_flags("vllm", version)["--port"].default == ENGINE_PORT
