"""Spans as a collector gets them, over a real socket."""

import builtins
import gzip
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from p2pcache.hub import traces
from p2pcache.testing import StandIn
from tests.support.gateway import TOKEN, ask, connect, get, github, running

__all__ = ["github"]

REPO = "GET /repos/{owner}/{repo}"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Collector:
    """Takes traces over OTLP/HTTP."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.requests.append(
                    gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body
                )
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def read(self) -> Iterator[Any]:
        for body in self.requests:
            yield from ExportTraceServiceRequest.FromString(body).resource_spans

    @property
    def spans(self) -> list[Span]:
        return [span for resource in self.read() for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    made = Collector()
    monkeypatch.setenv(ENDPOINT, made.url)
    yield made
    made.close()


def attributes(span: Span) -> dict[str, object]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


async def test_a_request_is_a_span_with_its_calls_below(github: StandIn, tmp_path: Path, collector: Collector) -> None:
    async with running(github.url, tmp_path, traces_endpoint=collector.url) as node:
        await ask(node, get("/repos/octo/app?secret=hunter2", f"traceparent: 00-{TRACE}-{PARENT}-01"))
        await ask(node, get("/repos/octo/app?secret=hunter2"))
    call, first, hit = sorted(collector.spans, key=lambda span: span.end_time_unix_nano)
    assert (first.name, hit.name, call.name) == (REPO, REPO, "GitHub")
    assert attributes(first) == {
        "http.route": REPO,
        "http.response.status_code": 200,
        "p2pcache.rule": "nothing found",
        "p2pcache.tier": "github",
    }
    assert (attributes(hit)["p2pcache.rule"], attributes(hit)["p2pcache.tier"]) == ("fresh", "memory")
    assert attributes(call) == {"http.response.status_code": 200}
    assert (first.kind, call.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert (call.trace_id, call.parent_span_id) == (first.trace_id, first.span_id)
    assert hit.trace_id != first.trace_id
    assert not hit.parent_span_id
    times = (first.start_time_unix_nano, call.start_time_unix_nano, call.end_time_unix_nano, first.end_time_unix_nano)
    assert list(times) == sorted(times)


async def test_hits_of_the_fast_path_are_spans_too(github: StandIn, tmp_path: Path, collector: Collector) -> None:
    async with running(github.url, tmp_path, traces_endpoint=collector.url) as node, connect(node) as client:
        for _ in range(4):
            await client.send(get("/repos/octo/app"))
            await client.reply()
    assert sorted(span.name for span in collector.spans) == [REPO] * 4 + ["GitHub"]


async def test_a_span_tells_no_name_and_no_secret(github: StandIn, tmp_path: Path, collector: Collector) -> None:
    async with running(github.url, tmp_path, traces_endpoint=collector.url) as node:
        await ask(node, get("/repos/octo/app?secret=hunter2", "Cookie: hunter2", "traceparent: hunter2"))
        await ask(node, get("/-/hunter2", host="localhost"))
        await ask(node, get("/hunter2", host="hunter2.example:81"))
    assert len(collector.spans) == 4
    for word in (b"octo", b"hunter2", TOKEN.encode(), github.url.encode()):
        assert not any(word in body for body in collector.requests)


async def test_the_service_has_a_name(
    github: StandIn, tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("p2pcache", "our-hub"):
        async with running(github.url, tmp_path, traces_endpoint=collector.url) as node:
            await ask(node, get("/user"))
        *_, last = collector.read()
        assert name in {each.value.string_value for each in last.resource.attributes if each.key == "service.name"}
        monkeypatch.setenv("OTEL_SERVICE_NAME", "our-hub")


async def test_a_collector_that_is_down_costs_one_line(
    github: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")  # discard: nothing listens there
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.05")
    caplog.set_level(logging.INFO)
    async with running(github.url, tmp_path, traces_endpoint="set") as node:
        for _ in range(20):
            assert (await ask(node, get("/repos/octo/app"))).status == 200
    said = [record for record in caplog.records if record.name.startswith(("p2pcache.hub", "opentelemetry", "urllib3"))]
    assert [record.getMessage().partition(";")[0] for record in said] == ["traces cannot be exported"]


async def test_without_the_packages_a_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    there = builtins.__import__

    def missing(name: str, *arguments: Any, **named: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return there(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    caplog.set_level(logging.INFO, "p2pcache")
    assert traces.opened("http://127.0.0.1:4318") is None
    assert caplog.messages == [traces.NOT_INSTALLED]


async def test_a_node_without_the_variable_records_nothing(github: StandIn, tmp_path: Path) -> None:
    async with running(github.url, tmp_path) as node:
        assert node._observers == ()
        assert node._addons.observers == ()
    assert traces.opened("") is None


def test_an_exporter_that_fails_is_one_line_and_well_again_another(caplog: pytest.LogCaptureFixture) -> None:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    results: list[Any] = [OSError(), SpanExportResult.FAILURE, SpanExportResult.SUCCESS, SpanExportResult.SUCCESS]

    class Failing(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            result = results.pop(0)
            if isinstance(result, OSError):
                raise result
            return result  # type: ignore[no-any-return]

    caplog.set_level(logging.INFO)
    failing = threading.Event()
    exporter = traces.quiet(Failing(), failing)
    seen = []
    while results:
        exporter.export([])
        seen.append(failing.is_set())
    assert seen == [True, True, False, False]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
