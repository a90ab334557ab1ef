"""Encodes and decodes with Confluent's serializers: a list of tasks as JSON on stdin, the answers on stdout.

A task with a "header" has the schema's id there: it encodes to a pair of the value and the header, and decodes by both.
"""
import base64
import json
import sys

from confluent_kafka.schema_registry import (
    SchemaRegistryClient,
    dual_schema_id_deserializer,
    header_schema_id_serializer,
    topic_record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, timestamp_pb2  # noqa: F401

# Apicurio leaves a request without an answer now and then, and without a timeout the client waits for it for good; with
# one it asks again.
client = SchemaRegistryClient({"url": sys.argv[1], "timeout": 5})
conf = {"auto.register.schemas": False, "use.latest.version": True, "subject.name.strategy": topic_record_subject_name_strategy}


def message(task):
    pool = descriptor_pool.Default()
    for text in task["files"]:
        file = descriptor_pb2.FileDescriptorProto()
        file.ParseFromString(base64.b64decode(text))
        try:
            pool.Add(file)
        except TypeError:
            pass  # there already
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(task["message"]))


def run(task):
    header = task.get("header")
    headers = [("__value_schema_id", bytes.fromhex(header))] if header else []
    context = SerializationContext(task["topic"], MessageField.VALUE, headers)
    kind, data = task["format"], bytes.fromhex(task.get("data", ""))
    write = dict(conf, **({"schema.id.serializer": header_schema_id_serializer} if header is not None else {}))
    read = {"schema.id.deserializer": dual_schema_id_deserializer} if header is not None else {}

    def encoded(value):
        return [value.hex(), context.headers[0][1].hex()] if header is not None else value.hex()

    if kind == "avro":
        if task["op"] == "encode":
            return encoded(AvroSerializer(client, task["schema"], conf=write)(task["value"], context))
        return AvroDeserializer(client, conf=read)(data, context)
    if kind == "json":
        if task["op"] == "encode":
            return encoded(JSONSerializer(task["schema"], client, conf=write)(task["value"], context))
        return JSONDeserializer(task["schema"], schema_registry_client=client, conf=read)(data, context)
    cls = message(task)
    if task["op"] == "encode":
        value = json_format.ParseDict(task["value"], cls())
        return encoded(ProtobufSerializer(cls, client, conf=dict(write, **{"skip.known.types": True, "use.latest.version": False}))(value, context))
    return json_format.MessageToDict(ProtobufDeserializer(cls, conf=read)(data, context))


json.dump([run(task) for task in json.load(sys.stdin)], sys.stdout)
