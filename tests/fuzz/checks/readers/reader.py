"""Reads messages as Python does, and says what it read.

In: a length of four bytes, little-endian, and that many bytes of JSON, again and again. Out: a line for each.
"""

import json
import sys


class Number(str):
    """A number, as its text."""


def canonical(value):
    if isinstance(value, Number):
        return "#" + value
    if isinstance(value, str):
        return "s" + value.encode("utf-8", "surrogatepass").hex()
    if isinstance(value, dict):
        members = sorted(f"{canonical(key)}:{canonical(member)}," for key, member in value.items())
        return "{" + "".join(members) + "}"
    if isinstance(value, list):
        return "[" + "".join(canonical(item) + "," for item in value) + "]"
    return {None: "n", True: "t", False: "f"}[value]


def text(value):
    return canonical(value) if isinstance(value, str) and not isinstance(value, Number) else "-"


def reading(body):
    try:
        message = json.loads(body, parse_int=Number, parse_float=Number, parse_constant=Number)
    except (ValueError, RecursionError):
        return "!"
    if not isinstance(message, dict):
        return "!"
    params = message.get("params")
    params = params if isinstance(params, dict) else {}
    identity = message.get("id")
    return " ".join([
        text(message.get("method")),
        "-" if identity is None else canonical(identity),
        text(params.get("name")),
        text(params.get("uri")),
        canonical(params["arguments"]) if "arguments" in params else "-",
    ])


def main():
    inputs, outputs, count = sys.stdin.buffer, sys.stdout.buffer, 0
    while length := inputs.read(4):
        outputs.write(reading(inputs.read(int.from_bytes(length, "little"))).encode() + b"\n")
        count += 1
        if count % 256 == 0:
            outputs.flush()


main()
