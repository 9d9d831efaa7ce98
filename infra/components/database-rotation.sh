#!/bin/bash
# Tells the running servers of this pod what a rotation has put into its Secrets: new passwords and certificates, without
# a restart. The kubelet brings them within two minutes.
set -euo pipefail
# No password in a log or in pg_stat_activity.
export PGOPTIONS="-c client_min_messages=warning -c track_activities=off -c log_min_duration_statement=-1 -c log_min_error_statement=panic"
known=""
trap 'exit 0' INT TERM # else bash waits for its pause, and the pod for bash

tell() {
  statements=$(bash "$SCRIPTS/roles.sh") &&
    printf '%s\n' "$statements" "SELECT pg_reload_conf();" |
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --host="$SOCKET" --username=postgres --dbname=postgres >/dev/null &&
    for process in /proc/[0-9]*; do
      command=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null)
      if [ "${command##*/}" = "pgbackrest server " ]; then # by whatever path it was started
        kill -HUP "${process#/proc/}"
      fi
    done
}

while true; do
  found=$(cat "$SECRETS"/* "$TLS"/* | sha256sum)
  if [ "$found" != "$known" ] && tell; then
    known=$found
    echo "the servers have what the Secrets say"
  fi
  touch "$ALIVE"
  sleep "${PAUSE:-5}" &
  wait $!
done
