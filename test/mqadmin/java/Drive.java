import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Base64;

import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * Runs mqadmin commands one after the other in this JVM. Each line of the input is one command: the milliseconds it may
 * take, then its words, separated by tabs. Each gets one line back: "DONE", its number, and what it printed on both
 * outputs in base64. A command that takes longer is interrupted, which is how those that never end are ended.
 *
 * The word "!online NAMESERVER TOPIC GROUP" starts a consumer and a producer that stay.
 */
public class Drive {
    private static final long LAST_WORDS = 10_000;
    private static final long LOOK = 50;

    public static void main(String[] none) throws Exception {
        PrintStream out = System.out;
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        int number = 0;
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split("\t", -1);
            ByteArrayOutputStream printed = new ByteArrayOutputStream();
            PrintStream capture = new PrintStream(printed, true, "UTF-8");
            System.setOut(capture);
            System.setErr(capture);
            Thread running = new Thread(() -> run(Arrays.copyOfRange(words, 1, words.length)));
            running.start();
            awaitEnd(running, Long.parseLong(words[0]));
            if (running.isAlive()) {
                running.interrupt();
                running.join(LAST_WORDS);
                if (running.isAlive()) {
                    capture.println("DRIVER: the command did not end when it was interrupted");
                }
            }
            capture.flush();
            out.println("DONE " + number++ + " " + Base64.getEncoder().encodeToString(printed.toByteArray()));
            out.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    /** A command object keeps the client of its last run, so each run gets new objects. */
    private static class Fresh extends MQAdminStartup {
        static void run(String[] words) {
            SUB_COMMANDS.clear();
            main0(words, null);
        }
    }

    /** Waits for a command, and spares it the 3 seconds for which a client that shuts down waits for its event thread. */
    private static void awaitEnd(Thread running, long limit) throws InterruptedException {
        for (long end = System.currentTimeMillis() + limit; running.isAlive() && System.currentTimeMillis() < end; ) {
            running.join(LOOK);
            for (StackTraceElement at : running.getStackTrace()) {
                if (at.getClassName().endsWith(".ServiceThread") && at.getMethodName().equals("shutdown")) {
                    Thread.getAllStackTraces().keySet().stream().filter(t -> t.getName().equals("NettyEventExecutor")).forEach(Thread::interrupt);
                }
            }
        }
    }

    private static void run(String[] words) {
        try {
            if (words.length > 0 && words[0].equals("!online")) {
                online(words[1], words[2], words[3]);
            } else {
                Fresh.run(words);
            }
        } catch (Throwable e) {
            e.printStackTrace();
        }
    }

    private static void online(String nameServer, String topic, String group) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName("consumer-" + nameServer);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        consumer.start();
        DefaultMQProducer producer = new DefaultMQProducer(group + "-producers");
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("producer-" + nameServer);
        producer.start();
        producer.send(new Message(topic, "hello".getBytes(StandardCharsets.UTF_8))); // heartbeats go to brokers of known topics
        producer.getDefaultMQProducerImpl().getmQClientFactory().sendHeartbeatToAllBrokerWithLock();
    }
}
