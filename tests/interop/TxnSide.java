// TxnSide.java: reads, writes and commits in transactions, as Kafka's documentation says how, for streams.py.
//
//   TxnSide HOST:PORT COUNT SEED
//
// Copies COUNT records of the three partitions of `in` to `out`, with their offsets in the same transaction, and aborts some. What may be gone on after by aborting (a KafkaException that
// is none of those that are said to be the end) is gone on after with the same producer; else a new one comes. With each
// transaction open it prints "open" and waits for a line; at its end it prints how many producers it has needed.

import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

public class TxnSide {
    static final int PARTITIONS = 3;
    static String bootstrap;
    static int producers, aborted;
    static final Scanner input = new Scanner(System.in);

    static Map<String, Object> config(Object... pairs) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("reconnect.backoff.max.ms", 100);
        for (int i = 0; i < pairs.length; i += 2) config.put((String) pairs[i], pairs[i + 1]);
        return config;
    }

    static Producer<String, String> producer() {
        Producer<String, String> producer = new KafkaProducer<>(config("transactional.id", "transform", "linger.ms", 1), new StringSerializer(), new StringSerializer());
        producer.initTransactions();
        producers++;
        return producer;
    }

    static boolean isTheEnd(KafkaException e) {
        return e instanceof ProducerFencedException || e instanceof OutOfOrderSequenceException || e instanceof AuthorizationException || e instanceof UnsupportedVersionException;
    }

    // To where the group is: what was read since is read again.
    static void rewind(Consumer<String, String> consumer) {
        Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment());
        for (TopicPartition p : consumer.assignment()) consumer.seek(p, committed.get(p) == null ? 0 : committed.get(p).offset());
    }

    static long position(Consumer<String, String> consumer) {
        return consumer.committed(consumer.assignment()).values().stream().mapToLong(o -> o == null ? 0 : o.offset()).sum();
    }

    static void transform(Producer<String, String> producer, Consumer<String, String> consumer, ConsumerRecords<String, String> records, boolean commit) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        producer.beginTransaction();
        for (ConsumerRecord<String, String> record : records) {
            producer.send(new ProducerRecord<>("out", record.value()));
            offsets.put(new TopicPartition("in", record.partition()), new OffsetAndMetadata(record.offset() + 1));
        }
        producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
        producer.flush();
        System.out.println("open");
        input.nextLine();
        if (commit) {
            producer.commitTransaction();
        } else {
            producer.abortTransaction();
            rewind(consumer);
        }
    }

    public static void main(String[] arguments) {
        bootstrap = arguments[0];
        long count = Long.parseLong(arguments[1]);
        Random random = new Random(Long.parseLong(arguments[2]));
        Consumer<String, String> consumer = new KafkaConsumer<>(config("group.id", "transformers", "enable.auto.commit", false, "isolation.level", "read_committed", "max.poll.records", 40,
                                                                       "auto.offset.reset", "earliest"), new StringDeserializer(), new StringDeserializer());
        List<TopicPartition> places = new ArrayList<>();
        for (int i = 0; i < PARTITIONS; i++) places.add(new TopicPartition("in", i));
        consumer.assign(places);
        Producer<String, String> producer = producer();
        while (position(consumer) < count) {
            ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
            if (records.isEmpty()) continue;
            try {
                transform(producer, consumer, records, random.nextInt(5) > 0);
            } catch (KafkaException e) {
                boolean ends = isTheEnd(e);
                try {
                    if (!ends) producer.abortTransaction();
                    aborted++;
                } catch (KafkaException fatal) {
                    ends = true;
                }
                System.out.println((ends ? "ended by " : "aborted by ") + e);
                if (ends) {
                    producer.close(Duration.ZERO);
                    producer = producer();
                }
                rewind(consumer);
            }
        }
        producer.close();
        consumer.close();
        System.out.println("done: " + producers + " producers, " + aborted + " aborted");
    }
}
