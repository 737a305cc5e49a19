"""Grafana's dashboards as code: `python -m deploy.monitoring.dashboards` writes their JSON into grafana/dashboards.

A counter's rate is asked for over Grafana's own `$__rate_interval`, which follows from how often Prometheus looks.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import DashboardLinkType, DataSourceRef, Threshold, ThresholdsMode

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH = 24
HEIGHT = 8
PARTS = 'job=~"predict|retrain|drift|generate-drift|console|bridge"'


@dataclass(frozen=True)
class Panel:
    """What one panel asks: legends, in Grafana's templates, each with its query.

    unit: as Grafana names it. alert_above, alert_below: where it is red, as the alert has it. now: the present figure
    in the place of a course.
    """

    title: str
    says: str
    unit: str
    queries: Mapping[str, str]
    alert_above: float | None = None
    alert_below: float | None = None
    now: bool = False

    def build(self, number: int, width: int) -> stat.Panel | timeseries.Panel:
        """Return the panel in Grafana's terms; width: of 24 columns."""
        panel = self._figure() if self.now else self._course()
        panel.id(number).title(self.title).description(self.says).unit(self.unit).datasource(SOURCE)
        panel.span(width).height(HEIGHT // 2 if self.now else HEIGHT)
        steps = [Threshold(None, "text")]
        if self.alert_above is not None:
            steps = [Threshold(None, "green"), Threshold(self.alert_above, "red")]
        elif self.alert_below is not None:
            steps = [Threshold(None, "red"), Threshold(self.alert_below, "green")]
        panel.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        for letter, (legend, expression) in zip(ascii_uppercase, self.queries.items(), strict=False):
            query = prometheus.Dataquery().ref_id(letter).expr(expression).legend_format(legend)
            panel.with_target((query.instant() if self.now else query.range()).datasource(SOURCE))
        return panel

    def _figure(self) -> stat.Panel:
        is_told_apart = any("{{" in legend for legend in self.queries) or len(self.queries) > 1
        panel = stat.Panel().text_mode(BigValueTextMode.VALUE_AND_NAME if is_told_apart else BigValueTextMode.VALUE)
        newest = common.ReduceDataOptions().calcs(["lastNotNull"])
        return panel.reduce_options(newest).graph_mode(BigValueGraphMode.NONE)

    def _course(self) -> timeseries.Panel:
        legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True)
        tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)
        panel = timeseries.Panel().legend(legend).tooltip(tooltip).axis_soft_min(0).fill_opacity(10)
        if self.alert_above is not None or self.alert_below is not None:
            panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
        return panel


Rows = Mapping[str, tuple[Panel, ...]]


def build(title: str, description: str, rows: Rows) -> dashboard.Dashboard:
    """Return a dashboard; the panels of a row share its width."""
    board = (
        dashboard.Dashboard(f"Sentiment: {title}")
        .description(description)
        .tags(["sentiment"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .link(
            dashboard.DashboardLink("Sentiment").type(DashboardLinkType.DASHBOARDS).tags(["sentiment"]).keep_time(True)
        )
    )
    numbers = count(1)
    for name, panels in rows.items():
        board.with_row(dashboard.Row(name).id(next(numbers)))
        for panel in panels:
            board.with_panel(panel.build(next(numbers), WIDTH // len(panels)))
    return board


def rate(metric: str, by: str = "") -> str:
    """Return the query for how often a counter grows a second, over all replicas."""
    return _summed(f"rate({metric}[$__rate_interval])", by)


def increase(metric: str, by: str = "") -> str:
    """Return the query for how often a counter has grown of late, over all replicas."""
    return _summed(f"increase({metric}[$__rate_interval])", by)


def _summed(query: str, by: str) -> str:
    return f"sum by ({by}) ({query})" if by else f"sum({query})"


SERVING: Rows = {
    "Now": (
        Panel("Parts that answer", "Functions and bridges that Prometheus reaches.", "short",
              {"up": f"sum(up{{{PARTS}}})"}, now=True),
        Panel("Parts that do not", "Above 0 for two minutes: alert PartDown.", "short",
              {"down": f"count(up{{{PARTS}}}) - sum(up{{{PARTS}}})"}, alert_above=1, now=True),
        Panel("Versions that answer", "More than one for a minute: alert ModelsDiffer.", "short",
              {"versions": "count(count by (version) (predict_model_info))"}, alert_above=2, now=True),
        Panel("Records that wait", "For MongoDB. Above 0 for five minutes: alert RecordsWaiting.", "short",
              {"records": "sum(predict_records_waiting)"}, now=True),
    ),
    "Answers": (
        Panel("Requests of predict", "Requests that were answered by a model; a batch of texts is one.", "reqps",
              {"requests": rate("predict_seconds_count")}),
        Panel("Time to an answer", "From a request's body to its answer, in predict itself. The 99th percentile above "
              "50 ms for ten minutes: alert PredictSlow.", "s",
              {name: f"histogram_quantile({share}, sum by (le) (rate(predict_seconds_bucket[$__rate_interval])))"
               for name, share in (("median", 0.5), ("95th percentile", 0.95), ("99th percentile", 0.99))},
              alert_above=0.05),
        Panel("Texts scored", "By what the model says of them, over HTTP and the stream.", "cps",
              {"{{prediction}}": rate("predict_texts_total", "prediction")}),
    ),
    "What is refused": (
        Panel("Requests answered 503", "By what there was too much of; `records` while MongoDB is away.", "short",
              {"{{job}}: {{much}}": increase("http_requests_refused_total", "job, much"),
               "predict: records": increase("predict_records_refused_total")}),
        Panel("Requests that did not come in time", "Answered 408: slow senders, or an attack.", "short",
              {"{{job}}": increase("http_bodies_timed_out_total", "job")}),
        Panel("Large bodies in memory", "As a share of BODY_BUDGET_BYTES. Above 90 % for a minute: alert "
              "BodiesNearBudget.", "percentunit",
              {"{{job}} {{instance}}": "http_body_bytes / http_body_budget_bytes"}, alert_above=0.9),
    ),
    "Records": (
        Panel("Records written", "Texts with their answers, to MongoDB.", "cps",
              {"records": rate("predict_records_written_total")}),
        Panel("Records that wait", "Of each replica.", "short", {"{{instance}}": "predict_records_waiting"}),
    ),
    "Processes": (
        Panel("Memory", "Resident, of each process.", "bytes",
              {"{{job}} {{instance}}": f"process_resident_memory_bytes{{{PARTS}}}"}),
        Panel("Processor time", "1 is one processor, all of the time.", "short",
              {"{{job}} {{instance}}": f"rate(process_cpu_seconds_total{{{PARTS}}}[$__rate_interval])"}),
    ),
}  # fmt: skip

STREAM: Rows = {
    "Now": (
        Panel("Messages that wait", "Over all sources, each partition once. Growing for ten minutes: alert "
              "BridgeFallsBehind.", "short", {"messages": "sum(max by (source) (bridge_lag_messages))"}, now=True),
        Panel("Sources that are read", "Streams, partitions and queues.", "short",
              {"read": "sum(max by (source) (bridge_connected))"}, now=True),
        Panel("Sources that nobody reads", "Above 0 for two minutes: alert SourceNotRead.", "short",
              {"not read": "count(max by (source) (bridge_connected)) - sum(max by (source) (bridge_connected))"},
              alert_above=1, now=True),
        Panel("Messages that can't be used", "Of all messages of the last ten minutes. Above 5 %: alert "
              "MessagesRejected.", "percentunit",
              {"rejected": 'sum(increase(bridge_messages_total{outcome="rejected"}[10m]))'
                           " / (sum(increase(bridge_messages_total[10m])) > 0) or vector(0)"},
              alert_above=0.05, now=True),
    ),
    "Messages": (
        Panel("Messages done", "By stream, partition or queue, and by what came of them.", "cps",
              {"{{source}}: {{outcome}}": rate("bridge_messages_total", "source, outcome")}),
        Panel("Messages that wait", "Of each source; that of a partition which grows alone has a sender with one key.",
              "short", {"{{source}}": "max by (source) (bridge_lag_messages)"}),
        Panel("Offset", "The last one that is done and stored.", "short",
              {"{{source}}": "max by (source) (bridge_offset)"}),
    ),
    "What the bridge waits for": (
        Panel("Attempts that failed", "And are repeated until they work. Without end for five minutes: alert "
              "BridgeRetries.", "short", {"{{error}}": increase("bridge_retries_total", "error")}),
        Panel("Sources read", "1 while a source is read, or waited for because another bridge reads it.", "short",
              {"{{source}} {{instance}}": "bridge_connected"}),
    ),
    "What went wrong": (
        Panel("Messages missed", "Dropped by the broker before they were read: alert MessagesMissed.", "short",
              {"{{source}}": increase("bridge_missed_messages_total", "source")}),
        Panel("Replies not delivered", "By why: no such queue, a full one, a stuck one, one that is not accepted.",
              "short", {why: increase(f"bridge_{why}_replies_total")
                        for why in ("unroutable", "refused", "unconfirmed", "forbidden")}),
        Panel("Bugs of the bridge", "Messages parked because of one, and pipelines begun again: alerts BridgeBug and "
              "PipelineFailed.", "short",
              {"{{source}}: parked": increase("bridge_bugs_total", "source"),
               "{{source}}: begun again": increase("bridge_pipeline_failures_total", "source")}),
    ),
}  # fmt: skip

MODEL: Rows = {
    "Now": (
        Panel("Drift", "1 while drift is confirmed: alert Drift.", "short", {"drift": "max(drift_state)"},
              alert_above=1, now=True),
        Panel("Texts in the window", "Of the last check. Below 200 nothing is decided.", "short",
              {"texts": "max(drift_window_documents)"}, alert_below=200, now=True),
        Panel("Version that answers", "Of each replica, and when it was trained.", "short",
              {"{{version}} ({{trained_at}})": "count by (version, trained_at) (predict_model_info)"}, now=True),
        Panel("Models refused today", "Of these, untrusted ones may be an attack: alerts ModelRefused, "
              "ModelUntrusted.", "short",
              {"refused": "sum(increase(predict_model_refused_total[24h]))",
               "untrusted": "sum(increase(predict_model_untrusted_total[24h]))"}, alert_above=1, now=True),
    ),
    "Drift": (
        Panel("p-values", "Of each test, corrected; low ones say that the window is no sample of the reference. "
              "Each check sets them, a look does not.", "short", {"{{test}}": "min by (test) (drift_p_value)"}),
        Panel("Effect sizes", "How much has changed, whatever the number of texts.", "short",
              {"{{test}}": "max by (test) (drift_effect_size)"}),
        Panel("State", "1 from when drift is confirmed until it is cleared.", "short",
              {"drift": "max(drift_state)"}, alert_above=1),
    ),
    "Checks": (
        Panel("Checks", "By what each found. None for half an hour: alert DriftNotChecked.", "short",
              {"{{status}}": increase("drift_checks_total", "status")}),
        Panel("Time of a check", "With its queries to MongoDB.", "s",
              {"95th percentile": "histogram_quantile(0.95, sum by (le) (rate(drift_check_seconds_bucket[1h])))"}),
        Panel("Alerts of drift", "By channel; one that is given up is tried again after the next check.", "short",
              {"{{channel}}: sent": increase("drift_alerts_sent_total", "channel"),
               "{{channel}}: given up": increase("drift_alerts_failed_total", "channel")}),
    ),
    "Learning": (
        Panel("Labels", "That came in, by whether they were new.", "short",
              {"{{outcome}}": increase("retrain_labels_total", "outcome")}),
        Panel("Training runs", "By what came of them. One that is refused: alert RetrainRefused.", "short",
              {"{{outcome}}": increase("retrain_runs_total", "outcome")}),
        Panel("Models taken up", "Swapped in by predict, refused, and polls of the store that failed.", "short",
              {"swapped in": increase("predict_model_swaps_total"),
               "refused": increase("predict_model_refused_total"),
               "store away": increase("predict_model_store_outages_total")}),
    ),
}  # fmt: skip


def boards() -> dict[Path, str]:
    """Return the files, each with what is to be in it."""
    found = {
        "serving": build("serving", "What predict answers, how fast, what is refused, what each part takes.", SERVING),
        "stream": build("stream", "What the bridge reads, what waits for it, and what it waits for.", STREAM),
        "model": build("model and drift", "Which model answers, what drift finds, what retrain learns.", MODEL),
    }
    return {FOLDER / f"{name}.json": _lines(board.uid(f"sentiment-{name}")) for name, board in found.items()}


def _lines(board: dashboard.Dashboard) -> str:
    """Return JSON with a panel a line."""
    text = JSONEncoder().encode(board.build())
    return re.sub(r' (?=\{"type": "(row|stat|timeseries)")', "\n", text) + "\n"


if __name__ == "__main__":
    for path, content in boards().items():
        path.write_text(content)
