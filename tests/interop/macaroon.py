#!/usr/bin/env python3
"""Macaroons in the V2 binary format, with nothing but Python's standard library.

    macaroon.py mint KEY_HEX IDENTIFIER CAVEAT...   prints a token
    macaroon.py narrow CAVEAT...                    reads a token, prints it with more caveats
    macaroon.py verify KEY_HEX                      reads a token, prints identifier and caveats

Written after the description of libmacaroons (doc/format.txt) and of the paper (Birgisson et al.,
NDSS 2014), not by the code of the ledger. `verify` exits 1 when the signature does not match.
"""

import base64
import hashlib
import hmac
import sys

EOS, LOCATION, IDENTIFIER, VID, SIGNATURE = 0, 1, 2, 4, 6


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def chain(root_key, identifier, caveats):
    link = mac(mac(b"macaroons-key-generator", root_key), identifier)
    for caveat in caveats:
        link = mac(link, caveat)
    return link


def varint(number):
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(kind, data):
    return bytes([kind]) + varint(len(data)) + data


def write(location, identifier, caveats, signature):
    out = b"\x02" + (field(LOCATION, location) if location else b"")
    out += field(IDENTIFIER, identifier) + bytes([EOS])
    for caveat in caveats:
        out += field(IDENTIFIER, caveat) + bytes([EOS])
    out += bytes([EOS]) + field(SIGNATURE, signature)
    return base64.urlsafe_b64encode(out).rstrip(b"=").decode()


def sections(data):
    """Each section up to its end mark, as a dict from the type of a field to its bytes."""
    at, section = 0, {}
    while at < len(data):
        kind, at = data[at], at + 1
        if kind == EOS:
            yield section
            section = {}
            continue
        size = shift = 0
        while True:
            byte, at = data[at], at + 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        section[kind], at = data[at : at + size], at + size
    yield section


def read(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if data[:1] != b"\x02":
        sys.exit("not a macaroon in the V2 binary format")
    head, *rest = sections(data[1:])
    *caveats, end, last = rest
    if end or any(VID in caveat for caveat in caveats):
        sys.exit("not a macaroon with first-party caveats alone")
    texts = [caveat[IDENTIFIER] for caveat in caveats]
    return head.get(LOCATION, b""), head[IDENTIFIER], texts, last[SIGNATURE]


def main():
    verb, *args = sys.argv[1:]
    if verb == "mint":
        key, identifier, *caveats = args
        identifier, caveats = identifier.encode(), [text.encode() for text in caveats]
        signature = chain(bytes.fromhex(key), identifier, caveats)
        print(write(b"https://elsewhere.example", identifier, caveats, signature))
        return
    location, identifier, caveats, signature = read(sys.stdin.read().strip())
    if verb == "narrow":
        more = [text.encode() for text in args]
        for caveat in more:
            signature = mac(signature, caveat)
        print(write(location, identifier, caveats + more, signature))
    elif verb == "verify":
        if not hmac.compare_digest(chain(bytes.fromhex(args[0]), identifier, caveats), signature):
            sys.exit("the signature does not match")
        print("\n".join(text.decode() for text in [identifier, *caveats]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
