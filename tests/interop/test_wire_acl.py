#!/usr/bin/env python3
"""Access lists of weir serve: for every API, as a user with no rights at all: no name, no data, no effect, and the same answer whether a thing is there or not; the rights that
Kafka's documentation names for it, one after the other until it works; then changes while clients are connected, who is who, and clients' own tools."""
import base64
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import wire_body
from test_wire_administration import BATCH
from test_wire_auth import Users, can_import
from tls_files import Authority
from wire_server import LIMIT_S, PYTHON, WEIR, Case, Server, Wire, environment, request

TOPIC, GROUP, CLUSTER, TXN = 2, 3, 4, 5
ANY, MATCH, LITERAL, PREFIXED = 1, 2, 3, 4
ALL, READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE = range(2, 13)
DENY, ALLOW = 2, 3
NO_TOPIC, NO_GROUP, NO_CLUSTER, NO_TXN = 29, 30, 31, 53
REFUSALS = {NO_TOPIC, NO_GROUP, NO_CLUSTER, NO_TXN}
DISABLED, POLICY, INVALID_REQUEST, TOPIC_EXISTS = 54, 44, 42, 36
FLEXIBLE_SINCE = {1: 12, 3: 9, 15: 5, 19: 5, 29: 2, 30: 2, 31: 2, 35: 2, 46: 0, 50: 0, 51: 0, 60: 0, 61: 0, 65: 0, 66: 0}
# What is asked for before anybody is known, and what is answered to everybody, without what he may not know of: looked at one by one below.
OPEN, SIFTED = {17, 18, 36}, {16, 60, 66}


class Names:
    """What an API's request is about. A missing thing's name is as long as that of one that is there."""

    def __init__(self, key, there=True):
        word = "exists" if there else "absent"
        self.topic, self.group, self.txn, self.producer = f"t{key:02}-{word}", f"g{key:02}-{word}", f"x{key:02}-{word}", None


# key: cases of (version, layout of the request, its body, layout of the response, rights in the order in which they are missed: (the error without it, operation, resource)).
CASES = {
    0: [(3, "shi[s[iy]]", lambda n: (None, -1, 1000, [(n.topic, [(0, BATCH)])]), "[s[ihqq]]i", [(NO_TOPIC, WRITE, TOPIC)])],
    1: [(4, "iiiib[s[iqi]]", lambda n: (-1, 0, 0, 1000, 0, [(n.topic, [(0, 0, 1000)])]), "i[s[ihqq[qq]y]]", [(NO_TOPIC, READ, TOPIC)])],
    2: [(1, "i[s[iq]]", lambda n: (-1, [(n.topic, [(0, -1)])]), "[s[ihqq]]", [(NO_TOPIC, DESCRIBE, TOPIC)])],
    3: [(1, "[s]", lambda n: ([n.topic],), "[isis]i[hs?[hii[i][i]]]", [(NO_TOPIC, DESCRIBE, TOPIC)])],
    8: [(2, "sisq[s[iqs]]", lambda n: (n.group, -1, "", -1, [(n.topic, [(0, 1, "")])]), "[s[ih]]", [(NO_GROUP, READ, GROUP), (NO_TOPIC, READ, TOPIC)])],
    9: [(2, "s[s[i]]", lambda n: (n.group, [(n.topic, [0])]), "[s[iqsh]]h", [(NO_GROUP, DESCRIBE, GROUP), (NO_TOPIC, DESCRIBE, TOPIC)]),
        (1, "s[s[i]]", lambda n: (n.group, [(n.topic, [0])]), "[s[iqsh]]", [(NO_GROUP, DESCRIBE, GROUP), (NO_TOPIC, DESCRIBE, TOPIC)])],
    10: [(1, "sb", lambda n: (n.group, 0), "ihsisi", [(NO_GROUP, DESCRIBE, GROUP)]), (1, "sb", lambda n: (n.txn, 1), "ihsisi", [(NO_TXN, DESCRIBE, TXN)])],
    11: [(2, "siiss[sy]", lambda n: (n.group, 6000, 6000, "", "consumer", [("range", b"x")]), "ihisss[sy]", [(NO_GROUP, READ, GROUP)])],
    12: [(1, "sis", lambda n: (n.group, 1, "m"), "ih", [(NO_GROUP, READ, GROUP)])],
    13: [(1, "ss", lambda n: (n.group, "m"), "ih", [(NO_GROUP, READ, GROUP)]), (3, "s[ss]", lambda n: (n.group, [("m", None)]), "ih[ssh]", [(NO_GROUP, READ, GROUP)])],
    14: [(1, "sis[sy]", lambda n: (n.group, 1, "m", []), "ihy", [(NO_GROUP, READ, GROUP)])],
    15: [(1, "[s]", lambda n: ([n.group],), "i[hssss[sssyy]]", [(NO_GROUP, DESCRIBE, GROUP)])],
    19: [(1, "[sih[i[i]][ss]]i?", lambda n: ([(n.topic, 1, 1, [], [])], 1000, False), "[shs]", [(NO_TOPIC, CREATE, TOPIC)]),
         (1, "[sih[i[i]][ss]]i?", lambda n: ([(n.topic, 1, 1, [], [])], 1000, False), "[shs]", [(NO_TOPIC, CREATE, CLUSTER)])],
    20: [(1, "[s]i", lambda n: ([n.topic], 1000), "i[sh]", [(NO_TOPIC, DELETE, TOPIC)])],
    21: [(0, "[s[iq]]i", lambda n: ([(n.topic, [(0, 1)])], 1000), "i[s[iqh]]", [(NO_TOPIC, DELETE, TOPIC)])],
    22: [(0, "si", lambda n: (n.txn, 60000), "ihqh", [(NO_TXN, WRITE, TXN)]), (0, "si", lambda n: (None, 60000), "ihqh", [(NO_CLUSTER, IDEMPOTENT_WRITE, CLUSTER)]),
         (0, "si", lambda n: (None, 60000), "ihqh", [(NO_CLUSTER, WRITE, TOPIC)])],
    23: [(2, "[s[iii]]", lambda n: ([(n.topic, [(0, -1, 0)])],), "i[s[hiiq]]", [(NO_TOPIC, DESCRIBE, TOPIC)])],
    24: [(0, "sqh[s[i]]", lambda n: (n.txn, *n.producer, [(n.topic, [0])]), "i[s[ih]]", [(NO_TXN, WRITE, TXN), (NO_TOPIC, WRITE, TOPIC)])],
    25: [(0, "sqhs", lambda n: (n.txn, *n.producer, n.group), "ih", [(NO_TXN, WRITE, TXN), (NO_GROUP, READ, GROUP)])],
    26: [(0, "sqh?", lambda n: (n.txn, *n.producer, True), "ih", [(NO_TXN, WRITE, TXN)])],
    28: [(0, "ssqh[s[iqs]]", lambda n: (n.txn, n.group, *n.producer, [(n.topic, [(0, 1, "")])]), "i[s[ih]]",
          [(NO_TXN, WRITE, TXN), (NO_GROUP, READ, GROUP), (NO_TOPIC, READ, TOPIC)])],
    29: [(1, "bsbssbb", lambda n: (1, None, 1, None, None, 1, 1), "ihs[bsb[ssbb]]", [(NO_CLUSTER, DESCRIBE, CLUSTER)])],
    30: [(1, "[bsbssbb]", lambda n: ([(TOPIC, n.topic, LITERAL, "User:nobody", "*", READ, ALLOW)],), "i[hs]", [(NO_CLUSTER, ALTER, CLUSTER)])],
    31: [(1, "[bsbssbb]", lambda n: ([(TOPIC, n.topic, LITERAL, "User:keeper", None, 1, 1)],), "i[hs[hsbsbssbb]]", [(NO_CLUSTER, ALTER, CLUSTER)])],
    32: [(1, "[bs[s]]?", lambda n: ([(2, n.topic, None)], False), "i[hsbs[ss?b?[ssb]]]", [(NO_TOPIC, DESCRIBE_CONFIGS, TOPIC)]),
         (1, "[bs[s]]?", lambda n: ([(4, "0", None)], False), "i[hsbs[ss?b?[ssb]]]", [(NO_CLUSTER, DESCRIBE_CONFIGS, CLUSTER)])],
    33: [(0, "[bs[ss]]?", lambda n: ([(2, n.topic, [("retention.ms", "5")])], False), "i[hsbs]", [(NO_TOPIC, ALTER_CONFIGS, TOPIC)]),
         (0, "[bs[ss]]?", lambda n: ([(4, "0", [("a", "5")])], False), "i[hsbs]", [(NO_CLUSTER, ALTER_CONFIGS, CLUSTER)])],
    35: [(3, "[s[i]_]_", lambda n: (None,), "ih[hs[s[iqq?_]_]_]_", [(NO_CLUSTER, DESCRIBE, CLUSTER)]),
         (3, "[s[i]_]_", lambda n: ([(n.topic, [0])],), "ih[hs[s[iqq?_]_]_]_", [(NO_CLUSTER, DESCRIBE, CLUSTER)])],
    37: [(0, "[si[[i]]]i?", lambda n: ([(n.topic, 2, None)], 1000, False), "i[shs]", [(NO_TOPIC, ALTER, TOPIC)])],
    42: [(0, "[s]", lambda n: ([n.group],), "i[sh]", [(NO_GROUP, DELETE, GROUP)])],
    43: [(1, "b[s[i]]i", lambda n: (0, [(n.topic, [0])], 1000), "ih[s[ihs]]", [(NO_CLUSTER, ALTER, CLUSTER)]),
         (0, "[s[i]]i", lambda n: ([(n.topic, [0])], 1000), "i[s[ihs]]", [(NO_CLUSTER, ALTER, CLUSTER)])],
    44: [(0, "[bs[sbs]]?", lambda n: ([(2, n.topic, [("retention.ms", 0, "5")])], False), "i[hsbs]", [(NO_TOPIC, ALTER_CONFIGS, TOPIC)]),
         (0, "[bs[sbs]]?", lambda n: ([(4, "0", [("a", 0, "5")])], False), "i[hsbs]", [(NO_CLUSTER, ALTER_CONFIGS, CLUSTER)])],
    46: [(0, "i[s[i]_]_", lambda n: (1000, None), "ihs[s]_", [(NO_CLUSTER, DESCRIBE, CLUSTER)])],
    47: [(0, "s[s[i]]", lambda n: (n.group, [(n.topic, [0])]), "hi[s[ih]]", [(NO_GROUP, DELETE, GROUP), (NO_TOPIC, READ, TOPIC)])],
    48: [(0, "[sbs]?", lambda n: ([], False), "ihs[s]", [(NO_CLUSTER, DESCRIBE_CONFIGS, CLUSTER)])],
    49: [(0, "[[ss][sq?]]?", lambda n: ([([("user", "u")], [("producer_byte_rate", 0, False)])], False), "i[hs[ss]]", [(NO_CLUSTER, ALTER_CONFIGS, CLUSTER)])],
    50: [(0, "[s_]_", lambda n: (None,), "ihs[shs[bi_]_]_", [(NO_CLUSTER, DESCRIBE, CLUSTER)])],
    51: [(0, "[sb_][sbiyy_]_", lambda n: ([], [("new" + n.topic[:3], 1, 4096, b"salt", b"x" * 32)]), "i[shs_]_", [(NO_CLUSTER, ALTER, CLUSTER)])],
    61: [(0, "[s[i]_]_", lambda n: ([(n.topic, [0])],), "i[s[ihs[qiiqiq_]_]_]_", [(NO_TOPIC, READ, TOPIC)])],
    65: [(0, "[s]_", lambda n: ([n.txn],), "i[hssiqqh[s[i]_]_]_", [(NO_TXN, DESCRIBE, TXN)])],
}


def shorts(layout, values):
    """Every int16 of a body: its errors, and epochs and the like, which are told apart by being none of REFUSALS."""
    found = []

    def walk(fields, values):
        for field, value in zip([f for f in fields if f != "_"], values):
            if isinstance(field, list):
                for item in value or ():
                    walk(field, (item,) if wire_body.is_bare(field) else item)
            elif field == "h":
                found.append(value)

    walk(wire_body.parse(layout), values)
    return found


class Listed(Users):
    """A server that knows a super user, boss, and mallory, who has no rights."""
    users = {"boss": "secret", "mallory": "secret"}
    flags = ("--super-user", "boss")

    def setUp(self):
        super().setUp()
        self.boss, self.mallory = self.known("boss"), self.known("mallory")

    def known(self, name):
        wire = self.connect()
        self.assertEqual(self.log_in(wire, name, mechanism="PLAIN")[0], 0)
        return wire

    def raw(self, wire, key, version, layout, values):
        flexible = version >= FLEXIBLE_SINCE.get(key, 99)
        wire.send(request(key, version, wire_body.write(layout, flexible, values), tags=b"\0" if flexible else b""))
        body = wire.response()[1]
        return body[1:] if flexible else body

    def ask(self, wire, key, version, layout, values, answer):
        return wire_body.read(answer, version >= FLEXIBLE_SINCE.get(key, 99), self.raw(wire, key, version, layout, values))

    # ---- what there is ----

    def grant(self, operation, resource, name="*", who="mallory", permission=ALLOW, pattern=LITERAL, host="*", wire=None):
        name = "kafka-cluster" if resource == CLUSTER else name
        errors = self.ask(wire or self.boss, 30, 1, "[bsbssbb]", ([(resource, name, pattern, f"User:{who}", host, operation, permission)],), "i[hs]")[1]
        self.assertEqual(errors, [(0, None)])

    def revoke(self, operation=1, resource=1, name=None, who="mallory", permission=1):
        """How many bindings went."""
        answer = self.ask(self.boss, 31, 1, "[bsbssbb]", ([(resource, name, 1, f"User:{who}", None, operation, permission)],), "i[hs[hsbsbssbb]]")
        self.assertEqual(answer[1][0][:2], (0, None))
        return len(answer[1][0][2])

    def create(self, topic, wire=None):
        answer = self.ask(wire or self.boss, 19, 1, "[sih[i[i]][ss]]i?", ([(topic, 1, 1, [], [])], 1000, False), "[shs]")
        self.assertEqual(answer[0][0][1], 0, answer)

    def produce(self, topic, wire=None):
        return self.ask(wire or self.boss, 0, 3, "shi[s[iy]]", (None, -1, 60000, [(topic, [(0, BATCH)])]), "[s[ihqq]]i")[0][0][1][0][1]

    def commit(self, group, topic):
        answer = self.ask(self.boss, 8, 2, "sisq[s[iqs]]", (group, -1, "", -1, [(topic, [(0, 1, "")])]), "[s[ih]]")
        self.assertEqual(answer[0][0][1][0][1], 0)

    def init_txn(self, txn):
        answer = self.ask(self.boss, 22, 0, "si", (txn, 60000), "ihqh")
        self.assertEqual(answer[1], 0)
        return answer[2:]

    def make(self, key):
        names = Names(key)
        self.create(names.topic)
        self.assertEqual(self.produce(names.topic), 0)
        self.commit(names.group, names.topic)
        names.producer = self.init_txn(names.txn)
        self.grant(READ, TOPIC, names.topic, "keeper")
        if key == 28:
            self.assertEqual(self.ask(self.boss, 25, 0, "sqhs", (names.txn, *names.producer, names.group), "ih")[1], 0)
        return names

    def everything(self, all_names):
        """All that a user without rights must not change, as bytes."""
        topics, groups, txns = ([getattr(names, kind) for names in all_names] for kind in ("topic", "group", "txn"))
        return [self.raw(self.boss, *what) for what in (
            (3, 1, "[s]", (None,)), (32, 1, "[bs[s]]?", ([(2, topic, None) for topic in topics], False)), (2, 1, "i[s[iq]]", (-1, [(topic, [(0, -1)]) for topic in topics])),
            (2, 1, "i[s[iq]]", (-1, [(topic, [(0, -2)]) for topic in topics])), (16, 0, "", ()), (15, 1, "[s]", (groups,)), (29, 1, "bsbssbb", (1, None, 1, None, None, 1, 1)),
            (50, 0, "[s_]_", (None,)), (65, 0, "[s]_", (txns,)), (66, 0, "[s][q]_", ([], [])), *((9, 2, "s[s[i]]", (group, None)) for group in groups))]


class Matrix(Listed):
    def served(self):
        body = self.raw(self.boss, 18, 0, "", ())
        return {entry[0] for entry in wire_body.read("h[hhh]", False, body)[1]}

    def test_every_api_is_here(self):
        self.assertEqual(self.served(), set(CASES) | OPEN | SIFTED)

    def test_without_rights(self):
        """No name, no data, no effect, and nothing that tells what there is."""
        there = {key: self.make(key) for key in CASES}
        before = self.everything(there.values())
        for key, cases in CASES.items():
            for version, layout, body, answer, rights in cases:
                with self.subTest(key=key, version=version):
                    absent = Names(key, False)
                    absent.producer = there[key].producer
                    said = self.raw(self.mallory, key, version, layout, body(there[key]))
                    values = wire_body.read(answer, version >= FLEXIBLE_SINCE.get(key, 99), said)
                    self.assertEqual([e for e in shorts(answer, values) if e in REFUSALS][:1], [rights[0][0]], values)
                    self.assertFalse(set(shorts(answer, values)) - {0, -1} - REFUSALS, values)
                    self.assertEqual(said, self.raw(self.mallory, key, version, layout, body(absent)).replace(b"absent", b"exists"))
        for (have, want) in zip(self.everything(there.values()), before, strict=True):
            self.assertEqual(have, want)

    def test_right_by_right(self):
        """Each right alone is not enough, all of them are; taken away again, the same connection is refused at once."""
        for key, cases in CASES.items():
            for number, (version, layout, body, answer, rights) in enumerate(cases):
                with self.subTest(key=key, version=version, number=number):
                    names = self.make(key) if number == 0 else names
                    if key == 20 and number > 0:
                        self.create(names.topic)
                    of = {TOPIC: names.topic, GROUP: names.group, TXN: names.txn, CLUSTER: None}
                    for error, operation, resource in rights:
                        values = self.ask(self.mallory, key, version, layout, body(names), answer)
                        self.assertIn(error, shorts(answer, values))
                        self.grant(operation, resource, of[resource])
                    values = self.ask(self.mallory, key, version, layout, body(names), answer)
                    self.assertFalse(REFUSALS & set(shorts(answer, values)), values)
                    self.assertEqual(self.revoke(), len(rights))
                    values = self.ask(self.mallory, key, version, layout, body(names), answer)
                    self.assertIn(rights[0][0], shorts(answer, values))

    def test_sifted(self):
        for key in (1, 2):
            self.make(key)
        visible, hidden = Names(1), Names(2)
        everything = (3, 1, "[s]", (None,), "[isis]i[hs?[hii[i][i]]]")
        self.assertEqual(self.ask(self.mallory, *everything)[2], [])
        self.assertEqual(self.ask(self.mallory, 16, 0, "", (), "h[ss]"), (0, []))
        self.assertEqual(self.ask(self.mallory, 66, 0, "[s][q]_", ([], []), "ih[s][sqs_]_"), (0, 0, [], []))
        self.assertEqual(self.ask(self.mallory, 9, 2, "s[s[i]]", (visible.group, None), "[s[iqsh]]h"), ([], NO_GROUP))
        self.grant(DESCRIBE, TOPIC, visible.topic)
        self.grant(DESCRIBE, GROUP, visible.group)
        self.grant(DESCRIBE, TXN, visible.txn)
        self.assertEqual([topic[1] for topic in self.ask(self.mallory, *everything)[2]], [visible.topic])
        self.assertEqual([group[0] for group in self.ask(self.mallory, 16, 0, "", (), "h[ss]")[1]], [visible.group])
        self.assertEqual([txn[0] for txn in self.ask(self.mallory, 66, 0, "[s][q]_", ([], []), "ih[s][sqs_]_")[3]], [visible.txn])
        # A group's offsets of topics that one may not know of.
        self.commit(visible.group, hidden.topic)
        self.assertEqual([topic[0] for topic in self.ask(self.mallory, 9, 2, "s[s[i]]", (visible.group, None), "[s[iqsh]]h")[0]], [visible.topic])
        self.assertEqual(len(self.ask(self.boss, 9, 2, "s[s[i]]", (visible.group, None), "[s[iqsh]]h")[0]), 2)
        # Who may describe the cluster sees all groups.
        self.grant(DESCRIBE, CLUSTER)
        self.assertEqual(len(self.ask(self.mallory, 16, 0, "", (), "h[ss]")[1]), 2)

    def test_operations(self):
        """What is allowed, as bits."""
        names = self.make(1)
        topic, group, cluster = (3, 8, "[s]???", ([names.topic], False, True, True), "i[isis]si[hs?[hiii[i][i][i]]i]i"), \
            (15, 3, "[s]?", ([names.group], True), "i[hssss[sssyy]i]"), (60, 0, "?_", (True,), "ihssi[isis_]i_")

        def bits(wire):
            metadata, described, told = (self.ask(wire, *what) for what in (topic, group, cluster))
            return metadata[4][0][4], metadata[5], described[1][0][6], told[6]

        of_topic = sum(1 << bit for bit in (READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS))
        of_cluster = sum(1 << bit for bit in (CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE))
        self.assertEqual(bits(self.boss), (of_topic, of_cluster, 1 << READ | 1 << DELETE | 1 << DESCRIBE, of_cluster))
        not_asked = -(1 << 31)
        self.assertEqual(bits(self.mallory), (not_asked, 0, not_asked, 0))
        self.grant(READ, TOPIC, names.topic)
        self.grant(ALTER_CONFIGS, TOPIC, names.topic)
        self.grant(DELETE, GROUP, names.group)
        self.grant(ALL, CLUSTER)
        self.grant(CREATE, CLUSTER, permission=DENY)
        self.assertEqual(bits(self.mallory), (1 << READ | 1 << DESCRIBE | 1 << ALTER_CONFIGS | 1 << DESCRIBE_CONFIGS, of_cluster & ~(1 << CREATE),
                                              1 << DELETE | 1 << DESCRIBE, of_cluster & ~(1 << CREATE)))


class Rules(Listed):
    def error_of(self, wire, topic="t"):
        return self.ask(wire, 2, 1, "i[s[iq]]", (-1, [(topic, [(0, -1)])]), "[s[ihqq]]")[0][0][1][0][1]

    def test_deny_wins(self):
        self.create("t")
        self.create("tail")
        self.grant(ALL, TOPIC, "t", pattern=PREFIXED, who="*")
        self.assertEqual((self.error_of(self.mallory), self.error_of(self.mallory, "tail")), (0, 0))
        self.grant(DESCRIBE, TOPIC, "tail", permission=DENY)
        self.assertEqual((self.error_of(self.mallory), self.error_of(self.mallory, "tail")), (0, NO_TOPIC))
        self.grant(ALL, TOPIC, "*", permission=DENY, host="127.0.0.2")
        self.assertEqual(self.error_of(self.mallory), 0)
        self.grant(ALL, TOPIC, "*", permission=DENY, host="127.0.0.1")
        self.assertEqual((self.error_of(self.mallory), self.error_of(self.boss)), (NO_TOPIC, 0))

    def test_creation_on_the_way(self):
        """Metadata makes what is missing for who may."""
        ask = lambda: self.ask(self.mallory, 3, 4, "[s]?", (["new"], True), "i[isis]si[hs?[hii[i][i]]]")[4][0][0]
        self.grant(DESCRIBE, TOPIC, "new")
        self.assertEqual(ask(), NO_TOPIC)
        self.assertEqual(self.error_of(self.boss, "new"), 3)
        self.grant(CREATE, TOPIC, "new")
        self.assertEqual(ask(), 0)
        self.assertEqual(self.error_of(self.boss, "new"), 0)

    def test_configs_of_a_new_topic(self):
        """Who may create and not look at configs gets none, and is told why in a tagged field."""
        self.grant(CREATE, CLUSTER)
        body = self.raw(self.mallory, 19, 5, "[sih[i[i]_][ss_]_]i?_", ([("t", 1, 1, [], [])], 1000, False))
        self.assertEqual(body, bytes.fromhex("00000000" "02" "0274" "0000" "00" "ffffffff" "ffff" "01" "01" "00" "02" "001d" "00"))

    def test_by_id(self):
        self.create("t")
        self.produce("t")
        identity = self.ask(self.boss, 3, 10, "[qqs_]???_", (None, False, False, False), "i[isis_]si[hsqq?[hiii[i][i][i]_]i_]i_")[4][0][2:4]
        fetch = (1, 13, "iiiibii[qq[iiqiqi_]_][qq[i]_]s_", (-1, 0, 0, 1000, 0, 0, -1, [(*identity, [(0, -1, 0, -1, -1, 1000)])], [], ""), "ihi[qq[ihqqq[qq_]iy_]_]_")
        metadata = (3, 12, "[qqs_]??_", ([(*identity, None)], False, True), "i[isis_]si[hsqq?[hiii[i][i][i]_]i_]_")
        delete = (20, 6, "[sqq_]i_", ([(None, *identity)], 1000), "i[sqqhs_]_")
        FLEXIBLE_SINCE[20] = 4
        said = self.ask(self.mallory, *fetch)[3][0]
        self.assertEqual((said[2][0][1], said[2][0][-1]), (NO_TOPIC, b""))
        self.assertEqual(self.ask(self.mallory, *metadata)[4][0][:2], (NO_TOPIC, None))
        self.assertEqual(self.ask(self.mallory, *delete)[1][0][:4:3], (None, NO_TOPIC))
        self.grant(DESCRIBE, TOPIC, "t")
        self.assertEqual(self.ask(self.mallory, *metadata)[4][0][:2], (0, "t"))
        self.assertEqual(self.ask(self.mallory, *delete)[1][0][:4:3], ("t", NO_TOPIC))
        self.grant(READ, TOPIC, "t")
        self.assertEqual(self.ask(self.mallory, *fetch)[3][0][2][0][1], 0)
        self.assertEqual(self.error_of(self.boss), 0)

    def test_a_name_alike(self):
        """Who asks for a topic that is not there is told of one whose name is like it only when he may see all."""
        self.create("ny-secret")
        for operation in (DESCRIBE_CONFIGS, ALTER_CONFIGS, ALTER):
            self.grant(operation, TOPIC, "my-", pattern=PREFIXED)
        for key in (32, 33, 37, 44):
            (version, layout, body, answer, _), names = CASES[key][0], Names(key)
            names.topic = "my-secret"
            told = [str(self.ask(wire, key, version, layout, body(names), answer)) for wire in (self.mallory, self.boss)]
            self.assertEqual(["there is no topic my-secret" in text for text in told], [True, True], told)
            self.assertEqual(["did you mean ny-secret?" in text for text in told], [False, True], told)

    def test_transactional_batch(self):
        """The right to the topic is not enough for a batch of a transaction."""
        self.create("t")
        batch = bytearray(BATCH)
        self.grant(WRITE, TOPIC, "t")
        producer, epoch = self.init_txn("x")
        batch[22] |= 16
        batch[43:51], batch[51:53], batch[53:57] = producer.to_bytes(8, "big"), epoch.to_bytes(2, "big"), bytes(4)
        batch[17:21] = crc32c(bytes(batch[21:])).to_bytes(4, "big")
        answer = self.ask(self.mallory, 0, 3, "shi[s[iy]]", ("x", -1, 1000, [("t", [(0, bytes(batch))])]), "[s[ihqq]]i")
        self.assertEqual(answer[0][0][1][0][1], NO_TXN)

    def test_fetch_goes_on_without(self):
        """A fetch session, and a request that waits: both are asked again."""
        self.create("t")
        self.produce("t")
        self.grant(READ, TOPIC, "t")
        layout, answer = "iiiibii[s[iqqi]][s[i]]", "ihi[s[ihqqq[qq]y]]"
        begun = self.ask(self.mallory, 1, 7, layout, (-1, 0, 0, 10000, 0, 0, 0, [("t", [(0, 0, -1, 1000)])], []), answer)
        self.assertEqual((begun[3][0][1][0][1], len(begun[3][0][1][0][-1])), (0, len(BATCH)))
        self.assertEqual(self.ask(self.mallory, 1, 7, layout, (-1, 0, 0, 10000, 0, begun[2], 1, [("t", [(0, 2, -1, 1000)])], []), answer)[3], [])
        self.mallory.send(request(1, 7, wire_body.write(layout, False, (-1, 60000, 1, 10000, 0, begun[2], 2, [], []))))
        self.assertEqual(self.revoke(), 1)
        self.produce("t")
        said = wire_body.read(answer, False, self.mallory.response()[1])
        self.assertEqual((said[3][0][1][0][1], said[3][0][1][0][-1]), (NO_TOPIC, b""))

    def test_acks_0(self):
        """Nothing can be said: the connection ends, as with Kafka."""
        self.create("t")
        self.mallory.send(request(0, 3, wire_body.write("shi[s[iy]]", False, (None, 0, 1000, [("t", [(0, BATCH)])]))))
        self.assertTrue(self.mallory.is_closed())
        self.wait_said("may not write to this topic")

    def test_lists(self):
        """Filters, versions, what makes no sense, and after a restart."""
        bindings = [(TOPIC, "abc", LITERAL, "User:u", "*", READ, ALLOW), (TOPIC, "abc", LITERAL, "User:u", "1.2.3.4", WRITE, DENY),
                    (TOPIC, "ab", PREFIXED, "User:v", "*", ALL, ALLOW), (GROUP, "*", LITERAL, "User:*", "*", READ, ALLOW)]
        for version in (1, 2, 3):
            answer = self.ask(self.boss, 30, version, "[bsbssbb_]_", (bindings + [(TOPIC, "", LITERAL, "User:u", "*", READ, ALLOW), (TOPIC, "t", MATCH, "User:u", "*", READ, ALLOW)],),
                              "i[hs_]_")[1]
            self.assertEqual([error for error, _ in answer], [0] * 4 + [INVALID_REQUEST] * 2)

        def described(*filter_, version=1):
            answer = self.ask(self.boss, 29, version, "bsbssbb_", filter_, "ihs[bsb[ssbb_]_]_")
            self.assertEqual(answer[1:3], (0, None))
            return sorted((kind, name, pattern, *entry) for kind, name, pattern, entries in answer[3] for entry in entries)

        for version in (1, 2, 3):
            self.assertEqual(described(1, None, 1, None, None, 1, 1, version=version), sorted(bindings))
        self.assertEqual(described(TOPIC, "abcd", MATCH, None, None, 1, 1), [bindings[2]])
        self.assertEqual(described(TOPIC, "abc", MATCH, None, None, 1, 1), sorted(bindings[:3]))
        self.assertEqual(described(1, None, 1, None, None, 1, DENY), [bindings[1]])
        self.assertEqual(described(1, None, 1, "User:v", None, 1, 1), [bindings[2]])
        self.assertEqual(self.ask(self.boss, 29, 1, "bsbssbb", (0, None, 1, None, None, 1, 1), "ihs[bsb[ssbb]]")[1], INVALID_REQUEST)
        self.server.stop()
        self.server = self.start()
        self.boss = self.known("boss")
        self.assertEqual(described(1, None, 1, None, None, 1, 1), sorted(bindings))
        for version in (1, 2, 3):
            answer = self.ask(self.boss, 31, version, "[bsbssbb_]_", ([bindings[version], (9, None, 1, None, None, 1, 1)],), "i[hs[hsbsbssbb_]_]_")[1]
            self.assertEqual(answer[0], (0, None, [(0, None, *bindings[version])]))
            self.assertEqual((answer[1][0], answer[1][2]), (INVALID_REQUEST, []))
        self.assertEqual(described(1, None, 1, None, None, 1, 1), [bindings[0]])


class NobodyIsSuper(Listed):
    flags = ()

    def test_first_binding(self):
        """Without one everybody may do everything; nobody takes the keys from himself."""
        self.create("t", self.mallory)
        self.assertEqual(self.produce("t", self.mallory), 0)
        own = [(CLUSTER, "kafka-cluster", LITERAL, "User:boss", "*", ALTER, ALLOW), (TOPIC, "t", LITERAL, "User:boss", "*", WRITE, ALLOW)]
        create = (30, 1, "[bsbssbb]"), "i[hs]"
        self.assertEqual([error for error, _ in self.ask(self.mallory, *create[0], (own,), create[1])[1]], [POLICY, POLICY])
        self.assertEqual(self.produce("t", self.mallory), 0)
        self.assertEqual([error for error, _ in self.ask(self.boss, *create[0], (own,), create[1])[1]], [0, 0])
        self.assertEqual((self.produce("t", self.mallory), self.produce("t")), (NO_TOPIC, 0))
        own_cluster = (CLUSTER, "kafka-cluster", LITERAL, "User:boss", "*", ALTER, ALLOW)
        self.assertEqual(self.ask(self.boss, 31, 1, "[bsbssbb]", ([own_cluster],), "i[hs[hsbsbssbb]]")[1][0][0], POLICY)
        self.assertEqual(self.revoke(who="boss"), 2)
        self.assertEqual(self.produce("t", self.mallory), 0)


class NobodyIsAsked(Listed):
    users = {}
    flags = ()

    def setUp(self):
        Case.setUp(self)
        self.boss = self.connect()

    def test_disabled(self):
        for key, layout, values, answer in ((29, "bsbssbb", (1, None, 1, None, None, 1, 1), "ihs[bsb[ssbb]]"),
                                            (30, "[bsbssbb]", ([(TOPIC, "t", LITERAL, "User:u", "*", READ, ALLOW)],), "i[hs]"),
                                            (31, "[bsbssbb]", ([(1, None, 1, None, None, 1, 1)],), "i[hs[hsbsbssbb]]")):
            self.assertIn(DISABLED, shorts(answer, self.ask(self.boss, key, 1, layout, values, answer)))
        self.create("t")
        self.assertEqual(self.produce("t"), 0)


def acl(data, *words, password=None):
    """weir acl: its exit code, what it prints and what it says."""
    stdin = None if password is None else password + "\n"
    done = subprocess.run([WEIR, "acl", *words, *(("--data", data) if data else ())], input=stdin, capture_output=True, text=True, timeout=LIMIT_S, env=environment())
    return done.returncode, done.stdout, done.stderr


class WhoIsWho(Case):
    """Certificates, and who shows nothing."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="weir-acl-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.ca = Authority(cls.folder)
        cls.server_certificate = cls.ca.sign("server", "/CN=server")
        cls.alice = cls.ca.sign("alice", "/C=CH/O=shop, inc/CN=alice ü")
        cls.nobody = cls.ca.sign("nobody", "/O=shop")

    def start(self, *flags):
        certificate, key = self.server_certificate
        self.flags = ("--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", self.ca.pem, *flags)
        return super().start()

    def seen(self, certificate, key):
        """The topics that a client with this certificate may know of."""
        context = ssl.create_default_context(cafile=self.ca.pem)
        context.load_cert_chain(certificate, key)
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=LIMIT_S) as plain_socket:
            wire = Wire.__new__(Wire)
            wire.socket = context.wrap_socket(plain_socket, server_hostname="127.0.0.1")
            self.addCleanup(wire.socket.close)
            wire.send(request(3, 1, wire_body.write("[s]", False, (None,))))
            return [topic[1] for topic in wire_body.read("[isis]i[hs?[hii[i][i]]]", False, wire.response()[1])[2]]

    def restart(self, *flags):
        self.assertEqual(self.server.stop(), 0)
        subprocess.run([WEIR, "topic", "create", "t", "--data", self.data], env=environment(), check=False, capture_output=True)
        for words in (("CN=alice ü,O=shop\\, inc,C=CH", "--topic", "t"), ("alice ü", "--topic", "u"), ("ANONYMOUS", "--topic", "a")):
            subprocess.run([WEIR, "topic", "create", words[2], "--data", self.data], env=environment(), check=False, capture_output=True)
            self.assertEqual(acl(self.data, "add", words[0], "--allow", "read", *words[1:])[0], 0)
        self.server = self.start(*flags)

    def test_subject(self):
        self.restart()
        self.assertEqual((self.seen(*self.alice), self.seen(*self.nobody)), (["t"], []))

    def test_common_name(self):
        self.restart("--tls-principal", "cn")
        self.assertEqual((self.seen(*self.alice), self.seen(*self.nobody)), (["u"], ["a"]))

    def test_super_by_subject(self):
        self.restart("--super-user", "O=shop")
        self.assertEqual((self.seen(*self.alice), self.seen(*self.nobody)), (["t"], ["a", "t", "u"]))


class Anonymous(Listed):
    """Lists hold also for those who are not asked who they are."""
    flags = ("--no-auth",)

    def setUp(self):
        Case.setUp(self)
        self.boss = self.connect()

    def test_no_auth(self):
        self.create("t")
        self.create("u")
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(acl(self.data, "add", "ANONYMOUS", "--allow", "write", "--topic", "t")[0], 0)
        self.server = self.start()
        wire = self.connect()
        self.assertEqual((self.produce("t", wire), self.produce("u", wire)), (0, NO_TOPIC))


class Command(Listed):
    def test_directory(self):
        """weir acl on a directory that is not served."""
        self.assertEqual(self.server.stop(), 0)
        code, out, said = acl(self.data, "add", "alice", "--allow", "read,Write,IdempotentWrite", "--topic", "orders")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("a Topic has no operation of that kind", said)
        code, out, said = acl(self.data, "add", "alice", "--allow", "read,Describe_Configs", "--topic", "orders", "--host", "10.0.0.1")
        self.assertEqual((code, out), (0, ""))
        self.assertIn("this is the first", said)
        self.assertEqual(acl(self.data, "add", "*", "--deny", "all", "--transactional-id", "x-", "--prefixed"), (0, "", ""))
        self.assertEqual([json.loads(line) for line in acl(self.data, "list", "--format", "json")[1].splitlines()], [
            {"principal": "User:alice", "permission": "allow", "operation": operation, "resource": "topic", "name": "orders", "pattern": "literal", "host": "10.0.0.1"}
            for operation in ("read", "describe-configs")] + [
            {"principal": "User:*", "permission": "deny", "operation": "all", "resource": "transactional-id", "name": "x-", "pattern": "prefixed", "host": "*"}])
        self.assertEqual(acl(self.data, "list", "--topic", "orders", "--allow", "read", "--format", "json")[1].count("\n"), 1)
        self.assertEqual(acl(self.data, "list", "bob")[:2], (0, ""))
        code, out, said = acl(self.data, "delete", "alice")
        self.assertEqual(code, 1)
        self.assertIn("--yes", said)
        self.assertEqual(acl(self.data, "list")[1].count("alice"), 2)
        self.assertEqual(acl(self.data, "delete", "alice", "--yes")[:2], (0, ""))
        self.assertIn("there is none left", acl(self.data, "delete", "--transactional-id", "x-", "--prefixed")[2])
        self.assertEqual(acl(self.data, "delete", "alice", "--yes")[0], 1)
        for wrong in (("add", "a"), ("add", "a", "--allow", "read"), ("add", "a", "--topic", "t"), ("add", "a", "--allow", "fly", "--topic", "t"),
                      ("add", "a", "--allow", "read", "--deny", "read", "--topic", "t"), ("add", "a", "--allow", "all", "--cluster", "--topic", "t"),
                      ("add", "a", "--allow", "read", "--topic", "t", "--host", "h"), ("list", "--prefixed"), ("delete", "--allow", "read,write")):
            self.assertEqual(acl(self.data, *wrong)[0], 2, wrong)

    @unittest.skipIf("thread" in os.environ.get("WEIR_SANITIZE", ""), "librdkafka starts threads that TSan does not know of")
    def test_server(self):
        """The same through the server, in force at once."""
        self.create("t")
        secret = os.path.join(self.home, "secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("secret\n")
        boss, mallory = (("--user", name, "--password-file", secret) for name in ("boss", "mallory"))
        self.assertEqual(self.produce("t", self.mallory), NO_TOPIC)
        self.assertEqual(acl(self.data, "add", "mallory", "--allow", "write", "--topic", "t", *boss)[0], 0)
        self.assertEqual(self.produce("t", self.mallory), 0)
        self.assertEqual(json.loads(acl(self.data, "list", "--format", "json", *boss)[1])["operation"], "write")
        code, out, said = acl(self.data, "list", *mallory)
        self.assertEqual((code, out), (0, "")) # librdkafka 2.0 drops the error
        self.assertIn("who may describe the cluster", said)
        self.assertNotEqual(acl(self.data, "add", "mallory", "--allow", "all", "--cluster", *mallory)[0], 0)
        self.assertEqual(acl(self.data, "delete", "mallory", *boss)[0], 0)
        self.assertEqual(self.produce("t", self.mallory), NO_TOPIC)
        self.assertIn("transactional ids", acl(self.data, "add", "mallory", "--allow", "write", "--transactional-id", "x", *boss)[2])


class Clients(Listed):
    def as_user(self, name):
        return ("-X", "security.protocol=SASL_PLAINTEXT", "-X", "sasl.mechanisms=SCRAM-SHA-256", "-X", f"sasl.username={name}", "-X", "sasl.password=secret")

    @unittest.skipUnless(shutil.which("kcat"), "kcat is not installed")
    def test_kcat(self):
        run = lambda *words, stdin=None: subprocess.run(["kcat", "-b", self.server.address, *words, *self.as_user("mallory")], input=stdin, capture_output=True,
                                                        text=True, timeout=LIMIT_S, env=environment())
        self.create("t")
        self.create("hidden")
        done = run("-P", "-t", "t", stdin="a\n")
        self.assertIn("Topic authorization failed", done.stderr)
        self.grant(WRITE, TOPIC, "t")
        self.assertEqual(run("-P", "-t", "t", stdin="a\n").returncode, 0)
        self.assertNotIn("hidden", run("-L").stdout)
        self.assertIn('topic "t"', run("-L").stdout)
        self.assertIn("authorization failed", run("-C", "-t", "t", "-e", "-q", "-o", "beginning").stderr.lower())
        self.grant(READ, TOPIC, "t")
        self.assertEqual(run("-C", "-t", "t", "-e", "-q", "-o", "beginning").stdout, "a\n")
        self.assertIn("authorization failed", run("-G", "g", "-e", "-q", "-X", "auto.offset.reset=earliest", "t").stderr.lower())
        self.grant(READ, GROUP, "g")
        self.assertEqual(run("-G", "g", "-e", "-q", "-X", "auto.offset.reset=earliest", "t").stdout, "a\n")

    @unittest.skipUnless(can_import("kafka"), "python3-kafka is not installed")
    def test_kafka_python(self):
        """Its administrator, and its reader and writer with what they need."""
        script = """
import sys
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import ACL, ACLResourcePatternType, ACLFilter, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourcePatternFilter, ResourceType
from kafka.errors import ClusterAuthorizationFailedError, KafkaTimeoutError, NoError
def own(name): return dict(bootstrap_servers=sys.argv[1], security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", sasl_plain_username=name, sasl_plain_password="secret",
                     api_version_auto_timeout_ms=100000)
boss, mallory = KafkaAdminClient(**own("boss")), KafkaAdminClient(**own("mallory"))
def binding(operation, kind, name): return ACL("User:mallory", "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, name))
rights = [binding(ACLOperation.WRITE, ResourceType.TOPIC, "t"), binding(ACLOperation.READ, ResourceType.TOPIC, "t"), binding(ACLOperation.READ, ResourceType.GROUP, "g"),
          binding(ACLOperation.CREATE, ResourceType.TOPIC, "t")]
everything = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY))
made = boss.create_acls(rights)
assert len(made["succeeded"]) == 4 and not made["failed"], made
found, error = boss.describe_acls(everything)
assert error is NoError and sorted(map(repr, found)) == sorted(map(repr, rights)), (found, error)
try:
    mallory.describe_acls(everything)
    raise SystemExit("it may")
except ClusterAuthorizationFailedError:
    pass
KafkaProducer(**own("mallory")).send("t", b"x").get(60)
reader = KafkaConsumer("t", group_id="g", auto_offset_reset="earliest", **own("mallory"))
assert next(reader).value == b"x"
reader.close()
try:
    KafkaProducer(max_block_ms=1000, **own("mallory")).send("u", b"x").get(60)
    raise SystemExit("it may")
except KafkaTimeoutError: # it says no more
    pass
deleted = boss.delete_acls([everything])
assert len(deleted[0][1]) == 4, deleted
"""
        self.run_client(PYTHON, "-c", script, self.server.address)


def has_ipv6():
    try:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True):
            return True
    except (OSError, ValueError):
        return False


@unittest.skipUnless(has_ipv6(), "there is no IPv6 here")
class BothKinds(Users):
    """A client with an IPv4 address, on a socket for both kinds of addresses, is one with an IPv4 address."""
    flags = ("--allow-remote",)

    def start(self):
        for name, password in self.users.items():
            subprocess.run([WEIR, "user", "add", name, "--data", self.data], input=password + "\n", text=True, env=environment(), check=True, capture_output=True)
        for topic, words in (("open", ("--allow",)), ("shut", ("--host", "127.0.0.1", "--deny"))):
            subprocess.run([WEIR, "topic", "create", topic, "--data", self.data], env=environment(), check=True, capture_output=True)
            self.assertEqual(acl(self.data, "add", "*", *words, "all", "--topic", "*" if topic == "open" else topic)[0], 0)
        server = Server(self.data, *self.flags, kafka="[::]:0")
        self.addCleanup(server.end)
        return server

    def test_who_and_where(self):
        wire = self.connect()
        self.assertIn("PLAIN", self.handshake(wire, "SCRAM-SHA-256")[1])     # nobody can overhear it on this machine
        wire = self.connect()
        self.assertEqual(self.log_in(wire, mechanism="PLAIN")[0], 0)
        wire.send(request(3, 1, wire_body.write("[s]", False, (None,))))
        brokers, _, topics = wire_body.read("[isis]i[hs?[hii[i][i]]]", False, wire.response()[1])
        self.assertEqual((brokers[0][1:3], [topic[1] for topic in topics]), (("127.0.0.1", self.server.port), ["open"]))


class Http(Listed):
    def start(self, **how):
        server = super().start(**how)
        line = server.process.stdout.readline()
        self.assertTrue(line.startswith("http on "), line)
        self.http = "http://" + line.split()[-1]
        return server

    def get(self, path, who="mallory", body=None):
        asked = urllib.request.Request(self.http + path, data=body)
        asked.add_header("Authorization", "Basic " + base64.b64encode(f"{who}:secret".encode()).decode())
        try:
            with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def test_rights(self):
        """Every address without rights, and with those that it needs."""
        names = self.make(1)
        self.create("zoo")
        paths = re.findall(r'"((?:GET|POST) [^"]*)"', self.get("/", "boss")[1])
        self.assertGreater(len(paths), 10)
        for line in paths:
            method, path = line.split()
            path = re.sub("{topic}", names.topic, re.sub("{group}", names.group, re.sub("{[a-z_]*}", "zoo", path)))
            with self.subTest(path=path):
                status, answer = self.get(path, body=b"SELECT * FROM zoo" if method == "POST" else None)
                self.assertNotRegex(answer, f'"(name|topic)":"({names.topic}|{names.group}|zoo)"')
                self.assertIn(status, (200, 403) if method == "GET" else (403,), answer)
                if path in ("/metrics", f"/api/v1/topics/{names.topic}", f"/api/v1/groups/{names.group}") or "/{" in line:
                    self.assertEqual(status, 403, answer)
                    self.assertRegex(answer, "mallory may not ")
        self.assertEqual(self.get(f"/api/v1/topics/{names.topic}")[1].replace(names.topic, "absent"), self.get("/api/v1/topics/absent")[1])
        self.grant(DESCRIBE, TOPIC, "zoo")
        self.assertEqual([topic["name"] for topic in json.loads(self.get("/api/v1/topics")[1])["topics"]], ["zoo"])
        self.assertNotIn("config", json.loads(self.get("/api/v1/topics/zoo")[1]))
        self.grant(DESCRIBE_CONFIGS, TOPIC, "zoo")
        self.assertIn("config", json.loads(self.get("/api/v1/topics/zoo")[1]))
        self.grant(DESCRIBE, GROUP, names.group)
        group = json.loads(self.get(f"/api/v1/groups/{names.group}")[1])
        sums = lambda group: (group["name"], group["offsets"], group["lag"])
        of_list = lambda: [sums(group) for group in json.loads(self.get("/api/v1/groups")[1])["groups"]]
        self.assertEqual((sums(group), group["partitions"], of_list()), ((names.group, 0, 0), [], [(names.group, 0, 0)])) # nor how much there is
        self.grant(DESCRIBE, TOPIC, names.topic)
        group, all_of_it = (json.loads(self.get(f"/api/v1/groups/{names.group}", who)[1]) for who in ("mallory", "boss"))
        self.assertEqual((len(group["partitions"]), group), (1, all_of_it))
        self.assertEqual((group["offsets"], of_list()), (1, [sums(group)]))
        self.grant(DESCRIBE, TOPIC, "zo", pattern=PREFIXED)
        told = lambda: json.loads(self.get("/api/v1/topics/zo")[1])["error"]
        self.assertEqual(told(), "there is no topic zo")
        self.grant(DESCRIBE, CLUSTER)
        self.assertEqual(told(), "there is no topic zo; did you mean zoo?")
        self.assertEqual(self.get("/metrics")[0], 200)
        self.assertEqual(self.get(f"/api/v1/pipelines/{names.topic}/pause", body=b"")[0], 403)
        self.grant(ALTER, CLUSTER)
        self.assertEqual(self.get(f"/api/v1/pipelines/{names.topic}/pause", body=b"")[0], 404)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


if __name__ == "__main__":
    unittest.main()
