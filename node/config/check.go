package config

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/epitaph-mq/epitaph/nearest"
)

// The checks below say what would make a node useless or dangerous. An option without effect has none.

func checkKVConfigPath(o *Options) string {
	if o.KVConfigPath == "" {
		return "want the path of a file that this process may write"
	}
	return ""
}

func checkScanInterval(o *Options) string {
	if o.ScanNotActiveBrokerInterval < 1 || o.ScanNotActiveBrokerInterval > math.MaxInt64/2_000_000 {
		return "want milliseconds, 1 or more; the default is 5000"
	}
	return ""
}

func checkController(o *Options) string {
	if o.EnableControllerInNamesrv {
		return "this server has no controller inside; run RocketMQ's standalone controller (bin/mqcontroller) " +
			"and remove this line"
	}
	return ""
}

func checkListenPort(o *Options) string {
	if o.ListenPort < 0 || o.ListenPort > 65535 {
		return "want a port from 1 to 65535, or 0 for any free one; the default is 9876"
	}
	return ""
}

func checkWaterMarks(o *Options) string {
	high, low := o.WriteBufferHighWaterMark, o.WriteBufferLowWaterMark
	if high > 0 && low > high {
		return fmt.Sprintf("want at least writeBufferLowWaterMark, which is %d; or 0 for the default", low)
	}
	return ""
}

// suggestion names the option that was probably meant.
func suggestion(name string) string {
	names := slices.Clone(tlsNames)
	for _, opt := range options {
		names = append(names, opt.name)
	}
	if meant := nearest.Name(name, names); meant != "" {
		return "; did you mean " + meant + "?"
	}
	return ""
}

const zoneRemedy = "an address with a zone means something on one machine only; give one that other machines can use, too, or ::"

// CheckZone refuses to listen for brokers and clients at a link-local address: others cannot connect to it as it is told
// them. The original listens there.
func (c *Config) CheckZone() error {
	if !strings.Contains(c.Options.BindAddress, "%") {
		return nil
	}
	return &Fault{Key: "bindAddress", Value: c.Options.BindAddress, Remedy: zoneRemedy}
}

// checkListener says what is wrong with the address of a listener of ours; empty is off.
func checkListener(flag, addr, example string) error {
	if addr == "" {
		return nil
	}
	fault := func(remedy string) error { return &Fault{Key: flag, Value: addr, Remedy: remedy} }
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fault("want HOST:PORT, such as " + example)
	}
	if strings.Contains(host, "%") {
		return fault(zoneRemedy)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fault("want a port from 1 to 65535, or 0 for any free one")
	}
	return nil
}
