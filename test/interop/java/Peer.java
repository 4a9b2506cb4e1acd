import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * A producer and a consumer on the remoting protocol, compiled by the tests against the client of each release.
 * Arguments: name server (or "domain:" and the HOST:PORT of an address server), topic, consumer group or "-", number of messages
 * (-1: without end), milliseconds between. A topic that ends in * is another one for each message, sent by a producer of its own.
 * Prints "OK id broker", "FAIL id text" and "GOT id broker".
 */
public class Peer {
    public static void main(String[] args) throws Exception {
        String nameServer = args[0];
        if (nameServer.startsWith("domain:")) { // before any class of the client looks for it
            System.setProperty("rocketmq.namesrv.domain", nameServer.substring("domain:".length()));
            nameServer = null;
        }
        String topic = args[1];
        String group = args[2];
        long count = Long.parseLong(args[3]);
        long every = Long.parseLong(args[4]);
        if (!group.equals("-")) {
            consume(nameServer, topic, group);
        }
        if (count != 0) {
            produce(nameServer, topic, count, every);
        }
        System.out.println("DONE");
        Thread.currentThread().join();
    }

    private static void consume(String nameServer, String topic, String group) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        if (nameServer != null) {
            consumer.setNamesrvAddr(nameServer);
        }
        consumer.setInstanceName("consumer");
        consumer.setVipChannelEnabled(false);
        consumer.setPollNameServerInterval(1000);
        consumer.setHeartbeatBrokerInterval(1000);
        consumer.setMqClientApiTimeout(60000); // without an answer in that time it does not start
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(new MessageListenerConcurrently() {
            @Override
            public ConsumeConcurrentlyStatus consumeMessage(List<MessageExt> messages, ConsumeConcurrentlyContext context) {
                for (MessageExt message : messages) {
                    System.out.println("GOT " + message.getKeys() + " " + context.getMessageQueue().getBrokerName());
                }
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
        });
        consumer.start();
    }

    private static void produce(String nameServer, String topic, long count, long every) throws Exception {
        boolean fresh = topic.endsWith("*");
        DefaultMQProducer producer = fresh ? null : start(nameServer, "producer");
        for (long id = 0; count < 0 || id < count; id++) {
            try {
                byte[] body = ("message " + id).getBytes(StandardCharsets.UTF_8);
                String to = topic;
                if (fresh) {
                    to = topic.substring(0, topic.length() - 1) + id;
                    producer = start(nameServer, "producer" + id);
                }
                SendResult result = producer.send(new Message(to, "", Long.toString(id), body));
                if (fresh) {
                    producer.shutdown();
                }
                System.out.println("OK " + id + " " + result.getMessageQueue().getBrokerName());
            } catch (Exception e) {
                System.out.println("FAIL " + id + " " + why(e).replace('\n', ' '));
            }
            Thread.sleep(every);
        }
    }

    /** The text of an exception and of what caused it: the client tells only in the latter what a broker has answered. */
    private static String why(Throwable e) {
        StringBuilder text = new StringBuilder(String.valueOf(e.getMessage()));
        for (Throwable cause = e.getCause(); cause != null; cause = cause.getCause()) {
            text.append(" <- ").append(cause.getClass().getSimpleName()).append(": ").append(cause.getMessage());
        }
        return text.toString();
    }

    private static DefaultMQProducer start(String nameServer, String instance) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("peer_producer");
        if (nameServer != null) {
            producer.setNamesrvAddr(nameServer);
        }
        producer.setInstanceName(instance);
        producer.setVipChannelEnabled(false);
        producer.setPollNameServerInterval(1000);
        producer.setHeartbeatBrokerInterval(1000);
        producer.setSendMsgTimeout(Integer.getInteger("sendTimeout", 3000));
        producer.setMqClientApiTimeout(Integer.getInteger("sendTimeout", 3000)); // for routes, before a message is sent
        producer.start();
        return producer;
    }
}
