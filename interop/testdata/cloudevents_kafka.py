"""CloudEvents over Kafka as Python programs write and read them: the cloudevents package over confluent-kafka.

    cloudevents_kafka.py write BROKERS TOPIC binary|structured   events from standard input
    cloudevents_kafka.py read  BROKERS TOPIC COUNT               the first COUNT events to standard output

Events are lines of JSON: {"attributes": {…}, "data": …}; read adds "mode" (which the package found out), "key",
"partition" and "headers".
"""

import datetime
import json
import sys

import confluent_kafka
from cloudevents.core.bindings import kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent


def write(brokers, topic, mode):
    producer = confluent_kafka.Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random"})
    failures = []

    def delivered(error, _message):
        if error is not None:
            failures.append(str(error))

    for line in sys.stdin:
        event = json.loads(line)
        attributes = event["attributes"]
        if "time" in attributes:
            attributes["time"] = datetime.datetime.fromisoformat(attributes["time"])
        convert = kafka.to_binary if mode == "binary" else kafka.to_structured
        message = convert(CloudEvent(attributes, event["data"]), JSONFormat())
        producer.produce(
            topic, key=message.key, value=message.value, headers=list(message.headers.items()), on_delivery=delivered
        )
    if producer.flush(30) or failures:
        sys.exit(f"not everything was delivered: {failures}")


def read(brokers, topic, count):
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": brokers, "group.id": "python", "enable.auto.commit": False}
    )
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign(
        [confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING) for p in partitions]
    )
    for _ in range(int(count)):
        record = consumer.poll(30)
        if record is None or record.error():
            sys.exit(f"no record: {record and record.error()}")
        headers = record.headers() or []
        message = kafka.KafkaMessage(headers=dict(headers), key=record.key(), value=record.value())
        event = kafka.from_kafka(message, JSONFormat())
        structured = message.headers.get("content-type", b"").startswith(b"application/cloudevents")
        print(
            json.dumps(
                {
                    "mode": "structured" if structured else "binary",
                    "attributes": {name: text(value) for name, value in event.get_attributes().items()},
                    "data": event.get_data(),
                    "key": record.key() and record.key().decode(),
                    "partition": record.partition(),
                    "headers": [[name, value.decode()] for name, value in headers],
                }
            )
        )
    consumer.close()


def text(value):
    return value.isoformat() if isinstance(value, datetime.datetime) else value


if __name__ == "__main__":
    {"write": write, "read": read}[sys.argv[1]](*sys.argv[2:])
