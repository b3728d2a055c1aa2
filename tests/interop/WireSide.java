// WireSide.java: what Apache Kafka's Java clients do with a server, for wire_clients.py.
//
//   WireSide HOST:PORT GUARDED_HOST:PORT PART…   parts in one process:
//   records       producers in every codec, with and without keys, headers, sizes at the limit; consumers that find it all, seek, and look for times
//   groups        three members of a group that join and leave one after another; commits, which the next owner goes on from
//   admin         every call of Admin that is about topics, configs, records and groups
//   statics       members with ids of their own: WireMembers.java
//   transactions  committed, aborted, fenced, with offsets of groups: WireTransactions.java
//   passwords     right and wrong ones, of users of the second server
//   WireSide HOST:PORT member GROUP TOPIC   a member of a group until it is told to end
//
// Each part checks what it sees against what it did and prints one line at its end; the first thing that is not as it should be ends it with an exception.

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.config.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

public class WireSide {
    static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};
    static final Duration POLL = Duration.ofMillis(200);
    static final int LIMIT_S = 120;
    static String bootstrap;
    static int checks;

    static void check(boolean condition, String what) throws Exception {
        if (!condition) throw new Exception(what);
        checks++;
    }

    static void same(Object got, Object expected, String what) throws Exception {
        check(Objects.equals(got, expected), what + ": " + got + " instead of " + expected);
    }

    static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(LIMIT_S, TimeUnit.SECONDS);
    }

    // The error that a call must end with.
    static void fails(Future<?> future, Class<?> error, String what) throws Exception {
        try {
            future.get(LIMIT_S, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            check(error.isInstance(e.getCause()), what + " fails with " + e.getCause());
            check(e.getCause().getMessage() != null, what + " says nothing");
            return;
        }
        throw new Exception(what + " does not fail");
    }

    static Map<String, Object> config(Object... pairs) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < pairs.length; i += 2) config.put((String) pairs[i], pairs[i + 1]);
        return config;
    }

    static Producer<byte[], byte[]> producer(Object... pairs) {
        return new KafkaProducer<>(config(pairs), new ByteArraySerializer(), new ByteArraySerializer());
    }

    static Consumer<byte[], byte[]> consumer(Object... pairs) {
        return new KafkaConsumer<>(config(pairs), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    static Admin admin() {
        return Admin.create(config("default.api.timeout.ms", 1000 * LIMIT_S));
    }

    static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }

    static List<TopicPartition> partitions(String topic, int count) {
        return IntStream.range(0, count).mapToObj(i -> new TopicPartition(topic, i)).collect(Collectors.toList());
    }

    // Everything between the start and the end of the partitions, by partition.
    static Map<Integer, List<ConsumerRecord<byte[], byte[]>>> readAll(String topic, int count, Object... pairs) {
        Map<Integer, List<ConsumerRecord<byte[], byte[]>>> all = new TreeMap<>();
        try (Consumer<byte[], byte[]> consumer = consumer(pairs)) {
            List<TopicPartition> partitions = partitions(topic, count);
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p)))
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(POLL)) all.computeIfAbsent(r.partition(), i -> new ArrayList<>()).add(r);
        }
        return all;
    }

    // ---- records ----

    // What a record says about itself, so that it can be compared after a journey.
    static String view(byte[] key, byte[] value, long timestamp, Iterable<org.apache.kafka.common.header.Header> headers) {
        StringBuilder all = new StringBuilder(text(key) + "=" + (value == null ? null : value.length + "/" + Arrays.hashCode(value)) + "@" + timestamp);
        headers.forEach(h -> all.append(" " + h.key() + ":" + text(h.value())));
        return all.toString();
    }

    static ProducerRecord<byte[], byte[]> draw(String topic, int n, Random random) {
        byte[] value = n % 17 == 0 ? null : new byte[random.nextInt(n % 101 == 0 ? 60000 : 300)];
        for (int i = 0; value != null && i < value.length; i++) value[i] = (byte) (n % 2 == 0 ? random.nextInt(256) : 'a' + i % 7);
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, null, 1700000000000L + n, n % 3 == 0 ? null : bytes("key-" + n % 97), value);
        if (n % 5 == 0) record.headers().add("number", bytes("" + n)).add("nothing", null).add("number", bytes("again"));
        return record;
    }

    static void records(String codec) throws Exception {
        String topic = "java-" + codec;
        int count = 3000, partitions = 3;
        Random random = new Random(codec.hashCode());
        Map<Integer, Map<Long, String>> sent = new TreeMap<>();
        try (Admin admin = admin()) {
            get(admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all());
        }
        try (Producer<byte[], byte[]> producer = producer("compression.type", codec, "linger.ms", 5)) { // idempotent, acks=all: the defaults
            List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
            List<Future<RecordMetadata>> answers = new ArrayList<>();
            for (int n = 0; n < count; n++) {
                records.add(draw(topic, n, random));
                answers.add(producer.send(records.get(n)));
            }
            producer.flush();
            for (int n = 0; n < count; n++) {
                RecordMetadata at = answers.get(n).get(LIMIT_S, TimeUnit.SECONDS);
                ProducerRecord<byte[], byte[]> r = records.get(n);
                sent.computeIfAbsent(at.partition(), i -> new TreeMap<>()).put(at.offset(), view(r.key(), r.value(), r.timestamp(), r.headers()));
            }
        }
        Map<Integer, Map<Long, String>> got = new TreeMap<>();
        readAll(topic, partitions).forEach((partition, list) -> list.forEach(
            r -> got.computeIfAbsent(partition, i -> new TreeMap<>()).put(r.offset(), view(r.key(), r.value(), r.timestamp(), r.headers()))));
        same(got, sent, "records in " + codec);
        same(sent.values().stream().mapToInt(Map::size).sum(), count, "records in " + codec + " have offsets of their own");
    }

    static void acks() throws Exception {
        for (String acks : new String[] {"0", "1", "all"})
            try (Producer<byte[], byte[]> producer = producer("acks", acks, "enable.idempotence", false)) {
                for (int i = 0; i < 100; i++) producer.send(new ProducerRecord<>("java-acks", bytes(acks + i)));
                producer.flush();
            }
        long end = 0;
        while (end < 300) // acks=0 says nothing: it comes when it comes
            end = readAll("java-acks", 1).getOrDefault(0, List.of()).size();
        same(end, 300L, "records with acks 0, 1 and all");
    }

    static void sizes() throws Exception {
        try (Admin admin = admin()) {
            get(admin.createTopics(List.of(new NewTopic("java-sizes", 1, (short) 1).configs(Map.of("max.message.bytes", "100000")),
                                           new NewTopic("java-large", 1, (short) 1))).all());
        }
        // A batch is 61 bytes, a record of it without key: length 3, attributes, time, offset, key 1 each, value's length 3, headers 1.
        int most = 100000 - 61 - 3 - 4 - 3 - 1;
        try (Producer<byte[], byte[]> producer = producer("max.request.size", 20 << 20, "buffer.memory", 64L << 20)) {
            producer.send(new ProducerRecord<>("java-sizes", new byte[most])).get(LIMIT_S, TimeUnit.SECONDS);
            fails(producer.send(new ProducerRecord<>("java-sizes", new byte[most + 1])), RecordTooLargeException.class, "a batch of one byte too many");
            producer.send(new ProducerRecord<>("java-sizes", new byte[0])).get(LIMIT_S, TimeUnit.SECONDS);
            producer.send(new ProducerRecord<>("java-large", new byte[16 << 20])).get(LIMIT_S, TimeUnit.SECONDS);
        }
        List<Integer> got = readAll("java-sizes", 1).get(0).stream().map(r -> r.value().length).collect(Collectors.toList());
        same(got, List.of(most, 0), "sizes");
        same(readAll("java-large", 1, "fetch.max.bytes", 1000, "max.partition.fetch.bytes", 1000).get(0).get(0).value().length, 16 << 20,
             "a value of 16 MiB, whatever the consumer's limits");
    }

    static void missingTopics() throws Exception {
        try (Consumer<byte[], byte[]> consumer = consumer("allow.auto.create.topics", false, "default.api.timeout.ms", 3000)) {
            check(!consumer.listTopics().containsKey("java-missing"), "a topic that nobody made");
            boolean failed = false;
            try {
                consumer.endOffsets(partitions("java-missing", 1));
            } catch (org.apache.kafka.common.errors.TimeoutException | UnknownTopicOrPartitionException e) {
                failed = true;
            }
            check(failed, "a missing topic has an end");
        }
        try (Producer<byte[], byte[]> producer = producer()) {
            same(producer.send(new ProducerRecord<>("java-made", bytes("x"))).get(LIMIT_S, TimeUnit.SECONDS).offset(), 0L, "a missing topic is made");
            boolean failed = false;
            try {
                producer.send(new ProducerRecord<>("no topic", bytes("x"))).get(LIMIT_S, TimeUnit.SECONDS);
            } catch (ExecutionException e) {
                failed = e.getCause() instanceof InvalidTopicException;
            }
            check(failed, "a name that no topic can have");
        }
    }

    // Offsets by position and by time: record n of java-none-like topics has the time 1700000000000 + n.
    static void seeks() throws Exception {
        try (Producer<byte[], byte[]> producer = producer("linger.ms", 20, "batch.size", 500)) {
            for (int n = 0; n < 1000; n++) producer.send(new ProducerRecord<>("java-seeks", 0, 1000000L + 10 * n, null, bytes("" + n)));
            producer.flush();
        }
        TopicPartition place = new TopicPartition("java-seeks", 0);
        try (Consumer<byte[], byte[]> consumer = consumer()) {
            consumer.assign(List.of(place));
            for (long n : new long[] {0, 1, 499, 998, 3}) {
                consumer.seek(place, n);
                same(text(next(consumer).value()), "" + n, "the record at offset " + n);
            }
            for (long n : new long[] {0, 7, 999}) {
                OffsetAndTimestamp at = consumer.offsetsForTimes(Map.of(place, 1000000L + 10 * n - 3)).get(place);
                same(at.offset() + "@" + at.timestamp(), n + "@" + (1000000L + 10 * n), "the record at a time");
            }
            same(consumer.offsetsForTimes(Map.of(place, 2000000L)).get(place), null, "a time after all records");
            consumer.seekToEnd(List.of(place));
            same(consumer.position(place), 1000L, "the end");
            consumer.seekToBeginning(List.of(place));
            same(consumer.position(place), 0L, "the beginning");
            same(consumer.beginningOffsets(List.of(place)).get(place), 0L, "the first offset");
        }
    }

    static ConsumerRecord<byte[], byte[]> next(Consumer<byte[], byte[]> consumer) throws Exception {
        long deadline = System.nanoTime() + LIMIT_S * 1000000000L;
        while (System.nanoTime() < deadline)
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(POLL)) return record;
        throw new Exception("no record came");
    }

    // ---- groups ----

    static class Member extends Thread {
        final Consumer<byte[], byte[]> consumer;
        final Set<String> seen;
        volatile int assigned, generation;
        volatile boolean ends;
        volatile Exception failure;

        Member(String group, String topic, Set<String> seen, Object... more) {
            List<Object> pairs = new ArrayList<>(List.of("group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", false,
                "heartbeat.interval.ms", 500, "session.timeout.ms", 45000));
            pairs.addAll(List.of(more));
            consumer = consumer(pairs.toArray());
            this.seen = seen;
            consumer.subscribe(List.of(topic));
        }

        public void run() {
            try (consumer) {
                while (!ends) {
                    for (ConsumerRecord<byte[], byte[]> r : consumer.poll(POLL)) seen.add(r.partition() + ":" + r.offset() + ":" + text(r.value()));
                    try {
                        consumer.commitSync();
                    } catch (RebalanceInProgressException | CommitFailedException e) {
                        continue; // what is not committed comes again, here or elsewhere
                    }
                    generation = consumer.groupMetadata().generationId();
                    assigned = consumer.assignment().size();
                }
            } catch (Exception e) {
                failure = e;
            }
        }
    }

    interface Condition {
        boolean holds() throws Exception;
    }

    static void until(List<Member> members, Condition condition, String what) throws Exception {
        long deadline = System.nanoTime() + LIMIT_S * 1000000000L;
        while (!condition.holds()) {
            for (Member member : members)
                if (member.failure != null) throw member.failure;
            check(System.nanoTime() < deadline, what + " did not happen");
            Thread.sleep(20);
        }
        checks++;
    }

    static boolean share(List<Member> members, int... counts) {
        return IntStream.range(0, counts.length).allMatch(i -> members.get(i).assigned == counts[i]);
    }

    static void group(String name, Object... more) throws Exception {
        String topic = "java-group-" + name, group = "readers-" + name;
        Set<String> seen = ConcurrentHashMap.newKeySet(), sent = new HashSet<>();
        List<Member> members = new ArrayList<>();
        try (Admin admin = admin(); Producer<byte[], byte[]> producer = producer()) {
            get(admin.createTopics(List.of(new NewTopic(topic, 6, (short) 1))).all());
            for (int[] step : new int[][] {{1, 6}, {2, 3, 3}, {3, 2, 2, 2}, {2, 3, 3}, {1, 6}}) {
                while (members.size() < step[0]) {
                    members.add(new Member(group, topic, seen, more));
                    members.get(members.size() - 1).start();
                }
                while (members.size() > step[0]) {
                    Member last = members.remove(0); // the one that has been there longest: the leader goes, too
                    last.ends = true;
                    last.join();
                    if (last.failure != null) throw last.failure;
                }
                int[] shares = Arrays.copyOfRange(step, 1, step.length);
                until(members, () -> share(members, shares), "members with " + Arrays.toString(shares) + " partitions");
                for (int n = 0; n < 300; n++) {
                    String value = step[0] + "-" + members.size() + "-" + n + "-" + sent.size();
                    RecordMetadata at = producer.send(new ProducerRecord<>(topic, n % 6, null, bytes(value))).get(LIMIT_S, TimeUnit.SECONDS);
                    sent.add(at.partition() + ":" + at.offset() + ":" + value);
                }
                until(members, () -> seen.containsAll(sent), "all records read by " + step[0]);
            }
            same(seen, sent, "what the group has read");
            ConsumerGroupDescription described = get(admin.describeConsumerGroups(List.of(group)).all()).get(group);
            same(described.members().size(), 1, "members of the group");
            same(described.members().iterator().next().assignment().topicPartitions(), new HashSet<>(partitions(topic, 6)), "what the member has");
            same(described.coordinator().id(), 0, "the coordinator");
            fails(admin.deleteConsumerGroups(List.of(group)).all(), GroupNotEmptyException.class, "deleting a group with a member");
            fails(admin.alterConsumerGroupOffsets(group, Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1))).all(), KafkaException.class,
                  "offsets of a group with a member");
            fails(admin.deleteConsumerGroupOffsets(group, Set.of(new TopicPartition(topic, 0))).all(), GroupSubscribedToTopicException.class,
                  "forgetting the offsets of a topic that is read");
            members.get(0).ends = true;
            members.get(0).join();
            Map<TopicPartition, OffsetAndMetadata> committed = get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
            same(committed.values().stream().mapToLong(OffsetAndMetadata::offset).sum(), (long) sent.size(), "committed offsets");
            same(get(admin.describeConsumerGroups(List.of(group)).all()).get(group).members().size(), 0, "members after the end");
        }
    }

    // ---- administration ----

    static Map<String, ConfigEntry> configs(Admin admin, ConfigResource resource) throws Exception {
        Map<String, ConfigEntry> entries = new TreeMap<>();
        DescribeConfigsOptions options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        for (ConfigEntry entry : get(admin.describeConfigs(List.of(resource), options).all()).get(resource).entries()) entries.put(entry.name(), entry);
        return entries;
    }

    static AlterConfigOp op(String key, String value, AlterConfigOp.OpType type) {
        return new AlterConfigOp(new ConfigEntry(key, value), type);
    }

    static void alter(Admin admin, ConfigResource resource, AlterConfigOp... ops) throws Exception {
        get(admin.incrementalAlterConfigs(Map.of(resource, List.of(ops))).all());
    }

    static void topics(Admin admin) throws Exception {
        CreateTopicsResult made = admin.createTopics(List.of(new NewTopic("admin-a", 3, (short) 1).configs(Map.of("retention.ms", "1000000")),
            new NewTopic("admin-b", Optional.empty(), Optional.empty()), new NewTopic("admin-c", Map.of(0, List.of(0), 1, List.of(0)))));
        get(made.all());
        same(get(made.numPartitions("admin-a")) + "," + get(made.numPartitions("admin-b")) + "," + get(made.numPartitions("admin-c")), "3,1,2", "partitions");
        same(get(made.replicationFactor("admin-a")), 1, "replicas");
        same(get(made.config("admin-a")).get("retention.ms").value(), "1000000", "a config of a new topic");
        fails(admin.createTopics(List.of(new NewTopic("admin-a", 1, (short) 1))).all(), TopicExistsException.class, "a topic that is there");
        fails(admin.createTopics(List.of(new NewTopic("admin-d", 1, (short) 3))).all(), InvalidReplicationFactorException.class, "three replicas");
        get(admin.createTopics(List.of(new NewTopic("admin-d", 1, (short) 1)), new CreateTopicsOptions().validateOnly(true)).all());
        Set<String> names = get(admin.listTopics().names());
        check(names.containsAll(Set.of("admin-a", "admin-b", "admin-c")) && !names.contains("admin-d"), "listTopics: " + names);
        Map<String, TopicDescription> described = get(admin.describeTopics(List.of("admin-a", "admin-c"),
            new DescribeTopicsOptions().includeAuthorizedOperations(true)).allTopicNames());
        same(described.get("admin-a").partitions().size(), 3, "partitions of admin-a");
        same(described.get("admin-a").partitions().get(2).leader().id(), 0, "the leader");
        check(described.get("admin-a").authorizedOperations().size() > 4, "operations on a topic");
        Uuid id = get(made.topicId("admin-a"));
        same(described.get("admin-a").topicId(), id, "the topic's id");
        same(get(admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds()).get(id).name(), "admin-a", "a topic by its id");
        fails(admin.describeTopics(List.of("admin-d")).allTopicNames(), UnknownTopicOrPartitionException.class, "a missing topic");
        get(admin.createPartitions(Map.of("admin-a", NewPartitions.increaseTo(5), "admin-b", NewPartitions.increaseTo(2, List.of(List.of(0))))).all());
        same(get(admin.describeTopics(List.of("admin-a")).allTopicNames()).get("admin-a").partitions().size(), 5, "more partitions");
        fails(admin.createPartitions(Map.of("admin-a", NewPartitions.increaseTo(5))).all(), InvalidPartitionsException.class, "as many partitions");
        fails(admin.createPartitions(Map.of("admin-d", NewPartitions.increaseTo(5))).all(), UnknownTopicOrPartitionException.class, "partitions of none");
        same(get(admin.listPartitionReassignments().reassignments()).size(), 0, "reassignments");
        get(admin.electLeaders(ElectionType.PREFERRED, null).all());
        fails(get(admin.electLeaders(ElectionType.PREFERRED, Set.of(new TopicPartition("admin-a", 0))).partitions()).values().iterator().next()
            .map(CompletableFuture::failedFuture).orElse(CompletableFuture.completedFuture(null)), ElectionNotNeededException.class, "an election");
    }

    static void cluster(Admin admin) throws Exception {
        DescribeClusterResult cluster = admin.describeCluster(new DescribeClusterOptions().includeAuthorizedOperations(true));
        same(get(cluster.nodes()).size(), 1, "brokers");
        same(get(cluster.controller()).host() + ":" + get(cluster.controller()).port(), bootstrap, "the controller");
        same(get(cluster.clusterId()).length(), 22, "the cluster's id");
        check(get(cluster.authorizedOperations()).size() > 4, "operations on the cluster");
        Map<String, LogDirDescription> directories = get(admin.describeLogDirs(List.of(0)).allDescriptions()).get(0);
        LogDirDescription directory = directories.values().iterator().next();
        check(directory.replicaInfos().containsKey(new TopicPartition("admin-a", 4)), "log directories: " + directories);
        check(directory.usableBytes().orElse(0) > 0 && directory.totalBytes().orElse(0) > directory.usableBytes().orElse(0), "the disk: " + directory);
        same(get(admin.describeClientQuotas(org.apache.kafka.common.quota.ClientQuotaFilter.all()).entities()).size(), 0, "quotas");
    }

    static void configs(Admin admin) throws Exception {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, "admin-a");
        Map<String, ConfigEntry> before = configs(admin, topic);
        ConfigEntry retention = before.get("retention.ms");
        same(retention.value() + " " + retention.source() + " " + retention.type(), "1000000 DYNAMIC_TOPIC_CONFIG LONG", "a config that was set");
        same(retention.synonyms().stream().map(s -> s.value() + " " + s.source()).collect(Collectors.toList()),
             List.of("1000000 DYNAMIC_TOPIC_CONFIG", "604800000 DEFAULT_CONFIG"), "where it could come from");
        check(retention.documentation().length() > 20, "its documentation");
        same(before.get("cleanup.policy").value() + before.get("cleanup.policy").source() + before.get("cleanup.policy").type(), "deleteDEFAULT_CONFIGLIST",
             "a default");
        alter(admin, topic, op("retention.ms", null, AlterConfigOp.OpType.DELETE), op("cleanup.policy", "compact", AlterConfigOp.OpType.APPEND),
              op("segment.bytes", "1048576", AlterConfigOp.OpType.SET));
        Map<String, ConfigEntry> after = configs(admin, topic);
        same(after.get("retention.ms").value() + after.get("cleanup.policy").value() + after.get("segment.bytes").value(), "604800000delete,compact1048576",
             "altered configs");
        alter(admin, topic, op("cleanup.policy", "delete", AlterConfigOp.OpType.SUBTRACT));
        same(configs(admin, topic).get("cleanup.policy").value(), "compact", "a word less");
        alter(admin, topic, op("cleanup.policy", null, AlterConfigOp.OpType.DELETE));
        fails(admin.incrementalAlterConfigs(Map.of(topic, List.of(op("retention.ms", "soon", AlterConfigOp.OpType.SET)))).all(),
              InvalidConfigurationException.class, "a number that is none");
        fails(admin.incrementalAlterConfigs(Map.of(topic, List.of(op("retention.ms", "1", AlterConfigOp.OpType.APPEND)))).all(),
              InvalidConfigurationException.class, "a word for what is no list");
        get(admin.incrementalAlterConfigs(Map.of(topic, List.of(op("retention.ms", "1", AlterConfigOp.OpType.SET))),
            new AlterConfigsOptions().validateOnly(true)).all());
        same(configs(admin, topic).get("retention.ms").value(), "604800000", "a change that was only looked at");
        ConfigResource missing = new ConfigResource(ConfigResource.Type.TOPIC, "admin-d");
        fails(admin.describeConfigs(List.of(missing)).all(), UnknownTopicOrPartitionException.class, "configs of a missing topic");
        fails(admin.incrementalAlterConfigs(Map.of(missing, List.of(op("retention.ms", "1", AlterConfigOp.OpType.SET)))).all(),
              UnknownTopicOrPartitionException.class, "altering a missing topic");
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "0");
        same(configs(admin, broker).get("default.replication.factor").value(), "1", "a config of the broker");
        fails(admin.incrementalAlterConfigs(Map.of(broker, List.of(op("num.partitions", "3", AlterConfigOp.OpType.SET)))).all(),
              InvalidRequestException.class, "altering the broker");
    }

    static long offset(Admin admin, TopicPartition place, OffsetSpec spec) throws Exception {
        return get(admin.listOffsets(Map.of(place, spec)).all()).get(place).offset();
    }

    static void recordsGo(Admin admin) throws Exception {
        TopicPartition place = new TopicPartition("admin-b", 0);
        try (Producer<byte[], byte[]> producer = producer()) {
            for (int n = 0; n < 100; n++) producer.send(new ProducerRecord<>("admin-b", 0, 5000L + n, null, bytes("" + n)));
            producer.flush();
        }
        same(offset(admin, place, OffsetSpec.earliest()) + "," + offset(admin, place, OffsetSpec.latest()) + "," + offset(admin, place, OffsetSpec.maxTimestamp())
             + "," + offset(admin, place, OffsetSpec.forTimestamp(5042)) + "," + offset(admin, place, OffsetSpec.forTimestamp(6000)), "0,100,99,42,-1", "offsets");
        same(get(admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(40))).lowWatermarks().get(place)).lowWatermark(), 40L, "the new beginning");
        same(get(admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(30))).lowWatermarks().get(place)).lowWatermark(), 40L, "the beginning, again");
        fails(admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(101))).all(), org.apache.kafka.common.errors.OffsetOutOfRangeException.class, "records that there are not");
        fails(admin.deleteRecords(Map.of(new TopicPartition("admin-d", 0), RecordsToDelete.beforeOffset(1)), new DeleteRecordsOptions().timeoutMs(2000)).all(), KafkaException.class,
              "records of a missing topic");
        same(text(readAll("admin-b", 1).get(0).get(0).value()), "40", "the first record");
        same(offset(admin, place, OffsetSpec.earliest()), 40L, "the first offset");
        get(admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(-1))).all());
        same(offset(admin, place, OffsetSpec.earliest()), 100L, "all records gone");
        check(get(admin.describeProducers(List.of(place)).all()).get(place).activeProducers().size() == 1, "the producer that wrote them");
    }

    static void groups(Admin admin) throws Exception {
        TopicPartition first = new TopicPartition("admin-a", 0), second = new TopicPartition("admin-a", 1);
        get(admin.alterConsumerGroupOffsets("admin-group", Map.of(first, new OffsetAndMetadata(7, "seven"), second, new OffsetAndMetadata(8))).all());
        Map<TopicPartition, OffsetAndMetadata> offsets = get(admin.listConsumerGroupOffsets("admin-group").partitionsToOffsetAndMetadata());
        same(offsets.get(first).offset() + offsets.get(first).metadata() + offsets.get(second).offset(), "7seven8", "offsets of a group");
        Map<String, ConsumerGroupListing> listed = new TreeMap<>();
        for (ConsumerGroupListing group : get(admin.listConsumerGroups().all())) listed.put(group.groupId(), group);
        check(listed.containsKey("admin-group") && listed.get("admin-group").isSimpleConsumerGroup(), "listConsumerGroups: " + listed);
        ListConsumerGroupsOptions stable = new ListConsumerGroupsOptions().inStates(Set.of(ConsumerGroupState.STABLE));
        check(get(admin.listConsumerGroups(stable).all()).stream().noneMatch(g -> g.groupId().equals("admin-group")), "groups that are stable");
        ConsumerGroupDescription described = get(admin.describeConsumerGroups(List.of("admin-group"),
            new DescribeConsumerGroupsOptions().includeAuthorizedOperations(true)).all()).get("admin-group");
        same(described.state() + " " + described.members().size() + " " + described.authorizedOperations().size(), "Empty 0 3", "a group of offsets");
        get(admin.deleteConsumerGroupOffsets("admin-group", Set.of(second)).all());
        same(get(admin.listConsumerGroupOffsets("admin-group").partitionsToOffsetAndMetadata()).keySet(), Set.of(first), "offsets that are left");
        get(admin.deleteConsumerGroups(List.of("admin-group")).all());
        fails(admin.deleteConsumerGroups(List.of("admin-group")).all(), GroupIdNotFoundException.class, "deleting a group twice");
        check(get(admin.listConsumerGroups().all()).stream().noneMatch(g -> g.groupId().equals("admin-group")), "a group that is gone");
        get(admin.deleteTopics(List.of("admin-a")).all());
        get(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(get(admin.describeTopics(List.of("admin-b")).allTopicNames()).get("admin-b").topicId())))
            .all());
        fails(admin.deleteTopics(List.of("admin-a")).all(), UnknownTopicOrPartitionException.class, "deleting a topic twice");
        check(get(admin.listTopics().names()).stream().noneMatch(n -> n.equals("admin-a") || n.equals("admin-b")), "topics that are gone");
    }

    static void part(String name, String guarded) throws Exception {
        checks = 0;
        switch (name) {
            case "records" -> {
                for (String codec : CODECS) records(codec);
                acks();
                sizes();
                missingTopics();
                seeks();
            }
            case "groups" -> {
                group("eager", "partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
                group("cooperative", "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
            }
            case "statics" -> WireMembers.statics();
            case "admin" -> {
                try (Admin admin = admin()) {
                    topics(admin);
                    cluster(admin);
                    configs(admin);
                    recordsGo(admin);
                    groups(admin);
                }
            }
            case "transactions" -> WireTransactions.transactions();
            case "passwords" -> WireTransactions.passwords(guarded);
            default -> throw new Exception("unknown: " + name);
        }
        System.out.println(name + ": " + checks + " checks");
    }

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        if (arguments[1].equals("member")) WireMembers.member(arguments[2], arguments[3]);
        else if (arguments[1].equals("open")) WireTransactions.open(arguments[2], arguments[3]);
        else
            for (String name : Arrays.copyOfRange(arguments, 2, arguments.length)) part(name, arguments[1]);
    }
}
