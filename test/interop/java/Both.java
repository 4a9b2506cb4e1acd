import org.apache.rocketmq.example.benchmark.Consumer;
import org.apache.rocketmq.example.benchmark.Producer;

/** Runs the benchmark consumer and producer of rocketmq-example in one JVM. Arguments: name server, topic. */
public class Both {
    public static void main(String[] args) throws Exception {
        Consumer.main(new String[] {"-n", args[0], "-t", args[1], "-w", "4", "-ri", "2000"});
        Producer.main(new String[] {"-n", args[0], "-t", args[1], "-w", "2", "-s", "64", "-m", "true", "-ri", "2000"});
    }
}
