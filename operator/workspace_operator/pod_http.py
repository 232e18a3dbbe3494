"""
Speak HTTP to a pod, within bounds.

Invariant: never raises, and never takes more time or reads more bytes than it is told, whatever the
pod answers: a pod may run a user's own image.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import aiohttp

MAX_BYTES: Final = 65_536


@dataclass(slots=True, kw_only=True)
class PodHttp:
    """Hold the connections."""

    _session: aiohttp.ClientSession | None = None

    async def exchange(
        self, method: str, host: str, target: str, seconds: float, **body: object
    ) -> tuple[int | None, str]:
        """
        Return status and body, or None and the reason why there is no answer.

        Args:
            method: Of HTTP.
            host: Address of the pod.
            target: Port and path, such as `5000/ready`.
            seconds: The most that it may take.
            body: Only json=, a plain object.
        """
        place = f"[{host}]" if ":" in host else host
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.request(
                    method,
                    f"http://{place}:{target}",
                    allow_redirects=False,
                    **body,  # type: ignore[arg-type]  # only json=, a plain object
                ) as response,
            ):
                return response.status, await _bounded_text(response)
        except TimeoutError:
            return None, f"nothing within {seconds:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return None, str(error) or type(error).__name__

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _bounded_text(response: aiohttp.ClientResponse) -> str:
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > MAX_BYTES:
            message = f"more than {MAX_BYTES} bytes"
            raise ValueError(message)
    return content.decode(errors="replace")
