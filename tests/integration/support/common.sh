# SPDX-License-Identifier: MIT
# Sourced by the integration tests: a real Kafka of one's own, topics, reading them by kcat, asserting. A test is a bash
# script: `. "$(dirname "$0")/support/common.sh"`, then steps; the first failure ends it with status 1, and what it started is
# stopped in either case.
set -euo pipefail
PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
VARIANT=${VARIANT:-debug}
BIN=${BIN:-$PROJECT/build/$VARIANT/bin}
TEST=$(basename "$0" .sh)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/bus-$TEST.XXXXXX")
KAFKA_DIR=$WORK/kafka
export PATH=$BIN:$PATH
SERVERS=

say() { printf '%s: %s\n' "$TEST" "$*" >&2; }
fail() { say "FAILED: $*"; exit 1; }

cleanup() {
    local status=$? pid
    trap - EXIT
    for pid in $(jobs -p); do kill -CONT "$pid" 2>/dev/null || true; kill -KILL "$pid" 2>/dev/null || true; done
    [ ! -e "$KAFKA_DIR/instance" ] || "$PROJECT/scripts/kafka" down --dir "$KAFKA_DIR" >/dev/null || true
    if [ $status = 0 ] && [ -z "${KEEP:-}" ]; then
        rm -rf "$WORK"
    else
        say "everything it wrote is in $WORK"
    fi
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# ---- Kafka

# kafka_up [arguments of scripts/kafka up]: a fresh cluster for this test; SERVERS and BUS_BOOTSTRAP_SERVERS name it.
# A cluster of another version than scripts/pom.xml's is a failure.
kafka_up() {
    "$PROJECT/scripts/kafka" up --dir "$KAFKA_DIR" --port auto "$@" >&2
    SERVERS=$("$PROJECT/scripts/kafka" address --dir "$KAFKA_DIR")
    export BUS_BOOTSTRAP_SERVERS=$SERVERS
    local want have
    want=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$PROJECT/scripts/pom.xml")
    have=$(sed -n 's/.*Kafka version: \([0-9.]*\).*/\1/p' "$KAFKA_DIR"/node-1/server.log | head -1)
    [ "$want" = "$have" ] || fail "the broker is Kafka '$have', not $want"
}
# kafka stop|kill|start|pause|resume --node N, kafka status
kafka() { "$PROJECT/scripts/kafka" "$1" --dir "$KAFKA_DIR" "${@:2}" >&2; }
# kafka_tool kafka-consumer-groups --describe ...: Kafka's own tools, told the servers.
kafka_tool() { "$PROJECT/scripts/kafka" tool "$1" --bootstrap-server "$SERVERS" "${@:2}"; }

# topic_create NAME PARTITIONS [name=value ...]
topic_create() {
    local name=$1 partitions=$2 args=()
    shift 2
    while [ $# -gt 0 ]; do args+=(--config "$1"); shift; done
    kafka_tool kafka-topics --create --topic "$name" --partitions "$partitions" "${args[@]}" >/dev/null 2>&1 ||
        fail "could not create topic $name"
}
topic_delete() { kafka_tool kafka-topics --delete --topic "$1" >/dev/null; }
# needs kafka_up --acl
topic_deny_write() { kafka_tool kafka-acls --add --deny-principal User:ANONYMOUS --operation Write --topic "$1" >/dev/null; }
topic_allow_write() {
    kafka_tool kafka-acls --remove --force --deny-principal User:ANONYMOUS --operation Write --topic "$1" >/dev/null
}

# consume_all TOPIC [FORMAT]: every record from the start to the end, one line each; kcat's format, default key<TAB>value.
# %h is headers, %p partition, %o offset, %T timestamp.
consume_all() { kcat -b "$SERVERS" -C -t "$1" -o beginning -e -q -f "${2:-%k\t%s\n}" -X isolation.level=read_committed; }
# How many records.
count_all() { consume_all "$1" 'x\n' | wc -l; }
# Records of one partition only.
consume_partition() { kcat -b "$SERVERS" -C -t "$1" -p "$2" -o beginning -e -q -f "${3:-%k\t%s\n}"; }
# produce TOPIC < "key:value" lines; further arguments go to kcat: -H name=value, -p partition
produce() { kcat -b "$SERVERS" -P -t "$1" -K : "${@:2}"; }
# end_offset TOPIC: the sum over its partitions
end_offset() { kafka_tool kafka-get-offsets --topic "$1" --time -1 | awk -F: '{ n += $3 } END { print n + 0 }'; }
# group_lag GROUP: the sum over all partitions; fails if none is committed
group_lag() {
    kafka_tool kafka-consumer-groups --describe --group "$1" 2>/dev/null |
        awk '$1 == "'"$1"'" && $6 ~ /^[0-9]+$/ { n += $6; seen = 1 } END { if (!seen) exit 1; print n }'
}

# ---- processes

# start_process NAME COMMAND...: in the background, its own log $WORK/NAME.log; the pid is left in PID and in PID_NAME.
start_process() {
    local name=$1
    shift
    "$@" </dev/null >"$WORK/$name.out" 2>>"$WORK/$name.log" &
    PID=$!
    printf -v "PID_${name//[^a-zA-Z0-9]/_}" %s "$PID"
}
running() { kill -0 "$1" 2>/dev/null; }
# stop_process PID [SIGNAL] [SECONDS]: and waits for its end; its exit status is left in STATUS.
stop_process() {
    local pid=$1 signal=${2:-TERM} seconds=${3:-15} deadline
    kill "-$signal" "$pid" 2>/dev/null || true
    deadline=$((SECONDS + seconds))
    while running "$pid"; do
        [ $SECONDS -le $deadline ] || fail "process $pid has not ended $seconds s after SIG$signal"
        sleep 0.05
    done
    STATUS=0
    wait "$pid" 2>/dev/null || STATUS=$?
}

# ---- asserting

# eventually SECONDS COMMAND...: until it succeeds
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -le $deadline ] || fail "not in time: $*"
        sleep 0.1
    done
}
assert_eq() { [ "$1" = "$2" ] || fail "${3:-value}: got '$1', expected '$2'"; }
assert_ne() { [ "$1" != "$2" ] || fail "${3:-value}: got '$1'"; }
assert_le() { [ "$1" -le "$2" ] || fail "${3:-value}: got $1, expected at most $2"; }
assert_ge() { [ "$1" -ge "$2" ] || fail "${3:-value}: got $1, expected at least $2"; }
assert_file_has() { grep -qE -- "$2" "$1" || { tail -n 20 "$1" >&2; fail "$1 has no line like '$2'"; }; }
assert_file_lacks() { ! grep -qE -- "$2" "$1" || { grep -E -- "$2" "$1" | head -3 >&2; fail "$1 has a line like '$2'"; }; }
# assert_fails STATUS COMMAND...: its output is left in $WORK/failed
assert_fails() {
    local want=$1 status=0
    shift
    "$@" >"$WORK/failed" 2>&1 || status=$?
    [ "$status" = "$want" ] || { cat "$WORK/failed" >&2; fail "status $status instead of $want: $*"; }
}
# sql STORE QUERY: read-only look into a store
sql() { sqlite3 -readonly -cmd '.timeout 5000' "$1" "$2"; }

say "started, work in $WORK"
