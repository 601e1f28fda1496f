"""What a service may be asked for, and by whom."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoal.errors import ShoalError


@dataclass(frozen=True)
class Settings:
    """Limits and access of a service.

    Raises
    ------
    ShoalError : a limit that lets nothing through, a token that no header can carry, or a host that others reach
        without a token.

    >>> Settings(token="s3cret", host="0.0.0.0").is_loopback
    False
    """

    host: str = "127.0.0.1"
    token: str | None = None
    """May read and write. As soon as one of the three is set, all but health and the page itself ask for one."""
    read_token: str | None = None
    """May read and label rows."""
    write_token: str | None = None
    """May read, and change what is served."""
    max_body: int = 64 * 1024**2
    """Bytes of a request's body."""
    max_rows: int = 100_000
    """Rows of a request."""
    max_waiting: int = 256
    """Requests with bodies that are worked on or wait for it."""
    max_waiting_bytes: int = 512 * 1024**2
    """Bytes of their bodies."""
    body_seconds: float = 30.0
    """Time a client has to send its body."""
    request_seconds: float = 60.0
    """Time from a request's head to its answer."""
    poll_seconds: float = 1.0
    """Time between two looks for a newer version."""
    log: Literal["json", "text", "none"] = "none"
    """What the line that standard error gets for each request looks like."""
    tracing: bool | None = None
    """Spans for OpenTelemetry; None: if the process has a tracer provider."""
    inbox: Path | None = None
    """Folder for rows that a stream shall learn; None: none are taken."""

    def __post_init__(self) -> None:
        if self.max_body < 1 or self.max_rows < 1:
            raise ShoalError(f"max_body={self.max_body} and max_rows={self.max_rows} must be at least 1")
        if self.max_waiting < 1 or self.max_waiting_bytes < 1:
            raise ShoalError(
                f"max_waiting={self.max_waiting} and max_waiting_bytes={self.max_waiting_bytes} must be at least 1"
            )
        if not (self.body_seconds > 0 and self.request_seconds > 0):
            raise ShoalError(
                f"body_seconds={self.body_seconds} and request_seconds={self.request_seconds} must be positive"
            )
        for token in (self.token, self.read_token, self.write_token):
            if token is not None and not (
                token.isascii() and token.isprintable() and token.split() == [token]
            ):
                raise ShoalError("the token must be printable ASCII without spaces, and not empty")
        if not self.needs_token and not self.is_loopback:
            raise ShoalError(f"others can reach {self.host}: give a --token, or leave --host at 127.0.0.1")

    @property
    def needs_token(self) -> bool:
        """Whether clients are asked for a token; nobody is only on loopback."""
        return not (self.token is None and self.read_token is None and self.write_token is None)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def knows_host(self, header: str) -> bool:
        """Whether a request was meant for this service, by its Host header.

        Without a token a page of another site, whose name was pointed at this machine, must not read the answers.

        >>> Settings().knows_host("localhost:8787"), Settings().knows_host("evil.example:8787")
        (True, False)
        """
        if self.needs_token:
            return True
        name = header[: header.rfind("]") + 1] or header.partition(":")[0]
        return name.lower() in (
            "localhost",
            "127.0.0.1",
            "[::1]",
            self.host.lower(),
            f"[{self.host.lower()}]",
        )
