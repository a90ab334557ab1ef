package outbox;

import io.debezium.transforms.outbox.EventRouter;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.StringConverter;

/** Sends the inserts of an outbox table through Debezium's event router, and writes what comes out, as Connect does. */
public class Router {
    static final Schema ROW = SchemaBuilder.struct().name("db.public.outbox.Value")
        .field("id", Schema.STRING_SCHEMA).field("aggregatetype", Schema.STRING_SCHEMA).field("aggregateid", Schema.STRING_SCHEMA)
        .field("type", Schema.STRING_SCHEMA).field("payload", Schema.STRING_SCHEMA).optional().build();
    static final Schema SOURCE = SchemaBuilder.struct().name("io.debezium.connector.postgresql.Source")
        .field("ts_ms", Schema.INT64_SCHEMA).build();
    static final Schema CHANGE = SchemaBuilder.struct().name("db.public.outbox.Envelope")
        .field("before", ROW).field("after", ROW).field("source", SOURCE).field("op", Schema.STRING_SCHEMA)
        .field("ts_ms", Schema.OPTIONAL_INT64_SCHEMA).build();

    /** Arguments: the brokers, the topic, and true for payloads that are expanded as JSON. */
    public static void main(String[] args) {
        boolean expand = Boolean.parseBoolean(args[2]);
        Map<String, Object> config = new HashMap<>();
        config.put("route.topic.replacement", args[1]);
        config.put("table.fields.additional.placement", "type:header:eventType");
        config.put("table.expand.json.payload", expand);
        Converter keys = new StringConverter();
        keys.configure(Map.of(), true);
        Converter values = new JsonConverter();
        values.configure(Map.of("schemas.enable", "false"), false);
        try (var router = new EventRouter<SourceRecord>();
             var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", args[0]), new ByteArraySerializer(), new ByteArraySerializer())) {
            router.configure(config);
            for (int i = 0; i < 3; i++) {
                var row = new Struct(ROW).put("id", "4d47e190-0402-4048-bc2c-89dd5434000" + i).put("aggregatetype", "order")
                    .put("aggregateid", "o-" + i).put("type", "OrderPlaced").put("payload", "{\"id\":\"o-" + i + "\",\"total\":" + i + "}");
                var change = new Struct(CHANGE).put("after", row).put("source", new Struct(SOURCE).put("ts_ms", 1764206000000L))
                    .put("op", "c").put("ts_ms", 1764206000000L);
                SourceRecord out = router.apply(new SourceRecord(Map.of(), Map.of(), "db.public.outbox", null, null, CHANGE, change));
                var record = new ProducerRecord<>(out.topic(), null, keys.fromConnectData(out.topic(), out.keySchema(), out.key()),
                    values.fromConnectData(out.topic(), out.valueSchema(), out.value()));
                for (Header h : out.headers()) {
                    record.headers().add(h.key(), h.value().toString().getBytes(StandardCharsets.UTF_8));
                }
                producer.send(record);
            }
        }
    }
}
