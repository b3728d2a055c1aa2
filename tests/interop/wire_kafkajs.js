// wire_kafkajs.js: what kafkajs does with a server, for wire_clients.py. Modules come from NODE_PATH.
//
//   node wire_kafkajs.js HOST:PORT GUARDED_HOST:PORT       the second server asks who one is
//   node wire_kafkajs.js HOST:PORT member GROUP TOPIC      a member of a group until SIGTERM; what it does and prints is said in wire_clients.py
//
// The first thing that is not as it should be ends it with an error.
const assert = require("assert");
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require("kafkajs");
const lz4 = require("lz4js");
const zstd = require("@bokuweb/zstd-wasm");
CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");
CompressionCodecs[CompressionTypes.LZ4] = () => ({ compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)), decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)) });
CompressionCodecs[CompressionTypes.ZSTD] = () => ({ compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer, 3)), decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)) });
const LIMIT_MS = 120000;
const TIME = 1700000000000;
const USER = "alice", PASSWORD = "a good secret";
const kafka = new Kafka({ brokers: [process.argv[2]], clientId: "kafkajs-test", logLevel: logLevel.NOTHING, retry: { retries: 20 } });
let checks = 0;

function same(got, expected, what) {
    assert.deepStrictEqual(got, expected, what);
    checks++;
}

async function until(condition, what) {
    const deadline = Date.now() + LIMIT_MS;
    while (!(await condition())) {
        assert(Date.now() < deadline, what + " did not happen");
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    checks++;
}

// A consumer of a group that notes what it reads and how many partitions it has.
async function member(groupId, topic, seen, from) {
    const consumer = kafka.consumer({ groupId, heartbeatInterval: 500, sessionTimeout: 30000 });
    const state = { consumer, assigned: 0 };
    consumer.on(consumer.events.GROUP_JOIN, (event) => (state.assigned = (event.payload.memberAssignment[topic] || []).length));
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
        eachMessage: async ({ partition, message }) => {
            seen.set(partition + ":" + message.offset, { key: message.key && message.key.toString(), size: message.value && message.value.length, timestamp: message.timestamp,
                n: message.headers.n && message.headers.n.toString() });
        },
    });
    if (from !== undefined) consumer.seek({ topic, partition: 0, offset: String(from) });
    return state;
}

async function records(producer) {
    for (const [name, compression] of [["none", CompressionTypes.None], ["gzip", CompressionTypes.GZIP], ["snappy", CompressionTypes.Snappy], ["lz4", CompressionTypes.LZ4],
        ["zstd", CompressionTypes.ZSTD]]) {
        const topic = "js-" + name;
        const messages = [];
        for (let n = 0; n < 500; n++)
            messages.push({ key: n % 3 ? "key-" + n : null, value: n % 6 == 1 ? null : Buffer.alloc(n % 300, 97 + (n % 7)), headers: n % 5 ? {} : { n: String(n) }, partition: 0,
                timestamp: String(TIME + n) });
        messages.push({ key: null, value: Buffer.alloc(900000), partition: 0, timestamp: String(TIME + 500) });
        await producer.send({ topic, compression, messages, acks: -1 });
        const seen = new Map();
        const one = await member("js-" + name, topic, seen);
        await until(() => seen.size >= messages.length, "reading " + topic);
        await one.consumer.disconnect();
        messages.forEach((message, n) =>
            same(seen.get("0:" + n), { key: message.key, size: message.value && message.value.length, timestamp: message.timestamp, n: message.headers && message.headers.n },
                "record " + n + " of " + topic));
    }
}

async function group(producer, admin) {
    const topic = "js-group", seen = new Map(), members = [];
    let sent = 0;
    await admin.createTopics({ topics: [{ topic, numPartitions: 6 }] });
    for (const step of [1, 2, 3, 2, 1]) {
        while (members.length < step) members.push(await member("js-readers", topic, seen));
        while (members.length > step) await members.shift().consumer.disconnect();
        await until(() => members.every((m) => m.assigned == 6 / step), step + " members share 6 partitions");
        await producer.send({ topic, messages: Array.from({ length: 60 }, (_, n) => ({ value: "v" + n, partition: n % 6 })) });
        sent += 60;
        await until(() => seen.size == sent, step + " members have read everything");
    }
    const described = await admin.describeGroups(["js-readers"]);
    same([described.groups[0].state, described.groups[0].members.length], ["Stable", 1], "the group");
    await members[0].consumer.disconnect();
    const offsets = await admin.fetchOffsets({ groupId: "js-readers", topics: [topic] });
    same(offsets[0].partitions.reduce((sum, p) => sum + Number(p.offset), 0), sent, "committed offsets");
    await admin.setOffsets({ groupId: "js-readers", topic, partitions: [{ partition: 0, offset: "3" }] });
    assert((await admin.listGroups()).groups.some((g) => g.groupId == "js-readers"));
    await admin.deleteGroups(["js-readers"]);
    assert(!(await admin.listGroups()).groups.some((g) => g.groupId == "js-readers"));
}

async function administer(admin) {
    same((await admin.fetchTopicOffsetsByTimestamp("js-none", TIME + 77)).map((p) => p.offset), ["77"], "offsets by time");
    const seen = new Map();
    const one = await member("js-seek", "js-none", seen, 490);
    await until(() => seen.has("0:500"), "reading from an offset");
    await one.consumer.disconnect();
    await admin.createPartitions({ topicPartitions: [{ topic: "js-none", count: 3 }] });
    same((await admin.fetchTopicMetadata({ topics: ["js-none"] })).topics[0].partitions.length, 3, "more partitions");
    const resource = { type: ConfigResourceTypes.TOPIC, name: "js-none" };
    await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: "retention.ms", value: "86400000" }] }] });
    const configs = await admin.describeConfigs({ resources: [{ ...resource, configNames: ["retention.ms"] }] });
    same(configs.resources[0].configEntries.map((e) => e.configName + "=" + e.configValue), ["retention.ms=86400000"], "configs");
    await admin.deleteTopicRecords({ topic: "js-none", partitions: [{ partition: 0, offset: "100" }] });
    same((await admin.fetchTopicOffsets("js-none")).find((p) => p.partition == 0).low, "100", "the first offset after deleteTopicRecords");
    same((await admin.describeCluster()).brokers.length, 1, "brokers");
    await assert.rejects(admin.fetchTopicMetadata({ topics: ["no topic"] }));
    await admin.deleteTopics({ topics: ["js-gzip"] });
    assert(!(await admin.listTopics()).includes("js-gzip"));
}

// A batch is 61 bytes; a record of it without a key has 3 of length, attributes, time, offset and key with 1 each, 3 of its value's length, 1 of headers.
async function sizes(admin) {
    const producer = kafka.producer({ retry: { retries: 1 } });
    await producer.connect();
    const topic = "js-sizes", most = 100000 - 61 - 3 - 4 - 3 - 1;
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries: [{ name: "max.message.bytes", value: "100000" }] }] });
    await producer.send({ topic, messages: [{ value: Buffer.alloc(most) }] });
    await assert.rejects(producer.send({ topic, messages: [{ value: Buffer.alloc(most + 1) }] }), { type: "MESSAGE_TOO_LARGE" });
    same((await admin.fetchTopicOffsets(topic))[0].high, "1", "records of a size that is taken");
    await producer.disconnect();
}

// The values of a topic's one partition: committed ones, or all.
async function values(topic, count, readUncommitted) {
    const consumer = kafka.consumer({ groupId: topic + readUncommitted + count, readUncommitted }), got = [];
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({ eachMessage: async ({ message }) => got.push(message.value.toString()) });
    await until(() => got.length >= count, "reading " + topic);
    await consumer.disconnect();
    return got;
}

async function transaction(transactionalId, topic, commit, written, offsets) {
    const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    const open = await producer.transaction();
    await open.send({ topic, messages: written.map((value) => ({ value })) });
    if (offsets) await open.sendOffsets(offsets);
    await (commit ? open.commit() : open.abort());
    await producer.disconnect();
}

async function fenced(topic) {
    const first = kafka.producer({ transactionalId: "js-fenced", idempotent: true, maxInFlightRequests: 1, retry: { retries: 1 } });
    await first.connect();
    const open = await first.transaction();
    await open.send({ topic, messages: [{ value: "never committed" }] });
    await transaction("js-fenced", topic, true, ["e"]);
    await assert.rejects(open.commit(), (error) => /FENCED|EPOCH/.test(error.type));
    await first.disconnect();
}

async function transactions(admin) {
    const topic = "js-txn";
    await admin.createTopics({ topics: [{ topic }, { topic: "js-moved" }] });
    await transaction("js-writer", topic, true, ["a", "b"]);
    await transaction("js-writer", topic, false, ["c"]);
    await transaction("js-other", topic, true, ["d"]);
    same(await values(topic, 3, false), ["a", "b", "d"], "what was committed");
    same(await values(topic, 4, true), ["a", "b", "c", "d"], "what was written");
    await fenced(topic);
    same(await values(topic, 4, false), ["a", "b", "d", "e"], "what the fenced one wrote does not count");
    const at = (offset) => ({ consumerGroupId: "js-movers", topics: [{ topic, partitions: [{ partition: 0, offset }] }] });
    await transaction("js-mover", "js-moved", true, ["1"], at("3"));
    await transaction("js-mover", "js-moved", false, ["2"], at("7"));
    same((await admin.fetchOffsets({ groupId: "js-movers", topics: [topic] }))[0].partitions[0].offset, "3", "the offset that was committed in a transaction");
}

async function passwords(guarded) {
    const as = (mechanism, password) => new Kafka({ brokers: [guarded], logLevel: logLevel.NOTHING, retry: { retries: 0 }, sasl: { mechanism, username: USER, password } });
    for (const mechanism of ["plain", "scram-sha-256", "scram-sha-512"]) {
        const topic = "js-" + mechanism, admin = as(mechanism, PASSWORD).admin(), producer = as(mechanism, PASSWORD).producer();
        await Promise.all([admin.connect(), producer.connect()]);
        await admin.createTopics({ topics: [{ topic }] });
        await producer.send({ topic, messages: [{ value: "said by alice" }] });
        same((await admin.fetchTopicOffsets(topic))[0].high, "1", "a user's record by " + mechanism);
        await Promise.all([admin.disconnect(), producer.disconnect()]);
        await assert.rejects(as(mechanism, "a guess").admin().connect(), { name: "KafkaJSSASLAuthenticationError" });
    }
}

async function memberProcess(groupId, topic) {
    const consumer = kafka.consumer({ groupId, heartbeatInterval: 500, sessionTimeout: 6000 }), producer = kafka.producer();
    let has = [], written = Promise.resolve();
    consumer.on(consumer.events.GROUP_JOIN, (event) => {
        const now = event.payload.memberAssignment[topic] || [];
        console.log("has " + now.length);
        const messages = now.filter((p) => !has.includes(p)).flatMap((partition) => Array.from({ length: 10 }, (_, n) => ({ value: "v" + n, partition })));
        has = now;
        written = written.then(() => producer.send({ topic, messages })).then((sent) =>
            sent.forEach((batch) => Array.from({ length: 10 }, (_, n) => console.log("sent " + batch.partition + " " + (Number(batch.baseOffset) + n)))));
    });
    process.on("SIGTERM", async () => {
        await consumer.disconnect();
        await written;
        await producer.disconnect();
        process.exit(0);
    });
    await Promise.all([consumer.connect(), producer.connect()]);
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({ eachMessage: async ({ partition, message }) => console.log("read " + partition + " " + message.offset) });
}

async function main() {
    if (process.argv[3] == "member") return memberProcess(process.argv[4], process.argv[5]);
    await zstd.init();
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
    const admin = kafka.admin();
    await Promise.all([producer.connect(), admin.connect()]);
    await records(producer);
    await sizes(admin);
    await transactions(admin);
    await group(producer, admin);
    await administer(admin);
    await passwords(process.argv[3]);
    await Promise.all([producer.disconnect(), admin.disconnect()]);
    console.log("kafkajs: " + checks + " checks");
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
