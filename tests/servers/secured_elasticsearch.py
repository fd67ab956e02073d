"""The same node behind TLS and sign-in: certificate and password are made anew for each."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import shutil
import ssl
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from tests.servers.certificates import Authority
from tests.servers.elasticsearch import ElasticsearchServer

_SETTINGS = """\
xpack.security.enabled: true
xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.certificate: {config}/http.crt
xpack.security.http.ssl.key: {config}/http.key
xpack.security.http.ssl.client_authentication: optional
xpack.security.http.ssl.certificate_authorities: {config}/authority.crt
"""


class SecuredElasticsearchServer(ElasticsearchServer):
    """A node at an https address that wants a sign-in: `user` with `password` may do everything."""

    user = "detector"

    def __init__(self) -> None:
        self.password = secrets.token_urlsafe(24)
        self._certificates = Path(tempfile.mkdtemp(prefix="querywatch-certificates-"))
        authority = Authority(self._certificates, "elasticsearch-authority")
        self.ca_file = authority.file
        """The authority that signed the node's certificate (PEM)."""
        made = authority.certify("http")
        self.certificate = authority.certify(self.user)
        """A certificate for a client; clients may come without, but not with that of another authority."""
        super().__init__(
            scheme="https",
            settings=_SETTINGS,
            files={
                "http.crt": made.certificate.read_text(encoding="ascii"),
                "authority.crt": authority.file.read_text(encoding="ascii"),
                "http.key": made.key.read_text(encoding="ascii"),
                "users": f"{self.user}:{_hashed(self.password)}\n",
                "users_roles": f"superuser:{self.user}\n",
            },
        )

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A request as `user`; the decoded answer. Raises OSError."""
        request = urllib.request.Request(self.url + path, method=method)  # noqa: S310 (our own https address)
        request.add_header("Authorization", f"Basic {self.basic()}")
        request.add_header("Content-Type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        context = ssl.create_default_context(cafile=str(self.ca_file))
        with urllib.request.urlopen(request, data, timeout=10, context=context) as answer:  # noqa: S310
            return json.load(answer)

    def basic(self) -> str:
        """User and password as basic authentication sends them."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def api_key(self, name: str, rights: dict[str, Any] | None = None, *, lifetime: str = "1h") -> str:
        """A new API key, encoded; `rights` are role descriptors, without them it may do what `user` may."""
        body = {"name": name, "expiration": lifetime, "role_descriptors": rights or {}}
        return str(self.ask("POST", "/_security/api_key", body)["encoded"])

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._certificates, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            return self.ask("GET", "/_cluster/health")["status"] in ("green", "yellow")
        except (OSError, ValueError):
            return False


def _hashed(password: str) -> str:
    """As the file realm stores it: PBKDF2 with SHA-512, which Python has, where bcrypt needs a package."""
    cost, salt = 1000, secrets.token_bytes(32)
    derived = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, cost, 32)
    return f"{{PBKDF2}}{cost}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}"
