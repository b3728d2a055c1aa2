// wire_kafkajs.js: what kafkajs does with a server, for wire_clients.py: node wire_kafkajs.js HOST:PORT. Modules come from NODE_PATH. The first thing that is not as it should be
// ends it with an error.
const assert = require("assert");
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require("kafkajs");
CompressionCodecs[CompressionTypes.Snappy] = require("kafkajs-snappy");
const LIMIT_MS = 120000;
const TIME = 1700000000000;
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
    for (const [name, compression] of [["none", CompressionTypes.None], ["gzip", CompressionTypes.GZIP], ["snappy", CompressionTypes.Snappy]]) {
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

async function main() {
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
    const admin = kafka.admin();
    await Promise.all([producer.connect(), admin.connect()]);
    await records(producer);
    await group(producer, admin);
    await administer(admin);
    await Promise.all([producer.disconnect(), admin.disconnect()]);
    console.log("kafkajs: " + checks + " checks");
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
