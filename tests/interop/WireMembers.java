// WireMembers.java: members of groups of Apache Kafka's Java clients, for WireSide: one that is a process, and static ones, which come back without a rebalance.

import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;

class WireMembers {
    // Until SIGTERM, upon which it commits and leaves; what it does and prints is said in wire_clients.py.
    static void member(String group, String topic) throws Exception {
        CountDownLatch left = new CountDownLatch(1);
        List<TopicPartition> given = new ArrayList<>();
        try (Producer<byte[], byte[]> producer = WireSide.producer();
             Consumer<byte[], byte[]> consumer = WireSide.consumer("group.id", group, "session.timeout.ms", 6000, "heartbeat.interval.ms", 500, "auto.offset.reset", "earliest",
                 "enable.auto.commit", false, "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor")) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                consumer.wakeup();
                try {
                    left.await();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }));
            consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) { given.addAll(partitions); }
            });
            for (int had = -1;;) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(WireSide.POLL);
                if (consumer.assignment().size() != had) say("has " + (had = consumer.assignment().size()));
                for (ConsumerRecord<byte[], byte[]> r : records) say("read " + r.partition() + " " + r.offset());
                for (TopicPartition place : given)
                    for (int n = 0; n < 10; n++)
                        say("sent " + place.partition() + " " + producer.send(new ProducerRecord<>(topic, place.partition(), null, WireSide.bytes("" + n))).get().offset());
                given.clear();
                commit(consumer);
            }
        } catch (WakeupException e) {
            say("leaves");
        } finally {
            left.countDown();
        }
    }

    static void commit(Consumer<byte[], byte[]> consumer) {
        try {
            consumer.commitSync();
        } catch (RebalanceInProgressException | CommitFailedException e) {
            say("not committed"); // it comes again, here or elsewhere
        }
    }

    static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    static WireSide.Member start(String id, Set<String> seen) {
        WireSide.Member member = new WireSide.Member("static", "java-static", seen, "group.instance.id", id, "partition.assignment.strategy",
                                                     "org.apache.kafka.clients.consumer.RangeAssignor");
        member.start();
        return member;
    }

    static void end(WireSide.Member member) throws Exception {
        member.ends = true;
        member.join();
    }

    static int generation(WireSide.Member member) {
        return member.generation;
    }

    // A static member that goes and comes back within its session has its partitions again, and no other member notices.
    static void statics() throws Exception {
        Set<String> seen = ConcurrentHashMap.newKeySet();
        try (Producer<byte[], byte[]> producer = WireSide.producer()) {
            WireSide.get(WireSide.admin().createTopics(List.of(new org.apache.kafka.clients.admin.NewTopic("java-static", 2, (short) 1))).all());
            WireSide.Member one = start("one", seen), two = start("two", seen);
            WireSide.until(List.of(one, two), () -> WireSide.share(List.of(one, two), 1, 1), "two static members");
            int generation = generation(one);
            end(two);
            WireSide.Member again = start("two", seen);
            WireSide.until(List.of(one, again), () -> again.assigned == 1, "a static member is back");
            for (int p = 0; p < 2; p++) producer.send(new ProducerRecord<>("java-static", p, null, WireSide.bytes("x"))).get();
            WireSide.until(List.of(one, again), () -> seen.size() == 2, "static members read");
            WireSide.same(generation(one) + "," + generation(again), generation + "," + generation, "the generation after a static member's return");
            WireSide.Member twin = start("two", seen);
            WireSide.until(List.of(one), () -> again.failure instanceof FencedInstanceIdException, "the older of two members with one id is fenced");
            end(one);
            end(twin);
        }
    }
}
