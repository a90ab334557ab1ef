"""Encodes and decodes with Confluent's serializers: a list of tasks as JSON on stdin, the answers on stdout."""
import base64
import json
import sys

from confluent_kafka.schema_registry import SchemaRegistryClient, topic_record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, timestamp_pb2  # noqa: F401

client = SchemaRegistryClient({"url": sys.argv[1]})
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
    context = SerializationContext(task["topic"], MessageField.VALUE, [])
    kind, data = task["format"], bytes.fromhex(task.get("data", ""))
    if kind == "avro":
        if task["op"] == "encode":
            return AvroSerializer(client, task["schema"], conf=conf)(task["value"], context).hex()
        return AvroDeserializer(client)(data, context)
    if kind == "json":
        if task["op"] == "encode":
            return JSONSerializer(task["schema"], client, conf=conf)(task["value"], context).hex()
        return JSONDeserializer(task["schema"], schema_registry_client=client)(data, context)
    cls = message(task)
    if task["op"] == "encode":
        value = json_format.ParseDict(task["value"], cls())
        return ProtobufSerializer(cls, client, conf=dict(conf, **{"skip.known.types": True, "use.latest.version": False}))(value, context).hex()
    return json_format.MessageToDict(ProtobufDeserializer(cls, conf={})(data, context))


json.dump([run(task) for task in json.load(sys.stdin)], sys.stdout)
