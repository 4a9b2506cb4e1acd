package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Every mistake about addresses is told with its flag and its remedy, and what is at a limit is taken.
func TestAddresses(t *testing.T) {
	many := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprint("10.0.0.1:", i+1))
		}
		return all
	}
	for name, c := range map[string]struct {
		change func(*Addresses)
		want   string // empty: nothing is wrong
	}{
		"nothing":              {func(*Addresses) {}, ""},
		"off, with a flag":     {func(a *Addresses) { a.Server, a.Static = "", many(1) }, "--address-server is missing"},
		"off, with a name":     {func(a *Addresses) { a.Server, a.Clients = "", "x" }, "--address-server is missing"},
		"off, and advertised":  {func(a *Addresses) { a.Server, a.Advertise = "", "10.0.0.1:9876" }, ""},
		"no port":              {func(a *Addresses) { a.Server = "8080" }, `--address-server="8080": want HOST:PORT`},
		"no number":            {func(a *Addresses) { a.Server = ":http" }, "want a port"},
		"every address":        {func(a *Addresses) { a.Server = ":8080" }, ""},
		"a zone":               {func(a *Addresses) { a.Server = "[fe80::1%eth0]:8080" }, "zone"},
		"a path":               {func(a *Addresses) { a.Clients = "a/b" }, "--address-clients"},
		"a step up":            {func(a *Addresses) { a.Clients = ".." }, `--address-clients=".."`},
		"a step to nowhere":    {func(a *Addresses) { a.Brokers = "." }, `--address-brokers="."`},
		"a name with a dot":    {func(a *Addresses) { a.Brokers = ".b" }, ""},
		"static, mistyped":     {func(a *Addresses) { a.Static = []string{"10.0.0.256:9876"} }, `--address-static="10.0.0.256:9876": want a name, or`},
		"static, too short":    {func(a *Addresses) { a.Static = []string{"10.0.1:9876"} }, "four numbers"},
		"advertised blank":     {func(a *Addresses) { a.Advertise = "ns 1:9876" }, `--advertise-serve="ns 1:9876": want a name`},
		"advertised as a name": {func(a *Addresses) { a.Advertise = "ns1.10.example.:9876" }, ""},
		"no name":              {func(a *Addresses) { a.Brokers = "" }, "--address-brokers"},
		"a long name":          {func(a *Addresses) { a.Brokers = strings.Repeat("x", 65) }, "--address-brokers"},
		"the longest name":     {func(a *Addresses) { a.Brokers = strings.Repeat("x", 64) }, ""},
		"one name for both":    {func(a *Addresses) { a.Brokers = a.Clients }, "the two lists differ"},
		"kept for no time":     {func(a *Addresses) { a.Keep = 10*time.Second - 1 }, "--address-keep"},
		"kept shortest":        {func(a *Addresses) { a.Keep = 10 * time.Second }, ""},
		"kept longest":         {func(a *Addresses) { a.Keep = 24 * time.Hour }, ""},
		"kept for ever":        {func(a *Addresses) { a.Keep = 24*time.Hour + 1 }, "--address-keep"},
		"static, no port":      {func(a *Addresses) { a.Static = []string{"java1"} }, `--address-static="java1": want HOST:PORT`},
		"static, no host":      {func(a *Addresses) { a.Static = []string{":9876"} }, "want HOST:PORT"},
		"static, a wildcard":   {func(a *Addresses) { a.Static = []string{"0.0.0.0:9876"} }, "unspecified"},
		"static, a name":       {func(a *Addresses) { a.Static = []string{"java1.example:9876"} }, ""},
		"as many as there may": {func(a *Addresses) { a.Static = many(64) }, ""},
		"one more":             {func(a *Addresses) { a.Static = many(65) }, "want at most 64"},
		"advertised port 0":    {func(a *Addresses) { a.Advertise = "10.0.0.1:0" }, `--advertise-serve="10.0.0.1:0": want a port`},
		"advertised wildcard":  {func(a *Addresses) { a.Advertise = "[::]:9876" }, "unspecified"},
		"advertised to many":   {func(a *Addresses) { a.Advertise = "224.0.0.1:9876" }, "many machines"},
		"advertised to many 6": {func(a *Addresses) { a.Advertise = "[ff02::1]:9876" }, "many machines"},
		"static, broadcast":    {func(a *Addresses) { a.Static = []string{"[::ffff:255.255.255.255]:9876"} }, "many machines"},
		"advertised zone":      {func(a *Addresses) { a.Advertise = "[fe80::1%eth0]:9876" }, "zone"},
	} {
		cfg := Default(System{Properties: map[string]string{}})
		cfg.Addresses.Server = "127.0.0.1:8080"
		c.change(&cfg.Addresses)
		switch err := cfg.Validate(); {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
