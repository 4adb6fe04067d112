"""What happened, as Prometheus counters and histograms. No label ever names a call or a number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from agent.conversation.record import CallRecord, EndReason, MoveRecord, SummaryMade

WorkerState = Literal["ready", "draining", "dead"]
TakeoverKind = Literal["resume", "refill", "fresh"]
WORKER_STATES: tuple[WorkerState, ...] = ("ready", "draining", "dead")
TAKEOVER_KINDS: tuple[TakeoverKind, ...] = ("resume", "refill", "fresh")

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Just above the default trigger (80 %), where a refill is due (90 %) and the window itself, for
# models that hold 32k and 128k (ai.google.dev/gemini-api/docs/models); below, even steps.
CONTEXT_BUCKETS = (
    1_000, 2_500, 5_000, 10_000, 18_000, 26_500, 29_500, 32_768, 50_000, 75_000, 105_000, 118_000,
    131_072,
)  # fmt: skip

# Audio frames come every 20 ms; at 60 ms playout runs dry, and at 8 s the watchdog kills.
LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.1, 0.2, 0.5, 1, 2, 5)

# ``SummaryMade.by`` where no text model made the summary.
EXTRACT = "extract"


class Metrics:
    """One registry per process, or per test."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests_refused = Counter(
            "evercall_requests_refused_total",
            "Requests that were not Twilio's, or not well formed.",
            ["route", "reason"],
            registry=registry,
        )
        self.webhooks = Counter(
            "evercall_webhooks_total", "Signed requests served.", ["route"], registry=registry
        )
        self.calls_refused = Counter(
            "evercall_calls_refused_total",
            "Calls that there was no room for.",
            ["answer"],
            registry=registry,
        )
        self.streams_refused = Counter(
            "evercall_streams_refused_total",
            "Media sockets closed before a session was opened.",
            ["reason"],
            registry=registry,
        )
        self.stream_events = Counter(
            "evercall_stream_events_total",
            "Stream status callbacks.",
            ["event"],
            registry=registry,
        )
        self.calls_continued = Counter(
            "evercall_calls_continued_total",
            "What became of calls whose stream had ended.",
            ["step"],
            registry=registry,
        )
        self.calls_crashed = Counter(
            "evercall_calls_crashed_total", "Streams ended by a bug of ours.", registry=registry
        )
        self.streams_ended = Counter(
            "evercall_streams_ended_total", "Streams by end reason.", ["reason"], registry=registry
        )
        self.call_seconds = Histogram(
            "evercall_call_seconds",
            "Length of calls.",
            buckets=(5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600),
            registry=registry,
        )
        self.answer_delay_s = Histogram(
            "evercall_answer_delay_seconds",
            "From the end of the caller's speech to the first audio sent back.",
            buckets=(0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 5, 8),
            registry=registry,
        )
        self.moves = Counter(
            "evercall_moves_total",
            "Times a call left a Live connection: why (cause), how it got to the next (kind; none"
            " where there was none) and what the conversation was doing (moment).",
            ["cause", "kind", "moment"],
            registry=registry,
        )
        # The first bucket of gap and loss is nothing at all: the share of moves nobody noticed.
        self.move_gap_s = Histogram(
            "evercall_move_gap_seconds",
            "Silence a caller heard because of a move, where something was to be heard; 0 is a move"
            " that nobody noticed.",
            buckets=(0, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 60),
            registry=registry,
        )
        self.move_held_s = Histogram(
            "evercall_move_held_seconds",
            "Caller audio that was kept during a move and given to the next connection.",
            buckets=(0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 20, 30),
            registry=registry,
        )
        self.move_lost_s = Histogram(
            "evercall_move_lost_seconds",
            "Caller audio of a move that the model will never hear; anything above 0 is a fault.",
            buckets=(0, 0.02, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30),
            registry=registry,
        )
        self.move_tries = Histogram(
            "evercall_move_tries",
            "Connections dialled for one move; more than 1 means that the Live API refused or"
            " failed.",
            buckets=(1, 2, 3, 5, 8, 13),
            registry=registry,
        )
        self.context_tokens = Histogram(
            "evercall_context_tokens",
            "Most tokens that the model held in a call.",
            buckets=CONTEXT_BUCKETS,
            registry=registry,
        )
        self.context_cuts = Counter(
            "evercall_context_cuts_total",
            "Times the server cut the oldest turns off a context.",
            registry=registry,
        )
        self.context_updates = Counter(
            "evercall_context_updates_total",
            "What models were told in the middle of calls: as context or instruction (kind), and by"
            " which way (how).",
            ["kind", "how"],
            registry=registry,
        )
        self.summaries = Counter(
            "evercall_summaries_total",
            "Attempts to bring a running summary up to date, by outcome and by whom: a text model,"
            " or word for word (extract).",
            ["outcome", "by"],
            registry=registry,
        )
        self.summary_s = Histogram(
            "evercall_summary_seconds",
            "How long one took, whatever came of it.",
            buckets=(0.01, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 60),
            registry=registry,
        )
        self.summary_tokens = Counter(
            "evercall_summary_tokens_total",
            "Tokens of the text model that keeps running summaries, prompts and answers.",
            registry=registry,
        )
        self.barge_ins = Counter("evercall_barge_ins_total", "Barge-ins.", registry=registry)
        self.tools = Counter(
            "evercall_tools_total", "Tools run, by outcome.", ["outcome"], registry=registry
        )
        self.tokens = Counter("evercall_tokens_total", "Tokens used.", registry=registry)
        self.counted = Counter(
            "evercall_counted_total",
            "What calls skipped or lost, by the name of the record's counter.",
            ["name"],
            registry=registry,
        )
        self.takeovers = Counter(
            "evercall_takeovers_total",
            "Calls that went on here after another worker, or after a lost stream: resumed by"
            " handle, refilled, or begun anew (fresh) because nothing was to be had.",
            ["kind"],
            registry=registry,
        )
        self.takeover_s = Histogram(
            "evercall_takeover_seconds",
            "From Twilio's request to go on with a call to the first caller audio given to a"
            " connection that serves.",
            buckets=(0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5, 10, 20),
            registry=registry,
        )
        self.hand_overs = Counter(
            "evercall_hand_overs_total",
            "Calls this worker let go of for another: at a safe point, or forced because none came"
            " in time.",
            ["moment"],
            registry=registry,
        )
        self.calls_lost_to_others = Counter(
            "evercall_calls_lost_to_others_total",
            "Calls this worker served when another took their fencing number.",
            registry=registry,
        )
        self.streams_lost = Counter(
            "evercall_streams_lost_total",
            "Streams that ended under a caller who was still there, as seen when their calls went"
            " on here.",
            registry=registry,
        )
        self.checkpoints_written = Counter(
            "evercall_checkpoints_written_total",
            "Checkpoints handed to the store.",
            registry=registry,
        )
        self.checkpoint_writes_refused = Gauge(
            "evercall_checkpoint_writes_refused",
            "Writes the store refused because their call has a higher fencing number.",
            registry=registry,
        )
        self.fleet_workers = Gauge(
            "evercall_fleet_workers",
            "Workers on this database, as this one sees them.",
            ["state"],
            registry=registry,
        )
        self.workers_died = Counter(
            "evercall_workers_died_total",
            "Workers found dead, as counted by the one that looks after their calls.",
            registry=registry,
        )
        self.fleet_steered = Counter(
            "evercall_fleet_steered_total",
            "Calls of dead workers that this one steered on, by what came of it.",
            ["outcome"],
            registry=registry,
        )
        self.prewarm = Counter(
            "evercall_prewarm_total",
            "Live connections opened before their stream was there, by what came of them: hit where"
            " the stream took one, else late, unclaimed, failed or full.",
            ["outcome"],
            registry=registry,
        )
        self.campaign_briefs = Counter(
            "evercall_campaign_briefs_total",
            "Calls asked about at campaigns: found, unknown (an attempt that is not there),"
            " unavailable (no answer in time) or unusable (its agent).",
            ["outcome"],
            registry=registry,
        )
        self.campaign_notes_failed = Counter(
            "evercall_campaign_notes_failed_total",
            "Tries to write a result of a campaign's call that failed, by what it was: report,"
            " suppress, status, answered_by, flags.",
            ["what"],
            registry=registry,
        )
        self.campaign_machines = Counter(
            "evercall_campaign_machines_total",
            "Machines that answered a campaign's call, by what was done: hung_up, message, told"
            " (the agent talks to it) or late (nothing, the call was over or with a person).",
            ["done"],
            registry=registry,
        )
        self.open_calls = Gauge("evercall_open_calls", "Calls under way.", registry=registry)
        self.live_streams = Gauge("evercall_live_streams", "Streams open.", registry=registry)
        self.store_lost = Gauge(
            "evercall_store_lost_writes", "Writes the store gave up.", registry=registry
        )
        self.store_waiting = Gauge(
            "evercall_store_waiting_writes",
            "Writes that wait for the store's thread, or are in its hand.",
            registry=registry,
        )
        self.logs_dropped = Gauge(
            "evercall_log_records_dropped", "Log records dropped.", registry=registry
        )
        self.logs_waiting = Gauge(
            "evercall_log_records_waiting",
            "Log records that wait to be written.",
            registry=registry,
        )
        self.loop_lag_s = Histogram(
            "evercall_event_loop_lag_seconds",
            "How late the event loop came to a timer, looked at four times a second; not where"
            " EVERCALL_HUNG_S is 0.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )

        # Of these the rate is looked at before the first one happens.
        for kind in TAKEOVER_KINDS:
            self.takeovers.labels(kind)
        for moment in ("safe_point", "forced"):
            self.hand_overs.labels(moment)
        self.fleet_seen(())

    def stream_ended(self, reason: EndReason) -> None:
        """One stream is over."""
        self.streams_ended.labels(reason.value).inc()

    def move_done(self, record: MoveRecord) -> None:
        """One move is over, or was given up; to be told when it happens, not when the call ends."""
        kind = record.kind.value if record.kind else "none"
        self.moves.labels(record.cause.value, kind, record.moment.value).inc()
        self.move_gap_s.observe(max(0.0, record.gap_ms) / 1000)
        self.move_held_s.observe(max(0.0, record.held_ms) / 1000)
        self.move_lost_s.observe(max(0.0, record.lost_ms) / 1000)
        self.move_tries.observe(record.tries)

    def takeover_done(self, kind: TakeoverKind, took_s: float | None = None) -> None:
        """A call goes on here; without ``took_s`` where it is not known when Twilio asked."""
        self.takeovers.labels(kind).inc()
        if took_s is not None:
            self.takeover_s.observe(max(0.0, took_s))

    def handed_over(self, *, forced: bool) -> None:
        """This worker has let go of a call."""
        self.hand_overs.labels("forced" if forced else "safe_point").inc()

    def fleet_seen(self, states: Iterable[WorkerState]) -> None:
        """Show the workers there are, one state each; those that are gone are counted no more."""
        found = list(states)
        for state in WORKER_STATES:
            self.fleet_workers.labels(state).set(found.count(state))

    def worker_died(self) -> None:
        """A worker was found dead; told by the one that sweeps."""
        self.workers_died.inc()

    def call_steered(self, outcome: str) -> None:
        """What became of a call that nobody served."""
        self.fleet_steered.labels(outcome).inc()

    def summary_made(self, made: SummaryMade) -> None:
        """One attempt to summarise is over; to be told when it happens, not when the call ends.

        A text model that fails is to be seen while hour-long calls still go on.
        """
        # Agents' files name text models: what they say there is not ours to bound.
        by = EXTRACT if made.by == EXTRACT else "model"
        self.summaries.labels(made.outcome, by).inc()
        self.summary_s.observe(max(0.0, made.took_s))
        self.summary_tokens.inc(max(0, made.tokens))

    def call_ended(self, record: CallRecord) -> None:
        """Observe the record of a call, once it is complete.

        ``move_done`` and ``summary_made`` were told its moves and summaries.
        """
        if record.ended_s is not None:
            self.call_seconds.observe(record.ended_s)
        for turn in record.turns:
            if turn.answer_delay_s is not None:
                self.answer_delay_s.observe(turn.answer_delay_s)
        self.barge_ins.inc(len(record.barge_ins))
        for tool in record.tools:
            self.tools.labels(tool.outcome).inc()
        self.tokens.inc(max(0, record.usage.total_tokens))
        context = record.context
        if context.samples:
            self.context_tokens.observe(context.most_tokens)
        self.context_cuts.inc(len(context.cuts))
        for update in context.updates:
            self.context_updates.labels(update.kind, update.how).inc()
        for name, count in record.counters.items():
            if count > 0:
                self.counted.labels(name).inc(count)

    def render(self) -> bytes:
        """The exposition text, of ``CONTENT_TYPE``."""
        return generate_latest(self.registry)
