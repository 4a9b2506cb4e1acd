package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/epitaph-mq/epitaph/clock"
	"github.com/epitaph-mq/epitaph/gossip"
	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/node/kvconfig"
	"github.com/epitaph-mq/epitaph/node/memory"
	"github.com/epitaph-mq/epitaph/node/properties"
	"github.com/epitaph-mq/epitaph/routes"
)

// Config is everything a node must know before it starts. It is made by Default, filled in the order file,
// environment, flags (the later wins), checked once by Validate, and not changed after New.
type Config struct {
	Options Options
	// File is the operator's file; empty: there is none, and a start reads nothing of what ConfigStorePath holds.
	File string
	// Extra holds the keys of the operator's file that are no Options: shown by code 319 and changeable by 318.
	Extra map[string]string
	TLS   TLS
	// BinaryHeaders makes the node write its own headers in the ROCKETMQ form (rocketmq.serialize.type=ROCKETMQ).
	BinaryHeaders bool
	// FrameMaxBytes is the largest frame accepted (com.rocketmq.remoting.frameMaxLength).
	FrameMaxBytes int32
	// ReadOnlyConfig refuses every code 318 with code 16.
	ReadOnlyConfig bool
	// ProxyFrom are the addresses whose PROXY headers are believed (--proxy-from); nil: nobody's.
	ProxyFrom mq.Networks
	// AdminFrom are the addresses from which requests may change something for others (--admin-from); nil: everybody's.
	AdminFrom mq.Networks
	// TombstonesFrom are the addresses of which each is one machine (--tombstones-from); nil: everybody's.
	TombstonesFrom mq.Networks
	// KVAsOriginal starts with an empty KV store where a file of a former one was lost or cannot be read; else that is
	// an error.
	KVAsOriginal bool
	// KVServeMissing serves routes alone where that is so.
	KVServeMissing bool
	// KVValueMax and KVStoreMax bound what changes make of the KV store, in bytes (kvconfig.Limits). A KVStoreMax of 0 is
	// DefaultKVStoreMax, or what Memory leaves it where that is less.
	KVValueMax, KVStoreMax int
	// Gossip says with whom the node shares who has left; nil is nobody.
	Gossip *gossip.Config
	// ReadyAfter is for how long a node that gossips, and finds none that can tell which brokers there are, waits before it
	// is ready: the time between two registrations of a broker. It also makes the node one that can tell.
	ReadyAfter time.Duration
	// JoinWait bounds how long a node that gossips waits for the others: to reach one, and for the brokers that they hold.
	JoinWait time.Duration
	// CloseClientsUntilReady closes connections of clients, never those of brokers, while the node is not ready and another
	// one is: a Java client moves to another NameServer only when its connection is gone.
	CloseClientsUntilReady bool
	// DeadHosts says how the node finds out that a broker's host has vanished.
	DeadHosts DeadHosts
	// Addresses says how brokers and clients come to know the nodes.
	Addresses Addresses
	// DrainOnStop is for how long at most a stop first lets clients go, while everybody is served; 0: not at all. It ends when no
	// client has asked for a route for DrainQuiet.
	DrainOnStop, DrainQuiet time.Duration
	// MaxConnections is how many there may be of brokers and clients; 0: no limit.
	MaxConnections int
	// Memory is what the parts of the node may have.
	Memory memory.Limits
	// Release is the program's, told to the other nodes.
	Release string
	// DroppedLines, unless nil, is how many lines of the log were lost because nobody took them.
	DroppedLines func() uint64
	// HTTP is the HOST:PORT of the read-only listener for operators; empty is off.
	HTTP string
	// Socket is the path of the Unix socket for operators, or a directory in which its name is epitaph-PORT.sock; both empty:
	// none. Where it cannot be made the node serves without.
	Socket, SocketDir string

	// Clock is read by connections, tables and tombstones, and Listener, unless nil, serves in place of a socket: tests
	// in virtual time replace both.
	Clock    func() clock.Stamp
	Listener net.Listener
	// OnEvent, unless nil, is told of every change of the tables, with no lock held.
	OnEvent func(*routes.Event)
}

// Defaults, and what is allowed at most. A broker registers every 30 s (registerNameServerPeriod, 10 to 60 s); the second is
// what the original waits for brokers where it is told to (waitSecondsForService).
const (
	DefaultReadyAfter = 30 * time.Second
	DefaultJoinWait   = 45 * time.Second
	DefaultDrainQuiet = 35 * time.Second // longer than clients wait between two looks at their routes (pollNameServerInterval, 30 s)
	maxWait           = time.Hour
)

// Defaults of the limits of the KV store, and how far they can be raised.
const (
	DefaultKVValueMax = 64 << 10
	DefaultKVStoreMax = 16 << 20
	kvMost            = kvconfig.MaxFileBytes
)

// System holds what the original takes from its Java machine.
type System struct {
	// UserHome is the directory below which namesrv/kvConfig.json and namesrv/namesrv.properties stand (user.home).
	UserHome string
	// Properties are system properties by name, such as tls.server.mode. The original's environment variables stand
	// here under the name of the property they are read for: ROCKETMQ_HOME as rocketmq.home.dir.
	Properties map[string]string
	// Source is where the properties come from, for messages.
	Source string
}

// Default gives the values of the original for this system, with port 9876 as its start code sets it.
func Default(sys System) Config {
	c := Config{Extra: map[string]string{}, Clock: clock.Now, ReadyAfter: DefaultReadyAfter, JoinWait: DefaultJoinWait,
		DrainQuiet: DefaultDrainQuiet, Addresses: DefaultAddresses(), DeadHosts: DefaultDeadHosts(), KVValueMax: DefaultKVValueMax, Memory: memory.Plan(memory.Found{})}
	c.Options = Options{
		RocketmqHome:                         sys.Properties["rocketmq.home.dir"],
		KVConfigPath:                         filepath.Join(sys.DataDir(), "kvConfig.json"),
		ConfigStorePath:                      filepath.Join(sys.DataDir(), "namesrv.properties"),
		ProductEnvName:                       "center",
		ReturnOrderTopicConfigToBroker:       true,
		ClientRequestThreadPoolNums:          8,
		DefaultThreadPoolNums:                16,
		ClientRequestThreadPoolQueueCapacity: 50000,
		DefaultThreadPoolQueueCapacity:       10000,
		ScanNotActiveBrokerInterval:          5000,
		UnRegisterBrokerQueueCapacity:        3000,
		EnableAllTopicList:                   true,
		EnableTopicList:                      true,
		WaitSecondsForService:                45,
		ConfigBlackList:                      "configBlackList;configStorePath;kvConfigPath",

		BindAddress:                        "0.0.0.0",
		ListenPort:                         9876,
		ServerWorkerThreads:                8,
		ServerSelectorThreads:              3,
		ServerOnewaySemaphoreValue:         256,
		ServerAsyncSemaphoreValue:          64,
		ServerChannelMaxIdleTimeSeconds:    120,
		ServerSocketSndBufSize:             sys.int32("com.rocketmq.remoting.socket.sndbuf.size", 0),
		ServerSocketRcvBufSize:             sys.int32("com.rocketmq.remoting.socket.rcvbuf.size", 0),
		WriteBufferHighWaterMark:           sys.int32("com.rocketmq.remoting.write.buffer.high.water.mark", 0),
		WriteBufferLowWaterMark:            sys.int32("com.rocketmq.remoting.write.buffer.low.water.mark", 0),
		ServerSocketBacklog:                sys.int32("com.rocketmq.remoting.socket.backlog", 1024),
		ServerNettyWorkerGroupEnable:       true,
		ServerPooledByteBufAllocatorEnable: true,
		ShutdownWaitTimeSeconds:            30,
	}
	c.FrameMaxBytes = sys.int32("com.rocketmq.remoting.frameMaxLength", 16777216)
	c.BinaryHeaders = sys.Properties["rocketmq.serialize.type"] == "ROCKETMQ"
	c.TLS = defaultTLS(sys)
	return c
}

// UseDataDir moves the two files that the original keeps below the user's home.
func (c *Config) UseDataDir(dir string) {
	c.Options.KVConfigPath = filepath.Join(dir, "kvConfig.json")
	c.Options.ConfigStorePath = filepath.Join(dir, "namesrv.properties")
}

// DataDir is where the original keeps its files on this system.
func (s System) DataDir() string { return filepath.Join(s.UserHome, "namesrv") }

// SocketPath is where the Unix socket of a node at this port is; empty: it has none.
func (c *Config) SocketPath(port int) string {
	if c.Socket != "" || c.SocketDir == "" {
		return c.Socket
	}
	return filepath.Join(c.SocketDir, fmt.Sprintf("epitaph-%d.sock", port))
}

// Fault is one mistake in a configuration.
type Fault struct {
	Key, Value string
	Source     string // where it stands, such as "--set" or "namesrv.conf:12"; may be empty
	Remedy     string // what is wrong or would be right
}

func (f *Fault) Error() string {
	value := mq.Cut(f.Value)
	if strings.HasSuffix(f.Key, "Password") {
		value = "***"
	}
	text := fmt.Sprintf("%s=%q: %s", f.Key, value, f.Remedy)
	if f.Source != "" {
		text = f.Source + ": " + text
	}
	return text
}

// ApplyFile sets what the operator's properties file holds, by the original's rules: a number that does not parse is
// ignored, everything but "true" is false. What those rules hide comes back as faults, to be warned about or, where
// the operator asked for strictness, to refuse the start. Keys that are no options of the server go to Extra; those
// that the original knows nowhere come back in unknown, sorted.
func (c *Config) ApplyFile(file string, entries []properties.Entry) (faults []*Fault, unknown []string) {
	for _, e := range entries {
		opt, known := optionNamed(e.Key)
		if !known {
			c.Extra[e.Key] = e.Value
			if !isClientOption(e.Key) && e.Key != logLevelKey {
				unknown = append(unknown, e.Key)
			}
			continue
		}
		if remedy := opt.strictFault(e.Value); remedy != "" {
			if strings.TrimSpace(e.Value) != e.Value && opt.strictFault(strings.TrimSpace(e.Value)) == "" {
				remedy = "blanks behind the value are part of it; remove them"
			}
			source := fmt.Sprintf("%s:%d", file, e.Line)
			faults = append(faults, &Fault{Key: e.Key, Value: e.Value, Source: source, Remedy: remedy})
		}
		opt.setJava(&c.Options, e.Value)
	}
	slices.Sort(unknown)
	return faults, unknown
}

// logLevelKey is a key of ours in the operator's file: one that can be changed while the node runs.
const logLevelKey = "logLevel"

// LogLevel is the level of the log that the file asks for; empty: it does not say.
func (c *Config) LogLevel() string { return c.Extra[logLevelKey] }

// Set sets one option from a flag or the environment; source names it. The error is a *Fault.
func (c *Config) Set(source, name, value string) error {
	opt, known := optionNamed(name)
	if !known {
		return &Fault{Key: name, Value: value, Source: source, Remedy: "no such option" + suggestion(name)}
	}
	if remedy := opt.strictFault(value); remedy != "" {
		return &Fault{Key: name, Value: value, Source: source, Remedy: remedy}
	}
	opt.setJava(&c.Options, value)
	return nil
}

// Validate reports every mistake at once: the error joins one *Fault for each.
func (c *Config) Validate() error {
	var faults []error
	for _, opt := range options {
		if opt.check == nil {
			continue
		}
		if remedy := opt.check(&c.Options); remedy != "" {
			faults = append(faults, &Fault{Key: opt.name, Value: opt.text(&c.Options), Remedy: remedy})
		}
	}
	if c.FrameMaxBytes < 4096 {
		faults = append(faults, &Fault{
			Key: "com.rocketmq.remoting.frameMaxLength", Value: fmt.Sprint(c.FrameMaxBytes),
			Remedy: "want at least 4096 bytes; the default is 16777216",
		})
	}
	for _, w := range []struct {
		flag string
		wait time.Duration
	}{{"--ready-after", c.ReadyAfter}, {"--join-wait", c.JoinWait}, {"--drain-on-stop", c.DrainOnStop}, {"--drain-quiet", c.DrainQuiet}} {
		if w.wait < 0 || w.wait > maxWait {
			faults = append(faults, &Fault{Key: w.flag, Value: w.wait.String(), Remedy: "want a time from 0s to 1h, such as 30s"})
		}
	}
	for _, l := range []struct {
		flag        string
		bytes, from int
	}{{kvconfig.ValueOption, c.KVValueMax, 1}, {kvconfig.StoreOption, c.KVStoreMax, 0}} {
		if l.bytes < l.from || l.bytes > kvMost {
			faults = append(faults, &Fault{Key: l.flag, Value: fmt.Sprint(l.bytes), Remedy: fmt.Sprintf("want a number of bytes from %d to %d", l.from, kvMost)})
		}
	}
	faults = append(faults, c.TLS.validate()...)
	faults = append(faults, c.Addresses.validate()...)
	faults = append(faults, c.DeadHosts.validate(c.Gossip != nil)...)
	return errors.Join(append(faults, checkListener("--http", c.HTTP, "127.0.0.1:9886, or :9886 for every address"))...)
}

// values are all options and extra keys as code 319 lists them; an option without a value is left out.
func (c *Config) values() map[string]string {
	all := maps.Clone(c.Extra)
	if all == nil {
		all = make(map[string]string)
	}
	for _, opt := range options {
		if text := opt.text(&c.Options); text != "" || opt.name != "rocketmqHome" {
			all[opt.name] = text
		}
	}
	return all
}
