#!/usr/bin/env python3
"""A key service, a policy guard and a wallet in one, with nothing but Python's standard library.

    upstream.py [--port N] [--keyring DIR] [--cert PEM --key PEM --ca PEM]

Serves POST /kms, /policy and /wallet as docs/INTEROP.md has it, over TLS 1.3 with client certificates
when --cert is given. Prints its port, then obeys one order a line on stdin, each answered by one line:

    ok              answers at once, allows everything
    latency MS      answers after so long
    hang            takes the question and never answers
    status CODE     answers with that status and nothing else
    reset           breaks the connection
    garbage         answers JSON that is no answer
    huge            answers more than anybody reads
    deny RULE WHO   the guard denies what touches that account
    spent WHO       the wallet knows what that account spends as spent
    revoke ID       the key service says so of the capability of that id
    seen            questions and entries so far, by path, as JSON; orders change nothing of it
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import pathlib
import ssl
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import macaroon  # noqa: E402

BODY_BYTES_MAX = 4 << 20


class Upstream:
    def __init__(self, keyring):
        self.keyring = keyring
        self.mood, self.latency_s = "ok", 0.0
        self.denied, self.spent, self.revoked = {}, set(), set()
        self.seen = {path: {"questions": 0, "entries": 0} for path in ("/kms", "/policy", "/wallet")}

    def obey(self, line):
        word, *args = line.split()
        if word == "seen":
            return json.dumps(self.seen)
        if word == "latency":
            self.mood, self.latency_s = "ok", int(args[0]) / 1000
        elif word == "deny":
            self.denied[args[1]] = args[0]
        elif word == "spent":
            self.spent.add(args[0])
        elif word == "revoke":
            self.revoked.add(args[0])
        else:
            self.mood = " ".join([word, *args])
            self.latency_s = 0.0
        return "done"

    def answer(self, path, question):
        assert question["v"] == 1
        if path == "/kms":
            return self.verify(question["token"])
        judge = self.guard if path == "/policy" else self.wallet
        return {"v": 1, "answers": [{"id": one["id"], **judge(one)} for one in question["entries"]]}

    def verify(self, token):
        digest = hashlib.sha256(token.encode()).hexdigest()
        return {"v": 1, "token_sha256": digest, "verdict": self.verdict(token)}

    def verdict(self, token):
        try:
            _, identifier, caveats, signature = macaroon.read(token)
            _, kid, name = identifier.decode().split(":", 2)
            key = bytes.fromhex((self.keyring / f"{kid}.key").read_text().strip())
        except (SystemExit, ValueError, OSError, IndexError):
            return "invalid"
        if not hmac.compare_digest(macaroon.chain(key, identifier, caveats), signature):
            return "invalid"
        return "revoked" if name in self.revoked else "valid"

    def guard(self, entry):
        for name in (entry["account"], entry.get("counterparty")):
            if name in self.denied:
                return {"decision": "deny", "rule": self.denied[name]}
        return {"decision": "allow"}

    def wallet(self, entry):
        return {"decision": "double_spend" if entry["account"] in self.spent else "allow"}

    async def serve(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        length = next(int(line[15:]) for line in head if line.lower().startswith("content-length:"))
        assert method == "POST" and path in self.seen and length <= BODY_BYTES_MAX
        question = json.loads(await reader.readexactly(length))
        self.seen[path]["questions"] += 1
        self.seen[path]["entries"] += len(question.get("entries", []))
        if self.mood == "hang":
            await asyncio.sleep(3600)
        if self.mood == "reset":
            writer.transport.abort()
            return False
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        status, body = 200, json.dumps(self.answer(path, question))
        if self.mood == "garbage":
            body = '{"v":1,"answers":"yes","verdict":"valid"}'
        elif self.mood == "huge":
            body = " " * (1 << 20) + body
        elif self.mood.startswith("status"):
            status, body = int(self.mood.split()[1]), "{}"
        head = f"HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        writer.write(f"{head}\r\n\r\n{body}".encode())
        await writer.drain()
        return True


def tls(args):
    if not args.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(args.cert, args.key)
    context.load_verify_locations(args.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--keyring", type=pathlib.Path, default=pathlib.Path("."))
    for name in ("cert", "key", "ca"):
        parser.add_argument(f"--{name}")
    args = parser.parse_args()
    upstream = Upstream(args.keyring)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    server = await asyncio.start_server(
        upstream.serve, "127.0.0.1", args.port, ssl=tls(args), reuse_address=True
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    while line := (await orders.readline()).decode().strip():
        print(upstream.obey(line), flush=True)


asyncio.run(main())
