// KafkaSide.java: what the interop test asks of Apache Kafka's own classes. Compiled and run by
// tests/interop/interop.py with Kafka's jars on the class path; it compiles against the clients of 3.9 and 4.x alike. Standard output is NDJSON.
//
//   dump FILE…              every batch and record of .log files, read by org.apache.kafka.common.record.FileRecords
//   produce BOOTSTRAP       makes the topics below and writes to them; prints every record that was acknowledged
//   consume BOOTSTRAP       reads every record of these topics as read_uncommitted and read_committed consumers see them
//   wait-cleaned DIR        returns when the cleaner has passed over kafka-compacted (watches cleaner-offset-checkpoint in DIR)
//
// Topics of produce: kafka-<codec> (5 codecs, several segments), kafka-transactions (committed, aborted, interleaved), kafka-compacted
// (keys again and again, tombstones). Keys, values and headers are bytes; null and empty ones are among them.
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.Future;
import java.util.stream.Collectors;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.FileRecords;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;

public class KafkaSide {
    static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};
    static final Random random = new Random(20);

    // ---- NDJSON ----

    static String hex(byte[] bytes) {
        if (bytes == null) return "null";
        return '"' + HexFormat.of().formatHex(bytes) + '"';
    }

    static byte[] bytes(ByteBuffer buffer) {
        if (buffer == null) return null;
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    static String headers(Iterable<Header> headers) {
        List<String> all = new ArrayList<>();
        for (Header header : headers) all.add("[\"" + header.key() + "\"," + hex(header.value()) + "]");
        return all.stream().collect(Collectors.joining(",", "[", "]"));
    }

    static String common(long offset, long timestamp, byte[] key, byte[] value, Iterable<Header> headers) {
        return "\"offset\":" + offset + ",\"timestamp\":" + timestamp + ",\"key\":" + hex(key) + ",\"value\":" + hex(value)
            + ",\"headers\":" + headers(headers);
    }

    // ---- dump ----

    static void dump(String[] files) throws Exception {
        StringBuilder out = new StringBuilder();
        for (int i = 1; i < files.length; i++) {
            try (FileRecords records = FileRecords.open(new File(files[i]), false)) {
                int bytes = 0;
                for (RecordBatch batch : records.batches()) {
                    batch.ensureValid();
                    bytes += batch.sizeInBytes();
                    out.append("{\"kind\":\"batch\",\"file\":\"").append(files[i]).append("\",\"base_offset\":").append(batch.baseOffset())
                        .append(",\"last_offset\":").append(batch.lastOffset()).append(",\"codec\":\"").append(batch.compressionType())
                        .append("\",\"producer_id\":").append(batch.producerId()).append(",\"epoch\":").append(batch.producerEpoch())
                        .append(",\"sequence\":").append(batch.baseSequence()).append(",\"transactional\":").append(batch.isTransactional())
                        .append(",\"control\":").append(batch.isControlBatch()).append(",\"max_timestamp\":").append(batch.maxTimestamp())
                        .append(",\"leader_epoch\":").append(batch.partitionLeaderEpoch()).append("}\n");
                    for (Record record : batch)
                        out.append("{\"kind\":\"record\",\"file\":\"").append(files[i]).append("\",\"sequence\":").append(record.sequence()).append(',')
                            .append(common(record.offset(), record.timestamp(), bytes(record.key()), bytes(record.value()), List.of(record.headers())))
                            .append("}\n");
                }
                if (bytes != new File(files[i]).length()) throw new Exception(files[i] + ": " + bytes + " bytes are batches");
            }
            System.out.print(out);
            out.setLength(0);
        }
        System.out.flush();
    }

    // ---- produce ----

    static byte[] draw(String name, int n, int nullIn, int most) {
        int kind = random.nextInt(nullIn);
        if (kind == 0) return null;
        if (kind == 1) return new byte[0];
        byte[] bytes = new byte[random.nextInt(most) + 1];
        random.nextBytes(bytes);
        byte[] head = (name + "-" + n + "-").getBytes();
        System.arraycopy(head, 0, bytes, 0, Math.min(head.length, bytes.length));
        return bytes;
    }

    static KafkaProducer<byte[], byte[]> producer(String bootstrap, Map<String, String> more) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
        config.put("value.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
        config.put("linger.ms", "5");
        config.putAll(more);
        return new KafkaProducer<>(config);
    }

    // What was sent, and where it went once that is known.
    record Sent(ProducerRecord<byte[], byte[]> record, Future<RecordMetadata> where) {
        void print() throws Exception {
            RecordMetadata at = where.get();
            System.out.println("{\"kind\":\"sent\",\"topic\":\"" + at.topic() + "\",\"partition\":" + at.partition() + ","
                + common(at.offset(), at.timestamp(), record.key(), record.value(), record.headers()) + "}");
        }
    }

    static Sent send(KafkaProducer<byte[], byte[]> producer, String topic, int partition, byte[] key, byte[] value) {
        ProducerRecord<byte[], byte[]> record =
            new ProducerRecord<>(topic, partition, System.currentTimeMillis() - random.nextInt(1000), key, value);
        if (random.nextInt(4) == 0) {
            record.headers().add("trace", new byte[] {0, (byte) 200, 'x'});
            record.headers().add("null", null);
        }
        return new Sent(record, producer.send(record));
    }

    static void printAll(List<Sent> all) throws Exception {
        for (Sent sent : all) sent.print();
    }

    static void produceCodec(String bootstrap, String codec) throws Exception {
        List<Sent> all = new ArrayList<>();
        try (var producer = producer(bootstrap, Map.of("compression.type", codec))) {
            for (int n = 0; n < 4000; n++)
                all.add(send(producer, "kafka-" + codec, 0, draw("key", n, 9, 30), draw("value", n, 17, 1200)));
        }
        printAll(all);
    }

    static void produceTransactions(String bootstrap) throws Exception {
        List<Sent> all = new ArrayList<>();
        List<KafkaProducer<byte[], byte[]>> producers = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            producers.add(producer(bootstrap, Map.of("transactional.id", "interop-" + i, "compression.type", "lz4")));
            producers.get(i).initTransactions();
        }
        for (int t = 0; t < 40; t++) {
            for (var producer : producers) producer.beginTransaction();
            for (int i = 0; i < 20; i++)
                all.add(send(producers.get(random.nextInt(2)), "kafka-transactions", random.nextInt(2), draw("key", t, 9, 30), draw("value", t, 17, 500)));
            for (var producer : producers) {
                producer.flush();
                if (random.nextInt(3) == 0) producer.abortTransaction();
                else producer.commitTransaction();
            }
        }
        // The last transaction stays open: nothing of it may be shown.
        producers.get(0).beginTransaction();
        all.add(send(producers.get(0), "kafka-transactions", 0, null, "of an open transaction".getBytes()));
        producers.get(0).flush();
        printAll(all);
        System.out.flush();
        Runtime.getRuntime().halt(0);   // close would abort it
    }

    static void produceCompacted(String bootstrap) throws Exception {
        List<Sent> all = new ArrayList<>();
        try (var producer = producer(bootstrap, Map.of("compression.type", "zstd"))) {
            for (int n = 0; n < 12000; n++) {
                byte[] key = ("key-" + random.nextInt(500)).getBytes();
                byte[] value = random.nextInt(10) == 0 ? null : draw("value", n, 1000, 700);
                all.add(send(producer, "kafka-compacted", 0, key, value));
                if (n % 1000 == 999) producer.flush();
            }
        }
        printAll(all);
    }

    static void produce(String bootstrap) throws Exception {
        Map<String, String> segments = Map.of("segment.bytes", "1048576");
        Map<String, String> cleaned = Map.of("segment.bytes", "1048576", "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01");
        List<NewTopic> topics = new ArrayList<>();
        for (String codec : CODECS) topics.add(new NewTopic("kafka-" + codec, 1, (short) 1).configs(segments));
        topics.add(new NewTopic("kafka-console", 1, (short) 1));
        topics.add(new NewTopic("kafka-transactions", 2, (short) 1).configs(segments));
        topics.add(new NewTopic("kafka-compacted", 1, (short) 1).configs(cleaned));
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(topics).all().get();
        }
        produceCompacted(bootstrap);
        for (String codec : CODECS) produceCodec(bootstrap, codec);
        produceTransactions(bootstrap);
    }

    // ---- consume ----

    static void consume(String bootstrap) throws Exception {
        for (String isolation : new String[] {"read_uncommitted", "read_committed"}) {
            Properties config = new Properties();
            config.put("bootstrap.servers", bootstrap);
            config.put("isolation.level", isolation);
            config.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
            config.put("value.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
            try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config)) {
                List<TopicPartition> partitions = consumer.listTopics().entrySet().stream()
                    .filter(e -> e.getKey().startsWith("kafka-")).flatMap(e -> e.getValue().stream())
                    .map(p -> new TopicPartition(p.topic(), p.partition())).collect(Collectors.toList());
                consumer.assign(partitions);
                consumer.seekToBeginning(partitions);
                Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
                while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p)))
                    for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(200)))
                        System.out.println("{\"kind\":\"" + isolation + "\",\"topic\":\"" + r.topic() + "\",\"partition\":" + r.partition() + ","
                            + common(r.offset(), r.timestamp(), r.key(), r.value(), r.headers()) + "}");
            }
        }
        System.out.flush();
    }

    // Where the active segment begins: the cleaner never gets farther.
    static long activeBase(File partition) {
        long base = 0;
        for (String name : partition.list())
            if (name.endsWith(".log")) base = Math.max(base, Long.parseLong(name.substring(0, 20)));
        return base;
    }

    static void waitCleaned(String directory) throws Exception {
        long base = activeBase(new File(directory, "kafka-compacted-0"));
        for (int i = 0; i < 300; i++) {
            File file = new File(directory, "cleaner-offset-checkpoint");
            if (file.exists())
                for (String line : Files.readAllLines(file.toPath()))
                    if (line.equals("kafka-compacted 0 " + base) && base > 0) return;
            Thread.sleep(100);
        }
        throw new Exception("the cleaner did not reach offset " + base + " within 30 s");
    }

    public static void main(String[] arguments) throws Exception {
        switch (arguments[0]) {
            case "dump" -> dump(arguments);
            case "produce" -> produce(arguments[1]);
            case "consume" -> consume(arguments[1]);
            case "wait-cleaned" -> waitCleaned(arguments[1]);
            default -> throw new Exception("unknown: " + arguments[0]);
        }
    }
}
