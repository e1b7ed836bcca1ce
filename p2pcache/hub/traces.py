"""OpenTelemetry traces: a span a request, and one below it for each call of GitHub. By operation, never by name.

The exporter takes its address, headers and all else from OpenTelemetry's own variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from p2pcache import __version__
from p2pcache.gateway.seen import Seen

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.util.types import AnyValue

log = logging.getLogger(__name__)

QUEUE = 2048
"""Spans that may wait for the exporter; then the oldest are dropped."""
CLOSE_SECONDS = 3.0
SERVER_ERROR = 500
NOT_INSTALLED = "OpenTelemetry's variables are set, but it is not installed: nothing is traced (p2pcache[otel] has it)"


def opened(endpoint: str) -> Traces | None:
    """Return what records requests, if an exporter's `endpoint` is set and the packages are there."""
    if not endpoint:
        return None
    try:
        return Traces()
    except ImportError:
        log.info(NOT_INSTALLED)
        return None


class Traces:
    """Records requests as spans, which a thread exports in batches."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # a line for each attempt; see `quiet`
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "p2pcache"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._failing = threading.Event()
        exporter = quiet(OTLPSpanExporter(), self._failing)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUE))
        self._tracer = self._provider.get_tracer("p2pcache", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def observe(self, seen: Seen) -> None:
        """Record a request."""
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        ahead = time.time_ns() - time.monotonic_ns()
        parent = self._propagator.extract({"traceparent": seen.traceparent}) if seen.traceparent else None
        attributes: dict[str, AnyValue] = {
            "http.route": seen.route,
            "http.response.status_code": seen.status,
            "p2pcache.rule": str(seen.rule),
            "p2pcache.tier": seen.tier,
        }
        span = self._tracer.start_span(
            seen.route or "request", parent, SpanKind.SERVER, attributes, start_time=_at(seen.began, ahead)
        )
        below = set_span_in_context(span, parent)
        for call in seen.calls:
            status: dict[str, AnyValue] = {"http.response.status_code": call.status}
            child = self._tracer.start_span("GitHub", below, SpanKind.CLIENT, status, start_time=_at(call.began, ahead))
            if not call.status or call.status >= SERVER_ERROR:
                child.set_status(StatusCode.ERROR)
            child.end(_at(call.ended, ahead))
        if seen.status >= SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end(_at(seen.ended, ahead))

    async def close(self) -> None:
        """Export what waits: for a few seconds at most, and no time where the collector was down already."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def shut() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                loop.call_soon_threadsafe(over.set)

        # A daemon, since an exporter that hangs must not keep the process.
        threading.Thread(target=shut, name="traces", daemon=True).start()
        failing = self._failing.is_set()
        try:
            async with asyncio.timeout(CLOSE_SECONDS if not failing else 0):
                await over.wait()
        except TimeoutError:
            if not failing:
                log.warning("the last traces were not taken in time")


def _at(moment: float, ahead: int) -> int:
    """Return a moment of `time.monotonic` in Unix nanoseconds."""
    return int(moment * 1e9) + ahead


def quiet(exporter: SpanExporter, failing: threading.Event) -> SpanExporter:
    """Return the exporter with one log line when it begins to fail, and one when it is well again.

    `failing` is set in between.
    """
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Quiet(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            try:
                result = exporter.export(spans)
            except Exception:  # noqa: BLE001 - whatever it is, the thread that exports has to live on
                result = SpanExportResult.FAILURE
            failed = result is not SpanExportResult.SUCCESS
            if failed and not failing.is_set():
                failing.set()
                log.warning("traces cannot be exported; those that wait too long are dropped, and nothing else suffers")
            elif failing.is_set() and not failed:
                failing.clear()
                log.info("traces are exported again")
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return exporter.force_flush(timeout_millis)

    return Quiet()
