// SPDX-License-Identifier: MIT
// The loop of tests/bench/flow.c in Kafka Streams, for scripts/bench-peers. One process for all runs, so that all but the first
// find compiled code. It reads commands from its input, a line each, and answers each with a line of JSON:
//
//   run APP INPUT OUTPUT COUNT COMMIT_MS   handles the next COUNT events of INPUT, until its transactions are committed
//   open APP INPUT OUTPUT COMMIT_MS        works until the next command, which is: close
//   state APP INPUT OUTPUT                 builds the store again from its changelog alone; what it holds for each key
//
//   each, each-open, each-state            the same one message at a time (PerMessage.java), without COMMIT_MS
//
//   java Streams BOOTSTRAP DIR [name=value ...]     name=value are Kafka Streams'
import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.ThreadMetadata;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.QueryableStoreTypes;

public final class Streams {
    private static final long PATIENCE = 120_000_000_000L;

    private final Properties common = new Properties();
    private final Admin admin;
    private KafkaStreams opened;
    private PerMessage each;
    private List<Future<Void>> working;

    private Streams(String[] arguments) {
        set("bootstrap.servers", arguments[0]);
        set("state.dir", arguments[1]);
        set("processing.guarantee", "exactly_once_v2");
        set("num.stream.threads", "2");
        set("buffered.records.per.partition", "10000");
        set("consumer.auto.offset.reset", "earliest");
        set("consumer.max.poll.records", "10000");
        set("producer.compression.type", "lz4");
        set("producer.batch.size", "262144");
        set("producer.buffer.memory", "67108864");
        for (int i = 2; i < arguments.length; i++) {
            String[] pair = arguments[i].split("=", 2);
            set(pair[0], pair[1]);
        }
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        admin = Admin.create(properties);
    }

    private void set(String name, String value) {
        common.put(name, value);
    }

    private KafkaStreams streams(String app, String input, String output, String commit) {
        Properties properties = new Properties();
        properties.putAll(common);
        properties.put("application.id", app);
        properties.put("commit.interval.ms", commit);
        KafkaStreams streams = new KafkaStreams(Loop.topology(input, output), properties);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            System.exit(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        return streams;
    }

    /** Each thread has its share of the partitions, and each store is restored. */
    private void awaitRunning(KafkaStreams streams, String input) throws Exception {
        int partitions = partitions(input).size();
        for (long until = System.nanoTime() + PATIENCE;; Thread.sleep(10)) {
            int tasks = 0, least = partitions;
            for (ThreadMetadata thread : streams.metadataForLocalThreads()) {
                tasks += thread.activeTasks().size();
                least = Math.min(least, thread.activeTasks().size());
            }
            if (streams.state() == KafkaStreams.State.RUNNING && tasks == partitions && least > 0)
                return;
            if (System.nanoTime() > until)
                throw new IllegalStateException("Kafka Streams is still " + streams.state() + " with " + tasks + " tasks");
        }
    }

    private Set<TopicPartition> partitions(String topic) throws Exception {
        Set<TopicPartition> all = new HashSet<>();
        for (var each : admin.describeTopics(Set.of(topic)).allTopicNames().get().get(topic).partitions())
            all.add(new TopicPartition(topic, each.partition()));
        return all;
    }

    /** Leaves the group: the next to open need not wait until this one is given up. */
    private static void close(KafkaStreams streams) {
        CloseOptions leave = CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP);
        if (!streams.close(leave.withTimeout(Duration.ofSeconds(60))))
            throw new IllegalStateException("Kafka Streams does not stop");
    }

    /** Are all of the input's offsets committed, by transactions that have ended? */
    private boolean committed(String app, String input) throws Exception {
        var asked = new ListConsumerGroupOffsetsOptions().requireStable(true);
        var reached = admin.listConsumerGroupOffsets(app, asked).partitionsToOffsetAndMetadata().get();
        for (TopicPartition p : partitions(input)) {
            long end = admin.listOffsets(Map.of(p, OffsetSpec.latest())).partitionResult(p).get().offset();
            if (end > 0 && (reached.get(p) == null || reached.get(p).offset() < end))
                return false;
        }
        return true;
    }

    private String run(String app, String input, String output, long count, String commit) throws Exception {
        Loop.begin(count, Integer.parseInt(common.getProperty("num.stream.threads")));
        KafkaStreams streams = streams(app, input, output, commit);
        streams.start();
        long last = System.nanoTime();
        for (long seen = 0; Loop.handled.get() < count; Thread.sleep(5)) {
            long now = Loop.handled.get();
            if (now != seen)
                last = System.nanoTime();
            seen = now;
            if (System.nanoTime() - last > PATIENCE)
                throw new IllegalStateException("nothing moved for 120 s, " + seen + " events were handled");
        }
        while (!committed(app, input))
            Thread.sleep(20);
        long cpu = Loop.cpu() - Loop.firstCpu, visible = System.nanoTime() - Loop.firstNanos, handling = Loop.lastNanos - Loop.firstNanos;
        long steady = count - Loop.before;
        close(streams);
        if (Loop.handled.get() != count)
            throw new IllegalStateException(Loop.handled.get() + " events were handled, not " + count);
        return String.format(Locale.ROOT,
                             "{\"what\":\"streams\",\"commit_ms\":%s,\"events\":%d,\"seconds\":%.3f,\"per_second\":%.0f,"
                                 + "\"visible_per_second\":%.0f,\"cpu_us_per_event\":%.2f}",
                             commit, steady, handling / 1e9, steady / (handling / 1e9), steady / (visible / 1e9), cpu / 1e3 / steady);
    }

    private String state(String app, String input, String output) throws Exception {
        Map<String, Long> said = new HashMap<>();
        KafkaStreams streams = streams(app, input, output, "100");
        streams.cleanUp(); // what it had on disk: the changelog alone must do
        streams.start();
        awaitRunning(streams, input);
        var kind = QueryableStoreTypes.<byte[], Long>keyValueStore();
        try (var all = streams.store(StoreQueryParameters.fromNameAndType(Loop.STORE, kind)).all()) {
            while (all.hasNext()) {
                var one = all.next();
                said.put(new String(one.key, US_ASCII), one.value);
            }
        }
        close(streams);
        return json(said);
    }

    private static String json(Map<String, Long> state) {
        StringBuilder text = new StringBuilder("{\"what\":\"state\",\"keys\":{");
        state.forEach((key, n) -> text.append(text.charAt(text.length() - 1) == '{' ? "\"" : ",\"").append(key).append("\":").append(n));
        return text.append("}}").toString();
    }

    private String open(String app, String input, String output, String commit) throws Exception {
        opened = streams(app, input, output, commit);
        opened.start();
        awaitRunning(opened, input);
        return "{\"what\":\"open\"}";
    }

    private PerMessage perMessage(String app, String input, String output) throws Exception {
        List<TopicPartition> all = new ArrayList<>(partitions(input));
        all.sort(Comparator.comparing(TopicPartition::partition));
        return new PerMessage(common.getProperty("bootstrap.servers"), app, input, output, all);
    }

    private String openEach(String app, String input, String output) throws Exception {
        each = perMessage(app, input, output);
        working = each.start(Executors.newCachedThreadPool(), 0);
        return "{\"what\":\"open\"}";
    }

    private String close() throws Exception {
        if (each != null) {
            each.stop();
            for (Future<Void> one : working)
                one.get();
            each = null;
        } else {
            close(opened);
        }
        return "{\"what\":\"close\"}";
    }

    private String obey(String line) throws Exception {
        String[] word = line.split(" ");
        switch (word[0]) {
        case "run": return run(word[1], word[2], word[3], Long.parseLong(word[4]), word[5]);
        case "state": return state(word[1], word[2], word[3]);
        case "open": return open(word[1], word[2], word[3], word[4]);
        case "close": return close();
        case "each": return perMessage(word[1], word[2], word[3]).run(Long.parseLong(word[4]));
        case "each-open": return openEach(word[1], word[2], word[3]);
        case "each-state": return json(perMessage(word[1], word[2], word[3]).state());
        default: throw new IllegalArgumentException("no such command: " + line);
        }
    }

    public static void main(String[] arguments) {
        try {
            Streams all = new Streams(arguments);
            BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, US_ASCII));
            for (String line; (line = commands.readLine()) != null;)
                System.out.println(all.obey(line));
            System.exit(0);
        } catch (Exception error) {
            error.printStackTrace();
            System.exit(1);
        }
    }
}
