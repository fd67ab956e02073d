"""TLS and the certificate that we show (mutual TLS), the same for Kafka, Elasticsearch and the webhook."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Protocol


class CertificateSettings(Protocol):
    """What is read here of the configuration (sections `kafka`, `elasticsearch`, `webhook`)."""

    @property
    def ca_file(self) -> str: ...
    @property
    def certificate_file(self) -> str: ...
    @property
    def key_file(self) -> str: ...
    @property
    def key_password(self) -> str: ...


def tls_context(settings: CertificateSettings) -> ssl.SSLContext:
    """Trusts the configured authority only, or the system's; host names are checked. Raises OSError."""
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def show_certificate(context: ssl.SSLContext, settings: CertificateSettings, section: str) -> str:
    """Have `context` show the configured certificate, if any. Returns what is wrong, empty for nothing."""
    if not settings.certificate_file:
        return f"{section}.key_file is set, but not {section}.certificate_file" if settings.key_file else ""
    for key in ("certificate_file", "key_file"):
        try:
            if name := getattr(settings, key):
                Path(name).open("rb").close()
        except OSError as error:
            return f"{section}.{key} cannot be read: {name}: {error.strerror}"
    try:
        # A function, since without a password OpenSSL would ask on the terminal for that of a locked key.
        context.load_cert_chain(
            settings.certificate_file, settings.key_file or None, lambda: settings.key_password
        )
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{section}.key_file is not the key of {section}.certificate_file"
        why = error.reason or "not PEM"
        return (
            f"{section}.certificate_file and {section}.key_file cannot be used ({why}); "
            f"both must be PEM, and {section}.key_password must open a key that is encrypted"
        )
    return ""


def refused_certificate(error: BaseException | None, settings: CertificateSettings, section: str) -> str:
    """What to tell when a server ended the handshake over our certificate; empty for any other error."""
    reason = str(getattr(error, "reason", "") or "") if isinstance(error, ssl.SSLError) else ""
    if "ALERT" not in reason or not any(word in reason for word in ("CERTIFICATE", "UNKNOWN_CA")):
        return ""
    if not settings.certificate_file:
        return (
            f"wants a certificate of its clients ({reason}); set {section}.certificate_file and "
            f"{section}.key_file"
        )
    return f"does not accept the certificate in {section}.certificate_file ({reason})"


def innermost(error: BaseException) -> BaseException:
    """The error that all the others around it came of."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def said_by(error: BaseException) -> str:
    """What went wrong, in the words of the innermost error: the others' name only the classes of a client."""
    error = innermost(error)
    text = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
    return f"{type(error).__name__} {text.removesuffix('.')}"[:300]
