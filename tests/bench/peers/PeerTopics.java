// PeerTopics.java: the peers' topics, through Kafka's own clients. Events in, the end of the work watched, results out.
//
//   load BOOTSTRAP WORKLOAD TOPIC OUTPUT PARTITIONS EXPECTED TAIL    creates both topics and sends the lines of standard input (timestamp, key, document,
//       separated by tabs) as lz4 batches; without a key, blocks of 1,024 events take the partitions in turn. What must come out is counted here, from
//       the text of the lines, with neither the peer's parser nor its windows, and goes to the file EXPECTED: lines of group, window, count. TAIL more events in each partition follow,
//       of groups whose names begin with "tail" and which nobody checks: for a system that makes results visible only when more input comes.
//   watch BOOTSTRAP OUTPUT GROUP TOPIC    until it is killed: "output MS OFFSETS" each time that the committed end of the output has moved (looked at
//       every 20 ms, and costs the broker one small request), "input MS LEFT" twice a second: what the group's committed offsets leave of TOPIC. MS is the time when the question was asked.
//   check BOOTSTRAP OUTPUT EXPECTED       reads all that is committed (read_committed), keeps each key's last value, compares; says "ok COUNT" with the
//       number of records, or what differs first.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;

public class PeerTopics {
    static final int BLOCK_EVENTS = 1024;

    static Admin admin(String bootstrap) {
        return Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    // ---- load ----

    // The text between a mark and the next quote or comma.
    static String after(String document, String mark) {
        int start = document.indexOf(mark) + mark.length();
        int end = start;
        while (document.charAt(end) != '"' && document.charAt(end) != ',') end++;
        return document.substring(start, end);
    }

    // Counts a document; false where the workload's filter drops it.
    static boolean expect(Map<String, int[]> expected, String workload, String document) {
        String group;
        long time, window;
        if (workload.equals("ysb")) {
            if (!document.contains("\"event_type\": \"view\"")) return false;
            group = after(document, "\"ad_id\": \"").substring(0, 8);
            time = Long.parseLong(after(document, "\"event_time\": \""));
            window = 10_000;
        } else {
            group = after(document, "\"user\":\"");
            time = Long.parseLong(after(document, "\"ts\":"));
            window = 300_000;
        }
        expected.computeIfAbsent(group + "\t" + time / window * window, k -> new int[1])[0]++;
        return true;
    }

    // The document for another group.
    static String tail(String workload, String document, int n) {
        String mark = workload.equals("ysb") ? "\"ad_id\": \"" : "\"user\":\"user-";
        int at = document.indexOf(mark) + mark.length() - (workload.equals("ysb") ? 0 : 5);
        return document.substring(0, at) + String.format("tail%04d", n % 64) + document.substring(at + 8);
    }

    static void load(String bootstrap, String workload, String topic, String output, int partitions, String file, int tail) throws Exception {
        try (Admin admin = admin(bootstrap)) {
            admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1), new NewTopic(output, partitions, (short) 1))).all().get();
        }
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("compression.type", "lz4");
        config.put("batch.size", "262144");
        config.put("linger.ms", "50");
        config.put("acks", "all");
        Map<String, int[]> expected = new HashMap<>();
        Exception[] failure = new Exception[1];
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
             BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.ISO_8859_1), 1 << 20)) {
            String line, counted = null;
            for (long n = 0; (line = lines.readLine()) != null; n++) {
                int first = line.indexOf('\t'), second = line.indexOf('\t', first + 1);
                String key = line.substring(first + 1, second), document = line.substring(second + 1);
                Integer partition = key.isEmpty() ? (Integer) (int) (n / BLOCK_EVENTS % partitions) : null;
                producer.send(new ProducerRecord<>(topic, partition, Long.parseLong(line.substring(0, first)),
                    key.isEmpty() ? null : key.getBytes(StandardCharsets.ISO_8859_1), document.getBytes(StandardCharsets.ISO_8859_1)),
                    (metadata, exception) -> { if (exception != null) failure[0] = exception; });
                if (expect(expected, workload, document)) counted = line;
            }
            for (int n = 0; n < tail * partitions && counted != null; n++)
                producer.send(new ProducerRecord<>(topic, n % partitions, Long.parseLong(counted.substring(0, counted.indexOf('\t'))), null,
                    tail(workload, counted.substring(counted.lastIndexOf('\t') + 1), n).getBytes(StandardCharsets.ISO_8859_1)));
        }
        if (failure[0] != null) throw failure[0];
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(Path.of(file)))) {
            for (Map.Entry<String, int[]> entry : expected.entrySet()) out.println(entry.getKey() + "\t" + entry.getValue()[0]);
        }
    }

    // ---- watch ----

    static List<TopicPartition> partitionsOf(Admin admin, String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().stream()
            .map(p -> new TopicPartition(topic, p.partition())).collect(Collectors.toList());
    }

    static Map<TopicPartition, Long> ends(Admin admin, Iterable<TopicPartition> partitions) throws Exception {
        Map<TopicPartition, OffsetSpec> ask = new HashMap<>();
        for (TopicPartition p : partitions) ask.put(p, OffsetSpec.latest());
        Map<TopicPartition, Long> ends = new HashMap<>();
        for (Map.Entry<TopicPartition, ListOffsetsResultInfo> e :
             admin.listOffsets(ask, new ListOffsetsOptions(IsolationLevel.READ_COMMITTED)).all().get().entrySet())
            ends.put(e.getKey(), e.getValue().offset());
        return ends;
    }

    // Records that the group has not committed yet.
    static long left(Admin admin, String group, List<TopicPartition> input) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> committed;
        try {
            committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        } catch (ExecutionException notYet) {
            committed = Map.of();
        }
        long left = 0;
        for (Map.Entry<TopicPartition, Long> end : ends(admin, input).entrySet()) {
            OffsetAndMetadata offset = committed.get(end.getKey());
            left += end.getValue() - (offset == null ? 0 : offset.offset());
        }
        return left;
    }

    static void watch(String bootstrap, String output, String group, String topic) throws Exception {
        try (Admin admin = admin(bootstrap)) {
            List<TopicPartition> outputs = partitionsOf(admin, output), inputs = partitionsOf(admin, topic);
            long last = 0, asked = 0;
            for (;;) {
                long now = System.currentTimeMillis();
                long sum = ends(admin, outputs).values().stream().mapToLong(Long::longValue).sum();
                if (sum != last) System.out.println("output " + now + " " + sum);
                last = sum;
                if (now - asked >= 500) {
                    System.out.println("input " + now + " " + left(admin, group, inputs));
                    asked = now;
                }
                System.out.flush();
                Thread.sleep(20);
            }
        }
    }

    // ---- check ----

    // The number or text that follows "name": in a flat document.
    static String field(String document, String name) {
        String mark = "\"" + name + "\":";
        int start = document.indexOf(mark);
        if (start < 0) throw new IllegalArgumentException("no " + name + " in " + document);
        start += mark.length();
        if (document.charAt(start) == '"') return document.substring(start + 1, document.indexOf('"', start + 1));
        int end = start;
        while (",}".indexOf(document.charAt(end)) < 0) end++;
        return document.substring(start, end);
    }

    // Faust's key of a window, ["group",[start,end]] in seconds, as group, tab, start in milliseconds.
    static String tableKey(String key) {
        String[] parts = key.replaceAll("[\\[\\]\" ]", "").split(",");
        return parts[0] + "\t" + Math.round(Double.parseDouble(parts[1]) * 1000);
    }

    static void check(String bootstrap, String output, String file) throws Exception {
        Map<String, String> last = new HashMap<>();
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("isolation.level", "read_committed");
        long records = 0;
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(output).forEach(p -> partitions.add(new TopicPartition(output, p.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p)))
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(200))) {
                    last.put(r.key(), r.value());
                    records++;
                }
        }
        Map<String, String> seen = new HashMap<>();
        for (Map.Entry<String, String> entry : last.entrySet()) {
            if (entry.getKey().startsWith("[")) {
                seen.put(tableKey(entry.getKey()), entry.getValue());
                continue;
            }
            String key = field(entry.getKey(), "group") + "\t" + field(entry.getKey(), "window_start"), value = entry.getValue();
            if (!key.equals(field(value, "group") + "\t" + field(value, "window_start")))
                throw new IllegalArgumentException("key " + entry.getKey() + " has the value " + value);
            seen.put(key, field(value, "count"));
        }
        seen.keySet().removeIf(key -> key.startsWith("tail"));
        List<String> expected = Files.readAllLines(Path.of(file));
        for (String line : expected) {
            int tab = line.lastIndexOf('\t');
            String count = seen.get(line.substring(0, tab));
            if (!line.substring(tab + 1).equals(count)) {
                System.out.println("group and window " + line.substring(0, tab).replace('\t', ' ') + ": " + count + ", expected " + line.substring(tab + 1));
                return;
            }
        }
        System.out.println(seen.size() == expected.size() ? "ok " + records : seen.size() + " groups and windows, expected " + expected.size());
    }

    public static void main(String[] a) throws Exception {
        switch (a[0]) {
            case "load" -> load(a[1], a[2], a[3], a[4], Integer.parseInt(a[5]), a[6], Integer.parseInt(a[7]));
            case "watch" -> watch(a[1], a[2], a[3], a[4]);
            case "check" -> check(a[1], a[2], a[3]);
            default -> throw new IllegalArgumentException("unknown: " + a[0]);
        }
    }
}
