"""What a webhook is sent: body, headers, and a signature that the receiver can check.

Signed as Standard Webhooks 1.0 (https://www.standardwebhooks.com) asks: HMAC-SHA256 over id, time and body.
The same id stands in `Idempotency-Key` (an IETF draft), which other receivers look at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Literal, Protocol

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from connectors.client_certificate import CertificateSettings
from detector.alert import Alert
from detector.errors import SinkNotReady

NAME = "webhook"
Format = Literal["json", "array", "ndjson"]
CHECK_ID = "querywatch-check"
"""Id of the request that only looks whether somebody is there."""
HIDDEN = "***"
LEAST_HIDDEN = 8
"""Characters from which a part of a path may be a secret; hiding shorter ones would spoil texts."""
_KEY_PREFIX = "whsec_"
_HEADER_VALUE = re.compile(r"[\x20-\x7e\xa0-\xff]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTENT_TYPES: dict[Format, str] = {
    "json": "application/json",
    "array": "application/json",
    "ndjson": "application/x-ndjson",
}


class WebhookSettings(CertificateSettings, Protocol):
    """What the webhook reads of the configuration (section `webhook`)."""

    @property
    def url(self) -> str: ...
    @property
    def format(self) -> Format: ...
    @property
    def batch_alerts(self) -> int: ...
    @property
    def token(self) -> str: ...
    @property
    def header(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...
    @property
    def signing_key(self) -> str: ...
    @property
    def timeout_seconds(self) -> float: ...


class Requests:
    """Makes requests by the settings. Raises SinkNotReady for settings that cannot be right."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._format = settings.format
        address = _address(settings.url)
        self.where = Url(address.scheme, None, address.host, address.port).url
        """Scheme, host and port. The path may be a secret, and is shown nowhere."""
        self._credentials = _credentials(settings)
        self._key = _signing_key(settings.signing_key)
        self._secrets = sorted(
            {
                *(part for part in (settings.token, settings.password, settings.signing_key) if part),
                *(value.partition(" ")[2] or value for value in self._credentials.values()),
                *(part for part in re.split("[/?&=]", address.request_uri) if len(part) >= LEAST_HIDDEN),
            },
            key=len,
            reverse=True,
        )

    def body(self, alerts: Sequence[Alert]) -> bytes:
        """One object (format `json`, of one alert), an array, or a line each. `_id` is the alert's id."""
        documents = [alert.to_json() for alert in alerts]
        if self._format == "array":
            return b"[" + b",".join(documents) + b"]"
        if self._format == "ndjson":
            return b"".join(document + b"\n" for document in documents)
        (document,) = documents
        return document

    def headers(self, name: str, body: bytes, now: float) -> dict[str, str]:
        """Headers of a request with the id `name`, sent at `now` (seconds since the epoch)."""
        found = {
            "Content-Type": _CONTENT_TYPES[self._format],
            "Accept-Encoding": "identity",
            "User-Agent": "querywatch",
            "Idempotency-Key": name,
            "webhook-id": name,
            "webhook-timestamp": str(int(now)),
            **self._credentials,
        }
        if self._key:
            signed = b".".join((name.encode(), found["webhook-timestamp"].encode(), body))
            digest = hmac.new(self._key, signed, hashlib.sha256).digest()
            found["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return found

    def without_secrets(self, text: str) -> str:
        """`text` on one line, without what a receiver may have sent back of address and credentials."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return "".join(c if c.isprintable() else " " for c in text)


def request_id(alerts: Sequence[Alert]) -> str:
    """The id of one alert, or a hash of the ids: the same alerts together have the same."""
    if len(alerts) == 1:
        return alerts[0].id
    return hashlib.sha256("\n".join(alert.id for alert in alerts).encode()).hexdigest()[:40]


def _address(url: str) -> Url:
    """Raises SinkNotReady for what is no address of a webhook."""
    try:
        address = parse_url(url)
    except LocationParseError:
        address = Url()
    if address.scheme not in {"http", "https"} or not address.host or not url.isprintable() or " " in url:
        what = "cannot be used" if url else "is empty"
        raise SinkNotReady(NAME, f"webhook.url {what}; write it as https://host/path")
    if address.auth:
        raise SinkNotReady(NAME, "webhook.url holds credentials; put them into webhook.username and password")
    return address


def _credentials(settings: WebhookSettings) -> dict[str, str]:
    """The header that lets us in, if any."""
    if settings.token and settings.username:
        raise SinkNotReady(NAME, "webhook.token and webhook.username are both set; one of them lets us in")
    if settings.token:
        name = settings.header
        value = f"{settings.scheme} {settings.token}".strip()
    elif settings.username:
        name = "Authorization"
        value = base64.b64encode(f"{settings.username}:{settings.password}".encode()).decode()
        value = f"Basic {value}"
    else:
        return {}
    if not _HEADER_NAME.fullmatch(name):
        raise SinkNotReady(NAME, f"webhook.header {name!r} is no name of a header")
    if not _HEADER_VALUE.fullmatch(value):
        raise SinkNotReady(
            NAME, "webhook.token holds characters that no header may hold, such as line breaks"
        )
    return {name: value}


def _signing_key(text: str) -> bytes:
    """The bytes of a key that is written as `whsec_` and base64; none for an empty one."""
    if not text:
        return b""
    try:
        return base64.b64decode(text.removeprefix(_KEY_PREFIX), validate=True)
    except binascii.Error:
        raise SinkNotReady(NAME, f"webhook.signing_key is not {_KEY_PREFIX} and base64") from None
