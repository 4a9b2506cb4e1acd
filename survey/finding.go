package survey

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/epitaph-mq/epitaph/order"
)

// Degree is how grave a finding is.
type Degree int

// The degrees.
const (
	Note Degree = iota
	Warning
	Error
)

var degrees = []string{"note", "warning", "error"}

func (d Degree) String() string { return degrees[d] }

// MarshalText writes it as a word.
func (d Degree) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ParseDegree reads the word.
func ParseDegree(text string) (Degree, error) {
	if i := slices.Index(degrees, text); i >= 0 {
		return Degree(i), nil
	}
	return 0, fmt.Errorf("%q: want note, warning or error", text)
}

// Finding is one thing that somebody should know. Its name is stable, and a section of docs/doctor.md.
type Finding struct {
	Name   string `json:"name"`
	Degree Degree `json:"degree"`
	About  string `json:"about"` // a NameServer, a broker, a topic; empty: all of them
	Seen   string `json:"seen"`
	Why    string `json:"why"`
	Do     string `json:"do"`
}

// kind is a finding before it is found.
type kind struct {
	name    string
	examine func(e *Evidence, find found)
	why, do string
}

// found takes a finding of the kind that is examined.
type found func(degree Degree, about, seen string)

// Names are those of all findings, in the order in which they are examined.
func Names() (names []string) {
	for i := range kinds {
		names = append(names, kinds[i].name)
	}
	return names
}

// Examine concludes findings: gravest first, else in the order of Names. Of only, unless empty, and without those of skip.
func Examine(e *Evidence, only, skip []string) (all []Finding) {
	for i := range kinds {
		k := &kinds[i]
		if len(only) > 0 && !slices.Contains(only, k.name) || slices.Contains(skip, k.name) {
			continue
		}
		k.examine(e, func(degree Degree, about, seen string) {
			all = append(all, Finding{k.name, degree, about, seen, k.why, k.do})
		})
	}
	order.Stable(all, func(a, b Finding) int { return cmp.Compare(b.Degree, a.Degree) })
	return all
}

// Missing is what could not be asked, beside NameServers that are findings themselves.
func (e *Evidence) Missing() (all []string) {
	for i, v := range e.Diff.Views {
		if v.Fault == nil {
			for _, text := range v.Missing {
				all = append(all, e.Targets[i].Addr+": "+text)
			}
		}
	}
	for i := range e.Brokers {
		b := &e.Brokers[i]
		switch {
		case b.Dial != "" && b.Dial != Refused:
			all = append(all, b.String()+": "+b.DialError)
		case b.Fault != nil:
			all = append(all, b.Fault.Error())
		}
	}
	return append(all, e.Untried...)
}

func (b *BrokerSeen) String() string { return fmt.Sprintf("%s (id %d) at %s", b.Broker, b.ID, b.Addr) }

// few names at most so many, and counts the rest.
func few(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// kinds are all findings that there are.
var kinds = []kind{
	{"nameserver-silent", nameserverSilent,
		"Brokers cannot register there, and clients that ask it first wait for its timeout with every new connection.",
		"Start it, or take its address off every list of brokers and clients."},
	{"nameserver-slow", nameserverSlow,
		"Clients wait so long for each route, and brokers for each registration; a registration that takes seconds is repeated.",
		"Look at the load and the garbage collection of that NameServer, and at what stands between."},
	{"nameservers-disagree", nameserversDisagree,
		"NameServers never tell each other anything. A client sees what the one NameServer sees that it asks, so two clients send and consume by different tables until a broker's next full registration, or for ever.",
		"Find out what the lagging NameServer did not hear (the findings below name it); restart it where nothing else explains it; repeat changes by mqadmin with all NameServers in -n."},
	{"broker-partly-registered", brokerPartlyRegistered,
		"Clients that ask a NameServer without it neither send to this broker nor consume from it.",
		"Make the broker's namesrvAddr name all NameServers; where it does, look for the way from it to the one that lacks it, and at that one's log."},
	{"broker-unreachable", brokerUnreachable,
		"Clients are given this address and wait for their timeout with every request that goes there.",
		"Check brokerIP1 and listenPort of that broker, and the firewall on the way."},
	{"broker-address-local", brokerAddressLocal,
		"Clients on other machines are given an address that leads to themselves, or nowhere.",
		"Set brokerIP1 in the broker's configuration to an address that clients reach, and restart it."},
	{"broker-listed-but-gone", brokerListedButGone,
		"Nothing listens there any more and routes still name it: clients fail until it expires, up to two minutes after its last heartbeat, at each NameServer by itself.",
		"Start the broker again, or wait for its expiry. With epitaph's NameServers a broker that unregisters at one is gone at all in milliseconds."},
	{"broker-slow", brokerSlow,
		"The broker takes connections and does not answer an easy question in time: its threads are busy or it hangs.",
		"Look at its disk, its garbage collection and its thread pools."},
	{"name-in-two-clusters", nameInTwoClusters,
		"A NameServer keeps one cluster for a name: whichever registered first. The other cluster's broker shares its route.",
		"Give one of the brokers another brokerName: most likely a configuration was copied."},
	{"address-under-two-names", addressUnderTwoNames,
		"Clients of either name reach the same broker: messages are sent and consumed twice as often there, or by the wrong name.",
		"Wait two minutes if the broker was renamed just now; else correct the copied configuration."},
	{"two-masters", twoMasters,
		"Producers write to two masters of one broker group, depending on the NameServer that they asked: replicas follow one of them, and messages of the other are lost to them.",
		"Find out which of the two should be the master, and stop the other."},
	{"no-master", noMaster,
		"Without a master nothing can be written to this broker group; replicas serve what they have.",
		"Start the master, or let a replica take over (acting master, controller)."},
	{"topic-no-writable-queue", topicNoWritableQueue,
		"Sending to such a topic fails at every master.",
		"mqadmin updateTopic -t TOPIC -p 6 if it is meant to be written to."},
	{"topic-on-one-nameserver", topicOnOneNameServer,
		"Clients that ask another NameServer are told that the topic does not exist.",
		"Wait for the next full registration of its brokers; where it stays, delete and create it with all NameServers in -n."},
	{"queue-numbers-differ", queueNumbersDiffer,
		"Producers spread messages by queues, so brokers with more of them get more. It may be meant.",
		"mqadmin updateTopic with -c CLUSTER sets all masters of a topic alike."},
	{"order-conf-stale", orderConfStale,
		"Clients of an ordered topic follow this configuration, not the brokers: they send to queues that are not there, or leave some out.",
		"mqadmin updateOrderConf -m put -t TOPIC -v 'BROKER:QUEUES;...' with what the brokers have."},
	{"route-near-frame-limit", routeNearFrameLimit,
		"RocketMQ's clients and brokers end a connection on a frame of more than 16 MiB: beyond it they get no answer at all.",
		"Delete topics that nobody uses, or divide the cluster; com.rocketmq.remoting.frameMaxLength raises the limit at every client."},
	{"clock-apart", clockApart,
		"Message timestamps, delayed messages, look-ups by time and the expiry of files follow the broker's clock.",
		"Set the clock by NTP on the machine that is wrong."},
	{"broker-versions-mixed", brokerVersionsMixed,
		"Fine while an upgrade runs. A master and a replica of 4.x and 5.x do not understand all that the other writes.",
		"Finish the upgrade."},
	{"replica-behind", replicaBehind,
		"What a replica lacks is lost if the master's disk is.",
		"Look at the replica's disk and its network to the master's haListenPort."},
	{"disk-nearly-full", diskNearlyFull,
		"From 75% on a broker deletes its oldest files at any hour, from 85% on at once, and from 90% on it refuses messages.",
		"Free room on that disk, or shorten fileReservedTime."},
	{"broker-read-only", brokerReadOnly,
		"Nothing is written to this broker; producers spread their messages over the others.",
		"mqadmin addWritePerm -b BROKER with all NameServers in -n gives back what wipeWritePerm took; else look at brokerPermission."},
	{"address-list-partial", addressListPartial,
		"A broker registers only at the NameServers of its own list: the others do not know it.",
		"Give all brokers the same namesrvAddr."},
	{"plain-admin", plainAdmin,
		"Whoever reaches the port may change options (318), KV values (100), topics and write permissions: the original asks nobody who he is.",
		"Let only brokers, clients and operators reach port 9876. With epitaph, --read-only-config refuses changes of options."},
	{"option-dangerous", optionDangerous,
		"Set so it lets strangers change paths, removes brokers that live or keeps those that died, or runs a controller at some NameServers only.",
		"Put the option back to its default."},
	{"tls-modes-differ", tlsModesDiffer,
		"A client that speaks one way reaches some of them and not the others.",
		"Set the same tls.server.mode, and certificates, everywhere."},
	{"certificate-near-end", certificateNearEnd,
		"From its end on, clients that verify it are refused.",
		"Renew the certificate; Java peers and epitaph load it anew without a restart."},
	{"name-resolves-elsewhere", nameResolvesElsewhere,
		"Whoever uses the name asks NameServers at which the brokers do not register.",
		"Correct the name's addresses, or the brokers' namesrvAddr."},
}
