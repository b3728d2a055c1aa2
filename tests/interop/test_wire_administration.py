#!/usr/bin/env python3
"""Configs, partitions, records, groups and the cluster: each version of each API by hand, and through the clients of Debian. What cannot be read ends the connection and
changes nothing."""
import os
import struct
import sys
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import wire_body
from wire_server import LIMIT_S, PYTHON, Case, request
from test_wire_clients import HAS_CONFLUENT, HAS_KAFKA_PYTHON

PRODUCE, METADATA, OFFSET_COMMIT, OFFSET_FETCH, JOIN_GROUP, SYNC_GROUP, LEAVE_GROUP = 0, 3, 8, 9, 11, 14, 13
DESCRIBE_GROUPS, LIST_GROUPS, CREATE_TOPICS, DELETE_RECORDS, EPOCH, DESCRIBE_CONFIGS, ALTER_CONFIGS = 15, 16, 19, 21, 23, 32, 33
LOG_DIRS, PARTITIONS, DELETE_GROUPS, ELECT, INCREMENTAL, REASSIGNMENTS, OFFSET_DELETE = 35, 37, 42, 43, 44, 46, 47
DESCRIBE_QUOTAS, ALTER_QUOTAS, CLUSTER, PRODUCERS = 48, 49, 60, 61
FLEXIBLE = {METADATA: 9, DESCRIBE_GROUPS: 5, LIST_GROUPS: 3, CREATE_TOPICS: 5, DELETE_RECORDS: 2, EPOCH: 4, DESCRIBE_CONFIGS: 4, ALTER_CONFIGS: 2, LOG_DIRS: 2,
            PARTITIONS: 2, DELETE_GROUPS: 2, ELECT: 2, INCREMENTAL: 1, REASSIGNMENTS: 0, DESCRIBE_QUOTAS: 1, ALTER_QUOTAS: 1, CLUSTER: 0, PRODUCERS: 0, OFFSET_COMMIT: 8,
            OFFSET_FETCH: 6, JOIN_GROUP: 6, SYNC_GROUP: 4, LEAVE_GROUP: 4}
TOPIC, BROKER = 2, 4
SET, DELETE, APPEND, SUBTRACT = range(4)
# A batch of two records (kafka-wire vectors: made by Kafka's own classes).
BATCH = bytes.fromhex("000000000000000000000046ffffffff027a79b0760000000000010000018bcfe568000000018bcfe56805ffffffffffffffffffffffffffff"
                      "0000000218000000026b027602026802780e000a0201027700")


class ByHand(Case):
    def setUp(self):
        super().setUp()
        self.wire = self.connect()

    def send(self, wire, key, version, layout, values):
        flexible = version >= FLEXIBLE.get(key, 99)
        wire.send(request(key, version, wire_body.write(layout, flexible, values), tags=b"\0" if flexible else b""))

    def ask(self, key, version, layout, values, answer):
        """The response, whose header has tagged fields in flexible versions."""
        self.send(self.wire, key, version, layout, values)
        body = self.wire.response()[1]
        flexible = version >= FLEXIBLE.get(key, 99)
        if flexible:
            self.assertEqual(body[:1], b"\0")
        return wire_body.read(answer, flexible, body[1:] if flexible else body)

    def create(self, name, partitions=1, **configs):
        configs = [(key.replace("_", "."), value) for key, value in configs.items()]
        answer = self.ask(CREATE_TOPICS, 4, "[sih[i[i]][ss]]i?", ([(name, partitions, 1, [], configs)], 1000, False), "i[shs]")
        self.assertEqual(answer[1][0][1], 0, answer)

    def produce(self, topic, partition=0, times=1):
        for _ in range(times):
            body = struct.pack(">hhii", -1, -1, 60000, 1) + struct.pack(">h", len(topic)) + topic.encode() + struct.pack(">iii", 1, partition, len(BATCH)) + BATCH
            self.wire.send(request(PRODUCE, 3, body))
            answer = self.wire.response()[1]
            self.assertEqual(answer[4 + 2 + len(topic) + 4 + 4:][:2], b"\0\0", answer)

    def closes(self, key, version, layout, values, cut=1):
        """A request without its last bytes, and what it was about is as before."""
        flexible = version >= FLEXIBLE.get(key, 99)
        wire = self.connect()
        wire.send(request(key, version, wire_body.write(layout, flexible, values)[:-cut], tags=b"\0" if flexible else b""))
        self.assertTrue(wire.is_closed())

    # ---- configs ----

    def described(self, version, resources, synonyms=False, documentation=False):
        layout = "[bs[s]_]?" + ("?" if version >= 3 else "") + "_"
        values = (resources, synonyms) + ((documentation,) if version >= 3 else ())
        entry = "ss?b?[ssb_]" + ("bs" if version >= 3 else "") + "_"
        return self.ask(DESCRIBE_CONFIGS, version, layout, values, f"i[hsbs[{entry}]_]_")[1]

    def config(self, topic, key):
        return {entry[0]: entry[1] for entry in self.described(1, [(TOPIC, topic, None)])[0][4]}[key]

    def test_describe_configs(self):
        self.create("t", retention_ms="5000")
        for version in range(1, 5):
            everything, some, none, missing, bad = self.described(version, [(TOPIC, "t", None), (TOPIC, "t", ["retention.ms", "nonsense", "cleanup.policy"]), (TOPIC, "t", []),
                                                                            (TOPIC, "u", None), (TOPIC, "a b", None)])
            self.assertGreater(len(everything[4]), 30)
            self.assertEqual(none[4], everything[4])
            self.assertEqual(some[:4], (0, None, TOPIC, "t"))
            self.assertEqual([entry[:6] for entry in some[4]], [("cleanup.policy", "delete", False, 5, False, []), ("retention.ms", "5000", False, 1, False, [])])
            self.assertEqual([(r[0], r[3], r[4]) for r in (missing, bad)], [(3, "u", []), (17, "a b", [])])
            self.assertTrue(missing[1] and bad[1])
        told, = self.described(3, [(TOPIC, "t", ["retention.ms", "segment.bytes", "compression.type", "min.cleanable.dirty.ratio", "preallocate"])], True, True)
        self.assertEqual([(e[0], e[2], e[5], e[6]) for e in told[4]],
                         [("compression.type", False, [("compression.type", "producer", 5)], 2), ("min.cleanable.dirty.ratio", False, [("min.cleanable.dirty.ratio", "0.5", 5)], 6),
                          ("retention.ms", False, [("retention.ms", "5000", 1), ("retention.ms", "604800000", 5)], 5),
                          ("segment.bytes", False, [("segment.bytes", "1073741824", 5)], 3), ("preallocate", True, [("preallocate", "false", 5)], 1)])
        self.assertTrue(all(len(e[7]) > 10 for e in told[4]))
        self.assertEqual([e[7] for e in self.described(3, [(TOPIC, "t", ["retention.ms"])])[0][4]], [None])

    def test_the_broker_s_configs(self):
        for version in range(1, 5):
            broker, default, other, kind = self.described(version, [(BROKER, "0", ["num.partitions", "log.dirs", "advertised.listeners"]), (BROKER, "", None),
                                                                    (BROKER, "7", None), (8, "0", None)])
            self.assertEqual([entry[:4] for entry in broker[4]], [("advertised.listeners", f"PLAINTEXT://{self.server.address}", True, 4), ("log.dirs", self.data, True, 4),
                                                                 ("num.partitions", "1", True, 4)])
            self.assertEqual([(r[0], r[4]) for r in (default, other, kind)], [(0, []), (42, []), (42, [])])

    def test_alter_configs(self):
        """What is not named has its default again, but for weir's own."""
        for version in range(3):
            alter = lambda configs, validate=False, name=f"t{version}", kind=TOPIC: self.ask(
                ALTER_CONFIGS, version, "[bs[ss_]_]?_", ([(kind, name, configs)], validate), "i[hsbs_]_")[1][0]
            topic = f"t{version}"
            self.create(topic, retention_ms="5000", segment_ms="6000", weir_partitioned_by="user")
            self.assertEqual(alter([("segment.ms", "7000")], True), (0, None, TOPIC, topic))
            self.assertEqual(self.config(topic, "segment.ms"), "6000")
            self.assertEqual(alter([("segment.ms", "7000"), ("cleanup.policy", "compact")]), (0, None, TOPIC, topic))
            self.assertEqual([self.config(topic, k) for k in ("segment.ms", "retention.ms", "cleanup.policy", "weir.partitioned.by")],
                             ["7000", "604800000", "compact", "user"])
            for configs, error in (([("nonsense", "1")], 40), ([("segment.ms", "soon")], 40), ([("segment.ms", None)], 42), ([("segment.ms", "1"), ("segment.ms", "2")], 42),
                                   ([("zero\0", "1")], 42), ([("preallocate", "true")], 40), ([("k", "v")] * 201, 42)):
                answer = alter(configs)
                self.assertEqual((answer[0], bool(answer[1])), (error, True), configs)
            self.assertEqual([alter([], name=n, kind=k)[0] for n, k in (("u", TOPIC), ("a b", TOPIC), ("0", BROKER), ("1", BROKER), ("", BROKER), ("t", 16))],
                             [3, 17, 42, 42, 42, 42])
            self.assertEqual(self.config(topic, "segment.ms"), "7000")

    def test_incremental_alter_configs(self):
        for version in range(2):
            topic = f"t{version}"
            alter = lambda configs, validate=False, name=topic: self.ask(INCREMENTAL, version, "[bs[sbs_]_]?_", ([(TOPIC, name, configs)], validate), "i[hsbs_]_")[1][0]
            self.create(topic, retention_ms="5000", segment_ms="6000")
            self.assertEqual(alter([("segment.ms", SET, "7000"), ("retention.ms", DELETE, None), ("cleanup.policy", APPEND, "compact, delete")]), (0, None, TOPIC, topic))
            self.assertEqual([self.config(topic, k) for k in ("segment.ms", "retention.ms", "cleanup.policy")], ["7000", "604800000", "delete,compact"])
            self.assertEqual(alter([("cleanup.policy", SUBTRACT, "delete"), ("leader.replication.throttled.replicas", SUBTRACT, "0:1")])[0], 0)
            self.assertEqual(self.config(topic, "cleanup.policy"), "compact")
            for config, error in (((("segment.ms", APPEND, "1")), 40), (("segment.ms", 4, "1"), 42), (("segment.ms", -1, "1"), 42), (("segment.ms", SET, None), 42),
                                  (("cleanup.policy", SUBTRACT, "compact"), 40), (("cleanup.policy", APPEND, "x" * 2000), 40), (("nonsense", APPEND, "1"), 40),
                                  (("message.format.version", APPEND, "1"), 40), (("cleanup.policy", APPEND, None), 42)):
                answer = alter([("retention.bytes", SET, "1"), config])
                self.assertEqual((answer[0], bool(answer[1])), (error, True), config)
            self.assertEqual(alter([("segment.ms", SET, "8000")], True)[0], 0)
            self.assertEqual(alter([], name="u")[0], 3)
            self.assertEqual([self.config(topic, k) for k in ("segment.ms", "cleanup.policy", "retention.bytes")], ["7000", "compact", "-1"])

    def test_configs_that_cannot_be_read(self):
        self.create("t", retention_ms="5000")
        for version in (1, 4):
            self.closes(DESCRIBE_CONFIGS, version, "[bs[s]_]?" + ("?" if version >= 3 else "") + "_", ([(TOPIC, "t", None)],) + (True,) * (2 if version >= 3 else 1))
        for version in (0, 2):
            self.closes(ALTER_CONFIGS, version, "[bs[ss_]_]?_", ([(TOPIC, "t", [("retention.ms", "1")])], False))
        for version in (0, 1):
            self.closes(INCREMENTAL, version, "[bs[sbs_]_]?_", ([(TOPIC, "t", [("retention.ms", SET, "1")])], False))
        self.assertEqual(self.config("t", "retention.ms"), "5000")

    # ---- partitions and records ----

    def test_create_partitions(self):
        self.create("internal", weir_internal="true")
        for version in range(4):
            topic = f"t{version}"
            grow = lambda count, assignments=None, validate=False, name=topic: self.ask(
                PARTITIONS, version, "[si[[i]_]_]i?_", ([(name, count, assignments)], 1000, validate), "i[shs_]_")[1][0]
            self.create(topic, 2)
            self.assertEqual(grow(3, validate=True), (topic, 0, None))
            self.assertEqual(grow(4), (topic, 0, None))
            self.assertEqual(grow(6, [[0], [0]]), (topic, 0, None))
            for count, assignments, error in ((6, None, 37), (5, None, 37), (0, None, 37), (-1, None, 37), (10001, None, 37), (7, [[1]], 39), (7, [[0], [0]], 39),
                                              (7, [[0, 0]], 39), (7, [], 39), (7, [[]], 39)):
                answer = grow(count, assignments)
                self.assertEqual((answer[1], bool(answer[2])), (error, True), (count, assignments))
            self.assertEqual([grow(7, name=name)[1] for name in ("u", "a b", "internal")], [3, 17, 44])
            self.closes(PARTITIONS, version, "[si[[i]_]_]i?_", ([(topic, 9, None)], 1000, False))
            metadata = self.ask(METADATA, 4, "[s]?", ([topic], False), "i[isis]si[hs?[hii[i][i]]]")
            self.assertEqual(len(metadata[4][0][3]), 6)

    def test_delete_records(self):
        self.create("compacted", cleanup_policy="compact")
        self.create("internal", weir_internal="true")
        for version in range(3):
            topic = f"t{version}"
            delete = lambda *partitions, name=topic: self.ask(DELETE_RECORDS, version, "[s[iq_]_]i_", ([(name, partitions)], 1000), "i[s[iqh_]_]_")[1][0]
            self.create(topic, 2)
            self.produce(topic, times=3)
            self.assertEqual(delete((0, 2), (1, 0), (2, 0)), (topic, [(0, 2, 0), (1, 0, 0), (2, -1, 3)]))
            self.assertEqual(delete((0, 1)), (topic, [(0, 2, 0)]))
            self.assertEqual(delete((0, 7), (0, -2)), (topic, [(0, -1, 1), (0, -1, 1)]))
            self.closes(DELETE_RECORDS, version, "[s[iq_]_]i_", ([(topic, [(0, 5)])], 1000))
            self.assertEqual(delete((0, 3)), (topic, [(0, 3, 0)]))
            self.assertEqual(delete((0, -1), (1, -1)), (topic, [(0, 6, 0), (1, 0, 0)]))
            self.assertEqual([delete((0, -1), name=name)[1] for name in ("compacted", "internal", "u", "a b")],
                             [[(0, -1, 44)], [(0, -1, 44)], [(0, -1, 3)], [(0, -1, 3)]])
        self.assertEqual(self.server.stop(), 0)
        self.server = self.start()
        self.wire = self.connect()
        self.assertEqual(self.ask(DELETE_RECORDS, 0, "[s[iq]]i", ([("t0", [(0, 0)])], 1000), "i[s[iqh]]")[1], [("t0", [(0, 6, 0)])])

    def test_offset_for_leader_epoch(self):
        self.create("t", 2)
        self.produce("t", times=2)
        for version in range(2, 5):
            replica = (-1,) if version >= 3 else ()
            answer = self.ask(EPOCH, version, ("i" if replica else "") + "[s[iii_]_]_",
                              replica + ([("t", [(0, -1, 0), (0, 0, 0), (0, 1, 0), (0, -1, 5), (1, -1, 0), (2, -1, 0)]), ("u", [(0, -1, 0)])],), "i[s[hiiq_]_]_")
            self.assertEqual(answer[1], [("t", [(0, 0, 0, 4), (0, 0, 0, 4), (75, 0, -1, -1), (0, 0, -1, -1), (0, 1, 0, 0), (3, 2, -1, -1)]),
                                         ("u", [(3, 0, -1, -1)])])

    def test_describe_producers(self):
        self.create("t")
        self.produce("t")
        answer = self.ask(PRODUCERS, 0, "[s[i]_]_", ([("t", [0, 1]), ("u", [0])],), "i[s[ihs[qiiqiq_]_]_]_")[1]
        self.assertEqual([(t[0], [(p[0], p[1], bool(p[2]), p[3]) for p in t[1]]) for t in answer], [("t", [(0, 0, False, []), (1, 3, True, [])]), ("u", [(0, 3, True, [])])])

    # ---- groups ----

    def commit(self, group, topic, **offsets):
        partitions = [(int(p[1:]), offset, "") for p, offset in offsets.items()]
        answer = self.ask(OFFSET_COMMIT, 2, "sisq[s[iqs]]", (group, -1, "", -1, [(topic, partitions)]), "[s[ih]]")
        self.assertTrue(all(error == 0 for _, error in answer[0][0][1]), answer)

    def join(self, group, topic):
        """A member alone in its group, with all of the topic assigned. Its connection stays."""
        metadata = wire_body.write("h[s]y", False, (0, [topic], b""))
        answer = self.ask(JOIN_GROUP, 2, "siiss[sy]", (group, 60000, 60000, "", "consumer", [("range", metadata)]), "ihisss[sy]")
        generation, member = answer[2], answer[5]
        assignment = wire_body.write("h[s[i]]y", False, (0, [(topic, [0, 1])], b""))
        self.assertEqual(self.ask(SYNC_GROUP, 1, "sis[sy]", (group, generation, member, [(member, assignment)]), "ihy")[1], 0)
        return member, metadata, assignment

    def groups(self, version, states=None, types=None):
        layout = ("[s]" if version >= 4 else "") + ("[s]" if version >= 5 else "") + "_"
        values = ((states or [],) if version >= 4 else ()) + ((types or [],) if version >= 5 else ())
        answer = self.ask(LIST_GROUPS, version, layout, values, ("i" if version >= 1 else "") + "h[ss" + ("s" if version >= 4 else "") + ("s" if version >= 5 else "") + "_]_")
        self.assertEqual(answer[-2], 0)
        return answer[-1]

    def test_list_and_describe_groups(self):
        self.create("t", 2)
        self.commit("offsets", "t", p0=5)
        member, metadata, assignment = self.join("members", "t")
        for version in range(6):
            self.assertEqual([g[:2] for g in self.groups(version)], [("members", "consumer"), ("offsets", "")])
            layout, flags = ("[s]" + ("?" if version >= 3 else "") + "_"), ((True,) if version >= 3 else ())
            layout_member = "s" + ("s" if version >= 4 else "") + "ssyy_"
            answer = self.ask(DESCRIBE_GROUPS, version, layout, (["members", "offsets", "none", ""],) + flags,
                              ("i" if version >= 1 else "") + f"[hssss[{layout_member}]" + ("i" if version >= 3 else "") + "_]_")[-1]
            instance = (None,) if version >= 4 else ()
            operations = (1 << 3 | 1 << 6 | 1 << 8,) if version >= 3 else ()
            self.assertEqual(answer, [(0, "members", "Stable", "consumer", "range", [(member,) + instance + ("test", "/127.0.0.1", metadata, assignment)]) + operations,
                                      (0, "offsets", "Empty", "", "", []) + operations, (0, "none", "Dead", "", "", []) + operations,
                                      (24, "", "Dead", "", "", []) + operations])
        self.assertEqual(self.groups(4), [("members", "consumer", "Stable"), ("offsets", "", "Empty")])
        self.assertEqual(self.groups(4, ["stable"]), [("members", "consumer", "Stable")])
        self.assertEqual(self.groups(4, ["Dead"]), [])
        self.assertEqual([g[0] for g in self.groups(5, ["Empty", "Stable"], ["Classic", "consumer"])], ["members", "offsets"])
        self.assertEqual(self.groups(5, [], ["consumer"]), [])
        self.assertEqual(self.groups(5)[0], ("members", "consumer", "Stable", "classic"))
        self.closes(LIST_GROUPS, 4, "[s]_", (["Empty"],), 2)
        self.closes(DESCRIBE_GROUPS, 3, "[s]?", (["members"], True))
        self.closes(DESCRIBE_GROUPS, 0, "[s]", (["zero\0byte"],), 0 or 1)

    def test_delete_groups(self):
        self.create("t", 2)
        member = self.join("members", "t")[0]
        for version in range(3):
            self.commit("offsets", "t", p0=5)
            self.closes(DELETE_GROUPS, version, "[s]_", (["offsets"],))
            delete = lambda *groups: self.ask(DELETE_GROUPS, version, "[s]_", (groups,), "i[sh_]_")[1]
            self.assertEqual(delete("offsets", "members", "none", "", "offsets"), [("offsets", 0), ("members", 68), ("none", 69), ("", 24), ("offsets", 69)])
        self.assertEqual(self.ask(LEAVE_GROUP, 1, "ss", ("members", member), "ih")[1], 0)
        self.assertEqual(self.ask(DELETE_GROUPS, 0, "[s]", (["members"],), "i[sh]")[1], [("members", 0)])
        self.assertEqual(self.groups(0), [])

    def test_offset_delete(self):
        self.create("t", 2)
        self.create("u")
        self.join("members", "t")
        self.commit("offsets", "t", p0=5, p1=6)
        forget = lambda group, *topics: self.ask(OFFSET_DELETE, 0, "s[s[i]]", (group, topics), "hi[s[ih]]")
        self.closes(OFFSET_DELETE, 0, "s[s[i]]", ("offsets", [("t", [0, 1])]))
        self.assertEqual(forget("offsets", ("t", [0, 7]), ("x", [0]), ("u", [0])), (0, 0, [("t", [(0, 0), (7, 3)]), ("x", [(0, 3)]), ("u", [(0, 0)])]))
        self.assertEqual(self.ask(OFFSET_FETCH, 1, "s[s[i]]", ("offsets", [("t", [0, 1])]), "[s[iqsh]]")[0], [("t", [(0, -1, "", 0), (1, 6, "", 0)])])
        self.assertEqual(forget("members", ("t", [0]), ("u", [0])), (0, 0, [("t", [(0, 86)]), ("u", [(0, 0)])]))
        self.assertEqual([forget(group, ("t", [0])) for group in ("none", "")], [(69, 0, []), (24, 0, [])])

    # ---- the cluster ----

    def test_describe_cluster(self):
        host, port = self.server.address.split(":")
        for version in range(2):
            layout, endpoint = "?" + ("b" if version else "") + "_", (1,) if version else ()
            answer = self.ask(CLUSTER, version, layout, (True,) + endpoint, "ihs" + ("b" if version else "") + "si[isis_]i_")
            self.assertEqual(answer[:3] + answer[3 + version + 1:], (0, 0, None, 0, [(0, host, int(port), None)], 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12))
            self.assertEqual(len(answer[3 + version]), 22)
        for endpoint, error in ((2, 114), (0, 115)):
            answer = self.ask(CLUSTER, 1, "?b_", (False, endpoint), "ihsbsi[isis_]i_")
            self.assertEqual((answer[1], bool(answer[2]), answer[3], answer[6], answer[7]), (error, True, endpoint, [], -2147483648))

    def test_describe_log_dirs(self):
        self.create("t", 2)
        self.create("u")
        self.produce("t")
        for version in range(1, 5):
            layout = "i" + ("h" if version >= 3 else "") + "[hs[s[iqq?_]_]" + ("qq" if version >= 4 else "") + "_]_"
            directory, = self.ask(LOG_DIRS, version, "[s[i]_]_", (None,), layout)[-1]
            self.assertEqual(directory[:3], (0, self.data, [("t", [(0, len(BATCH), 0, False), (1, 0, 0, False)]), ("u", [(0, 0, 0, False)])]))
            directory, = self.ask(LOG_DIRS, version, "[s[i]_]_", ([("t", [1, 2]), ("x", [0]), ("u", [3])],), layout)[-1]
            self.assertEqual(directory[:3], (0, self.data, [("t", [(1, 0, 0, False)])]))
            if version >= 4:
                self.assertTrue(directory[3] > directory[4] > 0, directory)

    def test_what_there_is_none_of(self):
        """Elections, reassignments, quotas."""
        self.create("t", 2)
        for version in range(3):
            kind, error = ((0,), "h") if version else ((), "")
            ask = lambda topics, kind=kind: self.ask(ELECT, version, ("b" if version else "") + "[s[i]_]i_", kind + (topics, 1000), f"i{error}[s[ihs_]_]_")[1:]
            self.assertEqual([(t[0], [p[:2] for p in t[1]]) for t in ask([("t", [0, 5]), ("x", [0])])[-1]], [("t", [(0, 84), (5, 3)]), ("x", [(0, 3)])])
            self.assertEqual(ask(None), ((0,) if version else ()) + ([],))
            if version:
                self.assertEqual(ask([("t", [0])], (2,)), (42, []))
        self.assertEqual(self.ask(REASSIGNMENTS, 0, "i[s[i]_]_", (1000, None), "ihs[i]_"), (0, 0, None, []))
        self.assertEqual(self.ask(REASSIGNMENTS, 0, "i[s[i]_]_", (1000, [("t", [0, 1])]), "ihs[i]_"), (0, 0, None, []))
        for version in range(2):
            self.assertEqual(self.ask(DESCRIBE_QUOTAS, version, "[sbs_]?_", ([("user", 0, "x"), ("client-id", 2, None)], True), "ihs[i]_"), (0, 0, None, []))
            answer = self.ask(ALTER_QUOTAS, version, "[[ss_][sq?_]_]?_", ([([("user", "x"), ("client-id", None)], [("rate", 5, False)])], False), "i[hs[ss_]_]_")
            self.assertEqual((answer[1][0][0], answer[1][0][2]), (44, [("user", "x"), ("client-id", None)]))

    def test_requests_are_counted(self):
        """By API and version, from the first one on."""
        http = self.server.process.stdout.readline().split()[-1]
        for _ in range(3):
            self.groups(4)
        self.groups(1)
        self.wire.send(request(18, 99, b""))
        self.wire.response()
        text = urllib.request.urlopen(f"http://{http}/metrics", timeout=LIMIT_S).read().decode()
        self.assertEqual([line for line in text.splitlines() if line.startswith("weir_kafka_requests_total")],
                         ['weir_kafka_requests_total{api="ListGroups",version="1"} 1', 'weir_kafka_requests_total{api="ListGroups",version="4"} 3'])
        self.assertIn("# TYPE weir_kafka_requests counter\n", text)

    def test_topics_by_id_whatever_their_name(self):
        """Java's admin client names an empty one."""
        self.create("t")
        layout = "i[isis_]si[hsqq?[hiii[i][i][i]_]i_]_"
        listed = self.ask(METADATA, 12, "[qqs_]??_", (None, False, False), layout)[4][0]
        self.assertEqual([self.ask(METADATA, 12, "[qqs_]??_", ([listed[2:4] + (name,)], False, False), layout)[4][0][:4] for name in ("", None, "other")], [listed[:4]] * 3)


class Clients(Case):
    @unittest.skipUnless(HAS_CONFLUENT, "python3-confluent-kafka is not installed")
    def test_confluent_kafka_administers(self):
        script = """
import sys
from confluent_kafka import Producer, Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic
admin = AdminClient({"bootstrap.servers": sys.argv[1]})
def result(futures):
    for future in futures.values():
        try:
            return future.result(60)
        except Exception as error:
            return error.args[0].code()
resource = lambda name, **set_config: ConfigResource(ConfigResource.Type.TOPIC, name, set_config={k.replace("_", "."): v for k, v in set_config.items()})
config = lambda name, key: result(admin.describe_configs([resource(name)]))[key].value
print(result(admin.create_topics([NewTopic("t", 1, 1, config={"retention.ms": "5000"})])))
print(config("t", "retention.ms"), config("t", "cleanup.policy"), result(admin.describe_configs([resource("none")])))
print(result(admin.alter_configs([resource("t", segment_ms="7000")])), config("t", "segment.ms"), config("t", "retention.ms"))
print(result(admin.alter_configs([resource("t", segment_ms="x")])))
print(result(admin.describe_configs([ConfigResource(ConfigResource.Type.BROKER, "0")]))["num.partitions"].value)
print(result(admin.create_partitions([NewPartitions("t", 3)])), result(admin.create_partitions([NewPartitions("t", 2)])))
print(len(admin.list_topics("t", timeout=60).topics["t"].partitions))
producer = Producer({"bootstrap.servers": sys.argv[1]})
producer.produce("t", b"x", partition=0)
producer.flush(60)
consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "g", "auto.offset.reset": "earliest", "client.id": "me"})
consumer.subscribe(["t"])
while consumer.poll(1) is None:
    pass
consumer.commit(asynchronous=False)
for group in admin.list_groups("g", 60) + admin.list_groups(timeout=60):
    print(group.id, group.state, group.protocol_type, group.protocol, [(m.client_id, m.client_host, len(m.assignment) > 0) for m in group.members])
consumer.close()
print([(g.id, g.state, g.members) for g in admin.list_groups(timeout=60)])
"""
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address),
                         "None\n5000 delete 3\nNone 7000 604800000\n40\n1\nNone 37\n3\n" + "g Stable consumer range [('me', '/127.0.0.1', True)]\n" * 2 + "[('g', 'Empty', [])]\n")

    @unittest.skipUnless(HAS_KAFKA_PYTHON, "python3-kafka is not installed")
    def test_kafka_python_administers(self):
        script = """
import sys
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
own = dict(bootstrap_servers=sys.argv[1], api_version_auto_timeout_ms=100000)
admin = KafkaAdminClient(**own)
admin.create_topics([NewTopic("t", 1, 1)])
def config(key):
    resource, = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "t")])[0].resources
    return {entry[0]: entry[1] for entry in resource[4]}[key]
print(admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, "t", configs={"retention.ms": "5000"})]).resources, config("retention.ms"))
print(admin.create_partitions({"t": NewPartitions(2)}).topic_errors, admin.describe_topics(["t"])[0]["partitions"][1]["leader"])
producer = KafkaProducer(**own)
producer.send("t", b"x").get(60)
consumer = KafkaConsumer("t", **own, group_id="g", auto_offset_reset="earliest", client_id="me")
next(consumer)
consumer.commit()
print(admin.list_consumer_groups())
group, = admin.describe_consumer_groups(["g"])
print(group.group, group.state, group.protocol_type, [(m.client_id, m.client_host, m.member_assignment.assignment) for m in group.members])
consumer.close()
print(admin.describe_consumer_groups(["g"])[0].state, sum(o.offset for o in admin.list_consumer_group_offsets("g").values()), admin.describe_cluster()["controller_id"])
print(admin.delete_consumer_groups(["g", "none"]))
"""
        self.assertEqual(self.run_client(PYTHON, "-c", script, self.server.address),
                         "[(0, None, 2, 't')] 5000\n[('t', 0, None)] 0\n[('g', 'consumer')]\ng Stable consumer [('me', '/127.0.0.1', [('t', [0, 1])])]\nEmpty 1 0\n"
                         "[('g', <class 'kafka.errors.NoError'>), ('none', <class 'kafka.errors.GroupIdNotFoundError'>)]\n")


if __name__ == "__main__":
    unittest.main()
