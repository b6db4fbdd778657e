-- What judges say of sessions, traces and spans, at the last version: the columns of AnnotationRollup, in its order.
--
-- An annotation is named by its target, its name and its identifier, and none of these ever changes; a later one of the
-- same name replaces it, in another month perhaps, so there are no partitions by time. A label or an explanation that
-- is absent is empty, a score is NULL. Read with FINAL.
CREATE TABLE IF NOT EXISTS annotations {{on_cluster}}
(
    project        LowCardinality(String),
    session_id     String                  CODEC(ZSTD(1)),
    scope          LowCardinality(String), -- session, trace, span
    trace_id       String                  CODEC(ZSTD(1)),
    span_id        String                  CODEC(ZSTD(1)),
    name           LowCardinality(String),
    identifier     String                  CODEC(ZSTD(1)),
    version        UInt64                  CODEC(ZSTD(1)),
    is_deleted     UInt8,
    annotator_kind LowCardinality(String),
    label          LowCardinality(String),
    score          Nullable(Float64)       CODEC(ZSTD(1)),
    explanation    String                  CODEC(ZSTD(3)),
    metadata       String                  CODEC(ZSTD(3)),
    source         LowCardinality(String),
    annotated_at   DateTime64(9, 'UTC')    CODEC(Delta(8), ZSTD(1)),
    ingested_at    DateTime64(9, 'UTC')    CODEC(Delta(8), ZSTD(1)),

    INDEX trace_id_values trace_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = {{engine_prefix}}ReplacingMergeTree(version, is_deleted)
PRIMARY KEY (project, session_id)
ORDER BY (project, session_id, scope, trace_id, span_id, name, identifier)
TTL toDateTime(ingested_at) + INTERVAL 400 DAY DELETE
SETTINGS index_granularity = 256, non_replicated_deduplication_window = 1000;
