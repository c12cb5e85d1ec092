#!/usr/bin/env python3
"""Checks a running ledger from outside, with nothing but Python's standard library.

    verify_log.py URL VKEY [--token-file FILE] [--samples N] [--seed N]

Fetches the checkpoint and all tiles over HTTP and verifies: the Ed25519 signature of the checkpoint;
each tile, full and partial, against the hashes below it, up to the root that was signed; a sample of
inclusion proofs, as JSON and as C2SP tlog-proof, and of consistency proofs, by the definitions of
RFC 6962 and not by the code of the ledger; signed checkpoints of earlier sizes; and with a token, or
where entries are public, the bundles of entries against the leaf hashes. Written after C2SP
tlog-tiles, tlog-checkpoint, signed-note, tlog-proof and RFC 8032, from their text. SHA-256 only.
Exits 0 when all holds.
"""

import argparse
import base64
import hashlib
import json
import random
import sys
import urllib.error
import urllib.request

# Ed25519, RFC 8032 section 5.1.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def point_of(encoded):
    number = int.from_bytes(encoded, "little")
    y = number & (1 << 255) - 1
    x = recover_x(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % P)


def add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = recover_x(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def is_signature(key, message, signature):
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r = point_of(key), point_of(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    left = multiply(s, BASE)
    right = add(r, multiply(int.from_bytes(digest, "little") % ORDER, a))
    same_x = (left[0] * right[2] - right[0] * left[2]) % P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % P == 0


# Signed notes and checkpoints.


def parse_vkey(text):
    name, key_id, blob = text.strip().split("+", 2)
    blob = base64.b64decode(blob, validate=True)
    digest = hashlib.sha256(name.encode() + b"\n" + blob).digest()
    need(blob[0] == 1 and len(blob) == 33, "the verifier key is no Ed25519 key")
    need(digest[:4].hex() == key_id, "the id of the verifier key does not fit")
    return name, bytes.fromhex(key_id), blob[1:]


def open_checkpoint(note, vkey):
    """The size and the root of a checkpoint that this key signed."""
    name, key_id, key = vkey
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    found = False
    for line in lines.splitlines():
        dash, signer, blob = line.split(" ")
        blob = base64.b64decode(blob, validate=True)
        need(dash == "\u2014" and len(blob) > 4, "a signature line is malformed")
        if signer == name and blob[:4] == key_id:
            need(is_signature(key, text.encode(), blob[4:]), "a signature is wrong")
            found = True
    need(found, "the checkpoint has no signature by the key")
    origin, size, root = text.splitlines()[:3]
    need(origin == name and str(int(size)) == size, "the checkpoint is malformed")
    return int(size), base64.b64decode(root, validate=True)


# The tree of RFC 6962, section 2.1.


def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size):
    """The largest power of two below the size."""
    return 1 << (size - 1).bit_length() - 1


class Tree:
    """All leaf hashes, and the roots over ranges of them."""

    def __init__(self, leaves):
        self.leaves = leaves
        self.known = {}

    def root(self, low, high):
        if low == high:
            return hashlib.sha256(b"").digest()
        if high - low == 1:
            return self.leaves[low]
        if (low, high) not in self.known:
            middle = low + split(high - low)
            self.known[low, high] = node_hash(self.root(low, middle), self.root(middle, high))
        return self.known[low, high]

    def path(self, index, low, high):
        if high - low == 1:
            return []
        middle = low + split(high - low)
        if index < middle:
            return self.path(index, low, middle) + [self.root(middle, high)]
        return self.path(index, middle, high) + [self.root(low, middle)]

    def subproof(self, old, low, high):
        if old == high:
            return [] if low == 0 else [self.root(low, high)]
        middle = low + split(high - low)
        if old <= middle:
            return self.subproof(old, low, middle) + [self.root(middle, high)]
        return self.subproof(old, middle, high) + [self.root(low, middle)]


# The log over HTTP.


def need(holds, what):
    if not holds:
        raise SystemExit(f"FAILED: {what}")


class Log:
    def __init__(self, url, token):
        self.url = url.rstrip("/")
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path, accept="*/*"):
        """The status, the headers and the body."""
        request = urllib.request.Request(self.url + path, headers={**self.headers, "Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def body(self, path, accept="*/*"):
        status, _, body = self.get(path, accept)
        need(status == 200, f"{path}: status {status}: {body[:200]!r}")
        return body

    def json(self, path):
        return json.loads(self.body(path))


def tile_path(kind, index, width):
    groups = [f"{index % 1000:03}"]
    while index >= 1000:
        index //= 1000
        groups.insert(0, f"x{index % 1000:03}")
    return f"/tile/{kind}/" + "/".join(groups) + (f".p/{width}" if width < 256 else "")


def tiles_of(log, level, count):
    """The hashes of a level: its full tiles, and the partial one at its end."""
    hashes = []
    for first in range(0, count, 256):
        width = min(256, count - first)
        path = tile_path(level, first // 256, width)
        status, headers, body = log.get(path)
        need(status == 200 and len(body) == 32 * width, f"{path}: status {status}, {len(body)} bytes")
        need("immutable" in headers["Cache-Control"], f"{path}: may not be cached")
        need(headers["Access-Control-Allow-Origin"] == "*", f"{path}: not for browsers")
        need(headers["Content-Type"] == "application/octet-stream", f"{path}: wrong type")
        hashes += [body[at : at + 32] for at in range(0, len(body), 32)]
    return hashes


def check_tiles(log, size, root):
    """Fetches every tile; each hash above level 0 is the root of the full tile below it."""
    tree, count, level, fetched = Tree(tiles_of(log, 0, size)), size, 0, 0
    below = tree.leaves
    while count >= 256:
        fetched, count, level = fetched + -(-count // 256), count // 256, level + 1
        hashes = tiles_of(log, level, count)
        for at, told in enumerate(hashes):
            need(Tree(below[256 * at : 256 * at + 256]).root(0, 256) == told, f"tile {level}/{at // 256}")
        below = hashes
    need(tree.root(0, size) == root, "the tiles do not lead to the root that was signed")
    return tree, fetched + -(-count // 256)


def check_beyond(log, size):
    """Nothing is there beyond the size that was published."""
    beyond = [tile_path(0, size // 256 + 1, 1), tile_path(0, size // 256, 256), tile_path(8, 0, 1)]
    for path in [*beyond, f"/proofs/inclusion?seq={size + 1}", f"/checkpoint?size={size + 1}"]:
        need(log.get(path)[0] == 404, f"{path}: is there")


def check_bundles(log, tree, size):
    for first in range(0, size, 256):
        width = min(256, size - first)
        path = tile_path("entries", first // 256, width)
        bundle, at, found = log.body(path), 0, 0
        while at < len(bundle):
            length = int.from_bytes(bundle[at : at + 2], "big")
            entry = bundle[at + 2 : at + 2 + length]
            need(len(entry) == length, f"{path}: ends inside of an entry")
            need(leaf_hash(entry) == tree.leaves[first + found], f"{path}: entry {found}")
            need(int.from_bytes(entry[2:10], "big") == first + found + 1, f"{path}: wrong seq")
            at, found = at + 2 + length, found + 1
        need(found == width, f"{path}: {found} entries")


def check_inclusion(log, vkey, tree, seq, size, is_signed):
    index, path = seq - 1, f"/proofs/inclusion?seq={seq}&size={size}"
    expected = tree.path(index, 0, size)
    told = log.json(path)
    need([bytes.fromhex(hash) for hash in told["proof"]] == expected, f"{path}: wrong proof")
    need(bytes.fromhex(told["leaf"]) == tree.leaves[index], f"{path}: wrong leaf")
    need(bytes.fromhex(told["root"]) == tree.root(0, size), f"{path}: wrong root")
    if not is_signed:
        return
    text = log.body(path, "text/x.tlog.proof").decode()
    head, note = text.split("\n\n", 1)
    header, numbered, *hashes = head.split("\n")
    need(header == "c2sp.org/tlog-proof@v1" and numbered == f"index {index}", f"{path}: wrong form")
    need([base64.b64decode(hash) for hash in hashes] == expected, f"{path}: wrong text")
    need(open_checkpoint(note, vkey) == (size, tree.root(0, size)), f"{path}: wrong checkpoint")


def check_consistency(log, tree, old, new):
    path = f"/proofs/consistency?from={old}&to={new}"
    told = log.json(path)
    expected = tree.subproof(old, 0, new) if old else []
    need([bytes.fromhex(hash) for hash in told["proof"]] == expected, f"{path}: wrong proof")
    roots = [bytes.fromhex(told[name]) for name in ("from_root", "to_root")]
    need(roots == [tree.root(0, old), tree.root(0, new)], f"{path}: wrong roots")


def main():
    parser = argparse.ArgumentParser(description="Checks a running ledger from outside.")
    parser.add_argument("url")
    parser.add_argument("vkey", help="the verifier key itself")
    parser.add_argument("--token-file", help="a capability: check the bundles of entries too")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    token = open(args.token_file, encoding="ascii").read().strip() if args.token_file else None
    log, vkey, chance = Log(args.url, token), parse_vkey(args.vkey), random.Random(args.seed)

    size, root = open_checkpoint(log.body("/checkpoint").decode(), vkey)
    need(size > 0, "the ledger is empty")
    tree, tiles = check_tiles(log, size, root)
    check_beyond(log, size)
    if token:
        check_bundles(log, tree, size)
    signed = log.json(f"/roots?since=0&limit=1000")["roots"]
    for row in signed:
        need(tree.root(0, row["seq"]) == bytes.fromhex(row["root"]), f"the root of {row['seq']}")
    for row in chance.sample(signed, min(len(signed), 20)):
        note = log.body(f"/checkpoint?size={row['seq']}").decode()
        need(open_checkpoint(note, vkey) == (row["seq"], bytes.fromhex(row["root"])), "history")
    check_inclusion(log, vkey, tree, 1, size, True)
    check_inclusion(log, vkey, tree, size, size, True)
    for _ in range(args.samples):
        new = chance.randint(1, size)
        check_inclusion(log, vkey, tree, chance.randint(1, new), new, False)
        check_consistency(log, tree, chance.randint(0, new), new)
    print(f"verified: {size} entries, {tiles} tiles, {len(signed)} roots, {args.samples} proofs of each kind")
    return 0


if __name__ == "__main__":
    sys.exit(main())
