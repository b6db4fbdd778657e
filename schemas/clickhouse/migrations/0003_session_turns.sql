-- Turns at the version of their own last change: the columns of TurnRollup, in its order.
-- Session first: they are read by session, with its project or without.
CREATE TABLE IF NOT EXISTS session_turns {{on_cluster}}
(
    project                 LowCardinality(String),
    session_id              String                      CODEC(ZSTD(1)),
    window_id               String                      CODEC(ZSTD(1)),
    trace_id                String                      CODEC(ZSTD(1)),
    opened_at               DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    first_seen_at           DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    version                 UInt64                      CODEC(ZSTD(1)),
    is_deleted              UInt8,
    root_span_id            String                      CODEC(ZSTD(1)),
    root_name               LowCardinality(String),
    started_at              DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    ended_at                DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    has_error               Bool,
    error_count             UInt32                      CODEC(T64, ZSTD(1)),
    model                   LowCardinality(String),
    span_count              UInt32                      CODEC(T64, ZSTD(1)),
    tool_call_count         UInt32                      CODEC(T64, ZSTD(1)),
    prompt_tokens           UInt64                      CODEC(T64, ZSTD(1)),
    completion_tokens       UInt64                      CODEC(T64, ZSTD(1)),
    total_tokens            UInt64                      CODEC(T64, ZSTD(1)),
    cache_read_tokens       UInt64                      CODEC(T64, ZSTD(1)),
    cache_write_tokens      UInt64                      CODEC(T64, ZSTD(1)),
    reasoning_tokens        UInt64                      CODEC(T64, ZSTD(1)),
    prompt_cost             Decimal(38, 12)             CODEC(ZSTD(1)),          -- US dollars
    completion_cost         Decimal(38, 12)             CODEC(ZSTD(1)),
    total_cost              Decimal(38, 12)             CODEC(ZSTD(1)),
    llm_call_count          UInt32                      CODEC(T64, ZSTD(1)),
    unpriced_call_count     UInt32                      CODEC(T64, ZSTD(1)),
    time_to_first_token_ns  Nullable(UInt64)            CODEC(ZSTD(1)),          -- absent is not zero
    input                   String                      CODEC(ZSTD(3)),
    output                  String                      CODEC(ZSTD(3)),

    INDEX trace_id_values trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX started_at_range started_at TYPE minmax GRANULARITY 1
)
ENGINE = {{engine_prefix}}ReplacingMergeTree(version, is_deleted)
PARTITION BY toYYYYMM(first_seen_at)
PRIMARY KEY (session_id, project)
ORDER BY (session_id, project, window_id, trace_id)
TTL toDateTime(first_seen_at) + INTERVAL 400 DAY DELETE
SETTINGS index_granularity = 256, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
