#!/usr/bin/env python3
"""Writes the tables of `make bench` in docs/PERFORMANCE.md anew, from results of `ron-ledgerctl --json bench`.

    scripts/bench_table.py PAGE FILE...

Each file is named NUMBER-PROFILE.json, with the profile `engine` for those of --in-process. A table stands
between the lines `<!-- PROFILES: begin -->` and `<!-- PROFILES: end -->` with its two lines of head, which
stay; one for which there is no file stays as it is.
"""

import json
import pathlib
import sys

NAMES = {"macronode": "macronode, fsync", "micronode": "micronode"}


def short(number):
    """Two or three digits that count."""
    if number < 1:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 20 else f"{number:,.0f}"


def per_second(number):
    """In hundreds, where that is exact enough."""
    return f"{number:,.0f}" if number < 10_000 else f"{round(number, -2):,.0f}"


def http_row(profile, result):
    ledger, request = result["ledger"], result["request_ms"]
    commit = [ledger[f"commit_{name}_ms"] for name in ("p50", "p95", "p99")]
    seen = [request[name] for name in ("p50", "p99", "p999")]
    return [
        NAMES[profile],
        f"{result['connections']:,}",
        f"{result['batch']:,}",
        per_second(result["requests_per_second"]),
        per_second(result["entries_per_second"]),
        " / ".join(map(short, commit)),
        " / ".join(map(short, seen)),
        short(ledger["entries_per_commit"]),
        f"{ledger['resident_bytes'] / 2**20:,.0f} MiB",
    ]


def engine_row(_, result):
    arms = {arm["name"]: arm for arm in result["arms"]}
    complete = arms["complete"]
    return [
        f"{result['groups']:,}",
        *(per_second(complete[name]) for name in ("entries_per_second", "settled_entries_per_second")),
        per_second(arms["same puts"]["settled_entries_per_second"]),
        per_second(arms["blocks and log only"]["entries_per_second"]),
        *(f"{result['ratios'][name]:.2f}" for name in ("of_same_puts", "of_blocks_only")),
        " / ".join(short(complete["group_ms"][name]) for name in ("p50", "p99", "max")),
    ]


def replace(page, name, rows):
    """The page with these rows between the marks of the table, below its head."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = page.split(begin)
    table, after = rest.split(end)
    head = table.strip().splitlines()[:2]
    lines = head + [f"| {' | '.join(row)} |" for row in rows]
    columns = {line.replace("\\|", "").count("|") for line in lines}
    if len(columns) != 1:
        raise SystemExit(f"the rows of {name} have not as many columns as their head")
    return f"{before}{begin}" + "\n".join(lines) + f"\n{end}{after}"


def main(page, *files):
    tables = {"http": [], "engine": []}
    for file in sorted(map(pathlib.Path, files)):
        profile = file.stem.split("-", 1)[1]
        name, row = ("engine", engine_row) if profile == "engine" else ("http", http_row)
        tables[name].append(row(profile, json.loads(file.read_text())))
    path = pathlib.Path(page)
    text = path.read_text()
    for name, rows in tables.items():
        for row in rows:
            print("| " + " | ".join(row) + " |")
        if rows:
            text = replace(text, name, rows)
    path.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
