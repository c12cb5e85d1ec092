#!/usr/bin/env bash
# Measures transfers beside PostgreSQL on one machine, both durable, in turns: PostgreSQL with a stored
# procedure over its local socket, its own client and as many connections as do it best; the ledger as JSON
# over HTTP.
#
#   scripts/peers.sh [SECONDS]                    so long each of three rounds; 10 by default
#
# Installs Debian's PostgreSQL where it is missing, which takes root, and runs a server of its own in a
# directory that goes with it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/node.sh

seconds=${1:-10}
accounts=10000 connections=64 rounds=3
sizes=(1 16 64)

postgres_bin() { find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1; }

if [ -z "$(postgres_bin)" ]; then
    # No cluster that starts by itself.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql >/dev/null
fi
bin=$(postgres_bin)

# The server refuses to run as root.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid postgres --regid postgres --clear-groups "$@"
    else
        "$@"
    fi
}

postgres_stop() { [ ! -e "$dir/pg/postmaster.pid" ] || as_postgres "$bin/pg_ctl" -D "$dir/pg" -m fast stop >/dev/null; }
trap 'postgres_stop; stop; rm -rf "$dir"' EXIT

# Everything that costs an answer its durability stays as it is; memory and log are given room.
postgres_start() {
    mkdir "$dir/pg" && chmod 755 "$dir"
    [ "$(id -u)" != 0 ] || chown postgres "$dir/pg"
    as_postgres "$bin/initdb" -D "$dir/pg" -U postgres --auth trust >/dev/null
    cat >>"$dir/pg/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir/pg'
max_connections = 200
shared_buffers = 2GB
max_wal_size = 16GB
checkpoint_timeout = 30min
CONF
    as_postgres "$bin/pg_ctl" -D "$dir/pg" -w -l "$dir/pg/log" start >/dev/null
    sql <<SQL
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
CREATE TABLE entries (seq bigserial PRIMARY KEY, id uuid NOT NULL UNIQUE, debit int NOT NULL,
    credit int NOT NULL, amount bigint NOT NULL CHECK (amount > 0));
INSERT INTO accounts SELECT n, 1000000000000 FROM generate_series(1, $accounts) n;
-- An id that is known moves nothing. Accounts are locked in one order, so that no two requests wait for
-- each other.
CREATE FUNCTION post(ids uuid[], debits int[], credits int[]) RETURNS bigint LANGUAGE sql AS \$\$
    WITH added AS (
        INSERT INTO entries (id, debit, credit, amount)
        SELECT id, debit, credit, 1 FROM unnest(ids, debits, credits) AS new (id, debit, credit)
        ON CONFLICT (id) DO NOTHING RETURNING debit, credit, amount
    ), net AS (
        SELECT account, sum(moved)::bigint AS moved FROM (
            SELECT debit AS account, -amount AS moved FROM added
            UNION ALL SELECT credit, amount FROM added) AS moves
        GROUP BY account
    ), locked AS (
        SELECT accounts.id, net.moved FROM accounts JOIN net ON net.account = accounts.id
        ORDER BY accounts.id FOR UPDATE OF accounts
    ), paid AS (
        UPDATE accounts SET balance = balance + locked.moved FROM locked
        WHERE accounts.id = locked.id RETURNING 1
    )
    SELECT count(*) FROM paid
\$\$;
-- The same for a single one, which has nothing to add up.
CREATE FUNCTION post_one(new_id uuid, new_debit int, new_credit int) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    INSERT INTO entries (id, debit, credit, amount) VALUES (new_id, new_debit, new_credit, 1)
        ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN RETURN; END IF;
    IF new_debit < new_credit THEN
        UPDATE accounts SET balance = balance - 1 WHERE id = new_debit;
        UPDATE accounts SET balance = balance + 1 WHERE id = new_credit;
    ELSE
        UPDATE accounts SET balance = balance + 1 WHERE id = new_credit;
        UPDATE accounts SET balance = balance - 1 WHERE id = new_debit;
    END IF;
END \$\$;
ANALYZE;
SQL
}

sql() { as_postgres "$bin/psql" -q -v ON_ERROR_STOP=1 -h "$dir/pg" -U postgres -d postgres; }

# script SIZE: what pgbench sends, one transfer a row and SIZE rows a transaction.
script() {
    local size=$1 n ids= debits= credits=
    : >"$dir/post.sql"
    for ((n = 0; n < size; n++)); do
        printf '\\set d%d random(1, %d)\n\\set c%d random(1, %d)\n' "$n" "$accounts" "$n" "$accounts" >>"$dir/post.sql"
        ids+=,'gen_random_uuid()' debits+=,:d$n credits+=,:c$n
    done
    if [ "$size" = 1 ]; then
        echo 'SELECT post_one(gen_random_uuid(), :d0, :c0);' >>"$dir/post.sql"
    else
        printf 'SELECT post(ARRAY[%s], ARRAY[%s]::int[], ARRAY[%s]::int[]);\n' \
            "${ids#,}" "${debits#,}" "${credits#,}" >>"$dir/post.sql"
    fi
    chmod 644 "$dir/post.sql"
}

# postgres SIZE CONNECTIONS SECONDS: entries a second.
postgres() {
    as_postgres "$bin/pgbench" -h "$dir/pg" -U postgres -n -M prepared -c "$2" -j 2 \
        -T "$3" -f "$dir/post.sql" postgres 2>"$dir/pgbench.log" |
        awk -v size="$1" '/^tps/ { printf "%d\n", $3 * size }'
}

# best SIZE: the number of connections that PostgreSQL does most with.
best() {
    local clients
    for clients in 8 16 32 64; do
        echo "$(postgres "$1" "$clients" 3) $clients"
    done | sort -n | awk 'END { print $2 }'
}

# ledger SIZE: the same of the ledger, which is given accounts with funds first.
ledger() {
    local size=$1
    runs=$((runs + 1))
    ctl --quiet --json bench --accounts "$accounts" --zipf 0 --seed "$((runs * 1000))" --mix mint=1,transfer=99 \
        --connections "$connections" --batch "$size" --entries "$((seconds * (size < 16 ? 40000 : 200000)))" |
        awk -F '[:,]' '/"entries_per_second"/ { printf "%d\n", $2 }'
}

median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

runs=0
postgres_start
settings macronode
start
printf 'PostgreSQL %s; %d accounts, %d connections to the ledger, median of %d rounds, entries/s\n\n' \
    "$("$bin/postgres" --version | awk '{ print $3 }')" "$accounts" "$connections" "$rounds"
printf '| transfers a request | connections to PostgreSQL | PostgreSQL | ledger | ratio |\n|---|---|---|---|---|\n'
for size in "${sizes[@]}"; do
    : >"$dir/postgres" && : >"$dir/ledger"
    script "$size"
    clients=$(best "$size")
    for ((round = 0; round < rounds; round++)); do
        postgres "$size" "$clients" "$seconds" >>"$dir/postgres"
        ledger "$size" >>"$dir/ledger"
    done
    other=$(median <"$dir/postgres") own=$(median <"$dir/ledger")
    awk -v size="$size" -v clients="$clients" -v other="$other" -v own="$own" \
        'BEGIN { printf "| %d | %d | %d | %d | %.1f |\n", size, clients, other, own, own / other }'
done
