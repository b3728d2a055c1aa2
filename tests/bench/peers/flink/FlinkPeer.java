// FlinkPeer.java: the workloads as Flink jobs: FlinkPeer BOOTSTRAP WORKLOAD PARALLELISM CHECKPOINT_MS DIRECTORY
//
// Job manager and task manager in this one JVM, exactly-once checkpoints, RocksDB with incremental checkpoints, a KafkaSink that commits its transaction
// with the checkpoint. Windows in event time with an incremental aggregate: a result comes out once, when the watermark has passed its window. The source is
// bounded by the end that the topic has when the job starts: there the last windows come out, the last checkpoint commits them and the job ends. Says
// "started MS" when main begins and "running MS" when the job manager calls the job running.
import java.time.Duration;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.producer.ProducerRecord;

public class FlinkPeer {
    public static class Result {
        public String group;
        public long start, end, count;

        public Result() {}
    }

    static class Parse extends AbstractDeserializationSchema<PeerEvent> {
        private final String workload;

        Parse(String workload) {
            this.workload = workload;
        }

        @Override
        public PeerEvent deserialize(byte[] document) throws java.io.IOException {
            return PeerEvent.parse(workload, document); // null is no event
        }
    }

    static class Count implements AggregateFunction<PeerEvent, Long, Long> {
        @Override
        public Long createAccumulator() {
            return 0L;
        }

        @Override
        public Long add(PeerEvent event, Long count) {
            return count + 1;
        }

        @Override
        public Long getResult(Long count) {
            return count;
        }

        @Override
        public Long merge(Long a, Long b) {
            return a + b;
        }
    }

    static class Emit extends ProcessWindowFunction<Long, Result, String, TimeWindow> {
        @Override
        public void process(String group, Context context, Iterable<Long> counts, Collector<Result> out) {
            Result result = new Result();
            result.group = group;
            result.start = context.window().getStart();
            result.end = context.window().getEnd();
            result.count = counts.iterator().next();
            out.collect(result);
        }
    }

    static class Write implements KafkaRecordSerializationSchema<Result> {
        @Override
        public ProducerRecord<byte[], byte[]> serialize(Result result, KafkaSinkContext context, Long time) {
            return new ProducerRecord<>(PeerEvent.OUTPUT, PeerEvent.key(result.group, result.start),
                PeerEvent.value(result.group, result.start, result.end, result.count));
        }
    }

    static Configuration configuration(String checkpointMs, String directory) {
        Configuration config = new Configuration();
        config.setString("execution.checkpointing.interval", checkpointMs + " ms");
        config.setString("execution.checkpointing.dir", "file://" + directory + "/checkpoints");
        config.setString("execution.checkpointing.incremental", "true");
        config.setString("state.backend.type", "rocksdb");
        config.setString("taskmanager.memory.managed.size", "256mb");
        config.setString("pipeline.object-reuse", "true");
        config.setString("io.tmp.dirs", directory);
        return config;
    }

    public static void main(String[] a) throws Exception {
        System.out.println("started " + System.currentTimeMillis());
        String bootstrap = a[0], workload = a[1];
        int parallelism = Integer.parseInt(a[2]);
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(parallelism, configuration(a[3], a[4]));
        env.enableCheckpointing(Long.parseLong(a[3]), CheckpointingMode.EXACTLY_ONCE);
        KafkaSource<PeerEvent> source = KafkaSource.<PeerEvent>builder().setBootstrapServers(bootstrap).setTopics(PeerEvent.TOPIC).setGroupId("peer")
            .setStartingOffsets(OffsetsInitializer.earliest()).setBounded(OffsetsInitializer.latest())
            .setValueOnlyDeserializer(new Parse(workload)).build();
        KafkaSink<Result> sink = KafkaSink.<Result>builder().setBootstrapServers(bootstrap)
            .setRecordSerializer(new Write())
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).setTransactionalIdPrefix("peer")
            .setProperty("transaction.timeout.ms", "900000").setProperty("compression.type", "lz4").build();
        env.fromSource(source, WatermarkStrategy.<PeerEvent>forMonotonousTimestamps().withTimestampAssigner((event, before) -> event.time), "events")
            .keyBy(event -> event.group).window(TumblingEventTimeWindows.of(Duration.ofMillis(PeerEvent.windowMs(workload))))
            .aggregate(new Count(), new Emit()).sinkTo(sink);
        JobClient job = env.executeAsync("peer");
        while (job.getJobStatus().get() != JobStatus.RUNNING) Thread.sleep(10);
        System.out.println("running " + System.currentTimeMillis());
        job.getJobExecutionResult().get();
        System.exit(0);
    }
}
