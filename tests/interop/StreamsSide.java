// StreamsSide.java: a Kafka Streams application under exactly_once_v2, for streams.py.
//
//   StreamsSide HOST:PORT STATE_DIR APPLICATION_ID
//
// Three parts, each with a topic that tells every step it takes:
//
//   word-counts    how often each word of `lines` was there: re-keyed through a repartition topic, counted in a compacted store. No cache: an update for each word
//   window-counts  lines by key in tumbling windows of 10 s with 5 s of grace, given out once, when they have closed (suppress): a store that is compacted and
//                  deleted, and a buffer that is restored from its own changelog
//   city-counts    lines joined with the table `users` (key → city), counted by city: a table, a join, one more repartition topic
//
// It prints the states that it goes through, and runs until it is killed or asked to end (SIGTERM).

import java.time.Duration;
import java.util.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.*;

public class StreamsSide {
    static final Serde<String> TEXT = Serdes.String();
    static final Serde<Long> NUMBER = Serdes.Long();

    static Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> lines = builder.stream("lines", Consumed.with(TEXT, TEXT));
        lines.flatMapValues(line -> Arrays.asList(line.split(" ")))
                .groupBy((key, word) -> word, Grouped.with("words", TEXT, TEXT))
                .count(Materialized.<String, Long, org.apache.kafka.streams.state.KeyValueStore<org.apache.kafka.common.utils.Bytes, byte[]>>as("word-store")
                               .withKeySerde(TEXT).withValueSerde(NUMBER))
                .toStream().mapValues(n -> "" + n).to("word-counts", Produced.with(TEXT, TEXT));

        lines.groupByKey(Grouped.with(TEXT, TEXT))
                .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(5)))
                .count(Materialized.<String, Long, org.apache.kafka.streams.state.WindowStore<org.apache.kafka.common.utils.Bytes, byte[]>>as("window-store")
                               .withKeySerde(TEXT).withValueSerde(NUMBER))
                .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()).withName("window-buffer"))
                .toStream().map((window, n) -> KeyValue.pair(window.key() + "@" + window.window().start(), "" + n))
                .to("window-counts", Produced.with(TEXT, TEXT));

        KTable<String, String> users = builder.table("users", Consumed.with(TEXT, TEXT), Materialized.as("user-store"));
        lines.join(users, (line, city) -> city)
                .groupBy((user, city) -> city, Grouped.with("cities", TEXT, TEXT))
                .count(Materialized.<String, Long, org.apache.kafka.streams.state.KeyValueStore<org.apache.kafka.common.utils.Bytes, byte[]>>as("city-store")
                               .withKeySerde(TEXT).withValueSerde(NUMBER))
                .toStream().mapValues(n -> "" + n).to("city-counts", Produced.with(TEXT, TEXT));
        return builder.build();
    }

    static Properties config(String bootstrap, String state, String application) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("application.id", application);
        config.put("state.dir", state);
        config.put("processing.guarantee", "exactly_once_v2");
        config.put("statestore.cache.max.bytes", 0);
        config.put("commit.interval.ms", 100);
        config.put("repartition.purge.interval.ms", 500);
        config.put("num.stream.threads", 1);
        // What is left behind by a process that was killed is over soon.
        config.put("session.timeout.ms", 6000);
        config.put("heartbeat.interval.ms", 500);
        config.put("producer.transaction.timeout.ms", 5000);
        config.put("consumer.auto.offset.reset", "earliest");
        config.put("reconnect.backoff.max.ms", 200);
        config.put("producer.linger.ms", 5);
        return config;
    }

    public static void main(String[] arguments) {
        KafkaStreams streams = new KafkaStreams(topology(), config(arguments[0], arguments[1], arguments[2]));
        streams.setStateListener((now, before) -> System.out.println("state " + now));
        streams.setUncaughtExceptionHandler(error -> {
            System.out.println("died " + error);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(60))));
        streams.start();
    }
}
