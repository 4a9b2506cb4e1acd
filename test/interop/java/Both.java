import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.example.benchmark.Consumer;
import org.apache.rocketmq.example.benchmark.Producer;

/**
 * Runs the benchmark producer and consumer of rocketmq-example in one JVM. Arguments: name server, topic. The consumer
 * comes when the producer has created the topic; before that it would wait for its next poll in 30 seconds.
 */
public class Both {
    public static void main(String[] args) throws Exception {
        Thread sending = new Thread(() -> {
            try {
                Producer.main(new String[] {"-n", args[0], "-t", args[1], "-w", "2", "-s", "64", "-m", "true", "-ri", "2000"});
            } catch (MQClientException e) {
                throw new IllegalStateException(e);
            }
        });
        sending.start();
        awaitTopic(args[0], args[1]);
        Consumer.main(new String[] {"-n", args[0], "-t", args[1], "-w", "4", "-ri", "2000"});
        sending.join();
    }

    private static void awaitTopic(String nameServer, String topic) throws Exception {
        DefaultMQProducer asking = new DefaultMQProducer("asking");
        asking.setNamesrvAddr(nameServer);
        asking.setInstanceName("asking");
        asking.start();
        while (true) {
            try {
                asking.fetchPublishMessageQueues(topic);
                break;
            } catch (MQClientException e) {
                Thread.sleep(200);
            }
        }
        asking.shutdown();
    }
}
