#!/bin/bash
# Makes the data directory on the first start, and the roles on every start. The server runs in single-user mode: nobody
# can connect meanwhile. A restored directory first replays its log here. Its settings are the pod's: whatever the log says
# of them, a recovery must have too; and with archiving on, what is written here is archived later.
set -euo pipefail

sql() {
  # A slow statement would be logged with its password.
  postgres --single -D "$1" -c config_file="$SCRIPTS/postgresql.conf" -c hot_standby=off -c log_min_messages=warning \
    -c log_min_duration_statement=-1 postgres >/dev/null
}

if [ -e "$PGDATA.unfinished" ]; then
  echo "$PGDATA is half restored: end it by the command that began it, or remove it with $PGDATA.unfinished" >&2
  exit 1
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  rm -rf "$PGDATA.new"
  # The superuser has no password: who runs in this pod is let in as it, nobody else.
  initdb --pgdata="$PGDATA.new" --username=postgres --auth=peer --encoding=UTF8 --locale=C.UTF-8 --data-checksums
  printf '%s\n' "CREATE ROLE $DATABASE;" "CREATE DATABASE $DATABASE OWNER $DATABASE;" \
    "REVOKE ALL ON DATABASE $DATABASE FROM PUBLIC;" | sql "$PGDATA.new"
  mv "$PGDATA.new" "$PGDATA"
fi
statements=$(bash "$SCRIPTS/roles.sh")
printf '%s\n' "$statements" | sql "$PGDATA"
# From the first second on there is an archive to write to. Without one PostgreSQL serves all the same, and waits.
if [ -n "${STANZA:-}" ]; then
  timeout 60 pgbackrest --stanza="$STANZA" --no-online stanza-create ||
    echo "the archive cannot be prepared now: the next backup prepares it" >&2
fi
