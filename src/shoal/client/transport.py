"""What both clients need of httpx, and what they send with every request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.client.calls import Call
from shoal.errors import ShoalError

if TYPE_CHECKING:
    import httpx

ADDRESS = "http://127.0.0.1:8787"
QUIET = 60.0
"""Seconds without a sign of life, of which there is one every 15, after which a live stream is opened anew."""


def options_of(address: str, token: str | None, timeout: float) -> dict[str, Any]:
    """Arguments for the client of httpx.

    Raises
    ------
    ShoalError : httpx is not there.
    """
    try:
        import httpx  # noqa: F401
    except ModuleNotFoundError as error:
        raise ShoalError("the client needs httpx: pip install 'shoal[client]'") from error
    headers = {"user-agent": "shoal-client"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return {"base_url": address, "headers": headers, "timeout": timeout}


def arguments_of(call: Call[Any]) -> dict[str, Any]:
    """Arguments of a request."""
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.parameters),
        "headers": dict(call.headers),
        "content": call.content,
    }


def may_pass(error: httpx.TransportError) -> bool:
    """Whether the next try may go better; an answer that took too long would take as long again."""
    import httpx

    return isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout))
