"""Several processes' metrics are one text that Prometheus reads."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from workers.entrypoints.supervisor.exposition import merged
from workers.metrics import Metrics


def families(text: bytes) -> list[Metric]:
    return list(text_string_to_metric_families(text.decode()))


def test_every_sample_names_its_process() -> None:
    """Counters, histograms and gauges, with labels or without; values, help and types stay."""
    first, second = Metrics(), Metrics()
    first.barge_ins.inc(3)
    second.webhooks.labels('/a "b"\\ {c} d').inc()
    second.move_gap_s.observe(0.7)
    together = families(merged([("0", first.render()), ("1", second.render())]))
    wanted = {
        (sample.name, tuple(sorted({**sample.labels, "process": name}.items()))): sample.value
        for name, metrics in (("0", first), ("1", second))
        for family in families(metrics.render())
        for sample in family.samples
        # These are read anew each time.
        if not sample.name.startswith("process_")
    }
    got = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in together
        for sample in family.samples
        if not sample.name.startswith("process_")
    }
    assert got == wanted
    kinds = {family.name: (family.type, family.documentation) for family in together}
    assert kinds == {
        family.name: (family.type, family.documentation)
        for metrics in (first, second)
        for family in families(metrics.render())
    }


def test_each_family_stands_once() -> None:
    """Prometheus refuses a text in which one comes again."""
    text = merged([(str(place), Metrics().render()) for place in range(3)]).decode()
    names = [line.split(" ")[2] for line in text.split("\n") if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) > 20


def test_what_one_process_alone_has_is_kept() -> None:
    """Such as one of a newer release, during a restart of all."""
    old = b"# HELP a_total A.\n# TYPE a_total counter\na_total 1.0\n"
    new = old + b'# HELP b B.\n# TYPE b gauge\nb{x="y"} 2.0\n'
    assert merged([("0", old), ("1", new)]).decode().split("\n") == [
        "# HELP a_total A.",
        "# TYPE a_total counter",
        'a_total{process="0"} 1.0',
        'a_total{process="1"} 1.0',
        "# HELP b B.",
        "# TYPE b gauge",
        'b{process="1",x="y"} 2.0',
        "",
    ]
