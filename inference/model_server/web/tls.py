"""
Speak TLS with the certificate of a file, and with its successor once that is there.

Certificates are renewed every few weeks; a server that reads its own at the start only serves an
expired one some night. The files are looked at every few seconds, and a changed pair is loaded into
the live context: handshakes from then on use it, open connections keep what they have. A pair that
does not fit, as half-way through a change, leaves the old one in use.

Must not import torch or transformers.
"""

import asyncio
import logging
import ssl
from pathlib import Path

from model_server.settings import BadStart

logger = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 5.0


class Certificate:
    """Hold the context, and the files that it is made from."""

    def __init__(self, certificate: Path, key: Path | None) -> None:
        """
        Load certificate and key.

        Raises:
            BadStart: If they cannot be read or do not belong together.
        """
        self._certificate = certificate
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self._stamp = self._look()
            self._load(self.context)
        except OSError as error:  # ssl.SSLError is one
            raise BadStart(f"--tls-certificate {certificate}: {_reason(error)}") from None

    def renew(self) -> bool:
        """Load the files into the context if they have changed; tell whether that was done."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return False
            self._load(
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            )  # on trial: a bad pair must not stay
            self._load(self.context)
        except OSError as error:
            logger.warning("certificate_unusable", extra={"reason": _reason(error)})
            return False
        self._stamp = stamp
        logger.info("certificate_renewed")
        return True

    async def keep_fresh(self, *, every_seconds: float = LOOK_AGAIN_SECONDS) -> None:
        """Look at the files from time to time, without end."""
        while True:
            await asyncio.sleep(every_seconds)
            self.renew()

    def _load(self, context: ssl.SSLContext) -> None:
        # An empty password: OpenSSL would else ask for one at a terminal.
        context.load_cert_chain(self._certificate, self._key, password="")

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        files = (self._certificate, self._key or self._certificate)
        return tuple((s.st_ino, s.st_mtime_ns, s.st_size) for s in (f.stat() for f in files))


def _reason(error: OSError) -> str:
    return error.strerror or "certificate and key cannot be used"
