import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.Base64;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

/**
 * Reads keys in base64, one a line, and prints for each the murmur2 hash and then its partition in
 * topics of as many partitions as the arguments say, as Kafka's Java client computes them.
 */
public class Partitions {
    public static void main(String[] counts) throws IOException {
        BufferedReader keys = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = keys.readLine()) != null; ) {
            byte[] key = Base64.getDecoder().decode(line);
            StringBuilder row = new StringBuilder().append(Utils.murmur2(key));
            for (String count : counts) {
                row.append(' ').append(BuiltInPartitioner.partitionForKey(key, Integer.parseInt(count)));
            }
            System.out.println(row);
        }
    }
}
