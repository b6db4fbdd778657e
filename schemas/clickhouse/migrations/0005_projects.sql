-- Projects, and since when we know them. A minimum is the same however often a row is inserted.
CREATE TABLE IF NOT EXISTS projects {{on_cluster}}
(
    project       String,
    first_seen_at SimpleAggregateFunction(min, DateTime64(9, 'UTC'))
)
ENGINE = {{engine_prefix}}AggregatingMergeTree
ORDER BY project
SETTINGS non_replicated_deduplication_window = 1000;

-- Only what is inserted from now on passes through; a database with windows from before needs
-- INSERT INTO projects SELECT project, min(first_seen_at) FROM session_windows GROUP BY project.
CREATE MATERIALIZED VIEW IF NOT EXISTS projects_mv {{on_cluster}} TO projects
AS SELECT toString(project) AS project, min(w.first_seen_at) AS first_seen_at
FROM session_windows AS w
GROUP BY project;
