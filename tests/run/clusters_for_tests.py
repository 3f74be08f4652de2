"""Real Dask schedulers and workers, as their users start them: processes, on loopback."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def certificate(folder: Path) -> dict[str, str]:
    """Make an authority and a certificate it has signed; return them as a `tls` section."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def named(name):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def signed(subject, public_key, by, *extensions):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named("authority"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(by, hashes.SHA256())

    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = signed(
        "authority",
        authority.public_key(),
        authority,
        x509.BasicConstraints(ca=True, path_length=None),
    )
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    cert = signed("dask", own.public_key(), authority, here)
    pem = serialization.Encoding.PEM
    key = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    written = {"ca_file": ca.public_bytes(pem), "cert": cert.public_bytes(pem), "key": key}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in written.items():
        (folder / f"{name}.pem").write_bytes(content)
    return {name: str(folder / f"{name}.pem") for name in written}


class DaskProcesses:
    """A scheduler and workers that a test has started, and ends."""

    def __init__(self, folder: Path, tls: dict[str, str] | None = None) -> None:
        self.folder, self.tls = folder, tls
        self.file = folder / "scheduler.json"
        self.workers = []
        self.scheduler = None

    @property
    def address(self):
        return json.loads(self.file.read_text())["address"]

    def start(self, n_workers, *arguments, **options):
        """Start a scheduler and workers; return when they have found each other."""
        protocol = "tcp" if self.tls is None else "tls"
        port = ["--host", "127.0.0.1", "--port", "0", "--protocol", protocol]
        self.scheduler = self._started(
            "scheduler", *port, "--dashboard-address", "127.0.0.1:0", "--scheduler-file", self.file
        )
        self._wait(lambda: self.file.exists() and self.file.read_text().endswith("}"))
        self.add_workers(n_workers, *arguments, **options)
        return self

    def add_workers(self, n_workers, *arguments, **options):
        common = ["--no-dashboard", "--no-nanny", "--local-directory", self.folder]
        for _ in range(n_workers):
            process = self._started("worker", self.address, *common, *arguments, **options)
            self.workers.append(process)
        self._wait(lambda: self.log().count("Registered to") == len(self.workers))

    def _wait(self, ready):
        end = time.monotonic() + 120
        while not ready():
            ended = [each for each in (self.scheduler, *self.workers) if each.poll() is not None]
            assert not ended, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)

    def log(self):
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def stop(self):
        """End what still runs, the scheduler last."""
        for process in filter(None, (*self.workers, self.scheduler)):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(timeout=10)

    def _started(self, what, *arguments, python=(), env=None):
        certificates = {}
        if self.tls is not None:
            names = zip(
                ("--tls-ca-file", "--tls-cert", "--tls-key"), self.tls.values(), strict=True
            )
            certificates = [each for pair in names for each in pair]
        with (self.folder / f"{what}-{len(self.workers)}.log").open("w") as log:
            return subprocess.Popen(
                [
                    sys.executable,
                    *python,
                    "-m",
                    "dask",
                    what,
                    *map(str, (*arguments, *certificates)),
                ],
                cwd=self.folder,
                env={**os.environ, **(env or {})},
                stdout=log,
                stderr=log,
            )
