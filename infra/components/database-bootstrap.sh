#!/bin/bash
# Makes the data directory on the first start, and sets the roles' passwords on every start, so that rotating a
# password is a restart. The server runs in single-user mode: nobody can connect meanwhile.
set -euo pipefail

sql() {
  postgres --single -D "$1" -c config_file="$1/postgresql.conf" -c log_min_messages=warning postgres >/dev/null
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
printf '%s\n' "ALTER ROLE postgres PASSWORD '$(cat "$SECRETS/admin-password")';" \
  "ALTER ROLE $DATABASE PASSWORD '$(cat "$SECRETS/password")';" \
  "ALTER ROLE $MONITOR PASSWORD '$(cat "$SECRETS/monitor-password")';" | sql "$PGDATA"
