#!/usr/bin/env python3
"""What goes on beside a load, as JSON on standard output; ends after so many seconds.

    scripts/probe.py fsync DIRECTORY SECONDS       a page written and fdatasynced, 20 times a second
    scripts/probe.py reads URL TOKEN-FILE SECONDS  reads of each kind in turn, one connection, 200 a second
    scripts/probe.py removals DIRECTORY            fdatasyncs beside the removal of 8 files of 64 MiB: none, each at
                                                   once, each a mebibyte at a time
"""

import http.client
import json
import os
import pathlib
import random
import sys
import threading
import time
import urllib.parse


def quantiles(times_ms):
    """Of times in ms: count, p50, p99 and the worst."""
    times_ms.sort()
    at = lambda share: round(times_ms[min(len(times_ms) - 1, int(len(times_ms) * share))], 2)
    return {"count": len(times_ms), "p50": at(0.5), "p99": at(0.99), "max": at(1)}


def paced(seconds, per_second, work):
    """Calls `work` at a constant rate; the time that it gives is kept under the name that it gives."""
    times, began = {}, time.monotonic()
    turn = 0
    while time.monotonic() - began < seconds:
        name, took = work()
        times.setdefault(name, []).append(took * 1000)
        turn += 1
        time.sleep(max(0, began + turn / per_second - time.monotonic()))
    return {name: quantiles(each) for name, each in times.items()}


def fsyncs(directory, seconds):
    path = pathlib.Path(directory) / f"probe-{os.getpid()}"
    page = os.urandom(4096)
    with open(path, "wb", buffering=0) as file:
        # As long from the start as it gets: a log file that is used again.
        file.write(page * 256)
        os.fsync(file.fileno())

        def write():
            file.seek(4096 * random.randrange(256))
            began = time.monotonic()
            file.write(page)
            os.fdatasync(file.fileno())
            return "fdatasync", time.monotonic() - began

        done = paced(seconds, 20, write)
    path.unlink()
    return done


def removals(directory):
    folder = pathlib.Path(directory) / f"probe-{os.getpid()}"
    folder.mkdir()
    mebibyte = os.urandom(1 << 20)

    def files():
        for number in range(8):
            with open(folder / str(number), "wb", buffering=0) as file:
                for _ in range(64):
                    file.write(mebibyte)
                os.fsync(file.fileno())
            yield folder / str(number)

    def shorten(path):
        for mebibytes in reversed(range(64)):
            os.truncate(path, mebibytes << 20)
            time.sleep(0.002)
        path.unlink()

    def times_beside(remove):
        made = list(files())
        at_work = threading.Thread(target=lambda: [(remove(path), time.sleep(0.2)) for path in made])
        times = []
        with open(folder / "log", "wb", buffering=0) as log:
            os.posix_fallocate(log.fileno(), 0, 8 << 20)
            os.fsync(log.fileno())
            at_work.start()
            while at_work.is_alive():
                log.seek(8192 * random.randrange(1024))
                log.write(mebibyte[:8192])
                began = time.monotonic()
                os.fdatasync(log.fileno())
                times.append((time.monotonic() - began) * 1000)
        for path in folder.iterdir():
            path.unlink()
        return quantiles(times)

    ways = {"none": lambda _: None, "at once": pathlib.Path.unlink, "a mebibyte at a time": shorten}
    measured = {name: times_beside(remove) for name, remove in ways.items()}
    folder.rmdir()
    return measured


def reads(url, token_file, seconds):
    address = urllib.parse.urlsplit(url)
    ledger = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    headers = {"Authorization": "Bearer " + pathlib.Path(token_file).read_text().strip()}

    def get(path):
        ledger.request("GET", path, headers=headers)
        answer = ledger.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"probe: {path}: {answer.status} {body[:200]!r}")
        return body

    def size():
        return int(get("/checkpoint").split(b"\n")[1])

    kinds = {
        "/roots": lambda size: f"/roots?since={max(0, size - 1000)}&limit=10",
        "account": lambda size: f"/accounts/acct:{random.randrange(1, 1000):06}",
        "entry, young": lambda size: f"/entries/{random.randint(max(1, size - 10000), size)}",
        "entry, any": lambda size: f"/entries/{random.randint(1, size)}",
        "inclusion": lambda size: f"/proofs/inclusion?seq={random.randint(1, size)}&size={size}",
        "consistency": lambda size: f"/proofs/consistency?from={random.randint(1, size)}&to={size}",
    }
    names = list(kinds)
    turn, known = 0, size()

    def read():
        nonlocal turn, known
        name = names[turn % len(names)]
        if turn % 60 == 0:
            known = size()
        turn += 1
        path = kinds[name](known)
        began = time.monotonic()
        get(path)
        return name, time.monotonic() - began

    return paced(seconds, 200, read)


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    work = {
        "fsync": lambda: fsyncs(rest[0], float(rest[1])),
        "reads": lambda: reads(rest[0], rest[1], float(rest[2])),
        "removals": lambda: removals(rest[0]),
    }
    json.dump(work[what](), sys.stdout, indent=2)
    print()
