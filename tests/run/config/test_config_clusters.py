"""The cluster section: a kind decides which keys there are; secrets stay where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from dask_gmm.errors import ConfigurationError
from dask_gmm.run.config import config_schema, load_config
from dask_gmm.run.config.yaml_writer import to_yaml

HEAD = """\
version: 1
name: test
run_dir: runs/{name}
source: {kind: zarr, path: data/picture.zarr}
model: {n_components: 3}
cluster:
"""
COMPLETE = {
    "local": "{kind: local, n_workers: 3, threads_per_worker: 2, memory_limit: null}",
    "threads": "{kind: threads, n_workers: auto}",
    "address": "{kind: address, address: 'tls://h:8786', tls: {ca_file: ca.pem, cert: c.pem}}",
    "scheduler-file": "{kind: scheduler-file, path: shared/scheduler.json, allow_insecure: true}",
    "slurm": "{kind: slurm, n_workers: 8, workers_per_job: 4, queue: short, account: us}",
    "pbs": "{kind: pbs, adapt: {maximum: 8}, resource_spec: 'select=1', walltime: '02:00:00'}",
    "lsf": "{kind: lsf, project: us, prologue: [module load python]}",
    "htcondor": "{kind: htcondor, disk: 4GB, directives: {Requirements: 'true'}}",
    "kubernetes": "{kind: kubernetes, image: 'a/b:1', namespace: ns, allow_insecure: true}",
    "gateway": "{kind: gateway, address: 'https://g.example.org', options: {image: a}}",
    "class": "{kind: class, class: a.b.Cluster, kwargs: {region: x, sizes: [1, 2]}}",
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.yaml"


def load(path, text):
    path.write_text(HEAD.rstrip() + " " + text + "\n")
    return load_config(path)


def refusal(path, text):
    with pytest.raises(ConfigurationError) as caught:
        load(path, text)
    (line,) = str(caught.value).split("\n")
    assert line.startswith(f"{path}:6:")
    return line


@pytest.mark.parametrize("kind", COMPLETE)
def test_what_is_shown_of_a_section_loads_as_the_same(path, kind):
    config = load(path, COMPLETE[kind])
    assert config.cluster.kind == kind
    path.write_text(to_yaml(config.redacted()))
    assert load_config(path).cluster == config.cluster


def test_all_kinds_of_the_contract_are_there():
    branches = config_schema()["properties"]["cluster"]["oneOf"]
    assert len(branches) == len(COMPLETE) == 11


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{kind: slrum, queue: x}", "cluster.kind: found 'slrum'; allowed one of local, threads, "),
        ("{kind: slrum, queue: x}", "; did you mean slurm?"),
        ("{kind: [slurm]}", "cluster.kind: found a list of length 1; allowed one of local, "),
        (
            "{kind: threads, memory_limit: 2GiB}",
            "memory_limit: found an unknown key; allowed kind,",
        ),
        ("{kind: slurm, partition: x}", "cluster.partition: found an unknown key"),
        ("{kind: slurm, memory_limit: null}", "cluster.memory_limit: found null; allowed bytes"),
        ("{queue: x}", "cluster.queue: found an unknown key; allowed kind, n_workers, adapt,"),
        ("{kind: address}", "cluster.address: found no such key; allowed a text"),
        ("{kind: class, class: Cluster}", "cluster.class: found 'Cluster'; allowed package.module"),
        ("{kind: class, class: a.b, kwargs: 3}", "cluster.kwargs: found 3; allowed a mapping"),
        ("{kind: address, address: 'tls://h:1', tls: {cert: x}}", "cluster.tls.ca_file: found no"),
        ("{kind: slurm, n_workers: 2, adapt: {maximum: 4}}", "allowed either n_workers or adapt"),
        (
            "{adapt: {minimum: 5, maximum: 4}}",
            "maximum: found 4; allowed an integer >= cluster.adapt",
        ),
        (
            "{kind: address, address: '10.0.0.1:8786'}",
            "or say allow_insecure: true, if nobody else",
        ),
        (
            "{kind: address, address: 'tcp://head:8786'}",
            "allowed a tls:// address with cluster.tls",
        ),
        ("{kind: address, address: 'tls://h:1'}", "allowed a tls:// address together with"),
        (
            "{kind: address, address: 'tcp://[::1]:1', tls: {ca_file: a, cert: b}}",
            "a tls:// address where there is cluster.tls",
        ),
        ("{kind: gateway, address: 'http://g'}", "allowed a URL that begins with https://"),
        ("{kind: gateway, address: g}", "allowed a URL that begins with https:// or http://"),
        (
            "{kind: kubernetes, image: a}",
            "it together with allow_insecure: true, since the operator",
        ),
    ],
)
def test_what_a_kind_cannot_do_with_is_refused(path, text, words):
    assert words in refusal(path, text)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:8786", "localhost:8786", "tcp://[::1]:8786", "127.3.2.1:1"]
)
def test_loopback_needs_no_certificates(path, address):
    assert load(path, f"{{kind: address, address: '{address}'}}").cluster.address == address


def test_paths_are_relative_to_the_given_directory(path, tmp_path):
    text = "{kind: slurm, tls: {ca_file: ca.pem, cert: /etc/c.pem}, local_directory: scratch}"
    options = load(path, text).cluster.arguments(Path("/data"))
    assert options["tls"] == {"ca_file": "/data/ca.pem", "cert": "/etc/c.pem", "key": None}
    assert options["local_directory"] == "/data/scratch"
    assert options["job_directory"] == "/data/dask-gmm-jobs"
    assert options["python"] is None


SECRETS = (
    "{kind: slurm, environment: {PLAIN: hunter2, AWS_KEY: hunter2, N: 12}, "
    "prologue: [export MY_TOKEN=hunter2, module load x]}",
    "{kind: gateway, address: 'https://me:hunter2@g', auth: basic, password: hunter2}",
    "{kind: gateway, address: 'https://g', token: hunter2, options: {deep: [{password: hunter2}]}}",
    "{kind: class, class: a.b, kwargs: {api_token: hunter2, url: 'https://a:hunter2@b'}}",
)


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_shown_nowhere(path, text):
    config = load(path, text)
    assert "hunter2" in str(config.cluster.arguments(Path("/")))
    for shown in (repr(config), str(config), to_yaml(config.redacted())):
        assert "hunter2" not in shown
        assert "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "{kind: slurm, environment: {1A: hunter2}}",
        "{kind: gateway, address: 'http://me:hunter2@g'}",
        "{kind: address, address: 'tcp://me:hunter2@g:1'}",
    ],
)
def test_refusals_show_no_secrets(path, text):
    assert "hunter2" not in refusal(path, text)
    path.write_text(HEAD.replace("cluster:\n", ""))
    with pytest.raises(ConfigurationError) as caught:
        load_config(path, overrides=["cluster.environment.1A=hunter2", "cluster.kind=slurm"])
    assert "hunter2" not in str(caught.value)


def test_values_from_the_environment_are_shown_as_they_were_written(path, monkeypatch):
    monkeypatch.setenv("SCHEDULER", "tls://somewhere:8786")
    text = "{kind: address, address: '${SCHEDULER}', tls: {ca_file: a, cert: b}}"
    config = load(path, text)
    assert config.cluster.address == "tls://somewhere:8786"
    assert config.redacted()["cluster"]["address"] == "${SCHEDULER}"
