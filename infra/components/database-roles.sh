#!/bin/bash
# Prints the statements that make the server's roles what the pod's Secrets say, one to a line as single-user mode
# reads them. To say them again changes nothing.
#
# The application and whoever monitors have two logins each, which take turns: a rotation gives the other one a new
# password, so that the pods of before and after it are let in side by side. The login of before has one day left, in
# which an `up` that did not end can be mended.
set -euo pipefail

# DO, for there is no CREATE ROLE IF NOT EXISTS.
role() {
  printf '%s\n' "DO \$\$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$1') THEN CREATE ROLE $1; END IF; END \$\$;" \
    "ALTER ROLE $1 $2;"
}

logins() {
  read -r login password <"$SECRETS/$1" || [ -n "$password" ] # the file ends without a new line
  for each in "$1_a" "$1_b"; do
    role "$each" "LOGIN CONNECTION LIMIT $2"
    printf '%s\n' "GRANT $1 TO $each;"
    if [ "$each" = "$login" ]; then
      printf '%s\n' "ALTER ROLE $each PASSWORD '$password' VALID UNTIL 'infinity';"
    else
      printf '%s\n' "DO \$\$ BEGIN IF (SELECT coalesce(rolvaliduntil, 'infinity') = 'infinity' FROM pg_roles WHERE rolname = '$each') \
THEN EXECUTE format('ALTER ROLE $each VALID UNTIL %L', now() + interval '1 day'); END IF; END \$\$;"
    fi
  done
}

role "$DATABASE" NOLOGIN
logins "$DATABASE" -1
# It may see everything about the server and nothing in it.
role "$MONITOR" NOLOGIN
printf '%s\n' "GRANT pg_monitor TO $MONITOR;" "GRANT CONNECT ON DATABASE $DATABASE TO $MONITOR;"
logins "$MONITOR" 5
# It may begin and end a backup. It has no password: only a process of this pod is let in.
role "$BACKUP" "LOGIN CONNECTION LIMIT 5"
printf '%s\n' "GRANT pg_read_all_settings TO $BACKUP;" \
  "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean), pg_switch_wal(), \
pg_create_restore_point(text) TO $BACKUP;"
