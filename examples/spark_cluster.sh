#!/usr/bin/env bash
# A Spark standalone cluster on this machine: one master and some workers, separate processes, on loopback only.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: spark_cluster.sh start|status|stop [options]

A Spark standalone cluster on this machine, from the pyspark package that pip installed: one master and some workers
as separate processes. To try a job as a cluster runs it, and what becomes of it when a worker dies.

  start     start the master and the workers that do not run yet, wait until they know each other, print the
            master's address; again after a worker has died: start it anew
  status    print what runs and where; exit status 1 if anything does not
  stop      end all of it: workers, their executors, the master

Options
  --dir DIR        logs, pids and the workers' scratch space; one cluster for each DIR
                   (default: ${TMPDIR:-/tmp}/shoal-spark-UID)
  --workers N      how many workers (default 2)
  --cores N        cores of each worker, which is how many tasks it runs at once (default 1)
  --memory SIZE    memory each worker can give to executors (default 1g)
  --while PID      stop the cluster when that process has ended
  --help           this text

Environment
  PYTHON           interpreter that has pyspark and shoal, for the workers too
                   (default: python3 of the active virtual environment, else of PATH)
  JAVA_HOME        Java 17 or later, if it is not the java of PATH

Example
  examples/spark_cluster.sh start --workers 2
  spark-submit --master "$(cat /tmp/shoal-spark-$(id -u)/url)" \
      examples/spark_submit_kmeans.py points.parquet -k 8 --out model
  kill -9 $(cat /tmp/shoal-spark-$(id -u)/worker-1.pid)     # a job in progress goes on with the other one
  examples/spark_cluster.sh stop

All ports are free ones of 127.0.0.1; nothing listens beyond it. Anybody who can log in on this machine can submit
jobs to it, which run as you: not for a machine shared with people you do not trust.
HELP
}

die() { echo "spark_cluster.sh: $*" >&2; exit 1; }

# ---- processes: a pid counts only if its command line is that of this cluster, for pids are used again

args_of() { ps -ww -o args= -p "$1" 2>/dev/null || true; }

pid_of() { # role -> pid of the live process, or nothing
    local pid
    pid=$(cat "$DIR/$1.pid" 2>/dev/null) || return 0
    case $(args_of "$pid") in *"-Dshoal.cluster=$DIR/$1 "*) echo "$pid" ;; esac
}

executors() { # pids of the executors of worker $1, its own child or not
    local port
    port=$(cat "$DIR/$1.port" 2>/dev/null) || return 0
    ps -ww -e -o pid= -o args= | awk -v url="@127.0.0.1:$port" \
        '{ for (i = 2; i < NF; i++) if ($i == "--worker-url" && index($(i + 1), url)) print $1 }'
}

below() { # pids and all that they started
    ps -e -o pid= -o ppid= | awk -v roots="$*" '
        { parent[$1] = $2 }
        END {
            n = split(roots, r, " ")
            for (i = 1; i <= n; i++) wanted[r[i]] = 1
            for (p in parent)
                for (q = p; q > 1; q = parent[q])
                    if (q in wanted) { print p; break }
        }'
}

roles() { # of all that was ever started here
    local file
    for file in "$DIR"/worker-*.port "$DIR"/master.port; do
        [ -e "$file" ] && basename "$file" .port
    done
}

# ---- start

launch() { # role class arguments...: in the background, its log and pid in DIR
    local role=$1 class=$2
    shift 2
    mkdir -p "$DIR/$role"
    (
        cd "$DIR/$role"
        export SPARK_HOME PYSPARK_PYTHON="$PYTHON" SPARK_LOCAL_IP=127.0.0.1 SPARK_DAEMON_MEMORY=256m
        export SPARK_WORKER_DIR="$DIR/$role" SPARK_CONF_DIR="$DIR/conf"
        # The REST server for submissions would want port 6066, which is free only once.
        SPARK_DAEMON_JAVA_OPTS="-Dshoal.cluster=$DIR/$role -Dspark.master.rest.enabled=false ${SPARK_DAEMON_JAVA_OPTS:-}"
        export SPARK_DAEMON_JAVA_OPTS
        exec nohup "$SPARK_HOME/bin/spark-class" "org.apache.spark.deploy.$class" "$@"
    ) </dev/null >>"$DIR/$role.log" 2>&1 &
    echo $! >"$DIR/$role.pid"
}

free_ports() { # $1 ports of loopback, different from each other
    "$PYTHON" -c '
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))' "$1"
}

known_workers() { # how many workers the master counts as alive; nothing while it does not answer
    "$PYTHON" -c '
import json, sys, urllib.request
local = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    print(json.load(local.open(sys.argv[1] + "/json/", timeout=5))["aliveworkers"])
except OSError:
    pass' "$(cat "$DIR/ui")" || true
}

wait_for() { # role test...: until the test is true; the end of the role, or a minute, is an error
    local role=$1 tries=0
    shift
    until "$@"; do
        sleep 0.5
        tries=$((tries + 1))
        # The command line is the launcher's for the first moments.
        if [ "$tries" -gt 120 ] || ! kill -0 "$(cat "$DIR/$role.pid")" 2>/dev/null; then
            tail -n 15 "$DIR/$role.log" >&2
            die "$role did not come up; see $DIR/$role.log"
        fi
    done
}

master_answers() { [ -n "$(known_workers)" ]; }
registered() { grep -q "Successfully registered with master" "$DIR/$1.log" 2>/dev/null; }

start_master() {
    [ -z "$(pid_of master)" ] || return 0
    # Workers of a master that died know its address, not the new one's.
    for role in $(roles); do end "$role"; done
    local port ui
    read -r port ui <<<"$(free_ports 2)"
    echo "$port" >"$DIR/master.port"
    echo "spark://127.0.0.1:$port" >"$DIR/url"
    echo "http://127.0.0.1:$ui" >"$DIR/ui"
    launch master master.Master --host 127.0.0.1 --port "$port" --webui-port "$ui"
    wait_for master master_answers
}

start_worker() { # role
    local port ui
    read -r port ui <<<"$(free_ports 2)"
    echo "$port" >"$DIR/$1.port"
    : >"$DIR/$1.log"
    launch "$1" worker.Worker --host 127.0.0.1 --port "$port" --webui-port "$ui" \
        --cores "$CORES" --memory "$MEMORY" --work-dir "$DIR/$1" "$(cat "$DIR/url")"
}

start() {
    SPARK_HOME=$("$PYTHON" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))' 2>/dev/null) ||
        die "$PYTHON has no pyspark; set PYTHON, or: $PYTHON -m pip install 'shoal[spark]'"
    [ -x "${JAVA_HOME:-/nonexistent}/bin/java" ] || command -v java >/dev/null ||
        die "no Java; install 17 or later (Debian: openjdk-17-jre-headless) or set JAVA_HOME"
    mkdir -p "$DIR/conf"
    chmod 700 "$DIR"
    start_master
    local i new=()
    for i in $(seq "$WORKERS"); do
        [ -n "$(pid_of "worker-$i")" ] || { start_worker "worker-$i" && new+=("worker-$i"); }
    done
    for i in ${new[@]+"${new[@]}"}; do wait_for "$i" registered "$i"; done
    [ -z "$WHILE" ] || watch
    cat "$DIR/url"
}

watch() { # stop with the process WHILE, or end with the master
    local master
    unwatch
    master=$(cat "$DIR/master.pid")
    (
        while kill -0 "$WHILE" 2>/dev/null && kill -0 "$master" 2>/dev/null; do sleep 2; done
        # A later cluster in this directory is not ours to stop.
        [ "$(cat "$DIR/master.pid" 2>/dev/null)" != "$master" ] || "$0" stop --dir "$DIR"
    ) </dev/null >/dev/null 2>&1 &
    echo $! >"$DIR/watch"
}

unwatch() {
    local pid
    pid=$(cat "$DIR/watch" 2>/dev/null) || return 0
    case $(args_of "$pid") in *"spark_cluster.sh start "*) kill "$pid" 2>/dev/null || true ;; esac
    rm -f "$DIR/watch"
}

# ---- status and stop

status() {
    local role pid missing=0
    [ -e "$DIR/master.port" ] || { echo "no cluster in $DIR"; return 1; }
    echo "url       $(cat "$DIR/url")"
    echo "pages     $(cat "$DIR/ui")"
    for role in $(roles | sort); do
        pid=$(pid_of "$role")
        [ -n "$pid" ] || missing=1
        printf '%-9s %s\n' "$role" "$([ -n "$pid" ] && echo "pid $pid" || echo "not running")"
    done
    return "$missing"
}

end() { # role: with its executors and their Python workers
    local pids left tries=0
    pids="$(pid_of "$1") $(executors "$1")"
    pids=$(below $pids)
    [ -n "$pids" ] && kill $pids 2>/dev/null || true
    while left=$(alive $pids) && [ -n "$left" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || kill -9 $left 2>/dev/null || true
        [ "$tries" -lt 60 ] || die "cannot end $left ($1)"
        sleep 0.1
    done
    rm -f "$DIR/$1.pid" "$DIR/$1.port"
}

alive() { # those of the pids that run; one that is dead and waits for its parent does not
    [ $# -eq 0 ] || ps -o pid=,stat= -p "$(echo "$*" | tr ' ' ',')" 2>/dev/null | awk '$2 !~ /^Z/ { print $1 }'
}

stop() {
    local role
    unwatch
    for role in $(roles); do end "$role"; done
    rm -f "$DIR/url" "$DIR/ui"
}

# ---- command line

[ $# -gt 0 ] || { usage >&2; exit 2; }
COMMAND=$1
shift
DIR=${TMPDIR:-/tmp}/shoal-spark-$(id -u) WORKERS=2 CORES=1 MEMORY=1g WHILE=
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage; exit 0 ;;
        --dir | --workers | --cores | --memory | --while) [ $# -ge 2 ] || die "$1 needs a value" ;;
        *) die "unknown option $1; see --help" ;;
    esac
    case $1 in
        --dir) DIR=$2 ;;
        --workers) WORKERS=$2 ;;
        --cores) CORES=$2 ;;
        --memory) MEMORY=$2 ;;
        --while) WHILE=$2 ;;
    esac
    shift 2
done
case $DIR in /*) ;; *) DIR=$PWD/$DIR ;; esac
case $DIR in *[[:space:]]*) die "the directory's name has a blank: $DIR" ;; esac
PYTHON=${PYTHON:-$(command -v "${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/}python3" || true)}
case $COMMAND in
    start | status | stop) "$COMMAND" ;;
    --help | -h | help) usage ;;
    *) die "unknown command $COMMAND; see --help" ;;
esac
