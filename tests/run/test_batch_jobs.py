"""Jobs as they would reach a batch system: real scripts, taken by a command that keeps them.

What stands for the batch system here is a shell script named `sbatch`, `qsub`, `bsub` or
`condor_submit`. SLURM itself is in `tests/slurm`.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from pathlib import Path

import pytest

from dask_gmm.engine.remote import WAYS
from dask_gmm.engine.remote.meeting import Around
from dask_gmm.engine.remote.services import gateway_auth, pod_options
from dask_gmm.run.config import load_config

pytest.importorskip("dask_jobqueue", reason="dask-jobqueue: pip install 'dask-gmm[cluster]'")

COMMANDS = {
    "slurm": ("sbatch", "scancel", "Submitted batch job 17"),
    "pbs": ("qsub", "qdel", "17.head"),
    "lsf": ("bsub", "bkill", "Job <17> is submitted to queue <short>."),
    "htcondor": ("condor_submit", "condor_rm", "1 job(s) submitted to cluster 17."),
}
SIZE = {"n_workers": 4, "workers_per_job": 2, "threads_per_worker": 3, "memory_limit": "1GiB"}
COMMON = {"timeout": 1, "interface": "lo", "prologue": ["module load python"], **SIZE}
OWN = {
    "slurm": {"queue": "short", "account": "us", "directives": ["--constraint=avx2"]},
    "pbs": {"queue": "short", "account": "us", "walltime": "02:00:00"},
    "lsf": {"queue": "short", "project": "us", "directives": ["-x"]},
    "htcondor": {"disk": "4GiB", "directives": {"Requirements": "HasAvx2"}},
}
HEADERS = {
    "slurm": (
        "#SBATCH -J dask-gmm",
        "#SBATCH -p short",
        "#SBATCH -A us",
        "#SBATCH --cpus-per-task=6",
        "#SBATCH --mem=2G",
        "#SBATCH -t 01:00:00",
        "#SBATCH --constraint=avx2",
    ),
    "pbs": (
        "#PBS -N dask-gmm",
        "#PBS -q short",
        "#PBS -A us",
        "#PBS -l select=1:ncpus=6:mem=2048MB",
        "#PBS -l walltime=02:00:00",
    ),
    "lsf": (
        "#BSUB -J dask-gmm",
        "#BSUB -q short",
        '#BSUB -P "us"',
        "#BSUB -n 6",
        "#BSUB -W 01:00",
        "#BSUB -x",
    ),
    "htcondor": (
        "MY.DaskWorkerCores = 6",
        "MY.DaskWorkerMemory = 2147483648",
        "MY.DaskWorkerDisk = 4294967296",
        "Requirements = HasAvx2",
    ),
}


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A function that puts a batch system's commands first in PATH; returns where jobs are kept."""

    def put(kind, refuses=""):
        submit, cancel, answer = COMMANDS[kind]
        folder = tmp_path / "bin"
        folder.mkdir()
        kept = tmp_path / "kept"
        kept.mkdir()
        take = f'cat "$@" >"{kept}/job.$$"; echo "{answer}"'
        if refuses:
            take = f'echo "{refuses}" >&2; exit 1'
        for name, does in ((submit, take), (cancel, f'echo "$@" >>"{kept}/cancelled"')):
            (folder / name).write_text(f"#!/bin/sh\n{does}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return kept

    return put


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_job_says_what_the_section_says(picture, dask_gmm, commands, kind):
    kept = commands(kind)
    environment = {"TOKEN_OF_MINE": "it's secret"}
    section = {"kind": kind, "environment": environment, **COMMON, **OWN[kind]}
    code, _, err = dask_gmm("run", picture.config(cluster=section))
    assert code == 75, err
    assert "no worker has come to the scheduler tls://127.0.0.1:" in err
    assert f"the jobs' logs in {picture.path}/dask-gmm-jobs" in err
    assert "it's secret" not in err

    jobs = [path.read_text() for path in kept.glob("job.*")]
    assert len(jobs) == 2  # four workers, two in a job
    for job in jobs:
        lines = [line.strip() for line in job.splitlines()]
        assert [each for each in HEADERS[kind] if each not in lines] == []
        # HTCondor doubles quotes.
        script = job.replace("''", "'").replace('""', '"') if kind == "htcondor" else job
        assert f"{sys.executable} -m distributed.cli.dask_worker tls://127.0.0.1:" in script
        assert "--nthreads 3 --memory-limit 1.00GiB --nworkers 2 --nanny" in script
        assert "--no-dashboard --preload dask_gmm.engine.worker_setup" in script
        assert "--interface lo --protocol tls://" in script
        key = re.search(r"--tls-key (\S+)", script)[1]
        assert Path(key).parent == picture.path / "dask-gmm-jobs"
        assert not Path(key).exists()  # gone with the run
        assert "module load python" in script
        assert "MALLOC_TRIM_THRESHOLD_" in script
    assert "17" in (kept / "cancelled").read_text()  # what was submitted does not stay behind


def test_a_refused_job_ends_the_run_with_the_batch_systems_words(picture, dask_gmm, commands):
    commands("slurm", refuses="sbatch: error: invalid partition specified: shrot")
    code, _, err = dask_gmm(
        "run", picture.config(cluster={"kind": "slurm", "queue": "shrot", "timeout": 5})
    )
    assert code == 1
    last = err.splitlines()[-1]
    assert last.startswith("error: sbatch took no job: sbatch: error: invalid partition specified")
    assert "Traceback" not in err


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_machine_without_the_batch_system(picture, dask_gmm, monkeypatch, kind):
    monkeypatch.setenv("PATH", str(picture.path))
    code, _, err = dask_gmm("run", picture.config(cluster={"kind": kind}))
    assert code == 2
    assert f"the command {COMMANDS[kind][0]} is not on this machine" in err


@pytest.mark.parametrize(
    ("section", "package"),
    [
        ({"kind": "slurm"}, "dask-jobqueue"),
        ({"kind": "kubernetes", "image": "a", "allow_insecure": True}, "dask-kubernetes"),
        ({"kind": "gateway", "address": "https://127.0.0.1:1"}, "dask-gateway"),
    ],
)
def test_a_missing_package_is_named_with_its_install_line(
    picture, dask_gmm, monkeypatch, section, package
):
    for name in [*sys.modules, package.replace("-", "_")]:
        if name.partition(".")[0] == package.replace("-", "_"):
            monkeypatch.setitem(sys.modules, name, None)
    code, _, err = dask_gmm("run", picture.config(cluster=section))
    assert code == 2
    last = err.splitlines()[-1]
    assert f"needs the package {package}, which is not installed" in last
    assert last.endswith("run: pip install 'dask-gmm[cluster]'")


def test_a_class_of_ones_own(picture, dask_gmm):
    kwargs = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1"}
    kwargs |= {"dashboard_address": "127.0.0.1:0", "env": {"MY_TOKEN": "hunter2"}}
    section = {"kind": "class", "class": "distributed.LocalCluster", "kwargs": kwargs}
    code, out, err = dask_gmm("run", picture.config(cluster=section))
    assert code == 0, err
    assert "hunter2" not in out + err
    files = [path for path in picture.run_dir.rglob("*") if path.is_file()]
    assert picture.run_dir / "config.yaml" in files
    assert not [path for path in files if b"hunter2" in path.read_bytes()]
    assert picture.manifest()["cluster"]["kwargs"]["env"] == {"MY_TOKEN": "***"}
    for name, words in (("os.nothing", "cannot be imported"), ("no_such.Cluster", "cannot be imp")):
        other = {"kind": "class", "class": name}
        code, _, err = dask_gmm("run", picture.config(cluster=other, if_exists="overwrite"))
        assert code == 2
        assert f"cluster.class={name}: {words}" in err


def test_every_key_of_a_section_is_an_argument_of_its_way(tmp_path):
    """A key that nobody takes would be a promise that nobody keeps."""
    sections = {
        "address": "{kind: address, address: 'localhost:1'}",
        "scheduler-file": "{kind: scheduler-file, path: a}",
        "class": "{kind: class, class: a.b}",
        "gateway": "{kind: gateway, address: 'https://a'}",
        "kubernetes": "{kind: kubernetes, image: a, allow_insecure: true}",
        **{kind: f"{{kind: {kind}}}" for kind in COMMANDS},
    }
    assert sections.keys() == WAYS.keys()
    for kind in ("address", "scheduler-file"):
        options = options_of(tmp_path, sections[kind])
        taken = set(inspect.signature(WAYS[kind]).parameters) - {"around"}
        assert options.keys() - {"timeout", "allow_insecure"} == taken


def options_of(folder, section):
    path = folder / "run.yaml"
    path.write_text(
        "version: 1\nname: x\nrun_dir: runs/x\nsource: {kind: zarr, path: a}\n"
        f"model: {{n_components: 2}}\ncluster: {section}\n"
    )
    return load_config(path).cluster.arguments(folder)


def test_pods_are_what_the_section_says(tmp_path):
    kubernetes = pytest.importorskip(
        "dask_kubernetes.operator", reason="dask-kubernetes: pip install 'dask-gmm[cluster]'"
    )
    options = options_of(
        tmp_path,
        "{kind: kubernetes, image: 'a/b:1', namespace: ns, name: n, allow_insecure: true, "
        "threads_per_worker: 2, memory_limit: 1GiB, environment: {A: 1}}",
    )
    for key in ("n_workers", "adapt", "allow_insecure", "timeout"):
        del options[key]
    wanted = pod_options(Around(None, 60, True), **options)
    bound = inspect.signature(kubernetes.KubeCluster.__init__).bind(None, **wanted)
    assert "kwargs" not in bound.arguments  # no name that KubeCluster does not know
    del wanted["loop"], wanted["quiet"], wanted["namespace"], wanted["resource_timeout"]
    spec = kubernetes.make_cluster_spec(**wanted)
    (container,) = spec["spec"]["worker"]["spec"]["containers"]
    assert container["image"] == "a/b:1"
    assert container["args"][:6] == [
        "dask",
        "worker",
        "--nthreads",
        "2",
        "--memory-limit",
        str(2**30),
    ]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": str(2**30)}
    assert {"name": "A", "value": "1"} in container["env"]


def test_a_gateway_is_logged_in_to_as_the_section_says():
    gateway = pytest.importorskip(
        "dask_gateway", reason="dask-gateway: pip install 'dask-gmm[cluster]'"
    )
    basic = gateway_auth("basic", "me", "secret", None)
    assert isinstance(basic, gateway.BasicAuth)
    assert (basic.username, basic.password) == ("me", "secret")
    assert gateway_auth("jupyterhub", None, None, "t").api_token == "t"
    assert gateway_auth(None, None, None, None) is None


def test_a_gateway_that_does_not_answer(picture, dask_gmm):
    pytest.importorskip("dask_gateway", reason="dask-gateway: pip install 'dask-gmm[cluster]'")
    section = {"kind": "gateway", "address": "http://127.0.0.1:1", "timeout": 1}
    code, _, err = dask_gmm("run", picture.config(cluster=section))
    assert code == 75, err
    assert "Traceback" not in err
