import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.hook.SendMessageContext;
import org.apache.rocketmq.client.hook.SendMessageHook;
import org.apache.rocketmq.client.impl.producer.TopicPublishInfo;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.MessageQueueSelector;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Clients that write down what they see of one broker, for `epitaph-bench story --clients`; goclient/window prints the same.
 * Arguments: name servers, topic, the broker that is watched, milliseconds between two messages of a client, then any number of
 * KIND=COUNT. The clients of a kind start evenly over one poll, and so do their polls. Each is a client instance of its own.
 * Prints "SEND client start micros attempts OK" or "... FAIL text", "ROUTE client time 1" when a client's route begins to name the
 * broker, 0 when it ends, and "GOT client time count". Times are milliseconds of Unix.
 */
public class Window {
    private static final long LOOK = 50;

    private static String nameServers;
    private static String topic;
    private static String watched;
    private static long every;

    public static void main(String[] args) throws Exception {
        nameServers = args[0];
        topic = args[1];
        watched = args[2];
        every = Long.parseLong(args[3]);
        for (int i = 4; i < args.length; i++) {
            String kind = args[i].substring(0, args[i].indexOf('='));
            int count = Integer.parseInt(args[i].substring(kind.length() + 1));
            long poll = kind.endsWith("-poll5s") ? 5_000 : 30_000;
            for (int k = 0; k < count; k++) {
                String name = kind + "-" + k;
                long wait = k * poll / count;
                new Thread(() -> run(kind, name, wait), name).start();
            }
        }
    }

    private static void run(String kind, String name, long wait) {
        try {
            Thread.sleep(wait);
            if (kind.equals("consumer")) {
                consume(name);
            } else {
                produce(kind, name);
            }
        } catch (Exception e) {
            e.printStackTrace();
            System.exit(1);
        }
    }

    private static void produce(String kind, String name) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("window_producer");
        producer.setNamesrvAddr(nameServers);
        producer.setInstanceName(name);
        if (kind.endsWith("-poll5s")) {
            producer.setPollNameServerInterval(5_000);
        }
        producer.setSendLatencyFaultEnable(kind.equals("fault-latency"));
        boolean ordered = kind.startsWith("ordered");
        AtomicInteger attempts = new AtomicInteger();
        producer.getDefaultMQProducerImpl().registerSendMessageHook(new SendMessageHook() {
            @Override
            public String hookName() {
                return "attempts";
            }

            @Override
            public void sendMessageBefore(SendMessageContext context) {
                attempts.incrementAndGet();
            }

            @Override
            public void sendMessageAfter(SendMessageContext context) {
            }
        });
        producer.start();
        watch(name, null, () -> {
            TopicPublishInfo info = producer.getDefaultMQProducerImpl().getTopicPublishInfoTable().get(topic);
            return info == null ? Collections.emptyList() : info.getMessageQueueList();
        });
        MessageQueueSelector byKey = new MessageQueueSelector() {
            @Override
            public MessageQueue select(List<MessageQueue> queues, Message message, Object key) {
                return queues.get((int) ((Long) key % queues.size()));
            }
        };
        for (long id = 0, next = System.currentTimeMillis(); ; id++) {
            Message message = new Message(topic, Long.toString(id).getBytes(StandardCharsets.UTF_8));
            attempts.set(0);
            long start = System.currentTimeMillis();
            long from = System.nanoTime();
            String end = "OK";
            try {
                SendResult result = ordered ? producer.send(message, byKey, id) : producer.send(message);
                if (result.getSendStatus() != SendStatus.SEND_OK) {
                    end = "FAIL " + result.getSendStatus();
                }
            } catch (Exception e) {
                end = "FAIL " + String.valueOf(e.getMessage()).replaceAll("\\s+", " ");
            }
            long micros = (System.nanoTime() - from) / 1000;
            System.out.println("SEND " + name + " " + start + " " + micros + " " + attempts.get() + " " + end);
            next = Math.max(next + every, System.currentTimeMillis());
            Thread.sleep(Math.max(0, next - System.currentTimeMillis()));
        }
    }

    private static void consume(String name) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("window_" + name + "_" + ProcessHandle.current().pid());
        consumer.setNamesrvAddr(nameServers);
        consumer.setInstanceName(name);
        consumer.subscribe(topic, "*");
        AtomicInteger got = new AtomicInteger();
        consumer.registerMessageListener(new MessageListenerConcurrently() {
            @Override
            public ConsumeConcurrentlyStatus consumeMessage(List<MessageExt> messages, ConsumeConcurrentlyContext context) {
                got.addAndGet(messages.size());
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
        });
        consumer.start();
        watch(name, got, () -> {
            Collection<MessageQueue> queues =
                consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl().getTopicSubscribeInfoTable().get(topic);
            return queues == null ? Collections.emptyList() : queues;
        });
    }

    private static void watch(String name, AtomicInteger got, Supplier<Collection<MessageQueue>> route) {
        Thread thread = new Thread(() -> {
            boolean named = false;
            while (true) {
                boolean now = route.get().stream().anyMatch(queue -> queue.getBrokerName().equals(watched));
                if (now != named) {
                    named = now;
                    System.out.println("ROUTE " + name + " " + System.currentTimeMillis() + " " + (now ? 1 : 0));
                }
                int count = got == null ? 0 : got.getAndSet(0);
                if (count > 0) {
                    System.out.println("GOT " + name + " " + System.currentTimeMillis() + " " + count);
                }
                try {
                    Thread.sleep(LOOK);
                } catch (InterruptedException e) {
                    return;
                }
            }
        });
        thread.setDaemon(true);
        thread.start();
    }
}
