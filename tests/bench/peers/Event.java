// SPDX-License-Identifier: MIT
// bench.Event (tests/bench/bench.h) in Avro behind its framing, written by hand: a number and a text. The text is not copied
// until it is written again, as in the bus.
import java.util.concurrent.ThreadLocalRandom;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serializer;

final class Event {
    /** C3 01 and the schema's fingerprint. */
    private static final byte[] FRAMING = {
        (byte) 0xC3, 0x01, 0x24, (byte) 0xC4, (byte) 0x90, (byte) 0xEB, 0x0C, (byte) 0xAF, (byte) 0xC3, (byte) 0x92
    };

    final long number;
    private final byte[] from;
    private final int at, length;

    private Event(long number, byte[] from, int at, int length) {
        this.number = number;
        this.from = from;
        this.at = at;
        this.length = length;
    }

    private static SerializationException wrong(String why) {
        return new SerializationException("bench.Event: " + why);
    }

    /** All threads share one of each, so they keep nothing. */
    static final class Reader implements Deserializer<Event> {
        @Override
        public Event deserialize(String topic, byte[] bytes) {
            if (bytes == null || bytes.length < FRAMING.length + 2)
                throw wrong("too short");
            for (int i = 0; i < FRAMING.length; i++)
                if (bytes[i] != FRAMING[i])
                    throw wrong("not its framing");
            int second = end(bytes, FRAMING.length), text = end(bytes, second);
            long number = value(bytes, FRAMING.length, second), length = value(bytes, second, text);
            if (length != bytes.length - text)
                throw wrong("its text is not what the length says");
            return new Event(number, bytes, text, (int) length);
        }

        /** Behind the number that begins there. */
        private static int end(byte[] bytes, int at) {
            for (int end = at; end < bytes.length && end < at + 10; end++)
                if (bytes[end] >= 0)
                    return end + 1;
            throw wrong("a number without an end");
        }

        private static long value(byte[] bytes, int at, int end) {
            long value = 0;
            for (int i = end; i-- > at;)
                value = value << 7 | bytes[i] & 0x7F;
            return value >>> 1 ^ -(value & 1);
        }
    }

    static final class Writer implements Serializer<Event> {
        @Override
        public byte[] serialize(String topic, Event event) {
            long number = event.number << 1 ^ event.number >> 63, length = (long) event.length << 1;
            int text = FRAMING.length + size(number) + size(length);
            byte[] out = new byte[text + event.length];
            System.arraycopy(FRAMING, 0, out, 0, FRAMING.length);
            write(out, write(out, FRAMING.length, number), length);
            System.arraycopy(event.from, event.at, out, text, event.length);
            return out;
        }

        private static int size(long value) {
            return value == 0 ? 1 : (70 - Long.numberOfLeadingZeros(value)) / 7;
        }

        /** Where it ends. */
        private static int write(byte[] out, int at, long value) {
            for (; (value & ~0x7FL) != 0; value >>>= 7)
                out[at++] = (byte) (value | 0x80);
            out[at++] = (byte) value;
            return at;
        }
    }

    /** A random UUID's text. UUID.randomUUID() asks the system for each. */
    static byte[] id() {
        ThreadLocalRandom random = ThreadLocalRandom.current();
        long high = random.nextLong() & ~0xF000L | 0x4000L, low = random.nextLong() >>> 2 | 1L << 63;
        byte[] out = new byte[36];
        for (int i = 0, nibble = 0; i < 36; i++) {
            if (i == 8 || i == 13 || i == 18 || i == 23) {
                out[i] = '-';
                continue;
            }
            long half = nibble < 16 ? high : low;
            int digit = (int) (half >>> 60 - 4 * (nibble++ & 15)) & 15;
            out[i] = (byte) (digit < 10 ? '0' + digit : 'a' + digit - 10);
        }
        return out;
    }
}
