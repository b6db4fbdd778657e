-- Who and where of each turn, so that what changes inside a session (a prompt version, say) is billed to the turns that
-- ran under it; conversations, providers, tools and both costs of each model of windows. Rows of before have the defaults: nothing is known.
ALTER TABLE session_turns {{on_cluster}}
    ADD COLUMN IF NOT EXISTS user_ids           Array(String)                 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS environment        LowCardinality(String),
    ADD COLUMN IF NOT EXISTS service_names      Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS agent_names        Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS conversation_ids   Array(String)                 CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tags               Array(LowCardinality(String)),
    ADD COLUMN IF NOT EXISTS session_attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS metadata           Map(LowCardinality(String), String) CODEC(ZSTD(1));

-- The copy first: the view that fills it names columns that it must have.
ALTER TABLE session_windows_by_session {{on_cluster}}
    ADD COLUMN IF NOT EXISTS conversation_ids   Array(String)                               CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS models_by_provider Map(LowCardinality(String), Array(String))  CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tool_calls_by_tool Map(LowCardinality(String), UInt64)         CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS prompt_cost_by_model     Map(LowCardinality(String), Decimal(38, 12)) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS completion_cost_by_model Map(LowCardinality(String), Decimal(38, 12)) CODEC(ZSTD(1));

ALTER TABLE session_windows {{on_cluster}}
    ADD COLUMN IF NOT EXISTS conversation_ids   Array(String)                               CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS models_by_provider Map(LowCardinality(String), Array(String))  CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS tool_calls_by_tool Map(LowCardinality(String), UInt64)         CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS prompt_cost_by_model     Map(LowCardinality(String), Decimal(38, 12)) CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS completion_cost_by_model Map(LowCardinality(String), Decimal(38, 12)) CODEC(ZSTD(1));

-- `SELECT *` of 0002 stands for the columns of then. Changed in place: dropped and made anew it would miss rows.
ALTER TABLE session_windows_by_session_mv {{on_cluster}} MODIFY QUERY SELECT * FROM session_windows;

-- As in 0006, with the new columns.
CREATE OR REPLACE VIEW sessions {{on_cluster}} AS
WITH
    -- The middle of a bucket, as in the engine's quantiles: 32 buckets for each doubling, from 64 ns on.
    (bucket -> greatest(0, intDiv(bucket, 32) - 1)) AS shift,
    (bucket -> bitShiftLeft(toUInt64(bucket - 32 * shift(bucket)), shift(bucket))
        + bitShiftRight(bitShiftLeft(toUInt64(1), shift(bucket)), 1)) AS middle,
    -- The first bucket at or below which `percent` of all turns lie; 0 without any.
    ((buckets, percent) -> mapKeys(buckets)[arrayFirstIndex(
        seen -> seen >= intDiv(arraySum(mapValues(buckets)) * percent + 99, 100),
        arrayCumSum(mapValues(buckets)))]) AS quantile_bucket
SELECT
    w.project                    AS project,
    w.session_id                 AS session_id,
    w.version                    AS version,
    w.state                      AS state,
    w.close_reason               AS close_reason,
    w.window_count               AS window_count,
    w.late_window_count          AS late_window_count,
    w.first_seen_at              AS first_seen_at,
    w.started_at                 AS started_at,
    w.last_activity_at           AS last_activity_at,
    w.user_ids                   AS user_ids,
    w.environment                AS environment,
    w.service_names              AS service_names,
    w.agent_names                AS agent_names,
    w.models                     AS models,
    w.tags                       AS tags,
    mapApply((k, e) -> (k, e.3), w.session_attribute_entries) AS session_attributes,
    mapApply((k, e) -> (k, e.3), w.metadata_entries)          AS metadata,
    t.turn_count                 AS turn_count,
    t.error_turn_count           AS error_turn_count,
    w.span_count                 AS span_count,
    w.tool_call_count            AS tool_call_count,
    w.error_count                AS error_count,
    w.late_span_count            AS late_span_count,
    w.duplicate_span_count       AS duplicate_span_count,
    w.prompt_tokens              AS prompt_tokens,
    w.completion_tokens          AS completion_tokens,
    w.total_tokens               AS total_tokens,
    w.cache_read_tokens          AS cache_read_tokens,
    w.cache_write_tokens         AS cache_write_tokens,
    w.reasoning_tokens           AS reasoning_tokens,
    w.prompt_cost                AS prompt_cost,
    w.completion_cost            AS completion_cost,
    w.total_cost                 AS total_cost,
    w.llm_call_count             AS llm_call_count,
    w.unpriced_call_count        AS unpriced_call_count,
    w.total_tokens_by_model      AS total_tokens_by_model,
    w.prompt_tokens_by_model     AS prompt_tokens_by_model,
    w.completion_tokens_by_model AS completion_tokens_by_model,
    w.total_cost_by_model        AS total_cost_by_model,
    t.active_ns                  AS active_ns,
    middle(quantile_bucket(w.turn_latency_buckets, 50)) AS turn_latency_p50_ns,
    middle(quantile_bucket(w.turn_latency_buckets, 95)) AS turn_latency_p95_ns,
    middle(quantile_bucket(w.turn_latency_buckets, 99)) AS turn_latency_p99_ns,
    w.turn_latency_buckets       AS turn_latency_buckets,
    w.first_input                AS first_input,
    w.last_output                AS last_output,
    w.last_error                 AS last_error,
    w.conversation_ids           AS conversation_ids,
    mapFromArrays(
        arraySort(arrayDistinct(w.provider_models.1)) AS providers,
        arrayMap(
            p -> arraySort(arrayMap(pair -> pair.2, arrayFilter(pair -> pair.1 = p AND pair.2 != '', w.provider_models))),
            providers)) AS models_by_provider,
    w.tool_calls_by_tool         AS tool_calls_by_tool,
    w.prompt_cost_by_model       AS prompt_cost_by_model,
    w.completion_cost_by_model   AS completion_cost_by_model
FROM
(
    SELECT
        project,
        session_id,
        max(s.version)                                             AS version,
        if(countIf(s.state = 'open') > 0, 'open', 'closed')        AS state,
        if(countIf(s.state = 'open') > 0, '', argMax(s.close_reason, (window_end, window_id))) AS close_reason,
        count()                                                    AS window_count,
        countIf(is_late)                                           AS late_window_count,
        min(s.first_seen_at)                                       AS first_seen_at,
        min(window_start)                                          AS started_at,
        max(window_end)                                            AS last_activity_at,
        arraySort(groupUniqArrayArray(s.user_ids))                 AS user_ids,
        argMaxIf(s.environment, (environment_at, window_id), s.environment != '') AS environment,
        arraySort(groupUniqArrayArray(s.service_names))            AS service_names,
        arraySort(groupUniqArrayArray(s.agent_names))              AS agent_names,
        arraySort(groupUniqArrayArray(s.models))                   AS models,
        arraySort(groupUniqArrayArray(s.tags))                     AS tags,
        maxMap(mapApply((k, v) -> (k, (session_attributes_at[k], window_id, v)), session_attributes))
                                                                   AS session_attribute_entries,
        maxMap(mapApply((k, v) -> (k, (metadata_at[k], window_id, v)), metadata)) AS metadata_entries,
        sum(s.span_count)                                          AS span_count,
        sum(s.tool_call_count)                                     AS tool_call_count,
        sum(s.error_count)                                         AS error_count,
        sum(s.late_span_count)                                     AS late_span_count,
        sum(s.duplicate_span_count)                                AS duplicate_span_count,
        sum(s.prompt_tokens)                                       AS prompt_tokens,
        sum(s.completion_tokens)                                   AS completion_tokens,
        sum(s.total_tokens)                                        AS total_tokens,
        sum(s.cache_read_tokens)                                   AS cache_read_tokens,
        sum(s.cache_write_tokens)                                  AS cache_write_tokens,
        sum(s.reasoning_tokens)                                    AS reasoning_tokens,
        sum(s.prompt_cost)                                         AS prompt_cost,
        sum(s.completion_cost)                                     AS completion_cost,
        sum(s.total_cost)                                          AS total_cost,
        sum(s.llm_call_count)                                      AS llm_call_count,
        sum(s.unpriced_call_count)                                 AS unpriced_call_count,
        sumMap(s.total_tokens_by_model)                            AS total_tokens_by_model,
        sumMap(s.prompt_tokens_by_model)                           AS prompt_tokens_by_model,
        sumMap(s.completion_tokens_by_model)                       AS completion_tokens_by_model,
        sumMap(s.total_cost_by_model)                              AS total_cost_by_model,
        mapSort(sumMap(s.turn_latency_buckets))                    AS turn_latency_buckets,
        argMinIf(s.first_input, (first_input_at, window_id), s.first_input != '') AS first_input,
        argMaxIf(s.last_output, (last_output_at, window_id), s.last_output != '') AS last_output,
        argMaxIf(s.last_error, (last_error_at, window_id), s.last_error != '')    AS last_error,
        arraySort(groupUniqArrayArray(s.conversation_ids))         AS conversation_ids,
        groupUniqArrayArray(arrayFlatten(arrayMap(
            (provider, models) -> if(empty(models), [(provider, '')], arrayMap(model -> (provider, model), models)),
            mapKeys(s.models_by_provider), mapValues(s.models_by_provider)))) AS provider_models,
        sumMap(s.tool_calls_by_tool)                               AS tool_calls_by_tool,
        sumMap(s.prompt_cost_by_model)                             AS prompt_cost_by_model,
        sumMap(s.completion_cost_by_model)                         AS completion_cost_by_model
    FROM session_windows_by_session AS s FINAL
    GROUP BY project, session_id
    SETTINGS optimize_move_to_prewhere_if_final = 1 -- read the other columns of matching rows only
) AS w
LEFT JOIN
(
    SELECT
        project,
        session_id,
        uniqExact(trace_id)                                        AS turn_count,
        uniqExactIf(trace_id, has_error)                           AS error_turn_count,
        intervalLengthSum(toUnixTimestamp64Nano(started_at), toUnixTimestamp64Nano(ended_at)) AS active_ns
    FROM session_turns FINAL
    GROUP BY project, session_id
    SETTINGS optimize_move_to_prewhere_if_final = 1
) AS t ON t.project = w.project AND t.session_id = w.session_id;
