#!/bin/bash
# Makes the data directory on the first start, and sets the roles' passwords on every start, so that rotating a
# password is a restart. The server runs in single-user mode: nobody can connect meanwhile. A restored directory first
# replays its log here. Archiving is on, so that what is written here is archived later, but nothing is archived yet.
set -euo pipefail

sql() {
  postgres --single -D "$1" -c config_file="$1/postgresql.conf" -c archive_mode=on -c hot_standby=off \
    -c log_min_messages=warning postgres >/dev/null
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  rm -rf "$PGDATA.new"
  initdb --pgdata="$PGDATA.new" --username=postgres --pwfile="$SECRETS/admin-password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --data-checksums
  printf '%s\n' "CREATE ROLE $DATABASE LOGIN;" "CREATE DATABASE $DATABASE OWNER $DATABASE;" \
    "REVOKE ALL ON DATABASE $DATABASE FROM PUBLIC;" | sql "$PGDATA.new"
  mv "$PGDATA.new" "$PGDATA"
fi
# A role that may see everything about the server and nothing in it; DO, for there is no CREATE ROLE IF NOT EXISTS.
printf '%s\n' "DO \$\$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$MONITOR') THEN \
CREATE ROLE $MONITOR LOGIN CONNECTION LIMIT 5 IN ROLE pg_monitor; END IF; END \$\$;" \
  "GRANT CONNECT ON DATABASE $DATABASE TO $MONITOR;" | sql "$PGDATA"
# A role that may begin and end a backup. It has no password: only a process of this pod is let in.
printf '%s\n' "DO \$\$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$BACKUP') THEN \
CREATE ROLE $BACKUP LOGIN CONNECTION LIMIT 5 IN ROLE pg_read_all_settings; END IF; END \$\$;" \
  "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean), pg_switch_wal(), \
pg_create_restore_point(text) TO $BACKUP;" | sql "$PGDATA"
printf '%s\n' "ALTER ROLE postgres PASSWORD '$(cat "$SECRETS/admin-password")';" \
  "ALTER ROLE $DATABASE PASSWORD '$(cat "$SECRETS/password")';" \
  "ALTER ROLE $MONITOR PASSWORD '$(cat "$SECRETS/monitor-password")';" | sql "$PGDATA"
# From the first second on there is an archive to write to. Without one PostgreSQL serves all the same, and waits.
if [ -n "${STANZA:-}" ]; then
  timeout 60 pgbackrest --stanza="$STANZA" --no-online stanza-create ||
    echo "the archive cannot be prepared now: the next backup prepares it" >&2
fi
