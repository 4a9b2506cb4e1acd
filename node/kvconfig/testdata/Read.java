import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.namesrv.kvconfig.KVConfigSerializeWrapper;

/** Reads each line of a file as RocketMQ reads kvConfig.json, and prints what it holds. ~n is a line feed, ~t a tab, ~0 a zero byte. */
public class Read {
    public static void main(String[] args) throws Exception {
        for (String line : Files.readAllLines(Paths.get(args[0]))) {
            String input = line.split("\t")[0];
            System.out.println(input + "\t" + held(input.replace("~n", "\n").replace("~t", "\t").replace("~0", "\0")));
        }
    }

    static String held(String text) {
        try {
            KVConfigSerializeWrapper w = KVConfigSerializeWrapper.fromJson(text, KVConfigSerializeWrapper.class);
            if (w == null) {
                return "{}";
            }
            StringBuilder out = new StringBuilder();
            for (Map.Entry<?, ?> namespace : new TreeMap<>(w.getConfigTable()).entrySet()) {
                if (namespace.getValue() == null) {
                    continue;
                }
                StringBuilder values = new StringBuilder();
                for (Map.Entry<?, ?> e : new TreeMap<>((Map<?, ?>) namespace.getValue()).entrySet()) {
                    if (e.getValue() != null) {
                        values.append(values.length() == 0 ? "" : ",").append(quoted(e.getKey())).append(':').append(quoted(e.getValue()));
                    }
                }
                out.append(out.length() == 0 ? "" : ",").append(quoted(namespace.getKey())).append(":{").append(values).append('}');
            }
            return "{" + out + "}";
        } catch (Throwable t) {
            return "refused";
        }
    }

    static String quoted(Object text) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : ((String) text).toCharArray()) {
            if (c == '"' || c == '\\') {
                b.append('\\').append(c);
            } else if (c == '\n' || c == '\t') {
                b.append(c == '\n' ? "\\n" : "\\t");
            } else if (c < ' ') {
                b.append(String.format("\\u%04x", (int) c));
            } else {
                b.append(c);
            }
        }
        return b.append('"').toString();
    }
}
