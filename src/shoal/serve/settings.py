"""What a service may be asked for, and by whom."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from shoal.errors import ShoalError


@dataclass(frozen=True)
class Settings:
    """Limits and access of a service.

    Raises
    ------
    ShoalError : a limit below 1, a token that no header can carry, or a host that others reach without a token.

    >>> Settings(token="s3cret", host="0.0.0.0").is_loopback
    False
    """

    host: str = "127.0.0.1"
    token: str | None = None
    """Asked for on every route but those of health; None: nobody is asked, which only loopback allows."""
    max_body: int = 64 * 1024**2
    """Bytes of a request's body."""
    max_rows: int = 100_000
    """Rows of a request."""
    body_seconds: float = 30.0
    """Time a client has to send its body."""
    poll_seconds: float = 1.0
    """Time between two looks for a newer version."""

    def __post_init__(self) -> None:
        if self.max_body < 1 or self.max_rows < 1:
            raise ShoalError(f"max_body={self.max_body} and max_rows={self.max_rows} must be at least 1")
        if self.token is not None and not (
            self.token.isascii() and self.token.isprintable() and self.token.split() == [self.token]
        ):
            raise ShoalError("the token must be printable ASCII without spaces, and not empty")
        if self.token is None and not self.is_loopback:
            raise ShoalError(f"others can reach {self.host}: give a --token, or leave --host at 127.0.0.1")

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
        if self.token is not None:
            return True
        name = header[: header.rfind("]") + 1] or header.partition(":")[0]
        return name.lower() in (
            "localhost",
            "127.0.0.1",
            "[::1]",
            self.host.lower(),
            f"[{self.host.lower()}]",
        )
