"""What a cluster's table may say of quotas: quantities, and never a quota that would refuse every pod."""

import pytest
from pydantic import ValidationError

from reconciler.settings import KubernetesCluster


def test_a_quota_of_cpu_needs_what_a_container_gets_that_asks_for_nothing():
    with pytest.raises(ValidationError, match="add to the table container: cpu"):
        KubernetesCluster.model_validate({"quota": {"requests.cpu": "8"}})

    bounded = {"quota": {"requests.cpu": "8", "pods": "40"}, "container": {"cpu": "500m"}}
    assert KubernetesCluster.model_validate(bounded).container == {"cpu": "500m"}


def test_a_quota_of_pods_needs_nothing_else():
    assert KubernetesCluster.model_validate({"quota": {"pods": "40"}}).quota == {"pods": "40"}


@pytest.mark.parametrize("quantity", ["", "many", "-1", "8 cores", "1Xi"])
def test_what_is_no_quantity_is_refused(quantity: str):
    with pytest.raises(ValidationError):
        KubernetesCluster.model_validate({"quota": {"pods": quantity}})
