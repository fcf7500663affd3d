"""Which features a cluster has, from what its API server serves."""

from __future__ import annotations

from dataclasses import fields

import pytest

from deepseek_operator.resources.features import SERVED_AS, ClusterFeatures, features_named, features_of

PLAIN = {"apps/v1", "policy/v1", "scheduling.k8s.io/v1", "resource.k8s.io/v1beta1"}


def test_every_feature_has_an_api_to_know_it_by():
    assert set(SERVED_AS) == {each.name for each in fields(ClusterFeatures)}


def test_a_plain_cluster_has_none():
    assert features_of(PLAIN) == ClusterFeatures()


@pytest.mark.parametrize(
    ("version", "feature"), [(version, name) for name, versions in SERVED_AS.items() for version in versions]
)
def test_one_of_its_versions_is_enough(version: str, feature: str):
    assert features_of({*PLAIN, version}).names() == [feature]


def test_names_tell_all_of_it():
    everything = ClusterFeatures(**dict.fromkeys(SERVED_AS, True))
    assert features_named(everything.names()) == everything
