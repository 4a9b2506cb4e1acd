import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collections;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.producer.Producer;

/**
 * A producer and a consumer on the gRPC protocol of the proxy (rocketmq-client-java), with the arguments and the
 * output of Peer; the broker is always "proxy". The topic must exist, with one queue: a group that the broker does not
 * know yet begins at the end of each queue when it first asks for it, so warm-up messages are sent until one arrives.
 */
public class Grpc {
    private static final String WARM_UP = "warm-up";

    public static void main(String[] args) throws Exception {
        String topic = args[1];
        String group = args[2];
        long count = Long.parseLong(args[3]);
        long every = Long.parseLong(args[4]);
        ClientServiceProvider provider = ClientServiceProvider.loadService();
        ClientConfiguration configuration = ClientConfiguration.newBuilder()
            .setEndpoints(args[0]).enableSsl(false).setRequestTimeout(Duration.ofSeconds(10)).build();
        CountDownLatch receiving = new CountDownLatch(group.equals("-") ? 0 : 1);
        if (!group.equals("-")) {
            provider.newPushConsumerBuilder()
                .setClientConfiguration(configuration)
                .setConsumerGroup(group)
                .setSubscriptionExpressions(Collections.singletonMap(topic, FilterExpression.SUB_ALL))
                .setMessageListener(message -> {
                    System.out.println("GOT " + message.getKeys().iterator().next() + " proxy");
                    receiving.countDown();
                    return ConsumeResult.SUCCESS;
                })
                .build();
        }
        Producer producer = provider.newProducerBuilder().setClientConfiguration(configuration).setTopics(topic).build();
        do {
            producer.send(message(provider, topic, WARM_UP));
        } while (!receiving.await(200, TimeUnit.MILLISECONDS));
        for (long id = 0; count < 0 || id < count; id++) {
            try {
                producer.send(message(provider, topic, Long.toString(id)));
                System.out.println("OK " + id + " proxy");
            } catch (Exception e) {
                System.out.println("FAIL " + id + " " + String.valueOf(e.getMessage()).replace('\n', ' '));
            }
            Thread.sleep(every);
        }
        System.out.println("DONE");
        Thread.currentThread().join();
    }

    private static Message message(ClientServiceProvider provider, String topic, String key) {
        return provider.newMessageBuilder().setTopic(topic).setKeys(key)
            .setBody(("message " + key).getBytes(StandardCharsets.UTF_8)).build();
    }
}
