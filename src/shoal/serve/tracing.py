"""Spans of requests for OpenTelemetry, in processes that have set it up; all others never import it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from shoal.errors import ShoalError
from shoal.model.release import release

_tracer: ContextVar[Any] = ContextVar("shoal_tracer", default=None)
_NOTHING: AbstractContextManager[Any] = nullcontext()
# messages of errors name values that were sent, which are nobody's business but the client's
_QUIET = {"record_exception": False, "set_status_on_exception": False}


@contextmanager
def request_span(
    wanted: bool | None, method: str, headers: list[tuple[bytes, bytes]]
) -> Iterator[RequestSpan | None]:
    """The span of a request; None where nobody traces.

    It is a child of the one its ``traceparent`` header names. Where FastAPI or the server has begun a span for the
    request, it is that one.

    Parameters
    ----------
    wanted : :attr:`Settings.tracing`.

    Raises
    ------
    ShoalError : spans are wanted and OpenTelemetry is not installed.

    >>> with request_span(False, "GET", []) as span:
    ...     span is None
    True
    """
    trace = _api(wanted)
    if trace is None:
        yield None
        return
    tracer = trace.get_tracer("shoal.serve", release())
    held = trace.get_current_span()
    if held.get_span_context().is_valid:
        with _traced_by(tracer):
            yield RequestSpan(held, None)
        return
    from opentelemetry.propagate import extract

    parent = extract({k.decode("latin-1"): v.decode("latin-1") for k, v in headers})
    kind = trace.SpanKind.SERVER
    with (
        tracer.start_as_current_span(method, context=parent, kind=kind, **_QUIET) as held,
        _traced_by(tracer),
    ):
        yield RequestSpan(held, method)


@contextmanager
def _traced_by(tracer: Any) -> Iterator[None]:
    before = _tracer.set(tracer)
    try:
        yield
    finally:
        _tracer.reset(before)


def span(name: str) -> AbstractContextManager[Any]:
    """A span of one step of the request that is being answered, on whatever thread; nothing where nobody traces."""
    tracer = _tracer.get()
    if tracer is None:
        return _NOTHING
    found: AbstractContextManager[Any] = tracer.start_as_current_span(name, **_QUIET)
    return found


class RequestSpan:
    """The span of a request, until its end is known.

    Parameters
    ----------
    held : the span.
    method : None if others began it, who say what HTTP has to say.
    """

    def __init__(self, held: Any, method: str | None) -> None:
        self._held, self._method = held, method

    def answering(self, **known: str | int | None) -> None:
        """Say what is known as the answer begins: a span that others began may end with the answer's last byte."""
        self._held.set_attributes({f"shoal.{k}": v for k, v in known.items() if v is not None})

    def ended(self, route: str, status: int) -> None:
        """Say what was asked for and how it ended."""
        if self._method is None:
            return
        from opentelemetry.trace import StatusCode

        self._held.update_name(f"{self._method} {route}")
        self._held.set_attributes(
            {
                "http.request.method": self._method,
                "http.route": route,
                "http.response.status_code": status,
            }
        )
        if status >= 500:
            self._held.set_status(StatusCode.ERROR)


def _api(wanted: bool | None) -> Any:
    """``opentelemetry.trace`` where spans are wanted. A process with a tracer provider has imported it already."""
    if wanted is False:
        return None
    if wanted:
        try:
            from opentelemetry import trace
        except ImportError as error:
            raise ShoalError("opentelemetry is not installed: pip install 'shoal[tracing]'") from error
        return trace
    known = sys.modules.get("opentelemetry.trace")
    if known is None or isinstance(known.get_tracer_provider(), known.ProxyTracerProvider):
        return None
    return known
