package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-mq/epitaph/node/properties"
)

// judged reads settings, NAME=VALUE with blanks between them, and a file, and judges them.
func judged(t *testing.T, set, file string, asOriginal bool) (tls TLS, refused, told []string) {
	t.Helper()
	sys := System{Source: "--set", Properties: map[string]string{}}
	for word := range strings.FieldsSeq(set) {
		name, value, _ := strings.Cut(word, "=")
		sys.Properties[name] = strings.ReplaceAll(value, "_", " ")
	}
	tls = Default(sys).TLS
	tls.AsOriginal = asOriginal
	entries, err := properties.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	tls.ApplyFile(entries)
	faults, told := tls.Judge()
	for _, f := range faults {
		refused = append(refused, f.Error())
	}
	for _, f := range tls.validate() {
		refused = append(refused, f.Error())
	}
	return tls, refused, told
}

func TestTLSIsJudged(t *testing.T) {
	const files = "tls.server.keyPath=k tls.server.certPath=c "
	for _, c := range []struct {
		set, file string
		refused   string // in one line of several; empty: none
		told      string
	}{
		{"", "", "", ""},
		{"tls.server.mode=permissive", "", "", ""},
		{"tls.server.mode=Enforcing", "", `--set: tls.server.mode="Enforcing": want disabled, permissive or enforcing, in small letters`, ""},
		{"tls.server.mode=foo", "", "want disabled", ""},
		{"tls.server.mode=", "", "want disabled", ""},
		{files + "tls.server.mode=enforcing_", "", "blanks around the value", ""},
		{"tls.sever.mode=enforcing", "", "no such setting; did you mean tls.server.mode?", ""},
		{"tls.test.mode.enable=flase", "", "want true or false", ""},
		{"tls.server.mode=enforcing", "", "want a certificate beside it", ""},
		{"tls.server.mode=enforcing tls.test.mode.enable=true", "", "", ""},
		{"tls.test.mode.enable=false", "", `tls.server.certPath="": want a PEM file, for tls.test.mode.enable=false is set`, ""},
		{files, "", "", ""},
		{files + "tls.test.mode.enable=true", "", "it makes tls.server.keyPath, tls.server.certPath ignored", ""},
		{"tls.server.keyPath=k", "", `tls.server.certPath="": want a PEM file, for tls.server.keyPath is set`, ""},
		{"tls.server.keyPassword=secret", "", `tls.server.certPath="": want`, ""},
		{"tls.server.need.client.auth=require", "", `tls.server.certPath="": want`, ""},
		{files + "tls.server.certPath=", "", "it is empty", ""},
		{files + "tls.server.need.client.auth=requird", "", "want none, optional or require", ""},
		{files + "tls.server.need.client.auth=Require", "", "", "any certificate of a client is accepted"},
		{files + "tls.server.need.client.auth=require", "", "", "plain text is served too"},
		{files + "tls.server.trustCertPath=t", "", "", "clients without one are served"},
		{files + "tls.server.authClient=true tls.server.need.client.auth=optional", "", "", "public authorities"},
		{files + "tls.server.authClient=true tls.server.need.client.auth=none", "", "", "no client is asked"},
		{"", "tls.test.mode.enable=false\ntls.server.keyPath=k\ntls.server.certPath=c\n", "", ""},
		{"", "tls.server.keypath=k\ntls.server.certPath=c\n", "", "properties:1: tls.server.keypath is not known and taken for tls.server.keyPath"},
		{files, "tls.server.need.client.auht=require\n", "", "taken for tls.server.need.client.auth"},
		{files, "\ufefftls.server.mode=enforcing\n", "", "taken for tls.server.mode"},
		{files, "tls.server.mode\u00a0=enforcing\n", "", "taken for tls.server.mode"},
		{files, "tls.new.thing=1\n", "", "tls.new.thing is not known and has no effect"},
		{files, "tls.server.mode=enforcing\n", "", "obeyed here"},
		{files + "tls.server.mode=enforcing", "tls.server.mode=permissive\n", "--set has another value", ""},
		{"tls.server.need.client.auth=require " + files, "tls.server.need.client.auth=none\n", "--set has another value", ""},
		{files, "tls.server.mode=enforcing\ntls.server.mode=permissive\n", "line 1 has another value", ""},
		{files, "tls.server.need.client.auth=none\ntls.server.need.client.auth=require\ntls.server.need.client.auth=require\n", "line 1 has another value", ""},
		{files, "tls.test.mode.enable=false\ntls.test.mode.enable=false\n", "", ""},
		{files, "tls.enable=true\n", "", "tls.enable has no effect in this file"},
		{"tls.client.trustCertPath=t tls.client.keyPath=k", "", "", ""}, // not used: shared with clients
		{"tls.enable=true tls.client.trustCertPath=t tls.test.mode.enable=true", "", "it makes tls.client.trustCertPath ignored", ""},
		{"tls.server.mode=disabled " + files + "tls.test.mode.enable=true", "", "", ""},
	} {
		t.Run(c.set+" "+c.file, func(t *testing.T) {
			_, refused, told := judged(t, c.set, c.file, false)
			if all := strings.Join(refused, "\n"); (c.refused == "") != (all == "") || !strings.Contains(all, c.refused) {
				t.Errorf("want %q refused, got:\n%s", c.refused, all)
			}
			if all := strings.Join(told, "\n"); c.refused == "" && c.told == "" && all != "" || !strings.Contains(all, c.told) {
				t.Errorf("want %q told, got:\n%s", c.told, all)
			}
			if strings.Contains(strings.Join(append(refused, told...), ""), "secret") {
				t.Error("it tells the password")
			}
		})
	}
}

// What is named is used although switches that nobody set stand against it; the original's rules stay for mqnamesrv.
func TestNamedFilesAreUsed(t *testing.T) {
	const set = "tls.server.keyPath=k tls.server.certPath=c tls.server.trustCertPath=t tls.enable=true tls.client.trustCertPath=t"
	got, refused, _ := judged(t, set, "", false)
	if refused != nil || got.TestMode || !got.AuthClient || got.ClientCert != ClientCertOptional || got.Client.TestMode || !got.Client.AuthServer {
		t.Errorf("%+v %q", got, refused)
	}
	got, refused, _ = judged(t, set, "", true)
	if !got.TestMode || got.AuthClient || got.ClientCert != ClientCertNone || !got.Client.TestMode || got.Client.AuthServer || len(refused) != 2 {
		t.Errorf("%+v %q", got, refused)
	}
}

// A mistake that mqnamesrv warns of changes nothing for it.
func TestJudgingChangesNothingOfTheOriginal(t *testing.T) {
	const set = "tls.server.mode=Enforcing tls.sever.mode=enforcing tls.server.need.client.auth=required tls.ciphers=x"
	const file = "tls.server.mode=enforcing\ntls.server.keypath=k\ntls.server.authClient=treu\n"
	got, refused, told := judged(t, set, file, true)
	want := TLS{Mode: TLSPermissive, TestMode: true, ClientCert: ClientCertNone, Ciphers: "x", AsOriginal: true,
		Client: TLSClient{TestMode: true}, ConfigFile: DefaultTLSFile}
	got.given, got.faults, got.told = nil, nil, nil
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(TLS{})); diff != "" {
		t.Error(diff)
	}
	if len(refused) != 5 || len(told) != 2 {
		t.Errorf("%d warnings, %d lines: %q %q", len(refused), len(told), refused, told)
	}
}
