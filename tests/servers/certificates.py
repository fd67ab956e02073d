"""Certificates made at run time: an authority of our own, and what it signs for a server of a test."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_HOURS = timedelta(hours=1)
LOCAL = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of one server: its certificate, its key (PKCS 8), and a file with both."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """A certificate authority whose files are in `folder`; `file` is its certificate (PEM)."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = (
            _builder(name, name, self._key.public_key(), expired=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, SHA256())
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def certify(self, name: str, hosts: tuple[str, ...] = LOCAL, *, expired: bool = False) -> Certificate:
        """A certificate for a server under these host names and addresses; `expired`: an hour ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(name, self._name, key.public_key(), expired=expired)
            .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(issuer, critical=False)
            .sign(self._key, SHA256())
        )
        made = Certificate(*(self._folder / f"{name}.{kind}" for kind in ("crt", "key", "pem")))
        chain = certificate.public_bytes(Encoding.PEM)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        made.certificate.write_bytes(chain)
        made.key.write_bytes(private)
        made.both.write_bytes(private + chain)
        return made


def encrypted(key: Path, password: bytes) -> bytes:
    """A key's PEM, to be opened by a password."""
    private = load_pem_private_key(key.read_bytes(), None)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePublicKey, *, expired: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, who)]) for who in (subject, issuer)]
    return (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 48 * _HOURS)
        .not_valid_after(now - _HOURS if expired else now + 48 * _HOURS)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
