package shop;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.support.serializer.JsonDeserializer;
import org.springframework.kafka.support.serializer.JsonSerializer;

/** Writes orders with Spring Kafka's JsonSerializer, and reads them with its JsonDeserializer. */
public class OrderPlaced {
    public String id;
    public int total;

    /** Arguments: write or read, the brokers, the topic, the number of records. */
    public static void main(String[] args) {
        int count = Integer.parseInt(args[3]);
        if (args[0].equals("write")) {
            write(args[1], args[2], count);
        } else {
            read(args[1], args[2], count);
        }
    }

    static void write(String brokers, String topic, int count) {
        try (var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", brokers), new StringSerializer(), new JsonSerializer<OrderPlaced>())) {
            for (int i = 0; i < count; i++) {
                var order = new OrderPlaced();
                order.id = "o-" + i;
                order.total = i;
                producer.send(new ProducerRecord<>(topic, order.id, order));
            }
        }
    }

    static void read(String brokers, String topic, int count) {
        var values = new JsonDeserializer<Object>();
        values.addTrustedPackages("shop");
        try (var consumer = new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", brokers, "group.id", "spring", "auto.offset.reset", "earliest"), new StringDeserializer(), values)) {
            consumer.subscribe(List.of(topic));
            while (count > 0) {
                for (ConsumerRecord<String, Object> r : consumer.poll(Duration.ofSeconds(1))) {
                    var order = (OrderPlaced) r.value(); // the class that the header names
                    System.out.println(r.key() + " " + order.id + " " + order.total);
                    count--;
                }
            }
        }
    }
}
