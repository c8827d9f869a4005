"""The embedded KServe: a rollout's cluster on a laptop.

A Kubernetes API server with the kinds that a rollout uses, a controller that behaves as KServe's does in Knative or in
Standard mode, real model server processes as pods, and a real Envoy as the gateway. It is for laptops and tests.

    with kserve.start(folder, mode="knative") as cluster:
        …  # cluster.kubeconfig, cluster.gateway_url, cluster.faults

Not modelled: scaling by load, transformers and explainers, TLS, user accounts, nodes. A package is read
from ``file://``; every other address fails as a storage initializer does that cannot download.
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    del sys.path[0]  # `python -m` put the working directory in front of all libraries, and what lies there is none

from embedded_kserve.faults import Faults
from embedded_kserve.launch import LocalKServe, Mode, start

__all__ = ["Faults", "LocalKServe", "Mode", "start"]
