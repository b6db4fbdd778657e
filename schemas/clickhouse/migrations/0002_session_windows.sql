-- Windows at their last version: the columns of WindowRollup, in its order.
--
-- Keys are columns that never change while a window lives. first_seen_at comes first because
-- lists are ordered by it; window_start and window_end move and are indexed instead. Partitions go
-- by first_seen_at too, not by event time: a clock that is a century off makes no partition of its
-- own, and a whole part ages out at once.
CREATE TABLE IF NOT EXISTS session_windows {{on_cluster}}
(
    project                    LowCardinality(String),
    session_id                 String                      CODEC(ZSTD(1)),
    window_id                  String                      CODEC(ZSTD(1)),
    version                    UInt64                      CODEC(ZSTD(1)),
    is_deleted                 UInt8,
    state                      LowCardinality(String),
    close_reason               LowCardinality(String),
    is_late                    Bool,
    opened_at                  DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    first_seen_at              DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    window_start               DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    window_end                 DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    gap_ns                     UInt64                      CODEC(ZSTD(1)),
    allowed_lateness_ns        UInt64                      CODEC(ZSTD(1)),

    user_ids                   Array(String)               CODEC(ZSTD(1)),
    environment                LowCardinality(String),
    environment_at             DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    service_names              Array(LowCardinality(String)),
    agent_names                Array(LowCardinality(String)),
    models                     Array(LowCardinality(String)),
    tags                       Array(LowCardinality(String)),
    session_attributes         Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    session_attributes_at      Map(LowCardinality(String), Int64)  CODEC(ZSTD(1)),  -- ns
    metadata                   Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    metadata_at                Map(LowCardinality(String), Int64)  CODEC(ZSTD(1)),  -- ns

    turn_count                 UInt32                      CODEC(T64, ZSTD(1)),
    span_count                 UInt32                      CODEC(T64, ZSTD(1)),
    tool_call_count            UInt32                      CODEC(T64, ZSTD(1)),
    error_count                UInt32                      CODEC(T64, ZSTD(1)),
    error_turn_count           UInt32                      CODEC(T64, ZSTD(1)),
    late_span_count            UInt32                      CODEC(T64, ZSTD(1)),
    duplicate_span_count       UInt32                      CODEC(T64, ZSTD(1)),
    prompt_tokens              UInt64                      CODEC(T64, ZSTD(1)),
    completion_tokens          UInt64                      CODEC(T64, ZSTD(1)),
    total_tokens               UInt64                      CODEC(T64, ZSTD(1)),
    cache_read_tokens          UInt64                      CODEC(T64, ZSTD(1)),
    cache_write_tokens         UInt64                      CODEC(T64, ZSTD(1)),
    reasoning_tokens           UInt64                      CODEC(T64, ZSTD(1)),
    prompt_cost                Decimal(38, 12)             CODEC(ZSTD(1)),          -- US dollars
    completion_cost            Decimal(38, 12)             CODEC(ZSTD(1)),
    total_cost                 Decimal(38, 12)             CODEC(ZSTD(1)),
    llm_call_count             UInt32                      CODEC(T64, ZSTD(1)),
    unpriced_call_count        UInt32                      CODEC(T64, ZSTD(1)),
    total_tokens_by_model      Map(LowCardinality(String), UInt64)          CODEC(ZSTD(1)),
    prompt_tokens_by_model     Map(LowCardinality(String), UInt64)          CODEC(ZSTD(1)),
    completion_tokens_by_model Map(LowCardinality(String), UInt64)          CODEC(ZSTD(1)),
    total_cost_by_model        Map(LowCardinality(String), Decimal(38, 12)) CODEC(ZSTD(1)),

    active_ns                  UInt64                      CODEC(T64, ZSTD(1)),
    turn_latency_p50_ns        UInt64                      CODEC(T64, ZSTD(1)),
    turn_latency_p95_ns        UInt64                      CODEC(T64, ZSTD(1)),
    turn_latency_p99_ns        UInt64                      CODEC(T64, ZSTD(1)),
    turn_latency_buckets       Map(Int32, UInt64)          CODEC(ZSTD(1)),
    first_input                String                      CODEC(ZSTD(3)),
    first_input_at             DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    last_output                String                      CODEC(ZSTD(3)),
    last_output_at             DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    last_error                 String                      CODEC(ZSTD(3)),
    last_error_at              DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),

    INDEX window_start_range window_start TYPE minmax GRANULARITY 1,
    INDEX window_end_range   window_end   TYPE minmax GRANULARITY 1
)
ENGINE = {{engine_prefix}}ReplacingMergeTree(version, is_deleted)
PARTITION BY toYYYYMM(first_seen_at)
ORDER BY (project, first_seen_at, session_id, window_id)
TTL toDateTime(first_seen_at) + INTERVAL 400 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- The same rows, session first: what belongs to one session is a seek, not a scan, with its project or without.
-- A session has few rows in every part, so granules are small.
CREATE TABLE IF NOT EXISTS session_windows_by_session {{on_cluster}} AS session_windows
ENGINE = {{engine_prefix}}ReplacingMergeTree(version, is_deleted)
PARTITION BY toYYYYMM(first_seen_at)
PRIMARY KEY (session_id, project)
ORDER BY (session_id, project, window_id)
TTL toDateTime(first_seen_at) + INTERVAL 400 DAY DELETE
SETTINGS index_granularity = 256, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;

-- One row to one row, so it is as idempotent as the table it reads: nothing is summed here.
CREATE MATERIALIZED VIEW IF NOT EXISTS session_windows_by_session_mv {{on_cluster}} TO session_windows_by_session
AS SELECT * FROM session_windows;
