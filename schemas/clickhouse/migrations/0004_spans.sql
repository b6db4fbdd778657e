-- Spans as they came, optional (SPANLOOM_SPAN_STORAGE). Written straight from otlp_spans, so session_id is what the
-- span itself names; a session's spans are found by the trace ids of its turns.
--
-- Copies of a span are removed by (project, trace_id, span_id). Partitions and TTL go by the time of the record, so
-- copies may sit in two partitions: readers use FINAL, never do_not_merge_across_partitions_select_final.
CREATE TABLE IF NOT EXISTS spans {{on_cluster}}
(
    project             LowCardinality(String),
    session_id          String                      CODEC(ZSTD(1)),
    trace_id            String                      CODEC(ZSTD(1)),
    span_id             String                      CODEC(ZSTD(1)),
    parent_span_id      String                      CODEC(ZSTD(1)),
    start_time          DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    end_time            DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),
    name                LowCardinality(String),
    kind                LowCardinality(String),     -- OTLP's: INTERNAL, CLIENT, ...
    span_kind           LowCardinality(String),     -- OpenInference's: LLM, CHAIN, ..., UNKNOWN
    service_name        LowCardinality(String),
    status_code         LowCardinality(String),
    status_message      String                      CODEC(ZSTD(1)),
    resource_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    attributes          String                      CODEC(ZSTD(3)),    -- one JSON object, flat keys, typed values
    attribute_texts     Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    events              String                      CODEC(ZSTD(3)),    -- JSON array of {name, timestamp, attributes}
    scope_name          LowCardinality(String),
    scope_version       LowCardinality(String),
    ingested_at         DateTime64(9, 'UTC')        CODEC(Delta(8), ZSTD(1)),

    INDEX trace_id_values   trace_id   TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX session_id_values session_id TYPE bloom_filter(0.01)  GRANULARITY 1,
    INDEX start_time_range  start_time TYPE minmax GRANULARITY 1
)
ENGINE = {{engine_prefix}}ReplacingMergeTree(ingested_at)
PARTITION BY toDate(ingested_at)
PRIMARY KEY (project, trace_id)
ORDER BY (project, trace_id, span_id)
TTL toDateTime(ingested_at) + INTERVAL 30 DAY DELETE
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000;
