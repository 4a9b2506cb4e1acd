import com.alibaba.fastjson2.JSONWriter;
import io.netty.buffer.Unpooled;
import java.io.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.*;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.remoting.protocol.*;
import org.apache.rocketmq.remoting.protocol.body.*;
import org.apache.rocketmq.remoting.protocol.route.*;
import org.apache.rocketmq.remoting.protocol.statictopic.TopicQueueMappingInfo;

/**
 * Asks the released Java classes what they make of inputs: one "kind hex" per line of standard input, one
 * outcome per line of standard output. See README.md for how it is run.
 */
public class Probe {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "US-ASCII");
        for (String line; (line = in.readLine()) != null; ) {
            String[] p = line.split(" ", 2);
            String answer;
            try {
                answer = ask(p[0], HexFormat.of().parseHex(p.length > 1 ? p[1] : ""));
            } catch (Throwable t) {
                answer = System.getenv("PROBE_WHY") == null ? "refused" : "refused " + q(String.valueOf(t));
            }
            out.println(answer);
        }
    }

    static String ask(String kind, byte[] b) throws Exception {
        switch (kind) {
            case "json": {
                ByteBuffer f = ByteBuffer.allocate(4 + b.length);
                f.putInt(b.length).put(b).flip();
                return command(RemotingCommand.decode(Unpooled.wrappedBuffer(f)));
            }
            case "frame":
                return command(RemotingCommand.decode(Unpooled.wrappedBuffer(b)));
            case "register":
                return register(RegisterBrokerBody.decode(b, false, MQVersion.Version.V5_5_0));
            case "register413":
                return register(RegisterBrokerBody.decode(b, true, MQVersion.Version.V5_0_0));
            case "register409":
                return register(RegisterBrokerBody.decode(b, true, MQVersion.Version.V4_9_8));
            case "wrapper": {
                TopicConfigSerializeWrapper w = TopicConfigSerializeWrapper.decode(b, TopicConfigSerializeWrapper.class);
                return w == null ? "null" : "dv=" + version(w.getDataVersion()) + " topics=" + topics(w.getTopicConfigTable());
            }
            case "version":
                return version(DataVersion.decode(b, DataVersion.class));
            case "route": {
                TopicRouteData r = TopicRouteData.decode(b, TopicRouteData.class);
                return r == null ? "null" : "queues=" + queues(r.getQueueDatas());
            }
            case "header": // a response header with this remark and this value in extFields
            case "bheader": {
                RemotingCommand c = RemotingCommand.createResponseCommand(1, new String(b, StandardCharsets.UTF_8));
                c.setOpaque(7);
                c.setVersion(513);
                c.setExtFields(new HashMap<>(Map.of("k", new String(b, StandardCharsets.UTF_8))));
                if (kind.equals("bheader")) {
                    c.setSerializeTypeCurrentRPC(SerializeType.ROCKETMQ);
                }
                ByteBuffer h = c.encodeHeader();
                byte[] all = new byte[h.remaining()];
                h.get(all);
                return HexFormat.of().formatHex(all);
            }
            case "names":
                return HexFormat.of().formatHex(names(new String(b, StandardCharsets.UTF_8)).encode());
            case "names-standard":
                return HexFormat.of().formatHex(names(new String(b, StandardCharsets.UTF_8)).encode(
                    JSONWriter.Feature.BrowserCompatible, JSONWriter.Feature.MapSortField));
            case "cluster-info": {
                String n = new String(b, StandardCharsets.UTF_8);
                ClusterInfo c = new ClusterInfo();
                c.setBrokerAddrTable(new HashMap<>(Map.of(n, names(n).getBrokerDatas().get(0))));
                c.setClusterAddrTable(new HashMap<>(Map.of(n, new HashSet<>(Set.of(n)))));
                return HexFormat.of().formatHex(c.encode());
            }
            case "member-group": {
                String n = new String(b, StandardCharsets.UTF_8);
                BrokerMemberGroup g = new BrokerMemberGroup(n, n);
                g.setBrokerAddrs(names(n).getBrokerDatas().get(0).getBrokerAddrs());
                GetBrokerMemberGroupResponseBody r = new GetBrokerMemberGroupResponseBody();
                r.setBrokerMemberGroup(g);
                return HexFormat.of().formatHex(r.encode());
            }
            case "topic-list": {
                String n = new String(b, StandardCharsets.UTF_8);
                TopicList l = new TopicList();
                l.setBrokerAddr(n);
                l.setTopicList(new HashSet<>(Set.of(n)));
                return HexFormat.of().formatHex(l.encode());
            }
            case "kv-table": {
                String n = new String(b, StandardCharsets.UTF_8);
                KVTable t = new KVTable();
                t.setTable(new HashMap<>(Map.of(n, n)));
                return HexFormat.of().formatHex(t.encode());
            }
            case "register-body": { // as a broker of this release writes it
                String n = new String(b, StandardCharsets.UTF_8);
                RegisterBrokerBody r = new RegisterBrokerBody();
                r.setFilterServerList(new ArrayList<>(List.of(n)));
                TopicConfigAndMappingSerializeWrapper w = r.getTopicConfigSerializeWrapper();
                DataVersion v = new DataVersion();
                v.setStateVersion(1);
                v.setTimestamp(2);
                v.getCounter().set(3);
                w.setDataVersion(v);
                DataVersion m = new DataVersion();
                m.setTimestamp(2);
                w.setMappingDataVersion(m);
                TopicConfig t = new TopicConfig(n, 4, 5, 6, 7);
                w.getTopicConfigTable().put(n, t);
                w.getTopicQueueMappingInfoMap().put(n, names(n).getTopicQueueMappingByBroker().get(n));
                return HexFormat.of().formatHex(r.encode());
            }
            default:
                throw new IllegalArgumentException(kind);
        }
    }

    /** A route in which every string is s and numbers are extreme. */
    static TopicRouteData names(String s) {
        TopicRouteData r = new TopicRouteData();
        HashMap<Long, String> addrs = new HashMap<>();
        addrs.put(0L, s);
        addrs.put(9007199254740993L, s);
        BrokerData bd = new BrokerData(s, s, addrs, true);
        bd.setZoneName(s);
        r.setBrokerDatas(new ArrayList<>(List.of(bd)));
        QueueData qd = new QueueData();
        qd.setBrokerName(s);
        qd.setReadQueueNums(Integer.MAX_VALUE);
        qd.setWriteQueueNums(Integer.MIN_VALUE);
        r.setQueueDatas(new ArrayList<>(List.of(qd)));
        r.setFilterServerTable(new HashMap<>(Map.of(s, new ArrayList<>(List.of(s, s)))));
        r.setOrderTopicConf(s);
        TopicQueueMappingInfo m = new TopicQueueMappingInfo(s, 4, s, 9007199254740993L);
        m.getCurrIdMap().put(0, 1);
        m.getCurrIdMap().put(1, -2);
        r.setTopicQueueMappingByBroker(new HashMap<>(Map.of(s, m)));
        return r;
    }

    static String command(RemotingCommand c) {
        StringBuilder s = new StringBuilder();
        s.append("code=").append(c.getCode()).append(" language=").append(c.getLanguage());
        s.append(" version=").append(c.getVersion()).append(" opaque=").append(c.getOpaque());
        s.append(" flag=").append(c.getFlag()).append(" remark=").append(q(c.getRemark())).append(" ext=");
        if (c.getExtFields() == null) {
            s.append("null");
        } else {
            TreeMap<String, String> m = new TreeMap<>(Comparator.nullsFirst(Comparator.naturalOrder()));
            m.putAll(c.getExtFields());
            s.append('{');
            m.forEach((k, v) -> s.append(q(k)).append(':').append(q(v)).append(','));
            s.append('}');
        }
        s.append(" body=").append(c.getBody() == null ? "null" : HexFormat.of().formatHex(c.getBody()));
        return s.toString();
    }

    static String register(RegisterBrokerBody r) {
        if (r == null) {
            return "null";
        }
        StringBuilder s = new StringBuilder("filters=");
        if (r.getFilterServerList() == null) {
            s.append("null");
        } else {
            s.append('[');
            r.getFilterServerList().forEach(f -> s.append(q(f)).append(','));
            s.append(']');
        }
        TopicConfigAndMappingSerializeWrapper w = r.getTopicConfigSerializeWrapper();
        if (w == null) {
            return s.append(" wrapper=null").toString();
        }
        s.append(" dv=").append(version(w.getDataVersion())).append(" topics=").append(topics(w.getTopicConfigTable()));
        s.append(" mappings=");
        if (w.getTopicQueueMappingInfoMap() == null) {
            return s.append("null").toString();
        }
        s.append('{');
        new TreeMap<>(w.getTopicQueueMappingInfoMap()).forEach((k, m) -> {
            s.append(q(k)).append(':');
            s.append(q(m.getTopic())).append('/').append(q(m.getScope())).append('/').append(q(m.getBname())).append('/');
            s.append(m.getTotalQueues()).append('/').append(m.getEpoch()).append('/').append(m.isDirty()).append('/');
            s.append(m.getCurrIdMap() == null ? "null" : new TreeMap<>(m.getCurrIdMap())).append(',');
        });
        return s.append('}').toString();
    }

    static String topics(Map<String, TopicConfig> table) {
        if (table == null) {
            return "null";
        }
        StringBuilder s = new StringBuilder("{");
        new TreeMap<>(table).forEach((k, t) -> s.append(q(k)).append(':').append(q(t.getTopicName())).append('/')
            .append(t.getReadQueueNums()).append('/').append(t.getWriteQueueNums()).append('/').append(t.getPerm())
            .append('/').append(t.getTopicSysFlag()).append(','));
        return s.append('}').toString();
    }

    static String queues(List<QueueData> list) {
        if (list == null) {
            return "null";
        }
        StringBuilder s = new StringBuilder("[");
        for (QueueData d : list) {
            if (d == null) {
                s.append("null,");
                continue;
            }
            s.append(q(d.getBrokerName())).append('/').append(d.getReadQueueNums()).append('/').append(d.getWriteQueueNums())
                .append('/').append(d.getPerm()).append('/').append(d.getTopicSysFlag()).append(',');
        }
        return s.append(']').toString();
    }

    static String version(DataVersion v) {
        if (v == null) {
            return "null";
        }
        boolean now = Math.abs(System.currentTimeMillis() - v.getTimestamp()) < 60000;
        return v.getStateVersion() + "/" + (now ? "now" : "" + v.getTimestamp()) + "/" + (v.getCounter() == null ? "null" : v.getCounter().get());
    }

    /** The string in ASCII: everything else as UTF-16 escapes. */
    static String q(String s) {
        if (s == null) {
            return "null";
        }
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') {
                b.append('\\').append(c);
            } else if (c < 0x20 || c > 0x7e) {
                b.append(String.format("\\u%04x", (int) c));
            } else {
                b.append(c);
            }
        }
        return b.append('"').toString();
    }
}
