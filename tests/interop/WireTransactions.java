// WireTransactions.java: what Apache Kafka's Java clients do with a server in transactions, and as users; for WireSide, whose calls it makes.
//
// A transaction is committed or aborted, read by both isolation levels, fenced by the next producer of its id, and takes a group's offsets along. Users say right and wrong passwords
// by every mechanism that there is.

import java.util.*;
import java.util.concurrent.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;

class WireTransactions {
    static final String USER = "alice", PASSWORD = "a good secret";

    // Its transactions may be open for as long as all that is done here takes on a slow machine: the server would say that it has ended one.
    static final int OPEN_MS = 600000;

    static Producer<byte[], byte[]> producer(String id) {
        Producer<byte[], byte[]> producer = WireSide.producer("transactional.id", id, "max.block.ms", 1000 * WireSide.LIMIT_S, "transaction.timeout.ms", OPEN_MS);
        producer.initTransactions();
        return producer;
    }

    static void write(Producer<byte[], byte[]> producer, String topic, String... values) throws Exception {
        for (String value : values) producer.send(new ProducerRecord<>(topic, 0, null, WireSide.bytes(value))).get(WireSide.LIMIT_S, TimeUnit.SECONDS);
    }

    static String values(String topic, String isolation) {
        return WireSide.readAll(topic, 1, "isolation.level", isolation).getOrDefault(0, List.of()).stream().map(r -> WireSide.text(r.value())).collect(Collectors.joining(" "));
    }

    // A transaction that stays open: whoever runs this kills it.
    static void open(String id, String topic) throws Exception {
        Producer<byte[], byte[]> producer = producer(id);
        producer.beginTransaction();
        write(producer, topic, "open");
        System.out.println("open");
        System.in.read();
    }

    static void ends() throws Exception {
        String topic = "java-txn";
        try (Producer<byte[], byte[]> first = producer("java-first"); Producer<byte[], byte[]> second = producer("java-second")) {
            first.beginTransaction();
            write(first, topic, "a", "b");
            second.beginTransaction();
            write(second, topic, "c");
            first.commitTransaction();
            WireSide.same(values(topic, "read_committed"), "a b", "before an open transaction");
            WireSide.same(values(topic, "read_uncommitted"), "a b c", "everything");
            second.abortTransaction();
            second.beginTransaction();
            write(second, topic, "d");
            second.commitTransaction();
            first.beginTransaction();
            first.commitTransaction();
        }
        WireSide.same(values(topic, "read_committed"), "a b d", "what was committed");
        WireSide.same(values(topic, "read_uncommitted"), "a b c d", "what was written");
    }

    static void fenced() throws Exception {
        Producer<byte[], byte[]> first = producer("java-fenced");
        first.beginTransaction();
        write(first, "java-txn", "e");
        try (Producer<byte[], byte[]> second = producer("java-fenced")) {
            boolean fenced = false;
            try {
                write(first, "java-txn", "f");
                first.commitTransaction();
            } catch (ProducerFencedException | InvalidProducerEpochException e) {
                fenced = true;
            } catch (ExecutionException e) {
                fenced = e.getCause() instanceof ProducerFencedException || e.getCause() instanceof InvalidProducerEpochException;
            }
            WireSide.check(fenced, "a producer is fenced by the next one of its id");
            second.beginTransaction();
            write(second, "java-txn", "g");
            second.commitTransaction();
        }
        first.close(java.time.Duration.ZERO);
        WireSide.same(values("java-txn", "read_committed"), "a b d g", "what the fenced one wrote does not count");
    }

    // Moves what the group has not read, in one transaction with its offsets.
    static void move(String from, String to, boolean commit) throws Exception {
        try (Producer<byte[], byte[]> producer = producer("java-mover");
             Consumer<byte[], byte[]> consumer = WireSide.consumer("group.id", "java-movers", "isolation.level", "read_committed", "enable.auto.commit", false, "auto.offset.reset", "earliest")) {
            consumer.subscribe(List.of(from));
            TopicPartition place = new TopicPartition(from, 0);
            while (!consumer.assignment().contains(place)) consumer.poll(WireSide.POLL);
            consumer.seek(place, Optional.ofNullable(consumer.committed(Set.of(place)).get(place)).map(OffsetAndMetadata::offset).orElse(0L));
            long end = consumer.endOffsets(List.of(place)).get(place);
            producer.beginTransaction();
            while (consumer.position(place) < end)
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(WireSide.POLL)) write(producer, to, WireSide.text(r.value()));
            producer.sendOffsetsToTransaction(Map.of(place, new OffsetAndMetadata(end, "moved")), consumer.groupMetadata());
            if (commit) producer.commitTransaction();
            else producer.abortTransaction();
        }
    }

    static void offsets() throws Exception {
        try (Admin admin = WireSide.admin(); Producer<byte[], byte[]> input = WireSide.producer()) {
            write(input, "java-from", "1", "2", "3");
            move("java-from", "java-to", false);
            WireSide.same(WireSide.get(admin.listConsumerGroupOffsets("java-movers").partitionsToOffsetAndMetadata()), Map.of(), "offsets of an aborted transaction");
            move("java-from", "java-to", true);
            write(input, "java-from", "4", "5");
            move("java-from", "java-to", true);
            WireSide.same(values("java-to", "read_committed"), "1 2 3 4 5", "what was moved, once each");
            OffsetAndMetadata at = WireSide.get(admin.listConsumerGroupOffsets("java-movers").partitionsToOffsetAndMetadata()).get(new TopicPartition("java-from", 0));
            WireSide.same(at.offset() + at.metadata(), "5moved", "the group's offset");
            WireSide.same(WireSide.get(admin.describeTransactions(List.of("java-mover")).all()).get("java-mover").state(), TransactionState.COMPLETE_COMMIT, "the transaction's state");
            WireSide.check(WireSide.get(admin.listTransactions().all()).stream().anyMatch(t -> t.transactionalId().equals("java-mover")), "listed transactions");
        }
    }

    static void transactions() throws Exception {
        ends();
        fenced();
        offsets();
    }

    static Object[] login(String mechanism, String password) {
        String module = mechanism.equals("PLAIN") ? "plain.PlainLoginModule" : "scram.ScramLoginModule";
        return new Object[] {"security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", mechanism, "sasl.jaas.config", "org.apache.kafka.common.security." + module
            + " required username=\"" + USER + "\" password=\"" + password + "\";"};
    }

    static void passwords(String guarded) throws Exception {
        String open = WireSide.bootstrap;
        WireSide.bootstrap = guarded;
        for (String mechanism : new String[] {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}) {
            String topic = "java-" + mechanism.toLowerCase();
            try (Producer<byte[], byte[]> producer = WireSide.producer(login(mechanism, PASSWORD))) {
                write(producer, topic, "said by alice");
            }
            WireSide.same(WireSide.text(WireSide.readAll(topic, 1, login(mechanism, PASSWORD)).get(0).get(0).value()), "said by alice", "a user's record by " + mechanism);
            try (Admin admin = Admin.create(WireSide.config(login(mechanism, "a guess")))) {
                WireSide.fails(admin.listTopics().names(), SaslAuthenticationException.class, "a wrong password by " + mechanism);
            }
        }
        WireSide.bootstrap = open;
    }
}
