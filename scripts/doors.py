#!/usr/bin/env python3
"""Guests that nobody wants, and one that comes anew each time: clients for scripts/doors.sh.

  doors.py loris HOST PORT COUNT SECONDS   COUNT connections that send a byte a second; half never end
                                           the head of their request, half never its body
  doors.py burst HOST PORT COUNT SECONDS   COUNT connections, opened as fast as they can be and held;
                                           half say nothing, half ask once
  doors.py fresh HOST PORT SECONDS [CA]    one new connection after the other, with TLS if CA is
                                           given, each with one request

Ends with one line of JSON. Only the standard library is needed.
"""

import asyncio
import json
import resource
import ssl
import sys
import time

HEAD = b"POST /ingest HTTP/1.1\r\nHost: slow\r\nX-Slow: "
BODY = (
    b"POST /ingest HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\n"
    b"Content-Length: 4096\r\n\r\n"
)
ONCE = b"GET /healthz HTTP/1.1\r\nHost: guest\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n"


async def hold(host, port, first, drip, end, told):
    """One connection until it is cut, or the end; with `drip` it comes again when it is cut."""
    while time.monotonic() < end:
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            told["refused"] += 1
            await asyncio.sleep(0.1)
            continue
        told["opened"] += 1
        try:
            writer.write(first)
            while time.monotonic() < end:
                try:
                    pause = min(1, max(0, end - time.monotonic()))
                    if not await asyncio.wait_for(reader.read(4096), pause):
                        break
                except asyncio.TimeoutError:
                    if drip:
                        writer.write(b"x")
        except OSError:
            pass
        finally:
            writer.close()
        if time.monotonic() < end:
            told["cut"] += 1
        if not drip:
            return


async def crowd(host, port, count, seconds, firsts, drip):
    told = {"wanted": count, "opened": 0, "cut": 0, "refused": 0}
    end = time.monotonic() + seconds
    guests = [hold(host, port, firsts[at % 2], drip, end, told) for at in range(count)]
    waiting = asyncio.gather(*guests)
    try:
        await asyncio.wait_for(waiting, seconds + 1)
    except asyncio.TimeoutError:
        # Those that were never let in.
        pass
    return told


async def once(host, port, context):
    # The name that the certificate is for, whatever the address.
    name = "localhost" if context else None
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
    try:
        writer.write(LAST)
        answer = await reader.read()
        return answer.startswith(b"HTTP/1.1 200")
    finally:
        writer.close()


async def fresh(host, port, seconds, authority):
    context = ssl.create_default_context(cafile=authority) if authority else None
    told = {"answered": 0, "failed": 0, "errors": []}
    took = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        try:
            right = await asyncio.wait_for(once(host, port, context), 30)
            problem = "not 200"
        except (OSError, asyncio.TimeoutError) as error:
            right, problem = False, repr(error)
        if right:
            told["answered"] += 1
            took.append((time.monotonic() - start) * 1000)
        else:
            told["failed"] += 1
            told["errors"] = (told["errors"] + [problem])[:3]
        await asyncio.sleep(0.02)
    took.sort()
    for name, part in (("p50_ms", 0.5), ("p99_ms", 0.99), ("max_ms", 1)):
        told[name] = round(took[max(0, int(len(took) * part) - 1)], 2) if took else None
    return told


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    match sys.argv[1:]:
        case ["loris", host, port, count, seconds]:
            work = crowd(host, int(port), int(count), float(seconds), (HEAD, BODY), True)
        case ["burst", host, port, count, seconds]:
            work = crowd(host, int(port), int(count), float(seconds), (b"", ONCE), False)
        case ["fresh", host, port, seconds, *authority]:
            work = fresh(host, int(port), float(seconds), authority[0] if authority else None)
        case _:
            sys.exit(__doc__)
    print(json.dumps(asyncio.run(work)))


main()
