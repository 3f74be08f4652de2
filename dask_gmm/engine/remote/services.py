"""Clusters that a service starts for us: Kubernetes with Dask's operator, and Dask Gateway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from dask_gmm.addresses import without_password
from dask_gmm.engine import worker_setup
from dask_gmm.engine.remote.batch import NANNY_ENVIRONMENT, NANNY_VARIABLE
from dask_gmm.engine.remote.meeting import Around, Meeting
from dask_gmm.engine.remote.scaling import scaled
from dask_gmm.errors import TemporaryFailureError


@contextmanager
def kubernetes_pods(
    around: Around, *, n_workers: int, adapt: dict[str, int] | None, **options: Any
) -> Iterator[Meeting]:
    """Start pods through the Dask operator."""
    from dask_kubernetes.operator import KubeCluster

    with KubeCluster(**pod_options(around, **options)) as cluster:
        scaled(cluster, n_workers, adapt)
        yield Meeting(cluster, "see `kubectl get daskclusters,pods` and the pods' events")


def pod_options(
    around: Around,
    *,
    image: str,
    namespace: str | None,
    name: str | None,
    threads_per_worker: int,
    memory_limit: int,
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what ``KubeCluster`` is called with; its pods come when it is scaled."""
    size = {"cpu": str(threads_per_worker), "memory": str(memory_limit)}
    worker = ["dask", "worker", "--nthreads", str(threads_per_worker)]
    worker += ["--memory-limit", str(memory_limit), "--preload", worker_setup.__name__]
    exported = {NANNY_VARIABLE: NANNY_ENVIRONMENT, **environment}
    return {
        "name": name,
        "namespace": namespace,
        "image": image,
        "n_workers": 0,
        "resources": {"requests": size, "limits": size},
        "env": {key: str(value) for key, value in exported.items()},
        "worker_command": worker,
        "resource_timeout": around.timeout,
        "quiet": True,
        "loop": around.loop,
    }


@contextmanager
def gateway_cluster(
    around: Around,
    *,
    n_workers: int,
    adapt: dict[str, int] | None,
    address: str,
    proxy_address: str | None,
    options: Mapping[str, Any],
    **login: str | None,
) -> Iterator[Meeting]:
    """Ask a Dask Gateway for a cluster; it makes that cluster's certificates itself."""
    from dask_gateway import Gateway

    auth = gateway_auth(**login)
    with ExitStack() as stack:
        try:
            gateway = Gateway(address, proxy_address=proxy_address, auth=auth, loop=around.loop)
            stack.enter_context(gateway)
            cluster = stack.enter_context(gateway.new_cluster(**options, shutdown_on_close=True))
        except OSError as error:
            raise TemporaryFailureError(
                f"the gateway {without_password(address)} could not be reached ({error}); see "
                "that it runs and that this machine may connect to it"
            ) from error
        scaled(cluster, n_workers, adapt)
        yield Meeting(cluster, "see the gateway's own logs", cluster.security)


def gateway_auth(
    auth: str | None, username: str | None, password: str | None, token: str | None
) -> Any:
    """Return how to log in: an object of dask-gateway's, or None for what Dask's files say."""
    from dask_gateway import BasicAuth, JupyterHubAuth, KerberosAuth

    if auth == "basic":
        return BasicAuth(username, password)
    if auth == "jupyterhub":
        return JupyterHubAuth(token)
    return None if auth is None else KerberosAuth()
