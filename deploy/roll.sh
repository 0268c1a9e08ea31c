#!/usr/bin/env bash
# Replaces every container of the api by a new one, one after the other, while the others serve: for a new image, a new
# configuration. There is always one more than before, never one less. npm run roll
set -euo pipefail
[ $# = 0 ] || { sed -n '2,3s/^# //p' "$0"; exit 2; }
cd "$(dirname "$0")/.."

# nginx asks Docker's DNS every second who there is. In seconds.
until_nginx_has_seen=2

all() { docker compose ps --all --quiet api; }

old=$(docker compose ps --quiet api)
count=$(wc -w <<<"$old")
[ "$count" != 0 ] || { echo 'no replica is running; docker compose up -d starts them (those of npm start: kill -USR2, with its pid)' >&2; exit 1; }

for container in $old; do
  before=$(all)
  if ! docker compose up --detach --wait --no-deps --no-recreate --scale api=$((count + 1)) api; then
    new=$(all | grep -vxF "$before" || true)
    if [ -n "$new" ]; then docker logs --tail 20 "$new" >&2; docker rm --force "$new" >/dev/null; fi
    echo 'the new replica is not healthy; the rest is left as it is' >&2
    exit 1
  fi
  sleep $until_nginx_has_seen
  # It drains first, and ends by itself (SHUTDOWN_DRAIN_MS, SHUTDOWN_GRACE_MS).
  docker stop "$container" >/dev/null
  docker rm "$container" >/dev/null
  echo "replaced ${container:0:12}"
done
