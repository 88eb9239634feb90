#!/usr/bin/env bash
# Takes one snapshot through its life with plain HTTP calls. Fails if an answer differs from the expected one.
# `make demo` builds the programs and runs this script: docs/demo.sh <program of the embedded host>
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

host_program=${1:?usage: docs/demo.sh <program of the embedded host>}
project=a1000000000000000000000000000001
patience=15 # seconds to wait for anything

directory=$(mktemp -d)
server=
clean_up() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "demo: $1" >&2
    if [ -s "$directory/errors" ]; then
        echo 'The app wrote:' >&2
        cat "$directory/errors" >&2
    fi
    exit 1
}

command -v curl >/dev/null || fail 'curl is missing; install it, for example with your package manager'

# Use the defaults of spin.toml, whatever the environment sets. Port 0 means any free port.
for name in $(compgen -e SPIN_VARIABLE_ || true); do unset "$name"; done
"$host_program" --manifest spin.toml --listen 127.0.0.1:0 --state-dir "$directory/state" \
    >"$directory/output" 2>"$directory/errors" &
server=$!
SECONDS=0
until base=$(sed -n 's/^Serving //p' "$directory/output") && [ -n "$base" ]; do
    kill -0 "$server" 2>/dev/null || fail 'the app did not start'
    [ "$SECONDS" -lt "$patience" ] || fail "the app was not ready after $patience seconds"
    sleep 0.1
done

# Sends a request, and stores the status in $code and the body in $body.
send() { # method path [json]
    local data=()
    : >"$directory/body" # curl does not touch the file if the answer has no body
    if [ $# -gt 2 ]; then data=(--header 'Content-Type: application/json' --data "$3"); fi
    code=$(curl --silent --show-error --max-time "$patience" --noproxy '*' --output "$directory/body" \
        --write-out '%{http_code}' --request "$1" --header "X-Auth-Token: demo:$project" "${data[@]}" "$base$2") ||
        fail "$1 $2 got no answer"
    body=$(<"$directory/body")
}

# Sends a request, shows it and its answer, and checks the status.
call() { # expected-code method path [json]
    local expected=$1
    shift
    printf '\n> %s %s\n' "$1" "$2"
    if [ $# -gt 2 ]; then printf '> %s\n' "$3"; fi
    send "$@"
    printf '< %s\n' "$code"
    if [ -n "$body" ]; then printf '%s\n' "$body" | sed -e 's/":/": /g' -e 's/,\(["{]\)/, \1/g' | fold -s -w 112 | sed -e 's/^/  /' -e 's/ *$//'; fi
    [ "$code" = "$expected" ] || fail "$1 $2 answered $code and not $expected"
}

# Prints the first string with this name in the body.
field() {
    grep -oE "[{,] *\"$1\": *\"[^\"]*\"" <<<"$body" | head -n 1 | sed -E 's/.*"([^"]*)"$/\1/' || true
}

expect() { # field value
    [ "$(field "$1")" = "$2" ] || fail "$1 is '$(field "$1")' and not '$2'"
}

# Polls until the answer has this code and status, and shows each change.
await() { # path code [status]
    local wanted="$2${3:+ $3}" seen='' now
    printf '\n> GET %s, until the answer is %s\n' "$1" "$wanted"
    SECONDS=0
    while [ "$seen" != "$wanted" ]; do
        [ "$SECONDS" -lt "$patience" ] || fail "still '$seen' after $patience seconds"
        if [ -n "$seen" ]; then sleep 0.2; fi
        send GET "$1"
        now="$code$(field status | sed 's/^/ /')"
        if [ "$now" != "$seen" ]; then printf '< %s\n' "$now"; fi
        seen=$now
    done
}

snapshots=/v3/$project/snapshots
volumes=/v3/$project/volumes
printf 'The app serves %s, with its state in a directory of its own.\n' "$base"

call 202 POST "$volumes" '{"volume": {"name": "data", "size": 1}}'
volume=$(field id)
await "$volumes/$volume" 200 available

printf '\nA snapshot is taken. The answer comes at once, the work goes on.\n'
call 202 POST "$snapshots" '{"snapshot": {"volume_id": "'"$volume"'", "name": "nightly", "metadata": {"keep": "7"}}}'
id=$(field id)
expect status creating
await "$snapshots/$id" 200 available
call 200 GET "$snapshots/$id"
expect os-extended-snapshot-attributes:progress 100%

printf '\nIt can be found, and changed.\n'
call 200 GET "$snapshots?name=nightly"
expect id "$id"
call 200 PUT "$snapshots/$id" '{"snapshot": {"name": "weekly"}}'
expect name weekly
call 200 POST "$snapshots/$id/metadata" '{"metadata": {"owner": "ops"}}'
expect owner ops

printf '\nIts volume cannot go before it does.\n'
call 400 DELETE "$volumes/$volume"

printf '\nIt is deleted: again at once, with the work going on.\n'
call 202 DELETE "$snapshots/$id"
await "$snapshots/$id" 404
call 404 GET "$snapshots/$id"
call 202 DELETE "$volumes/$volume"

kill "$server"
wait "$server" || fail 'the app did not stop cleanly'
server=
printf '\nThe app has stopped. All answers were as expected.\n'
