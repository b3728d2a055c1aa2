// StreamsPeer.java: the workloads as Kafka Streams jobs: StreamsPeer BOOTSTRAP WORKLOAD THREADS COMMIT_MS STATE_DIRECTORY
//
// exactly_once_v2, the DSL, windowed counts in the default persistent store (RocksDB) behind the record cache, so that a commit writes each changed
// group once. user-counts is keyed by the user already; ysb selects the campaign as its key, which makes Streams repartition. Says "started MS" when main
// begins and "running MS" when the tasks have their partitions.
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;

public class StreamsPeer {
    static final byte[] NOTHING = new byte[0]; // counting needs the key and the time alone

    static StreamsBuilder topology(String workload) {
        long window = PeerEvent.windowMs(workload);
        Deserializer<PeerEvent> parse = (topic, document) -> {
            try {
                return PeerEvent.parse(workload, document);
            } catch (java.io.IOException e) {
                throw new org.apache.kafka.common.errors.SerializationException(e);
            }
        };
        Serde<PeerEvent> events = Serdes.serdeFrom((topic, event) -> NOTHING, parse);
        StreamsBuilder builder = new StreamsBuilder();
        // An event that the filter dropped while parsing has no time: any will do.
        KStream<String, PeerEvent> source = builder.stream(PeerEvent.TOPIC, Consumed.with(Serdes.String(), events)
            .withTimestampExtractor((record, before) -> record.value() == null ? Math.max(before, 0) : ((PeerEvent) record.value()).time));
        KGroupedStream<String, byte[]> groups = workload.equals("ysb")
            ? source.filter((key, event) -> event != null).map((key, event) -> KeyValue.pair(event.group, NOTHING))
                .groupByKey(Grouped.with("campaign", Serdes.String(), Serdes.ByteArray()))
            : source.mapValues(event -> NOTHING).groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()));
        groups.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(window), Duration.ofDays(1))).count().toStream()
            .map((key, count) -> KeyValue.pair(PeerEvent.key(key.key(), key.window().start()),
                PeerEvent.value(key.key(), key.window().start(), key.window().end(), count)))
            .to(PeerEvent.OUTPUT, Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        return builder;
    }

    public static void main(String[] a) throws Exception {
        System.out.println("started " + System.currentTimeMillis());
        Properties config = new Properties();
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, a[0]);
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer");
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, a[2]);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, a[3]);
        config.put(StreamsConfig.STATE_DIR_CONFIG, a[4]);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, Long.toString(256L << 20));
        config.put(StreamsConfig.TOPOLOGY_OPTIMIZATION_CONFIG, StreamsConfig.OPTIMIZE);
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        config.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
        config.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        KafkaStreams streams = new KafkaStreams(topology(a[1]).build(config), config);
        streams.setUncaughtExceptionHandler(exception -> {
            exception.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) System.out.println("running " + System.currentTimeMillis());
            if (now == KafkaStreams.State.ERROR) Runtime.getRuntime().halt(1);
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(10))));
        streams.start();
        Thread.sleep(Long.MAX_VALUE);
    }
}
