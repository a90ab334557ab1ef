"""Computes internal/murmur2/testdata/partitions.json: keys and the partitions that other clients give them.

The Java client computes its own (Partitions.java, needs a JDK); librdkafka shows its own by producing to a
broker with partitioner=murmur2_random. Where the two differ, nothing is written. From the project's root:

    scripts/kafka.sh run -- scripts/python.sh scripts/vectors/vectors.py
"""

import base64
import hashlib
import json
import os
import pathlib
import subprocess
import uuid

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

COUNTS = [1, 3, 6, 12, 50]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def keys():
    """About 200 keys: every length modulo four, every value of a last byte that matters, text, binary."""
    yield b""
    for length in range(1, 18):
        yield b"a" * length
    for length in range(1, 10):
        yield b"\x00" * length
        yield b"\xff" * length
        yield bytes(range(0x7C, 0x7C + length))
    for byte in (0x00, 0x01, 0x09, 0x0A, 0x20, 0x7F, 0x80, 0xC3, 0xFE, 0xFF):
        for head in (b"", b"k", b"ke", b"key"):
            yield head + bytes([byte])
    for number in range(30):
        yield str(number * number * 37).encode()
    for number in range(30):
        yield str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:key:{number}")).encode()
    for carrier, flight in (("UA", 1545), ("AA", 1141), ("B6", 725), ("DL", 461), ("EV", 5708), ("MQ", 4650)):
        yield f"{carrier}-{flight}".encode()
        yield f"{carrier}|{flight}".encode()
    for text in (
        "customer", "Customer", "customer ", " customer", "customer-0123456789", "sales|customer|42", "a|b\\|c",
        "é", "e\u0301", "ß", "Ünïcödé", "naïve café", "日本語", "日本語キー", "한국어", "中文", "العربية", "עברית",
        "हिन्दी", "ไทย", "Ελληνικά", "Русский", "😀", "👩‍👩‍👧‍👦", "🇨🇭", "\u0000", "\ufeffbom", "\U0010ffff", "line\nbreak",
        "tab\tkey", '{"id":7}', "urn:uuid:0", "https://example.com/a?b=c#d",
    ):
        yield text.encode()
    for length in (31, 32, 33, 63, 64, 127, 255, 256, 1000, 1023, 2048):
        yield hashlib.shake_256(str(length).encode()).digest(length)


def java(all_keys):
    """Returns (hash, [partition…]) per key."""
    classpath = subprocess.run([ROOT / "scripts/kafka.sh", "fetch"], check=True, capture_output=True, text=True).stdout.strip()
    done = subprocess.run(
        ["java", "-cp", classpath, ROOT / "scripts/vectors/Partitions.java", *map(str, COUNTS)],
        input="".join(base64.b64encode(key).decode() + "\n" for key in all_keys),
        check=True, capture_output=True, text=True,
    )
    rows = [[int(field) for field in line.split()] for line in done.stdout.splitlines()]
    return [(row[0], row[1:]) for row in rows]


def librdkafka(all_keys, brokers):
    """Returns [partition…] per key, taken from the delivery reports."""
    admin = AdminClient({"bootstrap.servers": brokers})
    topics = [f"partitions-{count}-{uuid.uuid4()}" for count in COUNTS]
    created = admin.create_topics([NewTopic(topic, count, 1) for topic, count in zip(topics, COUNTS)])
    for future in created.values():
        future.result()
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": brokers, "partitioner": "murmur2_random", "acks": "all"}
    )
    partitions = [[-1] * len(COUNTS) for _ in all_keys]
    failures = []
    for column, topic in enumerate(topics):
        for row, key in enumerate(all_keys):
            def delivered(error, message, row=row, column=column):
                if error is not None:
                    failures.append(error)
                else:
                    partitions[row][column] = message.partition()

            producer.produce(topic, key=key, value=b"", on_delivery=delivered)
    if producer.flush(60) or failures:
        raise SystemExit(f"not everything was delivered: {failures[:3]}")
    for future in admin.delete_topics(topics).values():
        future.result()
    return partitions


def main():
    all_keys = list(dict.fromkeys(keys()))
    by_java = java(all_keys)
    by_librdkafka = librdkafka(all_keys, os.environ["EVENTBUS_TEST_BROKERS"])
    rows = []
    for key, (hashed, expected), seen in zip(all_keys, by_java, by_librdkafka, strict=True):
        if expected != seen:
            raise SystemExit(f"the Java client and librdkafka differ on {key!r}: {expected} and {seen}")
        rows.append({"key": base64.b64encode(key).decode(), "hash": hashed, "partitions": expected})
    document = {
        "note": "Computed by Kafka's Java client (Utils.murmur2, BuiltInPartitioner.partitionForKey) and, for the "
        "partitions, by librdkafka (partitioner=murmur2_random, from delivery reports); both agree on every row. "
        "See scripts/vectors/vectors.py.",
        "java": "kafka-clients " + os.environ.get("KAFKA_VERSION", "4.4.0"),
        "librdkafka": confluent_kafka.libversion()[0],
    }
    head = json.dumps(document, indent=1)[:-2] + f',\n "counts": {COUNTS}'
    body = ",\n".join("  " + json.dumps(row) for row in rows)
    target = ROOT / "internal/murmur2/testdata/partitions.json"
    target.write_text(f'{head},\n "keys": [\n{body}\n ]\n}}\n')
    print(f"{target.relative_to(ROOT)}: {len(rows)} keys")


if __name__ == "__main__":
    main()
