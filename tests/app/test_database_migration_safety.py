from __future__ import annotations

import pytest

from modelcard_generator.database import statements
from modelcard_generator.database.migration_safety import unsafe
from modelcard_generator.database.migrations import read_migrations

ALONE = "-- no transaction\n"


@pytest.mark.parametrize("migration", read_migrations(), ids=lambda each: each.file)
def test_old_pods_survive_every_migration(migration):
    assert unsafe(migration.sql) == []


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DROP TABLE users;", "drop it by hand"),
        ("drop table if exists users", "drop it by hand"),
        ("DROP INDEX users_by_name;", "CONCURRENTLY"),
        ("DROP VIEW v;", "drop it by hand"),
        ("ALTER TABLE users DROP COLUMN username;", "drop it by hand"),
        ("ALTER TABLE users DROP username;", "drop it by hand"),
        ("ALTER TABLE public.users RENAME COLUMN username TO name;", "beside it"),
        ('ALTER TABLE "users" RENAME TO people;', "beside it"),
        ("ALTER INDEX i RENAME TO j;", "beside it"),
        ("ALTER TABLE users ALTER COLUMN username TYPE varchar(10);", "new type"),
        ("ALTER TABLE users ALTER username SET DATA TYPE varchar(10);", "new type"),
        ("ALTER TABLE users ALTER COLUMN username SET NOT NULL;", "write NULL"),
        ("ALTER TABLE users ALTER COLUMN username DROP DEFAULT;", "keep its DEFAULT"),
        ("ALTER TABLE users ADD COLUMN a int, ADD COLUMN b numeric(4, 2) NOT NULL;", "give it a DEFAULT"),
        ("ALTER TABLE users ADD b int NOT NULL;", "give it a DEFAULT"),
        ("ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid();", "rewrites"),
        ("ALTER TABLE users ADD COLUMN n bigserial;", "rewrites"),
        ("ALTER TABLE users ADD COLUMN n int GENERATED ALWAYS AS (1) STORED;", "rewrites"),
        ("ALTER TABLE users ADD COLUMN n int REFERENCES t (n);", "NOT VALID"),
        ("ALTER TABLE users ADD CONSTRAINT c CHECK (username <> '');", "NOT VALID"),
        ("ALTER TABLE users ADD CHECK (username <> 'NOT VALID');", "NOT VALID"),
        ("ALTER TABLE users ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES t;", "NOT VALID"),
        ("ALTER TABLE users ADD CONSTRAINT c UNIQUE (username);", "USING INDEX"),
        ("ALTER TABLE users ADD PRIMARY KEY (id);", "USING INDEX"),
        ("ALTER TABLE users ADD CHECK (id <> 0) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT c;", "next file"),
        ("ALTER TABLE users SET SCHEMA elsewhere;", "operator"),
        ("ALTER TABLE users OWNER TO postgres;", "operator"),
        ("ALTER TABLE users DISABLE TRIGGER ALL;", "operator"),
        ("ALTER TABLE IF EXISTS ONLY users DROP COLUMN username;", "drop it by hand"),
        ("CREATE INDEX i ON users (username);", "add CONCURRENTLY"),
        ("CREATE UNIQUE INDEX ON users (username);", "add CONCURRENTLY"),
        ("CREATE INDEX CONCURRENTLY i ON users (username);", "cannot be in a transaction"),
        (ALONE + "CREATE INDEX CONCURRENTLY i ON users (username);", "DROP INDEX CONCURRENTLY IF EXISTS"),
        (ALONE + "CREATE INDEX CONCURRENTLY ON users (username);", "name it"),
        (ALONE + "CREATE TABLE t (n int);", "with a transaction"),
        ("REINDEX TABLE users;", "CONCURRENTLY"),
        ("TRUNCATE users;", "by hand"),
        ("DELETE FROM users;", "by hand"),
        ("UPDATE users SET username = '';", "in batches"),
        ("LOCK TABLE users;", "operator"),
        ("DO $$ BEGIN EXECUTE 'DROP TABLE users'; END $$;", "cannot be judged"),
        ("COMMIT;", "has a transaction"),
        ("/* /* nested */ */ TRUNCATE users;", "by hand"),
        ("SELECT ';--'; DROP TABLE users;", "drop it by hand"),
        ("CREATE TABLE IF NOT EXISTS users (id int); ALTER TABLE users DROP COLUMN username;", "drop it by hand"),
    ],
)
def test_what_stops_old_pods_is_refused_with_a_remedy(sql, reason):
    (only, *_) = [each for each in unsafe(sql) if reason in each] or [None]
    assert only, unsafe(sql)
    assert "\n" not in only


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (n int NOT NULL UNIQUE); CREATE INDEX ON t (n); ALTER TABLE t ADD CHECK (n > 0);",
        "CREATE TABLE t (n int); INSERT INTO t VALUES (1); UPDATE t SET n = 2;",
        "CREATE TABLE IF NOT EXISTS t (n int);",
        "ALTER TABLE users ADD COLUMN email text, ADD COLUMN age int NOT NULL DEFAULT 0;",
        "ALTER TABLE users ADD COLUMN IF NOT EXISTS seen timestamptz DEFAULT now();",
        "ALTER TABLE users ADD CONSTRAINT c CHECK (username <> '') NOT VALID;",
        "ALTER TABLE users ADD CONSTRAINT c UNIQUE USING INDEX i;",
        "ALTER TABLE users VALIDATE CONSTRAINT c;",
        "ALTER TABLE users ALTER COLUMN username SET DEFAULT 'x';",
        "ALTER TABLE users ALTER COLUMN email DROP NOT NULL;",
        "ALTER TABLE users DROP CONSTRAINT c;",
        "COMMENT ON TABLE users IS 'DROP TABLE users; TRUNCATE users';  -- DROP TABLE users;",
        "INSERT INTO users SELECT 1;",
        ALONE + "DROP INDEX CONCURRENTLY IF EXISTS i;\nCREATE INDEX CONCURRENTLY i ON users (username);",
        ALONE + "ALTER TABLE users VALIDATE CONSTRAINT c;",
    ],
)
def test_what_only_adds_is_accepted(sql):
    assert unsafe(sql) == []


def test_statements_end_where_postgresql_ends_them():
    sql = """
        SELECT 'a;b', 'it''s; one', E'it\\'s; one', "a;b" ; -- a comment; with a semicolon
        CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $body$ BEGIN RETURN '1;$$'; END; $body$;
        /* ; /* ; */ ; */ SELECT $$;$$
    """
    first, second, third = statements.split(sql)
    assert first.endswith('"a;b"')
    assert second.startswith("-- a comment")
    assert second.endswith("$body$")
    assert third.endswith("$$;$$")
