#!/usr/bin/env python3
"""Checks the vectors beside it by the text of docs/INTEROP.md, without any code of the ledger.

Needs nothing but Python 3. Every input here is shorter than 1,024 bytes, so that BLAKE3 is a single
chunk of at most 16 blocks.
"""

import hashlib
import json
import pathlib
import re
import struct
import sys
import uuid

KINDS = ["Mint", "Burn", "Transfer", "Credit", "Debit", "Hold", "Capture", "Release", "Reverse", "Expire"]
FLAGS = ["linked", "keep_open", "counterparty", "reference", "expires_at", "idem_id"]
ACCOUNT = re.compile(rb"[A-Za-z0-9._:@/-]{1,128}")
ASSET = re.compile(rb"[A-Z0-9._-]{1,16}")
KEY = re.compile(rb"[A-Za-z0-9._-]{1,64}")
IDEM_ID = re.compile(rb"[A-Za-z0-9._:@/-]{1,64}")
# Which optional fields a kind must have, and which it may have.
USES = {
    "Transfer": ({"counterparty"}, set()),
    "Hold": (set(), {"counterparty", "expires_at"}),
    "Capture": ({"counterparty", "reference"}, {"keep_open"}),
    "Release": ({"reference"}, set()),
    "Reverse": ({"reference"}, set()),
    "Expire": ({"reference"}, set()),
}


class Refused(Exception):
    """The bytes are not the canonical form of an entry; the argument names the fault."""


def text(value):
    return bytes([len(value)]) + value.encode("ascii")


def encode(seq, linked, entry):
    present = dict(entry, linked=linked)
    flags = sum(1 << bit for bit, name in enumerate(FLAGS) if present[name] not in (None, False))
    out = struct.pack(">BBQQB", 1, flags, seq, int(entry["ts"]), KINDS.index(entry["kind"]) + 1)
    out += uuid.UUID(entry["id"]).bytes + text(entry["account"]) + text(entry["asset"])
    out += int(entry["amount"]).to_bytes(16, "big") + bytes.fromhex(entry["nonce"])
    out += text(entry["kid"]) + text(entry["capability"])
    if entry["counterparty"] is not None:
        out += text(entry["counterparty"])
    if entry["reference"] is not None:
        out += uuid.UUID(entry["reference"]).bytes
    if entry["expires_at"] is not None:
        out += struct.pack(">Q", int(entry["expires_at"]))
    if entry["idem_id"] is not None:
        out += text(entry["idem_id"])
    return out


def decode(data):
    """Gives (seq, linked, entry), or raises Refused."""
    at = 0

    def take(count):
        nonlocal at
        if at + count > len(data):
            raise Refused("short")
        at += count
        return data[at - count : at]

    def name(rule):
        value = take(take(1)[0])
        if not rule.fullmatch(value):
            raise Refused("name")
        return value.decode("ascii")

    version, flags = take(2)
    if version != 1:
        raise Refused("version")
    if flags >> len(FLAGS):
        raise Refused("flags")
    has = {flag: bool(flags >> bit & 1) for bit, flag in enumerate(FLAGS)}
    (seq,) = struct.unpack(">Q", take(8))
    if seq == 0:
        raise Refused("seq")
    entry = {"ts": str(struct.unpack(">Q", take(8))[0])}
    kind = take(1)[0]
    if not 1 <= kind <= len(KINDS):
        raise Refused("kind")
    entry["kind"] = KINDS[kind - 1]
    entry["id"] = str(uuid.UUID(bytes=take(16)))
    entry["account"], entry["asset"] = name(ACCOUNT), name(ASSET)
    entry["amount"] = str(int.from_bytes(take(16), "big"))
    if entry["amount"] == "0":
        raise Refused("amount")
    entry["nonce"] = take(16).hex()
    entry["kid"], entry["capability"] = name(KEY), name(KEY)
    entry["counterparty"] = name(ACCOUNT) if has["counterparty"] else None
    entry["reference"] = str(uuid.UUID(bytes=take(16))) if has["reference"] else None
    entry["expires_at"] = str(struct.unpack(">Q", take(8))[0]) if has["expires_at"] else None
    entry["keep_open"] = has["keep_open"]
    entry["idem_id"] = name(IDEM_ID) if has["idem_id"] else None
    if at < len(data):
        raise Refused("trailing")
    needs, may = USES.get(entry["kind"], (set(), set()))
    there = {field for field in ("counterparty", "reference", "expires_at", "keep_open") if has[field]}
    if not needs <= there <= needs | may or entry["counterparty"] == entry["account"]:
        raise Refused("field")
    return seq, has["linked"], entry


BLAKE3_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
BLAKE3_ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
BLAKE3_MIXES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def blake3_block(chaining, block, length, flags):
    words = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    state = list(chaining) + list(BLAKE3_IV[:4]) + [0, 0, length, flags]

    def turn(value, right):
        return (value >> right | value << 32 - right) & 0xFFFFFFFF

    for _ in range(7):
        for mix, (a, b, c, d) in enumerate(BLAKE3_MIXES):
            for word, right_d, right_b in ((words[2 * mix], 16, 12), (words[2 * mix + 1], 8, 7)):
                state[a] = (state[a] + state[b] + word) & 0xFFFFFFFF
                state[d] = turn(state[d] ^ state[a], right_d)
                state[c] = (state[c] + state[d]) & 0xFFFFFFFF
                state[b] = turn(state[b] ^ state[c], right_b)
        words = [words[place] for place in BLAKE3_ORDER]
    return [state[i] ^ state[i + 8] for i in range(8)]


def blake3(data, key=BLAKE3_IV, mode=0):
    assert len(data) <= 1024
    blocks = [data[at : at + 64] for at in range(0, len(data), 64)] or [b""]
    for at, block in enumerate(blocks):
        flags = mode | (1 if at == 0 else 0) | (2 | 8 if at == len(blocks) - 1 else 0)
        key = blake3_block(key, block, len(block), flags)
    return struct.pack("<8I", *key)


def blake3_derive_key(context, data):
    key = struct.unpack("<8I", blake3(context, mode=32))
    return blake3(data, key, mode=64)


def idempotency(entry):
    """The digest of the tuple; None for the ledger's own entries, which have none."""
    if entry["kind"] == "Expire":
        return None
    data = text(entry["account"]) + int(entry["amount"]).to_bytes(16, "big") + bytes.fromhex(entry["nonce"])
    if entry["idem_id"] is not None:
        data += text(entry["idem_id"])
    return blake3_derive_key(b"ron-ledger v1 idempotency tuple", data)[:16].hex()


def expire_id(hold):
    """The id of the Expire of a hold."""
    raw = bytearray(hashlib.sha256(b"ron-ledger v1 expire" + uuid.UUID(hold).bytes).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def derived(seq, linked, entry):
    """What a vector says of its fields."""
    data = encode(seq, linked, entry)
    return {
        "bytes": data.hex(),
        "leaf_sha256": hashlib.sha256(b"\0" + data).hexdigest(),
        "leaf_blake3": blake3(b"\0" + data).hex(),
        "idempotency": idempotency(entry),
    }


def main():
    assert blake3(b"").hex().startswith("af1349b9f5f9a1a6"), "BLAKE3 of nothing, as published"
    folder = pathlib.Path(__file__).parent / "entry"
    good, bad = sorted(folder.glob("*.json")), sorted((folder / "refused").glob("*.json"))
    for path in good:
        vector = json.loads(path.read_text())
        seq, linked, entry = int(vector["seq"]), vector["linked"], vector["entry"]
        for field, value in derived(seq, linked, entry).items():
            assert vector[field] == value, f"{path.name}: {field} should be {value}"
        assert decode(bytes.fromhex(vector["bytes"])) == (seq, linked, entry), path.name
        if entry["kind"] == "Expire":
            assert entry["id"] == expire_id(entry["reference"]), path.name
    for path in bad:
        vector = json.loads(path.read_text())
        try:
            decode(bytes.fromhex(vector["bytes"]))
        except Refused as refused:
            assert str(refused) == vector["fault"], f"{path.name}: {refused}"
        else:
            raise AssertionError(f"{path.name} was taken")
    assert good and bad, "no vectors found"
    print(f"{len(good)} entries and {len(bad)} refusals agree")


if __name__ == "__main__":
    sys.exit(main())
