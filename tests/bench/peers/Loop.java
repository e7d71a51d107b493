// SPDX-License-Identifier: MIT
// What a handler of tests/bench/flow.c does, as a processor of Kafka Streams: one more in the state of the event's key, and the
// event again with the headers of a bus service.
import static java.nio.charset.StandardCharsets.US_ASCII;

import java.lang.management.ManagementFactory;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

final class Loop implements Processor<byte[], Event, byte[], Event> {
    static final String STORE = "stock";

    /** Over all threads. The clock begins when each of them has handled something: until then they still share the partitions. */
    static final AtomicLong handled = new AtomicLong();
    static volatile long before, firstNanos, lastNanos, firstCpu;
    private static volatile long target;
    private static final Set<Thread> seen = ConcurrentHashMap.newKeySet();
    private static volatile int threads;

    private static final Header VERSION = constant("ce_specversion", "1.0"), SOURCE = constant("ce_source", "streams"),
                                TYPE = constant("ce_type", "bench.Event"), CONTENT = constant("content-type", "application/avro");

    private ProcessorContext<byte[], Event> context;
    private KeyValueStore<byte[], Long> stock;
    private boolean begun;

    private static Header constant(String name, String value) {
        return new RecordHeader(name, value.getBytes(US_ASCII));
    }

    /** Of the process, its compiler and collector included. */
    static long cpu() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    static void begin(long count, int wanted) {
        target = count;
        threads = wanted;
        seen.clear();
        handled.set(0);
    }

    private static void clock(long count) {
        before = count;
        firstCpu = cpu();
        firstNanos = System.nanoTime();
    }

    /** Those of an output, whose cause has these. */
    static Headers headers(Headers cause) {
        Header id = cause.lastHeader("ce_id"), first = cause.lastHeader("ce_correlationid");
        return new RecordHeaders()
            .add(VERSION)
            .add(new RecordHeader("ce_id", Event.id()))
            .add(SOURCE)
            .add(TYPE)
            .add(CONTENT)
            .add(new RecordHeader("ce_correlationid", (first == null ? id : first).value()))
            .add(new RecordHeader("ce_causationid", id.value()));
    }

    static Topology topology(String input, String output) {
        return new Topology()
            .addSource("in", new ByteArrayDeserializer(), new Event.Reader(), input)
            .addProcessor("loop", Loop::new, "in")
            .addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(STORE), Serdes.ByteArray(), Serdes.Long())
                               .withCachingEnabled()
                               .withLoggingEnabled(Map.of("compression.type", "producer")),
                           "loop")
            .addSink("out", output, new ByteArraySerializer(), new Event.Writer(), "loop");
    }

    @Override
    public void init(ProcessorContext<byte[], Event> context) {
        this.context = context;
        stock = context.getStateStore(STORE);
    }

    @Override
    public void process(Record<byte[], Event> record) {
        long count = handled.incrementAndGet();
        if (!begun) {
            begun = true;
            if (seen.add(Thread.currentThread()) && (count == 1 || seen.size() == threads))
                clock(count);
        }
        Long n = stock.get(record.key());
        stock.put(record.key(), n == null ? 1 : n + 1);

        context.forward(record.withHeaders(headers(record.headers())));
        if (count == target)
            lastNanos = System.nanoTime();
    }
}
