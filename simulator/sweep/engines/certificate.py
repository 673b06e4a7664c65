"""A key and a certificate for one cluster of our own: whoever holds them is let in, nobody else."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CERTIFICATE, KEY = "certificate.pem", "key.pem"
NAME = "dieshot-cluster"
VALID = datetime.timedelta(days=400)
LEFT = datetime.timedelta(days=100)  # a cluster may wait in a queue, and work, for this long


class Certificate(NamedTuple):
    """The files: the certificate is its own authority, and serves client, scheduler and workers alike."""

    certificate: Path
    key: Path

    @property
    def words(self) -> list[str]:
        """The options of Dask's commands."""
        certificate, key = str(self.certificate), str(self.key)
        return ["--tls-ca-file", certificate, "--tls-cert", certificate, "--tls-key", key]


def certificate_in(folder: Path) -> Certificate:
    """Return the certificate of a folder, made where there is none or where it is about to run out.

    The folder gets mode 0700, the files 0600.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    found = Certificate(folder / CERTIFICATE, folder / KEY)
    if not _is_fit(found):
        key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        _write(found.key, key.private_bytes(*form))
        _write(found.certificate, _signed(key).public_bytes(serialization.Encoding.PEM))
    return found


def _signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
    built = built.serial_number(x509.random_serial_number())
    built = built.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + VALID)
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return built.sign(key, hashes.SHA256())


def _is_fit(found: Certificate) -> bool:
    """Return whether the files are a pair that others cannot read and that is valid for long enough."""
    try:
        certificate = x509.load_pem_x509_certificate(found.certificate.read_bytes())
        key = serialization.load_pem_private_key(found.key.read_bytes(), None)
        is_private = found.key.stat().st_mode & 0o077 == 0 and found.key.stat().st_uid == os.geteuid()
    except (OSError, ValueError, TypeError):
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return is_private and key.public_key() == certificate.public_key() and left > LEFT


def _write(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(content)
