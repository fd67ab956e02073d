"""The same broker behind TLS and SASL: certificates and passwords are made anew for each."""

from __future__ import annotations

import json
import secrets
import shutil
import tempfile
import time
from base64 import urlsafe_b64encode
from pathlib import Path

from tests.servers.certificates import Authority
from tests.servers.kafka import KafkaServer
from tests.servers.process import free_port

SECURED, EXPIRED, ELSEWHERE, MUTUAL = "SECURED", "EXPIRED", "ELSEWHERE", "MUTUAL"
_MODULES = "org.apache.kafka.common.security"

# The tests set up topics through PLAINTEXT, where everybody is User:ANONYMOUS and may do everything.
_SETTINGS = """\
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,MUTUAL:SSL,{protocols}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:{user};User:CN={user}
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
"""
_LISTENER = """\
listener.name.{name}.ssl.keystore.type=PEM
listener.name.{name}.ssl.keystore.location={keystore}
listener.name.{name}.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required {users};
listener.name.{name}.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.{name}.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.{name}.oauthbearer.sasl.jaas.config={modules}.oauthbearer.OAuthBearerLoginModule required \
unsecuredLoginStringClaim_sub="broker";
"""
_MUTUAL = """\
listener.name.mutual.ssl.keystore.type=PEM
listener.name.mutual.ssl.keystore.location={keystore}
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location={authority}
listener.name.mutual.ssl.client.auth=required
"""


class SecuredKafkaServer(KafkaServer):
    """A broker with three SASL_SSL listeners besides its plain one; `address(listener)` is where.

    SECURED is as it should be, EXPIRED shows an expired certificate, ELSEWHERE one for another host. All
    take PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, and OAUTHBEARER with tokens that nobody signed. `user` may do
    everything, `stranger` may sign in and do nothing; both have `password`. MUTUAL takes no passwords, but
    certificates of its authority; `certificate` is that of `user`.
    """

    user, stranger = "detector", "stranger"

    def __init__(self) -> None:
        self.password = secrets.token_urlsafe(24)
        self._certificates = Path(tempfile.mkdtemp(prefix="querywatch-certificates-"))
        authority = Authority(self._certificates, "kafka-authority")
        self.ca_file = authority.file
        """The authority that signed the broker's certificates (PEM)."""
        keystores = {
            SECURED: authority.certify("broker"),
            EXPIRED: authority.certify("expired", expired=True),
            ELSEWHERE: authority.certify("elsewhere", ("kafka.example",)),
        }
        self.certificate = authority.certify(self.user)
        self._ports = {name: free_port() for name in (*keystores, MUTUAL)}
        people = (self.user, self.stranger)
        settings = _SETTINGS.format(
            protocols=",".join(f"{name}:SASL_SSL" for name in keystores), user=self.user
        )
        for name, made in keystores.items():
            settings += _LISTENER.format(
                name=name.lower(),
                keystore=made.both,
                modules=_MODULES,
                users=" ".join(f'user_{who}="{self.password}"' for who in people),
            )
        settings += _MUTUAL.format(keystore=keystores[SECURED].both, authority=authority.file)
        scram = [
            f"--add-scram=SCRAM-SHA-{bits}=[name={who},password={self.password}]"
            for bits in (256, 512)
            for who in people
        ]
        super().__init__(listeners=self._ports, settings=settings, format_options=scram)

    def address(self, listener: str = SECURED) -> str:
        """`host:port` of one of the listeners with TLS."""
        return f"127.0.0.1:{self._ports[listener]}"

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._certificates, ignore_errors=True)


def unsigned_token(subject: str, seconds: float = 7200.0) -> str:
    """A JSON web token without a signature, for the broker's own validator of such; valid for `seconds`."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": subject, "iat": now, "exp": now + seconds})
    encoded = [urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join(encoded) + "."
