"""
Count what the server does, under names that dashboards and autoscalers already read.

Where a value means the same as in vLLM, it has vLLM's name (`vllm:num_requests_waiting` and so on):
KAITO's dashboards, KEDA scalers and the gateway's inference extension look for these. What has no
such twin is called `model_server_*`; requests are `http_*`. docs/server.md lists all of them.

Labels come from closed sets only: a path or a model name that a caller made up would let callers
fill the memory of this server and of Prometheus.

Must not import torch, transformers, or anything that answers requests.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector

from model_server.api.lifecycle import Readiness

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2.5)
TOKENS = (1, 8, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """Show the engine's load at one moment."""

    running: int = 0
    waiting: int = 0
    kv_usage: float = 0.0  # share of the KV cache in use, 0 to 1
    preemptions: int = 0
    prefix_tokens_asked: int = 0
    prefix_tokens_found: int = 0
    block_size: int = 0  # tokens
    block_count: int = 0
    adapters_running: tuple[str, ...] = ()
    adapters_waiting: tuple[str, ...] = ()


class Metrics:
    """Own one registry; nothing here is global, so that tests may have many servers."""

    def __init__(self, model: str, adapters: Sequence[str] = ()) -> None:
        """Make every metric, so that all are there from the first scrape."""
        self._adapters = tuple(adapters)
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._model = model
        self.http_requests = Counter(
            "http_requests",
            "Answered requests by route and status.",
            ["method", "path", "status"],
            registry=self.registry,
        )
        self.http_seconds = self._histogram(
            "http_request_duration_seconds", "Request to last byte.", SECONDS, "path"
        )
        self._finished = Counter(
            "vllm:request_success",
            "Answers by the reason they ended.",
            ["model_name", "finished_reason"],
            registry=self.registry,
        )
        self._adapter_requests = Counter(
            "model_server_adapter_requests",
            "Requests for each adapter.",
            ["model_name", "adapter"],
            registry=self.registry,
        )
        for adapter in self._adapters:
            self._adapter_requests.labels(model, adapter)
        self.prompt_tokens = self._counter("vllm:prompt_tokens", "Tokens of prompts.")
        self.generation_tokens = self._counter("vllm:generation_tokens", "Tokens generated.")
        self.first_token_seconds = self._of_model(
            "vllm:time_to_first_token_seconds", "Request to first token.", SECONDS
        )
        self.token_seconds = self._of_model(
            "vllm:inter_token_latency_seconds", "Between tokens.", TOKEN_SECONDS
        )
        self.mean_token_seconds = self._of_model(
            "vllm:request_time_per_output_token_seconds",
            "Mean time between the tokens of one answer.",
            TOKEN_SECONDS,
        )
        self.answer_seconds = self._of_model(
            "vllm:e2e_request_latency_seconds", "Request to last token.", SECONDS
        )
        self.prompt_sizes = self._of_model(
            "vllm:request_prompt_tokens", "Tokens of one prompt.", TOKENS
        )
        self.answer_sizes = self._of_model(
            "vllm:request_generation_tokens", "Tokens of one answer.", TOKENS
        )

    def asked(self, adapter: str) -> None:
        """Count a request for one of the adapters; the base's alone are not counted here."""
        if adapter:
            self._adapter_requests.labels(self._model, adapter).inc()

    def finished(self, reason: str) -> None:
        """Count an answer by the reason it ended."""
        self._finished.labels(self._model, reason).inc()

    def watch(
        self, readiness: Callable[[], Readiness], load: Callable[[], EngineLoad | None]
    ) -> None:
        """Read life cycle and engine at each scrape, rather than keep copies that grow old."""
        self.registry.register(_Scraped(self._model, self._adapters, readiness, load))

    def exposition(self) -> bytes:
        """Write all metrics in Prometheus' text form."""
        return generate_latest(self.registry)

    # One model, one label value: looking it up anew for each token would cost as much as counting.

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, ["model_name"], registry=self.registry).labels(self._model)

    def _of_model(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return self._histogram(name, text, buckets, "model_name").labels(self._model)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], label: str) -> Histogram:
        return Histogram(name, text, [label], buckets=buckets, registry=self.registry)


class _Scraped:
    """Make the metrics that are read elsewhere at the time of the scrape."""

    def __init__(
        self,
        model: str,
        adapters: Sequence[str],
        readiness: Callable[[], Readiness],
        load: Callable[[], EngineLoad | None],
    ) -> None:
        self._model = model
        self._adapters = adapters
        self._readiness = readiness
        self._load = load

    def collect(self) -> Iterable[Metric]:
        """Yield the families; called by the registry."""
        now = self._readiness()
        yield self._gauge("model_server_ready", "1 while requests are taken.", float(now.is_ready))
        phases = GaugeMetricFamily(
            "model_server_startup_seconds", "Time of each finished phase.", labels=["phase"]
        )
        for phase, seconds in now.seconds.items():
            phases.add_metric([phase], seconds)
        yield phases
        yield self._gauge("model_server_loaded_bytes", "Weights read.", now.bytes_loaded)
        yield self._gauge("model_server_weight_bytes", "Weights to read.", now.bytes_total)
        load = self._load() or EngineLoad()
        yield self._gauge("vllm:num_requests_running", "Requests being decoded.", load.running)
        yield self._gauge("vllm:num_requests_waiting", "Requests in the queue.", load.waiting)
        yield self._gauge("vllm:kv_cache_usage_perc", "KV cache in use, 0 to 1.", load.kv_usage)
        yield self._cache(load)
        yield self._lora(load)
        for name, text, value in (
            ("vllm:num_preemptions", "Sequences computed again.", load.preemptions),
            ("vllm:prefix_cache_queries", "Tokens looked up.", load.prefix_tokens_asked),
            ("vllm:prefix_cache_hits", "Tokens found.", load.prefix_tokens_found),
        ):
            counter = CounterMetricFamily(name, text, labels=["model_name"])
            counter.add_metric([self._model], value)
            yield counter

    def _cache(self, load: EngineLoad) -> GaugeMetricFamily:
        """Say how large the KV cache is, as the gateway's endpoint picker reads it."""
        labels = ["model_name", "block_size", "num_gpu_blocks"]
        family = GaugeMetricFamily("vllm:cache_config_info", "Size of the KV cache.", labels=labels)
        family.add_metric([self._model, str(load.block_size), str(load.block_count)], 1.0)
        return family

    def _lora(self, load: EngineLoad) -> GaugeMetricFamily:
        """Say which adapters run and wait, as the gateway's endpoint picker reads it: at a time."""
        labels = ["max_lora", "running_lora_adapters", "waiting_lora_adapters"]
        text = "Adapters of the requests; the value is the time."
        family = GaugeMetricFamily("vllm:lora_requests_info", text, labels=labels)
        if self._adapters:
            running, waiting = ",".join(load.adapters_running), ",".join(load.adapters_waiting)
            family.add_metric([str(len(self._adapters)), running, waiting], time.time())
        return family

    def _gauge(self, name: str, text: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(name, text, labels=["model_name"])
        family.add_metric([self._model], value)
        return family
