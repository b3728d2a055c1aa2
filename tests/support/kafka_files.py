"""kafka_files.py: decodes Kafka's segment files (message format 2) with nothing of weir's: the independent second reader.

Written from the format's description. gzip through zlib, lz4 frames and snappy (raw and xerial) by hand, zstd through the system's libzstd. CRC-32C is
computed by table. records(paths) yields every record of a partition's .log files in order, with the fate of its transaction, which the
producer's next marker decides.
"""

import ctypes
import ctypes.util
import struct
import zlib

HEADER = struct.Struct(">qiibIhiqqqhii")  # base offset … record count: 61 bytes
ATTR_CODEC, ATTR_APPEND_TIME, ATTR_TRANSACTIONAL, ATTR_CONTROL = 0x07, 0x08, 0x10, 0x20


def _crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


# ---- codecs ----


def lz4_block(data, out):
    """Appends a block's plain bytes to out, into which matches may reach back."""
    at = 0
    while at < len(data):
        token = data[at]
        at += 1
        literals = token >> 4
        if literals == 15:
            while True:
                literals += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
        out += data[at:at + literals]
        at += literals
        if at >= len(data):
            return
        distance = data[at] | data[at + 1] << 8
        at += 2
        length = (token & 15) + 4
        if token & 15 == 15:
            while True:
                length += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
        assert 0 < distance <= len(out)
        for _ in range(length):
            out.append(out[-distance])


def lz4_frame(data):
    magic, flags = struct.unpack_from("<IB", data)
    assert magic == 0x184D2204 and flags >> 6 == 1
    at = 4 + 2 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0) + 1
    out = bytearray()
    while True:
        (size,) = struct.unpack_from("<I", data, at)
        at += 4
        if size == 0:
            return bytes(out)
        block = data[at:at + (size & 0x7FFFFFFF)]
        at += len(block) + (4 if flags & 16 else 0)
        if size >> 31:
            out += block
        else:
            lz4_block(block, out)


def snappy_raw(data):
    at = shift = size = 0
    while True:
        size |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            break
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind = tag & 3
        if kind == 0:
            length = tag >> 2
            if length >= 60:
                extra = length - 59
                length = int.from_bytes(data[at:at + extra], "little")
                at += extra
            out += data[at:at + length + 1]
            at += length + 1
            continue
        if kind == 1:
            length, distance = 4 + (tag >> 2 & 7), (tag >> 5) << 8 | data[at]
            at += 1
        else:
            width = 2 if kind == 2 else 4
            length, distance = 1 + (tag >> 2), int.from_bytes(data[at:at + width], "little")
            at += width
        assert 0 < distance <= len(out)
        for _ in range(length):
            out.append(out[-distance])
    assert len(out) == size
    return bytes(out)


def snappy(data):
    if data[:8] != b"\x82SNAPPY\0":
        return snappy_raw(data)
    out, at = b"", 16
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        out += snappy_raw(data[at + 4:at + 4 + size])
        at += 4 + size
    return out


def zstd(data):
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    out = ctypes.create_string_buffer(16 << 20)
    size = library.ZSTD_decompress(out, len(out), data, len(data))
    assert size <= len(out), "libzstd refused the block"
    return out.raw[:size]


CODECS = {0: bytes, 1: lambda data: zlib.decompress(data, 31), 2: snappy, 3: lz4_frame, 4: zstd}


# ---- batches and records ----


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        assert 0 <= size <= len(self.data) - self.at
        self.at += size
        return self.data[self.at - size:self.at]

    def varint(self):
        shift = value = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value >> 1 ^ -(value & 1)

    def field(self):
        size = self.varint()
        return None if size < 0 else self.take(size)


def batches(path):
    """(header fields as a dictionary, plain record bytes) of each batch; asserts that the file is batches and nothing else."""
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        (base, length, epoch, magic, crc, attributes, last_delta, base_ms, max_ms, producer, producer_epoch, sequence,
         count) = HEADER.unpack_from(data, at)
        assert magic == 2, f"{path}: byte {at}: magic {magic}"
        end = at + 12 + length
        assert end <= len(data), f"{path}: byte {at}: a cut batch"
        assert crc32c(data[at + 21:end]) == crc, f"{path}: byte {at}: CRC"
        plain = CODECS[attributes & ATTR_CODEC](data[at + 61:end]) if count > 0 else b""
        yield {"position": at, "base": base, "last": base + last_delta, "leader_epoch": epoch, "attributes": attributes, "base_ms": base_ms,
               "max_ms": max_ms, "producer": producer, "producer_epoch": producer_epoch, "sequence": sequence, "count": count}, plain
        at = end


def batch_records(header, plain):
    cursor = Cursor(plain)
    for _ in range(header["count"]):
        record = Cursor(cursor.take(cursor.varint()))
        record.take(1)
        ms = header["base_ms"] + record.varint()
        if header["attributes"] & ATTR_APPEND_TIME:
            ms = header["max_ms"]
        offset = header["base"] + record.varint()
        key, value = record.field(), record.field()
        headers = [[record.field().decode(), record.field()] for _ in range(record.varint())]
        assert record.at == len(record.data)
        yield {"offset": offset, "timestamp": ms, "key": key, "value": value, "headers": headers}
    assert cursor.at == len(cursor.data)


def records(paths):
    """Every data record of a partition, with "fate": plain, committed, aborted or open."""
    undecided, out, expected = {}, [], None
    for path in paths:
        for header, plain in batches(path):
            assert expected is None or header["base"] >= expected, f"{path}: offsets go back"
            expected = header["last"] + 1
            if header["attributes"] & ATTR_CONTROL:
                for marker in batch_records(header, plain):
                    fate = {0: "aborted", 1: "committed"}[struct.unpack(">hh", marker["key"])[1]]
                    for record in undecided.pop(header["producer"], []):
                        record["fate"] = fate
                continue
            transactional = header["attributes"] & ATTR_TRANSACTIONAL
            for record in batch_records(header, plain):
                record["fate"] = "open" if transactional else "plain"
                out.append(record)
                if transactional:
                    undecided.setdefault(header["producer"], []).append(record)
    return out


def line(record, topic, partition):
    """A record as one line of NDJSON; bytes as hexadecimal."""
    def text(data):
        return "null" if data is None else f'"{data.hex()}"'

    headers = ",".join(f'["{name}",{text(value)}]' for name, value in record["headers"])
    return (f'{{"topic":"{topic}","partition":{partition},"offset":{record["offset"]},"timestamp":{record["timestamp"]},"key":{text(record["key"])},'
            f'"value":{text(record["value"])},"headers":[{headers}],"fate":"{record["fate"]}"}}')


def directory_lines(topics):
    """The lines of all partitions under DIR/topics, sorted by topic and partition."""
    out = []
    for directory in sorted(topics.iterdir(), key=lambda d: (d.name.rpartition("-")[0], d.name.rpartition("-")[2].zfill(6))):
        topic, _, partition = directory.name.rpartition("-")
        if partition.isdigit():
            out += [line(record, topic, partition) for record in records(sorted(directory.glob("*.log")))]
    return out
