# SPDX-License-Identifier: Apache-2.0
"""A corporate PKI for tests, by the commands of openssl: roots, what stands between, and what they issue for a request."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sigcore.x509 import Certificate, parse_certificate_pem
from tests.missing import missing

ROOT = """\
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""
POLICY = """\
basicConstraints = critical, CA:TRUE, pathlen:1
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
ISSUING = f"{POLICY.replace('pathlen:1', 'pathlen:0')}extendedKeyUsage = codeSigning\n"
SIGNER = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True, slots=True)
class Pki:
    """A folder with ``NAME.key`` and ``NAME.pem`` of each authority."""

    folder: Path

    def root(
        self,
        name: str,
        kind: str = "P-256",
        *,
        extensions: str = ROOT,
        subject: str = "",
        days: int = 7300,
        options: Sequence[str] = ("-sha384",),
    ) -> Path:
        """An authority that signs itself; ``kind`` is a curve, or a number of RSA bits."""
        request = self.request(name, kind, subject)
        return self._sign(request, name, ("-signkey", f"{name}.key"), extensions, days, options)

    def below(
        self,
        name: str,
        issuer: str,
        kind: str = "P-256",
        *,
        extensions: str = POLICY,
        subject: str = "",
        days: int = 3650,
        options: Sequence[str] = ("-sha384",),
    ) -> Path:
        """An authority that ``issuer`` has issued."""
        return self.issue(
            self.request(name, kind, subject), name, issuer, extensions=extensions, days=days, options=options
        )

    def issue(
        self,
        request: Path,
        name: str,
        issuer: str,
        *,
        extensions: str = ISSUING,
        days: int = 1825,
        options: Sequence[str] = ("-sha256",),
    ) -> Path:
        """What ``issuer`` makes of a request."""
        signer = ("-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial")
        return self._sign(request, name, signer, extensions, days, options)

    def request(self, name: str, kind: str = "P-256", subject: str = "") -> Path:
        """A key and a request of the PKI's own."""
        if not (self.folder / f"{name}.key").exists():
            rsa = kind.isdigit()
            option = f"rsa_keygen_bits:{kind}" if rsa else f"ec_paramgen_curve:{kind}"
            algorithm = "ED25519" if kind == "Ed25519" else "RSA" if rsa else "EC"
            made = () if kind == "Ed25519" else ("-pkeyopt", option)
            self.openssl("genpkey", "-algorithm", algorithm, *made, "-out", f"{name}.key")
        subject = subject or f"/C=JP/O=ACME/CN=ACME {name}"
        self.openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        return self.folder / f"{name}.csr"

    def chain(self, *names: str) -> Path:
        """The certificates of ``names`` in one file."""
        path = self.folder / f"{'-'.join(names)}.chain.pem"
        path.write_bytes(b"".join((self.folder / f"{name}.pem").read_bytes() for name in names))
        return path

    def certificate(self, name: str) -> Certificate:
        return parse_certificate_pem((self.folder / f"{name}.pem").read_bytes())

    def openssl(self, *arguments: str | Path) -> None:
        program = shutil.which("openssl")
        if program is None:
            missing("openssl is absent; on Debian: apt-get install openssl")
        command = [program, *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    def _sign(
        self, request: Path, name: str, signer: Sequence[str], extensions: str, days: int, options: Sequence[str]
    ) -> Path:
        (self.folder / f"{name}.ext").write_text(extensions)
        out = ("-extfile", f"{name}.ext", "-days", str(days), "-out", f"{name}.pem")
        self.openssl("x509", "-req", "-in", request, *signer, *options, *out)
        return self.folder / f"{name}.pem"
