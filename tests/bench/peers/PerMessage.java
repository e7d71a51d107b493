// SPDX-License-Identifier: MIT
// The same work as most frameworks do it, one message at a time: a consumer, and a transaction of the producer for each message,
// with its output, its state (a record of a compacted topic) and its offset. A thread, a consumer and a producer for each two
// partitions, without the framework: what one adds is not counted.
import static java.nio.charset.StandardCharsets.US_ASCII;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

final class PerMessage {
    private static final int PER_THREAD = 2;

    private final String servers, app, input, output, kept;
    private final List<TopicPartition> partitions;
    private final AtomicLong handled = new AtomicLong();
    private volatile long firstNanos, firstCpu;
    private volatile boolean over;

    /** What is kept of each key is on the topic APP.state. */
    PerMessage(String servers, String app, String input, String output, List<TopicPartition> partitions) {
        this.servers = servers;
        this.app = app;
        this.input = input;
        this.output = output;
        this.kept = app + ".state";
        this.partitions = partitions;
    }

    private KafkaConsumer<byte[], byte[]> consumer() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", servers);
        properties.put("group.id", app);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        properties.put("isolation.level", "read_committed");
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private KafkaProducer<byte[], byte[]> producer(int which) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", servers);
        properties.put("transactional.id", app + "-" + which);
        properties.put("compression.type", "lz4");
        properties.put("linger.ms", "0");
        properties.put("retry.backoff.ms", "1"); // the next transaction finds the last one still ending
        return new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    }

    /** The state of each key of some partitions, as the topic has it. */
    private Map<String, Long> state(List<TopicPartition> mine) {
        Map<String, Long> all = new HashMap<>();
        List<TopicPartition> places = new ArrayList<>();
        for (TopicPartition each : mine)
            places.add(new TopicPartition(kept, each.partition()));
        try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
            consumer.assign(places);
            consumer.seekToBeginning(places);
            Map<TopicPartition, Long> ends = consumer.endOffsets(places);
            while (places.stream().anyMatch(each -> consumer.position(each) < ends.get(each)))
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100)))
                    all.put(new String(record.key(), US_ASCII), ByteBuffer.wrap(record.value()).getLong());
        }
        return all;
    }

    Map<String, Long> state() {
        return state(partitions);
    }

    private Void work(int which, long count) {
        List<TopicPartition> mine = partitions.subList(which * PER_THREAD, Math.min(partitions.size(), (which + 1) * PER_THREAD));
        Map<String, Long> stock = state(mine);
        Event.Reader reader = new Event.Reader();
        Event.Writer writer = new Event.Writer();
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(); KafkaProducer<byte[], byte[]> producer = producer(which)) {
            producer.initTransactions();
            consumer.assign(mine);
            while (!over && handled.get() < count)
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
                    if (firstNanos == 0) {
                        firstCpu = Loop.cpu();
                        firstNanos = System.nanoTime();
                    }
                    byte[] value = writer.serialize(output, reader.deserialize(input, record.value()));
                    long n = stock.merge(new String(record.key(), US_ASCII), 1L, Long::sum);
                    producer.beginTransaction();
                    producer.send(new ProducerRecord<>(output, null, record.key(), value, Loop.headers(record.headers())));
                    producer.send(new ProducerRecord<>(kept, record.key(), ByteBuffer.allocate(8).putLong(n).array()));
                    producer.sendOffsetsToTransaction(
                        Map.of(new TopicPartition(input, record.partition()), new OffsetAndMetadata(record.offset() + 1)), consumer.groupMetadata());
                    producer.commitTransaction();
                    handled.incrementAndGet();
                }
        }
        return null;
    }

    /** Handles the next `count` events; 0: until stop(). */
    List<Future<Void>> start(ExecutorService threads, long count) {
        List<Future<Void>> all = new ArrayList<>();
        for (int i = 0; i * PER_THREAD < partitions.size(); i++) {
            int which = i;
            all.add(threads.submit(() -> work(which, count == 0 ? Long.MAX_VALUE : count)));
        }
        return all;
    }

    void stop() {
        over = true;
    }

    String run(long count) throws Exception {
        ExecutorService threads = Executors.newCachedThreadPool();
        List<Future<Void>> all = start(threads, count);
        while (handled.get() < count && all.stream().noneMatch(Future::isDone))
            Thread.sleep(1);
        long took = System.nanoTime() - firstNanos, cpu = Loop.cpu() - firstCpu;
        for (Future<Void> each : all)
            each.get();
        threads.shutdown();
        if (handled.get() != count)
            throw new IllegalStateException(handled.get() + " events were handled, not " + count);
        return String.format(Locale.ROOT, "{\"what\":\"per message\",\"events\":%d,\"seconds\":%.3f,\"per_second\":%.0f,\"cpu_us_per_event\":%.2f}",
                             count, took / 1e9, count / (took / 1e9), cpu / 1e3 / count);
    }
}
