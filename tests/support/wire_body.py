"""wire_body.py: bodies of Kafka's requests and responses, written and read from the protocol's tables: a layout is a text, the body a tuple.

    h i q b ?    int16, int32, int64, int8, bool
    s            a string, None where it is null
    y            bytes
    [ ... ]      an array of what stands between; None where it is null
    _            tagged fields: of flexible versions alone

write("i[s[i]_]", True, (5, [("t", [0, 1])])) is the body of a flexible version; an array of one field takes that field's values bare. read gives back what write takes.
"""
import re
import struct

FIXED = {"h": ">h", "i": ">i", "q": ">q", "b": ">b", "?": ">?"}


def parse(layout):
    """Nested lists of letters."""
    stack = [[]]
    for letter in re.sub(r"\s", "", layout):
        if letter == "[":
            stack.append([])
        elif letter == "]":
            inner = stack.pop()
            stack[-1].append(inner)
        else:
            stack[-1].append(letter)
    return stack[0]


def is_bare(fields):
    return len([f for f in fields if f != "_"]) == 1


def uvarint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def length(value, flexible, form):
    return uvarint(value + 1) if flexible else struct.pack(form, value)


def write_fields(fields, flexible, values):
    out, at = b"", 0
    for field in fields:
        if field == "_":
            out += b"\0" if flexible else b""
            continue
        value = values[at]
        at += 1
        if isinstance(field, list):
            out += length(-1 if value is None else len(value), flexible, ">i")
            out += b"".join(write_fields(field, flexible, (item,) if is_bare(field) else item) for item in value or ())
        elif field in "sy":
            data = value.encode() if isinstance(value, str) else value
            out += length(-1 if data is None else len(data), flexible, ">h" if field == "s" else ">i") + (data or b"")
        else:
            out += struct.pack(FIXED[field], value)
    assert at == len(values), (fields, values)
    return out


def write(layout, flexible, values):
    return write_fields(parse(layout), flexible, values)


class Reader:
    def __init__(self, data, flexible):
        self.data, self.flexible, self.at = data, flexible, 0

    def take(self, size):
        assert 0 <= size <= len(self.data) - self.at, f"{size} bytes at {self.at} of {self.data!r}"
        self.at += size
        return self.data[self.at - size:self.at]

    def length(self, form):
        if not self.flexible:
            return struct.unpack(form, self.take(struct.calcsize(form)))[0]
        value = shift = 0
        while True:
            byte, = self.take(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value - 1

    def fields(self, fields):
        values = []
        for field in fields:
            if field == "_":
                assert not self.flexible or self.take(1) == b"\0", "tagged fields"
            elif isinstance(field, list):
                count = self.length(">i")
                values.append(None if count < 0 else [self.fields(field)[0] if is_bare(field) else self.fields(field) for _ in range(count)])
            elif field in "sy":
                size = self.length(">h" if field == "s" else ">i")
                data = None if size < 0 else self.take(size)
                values.append(data.decode() if field == "s" and data is not None else data)
            else:
                values.append(struct.unpack(FIXED[field], self.take(struct.calcsize(FIXED[field])))[0])
        return tuple(values)


def read(layout, flexible, data):
    """All of data, or it fails."""
    reader = Reader(data, flexible)
    values = reader.fields(parse(layout))
    assert reader.at == len(data), f"{len(data) - reader.at} bytes are left of {data!r}"
    return values
