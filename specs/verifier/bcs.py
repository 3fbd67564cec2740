"""Strict reading of BCS ("Notation" of evidence.md), and the few things that are written in it."""
import re

NAME = re.compile(r"[A-Z0-9._-]{1,32}\Z")


class Malformed(Exception):
    """Bytes that are not what they should be."""


def need(holds, what):
    if not holds:
        raise Malformed(what)


class Reader:
    """Reads from the front; `whole` demands that nothing is left over."""

    def __init__(self, data):
        self.data, self.pos = data, 0

    def raw(self, n):
        need(n <= len(self.data) - self.pos, "too short")
        self.pos += n
        return self.data[self.pos - n:self.pos]

    def number(self, n):
        return int.from_bytes(self.raw(n), "little")

    def u8(self):
        return self.number(1)

    def u16(self):
        return self.number(2)

    def u32(self):
        return self.number(4)

    def u64(self):
        return self.number(8)

    def flag(self):
        b = self.u8()
        need(b < 2, "a bool that is neither 0 nor 1")
        return b == 1

    def varint(self, bits):
        """LEB128 in its shortest form, below 2^bits."""
        value = shift = 0
        while True:
            b = self.u8()
            value |= (b & 127) << shift
            need(value >> bits == 0, "a varint that is too large")
            if b < 128:
                need(b or not shift, "a varint that is not in its shortest form")
                return value
            shift += 7
            need(shift < bits, "a varint that is too long")

    def count(self, most=None):
        n = self.varint(32)
        need(most is None or n <= most, "a count above its bound")
        return n

    def bytes(self, most=None):
        return self.raw(self.count(most))

    def text(self, most=None):
        try:
            return self.bytes(most).decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("a text that is not UTF-8") from None

    def name(self):
        t = self.text()
        need(NAME.match(t), "a name that is none")
        return t

    def seq(self, item, most=None):
        # Every item has at least one byte, so a forged count ends with the data.
        return [item() for _ in range(self.count(most))]

    def opt(self, item):
        return item() if self.flag() else None

    def header(self, kind):
        need((self.u16(), self.u8(), self.u8()) == (1, kind, 1), "another version, kind or suite")

    def end(self):
        need(self.pos == len(self.data), "bytes left over")


def whole(data, read):
    """`read(reader)` of exactly these bytes."""
    reader = Reader(data)
    value = read(reader)
    reader.end()
    return value


def uleb(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def byte_string(b):
    b = b.encode() if isinstance(b, str) else b
    return uleb(len(b)) + b
