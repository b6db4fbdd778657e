-- Which migrations this database has. Written by `spanloom migrate`, read by `--check` and by people.
CREATE TABLE IF NOT EXISTS schema_migrations {{on_cluster}}
(
    version     UInt32,
    name        String,
    checksum    String,                 -- of the template, so that a cluster and a single server agree
    applied_at  DateTime64(9, 'UTC'),
    duration_ms UInt32
)
ENGINE = {{engine_prefix}}ReplacingMergeTree(applied_at)
ORDER BY version;
