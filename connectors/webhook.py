"""Alerts by HTTP POST to whoever takes them: a SOAR, a log shipper, a SIEM's HTTP collector.

A receiver cannot be asked what it has, so an alert whose answer was lost is sent again under the same id,
by which the receiver knows it: at least once. Redirects are not followed, since one could lead alerts and
credentials elsewhere.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Sequence

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, SSLError

from connectors.base import Delivery
from connectors.client_certificate import (
    innermost,
    refused_certificate,
    said_by,
    show_certificate,
    tls_context,
)
from connectors.webhook_request import CHECK_ID, NAME, Requests, WebhookSettings, request_id
from detector.alert import Alert
from detector.errors import SinkError, SinkNotReady, SinkUnavailable
from detector.query import DeadLetter

__all__ = ["WebhookSettings", "WebhookSink", "check"]

BATCH_BYTES = 1_000_000
"""Bytes of one request, unless a single alert has more: the smallest limit of common collectors."""
REMEMBERED = 10_000
"""Ids of alerts that were taken, kept so that a repeat leaves them out."""
ANSWER_BYTES = 4096
"""What is read of an answer."""
LONGEST_WAIT = 300.0
"""Seconds; a receiver may ask for more (Retry-After), and is tried after these all the same."""
_LATER = frozenset({408, 425, 429})
_FOR_A_PERSON = frozenset({401, 403, 404, 405, 407, 410, 415})
_NO_RETRY = urllib3.Retry(total=False, redirect=False, retry_after_max=int(LONGEST_WAIT))


class WebhookSink:
    """One address that takes alerts. `now`: the clock of signatures, in seconds since the epoch."""

    name = NAME

    def __init__(self, settings: WebhookSettings, *, now: Callable[[], float] = time.time) -> None:
        self._settings, self._now = settings, now
        self.most_at_once = 1 if settings.format == "json" else settings.batch_alerts
        self._requests = Requests(settings)
        self._pool: urllib3.PoolManager | None = None
        self._taken: dict[str, None] = {}

    def open(self) -> None:
        """Connect and ask, without an alert (OPTIONS), whether somebody is there who knows us.

        Raises SinkUnavailable when nobody answers, SinkNotReady for what a person must mend.
        """
        self.close()
        self._pool = _pool(self._settings)
        try:
            self.ask()
        except SinkError:
            self.close()
            raise

    def ask(self) -> int:
        """The status of an answer to OPTIONS. Many receivers answer that with an error, which says nothing of
        alerts, unless it is that they do not know us (401) or are elsewhere (a redirect)."""
        status, error = self._send("OPTIONS", CHECK_ID, b"")
        if error and (status == 401 or status < 400):
            raise error
        return status

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        """Send all before returning; alerts that the receiver refuses for their content come back rejected.

        Raises SinkUnavailable and SinkNotReady; a repeat of the write then sends what was not taken.
        """
        fresh = {alert.id: alert for alert in alerts if alert.id not in self._taken}
        refused: list[DeadLetter] = []
        waiting = list(_chunks(list(fresh.values()), self.most_at_once))
        waiting.reverse()
        while waiting:
            chunk = waiting.pop()
            problem = self._post(chunk)
            if not problem:
                self._remember(chunk)
            elif len(chunk) == 1:
                detail = f"the webhook refused alert {chunk[0].id}: {problem}"
                refused.append(chunk[0].dead_letter("rejected_by_sink", NAME, detail))
            else:
                middle = len(chunk) // 2
                waiting += [chunk[middle:], chunk[:middle]]
        return Delivery(len(fresh) - len(refused), len(alerts) - len(fresh), tuple(refused))

    def close(self) -> None:
        """Release the connection."""
        if self._pool is not None:
            self._pool.clear()
            self._pool = None

    def _post(self, alerts: Sequence[Alert]) -> str:
        """Why the receiver refuses these alerts, empty when it has taken them. Raises SinkError."""
        status, error = self._send("POST", request_id(alerts), self._requests.body(alerts))
        if error is None:
            return ""
        if 400 <= status < 500 and status not in _LATER | _FOR_A_PERSON:
            return str(error).removeprefix(f"{NAME}: ")
        raise error

    def _send(self, method: str, name: str, body: bytes) -> tuple[int, SinkError | None]:
        """The status of an answer, and the error of ours that it means, if any. Raises SinkError for none."""
        if self._pool is None:
            raise SinkNotReady(NAME, "is not open")
        where = self._requests.where
        try:
            answer = self._pool.urlopen(
                method,
                self._settings.url,
                body=body,
                headers=self._requests.headers(name, body, self._now()),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                said = _read(answer, time.monotonic() + self._settings.timeout_seconds)
            finally:
                answer.close()
        except (HTTPError, OSError) as error:
            raise self._no_answer(error) from error
        if 200 <= answer.status < 300:
            return answer.status, None
        reason = self._requests.without_secrets(said.decode("utf-8", "replace"))[:300] or "no reason given"
        return answer.status, self._refusal(
            answer.status, f"{where} answers {answer.status}: {reason}", answer
        )

    def _refusal(self, status: int, said: str, answer: urllib3.BaseHTTPResponse) -> SinkError:
        if 300 <= status < 400:
            return SinkNotReady(
                NAME, f"{said}; redirects are not followed, put the address itself into webhook.url"
            )
        if status in {401, 403}:
            return SinkNotReady(
                NAME, f"{said}; check webhook.token, or username and password, and signing_key"
            )
        if status in {404, 405, 410}:
            return SinkNotReady(NAME, f"{said}; check the path of webhook.url")
        if status == 415:
            return SinkNotReady(NAME, f"{said}; check webhook.format")
        if status in _LATER or status >= 500:
            return SinkUnavailable(NAME, said, retry_after=_retry_after(answer))
        return SinkNotReady(NAME, said)

    def _no_answer(self, error: Exception) -> SinkError:
        where, inner = self._requests.where, innermost(error)
        if refused := refused_certificate(inner, self._settings, NAME):
            return SinkNotReady(NAME, f"{where} {refused}")
        ended = isinstance(inner, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        if isinstance(error, SSLError) and not ended:
            return SinkNotReady(
                NAME,
                f"the TLS connection to {where} fails: {said_by(error)}; check that webhook.ca_file is the "
                f"authority that signed the receiver's certificate, and its name in webhook.url",
            )
        problem = f"no answer from {where}: {self._requests.without_secrets(said_by(error))}"
        if ended:
            problem += "; it stops, or wants another certificate of ours (webhook.certificate_file)"
        return SinkUnavailable(NAME, problem)

    def _remember(self, alerts: Sequence[Alert]) -> None:
        self._taken.update(dict.fromkeys(alert.id for alert in alerts))
        while len(self._taken) > REMEMBERED:
            del self._taken[next(iter(self._taken))]


def _pool(settings: WebhookSettings) -> urllib3.PoolManager:
    """Connections as configured, none of them made yet. Raises SinkNotReady."""
    own_tls = settings.ca_file or settings.certificate_file or settings.key_file
    if own_tls and not settings.url.startswith("https://"):
        key = "ca_file" if settings.ca_file else "certificate_file"
        raise SinkNotReady(NAME, f"webhook.{key} is set, but webhook.url is not https")
    try:
        context = tls_context(settings)
    except OSError as error:
        raise SinkNotReady(NAME, f"webhook.ca_file cannot be used: {error.strerror or error}") from error
    if problem := show_certificate(context, settings, NAME):
        raise SinkNotReady(NAME, problem)
    return urllib3.PoolManager(1, maxsize=1, timeout=settings.timeout_seconds, ssl_context=context)


def _chunks(alerts: Sequence[Alert], most: int) -> Iterator[list[Alert]]:
    """In order, at most `most` alerts and BATCH_BYTES each, or one alert."""
    chunk: list[Alert] = []
    size = 0
    for alert in alerts:
        more = len(alert.to_json())
        if chunk and (len(chunk) == most or size + more > BATCH_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(alert)
        size += more
    if chunk:
        yield chunk


def _read(answer: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """The first ANSWER_BYTES at most, as many as come in time: a receiver that drips must not hold us up."""
    said = b""
    while len(said) < ANSWER_BYTES and time.monotonic() < until:
        part = answer.read1(ANSWER_BYTES - len(said))
        if not part:
            break
        said += part
    return said


def _retry_after(answer: urllib3.BaseHTTPResponse) -> float:
    """Seconds that the receiver asks to be left alone."""
    try:
        return _NO_RETRY.parse_retry_after(answer.headers.get("Retry-After", "0"))
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def check(settings: WebhookSettings) -> str:
    """Ask whether somebody is there, and say so in a sentence. Raises SinkNotReady or SinkUnavailable."""
    sink = WebhookSink(settings)
    try:
        sink.open()
        status = sink.ask()
    finally:
        sink.close()
    where = Requests(settings).where
    plain = "; it is not encrypted" if where.startswith("http:") else ""
    return f"{where} answers ({status} to OPTIONS); the first alert shows whether it takes them{plain}"
